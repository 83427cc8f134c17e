"""Boxes from folders and archives, hostile ones too: all of it or nothing."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.fakes.recorder import quiet_op
from tests.fakes.tinybox import ARCH, box_folder, kernel
from vagrantish.box.store import BoxStore
from vagrantish.errors import BoxError
from vagrantish.formats import cpio
from vagrantish.model import ArtifactKind
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEFINITION = (
    f'name = "x"\nversion = "1"\narch = "{ARCH}"\nkernel = "vmlinuz"\ninitrd = "initrd"\n'
    'disk = "disk"\n'
)
INITRD = cpio.archive((cpio.file("init", b"#!/bin/sh\n", mode=0o755),))
FILES = {
    "box.toml": DEFINITION.encode(),
    "vmlinuz": kernel(),
    "initrd": INITRD,
    "disk": bytes(3 << 20) + b"\1" * 512,
}


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


def tar_of(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def good(prefix: str = "") -> list[tuple[tarfile.TarInfo, bytes]]:
    return [member(prefix + name, data) for name, data in FILES.items()]


def zip_of(*members: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, data in members:
            archive.writestr(info, data)
    return out.getvalue()


def zipped(name: str, data: bytes = b"", mode: int = 0) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info, data


def added(home: VxHome, tmp_path: Path, archive: bytes) -> dict[ArtifactKind, bytes]:
    path = tmp_path / "box.archive"
    path.write_bytes(archive)
    box = BoxStore(home).add(path, op=quiet_op())
    return {kind: artifact.path.read_bytes() for kind, artifact in box.artifacts.items()}


def refused(home: VxHome, tmp_path: Path, archive: bytes) -> str:
    """The message; nothing is left in the home nor beside the archive."""
    path = tmp_path / "box.archive"
    path.write_bytes(archive)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(BoxError) as caught:
        BoxStore(home).add(path, op=quiet_op())

    left = [path for path in home.root.rglob("*") if path.is_file()]
    assert left == []
    after = [path for path in tmp_path.rglob("*") if not path.is_relative_to(home.root)]
    assert sorted(after) == before
    return caught.value.message


PACKED: dict[str, Callable[[], bytes]] = {
    "tar": lambda: tar_of(*good()),
    "tar with ./": lambda: tar_of(member(".", type=tarfile.DIRTYPE), *good("./")),
    "tar in reverse": lambda: tar_of(*reversed(good())),
    "pax tar": lambda: tar_of(*good(), form=tarfile.PAX_FORMAT),
    "tar.gz": lambda: gzip.compress(tar_of(*good())),
    "tar.xz": lambda: lzma.compress(tar_of(*good())),
    "tar.bz2": lambda: bz2.compress(tar_of(*good())),
    "tar.gz with a readme": lambda: gzip.compress(tar_of(member("README", b"hi"), *good())),
    "zip": lambda: zip_of(*(zipped(name, data) for name, data in FILES.items())),
    "zip with a readme": lambda: zip_of(
        zipped("README", b"hi"), *(zipped(f"./{name}", data) for name, data in FILES.items())
    ),
}


@pytest.mark.parametrize("form", PACKED)
def test_every_form_of_archive_gives_the_same_box(home: VxHome, tmp_path: Path, form: str) -> None:
    assert added(home, tmp_path, PACKED[form]()) == {
        ArtifactKind.KERNEL: FILES["vmlinuz"],
        ArtifactKind.INITRD: FILES["initrd"],
        ArtifactKind.DISK: FILES["disk"],
    }


def test_runs_of_zeros_take_no_room(home: VxHome, tmp_path: Path) -> None:
    files = {**FILES, "disk": bytes(64 << 20)}
    archive = gzip.compress(tar_of(*(member(name, data) for name, data in files.items())))
    path = tmp_path / "box.tar.gz"
    path.write_bytes(archive)

    disk = BoxStore(home).add(path, op=quiet_op()).artifacts[ArtifactKind.DISK]

    assert disk.size_bytes == 64 << 20
    assert disk.path.stat().st_blocks * 512 < 1 << 20


HOSTILE_TARS: dict[str, tuple[Callable[[], list[tuple[tarfile.TarInfo, bytes]]], str]] = {
    "parent": (lambda: [*good(), member("../evil", b"x")], "'../evil'"),
    "hidden parent": (lambda: [*good(), member("a/../../evil", b"x")], "'a/../../evil'"),
    "absolute": (lambda: [*good(), member("/etc/evil", b"x")], "'/etc/evil'"),
    "nested": (lambda: good("mybox/"), "'mybox/box.toml'"),
    "folder": (lambda: [member("sub", type=tarfile.DIRTYPE), *good()], "'sub', which is a folder"),
    "symlink": (
        lambda: [*good(), member("l", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
        "'l', which is a link",
    ),
    "symlink as the kernel": (
        lambda: [
            member("vmlinuz", type=tarfile.SYMTYPE, linkname="/boot/vmlinuz"),
            *(m for m in good() if m[0].name != "vmlinuz"),
        ],
        "'vmlinuz', which is a link",
    ),
    "hard link": (
        lambda: [*good(), member("h", type=tarfile.LNKTYPE, linkname="vmlinuz")],
        "'h', which is a link",
    ),
    "device": (
        lambda: [*good(), member("sda", type=tarfile.BLKTYPE, devmajor=8)],
        "'sda', which is a device or pipe",
    ),
    "character device": (lambda: [*good(), member("mem", type=tarfile.CHRTYPE)], "'mem', which is"),
    "pipe": (lambda: [*good(), member("p", type=tarfile.FIFOTYPE)], "'p', which is a device or"),
    "twice": (lambda: [*good(), member("vmlinuz", b"other")], "'vmlinuz' twice"),
    "twice in disguise": (lambda: [*good(), member("./vmlinuz", b"x")], "'./vmlinuz' twice"),
    "terminal codes": (lambda: [*good(), member("a/\x1b[2J", b"x")], r"'a/\\x1b[2J'"),
    "no definition": (
        lambda: [m for m in good() if m[0].name != "box.toml"],
        "holds no box.toml",
    ),
    "big definition": (
        lambda: [member("box.toml", b"#" * 70000), *good()[1:]],
        "bigger than 64 KiB",
    ),
    "binary definition": (lambda: [member("box.toml", b"\xff\xfe"), *good()[1:]], "not UTF-8"),
    "lacks a file": (lambda: good()[:-1], "lacks disk"),
}


@pytest.mark.parametrize("packing", [bytes, gzip.compress], ids=["tar", "tar.gz"])
@pytest.mark.parametrize("kind", HOSTILE_TARS)
def test_a_hostile_tar_is_refused_naming_the_member(
    home: VxHome, tmp_path: Path, kind: str, packing: Callable[[bytes], bytes]
) -> None:
    members, why = HOSTILE_TARS[kind]

    message = refused(home, tmp_path, packing(tar_of(*members())))

    assert why.replace("\\\\", "\\") in message


HOSTILE_ZIPS: dict[str, tuple[tuple[zipfile.ZipInfo, bytes], str]] = {
    "parent": (zipped("../evil", b"x"), "'../evil'"),
    "absolute": (zipped("/etc/evil", b"x"), "'/etc/evil'"),
    "backslash": (zipped("..\\evil", b"x"), r"'..\\evil'"),
    "folder": (zipped("sub/"), "'sub/', which is a folder"),
    "symlink": (zipped("l", b"/etc/passwd", stat.S_IFLNK | 0o777), "'l', which is a link"),
    "pipe": (zipped("p", b"", stat.S_IFIFO | 0o600), "'p', which is a device or pipe"),
    "twice": (zipped("./vmlinuz", b"x"), "'./vmlinuz' twice"),
}


@pytest.mark.parametrize("kind", HOSTILE_ZIPS)
def test_a_hostile_zip_is_refused_naming_the_member(
    home: VxHome, tmp_path: Path, kind: str
) -> None:
    bad, why = HOSTILE_ZIPS[kind]
    members = [zipped(name, data) for name, data in FILES.items()]

    assert why in refused(home, tmp_path, zip_of(*members, bad))


def test_an_encrypted_zip_is_refused(home: VxHome, tmp_path: Path) -> None:
    archive = bytearray(zip_of(*(zipped(name, data) for name, data in FILES.items())))
    at = archive.find(b"PK\x01\x02")
    archive[at + 8] |= 1

    assert "encrypted" in refused(home, tmp_path, bytes(archive))


def test_a_million_members_end_at_the_first_thousand(home: VxHome, tmp_path: Path) -> None:
    header = tar_of(member("f"))[:512]

    message = refused(home, tmp_path, gzip.compress(_numbered(header, 1_000_000)))

    assert "more than 1000 members" in message


def test_a_zip_that_claims_a_million_members_is_refused_unread(
    home: VxHome, tmp_path: Path
) -> None:
    archive = zip_of(*(zipped(f"f{number}") for number in range(2000)))

    assert "more than 1000 members (2000)" in refused(home, tmp_path, archive)


@pytest.mark.parametrize("size", [1 << 40, (1 << 63) - 1])
def test_a_member_of_enormous_claimed_size_is_refused(
    home: VxHome, tmp_path: Path, size: int
) -> None:
    info, _ = member("disk")
    info.size = size
    archive = info.tobuf(tarfile.GNU_FORMAT)

    assert "more than 256 GiB with 'disk'" in refused(home, tmp_path, archive + bytes(1024))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_a_header_of_enormous_claimed_size_is_refused_before_memory_is(
    home: VxHome, tmp_path: Path, kind: bytes
) -> None:
    info, _ = member("header", type=kind)
    info.size = 4 << 30
    archive = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))

    assert "enormous" in refused(home, tmp_path, archive)


def test_a_sparse_member_is_refused(home: VxHome, tmp_path: Path) -> None:
    info, _ = member("disk", type=tarfile.GNUTYPE_SPARSE)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"77777777777\0"  # the real size it claims
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)

    message = refused(home, tmp_path, bytes(header) + bytes(1024))

    assert "'disk', which is a sparse file" in message


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.xz", "zip"])
@pytest.mark.parametrize("share", [0.0005, 0.2, 0.6, 0.95])
def test_a_cut_archive_is_refused(home: VxHome, tmp_path: Path, form: str, share: float) -> None:
    files = {**FILES, "disk": os.urandom(1 << 20)}
    plain = tar_of(*(member(name, data) for name, data in files.items()))
    archive = {
        "tar": lambda: plain,
        "tar.gz": lambda: gzip.compress(plain, 1),
        "tar.xz": lambda: lzma.compress(plain),
        "zip": lambda: zip_of(*(zipped(name, data) for name, data in files.items())),
    }[form]()

    message = refused(home, tmp_path, archive[: int(len(archive) * share)])

    assert "damaged archive" in message


def test_a_flipped_bit_in_a_zip_is_noticed(home: VxHome, tmp_path: Path) -> None:
    archive = bytearray(zip_of(*(zipped(name, data) for name, data in FILES.items())))
    archive[archive.find(b"vmlinuz") + 20] ^= 0x10

    assert "damaged" in refused(home, tmp_path, bytes(archive))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "an empty file"),
        (b"<html>404</html>", "an HTML page"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "damaged archive"),
        (gzip.compress(b"no tar in here" * 100, mtime=0), "damaged archive"),
        (gzip.compress(b"", mtime=0), "damaged archive"),
        (bytes(range(255, 100, -3)), "not a box"),
    ],
    ids=["empty", "html", "zstd", "gzip", "empty-gzip", "binary"],
)
def test_what_is_no_archive_is_called_by_its_name(
    home: VxHome, tmp_path: Path, data: bytes, why: str
) -> None:
    assert why in refused(home, tmp_path, data)


BAD_PARTS: dict[str, tuple[str, bytes, str]] = {
    "vmlinux": ("vmlinuz", b"\x7fELF" + bytes(2000), "an ELF file"),
    "cut kernel": ("vmlinuz", kernel()[:-1], "cut short"),
    "html kernel": ("vmlinuz", b"<html>" + b" " * 2000, "an HTML page"),
    "empty kernel": ("vmlinuz", b"", "an empty file"),
    "cut initrd": ("initrd", gzip.compress(INITRD, mtime=0)[:-20], "cut short"),
    "empty initrd": ("initrd", b"", "it is empty"),
    "initrd that is a kernel": ("initrd", kernel(), "an x86 Linux kernel"),
    "empty disk": ("disk", b"", "an empty file"),
    "odd disk": ("disk", bytes(1000), "whole number of 512-byte sectors"),
    "packed disk": ("disk", gzip.compress(b"x", mtime=0).ljust(512, b"\0"), "a gzip file"),
    "vmdk": ("disk", b"KDMV" + bytes(508), "a vmdk disk image"),
    "broken qcow2": ("disk", b"QFI\xfb" + bytes(508), "version 0"),
}


@pytest.mark.parametrize("kind", BAD_PARTS)
def test_a_part_that_is_not_what_it_should_be_is_refused(
    home: VxHome, tmp_path: Path, kind: str
) -> None:
    name, data, why = BAD_PARTS[kind]
    files = {**FILES, name: data}

    message = refused(home, tmp_path, tar_of(*(member(name, data) for name, data in files.items())))

    assert why in message
    assert f"{name} of {tmp_path / 'box.archive'}" in message


def test_a_command_line_longer_than_the_kernel_takes_is_refused(
    home: VxHome, tmp_path: Path
) -> None:
    short = bytearray(kernel())
    short[0x238:0x23C] = (256).to_bytes(4, "little")
    definition = f"{DEFINITION}cmdline = '{'a' * 300}'\n"
    files = {**FILES, "vmlinuz": bytes(short), "box.toml": definition.encode()}

    message = refused(home, tmp_path, tar_of(*(member(name, data) for name, data in files.items())))

    assert "has 300 bytes, and that kernel takes 256" in message


def test_a_folders_link_may_not_leave_it(home: VxHome, tmp_path: Path) -> None:
    folder = box_folder(tmp_path)
    (folder / "vmlinuz").rename(tmp_path / "outside")
    (folder / "vmlinuz").symlink_to(tmp_path / "outside")

    with pytest.raises(BoxError, match="link that leaves its folder"):
        BoxStore(home).add(folder, op=quiet_op())


def test_a_folders_link_to_its_own_file_is_followed(home: VxHome, tmp_path: Path) -> None:
    folder = box_folder(tmp_path)
    (folder / "vmlinuz").rename(folder / "vmlinuz-6.1")
    (folder / "vmlinuz").symlink_to("vmlinuz-6.1")

    box = BoxStore(home).add(folder, op=quiet_op())

    assert box.artifacts[ArtifactKind.KERNEL].path.read_bytes() == kernel() + b"1"


def test_a_pipe_in_a_folder_is_refused_and_not_waited_for(home: VxHome, tmp_path: Path) -> None:
    folder = box_folder(tmp_path)
    (folder / "vmlinuz").unlink()
    os.mkfifo(folder / "vmlinuz")

    with pytest.raises(BoxError, match="not a plain file"):
        BoxStore(home).add(folder, op=quiet_op())


@pytest.mark.parametrize("source", ["nothing", "pipe"])
def test_a_source_that_is_neither_folder_nor_file_is_refused(
    home: VxHome, tmp_path: Path, source: str
) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(BoxError, match=r"there is no box|neither a folder nor"):
        BoxStore(home).add(tmp_path / source, op=quiet_op())


def _numbered(header: bytes, count: int) -> bytes:
    """That many empty members: the first few of them, and zeros for the rest of the bytes."""
    out = bytearray()
    for number in range(1200):
        fresh = bytearray(header)
        fresh[:8] = b"f%06d\0" % number
        fresh[148:156] = b" " * 8
        fresh[148:156] = b"%06o\0 " % sum(fresh)
        out += fresh
    return bytes(out) + bytes(512) * min(count - 1200, 4096)
