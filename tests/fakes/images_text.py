"""The small files that make one distribution's image differ from another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakes.images_disk import Changes, New, file, folder
from tests.fakes.images_root import ROOT_UUID

if TYPE_CHECKING:
    from tests.fakes.images_root import Root

DEBIAN_PARTUUID = "3d1b5f0e-8f61-4e37-a1d4-7c1e6a2b9f31"
CENTOS_ROOT_UUID = "c7b0a3f4-19d2-4d64-b8a1-5f0c3e2d1b04"
CENTOS_BOOT_UUID = "5e4f9d1a-6c3b-4a2e-8f7d-0b1c2d3e4f03"
MACHINE_ID = "0f5cbf1a3b9d4e62a7d8c9e0b1a2f3d4"
# The text order of these two is not the order of the versions.
OLDER, NEWER = "5.14.0-70.13.1.el9_0.x86_64", "5.14.0-620.el9.x86_64"

DEBIAN_FSTAB = f"""\
# <file system> <mount point> <type> <options> <dump> <pass>
UUID={ROOT_UUID} / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1
UUID=5A0E-C1DA /boot/efi vfat defaults,nofail 0 0
"""
UBUNTU_FSTAB = """\
LABEL=cloudimg-rootfs\t/\text4\tdiscard,commit=30,errors=remount-ro\t0 1
LABEL=BOOT\t/boot\text4\tdefaults\t0 2
LABEL=UEFI\t/boot/efi\tvfat\tumask=0077\t0 1
"""
CENTOS_FSTAB = f"""\
UUID={CENTOS_ROOT_UUID}\t/\txfs\tdefaults\t0\t0
UUID={CENTOS_BOOT_UUID}\t/boot\txfs\tdefaults\t0\t0
UUID=5A0E-C1DA\t/boot/efi\tvfat\tdefaults,uid=0,gid=0,umask=077,shortname=winnt\t0\t2
"""
VAGRANTFILE = """\
warn "a Vagrantfile out of a box was run"
Process.kill("KILL", Process.ppid)
"""


def os_release(os_id: str, name: str, version: str) -> str:
    return (
        f'PRETTY_NAME="A test image in the shape of {name} {version}"\n'
        f'NAME="{name}"\nVERSION_ID="{version}"\nID={os_id}\nID_LIKE=debian\n'
    )


def cloud_cfg(root: Root, *, user: str, distro: str) -> str:
    """The package's own, for another distribution's user."""
    text = root.read("/etc/cloud/cloud.cfg")
    for old, new in (("name: debian", f"name: {user}"), ("distro: debian", f"distro: {distro}")):
        assert old in text, f"cloud.cfg has no {old!r}"
        text = text.replace(old, new)
    return text


# --- GRUB's ----------------------------------------------------------------------------------


def debian_grub_cfg(version: str) -> str:
    return _grub_cfg(
        "Debian GNU/Linux",
        version,
        boot="/boot",
        search=f"search --no-floppy --fs-uuid --set=root {ROOT_UUID}",
        arguments=f"root=PARTUUID={DEBIAN_PARTUUID} ro",
        more="console=tty0 console=ttyS0,115200 earlyprintk=ttyS0,115200 consoleblank=0",
    )


def ubuntu_grub_cfg(version: str) -> str:
    return _grub_cfg(
        "Ubuntu",
        version,
        boot="",
        search="search --no-floppy --label --set=root BOOT",
        arguments="root=LABEL=cloudimg-rootfs ro",
        more="console=tty1 console=ttyS0",
    )


def vagrant_grub_cfg(version: str) -> str:
    return _grub_cfg(
        "Debian GNU/Linux",
        version,
        boot="/boot",
        search=f"search --no-floppy --fs-uuid --set=root {ROOT_UUID}",
        arguments=f"root=UUID={ROOT_UUID} ro",
        more="net.ifnames=0 biosdevname=0",
    )


def _grub_cfg(
    title: str, version: str, *, boot: str, search: str, arguments: str, more: str
) -> str:
    """The constructs that update-grub writes; what it says with them is less."""

    def entry(name: str, entry_id: str, options: str, indent: str) -> str:
        lines = (
            f"menuentry '{name}' --class gnu-linux --class os $menuentry_id_option '{entry_id}' {{",
            "\tload_video",
            "\tinsmod gzio",
            "\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi",
            "\tinsmod part_gpt",
            "\tinsmod ext2",
            f"\t{search}",
            f"\techo\t'Loading Linux {version} ...'",
            f"\tlinux\t{boot}/vmlinuz-{version} {options}",
            "\techo\t'Loading initial ramdisk ...'",
            f"\tinitrd\t{boot}/initrd.img-{version}",
            "}",
        )
        return "".join(f"{indent}{line}\n" for line in lines)

    advanced = f"{title}, with Linux {version}"
    return (
        "# Written for a test, in the shape of update-grub's.\n"
        "if [ -s $prefix/grubenv ]; then\n  set have_grubenv=true\n  load_env\nfi\n"
        'if [ "${next_entry}" ] ; then\n   set default="${next_entry}"\n   set next_entry=\n'
        '   save_env next_entry\nelse\n   set default="0"\nfi\n'
        "function load_video {\n  if [ x$feature_all_video_module = xy ]; then\n"
        "    insmod all_video\n  fi\n}\n"
        "serial --unit=0 --speed=115200\nterminal_output console serial\nset timeout=0\n\n"
        + entry(title, f"gnulinux-simple-{ROOT_UUID}", f"{arguments} {more}", "")
        + f"submenu 'Advanced options for {title}' $menuentry_id_option 'gnulinux-advanced' {{\n"
        + entry(advanced, f"gnulinux-{version}-advanced", f"{arguments} {more}", "\t")
        + entry(
            f"{advanced} (recovery mode)",
            f"gnulinux-{version}-recovery",
            f"{arguments} single {more}",
            "\t",
        )
        + "}\n"
    )


# --- Red Hat's -------------------------------------------------------------------------------


def centos_boot(root: Root) -> dict[str, New]:
    """What is on /boot. Only the newer entry's initramfs is one: the others stop in a panic."""
    rescue = f"0-rescue-{MACHINE_ID}"
    files = {
        "/efi": folder(0o700),
        "/grub2": folder(0o700),
        "/grub2/grubenv": file(_grubenv(saved_entry=f"{MACHINE_ID}-{NEWER}", boot_success="0")),
        "/grub2/grub.cfg": file("insmod blscfg\nblscfg\n", 0o700),
        "/loader": folder(0o700),
        "/loader/entries": folder(0o700),
        f"/initramfs-{NEWER}.img": file(root.initrd, 0o600),
    }
    for version in (OLDER, NEWER, rescue):
        files[f"/vmlinuz-{version}"] = file(root.kernel, 0o755)
        entry = rescue.removeprefix("0-") if version == rescue else version
        name = f"{MACHINE_ID}-0-rescue" if version == rescue else f"{MACHINE_ID}-{entry}"
        files[f"/loader/entries/{name}.conf"] = file(_bls_entry(version))
        files.setdefault(f"/initramfs-{version}.img", file(b"no archive\n", 0o600))
    return files


