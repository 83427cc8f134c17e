"""File systems and partitioned disks written without root: e2fsprogs, xfsprogs, gdisk, mtools."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tests.fakes.images_root import Root

SECTOR = 512


@dataclass(frozen=True)
class New:
    """A file, folder or link that an image gets; ``mode`` says which."""

    mode: int
    uid: int = 0
    gid: int = 0
    data: bytes | Path = b""  # a path: that file's content
    target: str = ""


Changes = dict[str, New | None]  # by path in the guest; None takes a file away


def file(data: str | bytes | Path, mode: int = 0o644, *, owner: tuple[int, int] = (0, 0)) -> New:
    return New(stat.S_IFREG | mode, *owner, data=data.encode() if isinstance(data, str) else data)


def folder(mode: int = 0o755, *, owner: tuple[int, int] = (0, 0)) -> New:
    return New(stat.S_IFDIR | mode, *owner)


def link(target: str) -> New:
    return New(stat.S_IFLNK | 0o777, target=target)


# --- ext4 ------------------------------------------------------------------------------------


def root_ext4(
    root: Root, image: Path, *, size_bytes: int, label: str = "", changes: Changes
) -> None:
    copy_sparse(root.ext4, image)
    existing = {entry.path for entry in root.entries}
    change_ext4(image, changes, existing)
    if label:
        _run("tune2fs", "-L", label, image)
    _run("resize2fs", "-f", image, f"{size_bytes // 1024}K")


def new_ext4(image: Path, *, size_bytes: int, label: str, uuid: str, changes: Changes) -> None:
    _run(
        "mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-U", uuid, "-m", "0",
        "-E", f"lazy_itable_init=1,hash_seed={uuid}", image, f"{size_bytes // 1024}k",
    )  # fmt: skip
    change_ext4(image, changes, set())


def change_ext4(image: Path, changes: Changes, existing: set[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        lines = []
        for number, (path, new) in enumerate(changes.items()):
            lines.append(f"cd {PurePosixPath(path).parent}")
            if path in existing:
                lines.append(f"rm {PurePosixPath(path).name}")
            if new is not None:
                lines += _debugfs_lines(path, new, Path(scratch) / str(number))
        script = Path(scratch) / "script"
        script.write_text("\n".join(lines) + "\n", encoding="utf-8")
        done = _run("debugfs", "-w", "-f", script, image)
    # debugfs ends with 0 whatever happened; beside its version it says only what went wrong.
    said = [line for line in done.stderr.splitlines() if not line.startswith("debugfs ")]
    assert not said, said


def _debugfs_lines(path: str, new: New, scratch: Path) -> Iterator[str]:
    """What makes ``new``, from within its folder: debugfs takes "/x" for a name below where it is."""
    name = PurePosixPath(path).name
    if stat.S_ISLNK(new.mode):
        yield f"symlink {name} {new.target}"
        return
    yield f"mkdir {name}" if stat.S_ISDIR(new.mode) else f"write {_source(new, scratch)} {name}"
    for field, value in (("mode", f"0{new.mode:o}"), ("uid", new.uid), ("gid", new.gid)):
        yield f"set_inode_field {name} {field} {value}"


def _source(new: New, scratch: Path) -> Path:
    if isinstance(new.data, Path):
        return new.data
    scratch.write_bytes(new.data)
    return scratch


# --- XFS -------------------------------------------------------------------------------------


def new_xfs(
    image: Path,
    files: Mapping[str, New],
    *,
    size_bytes: int,
    label: str,
    uuid: str,
    options: str = "bigtime=0,inobtcount=0",  # as Rocky's
) -> None:
    """A sparse file of ``size_bytes``, which mkfs.xfs refuses below 300 MiB."""
    truncate(image, size_bytes)
    with tempfile.TemporaryDirectory() as scratch:
        proto = Path(scratch) / "proto"
        lines = ["/", "0 0", "d--755 0 0", *_proto_lines(files, Path(scratch)), "$"]
        proto.write_text("\n".join(lines) + "\n", encoding="utf-8")
        _run(
            "mkfs.xfs", "-q", "-f", "-L", label, "-m", f"uuid={uuid},{options}", "-p", proto, image
        )


def root_files(root: Root, changes: Changes) -> dict[str, New]:
    """The whole root with its changes, in the order XFS's prototype needs."""
    files: dict[str, New] = {
        entry.path: New(
            entry.mode, entry.uid, entry.gid, data=root.tree / entry.path[1:], target=entry.target
        )
        for entry in root.entries
    }
    for path, new in changes.items():
        files.pop(path, None)
        if new is not None:
            files[path] = new
    return files


