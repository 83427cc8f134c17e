"""The supervisor's life: start, watch, start again after a guest's reboot, write down the end."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish import proc
from vagrantish.provider import running
from vagrantish.provider.signals import as_root
from vagrantish.provider.supervisor.aside import run_aside
from vagrantish.provider.supervisor.console import Console, NoConsole
from vagrantish.provider.supervisor.holders import holders, program_of
from vagrantish.provider.supervisor.job import ConsoleKind, Hook, replace_file
from vagrantish.provider.supervisor.log import ConsoleLog, SaidLog
from vagrantish.provider.supervisor.spawn import spawn

if TYPE_CHECKING:
    from vagrantish.diagnosis.endings import Ending
    from vagrantish.paths import MachineLayout
    from vagrantish.proc import ProcessIdentity
    from vagrantish.provider.supervisor.job import Job

_SHORT_S = 10.0  # a guest that reboots so soon …
_SHORT_MAX = 5  # … so often in a row would do so for ever
_STDERR_MAX = 16 << 10
_SUDO_S = 10.0
_HOOK_LOOK_S = 0.02
_CUTS = frozenset({signal.SIGINT, signal.SIGQUIT})
_ENDS = _CUTS | {signal.SIGTERM}  # while there is no hypervisor whose button it could be
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD)


class Supervisor:
    def __init__(self, job: Job, layout: MachineLayout, *, kept: tuple[int, ...]) -> None:
        """``kept`` are the locks, which the hypervisor is to hold too. Raises OSError."""
        self._job = job
        self._layout = layout
        self._kept = kept
        self._out = SaidLog(layout.provider_out)
        self._said = SaidLog(layout.provider_log)
        self._console = _console_of(job, layout)
        self._wake = _take_signals()
        self._itself = proc.identify(os.getpid())
        self._child = 0  # the pid of what was started: the hypervisor, or the sudo before it
        self._hypervisor: ProcessIdentity | None = None
        self._is_ending = False  # it was told to end, and starts nothing any more
        self._was_cut = False  # by us
        self._began = 0.0
        self._restarts = 0
        self._short = 0
        self._told: set[int] = set()  # the signals that came and were not obeyed yet

    @property
    def said(self) -> int:
        """A descriptor of the provider's log."""
        return self._said.descriptor

    def note(self) -> None:
        """What ``running`` goes by. Raises OSError."""
        itself, hypervisor = self._itself, self._hypervisor
        with running.changing(self._layout):
            told = {
                "schema": running.SCHEMA,
                "forwards": [],
                "ready": False,
                **self._job.facts,
                **(running.read_note(self._layout) or {}),
                "provider": self._job.provider,
                "supervisor": running.identity_fields(itself),
                **running.identity_fields(hypervisor),
            }
            replace_file(self._layout.process, json.dumps(told, indent=1).encode() + b"\n")

    def run(self) -> None:
        """Until the machine is over."""
        from vagrantish.diagnosis.endings import EndingKind

        while True:
            ending = self._run_once()
            if self._restarts and ending.kind is EndingKind.FAILED_TO_START:
                text = f"the guest rebooted and could not be started again: {ending.text}"
                ending = replace(ending, text=text)
            again = ending.kind is EndingKind.REBOOTED and not self._is_ending
            if not again:
                break
            self._short = self._short + 1 if ending.seconds < _SHORT_S else 0
            if self._short >= _SHORT_MAX:
                text = (
                    f"the guest rebooted {_SHORT_MAX} times in a row within {_SHORT_S:g} s each, "
                    "so it was not started again"
                )
                ending = replace(ending, kind=EndingKind.CRASHED, text=text)
                break
            self._restarts += 1
            self._said.note(f"[vx: the guest rebooted; start {self._restarts + 1}]")
        self._finish(ending)

    def _run_once(self) -> Ending:
        """One hypervisor, from its start to its end."""
        self._remove_files()
        self._child, self._hypervisor = 0, None
        for hook in self._job.before:
            problem = self._run_hook(hook)
            if problem and hook.must and not self._told & _ENDS:
                return self._failed(problem)
        self._wait(0)
        if self._told & _ENDS:
            self._is_ending = True
            return self._failed("it was ended before it began", kind="killed")
        self._console.begin_run()
        self._said.begin_run()
        self._began = time.monotonic()
        slave = self._console.slave
        try:
            self._child = spawn(
                self._job.argv,
                self._job.env,
                streams=(
                    slave,
                    slave if self._job.console_on_stdout else self._out.descriptor,
                    self._said.descriptor,
                ),
                kept=self._kept,
                pid_file=self._layout.pid_file,
                ignored=_ignored(self._job),
            )
        except OSError as error:
            return self._failed(f"cannot run {self._job.argv[0]}: {error.strerror}")
        status = self._watch()
        self._console.drain()
        return self._ending_of(status)

    def _watch(self) -> int:
        """Wait for the end of what was started; its status as Python's returncode."""
        status: int | None = None
        while True:
            if status is None:
                pid, raw = os.waitpid(self._child, os.WNOHANG)
                status = os.waitstatus_to_exitcode(raw) if pid else None
            # A sudo may be killed and leave what it had started.
            if status is not None and not self._outlives_sudo():
                return status
            self._identify()
            self._out.bound()
            self._said.bound()
            self._wait(self._pause_s())
            self._obey()

    def _pause_s(self) -> float:
        """Often while it may still change its name or be sudo's child, then now and then."""
        age = time.monotonic() - self._began
        return 0.05 if age < 1 else 0.25 if age < 5 else 2.0

    def _outlives_sudo(self) -> bool:
        process = self._hypervisor
        return process is not None and process.pid != self._child and proc.is_alive(process)

    def _identify(self) -> None:
        """Note who the hypervisor is, which a script or sudo before it settles late."""
        found = self._hypervisor
        if found is None or found.pid == self._child or not proc.is_alive(found):
            found = proc.identify(self._child) or found
            program = program_of(self._job.argv)
            if os.path.basename(self._job.argv[0]) != program and self._pause_s() < 1:
                found = next(iter(holders(self._job.mark, program)), found)
        if found == self._hypervisor:
            return
        self._hypervisor = found
        with suppress(OSError):  # on a full disk the pid file has to do
            self.note()

    def _wait(self, timeout_s: float) -> None:
        if self._console.wait(timeout_s, self._wake):
            with suppress(BlockingIOError):
                self._told.update(os.read(self._wake, 64))

    def _obey(self) -> None:
        told, self._told = self._told, set()
        if told & _CUTS:
            self._is_ending = self._was_cut = self._signal(signal.SIGKILL)
        elif signal.SIGTERM in told:
            if self._job.button is not None:
                self._run_hook(self._job.button)
            else:
                self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> bool:
        """Whether it was sent. A sudo that forgot its password does not let us."""
        process = self._hypervisor
        pid = self._child
        if process is not None and process.pid != pid and proc.is_alive(process):
            pid = process.pid
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        except PermissionError:
            # What that sudo complains of is none of the hypervisor's failures.
            with open(os.devnull, "wb") as nothing:
                hook = Hook(argv=as_root(pid, number), timeout_s=_SUDO_S)
                return not self._run_hook(hook, output=nothing.fileno())
        return True

    def _run_hook(self, hook: Hook, *, may_cut: bool = True, output: int | None = None) -> str:
        """Why it failed; "" when it did not. What it writes is kept, unless ``output`` is given."""

        def pause() -> bool:
            self._wait(_HOOK_LOOK_S)
            return may_cut and bool(self._told & (_CUTS if self._child else _ENDS))

        problem = run_aside(
            hook.argv,
            self._job.env,
            stdin=hook.stdin.encode(),
            output=self._said.descriptor if output is None else output,
            timeout_s=hook.timeout_s,
            pause=pause,
        )
        if problem:
            self._said.note(f"[vx: {problem}]")
        return problem

    def _ending_of(self, status: int) -> Ending:
        from vagrantish.diagnosis.endings import Ending, EndingKind, classify

        provider, seconds = self._job.provider, time.monotonic() - self._began
        if self._was_cut:
            kind, text = EndingKind.KILLED, "its power was cut"
            return Ending(kind=kind, text=text, status=status, seconds=seconds, provider=provider)
        return classify(
            provider,
            status=status,
            seconds=seconds,
            printed=self._console.printed,
            stderr=self._said.tail(_STDERR_MAX).decode("utf-8", "replace"),
        )

    def _failed(self, text: str, *, kind: str = "failed-to-start") -> Ending:
        from vagrantish.diagnosis.endings import Ending, EndingKind

        return Ending(kind=EndingKind(kind), text=text, provider=self._job.provider)

    def _finish(self, ending: Ending) -> None:
        from vagrantish.provider.supervisor import ended

        told = ended.Ended(
            ending=ending,
            at=time.time(),
            stderr=self._said.tail(_STDERR_MAX).decode("utf-8", "replace"),
            restarts=self._restarts,
            printed=self._console.printed,
        )
        with suppress(OSError):  # on a full disk nobody can be told
            replace_file(self._layout.ended, ended.text_of(told))
        self._remove_files()
        for hook in self._job.after:
            self._run_hook(hook, may_cut=False)
        self._console.close()  # last: a hook is waited for beside it
        with suppress(OSError):
            self._layout.process.unlink()

    def _remove_files(self) -> None:
        for path in (str(self._layout.pid_file), *self._job.remove):
            with suppress(OSError):
                os.unlink(path)


def _ignored(job: Job) -> tuple[signal.Signals, ...]:
    # The end of the terminal whose sudo is used is not the machine's, nor is that of this process.
    return (signal.SIGHUP, signal.SIGPIPE) if job.console is ConsoleKind.SOCKET else ()


def _console_of(job: Job, layout: MachineLayout) -> Console | NoConsole:
    if job.console in (ConsoleKind.PTY, ConsoleKind.SOCKET):
        log = ConsoleLog(layout.console_log, layout.previous_console_log)
        return Console(log, layout.console_socket, has_pty=job.console is ConsoleKind.PTY)
    return NoConsole(layout.console_log if job.console is ConsoleKind.FILE else None)


def _take_signals() -> int:
    """Where the numbers of the signals that came can be read."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _HANDLED:
        signal.signal(number, lambda _number, _frame: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return reader