def _bls_entry(version: str) -> str:
    return (
        f"title CentOS Stream ({version}) 9\nversion {version}\nlinux /vmlinuz-{version}\n"
        f"initrd /initramfs-{version}.img $tuned_initrd\n"
        f"options root=UUID={CENTOS_ROOT_UUID} ro console=ttyS0,115200n8 no_timer_check "
        "net.ifnames=0 $tuned_params\n"
        "grub_users $grub_users\ngrub_arg --unrestricted\ngrub_class centos\n"
    )


def _grubenv(**values: str) -> str:
    text = "# GRUB Environment Block\n" + "".join(
        f"{key}={value}\n" for key, value in values.items()
    )
    return text.ljust(1024, "#")


# --- Vagrant's -------------------------------------------------------------------------------


def vagrant_changes(root: Root, *, authorized: str, host_key: bytes) -> Changes:
    """An account that a key opens and sudo obeys, a network without cloud-init."""
    owner = (1000, 1000)
    return {
        "/etc/passwd": file(
            root.read("/etc/passwd") + "vagrant:x:1000:1000:vagrant:/home/vagrant:/bin/bash\n"
        ),
        "/etc/group": file(root.read("/etc/group") + "vagrant:x:1000:\n"),
        "/etc/shadow": file(
            root.read("/etc/shadow") + "vagrant:*:19700:0:99999:7:::\n", 0o640, owner=(0, 42)
        ),
        "/etc/sudoers.d/vagrant": file("vagrant ALL=(ALL) NOPASSWD: ALL\n", 0o440),
        "/home/vagrant": folder(owner=owner),
        "/home/vagrant/.ssh": folder(0o700, owner=owner),
        "/home/vagrant/.ssh/authorized_keys": file(authorized, 0o600, owner=owner),
        "/etc/ssh/ssh_host_ed25519_key": file(host_key, 0o600),
        "/etc/cloud/cloud-init.disabled": file(""),
        "/etc/systemd/network/80-dhcp.network": file(
            "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n"
        ),
    }
