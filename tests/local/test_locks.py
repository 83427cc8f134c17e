"""A lock dies with its holder, and who waits is told for whom."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import pytest

from tests.fakes.recorder import quiet_op
from vagrantish.events import Cancel, Cancelled, Note, Op
from vagrantish.locks import hold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.events import Event

HOLDER = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from vagrantish.events import Cancel, Op
    from vagrantish.locks import hold
    class Silent:
        def emit(self, event): pass
    sys.argv = ["vx", "up", "web"]
    with hold(Path(PATH), what="machine web", op=Op(Silent(), Cancel())):
        print("held", flush=True)
        time.sleep(120)
""")


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.noted = threading.Event()

    def emit(self, event: Event, /) -> None:
        self.events.append(event)
        self.noted.set()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "machine.lock"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    script = HOLDER.replace("PATH", repr(str(path)))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


def test_the_waiter_is_told_who_holds_it_and_gets_it_when_that_one_is_killed(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    recorder = Recorder()

    def kill_once_told() -> None:
        recorder.noted.wait(60)
        holder.kill()

    killer = threading.Thread(target=kill_once_told)
    killer.start()
    with hold(path, what="machine web", op=Op(recorder, Cancel())):
        killer.join()

    notes = [event.text for event in recorder.events if isinstance(event, Note)]
    assert notes == [f"Waiting for `vx up web` (pid {holder.pid}), which holds machine web"]


def test_waiting_ends_when_the_user_cancels(path: Path, holder: subprocess.Popen[str]) -> None:
    recorder, cancel = Recorder(), Cancel()

    def cancel_once_told() -> None:
        recorder.noted.wait(60)
        cancel.set()

    canceller = threading.Thread(target=cancel_once_told)
    canceller.start()
    with pytest.raises(Cancelled), hold(path, what="x", op=Op(recorder, cancel)):
        pass
    canceller.join()


def test_a_lock_can_be_taken_again_after_it_was_released(path: Path) -> None:
    recorder = Recorder()
    for _ in range(3):
        with hold(path, what="x", op=Op(recorder, Cancel())):
            pass

    assert recorder.events == []


def test_a_lock_is_had_also_where_its_holder_cannot_be_noted(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "machine.lock"
    path.parent.mkdir()
    path.with_name("machine.lock.holder").mkdir()  # as little to be written as on a full disk

    with hold(path, what="machine web", op=quiet_op()):
        waiting = quiet_op()
        waiting.cancel.set()
        with pytest.raises(Cancelled), hold(path, what="machine web", op=waiting):
            pass
