"""What guests that cannot boot are made of: changed initrds of the micro box and of a Debian."""

from __future__ import annotations

import io
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.formats import cpio, unpack
from vagrantish.seed.initrd import segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a box is made of, to be changed."""

    kernel: Path
    initrd: Path

    def archive(self) -> bytes:
        """All that is in the initrd, unpacked, as one or more archives."""
        data = self.initrd.read_bytes()
        if data[:6] in cpio.MAGICS:
            return data
        stream = unpack.Unpacked(io.BytesIO(data))
        return b"".join(iter(lambda: stream.read(1 << 20), b""))


def with_more(archive: bytes, *entries: cpio.Entry) -> bytes:
    """With one more segment, which wins over what was there."""
    return archive + segment(entries)


def without(archive: bytes, is_dropped: Callable[[str], bool]) -> bytes:
    """Every other member as it is, hard links too."""
    kept = []
    at = 0
    while archive[at : at + 6] in cpio.MAGICS:
        fields = [int(archive[n : n + 8], 16) for n in range(at + 6, at + cpio.HEADER_LENGTH, 8)]
        start = at + cpio.HEADER_LENGTH
        name = archive[start : start + fields[11] - 1].decode()
        end = _aligned(_aligned(start + fields[11]) + fields[6])
        if not is_dropped(name):
            kept.append(archive[at:end])
        at = end
    return b"".join(kept)


def hasty(archive: bytes) -> bytes:
    """initramfs-tools waits for the root device for two seconds, not for half a minute."""
    assert b"slumber=30\n" in archive, "this initramfs-tools waits in another way"
    return archive.replace(b"slumber=30\n", b"slumber=02\n")


def release_of(archive: bytes) -> str:
    """The kernel's whose modules are in it."""
    match = re.search(rb"lib/modules/([^/\0]+)", archive)
    assert match is not None
    return match[1].decode()


def of_another_release(archive: bytes, release: str) -> bytes:
    """Its modules filed, and marked inside, as those of a kernel one build away."""
    return archive.replace(release.encode(), _other(release).encode())


def _other(release: str) -> str:
    """``6.1.0-50-cloud-amd64`` → ``6.1.0-51-cloud-amd64``: the bytes stay where they are."""
    match = re.search(r"-\d*(\d)", release)
    assert match is not None, release
    digit = str((int(match[1]) + 1) % 10)
    return release[: match.start(1)] + digit + release[match.end(1) :]


def small_disk(path: Path, *, size_mib: int = 16) -> Path:
    """An ext4 without a system on it."""
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "data", str(path), f"{size_mib}m"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return path


def damage(path: Path) -> None:
    """Some bytes in its middle are others, as on a disk that fails."""
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(4096))


def _aligned(offset: int) -> int:
    return offset + -offset % 4
