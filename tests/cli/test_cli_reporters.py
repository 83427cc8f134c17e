"""Progress as lines and as JSON."""

from __future__ import annotations

import io
import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from vagrantish.cli.invocation import parse
from vagrantish.cli.live import Live
from vagrantish.cli.options import Options
from vagrantish.cli.reporters import JsonLines, Plain, Silent, Warnings, amount, choose
from vagrantish.events import Cancel, Note, Op, Output, Progress, StepFinished, StepStarted

if TYPE_CHECKING:
    from vagrantish.cli.reporters import Renderer

# What one machine may tell, in order.
STORY = (
    StepStarted("default", "boot", "Booting"),
    Output("default", "boot", "[    0.0] Linux"),
    StepFinished("default", "boot", ok=True, seconds=2.61, text="ready in 2.6 s"),
    StepStarted("default", "provision:motd", "Running motd"),
    Output("default", "provision:motd", "hello \x1b[31mred\x1b[0m\r"),
    StepFinished("default", "provision:motd", ok=False, seconds=75),
    Note("default", "warning", "slow\nhost"),
    Note("", "info", "by the way"),
)


def played(renderer: Renderer, stream: io.StringIO) -> list[str]:
    for event in STORY:
        renderer.emit(event)
    renderer.close()
    return stream.getvalue().splitlines()


def test_plain_lines_say_machine_step_and_outcome() -> None:
    stream = io.StringIO()

    lines = played(Plain(stream, Cancel(), verbose=False), stream)

    assert lines == [
        "default: Booting",
        "default: Booting: ready in 2.6 s",
        "default: Running motd",
        "default | hello red",
        "default: Running motd: failed after 1 min 15 s",
        "default: warning: slow host",
        "by the way",
    ]


def test_verbose_lines_show_the_guest_booting() -> None:
    stream = io.StringIO()

    assert "default | [    0.0] Linux" in played(Plain(stream, Cancel(), verbose=True), stream)


def test_a_step_ended_by_the_user_is_interrupted_not_failed() -> None:
    stream, cancel = io.StringIO(), Cancel()
    cancel.set()

    Plain(stream, cancel, verbose=False).emit(StepFinished("web", "boot", ok=False, seconds=1))

    assert stream.getvalue() == "web: boot: interrupted after 1.0 s\n"


def test_quiet_shows_warnings_alone() -> None:
    stream = io.StringIO()

    assert played(Warnings(stream), stream) == ["default: warning: slow host"]


def test_every_event_is_one_json_object_with_its_fields() -> None:
    stream = io.StringIO()

    events: list[dict[str, Any]] = [json.loads(line) for line in played(JsonLines(stream), stream)]

    assert all(abs(event.pop("time") - events[0].get("time", 0)) >= 0 for event in events)
    assert events[:4] == [
        {"event": "step-started", "machine": "default", "name": "boot", "text": "Booting"},
        {"event": "output", "machine": "default", "name": "boot", "line": "[    0.0] Linux"},
        {
            "event": "step-finished", "machine": "default", "name": "boot", "ok": True,
            "seconds": 2.61, "text": "ready in 2.6 s",
        },
        {
            "event": "step-started", "machine": "default", "name": "provision:motd",
            "text": "Running motd",
        },
    ]  # fmt: skip
    assert events[-1] == {"event": "note", "machine": "", "level": "info", "text": "by the way"}


def test_progress_events_are_few_and_the_last_is_among_them() -> None:
    stream = io.StringIO()
    renderer = JsonLines(stream)

    for done in range(10_001):
        renderer.emit(Progress("", "fetch", done, 10_000, "B"))

    lines = stream.getvalue().splitlines()
    assert 1 < len(lines) < 100
    assert json.loads(lines[-1])["done"] == 10_000


def test_lines_of_many_threads_stay_whole() -> None:
    stream = io.StringIO()
    op = Op(JsonLines(stream), Cancel())

    def talk(name: str) -> None:
        for _ in range(200):
            op.on(name).note("x" * 200)

    threads = [threading.Thread(target=talk, args=(f"m{i}",)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len([json.loads(line) for line in stream.getvalue().splitlines()]) == 1000


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Progress("", "x", 1 << 20, 4 << 20, "B"), "25% of 4MiB"),
        (Progress("", "x", 5 << 20, 4 << 20, "B"), "100% of 4MiB"),
        (Progress("", "x", 1 << 20, None, "B"), "1MiB"),
        (Progress("", "x", 0, 0, "B"), "0B"),
        (Progress("", "x", 3, 10, "files"), "3/10 files"),
        (Progress("", "x", 3, None, "files"), "3 files"),
    ],
)
def test_an_amount_is_told_in_its_unit(event: Progress, text: str) -> None:
    assert amount(event) == text


def test_a_stderr_that_went_away_does_not_stop_the_work() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(os.dup(writer), "w") as stream:
        for renderer in (Plain(stream, Cancel(), verbose=False), JsonLines(stream)):
            for event in STORY:
                renderer.emit(event)
    os.close(writer)


def chosen(line: str, stream: io.StringIO | None, **env: str) -> Renderer:
    options = Options(parse([*line.split(), "version"]).args, env)
    return choose(options, env, stream, Cancel())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_renderer_fits_the_options_and_the_terminal() -> None:
    tty = Terminal()

    assert isinstance(chosen("", tty, TERM="xterm"), Live)
    assert isinstance(chosen("--color never", tty, TERM="xterm"), Live)
    assert isinstance(chosen("", tty, TERM="dumb"), Plain)
    assert isinstance(chosen("", tty), Plain)
    assert isinstance(chosen("-vv", tty, TERM="xterm"), Plain)
    assert isinstance(chosen("", tty, TERM="xterm", VX_LOG="info"), Plain)
    assert isinstance(chosen("", io.StringIO(), TERM="xterm"), Plain)
    assert isinstance(chosen("-q", tty, TERM="xterm"), Warnings)
    assert isinstance(chosen("--events -q", tty, TERM="xterm"), JsonLines)
    assert isinstance(chosen("", None), Silent)
