"""The schema, the example, the reference page and `vx init` say what the table of settings says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # it brings no types
import pytest
import tomli
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from vagrantish.box import reference
from vagrantish.config import texts
from vagrantish.config.host import host_facts
from vagrantish.config.init import initial_text
from vagrantish.config.keys import Key, Table, Tables, TextOr, Unbuilt
from vagrantish.config.load import load
from vagrantish.config.schema import json_schema
from vagrantish.config.settings import MACHINE, MACHINE_ONLY, PROJECT_ONLY
from vagrantish.errors import ConfigError, UsageError
from vagrantish.model import BoxRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.unit.config.conftest import Settings
    from vagrantish.config.kinds import Kind

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "Xhyvefile.example"
PAGE = ROOT / "docs/xhyvefile.md"
TOP = (*MACHINE, *PROJECT_ONLY, *MACHINE_ONLY)


def leaves(keys: Sequence[Key], name: str = "") -> Iterator[tuple[str, Key, Kind]]:
    """Every setting with its dotted name."""
    for key in keys:
        if isinstance(key.kind, Table | Tables):
            yield from leaves(key.kind.keys, f"{name}{key.name}.")
        elif isinstance(key.kind, TextOr):
            yield f"{name}{key.name}", key, key.kind.text
            yield from leaves(key.kind.table.keys, f"{name}{key.name}.")
        elif not isinstance(key.kind, Unbuilt):
            yield f"{name}{key.name}", key, key.kind


SETTINGS = list(leaves(TOP))


def valid(text: str) -> bool:
    errors = jsonschema.Draft7Validator(json_schema()).iter_errors(tomli.loads(text))
    return not list(errors)


# --- the table -------------------------------------------------------------------------------


def test_names_are_used_once_and_every_setting_has_help() -> None:
    names = [name for name, _, _ in SETTINGS]

    assert len(names) == len(set(names))
    assert all(key.help for _, key, _ in SETTINGS)


def test_every_setting_says_what_it_is_without_being_set() -> None:
    for name, key, _ in SETTINGS:
        told = key.default is not None or key.shown_default or key.required or key.step
        assert told or name.startswith("box."), name


def test_a_box_is_named_alike_everywhere() -> None:
    for text in (
        "micro",
        "a@1",
        "ubuntu@24.04+x",
        "A",
        "a@",
        "",
        "a b",
        "a/b",
        ".a",
        "a" * 65,
        "a@b@c",
    ):
        ours, theirs = outcome(texts.box_ref, text), outcome(reference.parse, text)
        assert ours == theirs, text


def outcome(parse: Any, text: str) -> BoxRef | None:
    try:
        found: BoxRef = parse(text)
    except ValueError:
        return None
    return found


# --- the schema ------------------------------------------------------------------------------


def test_the_schema_is_a_schema_and_json() -> None:
    schema = json_schema()

    jsonschema.Draft7Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize(
    "text",
    [
        "box = 'micro'",
        "cpus = '{{ host.cpus }}'",
        "box = { kernel = 'a' }",
        "provider = ['qemu']",
        "[machines.a]\nneeds = 'b'\ncount = 2",
        "[params]\na = 1\nb = { default = [1], type = 'list' }",
        "[[provision]]\ninline = 'a'\nenv = { A = 1 }",
    ],
)
def test_the_schema_takes_what_is_right(text: str) -> None:
    assert valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "cpu = 2",
        "cpus = '2'",
        "cpus = 0",
        "memory = 512",
        "memory = '512'",
        "provider = 'quemu'",
        "share = []",
        "primary = true",
        "[boot]\ntimout = '1s'",
        "[[forward]]\nguest = 80",
        "[[forward]]\nguest = 80\nhost = 70000",
        "[machines.a]\nparams = {}",
        "[machines.'a b']",
        "[params]\na = { type = 'number' }",
        "[params]\n'a-b' = 1",
        "box = { initrd = 1 }",
        "[[provision]]\ntype = 'ansible'",
    ],
)
def test_the_schema_sees_what_is_wrong(text: str) -> None:
    assert not valid(text)


# --- the example -----------------------------------------------------------------------------


def test_the_example_is_right(settings: Settings) -> None:
    loaded = load(EXAMPLE, home=settings.home, env={}, box_defaults=lambda _: None)

    assert [machine.name for machine in loaded.project.machines] == ["web", "db-1", "db-2"]
    assert valid(EXAMPLE.read_text(encoding="utf-8"))


def test_the_example_shows_every_setting() -> None:
    table = tomli.loads(EXAMPLE.read_text(encoding="utf-8"))
    machines = table.pop("machines")
    shown = set(names_in(table))
    for machine in machines.values():
        shown |= set(names_in(machine))

    assert {name for name, _, _ in SETTINGS} - shown == set()


def names_in(table: dict[str, Any], base: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict) and name != "env":
            yield from names_in(value, f"{base}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for item in value:
                yield from names_in(item, f"{base}{name}.")
        else:
            yield f"{base}{name}"


def test_the_defaults_the_example_shows_are_the_defaults() -> None:
    """A line without the word default shows it, save where there is none."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    table = tomli.loads(EXAMPLE.read_text(encoding="utf-8"))
    for name, key, _ in SETTINGS:
        if key.default in (None, "", [], {}) or name.startswith(("box.", "provision.")):
            continue
        head, _, last = name.rpartition(".")
        place = table[head] if head else {**table, **table["machines"]["web"]}
        value = (place[0] if isinstance(place, list) else place)[last]
        line = next(line for line in lines if re.match(rf"{last} *=", line))
        assert value == key.default or "default" in line, line


