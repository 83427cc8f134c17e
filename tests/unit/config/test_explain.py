"""Where values come from, and that secrets do not get out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from vagrantish.errors import MachineNotFound, UsageError

if TYPE_CHECKING:
    from tests.unit.config.conftest import Settings

TEXT = """\
box = "micro"
cpus = 2
memory = "{{ 2 }}GiB"
message = "x"
[params]
port = 8080
name = { default = "{{ params.port }}", help = "who" }
[boot]
timeout = "1m"
[[forward]]
guest = 80
host = "{{ params.port }}"
[[provision]]
inline = "a"
[machines.web]
cpus = 3
[[machines.web.forward]]
guest = 81
host = 0
[machines.db]
count = 2
"""


def test_a_value_is_traced_to_its_line_and_what_it_overrides(settings: Settings) -> None:
    loaded = settings.load(
        TEXT, user="\ncpus = 5", local="\n\ncpus = 4", sets=["cpus=6"], box={"cpus": 7}
    )

    found = loaded.explain("cpus", "web")

    assert (found.key, found.value, found.origin) == ("cpus", 6, "--set")
    assert found.overridden == (
        (4, "Xhyvefile.local:3"),
        (3, "Xhyvefile:16"),
        (2, "Xhyvefile:2"),
        (5, "config.toml:2"),
        (7, "box micro@1"),
        (1, "built-in"),
    )
    assert found.help == "number of processors"


@pytest.mark.parametrize(
    ("key", "machine", "value", "origin"),
    [
        ("cpus", "db-1", 2, "Xhyvefile:2"),
        ("memory", "web", "2GiB", "Xhyvefile:3"),
        ("boot.timeout", "web", "1m", "Xhyvefile:9"),
        ("boot.stall", "web", "60s", "built-in"),
        ("disk", "web", None, "built-in"),
        ("hostname", "db-2", "db-2", "built-in"),
        ("count", "db-2", 2, "Xhyvefile:21"),
        ("count", "web", None, "built-in"),
        ("primary", "web", False, "built-in"),
        ("forward.1.host", "web", 8080, "Xhyvefile:12"),
        ("forward.2.guest", "web", 81, "Xhyvefile:18"),
        ("forward.2.proto", "web", "tcp", "built-in"),
        ("provision.1.inline", "web", "a", "Xhyvefile:14"),
        ("params.port", "web", 8080, "Xhyvefile:6"),
        ("params.name", "web", "8080", "Xhyvefile:7"),
        ("box", "web", "micro", "Xhyvefile:1"),
    ],
)
def test_every_setting_is_explained(
    settings: Settings, key: str, machine: str, value: object, origin: str
) -> None:
    found = settings.load(TEXT).explain(key, machine)

    assert (found.value, found.origin) == (value, origin)


def test_a_list_of_tables_is_explained_whole_and_by_its_entries(settings: Settings) -> None:
    loaded = settings.load(TEXT)

    whole = loaded.explain("forward", "web")
    entry = loaded.explain("forward.2", "web")

    assert [one["guest"] for one in whole.value] == [80, 81]
    assert whole.origin == "Xhyvefile:10, Xhyvefile:17"
    assert (entry.value["guest"], entry.origin) == (81, "Xhyvefile:17")
    assert loaded.explain("provision", "web").origin == "Xhyvefile:13"


def test_a_given_parameter_is_explained(settings: Settings) -> None:
    found = settings.load(TEXT, local="params.port = 1", params=["port=2"]).explain(
        "params.port", "web"
    )

    assert (found.value, found.origin) == (2, "--param")
    assert found.overridden == ((1, "Xhyvefile.local:1"), (8080, "Xhyvefile:6"))
    assert settings.load(TEXT).explain("params.name", "web").help == "who"


@pytest.mark.parametrize(
    ("key", "message", "hint"),
    [
        ("memry", "there is no setting `memry`", "Did you mean memory?"),
        (
            "boot",
            "`boot` is a table",
            (
                "It has boot.cmdline, boot.timeout, boot.stall, boot.kernel, boot.mode, "
                "boot.firmware, boot.firmware_vars, boot.userboot."
            ),
        ),
        ("boot.timout", "there is no setting `boot.timout`", "Did you mean boot.timeout?"),
        ("forward.3", "there is no entry `3` in `forward`", "It has 2, from 1."),
        ("forward.0.guest", "there is no entry `0` in `forward`", "It has 2, from 1."),
        ("forward.1.gest", "there is no setting `forward.1.gest`", "Did you mean forward.1.guest?"),
        ("params.prt", "there is no parameter `prt`", "Did you mean params.port?"),
        ("cpus.x", "there is no setting `cpus`", ""),
        ("share", "there is no setting `share`", ""),
        ("", "there is no setting ``", ""),
    ],
)
def test_what_is_no_setting_is_a_usage_error(
    settings: Settings, key: str, message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        settings.load(TEXT).explain(key, "web")

    assert (caught.value.message, caught.value.hint) == (message, hint or caught.value.hint)


def test_an_unknown_machine_is_told(settings: Settings) -> None:
    loaded = settings.load(TEXT)

    with pytest.raises(MachineNotFound) as caught:
        loaded.explain("cpus", "nope")
    assert "web, db-1, db-2" in caught.value.hint
    with pytest.raises(MachineNotFound):
        loaded.values("nope")


def test_values_are_plain_and_complete(settings: Settings) -> None:
    values = settings.load(TEXT).values("web")

    assert json.loads(json.dumps(values)) == values
    assert (values["cpus"], values["memory"], values["disk"]) == (3, "2GiB", None)
    assert values["boot"] == {
        "cmdline": "", "timeout": "1m", "stall": "60s", "kernel": "disk", "mode": "kernel",
        "firmware": None, "firmware_vars": None, "userboot": None,
    }  # fmt: skip
    assert [one["host"] for one in values["forward"]] == [8080, 0]
    assert values["params"] == {"port": 8080, "name": "8080"}
    assert values["hostname"] == "web"
    assert "share" not in values


def test_values_handed_out_are_a_copy(settings: Settings) -> None:
    loaded = settings.load(TEXT)

    loaded.values("web")["provision"][0]["env"]["A"] = "changed"

    assert loaded.values("web")["provision"][0]["env"] == {}


SECRET = "hunter2-9f"
SENSITIVE = """\
box = "micro"
[params]
token = "{{ env.TOKEN }}"
header = "Bearer {{ params.token }}"
port = 80
[[provision]]
sensitive = true
inline = "login {{ params.header }}"
args = ["{{ env.TOKEN }}", "plain"]
env = { TOKEN = "{{ env.TOKEN }}", LEVEL = 3 }
[[provision]]
sensitive = "{{ params.port == 80 }}"
url = "https://me:{{ env.TOKEN }}@example.com/x"
digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
[[provision]]
inline = "open {{ params.port }}"
env = { SHOWN = "yes" }
"""


def test_what_a_sensitive_step_is_given_is_never_shown(settings: Settings) -> None:
    loaded = settings.load(SENSITIVE, env={"TOKEN": SECRET})
    step, by_url, open_step = loaded.values("default")["provision"]

    keys = ["provision", "provision.1", "provision.1.env", "provision.1.args", "provision.1.inline",
            "provision.2.url", "params.token", "params.header"]  # fmt: skip
    shown = [loaded.explain(key, "default") for key in keys] + [loaded.values("default")]

    assert SECRET not in repr(shown)
    assert step["env"] == {"TOKEN": "***", "LEVEL": "***"}
    assert (step["args"], step["inline"], by_url["url"]) == (["***", "***"], "***", "***")
    assert (open_step["inline"], open_step["env"]) == ("open 80", {"SHOWN": "yes"})
    assert loaded.values("default")["params"] == {"token": "***", "header": "***", "port": 80}


def test_the_step_itself_gets_its_secrets(settings: Settings) -> None:
    machine = settings.machine(SENSITIVE, env={"TOKEN": SECRET})

    assert f"Bearer {SECRET}" in repr(machine.steps[0])


def test_a_secret_given_as_a_parameter_is_not_shown(settings: Settings) -> None:
    loaded = settings.load(SENSITIVE, params=[f"token={SECRET}"], env={"TOKEN": "other"})

    found = loaded.explain("params.token", "default")

    assert SECRET not in repr((found, loaded.values("default")))
    assert (found.value, found.origin) == ("***", "--param")


@pytest.mark.parametrize(
    "line",
    [
        "env = { 'a b' = 'hunter2-9f' }",
        "env = { A = ['hunter2-9f'] }",
        "env = 'hunter2-9f'",
        "args = 'hunter2-9f'",
        "args = ['x', { a = 'hunter2-9f' }]",
        "url = 'hunter2-9f'",
        'inline = "hunter2-9f\\u0000"',
        "args = ['{{ \"hunter2-9f\".index(\"x\") }}']",
        "args = ['{{ \"hunter2-9f\" | int(\"hunter2-9f\") + 1 }}']",
    ],
)  # fmt: skip
def test_no_problem_shows_what_a_sensitive_step_is_given(settings: Settings, line: str) -> None:
    told = settings.problems(
        f"box = 'micro'\n[[provision]]\nsensitive = true\npath = '.'\n{line}\n"
    )

    assert SECRET not in repr(told)
