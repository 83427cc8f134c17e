"""Keeps the events of an operation, for tests that look at what people are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.events import Cancel, Note, Op

if TYPE_CHECKING:
    from vagrantish.events import Event


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event, /) -> None:
        self.events.append(event)

    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Note)]


def quiet_op() -> Op:
    return Op(Recorder(), Cancel())
