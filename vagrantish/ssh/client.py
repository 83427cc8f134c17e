"""A connection to a guest: run commands, copy files."""

from __future__ import annotations

import posixpath
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import paramiko

from vagrantish.errors import CommandTimeout, SSHError, VxError
from vagrantish.events import Cancel
from vagrantish.files import host_errors
from vagrantish.formats.guesttext import printable
from vagrantish.model import ExecResult
from vagrantish.ssh import download, upload
from vagrantish.ssh.command import GroupMarker, ending, grouped
from vagrantish.ssh.connection import hang_up, log_in
from vagrantish.ssh.dialing import Watch, dial
from vagrantish.ssh.execution import DeadlineError, Execution, Tail
from vagrantish.ssh.pulse import Pulse

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from vagrantish.events import Op
    from vagrantish.ssh.target import Target

T = TypeVar("T")

_KEEP = 8 << 20  # bytes of a stream that a result holds
_KEEP_STREAMED = 1 << 16  # the same when somebody listened anyway
_OPEN_S = 60.0  # for the guest to start a command
_ENDING_S = 8.0  # for the guest to end one
_DYING_S = 0.2
_SETTLE_S = 1.0  # for a download to remove what it began


def connect(target: Target, *, op: Op, timeout_s: float | None = None) -> Client:
    """Log in; the host key must be the one pinned for the machine.

    ``timeout_s`` covers all of it; None takes the target's. Raises SSHError (HostKeyChanged among
    them), MachineError, Cancelled.
    """
    limit_s = target.connect_timeout_s if timeout_s is None else timeout_s
    watch = Watch(op.cancel, time.monotonic() + limit_s)
    return connect_over(dial(target, watch), target, watch)


def connect_over(sock: socket.socket, target: Target, watch: Watch) -> Client:
    """Log in over an open connection, which is closed on failure. Raises like ``connect``."""
    return Client(target, log_in(sock, target, watch), sock)


