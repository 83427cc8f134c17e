"""Asks apt which packages there are and has it fetch them, as an ordinary user."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.errors import DigestMismatch, FetchError, HostError
from vagrantish.files import host_errors, make_dir, staging, sync_dir
from vagrantish.units import format_size

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping
    from pathlib import Path

    from vagrantish.events import Op, Step
    from vagrantish.paths import VxHome

_ASK_TIMEOUT_S = 120
_POLL_S = 0.1
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")


@dataclass(frozen=True, kw_only=True)
class Package:
    name: str
    version: str
    arch: str
    sha256: str
    size_bytes: int
    depends: tuple[tuple[str, ...], ...]  # names; each inner tuple holds alternatives

    @property
    def file_name(self) -> str:
        """As apt names it: the epoch's colon is escaped."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.arch}.deb"


def show(names: Iterable[str], *, alternatives: Iterable[str] = ()) -> dict[str, Package]:
    """The packages of these names apt would install and can fetch; others are left out.

    ``alternatives`` are asked for too, and not all of them are expected to be known. Raises
    HostError when apt does not answer.
    """
    wanted = sorted(set(names))
    found = parse_shown(_apt_cache("show", "--no-all-versions", *wanted, *alternatives))
    lost = [name for name in wanted if name not in found]
    if lost:
        # A version only dpkg knows cannot be fetched, but an older or newer one may be.
        for name, package in parse_shown(_apt_cache("show", *lost)).items():
            found.setdefault(name, package)
    return found


def _apt_cache(*arguments: str) -> str:
    try:
        result = subprocess.run(
            ["apt-cache", *arguments],
            capture_output=True,
            timeout=_ASK_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env=_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"apt-cache does not answer: {error}") from error
    return result.stdout.decode("utf-8", "replace")


def parse_shown(text: str) -> dict[str, Package]:
    """``apt-cache show``'s stanzas, the first of each name that can be fetched."""
    found: dict[str, Package] = {}
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z0-9-]+): *(.*)$", stanza, re.MULTILINE))
        name = fields.get("Package", "")
        if name in found or not fields.get("Filename") or not fields.get("SHA256"):
            continue
        found[name] = Package(
            name=name,
            version=fields["Version"],
            arch=fields["Architecture"],
            sha256=fields["SHA256"].lower(),
            size_bytes=int(fields["Size"]),
            depends=_depends(fields.get("Pre-Depends", "")) + _depends(fields.get("Depends", "")),
        )
    return found


def _depends(field: str) -> tuple[tuple[str, ...], ...]:
    groups = (group.split("|") for group in field.split(",") if group.strip())
    return tuple(
        tuple(match.group() for word in group if (match := _NAME.match(word.strip())))
        for group in groups
    )


def fetch(packages: Iterable[Package], home: VxHome, *, op: Op) -> Mapping[str, Path]:
    """Each package's file by its name, its digest checked; only what is not there yet is fetched.

    Raises FetchError, DigestMismatch, HostError, Cancelled.
    """
    kept = make_dir(home.downloads / "deb")
    listed = tuple(packages)
    missing = [package for package in listed if not _is_whole(kept / package.file_name, package)]
    if missing and op.offline:
        raise FetchError(
            f"{len(missing)} packages are not here yet, and vx is offline",
            hint="Run the same command once without --offline (VX_OFFLINE).",
        )
    if missing:
        total = sum(package.size_bytes for package in missing)
        with (
            op.step("box:packages", f"Fetching {len(missing)} packages") as step,
            staging(home.tmp) as folder,
        ):
            _download(missing, folder, total, step)
            with host_errors(f"write in {kept}"):
                for package in missing:
                    os.replace(
                        _checked(folder / package.file_name, package), kept / package.file_name
                    )
                sync_dir(kept)
        _drop_others(kept, {package.file_name for package in listed})
    return {package.name: kept / package.file_name for package in listed}


def _drop_others(kept: Path, names: Container[str]) -> None:
    """Packages of earlier builds; the caller is the only builder."""
    with host_errors(f"clean {kept}"):
        for path in kept.iterdir():
            if path.name not in names:
                path.unlink()


def _download(packages: Iterable[Package], folder: Path, total: int, step: Step) -> None:
    with host_errors(f"fetch {format_size(total)} of packages into {folder}"):
        # apt itself retries on a full disk for long, and then blames the network.
        if shutil.disk_usage(folder).free < total:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    log = folder / "apt.log"
    command = [
        "apt-get", "download", "-q",
        # As root, apt would drop to a user of its own, who cannot write into our folder.
        "-o", f"APT::Sandbox::User={'root' if os.geteuid() == 0 else ''}",
        *(f"{package.name}:{package.arch}={package.version}" if package.arch != "all"
          else f"{package.name}={package.version}" for package in packages),
    ]  # fmt: skip
    with host_errors(f"write {log}"), log.open("wb") as output:
        try:
            child = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                process_group=0,  # a Ctrl-C is ours to pass on
            )
        except FileNotFoundError as error:
            raise HostError("there is no apt-get on this host") from error
        try:
            while child.poll() is None:
                step.progress(_size_of(folder, log), total)
                step.op.cancel.sleep(_POLL_S)
        finally:
            if child.poll() is None:
                child.terminate()
            child.wait()
    if child.returncode:
        lines = log.read_text("utf-8", "replace").splitlines()
        errors = [line for line in lines if line.startswith("E:")] or lines
        raise FetchError(
            "apt-get could not fetch the packages: " + " ".join(errors[-2:]),
            hint="Check the network; when a package was not found, run `sudo apt-get update`.",
        )


def _size_of(folder: Path, log: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path != log and path.is_file())


def _is_whole(path: Path, package: Package) -> bool:
    try:
        return path.stat().st_size == package.size_bytes and _sha256(path) == package.sha256
    except OSError:
        return False


def _checked(path: Path, package: Package) -> Path:
    if not path.is_file():
        raise FetchError(f"apt-get did not fetch {package.file_name}")
    actual = _sha256(path)
    if actual != package.sha256:
        raise DigestMismatch(
            package.file_name,
            expected=f"sha256:{package.sha256}",
            actual=f"sha256:{actual}",
            hint="Run `sudo apt-get update`; a mirror may be stale.",
        )
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}


def native_arch() -> str | None:
    """What dpkg calls this host's architecture; None where there is no dpkg or no apt."""
    if any(shutil.which(program) is None for program in ("apt-get", "apt-cache", "dpkg-deb")):
        return None
    try:
        result = subprocess.run(
            ["dpkg", "--print-architecture"], capture_output=True, timeout=_ASK_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.decode("ascii", "replace").strip() or None
