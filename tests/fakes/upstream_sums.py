"""What publishers lay beside a file: checksums in the dialects they are written in, signatures."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.signer import Signer


def sums_text(name: str, marker: str) -> Callable[[Path, str, Signer], None]:
    def publish(file: Path, algorithm: str, _key: Signer) -> None:
        other = f"{'0' * len(digest(file, algorithm))} {marker}{file.name}.manifest\n"
        line = f"{digest(file, algorithm)} {marker}{file.name}\n"
        (file.parent / name).write_text(other + line, encoding="ascii")

    return publish


def ubuntu_sums(file: Path, algorithm: str, key: Signer) -> None:
    sums_text("SHA256SUMS", "*")(file, algorithm, key)
    sums = file.parent / "SHA256SUMS"
    (file.parent / "SHA256SUMS.gpg").write_bytes(key.detached(sums, armor=False))


def alma_sums(file: Path, algorithm: str, key: Signer) -> None:
    sums_text("CHECKSUM", " ")(file, algorithm, key)
    sums = file.parent / "CHECKSUM"
    (file.parent / "CHECKSUM.asc").write_bytes(key.detached(sums, armor=True))


def _bsd(file: Path, algorithm: str) -> str:
    said = f"# {file.name}: {file.stat().st_size} bytes\n"
    return f"{said}{algorithm.upper()} ({file.name}) = {digest(file, algorithm)}\n"


def centos_sums(file: Path, algorithm: str, _key: Signer) -> None:
    Path(f"{file}.SHA256SUM").write_text(_bsd(file, algorithm), encoding="ascii")


def rocky_sums(file: Path, algorithm: str, key: Signer) -> None:
    sums = Path(f"{file}.CHECKSUM")
    sums.write_text(_bsd(file, algorithm), encoding="ascii")
    Path(f"{sums}.asc").write_bytes(key.detached(sums, armor=True))


def fedora_sums(file: Path, algorithm: str, key: Signer) -> None:
    sums = file.with_name("Fedora-Cloud-44-1.7-x86_64-CHECKSUM")
    sums.write_bytes(key.clear(_bsd(file, algorithm)))


def alpine_sums(file: Path, _algorithm: str, key: Signer) -> None:
    Path(f"{file}.sha256").write_text(f"{digest(file, 'sha256')}  {file.name}\n", "ascii")
    Path(f"{file}.sha512").write_text(f"{digest(file, 'sha512')}\n", "ascii")
    Path(f"{file}.asc").write_bytes(key.detached(file, armor=True))


def link(path: Path, target: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target.resolve())
    return path


def digest(file: Path, algorithm: str) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, algorithm).hexdigest()
