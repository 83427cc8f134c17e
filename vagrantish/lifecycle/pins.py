"""What the project's lock says of its boxes, read once a command."""

from __future__ import annotations

from vagrantish.errors import BoxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.model import Box, BoxRef, Lock, LockedBox


class LockMismatch(BoxError):
    """Something is not what the lock promises."""

    code = "lock-mismatch"


class Pins:
    """``path`` None: there is no project. ``insisted``: anything the lock lacks is an error."""

    def __init__(self, path: Path | None = None, *, insisted: bool = False) -> None:
        self.path = path
        self.insisted = insisted
        self._lock: Lock | None = None

    @property
    def lock(self) -> Lock:
        """Empty where there is no file. Raises ConfigError."""
        if self._lock is None:
            self._lock = self._read()
        return self._lock

    def read_again(self) -> Lock:
        """What another vx may have made of it since. Raises ConfigError."""
        self._lock = None
        return self.lock

    def of(self, ref: BoxRef, arch: str) -> LockedBox | None:
        """Raises LockMismatch when it is insisted on a lock that has nothing of the box."""
        # Most commands of most projects need not know how a lock is read.
        if self.path is None or not (self.insisted or self.path.exists()):
            return None
        found = self.lock.box(ref.name, ref.version, arch)
        if found is None and self.insisted:
            raise LockMismatch(
                f"{self.path.name} has nothing of the box {ref} for {arch}",
                hint="Run `vx lock` and commit what it writes.",
            )
        return found

    def exact(self, ref: BoxRef, arch: str) -> BoxRef:
        """``ref`` with the version that is locked for it."""
        found = self.of(ref, arch)
        if found is None:
            return ref
        from vagrantish.model import BoxRef

        return BoxRef(name=ref.name, version=found.version)

    def write(self, lock: Lock) -> bool:
        """Whether the file changed. Raises HostError."""
        from vagrantish.config import lockfile
        from vagrantish.files import write_atomic

        assert self.path is not None
        text = lockfile.encode(lock)
        self._lock = lock
        try:
            if self.path.read_text("utf-8") == text:
                return False
        except (OSError, UnicodeDecodeError):
            pass  # there is none, or nothing worth keeping
        write_atomic(self.path, text.encode())
        return True

    def _read(self) -> Lock:
        from vagrantish import toml
        from vagrantish.config import lockfile
        from vagrantish.model import Lock

        if self.path is None or not self.path.exists():
            return Lock()
        return lockfile.parse(toml.read_text(self.path), self.path.name)


def check(locked: LockedBox, box: Box, *, lock_name: str) -> None:
    """Raises LockMismatch naming the first file of ``box`` that is not the locked one."""
    sources = {source.part: source for source in box.sources}
    for file in locked.files:
        if file.url:
            source = sources.get(file.part)
            digests = (
                [f"sha256:{source.fetched.sha256}", source.pinned]
                if source is not None and source.member == file.member
                else []
            )
        else:
            own = box.files.get(file.part)
            digests = [str(own.digest)] if own is not None else []
        fitting = [d for d in digests if d.startswith(f"{file.digest.algorithm}:")]
        if fitting and str(file.digest) in fitting:
            continue
        found = fitting[0] if fitting else f"a {box.label} that was not fetched from there"
        raise LockMismatch(
            f"the {file.part} of {box.label} is not the one in {lock_name}: "
            f"expected {file.digest}, found {found}",
            hint=f"`vx box add {box.label} --force` fetches it again; "
            f"`vx lock --update {box.name}` takes what is here.",
        )
