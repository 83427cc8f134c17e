"""The data files of causes: whole, well-formed, and quick to read."""

from __future__ import annotations

import re
from importlib import resources

import jsonschema  # type: ignore[import-untyped]
import pytest

from vagrantish import toml
from vagrantish.diagnosis.causes import RANKS, Place, Severity, State, catalogue
from vagrantish.diagnosis.endings import EndingKind
from vagrantish.diagnosis.stages import Stage

FILES = [
    file
    for file in sorted(
        (resources.files("vagrantish.diagnosis") / "causes").iterdir(), key=lambda one: one.name
    )
    if file.name.endswith(".toml")
]
TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "minItems": 1, "uniqueItems": True, "items": TEXT}


def any_of(kinds: type) -> dict[str, object]:
    values = [kind.value for kind in kinds]  # type: ignore[attr-defined]
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": values}}


NEEDS = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "state": any_of(State),
        "ending": any_of(EndingKind),
        "status": {"type": "array", "minItems": 1, "items": {"type": "integer"}},
        "provider": {
            "type": "array",
            "minItems": 1,
            "items": {"enum": ["qemu", "xhyve", "hyperkit", "vfkit", "bhyve"]},
        },
        "within_s": {"type": "number", "exclusiveMinimum": 0},
        "printed": {"type": "boolean"},
        "said": {"type": "boolean"},
        "last": {"const": True},
        "until": {"enum": [stage.value for stage in Stage]},
        "with": TEXTS,
        "without": TEXTS,
    },
}
SCHEMA = {
    "type": "object",
    "required": ["cause"],
    "additionalProperties": False,
    "properties": {
        "cause": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["id", "where", "say", "fix", "severity"],
                "anyOf": [{"required": [key]} for key in ("text", "pattern", "alone")],
                "additionalProperties": False,
                "properties": {
                    "id": {"type": "string", "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"},
                    "where": any_of(Place),
                    "text": TEXTS,
                    "pattern": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "array", "minItems": 2, "maxItems": 2, "items": TEXT},
                    },
                    "needs": NEEDS,
                    "alone": NEEDS,
                    "event": TEXT,
                    "prompt": {"const": True},
                    "decides": {"const": True},
                    "say": {"type": "string", "pattern": r"^$|\.$"},
                    "fix": {"type": "string"},
                    "stage": {"enum": [stage.value for stage in Stage]},
                    "severity": {"enum": [one.value for one in Severity]},
                    "rank": {"enum": list(RANKS)},
                },
            },
        }
    },
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_is_as_the_schema_says(file: resources.abc.Traversable) -> None:
    table = toml.parse(file.read_text("utf-8"), file.name).table

    jsonschema.validate(table, SCHEMA)


def test_ids_are_unique_and_those_that_are_named_exist() -> None:
    ids = [cause.id for cause in catalogue().causes]
    named = {
        one
        for cause in catalogue().causes
        for needs in (cause.needs, cause.alone)
        if needs is not None
        for one in (*needs.seen, *needs.unseen)
    }

    assert len(ids) == len(set(ids))
    assert named <= set(ids)


def test_whatever_ends_or_explains_a_boot_says_how_to_go_on() -> None:
    silent = [
        cause.id
        for cause in catalogue().causes
        if cause.severity is not Severity.HARMLESS and not cause.fix
    ]

    assert silent == []


def test_patterns_compile_and_cannot_run_away() -> None:
    line = "Failed to start modprobe: " + "a: /b [1] " * 400

    for cause in catalogue().causes:
        for pattern in cause.patterns:
            re.compile(pattern.regex)
        cause.match(line)


def test_an_ordinary_line_is_no_cause() -> None:
    for line in ("", "panic=1 on the command line", "systemd[1]: emergency.target: not needed"):
        assert [cause.id for cause in catalogue().causes if cause.match(line) is not None] == []
