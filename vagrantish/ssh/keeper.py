"""``python -m vagrantish.ssh.keeper JOBFILE``: keeps a machine's forwards open while it runs.

It ends by itself with the processes that the job names; vx only ever starts it, and ends it sooner.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from vagrantish import proc
from vagrantish.paths import MachineLayout
from vagrantish.ssh import tunnel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

BUSY = 75  # another keeper has the machine: sysexits.h's EX_TEMPFAIL
_FAILED = 1
_READY = b"+"
_LOOK_S = 1.0  # at the machine
_OPENING_LOOK_S = 0.02
_OPENING_MAX_S = 60.0
_AGAIN_S = 0.2
_AGAIN_MAX_S = 5.0
_END_S = 2.0
_SAID_MAX = 4 << 10
_LOG_MAX = 1 << 20
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Keeper:
    def __init__(self, layout: MachineLayout, job: tunnel.Job) -> None:
        """Raises OSError, BlockingIOError when there is one already."""
        self._job = job
        self._layout = layout
        self._lock = os.open(layout.tunnel_lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._log = os.open(layout.tunnel_log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._itself = proc.identify(os.getpid())
        self._ssh: subprocess.Popen[bytes] | None = None
        self._was_told = False  # to end
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (*_ENDS, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        self._poller = select.poll()
        self._poller.register(self._woken, select.POLLIN)
        self._note()

    def open_first(self) -> str:
        """Open the forwards; what ssh said when it cannot, else ""."""
        start = os.fstat(self._log).st_size
        if self._open():
            return ""
        if not self._is_wanted():
            return "the machine ended"
        status = self._ssh.returncode if self._ssh is not None else None
        said = os.pread(self._log, _SAID_MAX, start).decode("utf-8", "replace").strip()
        return said or f"ssh ended with status {status}"

    def run(self) -> None:
        """Until the machine is over."""
        again_s = _AGAIN_S
        while self._is_wanted():
            if self._ssh is not None and self._ssh.poll() is None:
                self._sleep(_LOOK_S)
                self._bound_log()
                continue
            if self._ssh is not None:
                self._say(f"the connection was lost (ssh: {self._ssh.returncode}); trying again")
            self._clear()
            self._sleep(again_s)
            is_open = self._is_wanted() and self._open()
            again_s = _AGAIN_S if is_open else min(2 * again_s, _AGAIN_MAX_S)
        self.end()

    def end(self) -> None:
        self._end_ssh()
        self._clear()
        with suppress(OSError):
            self._layout.tunnel_state.unlink()

    def report(self, writer: int) -> None:
        """Let the command that started this end; nothing is written to its streams any more."""
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(self._log, 1)
        os.dup2(self._log, 2)
        os.close(nothing)
        os.write(writer, _READY)
        os.close(writer)

    def _open(self) -> bool:
        """Start ssh and wait until it has the ports, or ended."""
        try:
            self._ssh = subprocess.Popen(
                self._job.argv, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
            )
        except OSError as error:
            self._say(f"cannot run {self._job.argv[0]}: {error.strerror}")
            self._ssh = None
            return False
        self._note()
        deadline = time.monotonic() + _OPENING_MAX_S
        while self._ssh.poll() is None and self._is_wanted():
            if os.path.exists(tunnel.SOCKET):
                return True
            if time.monotonic() > deadline:
                self._end_ssh()  # a guest that hangs while keys are exchanged; ssh waits for ever
            self._sleep(_OPENING_LOOK_S)
        return False

    def _end_ssh(self) -> None:
        if self._ssh is not None and self._ssh.poll() is None:
            self._ssh.terminate()
            try:
                self._ssh.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._ssh.kill()
                self._ssh.wait()

    def _is_wanted(self) -> bool:
        return not self._was_told and any(map(proc.is_alive, self._job.processes))

    def _clear(self) -> None:
        """With a stale socket in its place, ssh goes on without one."""
        with suppress(OSError):
            os.unlink(tunnel.SOCKET)

    def _note(self) -> None:
        pid = self._ssh.pid if self._ssh is not None else 0
        state = tunnel.State(self._itself, proc.identify(pid))
        staged = self._layout.tunnel_state.with_suffix(".new")
        with suppress(OSError):  # on a full disk the forwards still work
            staged.write_bytes(state.to_json())
            os.replace(staged, self._layout.tunnel_state)

    def _sleep(self, seconds: float) -> None:
        """Ends early with a signal, the end of ssh among them."""
        if self._poller.poll(seconds * 1000):
            with suppress(BlockingIOError):
                os.read(self._woken, 1 << 10)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._was_told = self._was_told or number != signal.SIGCHLD

    def _say(self, text: str) -> None:
        with suppress(OSError):
            os.write(self._log, f"{time.strftime('%Y-%m-%d %H:%M:%S')} vx: {text}\n".encode())

    def _bound_log(self) -> None:
        """ssh writes a line for every connection to a port that is closed in the guest."""
        with suppress(OSError):
            if os.fstat(self._log).st_size > _LOG_MAX:
                os.ftruncate(self._log, 0)


def main(job_file: Path) -> NoReturn:
    layout = MachineLayout(job_file.parent)
    os.umask(0o077)
    os.chdir(layout.directory)
    writer = _fork_away()
    job = tunnel.read_job(layout)
    if job is None:
        _fail(_FAILED, f"{job_file} cannot be read")
    try:
        keeper = Keeper(layout, job)
    except BlockingIOError:
        _fail(BUSY, "another process keeps the forwards of this machine open")
    except OSError as error:
        _fail(_FAILED, str(error))
    said = keeper.open_first()
    if said:
        keeper.end()
        _fail(_FAILED, said)
    keeper.report(writer)
    keeper.run()
    os._exit(0)


def _fork_away() -> int:
    """Go on in a child; its parent ends when the child says so, or with the child's status."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        return writer
    os.close(writer)
    if os.read(reader, 1) == _READY:
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os._exit(max(_FAILED, os.waitstatus_to_exitcode(status)))


def _fail(status: int, text: str) -> NoReturn:
    os.write(2, text.encode("utf-8", "replace") + b"\n")
    os._exit(status)


if __name__ == "__main__":
    main(Path(os.path.abspath(sys.argv[1])))
