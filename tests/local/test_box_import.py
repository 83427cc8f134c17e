"""Disk images of the user's own become boxes that boot from their disk."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from backports import zstd

from tests.fakes import bootdisks, own_images
from tests.fakes.own_images import imported, left_in, tar_of, tree
from tests.fakes.recorder import Recorder, quiet_op
from vagrantish.box import catalog
from vagrantish.box.import_job import Wishes, check_space
from vagrantish.errors import BoxError, DigestMismatch, HostError, UsageError
from vagrantish.events import Cancel, Op
from vagrantish.model import ArtifactKind, BootMode, Digest, RootKind, SeedKind
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MISSING = bootdisks.missing("mkfs.ext4", "qemu-img")
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {_MISSING}")

X86 = "x86_64"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with raw.img, and the same as disk.qcow2."""
    folder = tmp_path_factory.mktemp("images")
    own_images.disk(folder / "raw.img")
    bootdisks.run("qemu-img", "convert", "-O", "qcow2", folder / "raw.img", folder / "disk.qcow2")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refused(home: VxHome, what: Path | str, wishes: Wishes | None = None) -> BoxError:
    with pytest.raises(BoxError) as caught:
        imported(home, what, quiet_op(), wishes=wishes)
    assert left_in(home) == []
    return caught.value


# --- what becomes of an image ---------------------------------------------------------------


def test_a_disk_image_becomes_a_box_that_boots_from_its_disk(home: VxHome, images: Path) -> None:
    box = imported(home, images / "disk.qcow2", quiet_op())

    assert (box.name, box.arch, box.seed, box.root) == (
        "mine", X86, SeedKind.CLOUD_INIT, RootKind.DISK,
    )  # fmt: skip
    assert (box.disk_boots, box.kernel_release) == (True, own_images.RELEASE)
    assert (box.disk_cmdline, box.cmdline) == ("root=LABEL=root ro quiet", "console=ttyS0")
    assert (box.user, box.description) == ("cloudy", "Test ubuntu 24.04")
    assert box.origin == str(images / "disk.qcow2")
    assert box.artifacts[ArtifactKind.KERNEL].path.read_bytes() == own_images.KERNEL
    assert box.artifacts[ArtifactKind.INITRD].path.read_bytes() == own_images.INITRD
    assert box.artifacts[ArtifactKind.DISK].digest.hex == sha256(images / "disk.qcow2")
    assert (images / "disk.qcow2").exists()
    assert left_in(home, but=["box.json", *(a.digest.hex for a in box.artifacts.values())]) == []


def test_it_is_said_what_an_image_holds(home: VxHome, images: Path) -> None:
    watched = Recorder()

    imported(home, images / "disk.qcow2", Op(watched, Cancel()))

    (told,) = watched.notes()
    assert told == (
        "disk.qcow2 is a qcow2 disk image, 16MiB: Test ubuntu 24.04, kernel 6.8.0-31-generic "
        '("Ubuntu" of grub.cfg, the first that has a kernel), cloud-init, user cloudy'
    )


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": zstd.compress,
}  # fmt: skip


@pytest.mark.parametrize("kind", PACKERS)
def test_a_compressed_image_is_unpacked(
    home: VxHome, images: Path, tmp_path: Path, kind: str
) -> None:
    packed = tmp_path / f"disk.raw.{kind}"
    packed.write_bytes(PACKERS[kind]((images / "raw.img").read_bytes()))

    box = imported(home, packed, quiet_op())

    disk = box.artifacts[ArtifactKind.DISK]
    assert disk.digest.hex == sha256(images / "raw.img")
    assert disk.path.stat().st_blocks * 512 < disk.size_bytes / 2


