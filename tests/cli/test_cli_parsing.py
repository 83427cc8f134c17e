"""Command lines: options anywhere, mistakes named, help for everything."""

from __future__ import annotations

import io
import logging
import shlex
from typing import TYPE_CHECKING

import pytest

from vagrantish.cli.commands import COMMANDS, load, subcommands
from vagrantish.cli.invocation import parse, parser_of, sub_parser
from vagrantish.cli.options import Options, wants_color
from vagrantish.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from tests.cli.conftest import Cli


def options_of(line: str, env: dict[str, str] | None = None) -> Options:
    return Options(parse(shlex.split(line)).args, env or {})


def args_of(line: str) -> Namespace:
    return parse(shlex.split(line)).args


EVERY_VERB = [
    name for verb in COMMANDS for name in (verb, *(f"{verb} {s}" for s in subcommands(load(verb))))
]


@pytest.mark.parametrize(
    "line",
    [
        "-C dir --json --set a=1 up web",
        "up -C dir --json --set a=1 web",
        "up web -Cdir --json --set=a=1",
        "--json up --directory dir web --set a=1",
        "--directory=dir --set=a=1 up --json web",
    ],
)
def test_options_of_every_command_stand_before_or_after_the_verb(line: str) -> None:
    options = options_of(line)

    assert (options.directory, options.json, options.sets) == ("dir", True, ("a=1",))
    assert args_of(line).names == ["web"]


def test_repeated_settings_add_up_across_the_verb() -> None:
    options = options_of("--set a=1 --param x=1 up --set b=2 --param y=2")

    assert options.sets == ("a=1", "b=2")
    assert options.params == ("x=1", "y=2")


def test_names_and_options_may_alternate() -> None:
    args = args_of("up web --only one db --no-provision 'cache-*' --only two")

    assert args.names == ["web", "db", "cache-*"]
    assert args.only == ["one", "two"]
    assert args.provision is False


@pytest.mark.parametrize("line", ["ssh web -c 'ls -l'", "ssh -c 'ls -l' web", "ssh web '-cls -l'"])
def test_a_command_for_the_guest_is_one_value(line: str) -> None:
    args = args_of(line)

    assert (args.name, args.command) == ("web", "ls -l")


def test_a_value_may_start_with_a_dash() -> None:
    assert args_of("ssh -c -v").command == "-v"
    assert args_of("ssh --command --json").command == "--json"
    assert options_of("ssh --command --json").json is False


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("ssh web -- -L 8080:localhost:80 -N", ["-L", "8080:localhost:80", "-N"]),
        ("ssh web -- --json -C x", ["--json", "-C", "x"]),
        ("ssh web -- a -- b", ["a", "--", "b"]),
        ("ssh web", []),
    ],
)
def test_what_follows_two_dashes_belongs_to_ssh(line: str, rest: list[str]) -> None:
    args = args_of(line)

    assert (args.name, args.args) == ("web", rest)
    assert options_of(line).json is False


def test_two_dashes_elsewhere_end_the_options() -> None:
    args = args_of("cp -- -odd :/tmp/odd")

    assert (args.source, args.destination) == ("-odd", ":/tmp/odd")


def test_a_verbs_own_option_wins_after_the_verb_only() -> None:
    invocation = parse(["-f", "Other", "logs", "-f", "web"])

    assert invocation.args.follow is True
    assert invocation.args.name == "web"
    assert Options(invocation.args, {}).file == "Other"


def test_a_verbs_own_version_is_a_value() -> None:
    assert args_of("box add ./b --version 2").version == "2"


def test_options_stand_anywhere_around_a_verbs_verb() -> None:
    for line in ("--json box list", "box --json list", "box list --json"):
        assert options_of(line).json, line


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("stauts", "unknown command stauts", "vx status"),
        ("stop", "unknown command stop", "vx halt"),
        ("frobnicate", "unknown command frobnicate", "vx --help"),
        ("--jsno status", "unknown option --jsno", "--json"),
        ("up --jbos 2", "unknown option --jbos for `vx up`", "--jobs"),
        ("up -Z", "unknown option -Z for `vx up`", "vx up --help"),
        ("box lst", "unknown command box lst", "vx box list"),
        ("box", "vx box needs a command", "vx box --help"),
        ("-C", "option -C needs a value", "vx --help"),
        ("up --only", "option --only needs a value", "vx up --help"),
        ("version web", "unexpected argument web", "vx version --help"),
        ("cp one", "the following arguments are required: DST", "vx cp --help"),
        ("up --jobs many", "invalid int value: 'many'", "vx up --help"),
        ("--color red version", "invalid choice: 'red'", "vx --help"),
        ("--json", "no command given", "vx --help"),
        ("--set cpus status", "--set cpus is not KEY=VALUE", "--set cpus=VALUE"),
        ("--param =1 status", "--param =1 is not KEY=VALUE", "--param KEY=VALUE"),
        ("help nothing", "unknown command nothing", "vx --help"),
        ("completion tcsh", "invalid choice: 'tcsh'", "vx completion --help"),
    ],
)
def test_a_wrong_command_line_is_told_with_the_way_out(
    cli: Cli, line: str, message: str, hint: str
) -> None:
    told = cli("--json", *shlex.split(line))

    assert told.status == 2
    assert told.out == ""
    assert told.error["schema"] == "vx.error/1"
    assert told.error["code"] == "usage"
    assert told.error["exit_status"] == 2
    assert message in told.error["message"]
    assert hint in told.error["hint"]


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("VX_JOBS", "many", "1 or more"),
        ("VX_JOBS", "0", "1 or more"),
        ("VX_JOBS", "²", "1 or more"),
        ("VX_OFFLINE", "maybe", "1 or 0"),
        ("VX_LOG", "loud", "debug, info"),
    ],
)
def test_a_wrong_variable_is_a_usage_error(name: str, value: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"{name}={value}") as caught:
        options_of("status", {name: value})

    assert hint in caught.value.hint


