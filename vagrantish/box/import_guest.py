"""What a disk image says of the system in it: its name, its user, whether cloud-init runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.box.fields import USER
from vagrantish.formats.device import ImageError
from vagrantish.formats.volume import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.formats.volume import Volume

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_CLOUD_CFG = "/etc/cloud/cloud.cfg"
_CLOUD_CFG_D = "/etc/cloud/cloud.cfg.d"
_CLOUD_OFF = "/etc/cloud/cloud-init.disabled"
# A cloud.cfg alone may be what a package left behind when it was removed.
_CLOUD_PROGRAMS = (
    "/usr/bin/cloud-init", "/usr/local/bin/cloud-init", "/usr/lib/cloud-init",
    "/usr/libexec/cloud-init",
)  # fmt: skip
_CFG_FILES_MAX = 64
_USERS = {
    "ubuntu": "ubuntu", "debian": "debian", "rocky": "rocky", "almalinux": "almalinux",
    "fedora": "fedora", "centos": "cloud-user", "rhel": "cloud-user", "alpine": "alpine",
    "arch": "arch", "amzn": "ec2-user", "ol": "cloud-user",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Guest:
    os_id: str  # "ubuntu"; "" when it does not say
    os_version: str  # "24.04"
    cloud_init: bool  # there, and not switched off
    cloud_init_off: bool  # there, and switched off
    user: str
    user_known: bool  # False: nothing tells, and it is root


def guest_of(root: Volume) -> Guest:
    """``root`` is what is mounted at /. Raises ImageError, OSError."""
    release = _os_release(root)
    there = any(root.find(path) is not None for path in _CLOUD_PROGRAMS)
    off = there and root.find(_CLOUD_OFF) is not None
    os_id = release.get("ID", "").lower()
    user = (_default_user(root) if there else "") or _USERS.get(os_id, "")
    return Guest(
        os_id=os_id,
        os_version=release.get("VERSION_ID", ""),
        cloud_init=there and not off,
        cloud_init_off=off,
        user=user or "root",
        user_known=bool(user),
    )


def _os_release(root: Volume) -> dict[str, str]:
    for path in _OS_RELEASE:
        if text := _text(root, path):
            pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
            return {key.strip(): value.strip().strip("\"'")[:64] for key, _, value in pairs}
    return {}


def _default_user(root: Volume) -> str:
    """As cloud-init reads it: what a later file says replaces what an earlier one does."""
    files = [name for name in root.names(_CLOUD_CFG_D) if name.endswith(".cfg")]
    paths = [_CLOUD_CFG, *(f"{_CLOUD_CFG_D}/{name}" for name in files[:_CFG_FILES_MAX])]
    found = [name for path in paths for name in default_users(_text(root, path))]
    return found[-1] if found else ""


def default_users(text: str) -> Iterator[str]:
    """The ``name`` of each ``default_user`` in a cloud.cfg, read by its indentation."""
    inside = -1  # how far the default_user that we are in is indented
    level = -1  # and its keys
    for line in text.splitlines():
        words = line.split("#", 1)[0].rstrip()
        if not words:
            continue
        indent = len(words) - len(words.lstrip())
        if indent <= inside:
            inside = level = -1
        key, colon, value = words.strip().partition(":")
        if inside < 0:
            if key == "default_user" and colon and not value.strip():
                inside = indent
            continue
        level = indent if level < 0 else level
        name = value.strip().strip("\"'")
        if indent == level and key == "name" and USER.fullmatch(name):
            yield name


def _text(root: Volume, path: str) -> str:
    """ "" where there is no such file, or none that can be read."""
    node = root.find(path)
    if node is None or node.kind is not NodeKind.FILE:
        return ""
    try:
        return root.read(path).decode("utf-8", "replace")
    except ImageError:
        return ""
