"""Files out of a guest, by sftp: names, kinds, sizes and links are a stranger's word."""

from __future__ import annotations

import errno
import os
import posixpath
import secrets
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vagrantish.errors import TransferError
from vagrantish.files import host_errors, remove_tree
from vagrantish.formats.tree import stays_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from paramiko import SFTPAttributes, SFTPClient

    from vagrantish.events import Step

    Way = Callable[["Guest", str, Path, Step], None]

_CHUNK = 1 << 17
_GROWTH = 64 << 20  # bytes a file may gain while it is copied; /proc says 0 for all of its files
_ENTRIES_MAX = 1_000_000
_DEPTH_MAX = 100


class Guest:
    """The guest's files; what it refuses comes out as TransferError."""

    def __init__(self, sftp: SFTPClient) -> None:
        self._sftp = sftp

    @staticmethod
    def path(text: str) -> str:
        """sftp starts at the home of the ssh user and knows no ``~``."""
        if text == "~" or text.startswith("~/"):
            return text[2:] or "."
        return text or "."

    def look(self, path: str) -> SFTPAttributes:
        with self._refusals(path):
            return self._sftp.stat(path)

    def link_target(self, path: str) -> str:
        with self._refusals(path):
            return self._sftp.readlink(path) or ""

    def children(self, path: str) -> Iterator[SFTPAttributes]:
        with self._refusals(path):
            yield from self._sftp.listdir_iter(path, read_aheads=1)

    def read(self, path: str, expected: int) -> Iterator[bytes]:
        done = 0
        with self._refusals(path), self._sftp.open(path, "rb") as file:
            # A request is answered by up to 256 KiB; paramiko asks for 32.
            file.MAX_REQUEST_SIZE = _CHUNK
            while chunk := file.read(_CHUNK):
                done += len(chunk)
                if done > expected + _GROWTH:
                    raise TransferError(f"{path} grows faster than it can be copied")
                yield chunk

    @contextmanager
    def _refusals(self, path: str) -> Iterator[None]:
        try:
            yield
        except UnicodeError as error:
            raise TransferError(f"a name below {path} in the guest is not UTF-8") from error
        except OSError as error:
            channel = self._sftp.get_channel()
            if channel is None or channel.closed:
                raise EOFError from error
            reasons = {
                errno.ENOENT: "does not exist",
                errno.EACCES: "may not be read by the ssh user",
            }
            why = reasons.get(error.errno or 0, f"cannot be read: {error}")
            raise TransferError(f"{path} in the guest {why}", hint="Check the path.") from error


def either(guest: Guest, remote: str, local: Path, step: Step) -> None:
    info = guest.look(guest.path(remote))
    way = tree if stat.S_ISDIR(info.st_mode or 0) else file
    way(guest, remote, local, step)


def file(guest: Guest, remote: str, local: Path, step: Step) -> None:
    path = guest.path(remote)
    info = guest.look(path)
    if not stat.S_ISREG(info.st_mode or 0):
        raise TransferError(f"{remote} in the guest is not a file")
    target = _target(remote, local)
    with _staged(target) as staged:
        _fetch(guest, path, staged, info, step, [0, info.st_size or 0])
        with host_errors(f"write {target}"):
            staged.chmod(_mode(info))
            os.replace(staged, target)


def tree(guest: Guest, remote: str, local: Path, step: Step) -> None:
    path = guest.path(remote)
    info = guest.look(path)
    if not stat.S_ISDIR(info.st_mode or 0):
        raise TransferError(f"{remote} in the guest is not a folder")
    target = _target(remote, local)
    with _staged(target) as staged:
        fetched = _Fetched()
        with host_errors(f"make the folder {staged}"):
            staged.mkdir(mode=0o700)
        _fetch_below(guest, path, "", staged, fetched, step)
        with host_errors(f"write {target}"):
            # Last, so that nothing was ever written through a link.
            for name, link in fetched.links:
                os.symlink(link, staged / name)
            for name, mode in reversed(fetched.folders):
                (staged / name).chmod(mode | 0o700)
            staged.chmod(_mode(info) | 0o700)
            if not target.is_dir():
                os.rename(staged, target)
            else:
                _merge(staged, target)