@pytest.mark.parametrize("packing", ["", "gz", "xz"])
def test_the_single_disk_of_a_tar_archive_is_taken(
    home: VxHome, images: Path, tmp_path: Path, packing: str
) -> None:
    members: dict[str, Path | bytes] = {"README": b"hello", "./disk.raw": images / "raw.img"}

    box = imported(home, tar_of(tmp_path / "cloud.tar", members, packing=packing), quiet_op())

    assert box.artifacts[ArtifactKind.DISK].digest.hex == sha256(images / "raw.img")


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_a_sparse_member_is_taken_with_its_holes(
    home: VxHome, images: Path, tmp_path: Path, form: str
) -> None:
    bootdisks.run(
        "tar", "-C", images, f"--format={form}", "-Szcf", tmp_path / "d.tar.gz", "raw.img"
    )

    box = imported(home, tmp_path / "d.tar.gz", quiet_op())

    assert box.artifacts[ArtifactKind.DISK].digest.hex == sha256(images / "raw.img")


def test_the_same_image_again_is_the_same_box(home: VxHome, images: Path) -> None:
    first = imported(home, images / "raw.img", quiet_op())

    assert imported(home, images / "raw.img", quiet_op()) == first


def test_another_image_of_that_name_needs_force(home: VxHome, images: Path, tmp_path: Path) -> None:
    imported(home, images / "raw.img", quiet_op(), wishes=Wishes(name="mine", version="1"))
    other = own_images.disk(tmp_path / "other.img", tree("debian"))
    wishes = Wishes(name="mine", version="1")

    with pytest.raises(BoxError, match="this one differs"):
        imported(home, other, quiet_op(), wishes=wishes)

    box = imported(home, other, quiet_op(), wishes=wishes, force=True)
    assert box.description == "Test debian 24.04"


# --- whom vx logs in as, and how it gets in -------------------------------------------------


@pytest.mark.parametrize(
    ("files", "user", "seed"),
    [
        (tree("debian", cloud_cfg=""), "debian", SeedKind.CLOUD_INIT),
        (tree("centos", cloud_init=False), "cloud-user", SeedKind.NONE),
        (tree("ubuntu", off=True), "cloudy", SeedKind.NONE),
        (tree("plan9", cloud_cfg="default_user: {name: no}\n"), "root", SeedKind.CLOUD_INIT),
        (
            tree() | {"/etc/cloud/cloud.cfg.d/90_x.cfg": "system_info:\n  default_user:\n    name: late\n"},
            "late",
            SeedKind.CLOUD_INIT,
        ),
    ],
    ids=["os", "without-cloud-init", "switched-off", "unknown", "later-file"],
)  # fmt: skip
def test_user_and_seed_are_found_in_the_image(
    home: VxHome, tmp_path: Path, files: bootdisks.Tree, user: str, seed: SeedKind
) -> None:
    box = imported(home, own_images.disk(tmp_path / "d.img", files), quiet_op())

    assert (box.user, box.seed) == (user, seed)


def test_a_user_nothing_tells_is_warned_of(home: VxHome, tmp_path: Path) -> None:
    watched = Recorder()
    files = tree("plan9", cloud_init=False)

    imported(home, own_images.disk(tmp_path / "d.img", files), Op(watched, Cancel()))

    assert "--user" in watched.notes()[-1]


def test_what_the_command_line_says_wins(home: VxHome, images: Path) -> None:
    wishes = Wishes(
        name="mine", version="7", user="me", seed=SeedKind.OVERLAY, cmdline="console=hvc0 debug"
    )

    box = imported(home, images / "raw.img", quiet_op(), wishes=wishes)

    assert (box.version, box.user, box.seed) == ("7", "me", SeedKind.OVERLAY)
    assert box.cmdline == "console=hvc0 debug"


def test_the_version_is_the_day_of_the_file(home: VxHome, tmp_path: Path) -> None:
    image = own_images.disk(tmp_path / "d.img")
    os.utime(image, (0, 1_752_300_000))

    assert imported(home, image, quiet_op()).version == "20250712"


def test_a_name_of_the_catalogs_brings_its_settings(home: VxHome, tmp_path: Path) -> None:
    image = own_images.disk(tmp_path / "rhel.img", tree("rhel"))

    box = imported(
        home, image, quiet_op(),
        catalog=catalog.load(home), wishes=Wishes(name="rhel", version="9.6"),
    )  # fmt: skip

    assert (box.user, box.cpu_level) == ("cloud-user", "x86-64-v2")
    assert box.cmdline.split() == [
        "console=tty0", "console=ttyS0,115200n8", "no_timer_check", "net.ifnames=0",
    ]  # fmt: skip
    assert box.defaults["memory"] == "1536MiB"


