"""init, validate, config and schema: what needs no machine."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
import tomli

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

TWO = """
box = "micro"
memory = "512MiB"

[params]
port = 8080

[machines.web]
primary = true
cpus = 2
[[machines.web.forward]]
guest = 80
host = "{{ params.port }}"

[machines.db]
"""


def test_init_writes_a_valid_xhyvefile_and_says_what_is_next(cli: Cli) -> None:
    told = cli("init")

    assert (told.status, told.out) == (0, "")
    assert "vx up" in told.err
    assert tomli.loads((cli.folder / "Xhyvefile").read_text())["box"] == "micro"
    assert cli("validate").out == "Xhyvefile is valid: 1 machine\n"


def test_init_takes_a_box_and_refuses_what_is_none(cli: Cli) -> None:
    assert cli("init", "mybox@2").status == 0
    assert tomli.loads((cli.folder / "Xhyvefile").read_text())["box"] == "mybox@2"

    told = cli("init", "My Box", "--force", "--json")
    assert (told.status, told.error["code"]) == (2, "usage")
    assert tomli.loads((cli.folder / "Xhyvefile").read_text())["box"] == "mybox@2"


def test_init_overwrites_only_with_force(cli: Cli) -> None:
    mine = cli.xhyvefile("# mine\n")

    refused = cli("init", "--json")

    assert refused.status == 1
    assert refused.error["code"] == "already-there"
    assert "--force" in refused.error["hint"]
    assert mine.read_text() == "# mine\n"
    assert cli("init", "--force").status == 0
    assert mine.read_text() != "# mine\n"


def test_init_does_not_write_through_a_dangling_link(cli: Cli) -> None:
    (cli.folder / "Xhyvefile").symlink_to(cli.folder / "elsewhere")

    assert cli("init").status == 1
    assert not (cli.folder / "elsewhere").exists()


def test_init_writes_where_it_is_told(cli: Cli) -> None:
    below = cli.folder / "below"
    below.mkdir()

    told = cli("-C", "below", "-f", "Other", "init", "--json")

    assert told.answer == {"schema": "vx.init/1", "file": str(below / "Other"), "box": "micro"}
    assert (below / "Other").is_file()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_init_in_a_folder_that_cannot_be_written_is_told(cli: Cli) -> None:
    cli.folder.chmod(stat.S_IRUSR | stat.S_IXUSR)

    told = cli("init", "--json")

    cli.folder.chmod(stat.S_IRWXU)
    assert (told.status, told.error["code"]) == (5, "host")


def test_validate_counts_machines(cli: Cli) -> None:
    file = cli.xhyvefile(TWO)

    assert cli("validate").out == "Xhyvefile is valid: 2 machines\n"
    assert cli("validate", "--json").answer == {
        "schema": "vx.validate/1",
        "file": str(file),
        "machines": ["web", "db"],
    }


def test_validate_tells_every_problem_at_once(cli: Cli) -> None:
    cli.xhyvefile(
        'box = "micro"\nmemry = "1GiB"\ncpus = "many"\n[[forward]]\nguest = 70000\nhost = 8080\n'
    )

    people = cli("validate")
    scripts = cli("validate", "--json")

    assert people.status == scripts.status == 3
    assert people.out == scripts.out == ""
    assert people.err.startswith("vx: error: 3 problems in the settings\n  Xhyvefile:2: ")
    assert "did you mean" in people.err
    assert [p["where"] for p in scripts.error["problems"]] == [
        "Xhyvefile:2", "Xhyvefile:3", "Xhyvefile:5",
    ]  # fmt: skip
    assert scripts.error["code"] == "config"


@pytest.mark.parametrize("verb", ["validate", "config", "status", "up", "ssh", "destroy"])
def test_without_an_xhyvefile_every_command_says_how_to_begin(cli: Cli, verb: str) -> None:
    told = cli(verb, "--json")

    assert (told.status, told.error["code"]) == (3, "no-xhyvefile")
    assert "vx init" in told.error["hint"]


def test_settings_and_parameters_of_the_command_line_count(cli: Cli) -> None:
    cli.xhyvefile(TWO)

    told = cli("config", "--machine", "web", "--json", "--set", "cpus=3", "--param", "port=9")
    web = told.answer["machines"]["web"]

    assert (web["params"]["port"], web["forward"][0]["host"]) == (9, 9)
    assert cli("config", "--machine", "db", "--json", "--set", "cpus=3").answer["machines"]["db"][
        "cpus"
    ] == 3  # fmt: skip


def test_config_is_toml_again(cli: Cli) -> None:
    cli.xhyvefile(TWO)

    everything = tomli.loads(cli("config").out)
    one = tomli.loads(cli("config", "--machine", "db").out)

    assert everything["params"] == {"port": 8080}
    assert everything["machines"]["web"]["cpus"] == 2
    assert everything["machines"]["web"]["forward"][0]["host"] == 8080
    assert one["memory"] == everything["machines"]["db"]["memory"] == "512MiB"


def test_explain_says_which_line_gave_a_setting(cli: Cli) -> None:
    cli.xhyvefile(TWO)

    told = cli("config", "explain", "cpus", "--set", "machines.web.cpus=4")

    lines = told.out.splitlines()
    assert lines[0] == "cpus = 4"
    assert "  from --set" in lines
    assert "  instead of 2 from Xhyvefile:10" in lines


def test_explain_answers_scripts(cli: Cli) -> None:
    cli.xhyvefile(TWO)

    answer = cli("config", "explain", "memory", "--machine", "db", "--json").answer

    assert answer["schema"] == "vx.config-explain/1"
    assert (answer["machine"], answer["key"]) == ("db", "memory")
    assert (answer["value"], answer["origin"]) == ("512MiB", "Xhyvefile:3")
    assert answer["overridden"][-1]["origin"] == "built-in"


@pytest.mark.parametrize(
    ("words", "status", "hint"),
    [
        (("config", "explain", "memry"), 2, "memory"),
        (("config", "explain", "memory", "--machine", "bd"), 6, "db"),
        (("config", "--machine", "nobody"), 6, "web, db"),
        (("config", "explain"), 2, "vx config explain --help"),
        (("config", "explian", "memory"), 2, "vx config explain"),
    ],
)
def test_wrong_questions_about_settings_are_told(
    cli: Cli, words: tuple[str, ...], status: int, hint: str
) -> None:
    cli.xhyvefile(TWO)

    told = cli(*words, "--json")

    assert told.status == status
    assert hint in told.error["hint"]


def test_the_schema_is_json(cli: Cli) -> None:
    plain = json.loads(cli("schema").out)
    wrapped = cli("schema", "--json").answer

    assert plain["$schema"].startswith("http")
    assert wrapped == {"schema": "vx.schema/1", "json_schema": plain}


def test_the_version_is_the_same_however_it_is_asked(cli: Cli) -> None:
    said = {cli(*words).out for words in (["--version"], ["version"], ["up", "--version"])}

    assert len(said) == 1
    assert cli("version", "--json").answer["version"] in said.pop()
    assert cli("-q", "version").out == cli("version").out
