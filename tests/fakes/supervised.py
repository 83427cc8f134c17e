"""A machine's folder and a supervisor in it; what stands for the hypervisor is any program."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vagrantish.events import Cancel, Event, Op
from vagrantish.paths import MachineLayout
from vagrantish.provider import running
from vagrantish.provider.supervisor import ended
from vagrantish.provider.supervisor.job import Job
from vagrantish.provider.supervisor.start import StartFailed, environment, start
from vagrantish.provider.supervisor.stop import stop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vagrantish.proc import ProcessIdentity
    from vagrantish.provider.base import StopOutcome
    from vagrantish.provider.supervisor.ended import Ended

_HANG_S = 30.0


class Quiet:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event, /) -> None:
        self.events.append(event)


@dataclass
class Machine:
    layout: MachineLayout
    mark: str

    @property
    def op(self) -> Op:
        return Op(Quiet(), Cancel(), "web")

    @property
    def console(self) -> str:
        path = self.layout.console_log
        return path.read_text("utf-8", "replace") if path.exists() else ""

    @property
    def ended(self) -> Ended | None:
        return ended.read(self.layout)

    def job(self, script: str, **others: object) -> Job:
        """``script`` is sh's; the mark follows it as $0."""
        job = Job(
            provider="xhyve",
            argv=("/bin/sh", "-c", script, self.mark),
            mark=self.mark,
            env=environment("xhyve", os.environ | {"VX_HOME": str(self.layout.directory.parent)}),
        )
        return replace(job, **others)  # type: ignore[arg-type]

    def start(self, job: Job | str) -> ProcessIdentity:
        job = self.job(job) if isinstance(job, str) else job
        return start(job, self.layout, name="web", op=self.op)

    def run(self, job: Job | str) -> Ended:
        """To its end, which may come before the start has looked."""
        with suppress(StartFailed):
            self.start(job)
        return self.await_end()

    def stop(
        self, grace_s: float = 0, ask_guest: Callable[[], object] | None = None
    ) -> StopOutcome:
        return stop(self.layout, grace_s=grace_s, ask_guest=ask_guest, op=self.op)

    def await_end(self) -> Ended:
        wait_for(lambda: running.find(self.layout) is None)
        assert self.ended is not None
        return self.ended

    def await_console(self, text: str) -> None:
        wait_for(lambda: text in self.console)


def machine_in(folder: Path, name: str = "m1") -> Machine:
    layout = MachineLayout(folder / name)
    layout.directory.mkdir(mode=0o700)
    return Machine(layout=layout, mark=f"{folder.name}-{name}-{os.getpid()}")


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _HANG_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)
