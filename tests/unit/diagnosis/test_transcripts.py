"""Each failure that is known, as it shows: the reader says which it is."""

from __future__ import annotations

import pytest

from tests.unit.diagnosis.transcripts import Transcript, every
from vagrantish.diagnosis.causes import Severity, State

EVERY = every()
HEALTHY = [one for one in EVERY if one.name.startswith("healthy-")]
HARMLESS = [one for one in EVERY if "harmless" in one.header]
FAILED = [one for one in EVERY if one not in (*HEALTHY, *HARMLESS)]


@pytest.mark.parametrize("transcript", FAILED, ids=lambda one: one.name)
def test_the_cause_of_a_failed_boot_is_named(transcript: Transcript) -> None:
    verdict = transcript.read().verdict(*transcript.states)

    assert verdict is not None
    assert (verdict.cause_id, verdict.others) == (transcript.cause, verdict.others)
    assert verdict.hint
    assert verdict.event or verdict.message or transcript.cause == "stalled"


@pytest.mark.parametrize("transcript", FAILED, ids=lambda one: one.name)
def test_the_verdict_does_not_hang_on_how_the_bytes_arrive(transcript: Transcript) -> None:
    whole = transcript.read().verdict(*transcript.states)

    assert transcript.read(piece=7).verdict(*transcript.states) == whole


@pytest.mark.parametrize("transcript", [*HEALTHY, *HARMLESS], ids=lambda one: one.name)
def test_a_healthy_boot_has_no_cause(transcript: Transcript) -> None:
    reader = transcript.read()

    assert not reader.is_fatal
    assert reader.verdict() is None
    assert [s.cause.id for s in reader.remarks() if s.cause.severity is Severity.CLUE] == []
    stalled = reader.verdict(State.STALLED)
    assert stalled is not None
    assert stalled.cause_id == "stalled"


@pytest.mark.parametrize("transcript", HARMLESS, ids=lambda one: one.name)
def test_what_is_harmless_is_remarked_as_that(transcript: Transcript) -> None:
    assert [s.cause.id for s in transcript.read().remarks()] == [transcript.cause]


def test_every_row_of_what_is_known_has_its_transcript() -> None:
    numbers = [int(one.name[:2]) for one in EVERY if one.name[:2].isdigit()]

    assert numbers == list(range(1, 66))
