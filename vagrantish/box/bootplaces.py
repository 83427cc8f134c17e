"""The partitions of a disk, and which of them are the root and /boot of a Linux."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vagrantish.formats import probe
from vagrantish.formats.device import ImageError, Window
from vagrantish.formats.partitions import ESP, XBOOTLDR, Partition, partitions
from vagrantish.formats.volume import NodeKind, Volume
from vagrantish.units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vagrantish.formats.device import Device
    from vagrantish.formats.volume import FileSystem, Node

_PLACES_MAX = 128
_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_SUBVOLUMES = ("root", "@", "@rootfs")  # Fedora, Arch and openSUSE, Debian
_ROOT_TYPES = {
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "x86_64",
    "b921b045-1df0-41c3-af44-4c6f280d3fae": "aarch64",
}
_ROOT_LABELS = ("cloudimg-rootfs", "root", "rootfs")
KERNEL_FILE = re.compile(r"(vmlinu[xz]|bzImage|Image|kernel)(-.*|)")
_TAGS = ("LABEL", "UUID", "PARTLABEL", "PARTUUID")
_BY = re.compile(r"/dev/disk/by-(label|uuid|partlabel|partuuid)/(.+)")
# The first disk under any driver's name: what the image calls sda is vda here.
_FIRST_DISK = re.compile(
    r"/dev/(?:(?:s|h|v|xv)da([0-9]{0,3})|(?:nvme0n1|mmcblk0)(?:p([0-9]{1,3}))?)"
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A partition, or a whole disk without any, and the file system in it."""

    volume: Volume | None
    what: str  # for people: "an LVM volume"
    partition: Partition | None = None
    subvolume: str = ""  # the folder of the file system that stands for /

    @property
    def device(self) -> str:
        """What it is called when the disk is the first of a guest."""
        return f"/dev/vda{self.partition.number if self.partition else ''}"

    @property
    def partuuid(self) -> str:
        return self.partition.uuid if self.partition else ""

    @property
    def type(self) -> str:
        return self.partition.type if self.partition else ""


@dataclass(frozen=True, kw_only=True)
class BootPlace:
    place: Place
    volume: Volume
    base: str  # the folder that is /boot: "" at the top of the volume, or "/boot"


def places(device: Device) -> tuple[Place, ...]:
    """Raises ImageError where there is neither a partition nor a file system."""
    found: tuple[Partition, ...] = ()
    problem: ImageError | None = None
    try:
        found = partitions(device)
    except ImageError as error:
        problem = error
    if not found or problem:
        whole = _opened(device, None)
        if whole.volume is None:
            raise problem or ImageError(f"it has no partitions; it is {whole.what}")
        return (whole,)
    return tuple(
        _opened(Window(device, part.start, part.size), part) for part in found[:_PLACES_MAX]
    )


def _opened(device: Device, partition: Partition | None) -> Place:
    try:
        volume = probe.open_volume(device)
        what = volume.system.kind if volume else probe.describe(device)
    except ImageError as error:
        volume, what = None, f"damaged ({error})"
    return Place(volume=volume, what=what, partition=partition)


def find_root(found: Sequence[Place], hint: str) -> Place:
    """The one that holds the system. Raises ImageError, which then lists what there is.

    ``hint`` is as after ``root=``: ``LABEL=…``, ``UUID=…``, ``/dev/vda1``; "" leaves it open.
    """
    rooted = [_rooted(place) for place in found]
    if hint:
        chosen = [place for place in rooted if matches(place, hint) and place.volume]
        if not chosen:
            raise ImageError(f"none of its file systems is {hint}; {_listing(found)}")
        return chosen[0]
    ranked = sorted(rooted, key=_rank, reverse=True)
    if not ranked or not any(_rank(ranked[0])):
        raise ImageError(f"it has no partition with a Linux root; {_listing(found)}")
    return ranked[0]


def _rank(place: Place) -> tuple[bool, bool, bool]:
    if place.volume is None:
        return (False, False, False)
    labelled = place.volume.system.label in _ROOT_LABELS
    return (_has_os(place.volume), place.type in _ROOT_TYPES, labelled)


def _has_os(volume: Volume) -> bool:
    return any(_is_file(volume, path) for path in _OS_RELEASE)


def _rooted(place: Place) -> Place:
    """Of btrfs, where / is mostly a subvolume, that subvolume."""
    volume = place.volume
    if volume is None or volume.system.kind != "btrfs" or _has_os(volume):
        return place
    for name in _SUBVOLUMES:
        inside = subvolume(place, name)
        if inside and inside.volume and _has_os(inside.volume):
            return inside
    return place


def subvolume(place: Place, path: str) -> Place | None:
    """The place as it is mounted with ``subvol=path``; None when there is none."""
    assert place.volume is not None
    node = place.volume.find(path)
    if node is None or node.kind is not NodeKind.FOLDER:
        return None
    return replace(
        place, volume=Volume(_Inside(place.volume.system, node)), subvolume=path.strip("/")
    )