def test_another_name_still_gets_what_its_distribution_needs(home: VxHome, tmp_path: Path) -> None:
    files = tree("almalinux") | {"/etc/os-release": 'ID="almalinux"\nVERSION_ID="9.6"\n'}
    image = own_images.disk(tmp_path / "d.img", files)

    box = imported(home, image, quiet_op(), catalog=catalog.load(home))

    assert (box.name, box.cpu_level, box.cmdline) == ("mine", "x86-64-v2", "console=ttyS0")


# --- disks that boot by themselves -----------------------------------------------------------


def test_a_disk_of_a_system_vx_cannot_read_becomes_a_box(home: VxHome, tmp_path: Path) -> None:
    disk = tmp_path / "bsd.img"
    disk.write_bytes(bytes(1 << 20))
    wishes = Wishes(name="bsd", boot=BootMode.FBSD, user="me")
    watched = Recorder()

    box = imported(home, disk, Op(watched, Cancel()), wishes=wishes)

    assert (box.boot, box.user, box.seed) == (BootMode.FBSD, "me", SeedKind.NONE)
    assert (set(box.artifacts), box.disk_boots) == ({ArtifactKind.DISK}, False)
    (told,) = watched.notes()
    assert told.startswith("bsd.img is a raw disk image, 1MiB: a system vx cannot read")
    assert told.endswith("booted by FreeBSD's loader, seed none, user me")


def test_of_a_linux_it_is_still_seen_who_logs_in(home: VxHome, images: Path) -> None:
    wishes = Wishes(name="mine", boot=BootMode.UEFI)

    box = imported(home, images / "disk.qcow2", quiet_op(), wishes=wishes)

    assert (box.boot, box.user, box.seed) == (BootMode.UEFI, "cloudy", SeedKind.CLOUD_INIT)
    assert set(box.artifacts) == {ArtifactKind.DISK}


@pytest.mark.parametrize(
    ("loaders", "arch"),
    [
        (("BOOTX64.EFI",), "x86_64"),
        (("bootaa64.efi",), "aarch64"),
        (("BOOTX64.EFI", "BOOTAA64.EFI"), "aarch64"),
        ((), "aarch64"),
    ],
)
def test_its_loader_tells_which_processors_it_is_for(
    home: VxHome, tmp_path: Path, loaders: tuple[str, ...], arch: str
) -> None:
    esp = bootdisks.vfat(tmp_path / "esp", {f"/EFI/BOOT/{name}": "MZ" for name in loaders})
    disk = bootdisks.gpt(tmp_path / "d.img", [bootdisks.Part(number=1, image=esp)])
    said = None if loaders == ("BOOTX64.EFI",) else "aarch64"
    wishes = Wishes(name="mine", boot=BootMode.UEFI, user="me", arch=said)

    assert imported(home, disk, quiet_op(), wishes=wishes).arch == arch
    if loaders == ("BOOTX64.EFI",):
        wrong = Wishes(name="mine", version="2", boot=BootMode.UEFI, user="me", arch="aarch64")
        with pytest.raises(BoxError, match="is for x86_64, not for aarch64"):
            imported(home, disk, quiet_op(), wishes=wrong)


def test_an_iso_can_be_a_disk_too(home: VxHome, tmp_path: Path) -> None:
    iso = tmp_path / "live.iso"
    iso.write_bytes(bytes(0x8001) + b"CD001" + bytes((1 << 20) - 0x8006))

    box = imported(home, iso, quiet_op(), wishes=Wishes(name="live", boot=BootMode.UEFI, user="me"))

    assert set(box.artifacts) == {ArtifactKind.DISK}


