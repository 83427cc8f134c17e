"""The Debian (or Ubuntu) system that every test image holds, made from this host's own packages.

Run as a program, it is the part that has to keep owners and modes: it unpacks a tar and makes a
file system of it, as root or below fakeroot.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

KERNELS = ("linux-image-cloud-amd64", "linux-image-virtual")  # Debian's; Ubuntu's
PACKAGES = (
    "usr-is-merged",  # takes usrmerge's place, which brings all of perl
    "systemd-sysv", "systemd-resolved", "udev", "dbus", "kmod", "initramfs-tools", "zstd",
    "cloud-init", "cloud-guest-utils", "gdisk", "e2fsprogs", "xfsprogs", "netplan.io", "iproute2",
    "openssh-server", "sudo", "rsync", "procps", "python3-minimal", "busybox-static",
)  # fmt: skip
# What no guest of a test looks at: half of the size, and of the time it takes to build and boot.
LEFT_OUT = (
    "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*",
    "/usr/share/i18n/*", "/usr/lib/*/gconv/*", "/lib/udev/hwdb.d/*", "/usr/lib/udev/hwdb.d/*",
    "/usr/lib/*/libicudata*",  # only xfs_scrub wants it
    *(
        f"/lib/modules/*/kernel/{part}/*"
        for part in (
            "arch/x86/kvm", "drivers/comedi", "drivers/infiniband", "drivers/net/ethernet",
            "drivers/target", "fs/btrfs", "fs/ceph", "fs/nfs", "fs/nfsd", "fs/smb", "net/sunrpc",
        )
    ),
)  # fmt: skip
HOOKS = (
    'rm -f "$1"/etc/ssh/ssh_host_*; : >"$1/etc/machine-id"',
    'chroot "$1" systemctl --quiet enable systemd-networkd systemd-resolved ssh serial-getty@ttyS0',
)
ROOT_FS_BYTES = 1 << 30  # an image's own is enlarged from here
ROOT_UUID = "a2c5b1de-7d5c-4f3c-9b35-2f6c3d0e1a01"


@dataclass(frozen=True)
class Entry:
    """A file of the root as it is in the guest, whoever owns it here."""

    path: str  # "/etc/passwd"
    mode: int
    uid: int
    gid: int
    target: str  # of a symbolic link
    rdev: int


@dataclass(frozen=True)
class Root:
    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def ext4(self) -> Path:
        """A sparse file of ROOT_FS_BYTES, without a label."""
        return self.folder / "root.ext4"

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """All but the root itself, a folder before what it holds."""
        lines = json.loads((self.folder / "entries.json").read_text(encoding="utf-8"))
        return tuple(Entry(*line) for line in lines)

    @cached_property
    def version(self) -> str:
        """The kernel's, as its modules are filed."""
        (folder,) = (self.tree / "usr/lib/modules").iterdir()
        return folder.name

    @property
    def kernel(self) -> Path:
        return self.tree / f"boot/vmlinuz-{self.version}"

    @property
    def initrd(self) -> Path:
        return self.tree / f"boot/initrd.img-{self.version}"

    def read(self, path: str) -> str:
        return (self.tree / path.lstrip("/")).read_text(encoding="utf-8")


def build(folder: Path) -> None:
    """Fill the empty ``folder`` with what Root names. Needs root, or a user with subordinate ids."""
    tar = folder / "root.tar"
    log = folder / "mmdebstrap.log"
    with log.open("wb") as output:
        done = subprocess.run(
            mmdebstrap_argv(tar), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    assert done.returncode == 0, log.read_text("utf-8", "replace")[-4000:]
    own = [] if os.geteuid() == 0 else ["fakeroot"]
    subprocess.run([*own, sys.executable, __file__, tar, folder], check=True)
    tar.unlink()


def mmdebstrap_argv(tar: Path) -> list[str]:
    options = [
        f"--mode={'root' if os.geteuid() == 0 else 'unshare'}", "--variant=minbase",
        "--format=tar", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        f"--include={','.join((_kernel_package(), *PACKAGES))}",
        "--aptopt=APT::Install-Recommends false", "--dpkgopt=force-unsafe-io",
    ]  # fmt: skip
    options += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    options += [f"--customize-hook={hook}" for hook in HOOKS]
    codename, sources = _sources()
    return ["mmdebstrap", *options, codename, str(tar), *sources]


def _sources() -> tuple[str, list[str]]:
    """This host's release and where it takes its packages from, third parties left out."""
    fields = "$(ORIGIN)|$(CODENAME)|deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    listed = _output("apt-get", "indextargets", "--format", fields, "Created-By: Packages")
    lines = [line.split("|") for line in listed.splitlines()]
    kept = [line for line in lines if line[0] in ("Debian", "Ubuntu")]
    assert kept, "apt has no package lists here: sudo apt-get update"
    codename = min((line[1] for line in kept), key=len)  # "noble" of "noble-security" and "noble"
    return codename, sorted({line[2] for line in kept})


def _kernel_package() -> str:
    for name in KERNELS:
        if "Candidate: (none)" not in (shown := _output("apt-cache", "policy", name)) and shown:
            return name
    raise AssertionError(f"apt knows none of {', '.join(KERNELS)} here: sudo apt-get update")


def _output(*argv: str) -> str:
    env = os.environ | {"LC_ALL": "C"}
    return subprocess.run(argv, check=True, capture_output=True, text=True, env=env).stdout


# --- with the guest's owners and modes -------------------------------------------------------


def unpack(tar: Path, root: Root) -> None:
    root.tree.mkdir()
    # Device nodes stay out: fakeroot's are lost with it, and the guest's /dev is a devtmpfs.
    subprocess.run(
        ["tar", "-xpf", tar, "-C", root.tree, "--numeric-owner", "--exclude=./dev/*"], check=True
    )
    entries = list(_walk(root.tree, "/"))
    for entry in entries:
        if entry.path.endswith(".pyc"):
            _free_of_time(root.tree / entry.path[1:])
    lines = [[e.path, e.mode, e.uid, e.gid, e.target, e.rdev] for e in entries]
    (root.folder / "entries.json").write_text(json.dumps(lines), encoding="utf-8")
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-U", ROOT_UUID, "-m", "0",
         "-E", f"lazy_itable_init=1,hash_seed={ROOT_UUID}", "-d", root.tree,
         root.ext4, f"{ROOT_FS_BYTES >> 10}k"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _walk(tree: Path, above: str) -> list[Entry]:
    found = []
    for item in sorted(os.scandir(tree), key=lambda item: item.name):
        status = item.stat(follow_symlinks=False)
        target = os.readlink(item.path) if item.is_symlink() else ""
        path = f"{above}{item.name}"
        found.append(
            Entry(path, status.st_mode, status.st_uid, status.st_gid, target, status.st_rdev)
        )
        if stat.S_ISDIR(status.st_mode):
            found += _walk(Path(item.path), f"{path}/")
    return found


def _free_of_time(pyc: Path) -> None:
    """Have Python trust the compiled file as it is (PEP 552's unchecked kind).

    mkfs.xfs gives each file the time of now, and every start of the guest would compile anew.
    """
    with pyc.open("r+b") as file:
        file.seek(4)
        file.write(b"\1\0\0\0" + bytes(8))


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Root(Path(sys.argv[2])))
