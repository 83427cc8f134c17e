from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vagrantish.box import bootcmdline, bootplaces
from vagrantish.box.bootplaces import Place
from vagrantish.formats.partitions import Partition
from vagrantish.formats.volume import Node, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator

UUID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
PARTUUID = "d1eeeeee-0000-4000-8000-000000000001"


class Labelled:
    """A file system of which only the names matter."""

    kind = "ext4"
    label = "cloudimg-rootfs"
    uuid = UUID
    warnings: tuple[str, ...] = ()

    def root(self) -> Node:
        raise NotImplementedError

    def child(self, folder: Node, name: str) -> Node | None:
        raise NotImplementedError

    def children(self, folder: Node) -> Iterator[tuple[str, Node]]:
        raise NotImplementedError

    def target(self, link: Node) -> str:
        raise NotImplementedError

    def chunks(self, file: Node) -> Iterator[bytes]:
        raise NotImplementedError


def place(*, partuuid: str = PARTUUID, subvolume: str = "") -> Place:
    partition = Partition(
        number=3, start=1 << 20, size=1 << 20, type="", name="system", uuid=partuuid
    )
    return Place(volume=Volume(Labelled()), what="ext4", partition=partition, subvolume=subvolume)


@pytest.mark.parametrize(
    ("options", "cmdline"),
    [
        ("root=LABEL=cloudimg-rootfs ro quiet", "root=LABEL=cloudimg-rootfs ro quiet"),
        ("BOOT_IMAGE=/vmlinuz root=UUID=x rw", "root=UUID=x rw"),
        ("root=/dev/sda3 ro", "root=/dev/vda3 ro"),
        ("root=/dev/xvda3 ro", "root=/dev/vda3 ro"),
        ("root=/dev/mapper/vg-root ro", "root=/dev/mapper/vg-root ro"),
        ("ro console=ttyS0 console=ttyS0", f"root=UUID={UUID} ro console=ttyS0 console=ttyS0"),
        ("root=a root=LABEL=b $tuned initrd=/x", "root=a root=LABEL=b"),
        ('root=UUID=x dyndbg="file a.c +p" quiet', 'root=UUID=x dyndbg="file a.c +p" quiet'),
        (None, f"root=UUID={UUID} ro"),
        ("", f"root=UUID={UUID}"),
    ],
)
def test_with_an_initrd_the_entry_is_followed(options: str | None, cmdline: str) -> None:
    assert bootcmdline.make(options, place(), has_initrd=True) == cmdline


@pytest.mark.parametrize(
    ("options", "cmdline"),
    [
        ("root=LABEL=cloudimg-rootfs ro", f"root=PARTUUID={PARTUUID} ro"),
        ("root=UUID=x", f"root=PARTUUID={PARTUUID}"),
        ("root=PARTUUID=abc ro", "root=PARTUUID=abc ro"),
        ("root=/dev/sda3", "root=/dev/vda3"),
        (None, f"root=PARTUUID={PARTUUID} ro"),
    ],
)
def test_without_an_initrd_root_is_what_the_kernel_finds_itself(
    options: str | None, cmdline: str
) -> None:
    assert bootcmdline.make(options, place(), has_initrd=False) == cmdline


def test_without_partition_ids_root_is_a_device() -> None:
    cmdline = bootcmdline.make("root=LABEL=x ro", place(partuuid=""), has_initrd=False)

    assert cmdline == "root=/dev/vda3 ro"


@pytest.mark.parametrize(
    ("options", "cmdline"),
    [
        ("root=UUID=x ro", "root=UUID=x ro rootflags=subvol=root"),
        ("root=UUID=x rootflags=subvol=root ro", "root=UUID=x rootflags=subvol=root ro"),
    ],
)
def test_a_subvolume_is_named_once(options: str, cmdline: str) -> None:
    assert bootcmdline.make(options, place(subvolume="root"), has_initrd=True) == cmdline


@pytest.mark.parametrize(
    "spec",
    [
        "LABEL=cloudimg-rootfs", 'LABEL="cloudimg-rootfs"', f"UUID={UUID.upper()}",
        f"PARTUUID={PARTUUID}", "PARTLABEL=system", "/dev/vda3", "/dev/sda3", "/dev/nvme0n1p3",
        f"/dev/disk/by-uuid/{UUID}",
    ],
)  # fmt: skip
def test_a_partition_is_known_by_each_of_its_names(spec: str) -> None:
    assert bootplaces.matches(place(), spec)


@pytest.mark.parametrize(
    "spec", ["LABEL=CLOUDIMG-ROOTFS", "UUID=", "/dev/vda", "/dev/vdb3", "tmpfs", "PARTUUID=x", ""]
)
def test_a_partition_is_not_known_by_other_names(spec: str) -> None:
    assert not bootplaces.matches(place(), spec)
