"""A download that is not finished: its bytes, and what is known of the file they are of."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from vagrantish.files import clone, host_errors, make_dir, remove_tree, sync_dir, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_KEYS = ("sha256-", "sha512-", "url-")


@dataclass(frozen=True, kw_only=True)
class Meta:
    """What the server said of the file the bytes are of."""

    url_key: str = ""  # a hash: a URL may carry a password
    validator: str = ""  # a strong ETag or a Last-Modified, for If-Range
    total: int | None = None


def key_of(url: str) -> str:
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Partial:
    """One download, known by its key; whoever uses it holds its lock.

    ``KEY/data.part`` grows, ``KEY/data`` is complete. A process that has got the file keeps it
    under a name of its own, ``KEY.got.PID.*``; ``KEY.wanted.PID.*`` says that another waits for it.
    """

    def __init__(self, downloads: Path, key: str) -> None:
        self._downloads = downloads
        self._key = key
        self.folder = downloads / key
        self.part = self.folder / "data.part"
        self.data = self.folder / "data"
        self._meta = self.folder / "meta.json"

    @contextmanager
    def wanted(self) -> Iterator[None]:
        """While this one waits for its turn: whoever finishes then leaves ``data`` for it."""
        make_dir(self._downloads)
        mark = self._own("wanted")
        with suppress(OSError):  # without it the file may be fetched twice, no more
            mark.touch()
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)

    def open(self) -> None:
        """Make the folder; take over what a vx that was killed had finished. Raises HostError."""
        make_dir(self.folder, mode=0o700)
        with host_errors(f"tidy {self._downloads}"):
            for path in self._marks("got", alive=False):
                os.replace(path, self.data)
            for path in self._marks("wanted", alive=False):
                path.unlink(missing_ok=True)

    def adopt(self, *, since: float | None) -> bool:
        """Take ``data`` as the ``data.part``, to be verified; one that came before ``since`` is dropped.

        False when there is none. Raises HostError.
        """
        with host_errors(f"read {self.data}"):
            try:
                # Not the time of its inode, which is that of its last renaming.
                if since is not None and self.data.stat().st_mtime < since:
                    self.data.unlink()
                    return False
                os.replace(self.data, self.part)
            except FileNotFoundError:
                return False
        return True

    def finish(self) -> Path:
        """``data.part`` is complete: a name for it that is this process's own. Raises HostError."""
        mine = self._own("got")
        with host_errors(f"write {mine}"):
            if self._marks("wanted", alive=True):
                os.replace(self.part, self.data)
                _share(self.data, mine)
            else:
                os.replace(self.part, mine)
            self._meta.unlink(missing_ok=True)
            sync_dir(self._downloads)
        self._tidy()
        return mine

    def drop(self) -> None:
        """Forget what has come. Raises HostError."""
        with host_errors(f"remove {self.part}"):
            for path in (self.part, self.data, self._meta):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave no folder where nothing has come."""
        if self.size() == 0 and not self.data.exists():
            self.drop()
            self._tidy()

    def size(self) -> int:
        try:
            return self.part.stat().st_size
        except OSError:
            return 0

    def meta(self) -> Meta:
        """Empty when there is none, or it is damaged."""
        try:
            fields = json.loads(self._meta.read_bytes())
            total = fields["total"]
            return Meta(
                url_key=str(fields["url_key"]),
                validator=str(fields["validator"]),
                total=total if isinstance(total, int) else None,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return Meta()

    def save_meta(self, meta: Meta) -> None:
        """Raises HostError."""
        write_atomic(self._meta, json.dumps(asdict(meta)).encode())

    def _tidy(self) -> None:
        with suppress(OSError):
            self.folder.rmdir()

    def _own(self, kind: str) -> Path:
        name = f"{self._key}.{kind}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        return self._downloads / name

    def _marks(self, kind: str, *, alive: bool) -> list[Path]:
        """The files of processes that live, or of those that are gone."""
        return [
            path
            for path in self._downloads.glob(f"{self._key}.{kind}.*")
            if _is_alive(path.name.split(".")[2]) == alive
        ]


def stale(downloads: Path, *, older_than_s: float, now: float) -> tuple[tuple[Path, int], ...]:
    """Downloads nobody has touched for so long, and the bytes each takes."""
    found = []
    for path in sorted(downloads.glob("*-*")):
        if not path.name.startswith(_KEYS):
            continue
        with suppress(FileNotFoundError):
            inside = list(path.iterdir()) if path.is_dir() else []
            stats = [each.stat() for each in (path, *inside)]
            if now - max(stat.st_mtime for stat in stats) >= older_than_s:
                found.append((path, sum(stat.st_size for stat in stats[1 if inside else 0 :])))
    return tuple(found)


def sweep(downloads: Path, *, older_than_s: float, now: float) -> int:
    """Remove downloads nobody has touched for so long; the bytes freed. Raises HostError."""
    freed = 0
    for path, size in stale(downloads, older_than_s=older_than_s, now=now):
        remove_tree(path)
        freed += size
    return freed


def _share(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        clone(source, target)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