def _proto_lines(files: Mapping[str, New], scratch: Path) -> Iterator[str]:
    """mkfs.xfs(8), "protofile": a folder's lines end with $; there is no way to say sticky."""
    inside: list[str] = []
    for number, path in enumerate(sorted(files, key=lambda path: path.split("/"))):
        new = files[path]
        parts = path.split("/")[1:]
        while inside != parts[: len(inside)]:
            inside.pop()
            yield "$"
        kind = {stat.S_IFDIR: "d", stat.S_IFLNK: "l"}.get(stat.S_IFMT(new.mode), "-")
        setuid = "u" if new.mode & stat.S_ISUID else "-"
        setgid = "g" if new.mode & stat.S_ISGID else "-"
        line = f"{parts[-1]} {kind}{setuid}{setgid}{new.mode & 0o777:03o} {new.uid} {new.gid}"
        if kind == "d":
            inside = parts
            yield line
        else:
            yield f"{line} {new.target or _source(new, scratch / str(number))}"
    yield from "$" * len(inside)


# --- FAT -------------------------------------------------------------------------------------


def new_esp(image: Path, *, size_bytes: int, label: str = "") -> None:
    """An EFI system partition's usual place for a loader, with nothing that would run in it."""
    truncate(image, size_bytes)
    _run("mkfs.vfat", *(["-n", label] if label else []), "-i", "5a0ec1da", image)
    with tempfile.NamedTemporaryFile() as loader:
        loader.write(b"not a loader: the kernel of this image is started directly\n")
        loader.flush()
        _run("mmd", "-i", image, "::/EFI", "::/EFI/BOOT")
        _run("mcopy", "-i", image, loader.name, "::/EFI/BOOT/BOOTX64.EFI")


# --- disks -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    number: int
    start: int  # sector
    sectors: int
    type: str  # GPT: sgdisk's code; MBR: hexadecimal
    content: Path | None = None
    name: str = ""
    guid: str = ""


def write_gpt(disk: Path, size_bytes: int, parts: Sequence[Part]) -> None:
    truncate(disk, size_bytes)
    argv = ["sgdisk", "-o", "-a", "1", "-U", "6f1c8d5e-43b0-4a5e-9d0b-2d3f4c5b6a70"]
    for part in parts:
        argv += ["-n", f"{part.number}:{part.start}:{part.start + part.sectors - 1}"]
        argv += ["-t", f"{part.number}:{part.type}", "-c", f"{part.number}:{part.name}"]
        argv += ["-u", f"{part.number}:{part.guid}"] if part.guid else []
    _run(*argv, disk)
    _fill(disk, parts)


def write_mbr(disk: Path, size_bytes: int, parts: Sequence[Part]) -> None:
    truncate(disk, size_bytes)
    lines = ["label: dos", "label-id: 0x76788b1d"]
    lines += [f"start={p.start}, size={p.sectors}, type={p.type}, bootable" for p in parts]
    _run("sfdisk", "-q", disk, stdin="\n".join(lines) + "\n")
    _fill(disk, parts)


def _fill(disk: Path, parts: Iterable[Part]) -> None:
    for part in parts:
        if part.content:
            assert part.content.stat().st_size <= part.sectors * SECTOR, part
            copy_sparse(part.content, disk, at=part.start * SECTOR)


def truncate(image: Path, size_bytes: int) -> None:
    with image.open("wb") as empty:
        empty.truncate(size_bytes)


def copy_sparse(source: Path, target: Path, *, at: int = 0) -> None:
    with source.open("rb") as reader, target.open("r+b" if at else "wb") as writer:
        size = os.fstat(reader.fileno()).st_size
        if not at:
            writer.truncate(size)
        position = 0
        while (start := _next_data(reader.fileno(), position)) is not None:
            position = os.lseek(reader.fileno(), start, os.SEEK_HOLE)
            while start < position:
                start += os.copy_file_range(
                    reader.fileno(), writer.fileno(), position - start, start, at + start
                )


def _next_data(descriptor: int, position: int) -> int | None:
    try:
        return os.lseek(descriptor, position, os.SEEK_DATA)
    except OSError:  # only a hole is left
        return None


def qcow2(raw: Path, image: Path, *options: str) -> None:
    """Convert and let go of the raw disk: ``-c`` makes the zlib clusters that publishers ship."""
    _run("qemu-img", "convert", "-O", "qcow2", *options, raw, image)
    raw.unlink()


def _run(*argv: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    env = os.environ | {"LC_ALL": "C", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run(list(argv), input=stdin, capture_output=True, text=True, env=env)
    assert done.returncode == 0, f"{argv[0]}: {done.stdout}{done.stderr}"
    return done
