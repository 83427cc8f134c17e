"""Files that appear whole or not at all, cheap copies, and host failures turned into ours."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import uuid
from contextlib import contextmanager
from glob import escape
from typing import TYPE_CHECKING

from vagrantish.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COPY_CHUNK = 1 << 20
_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)


@contextmanager
def host_errors(doing: str) -> Iterator[None]:
    """Turns what the host's file system refuses into a HostError that says how to go on."""
    try:
        yield
    except OSError as error:
        raise host_error(error, doing) from error


def host_error(error: OSError, doing: str) -> HostError:
    """``doing`` completes "cannot …": "write /x/y"."""
    reason = error.strerror or str(error)
    hint = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = (
            "Free some space, or point VX_HOME at a bigger disk; then run the same command again."
        )
    elif error.errno == errno.EFBIG:
        hint = (
            "Its file system or `ulimit -f` allows no file that big: point VX_HOME elsewhere, "
            "or raise the limit."
        )
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "Check who owns it and its mode, or point VX_HOME at a folder you can write."
    where = f": {error.filename}" if error.filename and str(error.filename) not in doing else ""
    return HostError(f"cannot {doing}: {reason}{where}", hint=hint)


def make_dir(path: Path, *, mode: int = 0o755) -> Path:
    """Make ``path`` and its parents. Raises HostError."""
    with host_errors(f"make the folder {path}"):
        path.mkdir(parents=True, exist_ok=True, mode=mode)
    return path


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace ``path`` whole, surviving a power cut: staged beside it, synced, renamed.

    Raises HostError; the old file then stays as it was.
    """
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with host_errors(f"write {path}"):
        try:
            descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.replace(staged, path)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
        sync_dir(path.parent)


def sweep_staged(*paths: Path) -> None:
    """Remove what a killed ``write_atomic`` left beside these; nobody may be writing them now."""
    for path in paths:
        for staged in path.parent.glob(f".{escape(path.name)}.*.tmp"):
            with host_errors(f"remove {staged}"):
                staged.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_dir(path: Path) -> None:
    """Make a rename inside ``path`` last; a no-op where folders cannot be opened."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def staging(tmp: Path) -> Iterator[Path]:
    """A fresh folder below ``tmp``, gone at the end unless it was renamed away.

    Folders left by a killed vx are swept first: theirs are the ones nobody holds locked.
    """
    from filelock import FileLock

    make_dir(tmp)
    sweep(tmp)
    name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    lock_path = tmp / f"{name}.lock"
    with host_errors(f"write in {tmp}"):
        lock = FileLock(lock_path, thread_local=False)
        lock.acquire()
    try:
        folder = tmp / name
        with host_errors(f"make the folder {folder}"):
            folder.mkdir(mode=0o700)
        yield folder
    finally:
        remove_tree(tmp / name)
        lock_path.unlink(missing_ok=True)
        lock.release()


def sweep(tmp: Path) -> None:
    """Remove the staging folders below ``tmp`` whose maker is gone."""
    from filelock import FileLock, Timeout

    for lock_path in tmp.glob("*.lock"):
        try:
            lock = FileLock(lock_path, thread_local=False)
            lock.acquire(blocking=False)
        except (Timeout, OSError):
            continue
        remove_tree(lock_path.with_suffix(""))
        lock_path.unlink(missing_ok=True)
        lock.release()


def remove_tree(path: Path) -> None:
    """Remove a folder of ours, also one made read-only; nothing there is fine."""

    def allow_and_retry(_function: object, name: str, _error: object) -> None:
        parent = os.path.dirname(name)
        try:
            os.chmod(parent, 0o700)
            os.chmod(name, 0o700)
            if os.path.isdir(name) and not os.path.islink(name):
                shutil.rmtree(name)
            else:
                os.unlink(name)
        except FileNotFoundError:
            return

    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        with host_errors(f"remove {path}"):
            shutil.rmtree(path, onerror=allow_and_retry)


def clone(source: Path, target: Path) -> None:
    """Copy a file the cheapest way its file system offers: shared blocks, else sparse.

    ``target`` must not exist; it is removed again on failure. Raises HostError.
    """
    with host_errors(f"copy {source} to {target}"):
        try:
            if sys.platform == "darwin" and _clonefile(source, target):
                return
            with source.open("rb") as reader, target.open("xb") as writer:
                if not _ficlone(reader.fileno(), writer.fileno()):
                    _copy_data(reader.fileno(), writer.fileno())
        except FileExistsError:
            raise
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def move(source: Path, target: Path) -> None:
    """Put a file, which the caller has synced, in the place of another. Raises HostError.

    A folder of VX_HOME may be a link to another file system: then it is copied beside its place.
    """
    with host_errors(f"write {target}"):
        try:
            os.replace(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            staged = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
            clone(source, staged)
            try:
                shutil.copymode(source, staged)
                sync_file(staged)
                os.replace(staged, target)
            except BaseException:
                staged.unlink(missing_ok=True)
                raise
            source.unlink()


def _ficlone(source_fd: int, target_fd: int) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(target_fd, _FICLONE, source_fd)
    except OSError:
        return False
    return True


def _clonefile(source: Path, target: Path) -> bool:
    """APFS clone; clonefile(2) has been in libSystem since macOS 10.12."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.clonefile(os.fsencode(source), os.fsencode(target), 0) == 0)


def _copy_data(source_fd: int, target_fd: int) -> None:
    """Copy only what is data, so that holes stay holes."""
    size = os.fstat(source_fd).st_size
    offset = 0
    while offset < size:
        try:
            start = os.lseek(source_fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break  # only a hole is left
            raise
        end = os.lseek(source_fd, start, os.SEEK_HOLE)
        os.lseek(source_fd, start, os.SEEK_SET)
        os.lseek(target_fd, start, os.SEEK_SET)
        left = end - start
        while left:
            chunk = os.read(source_fd, min(left, _COPY_CHUNK))
            if not chunk:
                break
            view = memoryview(chunk)
            while view:
                view = view[os.write(target_fd, view) :]
            left -= len(chunk)
        offset = end
    os.ftruncate(target_fd, size)
