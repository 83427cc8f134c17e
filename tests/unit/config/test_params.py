"""Parameters: declared, overridden, converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vagrantish.errors import UsageError

if TYPE_CHECKING:
    from tests.unit.config.conftest import Settings

BOX = "box = 'micro'\n"


def value_of(settings: Settings, declared: str, **layers: Any) -> Any:
    return settings.load(f"{BOX}[params]\na = {declared}\n", **layers).values("default")["params"][
        "a"
    ]


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("8080", 8080),
        ("1.5", 1.5),
        ("'x'", "x"),
        ("true", True),
        ("['a', 1, true]", ["a", 1, True]),
        ("[]", []),
        ("{ default = 1 }", 1),
        ("{ default = 1, type = 'float' }", 1.0),
        ("'{{ 1 + 1 }}'", "2"),
        ("{ default = '{{ 1 + 1 }}', type = 'integer' }", 2),
        ("{ default = '{{ 1 == 1 }}', type = 'boolean' }", True),
        ("{ default = '{{ [1, 2] }}', type = 'list' }", [1, 2]),
        ("['{{ 1 }}', 'b']", ["1", "b"]),
    ],
)
def test_a_default_has_its_type(settings: Settings, declared: str, value: object) -> None:
    found = value_of(settings, declared)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("declared", "given", "value"),
    [
        ("8080", "9000", 9000),
        ("1.5", "2", 2.0),
        ("'x'", "9000", "9000"),
        ("'x'", "", ""),
        ("'x'", "a=b", "a=b"),
        ("'x'", "{{ nope }}", "{{ nope }}"),
        ("true", "false", False),
        ("true", "True", True),
        ("['a']", "['b', 'c']", ["b", "c"]),
        ("{ type = 'integer' }", "3", 3),
        ("{ help = 'what' }", "3", "3"),
        ("'{{ env.NOPE }}'", "x", "x"),
    ],
)
def test_what_is_given_is_converted_to_the_type(
    settings: Settings, declared: str, given: str, value: object
) -> None:
    found = value_of(settings, declared, params=[f"a={given}"])

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("declared", "given", "problem"),
    [
        ("8080", "x", '--param: the parameter `a` must be of type integer, got "x"'),
        ("8080", "1.5", "--param: the parameter `a` must be of type integer, got 1.5"),
        ("8080", "1\nb = 2", "--param: the parameter `a` must be of type integer, got"),
        ("true", "1", "--param: the parameter `a` must be of type boolean, got 1"),
        ("['a']", "b", '--param: the parameter `a` must be of type list, got "b"'),
        ("['a']", "[[1]]", "--param: the parameter `a` is a list of text, numbers"),
    ],
)
def test_what_does_not_fit_is_told(
    settings: Settings, declared: str, given: str, problem: str
) -> None:
    (told,) = settings.problems(f"{BOX}[params]\na = {declared}", params=[f"a={given}"])

    assert told.startswith(problem)


def test_an_unknown_parameter_is_told_with_a_near_one(settings: Settings) -> None:
    text = f"{BOX}[params]\nport = 1\n"

    assert settings.problems(text, params=["prot=2"]) == [
        "--param: there is no parameter `prot` (did you mean `port`?)"
    ]
    assert settings.problems(text, params=["xyzzy=2"]) == [
        "--param: there is no parameter `xyzzy` (declare it in the Xhyvefile: [params])"
    ]


@pytest.mark.parametrize("item", ["", "port", "=2"])
def test_what_is_no_assignment_is_a_usage_error(settings: Settings, item: str) -> None:
    with pytest.raises(UsageError, match="not NAME=VALUE"):
        settings.load(BOX, params=[item])


def test_parameters_may_need_each_other_in_any_order(settings: Settings) -> None:
    text = "[params]\nurl = 'http://{{ params.host }}:{{ params.port }}'\nhost = '{{ project.name }}'\nport = 80"

    assert settings.load(BOX + text).values("default")["params"]["url"] == "http://shop:80"


def test_a_stronger_layer_changes_the_value_and_keeps_the_type(settings: Settings) -> None:
    declared = "{ default = 1, type = 'integer', help = 'x' }"

    assert value_of(settings, declared, local="params.a = 2", user="params.a = 9") == 2
    assert value_of(settings, declared, sets=["params.a=3"]) == 3
    (told,) = settings.problems(f"{BOX}params.a = {declared}", local="params.a = 'x'")
    assert told == 'Xhyvefile.local:1: the parameter `a` must be of type integer, got "x"'


def test_a_bad_parameter_is_told_once_however_often_it_is_used(settings: Settings) -> None:
    told = settings.problems(
        f"{BOX}message = '{{{{ params.a }}}}'\n[params]\na = '{{{{ env.NOPE }}}}'\nb = '{{{{ params.a }}}}'\n"
        "[boot]\ncmdline = '{{ params.b }}'\n[machines.x]\n[machines.y]\n"
    )

    assert len(told) == 1
    assert told[0].startswith("Xhyvefile:4: the parameter `a`: the environment variable NOPE is")


def test_parameters_called_like_methods_are_parameters(settings: Settings) -> None:
    text = "message = '{{ params.get }} {{ params.items }} {{ params.keys }}'\n[params]\nget = 1\nitems = 2\nkeys = 3"

    assert settings.machine(f"{BOX}{text}").message == "1 2 3"


def test_a_long_chain_of_parameters_ends_in_one_error(settings: Settings) -> None:
    chain = "\n".join(f"p{number} = '{{{{ params.p{number + 1} }}}}'" for number in range(500))

    told = settings.problems(f"{BOX}[params]\n{chain}\np500 = 'end'\n")

    assert all("nested too deep" in line for line in told)


def test_a_declaration_of_a_huge_number_is_refused(settings: Settings) -> None:
    told = settings.problems(f"{BOX}cpus = {'9' * 300}\n")

    assert told == ["Xhyvefile:2: `cpus` must be a whole number from 1 to 64, got a huge number"]