class _Fetched:
    def __init__(self) -> None:
        self.entries = 0
        self.links: list[tuple[str, str]] = []
        self.folders: list[tuple[str, int]] = []
        self.bytes = [0, 0]  # done, expected


def _fetch_below(
    guest: Guest, path: str, prefix: str, staged: Path, fetched: _Fetched, step: Step
) -> None:
    if prefix.count("/") > _DEPTH_MAX:
        raise TransferError(f"{path} in the guest is nested more than {_DEPTH_MAX} folders deep")
    below = []
    for info in guest.children(path):
        step.op.cancel.check()
        fetched.entries += 1
        if fetched.entries > _ENTRIES_MAX:
            raise TransferError(f"there are more than {_ENTRIES_MAX} files below {path}")
        name = prefix + _safe_name(info.filename, path)
        child, mode = posixpath.join(path, info.filename), info.st_mode or 0
        if stat.S_ISDIR(mode):
            below.append((child, name, mode))
        elif stat.S_ISLNK(mode):
            link = guest.link_target(child)
            if stays_inside(name, link):
                fetched.links.append((name, link))
            else:
                step.op.warn(f"Left out: {name} is a link that leads out of the folder, to {link}")
        elif stat.S_ISREG(mode):
            fetched.bytes[1] += info.st_size or 0
            _fetch(guest, child, staged / name, info, step, fetched.bytes)
            with host_errors(f"write {staged / name}"):
                (staged / name).chmod(_mode(info))
        else:
            step.op.warn(f"Left out: {name} is neither a file nor a folder nor a link")
    for child, name, mode in below:
        with host_errors(f"make the folder {staged / name}"):
            (staged / name).mkdir(mode=0o700)
        fetched.folders.append((name, mode & 0o777))
        _fetch_below(guest, child, name + "/", staged, fetched, step)


def _fetch(
    guest: Guest,
    path: str,
    target: Path,
    info: SFTPAttributes,
    step: Step,
    counted: list[int],
) -> None:
    """Copy one file to a place where nothing is yet. ``counted`` is bytes done and expected."""
    with host_errors(f"write {target}"):
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as writer:
            for chunk in guest.read(path, info.st_size or 0):
                step.op.cancel.check()
                writer.write(chunk)
                counted[0] += len(chunk)
                step.progress(counted[0], max(counted))


def _mode(info: SFTPAttributes) -> int:
    return (info.st_mode or 0o644) & 0o777


def _safe_name(name: str, folder: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise TransferError(f"the guest names a file {name!r} in {folder}, which no file can be")
    return name


def _target(remote: str, local: Path) -> Path:
    """Where the copy goes: inside ``local`` if that is a folder."""
    if not local.is_dir():
        if not local.parent.is_dir():
            raise TransferError(f"there is no folder {local.parent}", hint="Make it first.")
        return local
    name = posixpath.basename(remote.rstrip("/"))
    if name in ("", ".", "..", "~"):
        raise TransferError(
            f"{remote} does not say what to call the copy", hint=f"Write {local / 'NAME'} instead."
        )
    return local / name


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A name beside ``target`` for what is not whole yet; gone at the end."""
    staged = target.with_name(f".{target.name[:100]}.vx-{secrets.token_hex(4)}")
    try:
        yield staged
    finally:
        if staged.is_symlink() or staged.exists():
            remove_tree(staged)


def _merge(staged: Path, target: Path) -> None:
    """Move what is below ``staged`` into a folder that exists; what else is there stays."""
    for entry in sorted(os.scandir(staged), key=lambda entry: entry.name):
        place = target / entry.name
        if entry.is_dir(follow_symlinks=False) and place.is_symlink():
            raise TransferError(
                f"{place} is a link here and a folder in the guest",
                hint="Remove the link, or copy to another place.",
            )
        if entry.is_dir(follow_symlinks=False) and place.is_dir():
            _merge(staged / entry.name, place)
        elif place.is_dir() and not place.is_symlink():
            raise TransferError(f"{place} is a folder here and none in the guest")
        else:
            os.replace(entry.path, place)
