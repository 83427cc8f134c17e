"""The kernels in /boot, in the order a boot loader would take them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from vagrantish.box.bootplaces import KERNEL_FILE
from vagrantish.formats import bls, bls_grub, bls_syslinux
from vagrantish.formats.volume import NodeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from vagrantish.box.bootplaces import BootPlace
    from vagrantish.formats.bls import BootEntry
    from vagrantish.formats.bls_grub import GrubMenu
    from vagrantish.formats.volume import Volume

_GRUB_FOLDERS = ("/grub2", "/grub")
_SYSLINUX = (
    "/extlinux.conf",
    "/extlinux/extlinux.conf",
    "/syslinux/syslinux.cfg",
    "/isolinux/isolinux.cfg",
)
_INITRDS = ("initrd.img-{0}", "initramfs-{0}.img", "initramfs-{0}", "initrd-{0}", "initrd-{0}.img")
_PLAIN_INITRDS = ("initrd.img", "initrd", "initramfs.img", "initramfs")
_EARLY = ("ucode", "microcode")  # initrds that only patch the processor
_SAVED = ("${saved_entry}",)
Folder = tuple["Volume", str]  # and its path


@dataclass(frozen=True, kw_only=True)
class Bootable:
    """A kernel that is there. Paths are in the volume that holds /boot."""

    kernel: str
    initrd: str | None
    options: str | None  # None: no boot loader says any
    version: str
    why: str


def bootables(boot: BootPlace, root: Volume, efi: Iterable[Folder]) -> tuple[Bootable, ...]:
    """The default first, rescue systems left out. Raises ImageError, OSError."""
    menu, environment = _grub(boot, efi)
    found: tuple[Bootable, ...] = ()
    if menu.reads_entries or not menu.entries:
        found = _from_entries(boot, menu, environment)
    return found or _from_menu(boot, menu, environment) or _from_syslinux(boot) or _bare(boot, root)


def _grub(boot: BootPlace, efi: Iterable[Folder]) -> tuple[GrubMenu, dict[str, str]]:
    """The menu and the variables of /boot; what is not there, of the EFI partition."""
    menu = bls_grub.parse("")
    environment: dict[str, str] = {}
    for volume, folder in (*((boot.volume, boot.base + name) for name in _GRUB_FOLDERS), *efi):
        if not environment:
            environment = bls.parse_environment(_read(volume, f"{folder}/grubenv"))
        if not (menu.entries or menu.reads_entries):
            text = _read(volume, f"{folder}/grub.cfg").decode("utf-8", "replace")
            menu = bls_grub.parse(text) if text else menu
    return menu, environment


def _from_entries(
    boot: BootPlace, menu: GrubMenu, environment: Mapping[str, str]
) -> tuple[Bootable, ...]:
    """Files of the Boot Loader Specification, the newest first as grub shows them."""
    folder = f"{boot.base}/loader/entries"
    variables = {**menu.variables, **environment}
    entries: list[BootEntry] = []
    for file in boot.volume.names(folder)[: bls.ENTRIES_MAX]:
        if file.endswith(".conf"):
            text = _read(boot.volume, f"{folder}/{file}").decode("utf-8", "replace")
            entry = bls.parse_entry(text, file.removesuffix(".conf"), variables)
            entries.extend([entry] if entry else [])
    entries.sort(key=lambda entry: (bls.version_key(entry.version), entry.name), reverse=True)
    placed = [
        replace(entry, place=(at,), path=(frozenset({entry.name, entry.title}),))
        for at, entry in enumerate(entries)
    ]
    default = bls_grub.default_of(placed, menu.defaults or _SAVED, environment)
    return _present(
        boot, placed, default, lambda entry: f"BLS entry {entry.name}.conf", "the highest version"
    )


def _from_menu(
    boot: BootPlace, menu: GrubMenu, environment: Mapping[str, str]
) -> tuple[Bootable, ...]:
    default = bls_grub.default_of(menu.entries, menu.defaults, environment)
    return _present(
        boot,
        menu.entries,
        default,
        lambda entry: f'"{entry.title}" of grub.cfg',
        "the first that has a kernel",
    )


def _from_syslinux(boot: BootPlace) -> tuple[Bootable, ...]:
    for path in _SYSLINUX:
        file = boot.base + path
        menu = bls_syslinux.parse(_read(boot.volume, file).decode("utf-8", "replace"))
        default = next((entry for entry in menu.entries if entry.name == menu.default), None)
        found = _present(
            boot,
            menu.entries,
            (default, "its default") if default else None,
            partial(_label_of, file),
            "the first that has a kernel",
            folder=file.rpartition("/")[0],
        )
        if found:
            return found
    return ()


def _label_of(file: str, entry: BootEntry) -> str:
    return f'"{entry.name}" of {file}'


def _bare(boot: BootPlace, root: Volume) -> tuple[Bootable, ...]:
    """Without any boot loader: the kernel the link vmlinuz means, then by version."""
    folder = boot.base or "/"
    names = boot.volume.names(folder)
    kernels = [name for name in names if KERNEL_FILE.fullmatch(name) and not bls.is_rescue(name)]
    kernels.sort(key=lambda name: bls.version_key(bls.release_of(name)), reverse=True)
    linked = _linked(root, "/vmlinuz") or _linked(boot.volume, f"{boot.base}/vmlinuz")
    files = [name for name in kernels if not _linked(boot.volume, f"{boot.base}/{name}")]
    found = []
    for name in sorted(files, key=lambda name: name != linked):
        version = bls.release_of(name)
        patterns = _INITRDS if version else _PLAIN_INITRDS
        initrds = [pattern.format(version) for pattern in patterns]
        initrd = next((f"{boot.base}/{each}" for each in initrds if each in names), None)
        why = "the link vmlinuz leads to it" if name == linked else "found in /boot"
        found.append(
            Bootable(
                kernel=f"{boot.base}/{name}",
                initrd=initrd,
                options=None,
                version=version,
                why=f"{name}, as no boot loader is set up there: {why}",
            )
        )
    return tuple(found)


def _present(
    boot: BootPlace,
    entries: Sequence[BootEntry],
    default: tuple[BootEntry, str] | None,
    name: Callable[[BootEntry], str],
    otherwise: str,
    *,
    folder: str = "",
) -> tuple[Bootable, ...]:
    """Those whose files are there, once each; ``otherwise`` says why the first is the default."""
    ordinary = [entry for entry in entries if not entry.is_rescue]
    if default:
        ordinary.sort(key=lambda entry: bls.version_key(entry.version), reverse=True)
        ordinary.insert(0, default[0])
    found: dict[tuple[str, str | None], Bootable] = {}
    for entry in ordinary:
        kernel = _file(boot, entry.linux, folder)
        late = [path for path in entry.initrds if not any(part in path for part in _EARLY)]
        initrd = _file(boot, late[0], folder) if late else None
        if kernel is None or (late and initrd is None):
            continue
        chosen = f"chosen by {default[1]}" if default and entry is default[0] else otherwise
        why = name(entry) + ("" if found else f", {chosen}")
        found.setdefault(
            (kernel, initrd),
            Bootable(
                kernel=kernel,
                initrd=initrd,
                options=entry.options,
                version=entry.version,
                why=why,
            ),
        )
    return tuple(found.values())


def _file(boot: BootPlace, written: str, folder: str) -> str | None:
    """Where in the volume of /boot a path of a boot loader leads; None when nothing is there.

    Loaders count from the top of the file system, and differ on what that is for btrfs.
    """
    path = re.sub(r"^\([^)]*\)", "", written)
    if not path.startswith("/"):
        path = f"{folder or boot.base}/{path}"
    tried = [path, boot.base + path, path.removeprefix("/boot")]
    if boot.place.subvolume:
        tried.append(path.removeprefix(f"/{boot.place.subvolume}"))
    return next((each for each in tried if boot.volume.is_file(each)), None)


def _linked(volume: Volume, path: str) -> str:
    """The name of the file a link leads to at once; "" when it is none."""
    folder, _, name = path.rpartition("/")
    here = volume.find(folder or "/")
    if here is None or here.kind is not NodeKind.FOLDER:
        return ""
    node = volume.system.child(here, name)
    if node is None or node.kind is not NodeKind.LINK:
        return ""
    return volume.link_target(node).rpartition("/")[2]


def _read(volume: Volume, path: str) -> bytes:
    """Empty when there is no such file. Raises ImageError when it is too large."""
    return volume.read(path, most=bls.TEXT_MAX) if volume.is_file(path) else b""