def test_words_for_a_kernel_and_seeds_in_an_initrd_have_no_place_there(
    home: VxHome, images: Path
) -> None:
    with pytest.raises(UsageError, match="--cmdline is for a kernel vx starts"):
        imported(
            home, images / "raw.img", quiet_op(),
            wishes=Wishes(name="mine", boot=BootMode.UEFI, cmdline="quiet"),
        )  # fmt: skip
    wishes = Wishes(name="mine", boot=BootMode.UEFI, seed=SeedKind.OVERLAY)
    assert "loads its own" in refused(home, images / "raw.img", wishes).message


# --- refused ---------------------------------------------------------------------------------


def test_a_nameless_image_is_told_a_name(home: VxHome, images: Path, tmp_path: Path) -> None:
    image = tmp_path / "rocky-9.qcow2"
    image.hardlink_to(images / "disk.qcow2")

    error = refused(home, image, Wishes())

    assert f"`vx box add {image} --name rocky`" in error.hint


@pytest.mark.parametrize("form", ["vmdk", "vdi", "vhdx", "vpc"])
def test_disks_of_other_hypervisors_are_refused_with_the_way_out(
    home: VxHome, tmp_path: Path, form: str
) -> None:
    image = tmp_path / "disk.img"
    bootdisks.run("qemu-img", "create", "-q", "-f", form, image, "8M")

    error = refused(home, image)

    assert f"is a {form.replace('vpc', 'vhd')} disk image" in error.message
    assert f"`qemu-img convert -O qcow2 {image} {image}.qcow2`" in error.hint


def test_a_fixed_vhd_is_known_by_its_end(home: VxHome, tmp_path: Path) -> None:
    image = tmp_path / "disk.vhd"
    bootdisks.run("qemu-img", "create", "-q", "-f", "vpc", "-o", "subformat=fixed", image, "8M")

    assert "is a vhd disk image" in refused(home, image).message


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (own_images.KERNEL, "is an x86 Linux kernel, and no box"),
        (b"<html>404</html>", "is an HTML page"),
        (b"", "is an empty file"),
        (b"\x01" * 1000, "is of no kind vx knows"),
        (b"\x01" * (1 << 20), "cannot be looked into: it has no partitions"),
        (b"QFI\xfb" + bytes(200), "is no disk vx can use"),
        (gzip.compress(b"hello", mtime=0), "is a text file"),
        (lzma.compress(bytes(1 << 20))[:-20], "cannot be unpacked"),
        (b"\x1f\x8b" + bytes(600), "cannot be unpacked"),
    ],
)  # fmt: skip
def test_what_is_no_disk_is_refused(home: VxHome, tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "thing"
    file.write_bytes(content)

    assert why in refused(home, file).message


def test_a_disk_without_linux_is_refused(home: VxHome, tmp_path: Path) -> None:
    image = bootdisks.ext4(tmp_path / "data.img", {"/photos/1.jpg": "x"})

    assert "no partition with a Linux root" in refused(home, image).message


def test_a_disk_of_another_architecture_is_refused(home: VxHome, images: Path) -> None:
    error = refused(home, images / "raw.img", Wishes(name="mine", arch="aarch64"))

    assert error.message == "raw.img is for x86_64, not for aarch64"


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"a.img": bytes(512), "b.qcow2": b"x"}, "with 2 disk images: it holds a.img, b.qcow2"),
        ({"README": b"x"}, "with no disk image: it holds README"),
        ({"x.ovf.txt": b"", "big.vmdk": b"KDMV"}, "big.vmdk, a disk of another hypervisor"),
        ({"disk.raw": b"hello"}, "disk.raw in d.tar is a text file"),
        ({"deep/disk.raw": bytes(512)}, "with no disk image"),
    ],
)  # fmt: skip
def test_archives_without_one_disk_are_refused(
    home: VxHome, tmp_path: Path, members: dict[str, bytes], why: str
) -> None:
    assert why in refused(home, tar_of(tmp_path / "d.tar", members)).message


def test_a_disk_that_is_a_link_is_refused(home: VxHome, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "d.tar", "w") as tar:
        link = tarfile.TarInfo("disk.raw")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        tar.addfile(link)

    assert "disk.raw, which is a link" in refused(home, tmp_path / "d.tar").message


