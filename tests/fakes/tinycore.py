"""A stand-in for Tiny Core, laid out as its mirrors are, made of this host's packages.

It boots as Tiny Core does, with its bootcodes, its order and its traps, and has none of its files.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import posixpath
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from tests.fakes.recorder import quiet_op
from vagrantish.box.micro import apt, debs, image, recipe
from vagrantish.formats import cpio, elf
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).with_name("tinycore")
VERSION = "16.2"
SERIES = "16.x/x86_64"
RELEASE = f"{SERIES}/release"
ISO = f"{RELEASE}/CorePure64-{VERSION}.iso"
EXTENSIONS = ("openssl.tcz", "openssh.tcz")  # in the order they are loaded
MISSING = next(
    (p for p in ("apt-get", "dpkg-deb", "mksquashfs", "xorriso") if shutil.which(p) is None), None
)

_STAFF = 50
_INSTALLED = "usr/local/tce.installed"
_LIBRARIES = "usr/lib/x86_64-linux-gnu/"


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """The folder a test's server serves."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / RELEASE / "distribution_files" / "vmlinuz64"

    @property
    def initrd(self) -> Path:
        return self.folder / RELEASE / "distribution_files" / "corepure64.gz"

    @property
    def iso(self) -> Path:
        return self.folder / ISO

    def extension(self, name: str) -> Path:
        return self.folder / SERIES / "tcz" / name

    def extensions(self) -> tuple[tuple[str, bytes], ...]:
        return tuple((name, self.extension(name).read_bytes()) for name in EXTENSIONS)


def cached() -> Mirror:
    """The one of this checkout, built when it is not there or older than what it is made of."""
    cache = ROOT / ".cache" / "test-tinycore"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / _fingerprint()
    with FileLock(cache / "lock"):
        if not folder.is_dir():
            for old in (*cache.glob("?" * 12), *cache.glob("*.making")):
                shutil.rmtree(old)
            making = folder.with_suffix(".making")
            build(making, VxHome(cache / "home"))
            making.rename(folder)
    return Mirror(folder=folder)


def _fingerprint() -> str:
    digest = hashlib.sha256()
    micro = Path(image.__file__).parent
    for path in sorted((Path(__file__), *SOURCES.rglob("*"), *micro.glob("*.py"))):
        if path.is_file():
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def build(folder: Path, home: VxHome) -> Mirror:
    """Make the whole tree; the packages are kept in ``home``."""
    op = quiet_op()
    rules = recipe.load(SOURCES)
    selection = recipe.select(rules)
    packages = apt.fetch(selection.packages, home, op=op)
    with op.step("build", "Building") as step:
        vmlinuz, base = image.build(rules, selection, packages, step)
    mirror = Mirror(folder=folder)
    _write(mirror.kernel, vmlinuz)
    # Several archives may share one compressed member; the second has the owners.
    _write(mirror.initrd, gzip.compress(base + cpio.archive(_owned()), 6, mtime=0))
    _write_iso(mirror)
    names = frozenset(entry.name for entry in cpio.walk(io.BytesIO(base)))
    for name, files in _extensions(selection, packages, names).items():
        _write_extension(mirror.extension(name), files)
    _write(mirror.extension("openssh.tcz.dep"), b"openssl.tcz\n \n")
    return mirror


def _owned() -> Iterable[cpio.Entry]:
    """What does not belong to root alone, as in the real one."""
    yield cpio.directory("tmp", mode=0o1777, gid=_STAFF)
    yield cpio.directory("home", mode=0o775, gid=_STAFF)
    yield cpio.directory("mnt", mode=0o775, gid=_STAFF)
    yield cpio.directory("opt", mode=0o2775, gid=_STAFF)
    yield cpio.directory("etc/sysconfig")
    yield cpio.directory(_INSTALLED, mode=0o775)
    for path in sorted((SOURCES / "root" / "opt").iterdir()):
        mode = 0o775 if path.suffix == ".sh" else 0o664
        yield cpio.file(f"opt/{path.name}", path.read_bytes(), mode=mode, gid=_STAFF)