def find_boot(root: Place, found: Sequence[Place]) -> BootPlace:
    """Where the kernels are: what the root's fstab says, else where they look to be."""
    assert root.volume is not None
    mounted = _mounted_boot(root, found)
    if mounted and mounted.volume:
        return BootPlace(place=mounted, volume=mounted.volume, base="")
    inside = BootPlace(place=root, volume=root.volume, base="/boot")
    if _has_kernel(root.volume.names("/boot")):
        return inside
    others = [place for place in found if place.partition != root.partition and place.volume]
    looks: tuple[Callable[[Place], bool], ...] = (
        lambda place: place.type == XBOOTLDR,
        lambda place: _has_kernel(_names(place, "/")),
        lambda place: bool(_names(place, "/loader/entries")),
        lambda place: bool({"grub2", "grub"}.intersection(_names(place, "/"))),
    )
    for look in looks:
        for place in others:
            if place.volume and look(place):
                return BootPlace(place=place, volume=place.volume, base="")
    return inside


def efi_folders(found: Iterable[Place]) -> Iterator[tuple[Volume, str]]:
    """Where grub keeps its files on a machine that starts by EFI: /EFI/fedora and the like."""
    for place in found:
        if place.volume and (place.type in (ESP, "0xef") or place.volume.system.kind == "vfat"):
            for name in _names(place, "/EFI"):
                yield place.volume, f"/EFI/{name}"


def _has_kernel(names: Iterable[str]) -> bool:
    return any(KERNEL_FILE.fullmatch(name) for name in names)


def matches(place: Place, spec: str) -> bool:
    """Whether ``LABEL=…``, ``UUID=…``, ``/dev/vda1`` or the like mean this one."""
    spec = spec.strip().replace('"', "")
    if by := _BY.fullmatch(spec):
        spec = f"{by[1].upper()}={by[2]}"
    tag, equals, value = spec.partition("=")
    if equals and tag in _TAGS:
        system = place.volume.system if place.volume else None
        its = {
            "LABEL": system.label if system else "",
            "UUID": system.uuid if system else "",
            "PARTUUID": place.partuuid,
            "PARTLABEL": place.partition.name if place.partition else "",
        }[tag]
        exact = tag.endswith("LABEL")
        return bool(its) and (its == value if exact else its.lower() == value.lower())
    device = vda_name(spec)
    return device is not None and device == place.device


def vda_name(device: str) -> str | None:
    """``/dev/sda1`` → ``/dev/vda1``; None when it is not on a first disk."""
    match = _FIRST_DISK.fullmatch(device)
    return f"/dev/vda{match[1] or match[2] or ''}" if match else None


def architecture(root: Place) -> str:
    """From the type of its partition, else from the loader of its programs; "" if neither says."""
    if root.type in _ROOT_TYPES:
        return _ROOT_TYPES[root.type]
    assert root.volume is not None
    loaders = (
        ("/lib64/ld-linux-x86-64.so.2", "x86_64"),
        ("/lib/ld-musl-x86_64.so.1", "x86_64"),
        ("/lib/ld-linux-aarch64.so.1", "aarch64"),
        ("/lib/ld-musl-aarch64.so.1", "aarch64"),
    )
    return next((arch for path, arch in loaders if _is_file(root.volume, path)), "")


def _mounted_boot(root: Place, found: Sequence[Place]) -> Place | None:
    assert root.volume is not None
    if not _is_file(root.volume, "/etc/fstab"):
        return None
    for line in root.volume.read("/etc/fstab").decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) < 3 or words[0].startswith("#") or words[1].rstrip("/") != "/boot":
            continue
        place = next((place for place in found if matches(place, words[0])), None)
        options = words[3].split(",") if len(words) > 3 else []
        inner = next((o.partition("=")[2] for o in options if o.startswith("subvol=")), "")
        if place and place.volume and inner and place.volume.system.kind == "btrfs":
            return subvolume(place, inner) or place
        return place
    return None


def _listing(found: Sequence[Place]) -> str:
    """``its partitions are: 1 vfat 100MiB, 2 an LVM volume 9GiB``."""
    texts = [
        f"{place.partition.number} {_told(place)} {format_size(place.partition.size)}"
        for place in found
        if place.partition
    ]
    if not texts:
        return f"it holds one file system: {_told(found[0])}" if found else "it holds nothing"
    return f"its partitions are: {', '.join(texts)}"


def _told(place: Place) -> str:
    """What it is, and what kept a look for the system in it from finding anything."""
    try:
        if place.volume:
            place.volume.names("/etc")
            for path in _OS_RELEASE:
                place.volume.is_file(path)
    except ImageError as error:
        return f"{place.what}, damaged ({error})"
    return place.what


def _names(place: Place, folder: str) -> tuple[str, ...]:
    """Damage counts as absence: other places may be whole."""
    try:
        return place.volume.names(folder) if place.volume else ()
    except ImageError:
        return ()


def _is_file(volume: Volume, path: str) -> bool:
    """Damage counts as absence, as in ``_names``."""
    try:
        return volume.is_file(path)
    except ImageError:
        return False


class _Inside:
    """A folder of a file system as one of its own."""

    def __init__(self, system: FileSystem, top: Node) -> None:
        self.kind = system.kind
        self.label = system.label
        self.uuid = system.uuid
        self.warnings = system.warnings
        self.child = system.child
        self.children = system.children
        self.target = system.target
        self.chunks = system.chunks
        self._top = top

    def root(self) -> Node:
        return self._top