def test_an_archive_that_claims_too_much_is_refused_unread(home: VxHome, tmp_path: Path) -> None:
    with (tmp_path / "d.tar").open("wb") as file:
        huge = tarfile.TarInfo("disk.raw")
        huge.size = 300 << 30
        file.write(huge.tobuf(tarfile.GNU_FORMAT))

    assert "more than 256 GiB" in refused(home, tmp_path / "d.tar").message


def test_a_sparse_file_whose_map_never_ends_is_refused(home: VxHome, tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("disk.raw").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[482] = 1  # its map goes on in the next block
    header[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(header))[0]  # type: ignore[attr-defined]
    entry = b"00000000001\0" * 2
    block = (entry * 21).ljust(504, b"\0") + b"\1" + bytes(7)
    with gzip.open(tmp_path / "d.tgz", "wb", compresslevel=1) as file:
        file.write(bytes(header))
        for _ in range(200):
            file.write(block * 256)

    assert "too many of them" in refused(home, tmp_path / "d.tgz").message


def test_a_wrong_digest_is_told_before_anything_else(home: VxHome, images: Path) -> None:
    wishes = Wishes(name="mine", digest=Digest(algorithm="sha256", hex="0" * 64))

    assert isinstance(refused(home, images / "raw.img", wishes), DigestMismatch)


def test_a_right_digest_is_taken(home: VxHome, images: Path) -> None:
    digest = Digest(algorithm="sha256", hex=sha256(images / "raw.img"))

    assert imported(home, images / "raw.img", quiet_op(), wishes=Wishes(name="mine", digest=digest))


def test_too_little_space_is_told_beforehand(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"disk\.img needs \d+TiB in .*, and .* are free"):
        check_space(tmp_path, 8 << 60, "disk.img")


# --- boxes with a box.toml ------------------------------------------------------------------


def packed(folder: Path, image: Path, more: str = "") -> Path:
    folder.mkdir()
    (folder / "disk.img").hardlink_to(image)
    (folder / "box.toml").write_text(
        f'name = "own"\nversion = "1"\narch = "{X86}"\ndisk = "disk.img"\nroot = "disk"\n'
        f'seed = "cloud-init"\nuser = "me"\n{more}',
        encoding="utf-8",
    )
    return folder


def test_a_packed_box_can_leave_its_kernel_to_its_disk(
    home: VxHome, images: Path, tmp_path: Path
) -> None:
    folder = packed(tmp_path / "own", images / "raw.img", "disk_boots = true\n")

    box = imported(home, folder, quiet_op(), wishes=Wishes())

    assert (box.label, box.seed, box.disk_boots) == ("own@1", SeedKind.CLOUD_INIT, True)
    assert box.artifacts[ArtifactKind.KERNEL].path.read_bytes() == own_images.KERNEL
    assert (box.disk_cmdline, box.kernel_release) == (
        "root=LABEL=root ro quiet", own_images.RELEASE,
    )  # fmt: skip


def test_without_that_it_needs_a_kernel(home: VxHome, images: Path, tmp_path: Path) -> None:
    folder = packed(tmp_path / "own", images / "raw.img")

    assert '"kernel" is missing' in refused(home, folder, Wishes()).message


def test_an_archived_box_is_known_by_its_box_toml(
    home: VxHome, images: Path, tmp_path: Path
) -> None:
    folder = packed(tmp_path / "own", images / "raw.img", "disk_boots = true\n")
    members = {name: folder / name for name in ("disk.img", "box.toml")}

    box = imported(home, tar_of(tmp_path / "own.tgz", members, packing="gz"), quiet_op(),
                   wishes=Wishes(name="other"))  # fmt: skip

    assert box.label == "other@1"


def test_box_toml_is_not_overruled(home: VxHome, images: Path, tmp_path: Path) -> None:
    folder = packed(tmp_path / "own", images / "raw.img", "disk_boots = true\n")

    with pytest.raises(UsageError, match="--user is for disk images"):
        imported(home, folder, quiet_op(), wishes=Wishes(user="you"))
