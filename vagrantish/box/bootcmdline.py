"""The kernel command line of a boot entry, made fit for booting without its boot loader."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vagrantish.box.bootplaces import vda_name

if TYPE_CHECKING:
    from vagrantish.box.bootplaces import Place

_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_DROPPED = ("BOOT_IMAGE=", "initrd=", "$")  # these speak to and of the boot loader
# Without an initrd the kernel looks for no labels: it knows devices and partition ids.
_BY_KERNEL = ("PARTUUID=", "/dev/vda")


def make(options: str | None, root: Place, *, has_initrd: bool) -> str:
    """``options`` are the entry's; None when no entry says any."""
    words = [
        word
        for word in _WORD.findall(options or "")
        if word.isprintable() and not word.startswith(_DROPPED)
    ]
    roots = [at for at, word in enumerate(words) if word.startswith("root=")]
    if roots:
        words[roots[-1]] = f"root={_root(words[roots[-1]][5:], root, has_initrd=has_initrd)}"
    else:
        words.insert(0, f"root={_best(root, has_initrd=has_initrd)}")
    if options is None:
        words.append("ro")
    if root.subvolume and not any(
        word.startswith("rootflags=") and "subvol" in word for word in words
    ):
        words.append(f"rootflags=subvol={root.subvolume}")
    return " ".join(words)


def merged(from_disk: str, own: str) -> str:
    """The disk's own words, then ``own`` ones: those with a new value replace the disk's.

    ``console=`` may stand there several times, and the last one is the one that counts.
    """
    words = own.split()
    replaced = {word.partition("=")[0] for word in words if "=" in word} - {"console"}
    if {"ro", "rw"} & set(words):
        replaced |= {"ro", "rw"}
    kept = [
        word
        for word in _WORD.findall(from_disk)
        if word.partition("=")[0] not in replaced and word not in words
    ]
    return " ".join([*kept, *words])


def _root(said: str, root: Place, *, has_initrd: bool) -> str:
    """What the entry says where that works, under the names of a virtio disk."""
    if device := vda_name(said):
        return device
    if has_initrd or said.startswith(_BY_KERNEL):
        return said
    return _best(root, has_initrd=False)


def _best(root: Place, *, has_initrd: bool) -> str:
    uuid = root.volume.system.uuid if root.volume else ""
    if has_initrd and uuid:
        return f"UUID={uuid}"
    return f"PARTUUID={root.partuuid}" if root.partuuid else root.device
