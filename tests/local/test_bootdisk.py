"""Disk images laid out as distributions publish them, and what vx finds that they boot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from tests.fakes import bootdisks as make
from tests.fakes.bootdisks import Link, Part
from vagrantish.box import bootdisk
from vagrantish.formats.device import FileDevice, ImageError
from vagrantish.formats.disk import open_disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vagrantish.box.bootdisk import BootChoice

pytestmark = pytest.mark.skipif(
    bool(make.missing(*make.TOOLS)), reason=f"not installed: {make.missing(*make.TOOLS)}"
)

ID = "5f7b3c1d2e4f4a6b8c9d0e1f2a3b4c5d"
ROOT_UUID = "11111111-2222-3333-4444-555555555555"
BOOT_UUID = "66666666-7777-8888-9999-aaaaaaaaaaaa"
OLD, NEW = "5.14.0-70.el9.x86_64", "5.14.0-427.el9.x86_64"
OPTIONS = f"root=UUID={ROOT_UUID} ro console=tty0 console=ttyS0,115200n8 no_timer_check"


def os_release(name: str) -> make.Tree:
    return {
        "/usr/lib/os-release": f'NAME="x"\nPRETTY_NAME="{name}"\n',
        "/etc/os-release": Link("../usr/lib/os-release"),
    }


def grubenv(*lines: str) -> bytes:
    text = "\n".join(("# GRUB Environment Block", *lines, ""))
    return text.encode().ljust(1024, b"#")


def bls_entry(version: str, options: str, *, prefix: str = "", tuned: str = "") -> str:
    return (
        f"title Linux ({version}) 9\nversion {version}\nlinux {prefix}/vmlinuz-{version}\n"
        f"initrd {prefix}/initramfs-{version}.img{tuned}\noptions {options}\n"
        "grub_users $grub_users\ngrub_arg --unrestricted\ngrub_class linux\n"
    )


def el_boot(options: str, *, prefix: str = "", tuned: str = "") -> make.Tree:
    """What /boot holds in the Enterprise Linux family: two kernels, and one to the rescue."""
    rescue = f"0-rescue-{ID}"
    tree: make.Tree = {
        f"/loader/entries/{ID}-{version}.conf": bls_entry(
            version, options, prefix=prefix, tuned=tuned
        )
        for version in (OLD, NEW)
    }
    for version in (OLD, NEW):
        tree[f"/vmlinuz-{version}"] = make.kernel(version)
        tree[f"/initramfs-{version}.img"] = f"initramfs of {version}"
        tree[f"/initramfs-{version}kdump.img"] = "for crash dumps"
    tree[f"/vmlinuz-{rescue}"] = make.kernel("rescue")
    tree[f"/initramfs-{rescue}.img"] = "to the rescue"
    tree[f"/loader/entries/{ID}-0-rescue.conf"] = bls_entry(rescue, options, prefix=prefix)
    return tree


def below(folder: str, tree: make.Tree) -> make.Tree:
    return {folder + path: content for path, content in tree.items()}


def choices(image: Path, *, root: str = "") -> tuple[BootChoice, ...]:
    with FileDevice(image) as device:
        return bootdisk.look(device, root=root).choices()


def extracted(image: Path, what: Literal["kernel", "initrd"], target: Path) -> bytes:
    with FileDevice(image) as device:
        disk = bootdisk.look(device)
        disk.extract(disk.choices()[0], what, target, alive=lambda: None)
    return target.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disks")


@pytest.fixture(scope="module")
def el9(folder: Path) -> Path:
    boot = el_boot(f"{OPTIONS} $tuned_params", tuned=" $tuned_initrd")
    boot["/grub2/grubenv"] = grubenv(f"saved_entry={ID}-{OLD}", "menu_auto_hide=1")
    boot["/grub2/grub.cfg"] = 'set default="${saved_entry}"\ninsmod blscfg\nblscfg\n'
    root = os_release("Rocky Linux 9.4 (Blue Onyx)") | {
        "/etc/fstab": f"UUID={ROOT_UUID} / xfs defaults 0 0\nUUID={BOOT_UUID} /boot xfs defaults 0 0\n"
    }
    parts = (
        Part(number=1, image=make.vfat(folder / "el9.esp", {"/EFI/BOOT/BOOTX64.EFI": b"MZ"}),
             type=make.ESP),
        Part(number=2, image=make.xfs(folder / "el9.boot", boot, "-m", f"uuid={BOOT_UUID}",
                                      label="boot"), type=make.XBOOTLDR),
        Part(number=4, image=None, type=make.BIOS),
        Part(number=5, image=make.xfs(folder / "el9.root", root, "-m", f"uuid={ROOT_UUID}",
                                      label="root")),
    )  # fmt: skip
    return make.gpt(folder / "el9.raw", parts)


def test_el9_boots_the_entry_that_grubenv_names_from_its_boot_partition(
    el9: Path, tmp_path: Path
) -> None:
    first, second = choices(el9)

    assert (first.release, first.kernel, first.initrd) == (
        OLD, f"/vmlinuz-{OLD}", f"/initramfs-{OLD}.img",
    )  # fmt: skip
    assert first.cmdline == OPTIONS
    assert first.why == f"BLS entry {ID}-{OLD}.conf, chosen by saved_entry of grubenv"
    assert (first.arch, first.os_name) == ("x86_64", "Rocky Linux 9.4 (Blue Onyx)")
    assert second.release == NEW
    assert extracted(el9, "kernel", tmp_path / "k") == make.kernel(OLD)
    assert extracted(el9, "initrd", tmp_path / "i") == f"initramfs of {OLD}".encode()


def test_the_same_disk_as_qcow2_boots_the_same(el9: Path, tmp_path: Path) -> None:
    image = tmp_path / "el9.qcow2"
    make.run("qemu-img", "convert", "-c", "-O", "qcow2", el9, image)

    with open_disk(image) as device:
        found = bootdisk.look(device).choices()

    assert found == choices(el9)


def test_el8_takes_its_options_from_grubenv(folder: Path) -> None:
    boot = el_boot("$kernelopts $tuned_params", prefix="/boot", tuned=" $tuned_initrd")
    boot["/grub2/grubenv"] = grubenv(f"kernelopts={OPTIONS} net.ifnames=0 ")
    boot["/grub2/grub.cfg"] = 'set default="${saved_entry}"\nblscfg\n'
    root = os_release("Red Hat Enterprise Linux 8.10 (Ootpa)") | below("/boot", boot)
    image = make.xfs(folder / "el8.root", root, "-m", f"uuid={ROOT_UUID}")
    disk = make.gpt(
        folder / "el8.raw",
        (Part(number=1, image=None, type=make.BIOS), Part(number=3, image=image, type=make.ROOT)),
    )

    first = choices(disk)[0]

    assert (first.kernel, first.cmdline) == (f"/boot/vmlinuz-{NEW}", f"{OPTIONS} net.ifnames=0")
    assert first.why == f"BLS entry {ID}-{NEW}.conf, the highest version"


def test_el8_that_starts_by_efi_keeps_its_options_on_the_efi_partition(folder: Path) -> None:
    boot = el_boot("$kernelopts", prefix="")
    boot["/grub2/grubenv"] = Link("../efi/EFI/almalinux/grubenv")
    efi: make.Tree = {
        "/EFI/almalinux/grubenv": grubenv(f"kernelopts={OPTIONS}", f"saved_entry={ID}-{OLD}"),
        "/EFI/almalinux/grub.cfg": 'set default="${saved_entry}"\nblscfg\n',
    }
    parts = (
        Part(number=1, image=make.vfat(folder / "efi.esp", efi), type=make.ESP),
        Part(number=2, image=make.ext4(folder / "efi.boot", boot)),
        Part(number=3, image=make.xfs(folder / "efi.root", os_release("AlmaLinux 8"))),
    )

    first = choices(make.gpt(folder / "efi.raw", parts))[0]

    assert (first.release, first.cmdline) == (OLD, OPTIONS)


def test_el7_boots_the_entry_of_its_menu_that_grubenv_names_from_an_mbr_disk(folder: Path) -> None:
    version = "3.10.0-1160.el7.x86_64"
    root = os_release("CentOS Linux 7 (Core)") | {
        f"/boot/vmlinuz-{version}": make.kernel(version),
        f"/boot/initramfs-{version}.img": "initramfs",
        "/boot/grub2/grubenv": grubenv(f"saved_entry=CentOS Linux ({version}) 7 (Core)"),
        "/boot/grub2/grub.cfg": EL7_MENU.replace("VERSION", version),
    }
    image = make.xfs(folder / "el7.root", root, "-m", f"crc=0,uuid={ROOT_UUID}")
    disk = make.mbr(folder / "el7.raw", (Part(number=1, image=image, type="83"),))

    (only,) = choices(disk)

    assert (only.release, only.initrd) == (version, f"/boot/initramfs-{version}.img")
    assert only.cmdline == f"root=UUID={ROOT_UUID} ro console=tty0 console=ttyS0,115200n8 LANG=C"
    assert "saved_entry" in only.why


EL7_MENU = """\
if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
else
   set default="${saved_entry}"
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
  fi
}
menuentry 'CentOS Linux (0-rescue-abc) 7 (Core)' --class centos $menuentry_id_option 'gnulinux-rescue' {
\tlinux16 /boot/vmlinuz-0-rescue-abc root=UUID=x ro
}
menuentry 'CentOS Linux (VERSION) 7 (Core)' --class centos --unrestricted $menuentry_id_option 'gnulinux-VERSION' {
\tset root='hd0,msdos1'
\tif [ x$feature_platform_search_hint = xy ]; then
\t  search --no-floppy --fs-uuid --set=root 11111111-2222-3333-4444-555555555555
\tfi
\tlinux16 /boot/vmlinuz-VERSION root=UUID=11111111-2222-3333-4444-555555555555 ro console=tty0 console=ttyS0,115200n8 LANG=C
\tinitrd16 /boot/initramfs-VERSION.img
}
"""

UBUNTU_MENU = """\
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="0"
fi
menuentry 'Ubuntu' --class ubuntu $menuentry_id_option 'gnulinux-simple-ROOT' {
\trecordfail
\tgfxmode $linux_gfx_mode
\tlinux\tPREFIX/vmlinuz-6.8.0-41-generic root=LABEL=cloudimg-rootfs ro  console=tty1 console=ttyS0 $vt_handoff
\tinitrd\tPREFIX/initrd.img-6.8.0-41-generic
}
submenu 'Advanced options for Ubuntu' $menuentry_id_option 'gnulinux-advanced-ROOT' {
\tmenuentry 'Ubuntu, with Linux 6.8.0-41-generic' $menuentry_id_option 'gnulinux-6.8.0-41-generic-advanced-ROOT' {
\t\tlinux\tPREFIX/vmlinuz-6.8.0-41-generic root=LABEL=cloudimg-rootfs ro  console=tty1 console=ttyS0 $vt_handoff
\t\tinitrd\tPREFIX/initrd.img-6.8.0-41-generic
\t}
\tmenuentry 'Ubuntu, with Linux 6.8.0-41-generic (recovery mode)' $menuentry_id_option 'gnulinux-6.8.0-41-generic-recovery-ROOT' {
\t\tlinux\tPREFIX/vmlinuz-6.8.0-41-generic root=LABEL=cloudimg-rootfs ro recovery nomodeset dis_ucode_ldr
\t\tinitrd\tPREFIX/initrd.img-6.8.0-41-generic
\t}
\tmenuentry 'Ubuntu, with Linux 6.8.0-9-generic' $menuentry_id_option 'gnulinux-6.8.0-9-generic-advanced-ROOT' {
\t\tlinux\tPREFIX/vmlinuz-6.8.0-9-generic root=LABEL=cloudimg-rootfs ro  console=tty1 console=ttyS0
\t\tinitrd\tPREFIX/initrd.img-6.8.0-9-generic
\t}
}
"""


def ubuntu_boot(prefix: str) -> make.Tree:
    tree: make.Tree = {"/grub/grub.cfg": UBUNTU_MENU.replace("PREFIX", prefix)}
    for version in ("6.8.0-41-generic", "6.8.0-9-generic"):
        tree[f"/vmlinuz-{version}"] = make.kernel(version)
        tree[f"/initrd.img-{version}"] = f"initrd of {version}"
    tree["/vmlinuz"] = Link("vmlinuz-6.8.0-41-generic")
    return tree


def test_ubuntu_22_04_boots_from_its_root_partition(folder: Path) -> None:
    tree = os_release("Ubuntu 22.04.5 LTS") | below("/boot", ubuntu_boot("/boot"))
    tree["/etc/fstab"] = (
        "LABEL=cloudimg-rootfs / ext4 defaults 0 1\nLABEL=UEFI /boot/efi vfat umask=0077 0 1\n"
    )
    parts = (
        Part(number=14, image=None, type=make.BIOS),
        Part(number=15, image=make.vfat(folder / "jammy.esp", {}, label="UEFI"), type=make.ESP),
        Part(number=1, image=make.ext4(folder / "jammy.root", tree, label="cloudimg-rootfs")),
    )

    found = choices(make.gpt(folder / "jammy.raw", parts))

    assert [choice.release for choice in found] == ["6.8.0-41-generic", "6.8.0-9-generic"]
    assert found[0].cmdline == "root=LABEL=cloudimg-rootfs ro console=tty1 console=ttyS0"
    assert found[0].initrd == "/boot/initrd.img-6.8.0-41-generic"


def test_ubuntu_24_04_boots_from_its_partition_labelled_boot(folder: Path, tmp_path: Path) -> None:
    tree = os_release("Ubuntu 24.04.1 LTS")
    tree["/etc/fstab"] = (
        "LABEL=cloudimg-rootfs / ext4 defaults 0 1\nLABEL=BOOT /boot ext4 defaults 0 2\n"
    )
    parts = (
        Part(number=14, image=None, type=make.BIOS),
        Part(number=16, image=make.ext4(folder / "noble.boot", ubuntu_boot(""), label="BOOT"),
             type=make.XBOOTLDR),
        Part(number=1, image=make.ext4(folder / "noble.root", tree, label="cloudimg-rootfs")),
    )  # fmt: skip
    disk = make.gpt(folder / "noble.raw", parts)

    first = choices(disk)[0]

    assert (first.kernel, first.os_name) == ("/vmlinuz-6.8.0-41-generic", "Ubuntu 24.04.1 LTS")
    assert extracted(disk, "initrd", tmp_path / "i") == b"initrd of 6.8.0-41-generic"


def test_debian_is_found_without_a_label_by_its_os_release(folder: Path) -> None:
    version = "6.1.0-9-cloud-amd64"
    uuid = "AAAAAAAA-0000-4000-8000-000000000001"
    tree = os_release("Debian GNU/Linux 12 (bookworm)") | {
        f"/boot/vmlinuz-{version}": make.kernel(version),
        f"/boot/initrd.img-{version}": "initrd",
        "/vmlinuz": Link(f"boot/vmlinuz-{version}"),
        "/boot/grub/grub.cfg": (
            'set default="0"\n'
            "menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple' {\n"
            f"  linux /boot/vmlinuz-{version} root=PARTUUID={uuid.lower()} ro console=ttyS0,115200\n"
            f"  initrd /boot/initrd.img-{version}\n}}\n"
        ),
    }
    parts = (
        Part(number=14, image=None, type=make.BIOS),
        Part(number=1, image=make.ext4(folder / "debian.root", tree), uuid=uuid),
    )

    (only,) = choices(make.gpt(folder / "debian.raw", parts))

    assert only.cmdline == f"root=PARTUUID={uuid.lower()} ro console=ttyS0,115200"


@pytest.fixture(scope="module")
def alpine(folder: Path) -> Path:
    tree = os_release("Alpine Linux v3.20") | {
        "/boot/vmlinuz-virt": make.kernel("virt"),
        "/boot/initramfs-virt": "initramfs",
        "/boot/extlinux.conf": (
            "DEFAULT menu.c32\nPROMPT 0\nMENU TITLE Alpine\nTIMEOUT 10\n"
            "LABEL virt\n  MENU DEFAULT\n  MENU LABEL Linux virt\n  LINUX vmlinuz-virt\n"
            "  INITRD initramfs-virt\n"
            f"  APPEND root=UUID={ROOT_UUID} modules=sd-mod,ext4 quiet rootfstype=ext4\n"
        ),
        "/lib/modules/6.6.41-0-virt/modules.dep": "",
    }
    image = make.ext4(folder / "alpine.root", tree, "-U", ROOT_UUID)
    return make.mbr(folder / "alpine.raw", (Part(number=1, image=image, type="83"),))


def test_alpine_boots_by_extlinux_and_its_release_is_that_of_its_modules(alpine: Path) -> None:
    (only,) = choices(alpine)

    assert (only.release, only.kernel, only.initrd) == (
        "6.6.41-0-virt", "/boot/vmlinuz-virt", "/boot/initramfs-virt",
    )  # fmt: skip
    assert only.cmdline == f"root=UUID={ROOT_UUID} modules=sd-mod,ext4 quiet rootfstype=ext4"
    assert only.why == '"virt" of /boot/extlinux.conf, chosen by its default'


def fedora_root(folder: Path, boot: make.Tree) -> Path:
    """mkfs.btrfs makes no subvolumes: to a reader a folder is the same."""
    tree = below("/root", os_release("Fedora Linux 43 (Cloud Edition)") | below("/boot", boot))
    return make.btrfs(folder, tree | {"/home/.keep": ""}, label="fedora")


def test_fedora_boots_from_its_boot_partition_into_the_subvolume_root(folder: Path) -> None:
    options = f"root=UUID={ROOT_UUID} rootflags=subvol=root ro no_timer-check"
    root = fedora_root(folder / "f43.root", {})
    boot = make.ext4(folder / "f43.boot", el_boot(options), label="BOOT")
    parts = (
        Part(number=3, image=boot, type=make.XBOOTLDR),
        Part(number=4, image=root, type=make.ROOT),
    )

    first = choices(make.gpt(folder / "f43.raw", parts))[0]

    assert (first.kernel, first.cmdline) == (f"/vmlinuz-{NEW}", options)
    assert first.os_name == "Fedora Linux 43 (Cloud Edition)"


def test_fedora_44_boots_from_boot_in_the_subvolume(folder: Path, tmp_path: Path) -> None:
    boot = el_boot(f"root=UUID={ROOT_UUID} ro", prefix="/root/boot")
    root = fedora_root(folder / "f44.root", boot)
    disk = make.gpt(folder / "f44.raw", (Part(number=4, image=root, type=make.ROOT),))

    first = choices(disk)[0]

    assert first.kernel == f"/boot/vmlinuz-{NEW}"
    assert first.cmdline == f"root=UUID={ROOT_UUID} ro rootflags=subvol=root"
    assert extracted(disk, "kernel", tmp_path / "k") == make.kernel(NEW)


def test_without_a_boot_loader_the_newest_kernel_boots_and_root_is_named_by_uuid(
    folder: Path,
) -> None:
    tree = os_release("Debian GNU/Linux 12 (bookworm)")
    for version in ("6.1.0-9-amd64", "6.1.0-56-amd64"):
        tree[f"/boot/vmlinuz-{version}"] = make.kernel(version)
        tree[f"/boot/initrd.img-{version}"] = "initrd"
    image = make.xfs(folder / "bare.root", tree, "-m", f"uuid={ROOT_UUID}")
    disk = make.gpt(folder / "bare.raw", (Part(number=2, image=image),))

    first, second = choices(disk)

    assert (first.release, second.release) == ("6.1.0-56-amd64", "6.1.0-9-amd64")
    assert first.cmdline == f"root=UUID={ROOT_UUID} ro"
    assert "no boot loader" in first.why


def test_a_file_system_that_fills_the_disk_boots_from_vda(folder: Path) -> None:
    tree = os_release("Ubuntu Minimal") | {"/boot/vmlinuz-6.8.0-41-generic": make.kernel("k")}
    image = make.xfs(folder / "whole.raw", tree)

    (only,) = choices(image)

    assert (only.initrd, only.cmdline) == (None, "root=/dev/vda ro")


def test_a_kernel_that_does_not_tell_is_for_the_programs_around_it(folder: Path) -> None:
    tree = os_release("Ubuntu 24.04") | {
        "/boot/vmlinuz-6.8.0-41-generic": b"\x1f\x8b a packed kernel for arm64",
        "/lib/ld-linux-aarch64.so.1": "",
    }

    (only,) = choices(make.xfs(folder / "arm.raw", tree))

    assert only.arch == "aarch64"


def test_a_hint_chooses_between_two_systems(folder: Path) -> None:
    def system(name: str) -> Path:
        tree = os_release(name) | {f"/boot/vmlinuz-6.1-{name}": make.kernel(name)}
        return make.xfs(folder / f"{name}.two", tree, label=name)

    parts = (
        Part(number=1, image=system("one"), uuid="AAAAAAAA-0000-4000-8000-000000000002"),
        Part(number=2, image=system("two"), name="second"),
    )
    disk = make.gpt(folder / "two.raw", parts)

    names = [
        choices(disk, root=hint)[0].os_name
        for hint in ("", "LABEL=two", "/dev/vda2", "PARTLABEL=second",
                     "PARTUUID=aaaaaaaa-0000-4000-8000-000000000002")
    ]  # fmt: skip

    assert names == ["one", "two", "two", "two", "one"]
    with pytest.raises(ImageError, match="none of its file systems is LABEL=three"):
        choices(disk, root="LABEL=three")


def test_a_disk_without_a_root_says_what_it_holds(folder: Path) -> None:
    lvm = folder / "lvm"
    lvm.write_bytes(bytes(512) + b"LABELONE" + bytes((1 << 20) - 520))
    parts = (
        Part(number=1, image=make.vfat(folder / "lvm.esp", {}), type=make.ESP),
        Part(number=2, image=lvm, type=make.LVM),
    )
    disk = make.gpt(folder / "lvm.raw", parts)

    with pytest.raises(ImageError) as caught:
        choices(disk)

    text = str(caught.value)
    assert "no partition with a Linux root" in text
    assert "1 vfat 8MiB" in text
    assert "LVM" in text


def test_damage_that_hides_the_system_is_told_with_its_byte(folder: Path) -> None:
    image = make.ext4(folder / "hurt.root", os_release("Hurt"))
    data = bytearray(image.read_bytes())
    while (at := data.find(b"os-release")) >= 0:  # the folders that name it
        data[at - at % 1024 : at - at % 1024 + 1024] = b"\xff" * 1024
    image.write_bytes(data)
    disk = make.gpt(folder / "hurt.raw", (Part(number=1, image=image),))

    with pytest.raises(ImageError, match=r"1 ext4, damaged \(the folder with inode "):
        choices(disk)


def test_a_system_without_a_kernel_is_told_with_where_it_was_looked_for(folder: Path) -> None:
    image = make.xfs(folder / "empty.root", os_release("Nothing"))
    disk = make.gpt(folder / "empty.raw", (Part(number=1, image=image),))

    with pytest.raises(ImageError, match=r"no kernel.*on partition 1"):
        choices(disk)


def test_what_is_cut_off_leaves_no_file(el9: Path, tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with FileDevice(el9) as device:
        disk = bootdisk.look(device)
        with pytest.raises(KeyboardInterrupt):
            disk.extract(disk.choices()[0], "kernel", tmp_path / "k", alive=stop)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("maker", [make.xfs, make.ext4, make.btrfs])
def test_little_more_is_read_than_is_written(
    maker: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    sizes = {"kernel": 3 << 20, "initrd": 6 << 20}
    tree = os_release("x") | {
        "/boot/vmlinuz-6.1": make.kernel("k", size=sizes["kernel"]),
        "/boot/initrd.img-6.1": b"initrd" * (1 << 20),
    }
    image = maker(folder / f"read-{maker.__name__}.root", tree)
    disk_image = make.gpt(folder / f"read-{maker.__name__}.raw", (Part(number=1, image=image),))

    with FileDevice(disk_image) as file:
        device = Counted(file)
        disk = bootdisk.look(device)
        disk.extract(disk.choices()[0], "kernel", tmp_path / "k", alive=lambda: None)
        disk.extract(disk.choices()[0], "initrd", tmp_path / "i", alive=lambda: None)

    assert {
        "kernel": (tmp_path / "k").stat().st_size,
        "initrd": (tmp_path / "i").stat().st_size,
    } == sizes
    assert device.read < 2 * sum(sizes.values())


class Counted:
    """A device that counts what is read of it."""

    def __init__(self, device: FileDevice) -> None:
        self._device = device
        self.read = 0

    @property
    def size(self) -> int:
        return self._device.size

    def read_at(self, offset: int, length: int) -> bytes:
        self.read += length
        return self._device.read_at(offset, length)