# --- the page --------------------------------------------------------------------------------


def row(name: str, key: Key, kind: Kind) -> str:
    """The line of the reference for one setting."""
    if key.required:
        default = "none: it must be given"
    elif key.shown_default:
        default = key.shown_default
    elif key.default is None:
        default = "nothing"
    elif key.default in ("", [], {}):
        default = "empty"
    else:
        default = f"`{json.dumps(key.default)}`"
    return f"| `{name}` | {key.help} | {kind.wants} | {default} |"


@pytest.mark.parametrize(("name", "key", "kind"), SETTINGS, ids=[name for name, _, _ in SETTINGS])
def test_the_page_has_every_setting(name: str, key: Key, kind: Kind) -> None:
    assert row(name, key, kind) in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_page_has_no_setting_that_is_not_there() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## Every setting")[2]
    found = re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE)

    assert sorted(found) == sorted(name for name, _, _ in SETTINGS)


def test_the_page_names_what_is_not_built_yet() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert all(f"`{key.name}`" in page for key in TOP if isinstance(key.kind, Unbuilt))


def test_the_pages_own_examples_are_right(settings: Settings) -> None:
    examples = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    settings.write("setup.sh")
    settings.write("freebsd.qcow2")

    assert examples
    for text in examples:
        box = "" if re.search(r"^(box =|\[box\])", text, re.MULTILINE) else 'box = "micro"\n'
        settings.load(box + text, env={"USER": "me", "TOKEN": "x"})


# --- vx init ---------------------------------------------------------------------------------


@pytest.mark.parametrize("box", ["micro", "ubuntu@24.04"])
def test_what_vx_init_writes_is_right(settings: Settings, box: str) -> None:
    text = initial_text(box)

    machine = settings.machine(text)

    name, _, version = box.partition("@")
    assert machine.box == BoxRef(name=name, version=version or None)
    assert text.startswith("# ")
    assert text.endswith("\n")
    assert "{" not in text


def test_what_vx_init_only_suggests_is_right_too(settings: Settings) -> None:
    text = re.sub(r"^# (?=\[\[|[a-z_]+ = )", "", initial_text("micro"), flags=re.MULTILINE)

    machine = settings.machine(text)

    assert (len(machine.forwards), len(machine.steps)) == (1, 1)


@pytest.mark.parametrize("box", ["", "A", "./box", 'x"\ncpus = 9', "a b", "https://example.com/x"])
def test_vx_init_takes_names_of_boxes_only(box: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a box"):
        initial_text(box)


# --- all together ----------------------------------------------------------------------------


def test_the_host_is_described() -> None:
    facts = host_facts()

    assert facts["os"] in ("linux", "darwin")
    assert facts["cpus"] >= 1
    assert facts["memory"] > 1 << 26
    assert isinstance(facts["arch"], str)


VALUES = st.sampled_from(
    ["1", "-1", "'x'", "''", "true", "[]", "['a']", "[[]]", "{}", "{ a = 1 }", "'1GiB'", "'5m'", "1.5",
     "2024-01-01", "'{{ host.cpus }}'", "'{{ nope }}'", "'{{'", "'{{ params.a }}'", "[{ guest = 1 }]",
     "'micro'", '"\\u0000"', "'~'", "{ default = '{{ params.b }}' }", "[{ inline = 'x', env = [] }]",
     "inf", "nan", "'{{ machine.name }}'", "[{ type = 'file' }]", "{ kernel = '.', digest = 1 }"]
)  # fmt: skip
NAMES = st.sampled_from(
    [*(name for name, _, _ in SETTINGS), *(key.name for key in TOP), "params", "params.a", "params.b",
     "machines", "machines.web", "nope", "'a.b'", "boot.nope", "params.a.type"]
)  # fmt: skip
PLACES = st.sampled_from(["", "machines.web.", "machines.db.", "machines.'b c'."])


@hypothesis_settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(PLACES, NAMES, VALUES), max_size=8, unique_by=lambda item: item[:2]),
    st.lists(st.tuples(PLACES, NAMES, VALUES), max_size=3, unique_by=lambda item: item[:2]),
)
def test_any_settings_are_loaded_or_refused_with_every_line_told(
    settings: Settings, entries: list[tuple[str, str, str]], local: list[tuple[str, str, str]]
) -> None:
    text = "\n".join(f"{place}{name} = {value}" for place, name, value in entries)
    stronger = "\n".join(f"{place}{name} = {value}" for place, name, value in local)

    try:
        loaded = settings.load(f"{text}\n", local=stronger, user="box = 'micro'", box={"cpus": 2})
    except ConfigError as error:
        wheres = [problem.where for problem in error.problems]
    else:
        wheres = []
        for machine in loaded.project.machines:
            assert json.dumps(loaded.values(machine.name))

    for where in wheres:
        assert re.fullmatch(r"Xhyvefile(\.local)?(:[1-9][0-9]*)?", where), where
