"""Disk images as distributions lay them out, put together from small file systems."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# What lies at a path: a file's bytes or text, or what a link points to.
Tree = dict[str, "bytes | str | Link"]

TOOLS = ("mkfs.xfs", "mkfs.ext4", "mkfs.btrfs", "mkfs.vfat", "mcopy", "sfdisk", "qemu-img")
MIB = 1 << 20
# Types of GPT partitions.
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
XBOOTLDR = "BC13C2FF-59E6-4262-A352-B275FD6F7172"
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
BIOS = "21686148-6449-6E6F-744E-656564454649"
ROOT = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
LVM = "E6D6D379-F507-44C2-A23C-238F2A3DF928"


@dataclass(frozen=True)
class Link:
    target: str


@dataclass(frozen=True, kw_only=True)
class Part:
    number: int
    image: Path | None  # None: an empty MiB
    type: str = LINUX  # as sfdisk takes it
    name: str = ""
    uuid: str = ""


def missing(*tools: str) -> str:
    """Those of the tools that are not installed; "" when all are."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return ", ".join(tool for tool in tools if not shutil.which(tool, path=path))


def kernel(mark: str, *, size: int = 4096) -> bytes:
    """Looks like a bzImage for x86_64 as far as its first bytes."""
    head = bytearray(0x240)
    head[0x202:0x206] = b"HdrS"
    head[0x206:0x208] = b"\x0f\x02"  # boot protocol 2.15
    head[0x236] = 1
    return (bytes(head) + mark.encode() * size)[:size]


def run(*argv: object, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    whole = {
        **os.environ,
        "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
        "LC_ALL": "C",
        **(env or {}),
    }
    done = subprocess.run(
        [str(word) for word in argv],
        input=stdin.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=whole,
        check=False,
        timeout=60,
    )
    text = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, f"{argv}: {text}"
    return text


def folder_of(tree: Tree, folder: Path) -> Path:
    folder.mkdir()
    for path, content in tree.items():
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            target.symlink_to(content.target)
        else:
            target.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def xfs(target: Path, tree: Tree, *options: object, label: str = "") -> Path:
    folder = folder_of(tree, target.with_name(f"{target.name}.tree"))
    lines = ["/", "0 0", *_protofile(folder, "d--755 0 0")]
    proto = target.with_name(f"{target.name}.proto")
    proto.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _sparse(target, 32)
    # mkfs.xfs makes small file systems for its own tests only, and knows these by the variables.
    small = {"TEST_DIR": "x", "TEST_DEV": "x", "QA_CHECK_FS": "x"}
    run("mkfs.xfs", "-q", "-f", "-L", label, *options, "-p", proto, target, env=small)
    return target


def ext4(target: Path, tree: Tree, *options: object, label: str = "") -> Path:
    folder = folder_of(tree, target.with_name(f"{target.name}.tree"))
    _sparse(target, 16)
    run("mkfs.ext4", "-q", "-F", "-L", label, *options, "-d", folder, target)
    return target


def btrfs(target: Path, tree: Tree, *, label: str = "") -> Path:
    folder = folder_of(tree, target.with_name(f"{target.name}.tree"))
    _sparse(target, 120)
    run("mkfs.btrfs", "-q", "-L", label, "--rootdir", folder, target)
    return target


def vfat(target: Path, tree: Tree, *, label: str = "ESP") -> Path:
    folder = folder_of(tree, target.with_name(f"{target.name}.tree"))
    _sparse(target, 8)
    run("mkfs.vfat", "-n", label, target)
    if tree:
        run("mcopy", "-i", target, "-s", *folder.iterdir(), "::")
    return target


def gpt(target: Path, parts: Sequence[Part]) -> Path:
    """The partitions lie on the disk in the order given."""
    return _disk(target, parts, "label: gpt")


def mbr(target: Path, parts: Sequence[Part], *, disk_id: str = "0x1234abcd") -> Path:
    return _disk(target, parts, f"label: dos\nlabel-id: {disk_id}")


def _disk(target: Path, parts: Sequence[Part], head: str) -> Path:
    placed, size = _placed(parts)
    _sparse(target, size)
    lines = [head]
    for part, start, mib in placed:
        line = f"{part.number}: start={start * 2048}, size={mib * 2048}, type={part.type}"
        line += f', name="{part.name}"' if part.name else ""
        lines.append(line + (f", uuid={part.uuid}" if part.uuid else ""))
    run("sfdisk", "-q", target, stdin="\n".join(lines) + "\n")
    for part, start, _ in placed:
        if part.image:
            run(
                "dd", f"if={part.image}", f"of={target}", "bs=1M", f"seek={start}",
                "conv=notrunc,sparse", "status=none",
            )  # fmt: skip
    return target


def _placed(parts: Sequence[Part]) -> tuple[list[tuple[Part, int, int]], int]:
    """(part, MiB where it starts, MiB it has), and MiB of the whole disk."""
    at, placed = 1, []
    for part in parts:
        mib = -(-part.image.stat().st_size // MIB) if part.image else 1
        placed.append((part, at, mib))
        at += mib
    return placed, at + 1


def _sparse(target: Path, mib: int) -> None:
    with target.open("wb") as file:
        file.truncate(mib * MIB)


def _protofile(folder: Path, line: str) -> list[str]:
    lines = [line]
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            lines.append(f"{path.name} l--777 0 0 {path.readlink()}")
        elif path.is_dir():
            lines += _protofile(path, f"{path.name} d--755 0 0")
        else:
            lines.append(f"{path.name} ---644 0 0 {path}")
    return [*lines, "$"]