def _extensions(
    selection: recipe.Selection, packages: Mapping[str, Path], base: frozenset[str]
) -> dict[str, dict[str, bytes]]:
    """Of each extension: path in it → content."""
    found: dict[str, bytes] = {}
    links: dict[str, str] = {}
    for package in selection.packages:
        if package.name not in selection.kernel:
            files, named = debs.read(packages[package.name], _is_program_or_library)
            found |= files
            links |= named
    by_soname = {posixpath.basename(path): data for path, data in found.items()}
    for path, target in links.items():
        if posixpath.basename(target) in by_soname:
            by_soname.setdefault(posixpath.basename(path), by_soname[posixpath.basename(target)])
    ssh = {
        "usr/local/sbin/sshd": found["usr/sbin/sshd"],
        "usr/local/bin/ssh": found["usr/bin/ssh"],
        "usr/local/bin/scp": found["usr/bin/scp"],
        "usr/local/bin/ssh-keygen": found["usr/bin/ssh-keygen"],
        "usr/local/etc/ssh/sshd_config.orig": b"Subsystem sftp /usr/libexec/sftp-server\n",
        f"{_INSTALLED}/openssh": (SOURCES / "openssh.start").read_bytes(),
    }
    ssh |= _libraries(ssh.values(), by_soname, base)
    ssl = {name: ssh.pop(name) for name in tuple(ssh) if "/libcrypto." in name}
    dropbear = {"usr/local/sbin/dropbear": found["usr/sbin/dropbear"]}
    dropbear |= _libraries(dropbear.values(), by_soname, base)
    return {"openssl.tcz": ssl, "openssh.tcz": ssh, "dropbear.tcz": dropbear}


def _libraries(
    programs: Iterable[bytes], by_soname: Mapping[str, bytes], base: frozenset[str]
) -> dict[str, bytes]:
    """What these are linked with and the base does not have."""
    pending = [data for data in programs if elf.is_elf(data)]
    placed: dict[str, bytes] = {}
    while pending:
        for soname in elf.needed(pending.pop()):
            name = f"usr/local/lib/{soname}"
            if name in placed or f"{_LIBRARIES}{soname}" in base or soname.startswith("ld-"):
                continue
            placed[name] = by_soname[soname]
            pending.append(by_soname[soname])
    return placed


def _is_program_or_library(path: str) -> bool:
    return path.startswith(("usr/bin/s", "usr/sbin/s", "usr/sbin/d")) or (
        path.startswith(_LIBRARIES) and ".so" in path
    )


def _write_extension(target: Path, files: Mapping[str, bytes]) -> None:
    tree = target.with_suffix(".tree")
    (tree / _INSTALLED).mkdir(parents=True)
    for name, data in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    # Owners and modes are told, so that it does not matter who builds this.
    owned = [path.relative_to(tree).as_posix() for path in tree.rglob("*")]
    lines = [f"{name} m {_mode_of(files.get(name)):o} 0 0" for name in owned if name != _INSTALLED]
    owners = target.with_suffix(".owners")
    owners.write_text("\n".join([*lines, f"{_INSTALLED} m 775 0 {_STAFF}\n"]))
    # As Tiny Core's own are made: small blocks, gzip.
    _run("mksquashfs", str(tree), str(target), "-pf", str(owners), "-b", "4k", "-no-xattrs",
         "-comp", "gzip", "-noappend", "-no-progress", "-quiet")  # fmt: skip
    shutil.rmtree(tree)
    owners.unlink()
    _write_md5(target)


def _mode_of(data: bytes | None) -> int:
    return 0o755 if data is None or elf.is_elf(data) or data.startswith(b"#!") else 0o644


def _write_iso(mirror: Mirror) -> None:
    tree = mirror.iso.with_suffix(".tree")
    boot = tree / "boot"
    (boot / "isolinux").mkdir(parents=True)
    shutil.copy(mirror.kernel, boot / "vmlinuz64")
    shutil.copy(mirror.initrd, boot / "corepure64.gz")
    (boot / "isolinux" / "isolinux.bin").write_bytes(b"no boot loader".ljust(2048, b"\0"))
    (boot / "isolinux" / "isolinux.cfg").write_text(
        "default corepure64\nlabel corepure64\n\tkernel /boot/vmlinuz64\n"
        "\tinitrd /boot/corepure64.gz\n\tappend loglevel=3\n"
    )
    _run("xorriso", "-as", "mkisofs", "-quiet", "-V", "CorePure64", "-J", "-R",
         "-b", "boot/isolinux/isolinux.bin", "-no-emul-boot", "-boot-load-size", "4",
         "-o", str(mirror.iso), str(tree))  # fmt: skip
    shutil.rmtree(tree)
    _write_md5(mirror.iso)


def _write(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    if target.suffix != ".dep":
        _write_md5(target)


def _write_md5(target: Path) -> None:
    digest = hashlib.md5(target.read_bytes()).hexdigest()
    target.with_name(f"{target.name}.md5.txt").write_text(f"{digest}  {target.name}\n")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (command, done.stderr)
