"""What a Vagrant .box says of itself, and which of its files are what. Pure.

Shapes: lib/vagrant/box.rb of Vagrant; vagrant-libvirt's docs on boxes; vagrant-xhyve's example_box.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from vagrantish.box.fields import USER, shown
from vagrantish.errors import BoxError
from vagrantish.model import ArtifactKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

METADATA = "metadata.json"
VAGRANTFILE = "Vagrantfile"
METADATA_MAX = 1 << 20
VAGRANTFILE_MAX = 256 << 10
USER_DEFAULT = "vagrant"
PROVIDERS = ("libvirt", "qemu", "xhyve")  # whose boxes are taken, the best first
XHYVE_CMDLINE = "earlyprintk=serial console=ttyS0 root=/dev/vda1 ro"  # vagrant-xhyve's own
_DISKS_MAX = 64
_SSH_USER = re.compile(r"""^\s*\w+\.ssh\.username\s*=\s*(["'])([^"'#{}\\]+)\1""", re.MULTILINE)
_XHYVE_DISK = re.compile(r"block([0-9]{1,2})\.(img|raw|qcow2?)")
_ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}
_FAMILIES = {"vmware": "VMware", "virtualbox": "VirtualBox", "parallels": "Parallels",
             "hyperv": "Hyper-V"}  # fmt: skip


class VagrantError(ValueError):
    """A box or catalog of Vagrant's that cannot be taken; the text goes on from its name."""


def refused(label: str, error: VagrantError) -> BoxError:
    return BoxError(
        f"the Vagrant box {label} cannot be taken: {error}",
        hint="Of Vagrant's boxes vx takes those for libvirt, qemu and xhyve with one disk.",
    )


@dataclass(frozen=True, kw_only=True)
class Metadata:
    provider: str
    disks: tuple[str, ...]  # as version 2 of libvirt's names them
    arch: str  # "x86_64"; "" when it does not say


def parse_metadata(data: bytes) -> Metadata:
    """Raises VagrantError: no JSON, or of a provider whose boxes are not taken."""
    table = parse_json(data, METADATA)
    provider = table.get("provider")
    # Vagrant takes a box that names none for one of VirtualBox.
    provider = provider.lower() if isinstance(provider, str) and provider else "virtualbox"
    check_provider(provider)
    disks = table.get("disks")
    entries = disks if isinstance(disks, list) else []
    paths = [entry.get("path") for entry in entries[:_DISKS_MAX] if isinstance(entry, dict)]
    named = tuple(path.removeprefix("./") for path in paths if isinstance(path, str) and path)
    return Metadata(provider=provider, disks=named, arch=arch_of(table.get("architecture")))


def parse_json(data: bytes, name: str) -> dict[str, Any]:
    """Raises VagrantError unless it is one JSON object."""
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise VagrantError(f"{name} is no JSON ({shown(reason)})") from error
    if not isinstance(table, dict):
        raise VagrantError(f"{name} is no JSON object")
    return table


def check_provider(provider: str) -> None:
    """Raises VagrantError for one whose boxes are not taken."""
    if provider in PROVIDERS:
        return
    family = next((f for key, f in _FAMILIES.items() if provider.startswith(key)), "")
    whose = f"for {family}" if family else f'for the provider "{shown(provider)}"'
    raise VagrantError(f"it is {whose}, and boxes for {', '.join(PROVIDERS)} are taken")


def arch_of(said: object) -> str:
    """As vx names it; "" for none, and for Vagrant's own "unknown"."""
    if not isinstance(said, str) or said.lower() in ("", "unknown"):
        return ""
    return _ARCHES.get(said.lower(), said.lower())


def ssh_user(vagrantfile: bytes) -> str:
    """The user a box's Vagrantfile sets in plain words, else ``vagrant``. It is never run."""
    found = _SSH_USER.findall(vagrantfile[:VAGRANTFILE_MAX].decode("utf-8", "replace"))
    user = found[-1][1] if found else USER_DEFAULT
    return user if USER.fullmatch(user) else USER_DEFAULT


def is_disk(name: str) -> bool:
    """Whether a file of that name in an archive looks like a disk image."""
    return "/" not in name and name.lower().endswith((".img", ".raw", ".qcow2", ".qcow", ".dd"))


def parts(metadata: Metadata, names: Iterable[str]) -> Mapping[ArtifactKind, str]:
    """The files of the box that are used. Raises VagrantError."""
    names = sorted(names)
    if metadata.provider == "xhyve":
        return _xhyve_parts(names)
    disks = metadata.disks or (
        ("box.img",) if "box.img" in names else tuple(name for name in names if is_disk(name))
    )
    if len(disks) > 1:
        raise VagrantError(
            f"it has {len(disks)} disks ({', '.join(shown(disk) for disk in disks[:8])}), and a box "
            "of vx has one"
        )
    if not disks:
        raise VagrantError(f"it has no disk: {listing(names)}")
    (disk,) = disks
    if disk not in names or PurePosixPath(disk).name != disk:
        raise VagrantError(f"{METADATA} names the disk {shown(disk)}, which is not in it")
    return {ArtifactKind.DISK: disk}


def _xhyve_parts(names: Iterable[str]) -> Mapping[ArtifactKind, str]:
    names = tuple(names)
    disks = [name for name in names if _XHYVE_DISK.fullmatch(name)]
    if len(disks) != 1:
        many = f"it has {len(disks)} disks" if disks else "it has no disk like block0.img"
        raise VagrantError(f"{many}, and a box of vx has one: {listing(names)}")
    found = {ArtifactKind.DISK: disks[0]}
    if "vmlinuz" in names:
        found[ArtifactKind.KERNEL] = "vmlinuz"
        if "initrd.gz" in names:
            found[ArtifactKind.INITRD] = "initrd.gz"
    return found


def listing(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (
        f"it holds {', '.join(shown(name) for name in names[:8])}{more}" if names else "it is empty"
    )
