"""What a boot loader may boot, and the entries of the Boot Loader Specification.

Format: the Boot Loader Specification of uapi-group.org, with the variables grub's blscfg adds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT_MAX = 1 << 20  # bytes of any configuration file of a boot loader
ENTRIES_MAX = 1000  # of one boot loader
_ENVIRONMENT_HEAD = b"# GRUB Environment Block\n"
_ENVIRONMENT_BYTES = 1024
_RELEASE_MAX = 255  # characters, as a file's name has
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_KERNEL_NAME = re.compile(r"(?:vmlinu[xz]|kernel|linux|bzImage|Image)-(.+)")
_RESCUE = re.compile(r"rescue|recovery|kdump|fallback|memtest", re.IGNORECASE)
_RUNS = re.compile(r"[0-9]+|[a-zA-Z]+|~")

VersionKey = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, kw_only=True)
class BootEntry:
    """One line of a boot menu. Paths are as written there."""

    name: str  # what a boot loader's default may call it: a file's name, an id, a label
    linux: str
    initrds: tuple[str, ...] = ()
    options: str = ""
    title: str = ""
    version: str = ""
    place: tuple[int, ...] = ()  # in the menu and its submenus, counted from 0
    path: tuple[frozenset[str], ...] = ()  # what each of the menus around it, and it, is called

    @property
    def is_rescue(self) -> bool:
        """For emergencies, tests or crash dumps: not what a machine boots of itself."""
        texts = (self.name, self.title, self.linux, *self.initrds)
        return any(is_rescue(text) for text in texts)


def is_rescue(text: str) -> bool:
    """Whether a file's name or a title means a system for emergencies, tests or crash dumps."""
    return bool(_RESCUE.search(text))


def parse_entry(text: str, name: str, variables: Mapping[str, str]) -> BootEntry | None:
    """The entry in the file ``name``.conf; None when it boots no kernel of its own.

    Variables that are not known, as grub's ``$tuned_params`` mostly, are left out.
    """
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, *value = line.split(None, 1)[:2] or [""]
        if key and not key.startswith("#"):
            found.setdefault(key.lower(), []).append("".join(value).strip())
    linux = expand(" ".join(found.get("linux", ())[:1]), variables)
    if not linux:
        return None
    version = "".join(found.get("version", ())[:1]) or release_of(linux)
    return BootEntry(
        name=name,
        title="".join(found.get("title", ())[:1]),
        version=version,
        linux=linux,
        initrds=tuple(expand(" ".join(found.get("initrd", ())), variables).split()),
        options=expand(" ".join(found.get("options", ())), variables),
    )


def parse_environment(data: bytes) -> dict[str, str]:
    """The variables of a grubenv; none when it is not one."""
    if not data.startswith(_ENVIRONMENT_HEAD):
        return {}
    variables: dict[str, str] = {}
    text = data[:_ENVIRONMENT_BYTES].decode("utf-8", "replace").replace("\\\n", "")
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            variables[name] = re.sub(r"\\(.)", r"\1", value)
    return variables


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``$name`` and ``${name}`` replaced, once; blanks between words become single."""
    filled = _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], ""), text)
    return " ".join(filled.split())


def release_of(kernel: str) -> str:
    """``/boot/vmlinuz-6.1.0-9-amd64`` → ``6.1.0-9-amd64``; "" when its name has no version."""
    match = _KERNEL_NAME.fullmatch(kernel.rpartition("/")[2])
    return match[1] if match else ""


def version_key(release: str) -> VersionKey:
    """Sorts kernels by age: 6.1.0-56 after 6.1.0-9, and 6.2 after 6.2-rc1."""
    key: list[tuple[int, int, str]] = []
    for run in _RUNS.findall(release[:_RELEASE_MAX]):
        if run.isdigit():
            key.append((2, int(run), ""))
        elif run in ("rc", "~"):
            key.append((-1, 0, run))
        else:
            key.append((1, 0, run))
    return (*key, (0, 0, ""))
