"""Consoles of guests that write whatever they like: an answer, soon, and in little memory."""

from __future__ import annotations

import time

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.budget import rounds
from tests.unit.diagnosis.transcripts import every
from vagrantish.diagnosis.causes import Place, State
from vagrantish.diagnosis.endings import Ending, classify
from vagrantish.diagnosis.reader import Reader

SEEDS = tuple(text.encode() for transcript in every() for text in transcript.parts.values() if text)
PLACES = st.sampled_from(list(Place))
STATES = st.frozensets(st.sampled_from(list(State)), max_size=2)
ENDINGS = st.none() | st.builds(
    classify,
    st.sampled_from(["xhyve", "hyperkit", "vfkit", "bhyve", "qemu", "?"]),
    status=st.integers(-70, 300),
    seconds=st.floats(0, 100),
    printed=st.booleans(),
    stderr=st.text(max_size=200),
)


def is_harmless(line: str) -> bool:
    return not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in line)


def look(
    pieces: list[tuple[Place, bytes]], states: frozenset[State], ending: Ending | None
) -> None:
    started = time.monotonic()
    reader = Reader()
    for place, data in pieces:
        reader.feed(data, place)
    if ending is not None:
        reader.end(ending)
    verdict = reader.verdict(*states)

    if verdict is not None:
        assert len(verdict.lines) <= 15
        assert all(len(line) <= 400 and is_harmless(line) for line in verdict.lines)
        assert is_harmless(verdict.event)
        assert len(verdict.event) < 600
    assert all(is_harmless(line) for line in reader.last_lines(500))
    assert len(reader.remarks()) < 200
    assert time.monotonic() - started < 5


@settings(max_examples=rounds(60), deadline=None)
@given(
    st.lists(st.tuples(PLACES, st.sampled_from(SEEDS)), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8),
    st.integers(1, 500),
    STATES,
    ENDINGS,
)
def test_damaged_transcripts_in_pieces(
    parts: list[tuple[Place, bytes]],
    flips: list[tuple[int, int]],
    piece: int,
    states: frozenset[State],
    ending: Ending | None,
) -> None:
    pieces = []
    for place, text in parts:
        data = bytearray(text)
        for position, byte in flips:
            data[position % len(data)] = byte
        pieces += [(place, bytes(data[at : at + piece])) for at in range(0, len(data), piece)]

    look(pieces, states, ending)


@settings(max_examples=rounds(60), deadline=None)
@given(st.lists(st.tuples(PLACES, st.binary(max_size=3000)), max_size=6), STATES, ENDINGS)
@example([(Place.CONSOLE, b"\x1b]" * 100_000)], frozenset(), None)
@example([(Place.CONSOLE, b"\x1b[" + b"0;" * 200_000)], frozenset(), None)
@example([(Place.CONSOLE, b"\r" * 500_000 + b"\n" * 100_000)], frozenset(), None)
@example([(Place.CONSOLE, b"Kernel panic - not syncing: " + b"A" * 500_000)], frozenset(), None)
@example([(Place.CONSOLE, b"Kernel panic - not syncing: {1}{1}{2}\n" * 1000)], frozenset(), None)
@example([(Place.CONSOLE, b"Linux version 6\n" * 20_000)], frozenset({State.STALLED}), None)
@example([(Place.CONSOLE, b"Failed to start " * 30_000)], frozenset({State.STALLED}), None)
@example([(Place.CONSOLE, b"[" + b" " * 500_000 + b"1.1]\n")], frozenset(), None)
@example([(Place.STDERR, b"\0" * 300_000 + b"exit_reason" + b" " * 300_000)], frozenset(), None)
def test_any_bytes(
    pieces: list[tuple[Place, bytes]], states: frozenset[State], ending: Ending | None
) -> None:
    look(pieces, states, ending)
