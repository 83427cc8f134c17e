"""What FreeBSD's kernel keeps: machines in /dev/vmm, network interfaces. Here they are files.

Everything outlives the process that made it, as there.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, kw_only=True)
class Vm:
    """A machine in /dev/vmm."""

    name: str
    memory_bytes: int = 0
    loader: str = ""  # "grub", "bhyveload"; "": nothing is in its memory
    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""
    pid: int = 0  # of the bhyve that runs it
    ran: bool = False  # since it was loaded
    asked: str = ""  # "poweroff", "reset": what bhyvectl wants of it


@dataclass(frozen=True, kw_only=True)
class World:
    state: Path
    root: bool

    # --- machines ------------------------------------------------------------------------

    def find(self, name: str) -> Vm | None:
        try:
            return Vm(**json.loads(self._path(name).read_text("utf-8")))
        except FileNotFoundError:
            return None

    def create(self, name: str) -> Vm:
        """Raises OSError: there is one, or one may not."""
        self.need_root()
        if self.find(name) is not None:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        return self.save(Vm(name=name))

    def save(self, vm: Vm) -> Vm:
        path = self._path(vm.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".{path.name}.{os.getpid()}")
        staged.write_text(json.dumps(asdict(vm)), "utf-8")
        staged.replace(path)
        return vm

    def change(self, name: str, **changes: Any) -> None:
        with self._locked("vmm"):
            vm = self.find(name)
            if vm is not None:
                self.save(replace(vm, **changes))

    def destroy(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def need_root(self) -> None:
        if not self.root:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def _path(self, name: str) -> Path:
        return self.state / "vmm" / name

    # --- interfaces ----------------------------------------------------------------------

    @contextmanager
    def interfaces(self) -> Iterator[dict[str, dict[str, Any]]]:
        """Name → what it has, to be read and changed while nobody else does."""
        with self._locked("interfaces"):
            path = self.state / "interfaces.json"
            found = (
                json.loads(path.read_text("utf-8"))
                if path.exists()
                else {"bridge0": new_interface()}
            )
            yield found
            path.write_text(json.dumps(found), "utf-8")

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        self.state.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.state / f".{name}.lock", os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def new_interface() -> dict[str, Any]:
    return {"up": False, "members": [], "pid": 0}


def is_alive(pid: int) -> bool:
    """Zombies do not count."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return pid > 0 and stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def world_of(environ: Mapping[str, str]) -> World:
    tmp = environ.get("TMPDIR", "/tmp").rstrip("/")
    state = environ.get("FAKE_BHYVE_STATE") or f"{tmp}/fake-bhyve-{os.getuid()}"
    root = {"1": True, "0": False}.get(environ.get("FAKE_BHYVE_ROOT", ""), os.geteuid() == 0)
    return World(state=Path(state), root=root)


def memory_bytes(text: str) -> int | None:
    """vm_parse_memsize(3): MiB where it is small and has no unit; None where it is no size."""
    digits, unit = (text[:-1], text[-1].lower()) if text[-1:].isalpha() else (text, "")
    shift = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}.get(unit)
    if not digits.isdecimal() or shift is None:
        return None
    number = int(digits)
    if not unit and number < 1 << 20:
        return number << 20
    return number << shift