class Client:
    """An authenticated connection. Use it from one thread at a time; close it, or use ``with``."""

    def __init__(self, target: Target, transport: paramiko.Transport, sock: socket.socket) -> None:
        self.target = target
        self.pulse = Pulse(transport)
        self._transport = transport
        self._sock = sock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def user(self) -> str:
        return self.target.user

    def close(self) -> None:
        """Hang up; safe to repeat, never waits for the guest."""
        hang_up(self._transport, self._sock)

    # --- commands ----------------------------------------------------------------------------

    def exec(
        self,
        command: str,
        *,
        stdin: bytes | BinaryIO | Iterator[bytes] | None = None,
        timeout_s: float | None = None,
        on_stdout: Callable[[bytes], object] | None = None,
        on_stderr: Callable[[bytes], object] | None = None,
        group: bool = True,
        op: Op,
    ) -> ExecResult:
        """Run ``command`` in the guest's ``/bin/sh`` and stream what it writes.

        Every non-zero exit status is an answer, not an error; -1 means a signal ended it. With
        ``group`` the command and all it started are ended when the time is up, when the user
        cancels and when a sink raises; without it (cheaper; the login shell then runs the
        command) only the channel is closed. Of a stream that a sink takes the result holds the
        last 64 KiB, of others the last 8 MiB.

        Raises CommandTimeout with what was running, SSHError when the connection ends, Cancelled,
        and what sinks and ``stdin`` raise.
        """
        began = time.monotonic()
        deadline = None if timeout_s is None else began + timeout_s
        out = Tail(_KEEP_STREAMED if on_stdout else _KEEP)
        err = Tail(_KEEP_STREAMED if on_stderr else _KEEP)
        token = f"vx-{secrets.token_hex(8)}"
        marker = GroupMarker(token)

        def take_stdout(data: bytes) -> None:
            out.add(data)
            if on_stdout is not None:
                on_stdout(data)

        def take_stderr(data: bytes) -> None:
            data = marker.feed(data) if group else data
            err.add(data)
            if on_stderr is not None and data:
                on_stderr(data)

        channel = self._start(grouped(command, token) if group else command, op)
        execution = Execution(
            channel,
            on_stdout=take_stdout,
            on_stderr=take_stderr,
            pulse=self.pulse,
            cancel=op.cancel,
        )
        try:
            status = execution.pump(stdin=stdin, deadline=deadline)
            if group and (rest := marker.rest()):
                take_stderr(rest)
        except DeadlineError:
            running = self._end_group(channel, marker, token, op) if group else ()
            raise CommandTimeout(
                f"a command in the guest did not end within {timeout_s:g} s", running=running
            ) from None
        except BaseException:
            if group:
                self._end_group(channel, marker, token, op)
            raise
        finally:
            channel.close()
        return ExecResult(
            command=command,
            exit_status=-1 if status is None else status,
            stdout=out.bytes(),
            stderr=err.bytes(),
            seconds=time.monotonic() - began,
        )

    def _start(self, line: str, op: Op) -> paramiko.Channel:
        def start() -> paramiko.Channel:
            channel = self._transport.open_session(timeout=_OPEN_S)
            channel.exec_command(line)
            return channel

        return self._blocking(start, what="start a command", limit_s=_OPEN_S, op=op)

    def _end_group(
        self, channel: paramiko.Channel, marker: GroupMarker, token: str, op: Op
    ) -> tuple[str, ...]:
        """End what the command started, also while the user is cancelling; what ran, in words.

        A guest that cannot be asked any more is left alone: the first error is the one to show.
        """
        calm = replace(op, cancel=Cancel())
        output = Tail(_KEEP_STREAMED)
        with suppress(VxError, DeadlineError, OSError):
            if marker.group is None and self._transport.is_active():
                # It may be so young that it has not said its number yet.
                Execution(
                    channel,
                    on_stdout=len,
                    on_stderr=marker.feed,
                    pulse=self.pulse,
                    cancel=calm.cancel,
                ).pump(
                    stdin=iter(()),
                    deadline=time.monotonic() + 1,
                    until=lambda: marker.group is not None,
                )
            if marker.group is not None and self._transport.is_active():
                killer = self._start(ending(marker.group, token), calm)
                Execution(
                    killer, on_stdout=output.add, on_stderr=len, pulse=self.pulse,
                    cancel=calm.cancel,
                ).pump(stdin=None, deadline=time.monotonic() + _ENDING_S)  # fmt: skip
                killer.close()
        lines = (printable(line).strip() for line in output.bytes().split(b"\n"))
        return tuple(line for line in lines if line)

    def _blocking(
        self,
        work: Callable[[], T],
        *,
        what: str,
        limit_s: float | None = None,
        settle_s: float = 0,
        op: Op,
    ) -> T:
        """Do what may block for ever in a thread, and watch it from here.

        After an error here the thread has ``settle_s`` to tidy up, is then hung up on, and has as
        long again; with 0 it is left to itself and ends with the connection.
        """
        answer: list[T] = []
        failure: list[BaseException] = []
        done = threading.Event()

        def run() -> None:
            try:
                answer.append(work())
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                failure.append(error)
            done.set()

        self.pulse.rest()
        threading.Thread(target=run, name="vx-ssh", daemon=True).start()
        deadline = time.monotonic() + (limit_s or float("inf"))
        try:
            if not Watch(op.cancel, deadline, self.pulse.check).wait_for(done.wait):
                raise SSHError(f"the guest did not {what} within {limit_s:g} s")
        except BaseException:
            if settle_s and not done.wait(settle_s):
                self.close()
                done.wait(settle_s)
            raise
        if not failure:
            return answer[0]
        error = failure[0]
        if isinstance(error, EOFError | OSError | paramiko.SSHException):
            # paramiko closes the channels of a dead connection before it notes that it is dead.
            self._transport.join(_DYING_S)
            if self._transport.is_active():
                raise SSHError(f"the guest refused to {what}: {error or 'no reason given'}")
            raise SSHError(
                f"the connection to the guest is gone: it could not {what}",
                hint="Look at what the guest said last: `vx logs`.",
            ) from error
        raise error

    # --- files -------------------------------------------------------------------------------

    def put(self, local: Path, remote: str, *, mode: int | None = None, op: Op) -> None:
        """Copy a file into the guest: whole or not at all; ``mode`` None keeps its own.

        A ``remote`` that is a folder takes it inside. Relative paths and ``~`` start at the home
        of the ssh user. Raises TransferError, SSHError, HostError, Cancelled.
        """
        upload.file(self.exec, local, remote, mode, op)

    def put_tree(self, local: Path, remote: str, *, op: Op) -> None:
        """Copy a folder, into ``remote`` if that is a folder, else as it; what is there stays.

        All bytes are in the guest before the first of them is put in place. Links that lead out
        of the folder, and special files, are left out with a warning. Raises like ``put``.
        """
        upload.tree(self.exec, local, remote, op)

    def copy_in(self, local: Path, remote: str, *, op: Op) -> None:
        """``put`` or ``put_tree``, whichever ``local`` needs."""
        if local.is_dir():
            upload.tree(self.exec, local, remote, op)
        else:
            upload.file(self.exec, local, remote, None, op)

    def get(self, remote: str, local: Path, *, op: Op) -> None:
        """Copy a file out of the guest: whole or not at all, into ``local`` if that is a folder.

        Raises TransferError, SSHError, HostError, Cancelled.
        """
        self._download(remote, local, download.file, op)

    def get_tree(self, remote: str, local: Path, *, op: Op) -> None:
        """Copy a folder out of the guest, into ``local`` if that is a folder, else as it.

        Names, kinds and links are the guest's word and are checked: nothing is written outside
        ``local``. Links that lead out of the folder, and special files, are left out with a
        warning. Raises like ``get``.
        """
        self._download(remote, local, download.tree, op)

    def copy_out(self, remote: str, local: Path, *, op: Op) -> None:
        """``get`` or ``get_tree``, whichever ``remote`` needs."""
        self._download(remote, local, download.either, op)

    def _download(self, remote: str, local: Path, way: download.Way, op: Op) -> None:
        name = posixpath.basename(remote.rstrip("/")) or remote
        with op.step("copy", f"Copying {name} from the guest") as step:

            def work() -> None:
                sftp = paramiko.SFTPClient.from_transport(self._transport)
                assert sftp is not None
                try:
                    with host_errors(f"write {local}"):
                        way(download.Guest(sftp), remote, local, step)
                finally:
                    sftp.close()

            self._blocking(work, what=f"send {remote}", settle_s=_SETTLE_S, op=op)
