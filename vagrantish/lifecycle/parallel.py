"""Several machines at once, each after those it needs."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, TypeVar

from vagrantish.errors import MachineError, VxError
from vagrantish.events import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vagrantish.events import Op
    from vagrantish.model import MachineConfig

R = TypeVar("R")
T = TypeVar("T")

_WAKE_S = 0.2  # how late a Ctrl-C may be noticed by the thread that waits for the others


class SeveralFailed(VxError):
    """More than one machine failed; the exit status is the first one's."""

    code = "several-failed"

    def __init__(self, failures: Sequence[tuple[str, VxError]]) -> None:
        super().__init__(
            "\n".join(f"{name}: {error.message}" for name, error in failures),
            hint="\n".join(f"{name}: {error.hint}" for name, error in failures if error.hint),
        )
        self.failures = tuple(failures)

    @property
    def exit_status(self) -> int:  # type: ignore[override]  # decided by what happened
        return self.failures[0][1].exit_status


class NeededFailed(MachineError):
    code = "needed-machine-failed"


def each(
    machines: Sequence[MachineConfig],
    work: Callable[[MachineConfig, Op], R],
    *,
    jobs: int,
    op: Op,
) -> tuple[R, ...]:
    """``work`` for every machine, at most ``jobs`` at a time; answers in the order given.

    A machine starts when those it needs (among ``machines``) are done; if one of them failed
    it is not tried. All that can go on does; then one failure is raised as it is and several as
    SeveralFailed. On Ctrl-C every thread has ended before Cancelled leaves here.
    """
    if len(machines) == 1:
        return (work(machines[0], op.on(machines[0].name)),)
    by_name = {machine.name: machine for machine in machines}
    graph = {m.name: [need for need in m.needs if need in by_name] for m in machines}
    futures: dict[str, Future[R]] = {}

    def run(machine: MachineConfig) -> R:
        for need in graph[machine.name]:
            error = futures[need].exception()
            if isinstance(error, Cancelled):
                raise Cancelled
            if error is not None:
                raise NeededFailed(f"not started, because {need} failed and is needed first")
        return work(machine, op.on(machine.name))

    # Those needed are submitted first, so a thread only ever waits for one that already runs.
    order = TopologicalSorter(graph).static_order()
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        for name in order:
            futures[name] = pool.submit(run, by_name[name])
        try:
            pending = set(futures.values())
            while pending:
                _, pending = wait(pending, timeout=_WAKE_S)
                op.cancel.check()
        except KeyboardInterrupt:
            op.cancel.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return _answers([(m.name, futures[m.name]) for m in machines])


def each_in_turn(
    things: Sequence[tuple[str, T]], work: Callable[[T, Op], R], *, op: Op
) -> tuple[R, ...]:
    """``work`` for each (machine's name, thing) in turn; a failure keeps none of the others from it.

    Raises as ``each`` does.
    """
    answers: list[R] = []
    failures: list[tuple[str, VxError]] = []
    for name, thing in things:
        try:
            answers.append(work(thing, op.on(name)))
        except VxError as error:
            failures.append((name, error))
    _raise(failures)
    return tuple(answers)


def _answers(futures: Sequence[tuple[str, Future[R]]]) -> tuple[R, ...]:
    failures: list[tuple[str, VxError]] = []
    for name, future in futures:
        error = future.exception()
        if isinstance(error, VxError):
            failures.append((name, error))
        elif error is not None:
            raise error
    _raise(failures)
    return tuple(future.result() for _, future in futures)


def _raise(failures: list[tuple[str, VxError]]) -> None:
    if len(failures) == 1:
        raise failures[0][1]
    if failures:
        raise SeveralFailed(failures)