def test_variables_are_read() -> None:
    env = {"VX_JOBS": "3", "VX_OFFLINE": "1", "VX_LOG": "INFO", "VX_PROVIDER": "qemu"}

    options = options_of("status", env)

    assert (options.jobs, options.offline, options.log_level) == (3, True, "info")
    assert options.provider == "qemu"


def test_empty_variables_are_as_good_as_none() -> None:
    env = {"VX_JOBS": "", "VX_OFFLINE": "", "VX_LOG": "", "VX_PROVIDER": ""}

    options = options_of("status", env)

    assert (options.jobs, options.offline, options.log_level) == (None, False, None)
    assert options.provider is None


@pytest.mark.parametrize(
    ("color", "env", "terminal", "wanted"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colour_is_for_terminals_unless_somebody_says_otherwise(
    color: str, env: dict[str, str], terminal: bool, wanted: bool
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    assert wants_color(color, Stream(), env) is wanted


@pytest.mark.parametrize(
    "line", ["--color always frob", "--color=always frob", "frob --color=always"]
)
def test_even_a_wrong_command_line_is_told_in_colour_where_asked(cli: Cli, line: str) -> None:
    assert cli(*line.split()).err.startswith("\x1b[1;31mvx: error:\x1b[0m unknown command frob")


def test_the_log_for_developers_is_on_stderr_and_ends_with_the_command(cli: Cli) -> None:
    told = cli("-vv", "status")

    assert "vagrantish [MainThread] vx" in told.err
    assert "Traceback" in told.err
    assert told.err.splitlines()[-2].startswith("vx: error: there is no Xhyvefile")
    assert logging.getLogger().handlers == [
        handler for handler in logging.getLogger().handlers if "pytest" in type(handler).__module__
    ]


def test_vx_alone_explains_itself_on_stderr(cli: Cli) -> None:
    told = cli()

    assert told.status == 2
    assert told.out == ""
    assert "usage: vx" in told.err


@pytest.mark.parametrize("line", ["--help", "-h", "help", "--json --help", "-C /nowhere --help"])
def test_help_names_every_command_and_exit_status(cli: Cli, line: str) -> None:
    told = cli(*line.split())

    assert told.status == 0
    assert told.err == ""
    for verb, (_, summary) in COMMANDS.items():
        assert f"  {verb} " in told.out
        assert summary in told.out
    for status in ("0", "1", "2", "3", "4", "5", "6", "7", "8", "10", "70", "130"):
        assert f"\n  {status} " in told.out


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_every_command_has_help_with_examples(cli: Cli, verb: str) -> None:
    told = cli(*verb.split(), "--help")

    assert told.status == 0
    assert told.out.startswith(f"usage: vx {verb} ")
    assert "\nexamples:\n  " in told.out
    assert told == cli("help", *verb.split()) == cli("--help", *verb.split())


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_every_example_is_a_valid_command_line(verb: str) -> None:
    first, *second = verb.split()
    module = load(first)
    examples = subcommands(module)[second[0]].examples if second else module.EXAMPLES

    for example in examples:
        words = shlex.split(example.partition(" > ")[0].partition("<(")[2].rstrip(")") or example)
        words = words[: words.index(">")] if ">" in words else words
        assert words[0] == "vx"
        assert f"{parse(words[1:]).command} ".startswith((f"{verb} ", "help ")), example


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_every_option_takes_one_value_or_none_and_is_explained(verb: str) -> None:
    """The parser tells options from arguments by the first."""
    first, *second = verb.split()
    module = load(first)
    parser = sub_parser(module, first, *second) if second else parser_of(module, first)

    for option in parser.options():
        assert option.nargs in (None, 0), option
        assert option.help, option
