"""Machines start together, each after those it needs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest

from vagrantish.errors import BootError, MachineError
from vagrantish.events import Cancel, Cancelled, Op
from vagrantish.lifecycle.parallel import NeededFailed, SeveralFailed, each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagrantish.events import Event
    from vagrantish.model import MachineConfig


class Silent:
    def emit(self, event: Event, /) -> None:
        del event


@dataclass(frozen=True)
class Stub:
    name: str
    needs: tuple[str, ...] = ()


def configs(*stubs: Stub) -> Sequence[MachineConfig]:
    return cast("Sequence[MachineConfig]", stubs)


@pytest.fixture
def op() -> Op:
    return Op(Silent(), Cancel())


def test_machines_run_at_the_same_time(op: Op) -> None:
    meeting = threading.Barrier(2, timeout=30)

    def work(machine: MachineConfig, op: Op) -> str:
        meeting.wait()  # breaks unless both are inside at once
        return op.machine

    assert each(configs(Stub("a"), Stub("b")), work, jobs=2, op=op) == ("a", "b")


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_a_needed_machine_is_done_first_whatever_the_order_and_jobs(op: Op, jobs: int) -> None:
    done: list[str] = []

    def work(machine: MachineConfig, op: Op) -> None:
        time.sleep(0.02)
        done.append(machine.name)

    machines = configs(Stub("app", ("db", "cache")), Stub("cache", ("db",)), Stub("db"))
    each(machines, work, jobs=jobs, op=op)

    assert done == ["db", "cache", "app"]


def test_what_needs_a_failed_machine_is_not_tried_and_the_rest_goes_on(op: Op) -> None:
    done: list[str] = []

    def work(machine: MachineConfig, op: Op) -> None:
        if machine.name == "db":
            raise BootError("no boot")
        done.append(machine.name)

    with pytest.raises(SeveralFailed) as caught:
        each(configs(Stub("app", ("db",)), Stub("db"), Stub("other")), work, jobs=2, op=op)

    assert done == ["other"]
    kinds = {name: type(error) for name, error in caught.value.failures}
    assert kinds == {"app": NeededFailed, "db": BootError}
    assert caught.value.exit_status == 6


def test_a_single_failure_is_raised_as_it_is(op: Op) -> None:
    def work(machine: MachineConfig, op: Op) -> None:
        if machine.name == "a":
            raise MachineError("broken")

    with pytest.raises(MachineError, match=r"^broken$"):
        each(configs(Stub("a"), Stub("b")), work, jobs=2, op=op)


def test_cancelling_ends_every_thread_before_it_returns(op: Op) -> None:
    ended: list[str] = []

    def work(machine: MachineConfig, op: Op) -> None:
        if machine.name == "a":
            op.cancel.set()
        try:
            op.cancel.sleep(60)
        finally:
            ended.append(machine.name)

    with pytest.raises(Cancelled):
        each(configs(Stub("a"), Stub("b")), work, jobs=2, op=op)

    assert sorted(ended) == ["a", "b"]
