"""What is saved about a machine: ``machine.json``.

On the path of ``vx status``: no dataclasses, nothing that imports slowly.
"""

from __future__ import annotations

import json

from vagrantish.errors import MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

SCHEMA = 1
_ID_DIGITS = frozenset("0123456789abcdef")
_ID_LENGTH = 8
_CONNECT_TIMEOUT_S = 15.0
_TEXTS = ("id", "uuid", "name", "project", "provider", "mac", "created_at", "user", "seeded")


class Record:
    """One machine, for as long as it exists.

    ``box`` holds label, arch, volatile and, by artifact kind, the digests its files were made
    from. ``ssh_port`` is the host port of its latest start, 0 before the first. ``ssh`` holds what
    ``vx ssh`` needs of the settings, as they were at the latest up. ``started_with`` tells the
    settings of its latest start from others: their digests by key. ``kernel`` is what its own
    disk boots, empty while that is not looked at: release, cmdline, and the digests of kernel and
    initrd. ``seeded`` is the instance that cloud-init was done with, "" before.
    """

    __slots__ = (
        "box", "created_at", "id", "kernel", "mac", "name", "project", "provider", "seeded", "ssh",
        "ssh_port", "started_with", "user", "uuid",
    )  # fmt: skip

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - the field's name in the file
        uuid: str,
        name: str,
        project: str,
        provider: str,
        mac: str,
        created_at: str,
        user: str,
        box: dict[str, Any],
        ssh: dict[str, Any] | None = None,
        ssh_port: int = 0,
        started_with: dict[str, str] | None = None,
        kernel: dict[str, str] | None = None,
        seeded: str = "",
    ) -> None:
        self.id = id
        self.uuid = uuid
        self.name = name
        self.project = project
        self.provider = provider
        self.mac = mac
        self.created_at = created_at
        self.user = user
        self.box = box
        self.ssh = ssh or {}
        self.ssh_port = ssh_port
        self.started_with = started_with or {}
        self.kernel = kernel or {}
        self.seeded = seeded

    @property
    def box_label(self) -> str:
        return str(self.box.get("label", "?"))

    @property
    def volatile(self) -> bool:
        """Whether everything in the guest is gone after a halt."""
        return bool(self.box.get("volatile"))

    @property
    def artifact_digests(self) -> dict[str, str]:
        """Artifact kind → ``sha256:…``."""
        found = self.box.get("artifacts")
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}

    @property
    def forward_agent(self) -> bool:
        return self.ssh.get("forward_agent") is True

    @property
    def connect_timeout_s(self) -> float:
        found = self.ssh.get("connect_timeout_s")
        return float(found) if isinstance(found, int | float) else _CONNECT_TIMEOUT_S

    @property
    def own_key(self) -> str:
        """Path of the user's private key that opens the guest; "": the machine's own does."""
        found = self.ssh.get("key")
        return found if isinstance(found, str) else ""

    @property
    def host_alias(self) -> str:
        """The name its host key is pinned under, whatever port it is reached by."""
        return f"vx-{self.id}"

    def to_json(self) -> bytes:
        fields = {"schema": SCHEMA, **{name: getattr(self, name) for name in self.__slots__}}
        return (json.dumps(fields, indent=2, sort_keys=True) + "\n").encode()


def is_id(text: str) -> bool:
    return len(text) == _ID_LENGTH and _ID_DIGITS.issuperset(text)


def read(path: Path) -> Record | None:
    """The record in ``path``; None when there is none. Raises MachineError when it is damaged."""
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise MachineError(
            f"cannot read {path}: {error.strerror}",
            hint="Check who owns it: machines belong to the user who ran `vx up`.",
        ) from error
    try:
        fields = json.loads(raw)
        if fields.pop("schema") != SCHEMA:
            raise MachineError(
                f"{path} was written by a newer vx", hint="Update vx, or remove that folder."
            )
        record = Record(**fields)
        if not all(isinstance(getattr(record, name), str) for name in _TEXTS):
            raise TypeError
        tables = (record.box, record.ssh, record.started_with, record.kernel)
        if not all(isinstance(table, dict) for table in tables):
            raise TypeError
        if not isinstance(record.ssh_port, int):
            raise TypeError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MachineError(
            f"{path} is damaged", hint=f"Remove {path.parent} and run `vx up` to make it anew."
        ) from error
    return record
