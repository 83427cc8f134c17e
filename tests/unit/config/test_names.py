"""Which machines there are, found without loading the rest of vx."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vagrantish.config.discover import find
from vagrantish.errors import ConfigError, NoXhyvefile, UsageError

if TYPE_CHECKING:
    from tests.unit.config.conftest import Settings


BY_INDEX = """\
[machines.web]
count = 2
primary = "{{ machine.index == 2 }}"
autostart = "{{ machine.name != 'web-1' }}"
"""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["default"]),
        ("machines = {}", ["default"]),
        ("[machines.web]\n[machines.db]", ["web", "db"]),
        ("[machines.web]\nprimary = true\n[machines.db]\nautostart = false", ["web*", "db-"]),
        ("[machines.web]\ncount = 3", ["web-1", "web-2", "web-3"]),
        ("[machines.web]\ncount = 1", ["web-1"]),
        ("[params]\nn = 2\n[machines.web]\ncount = '{{ params.n }}'", ["web-1", "web-2"]),
        (BY_INDEX, ["web-1-", "web-2*"]),
        ("cpus = 'wrong'\nunknown = 1\n[machines.web]\nbox = 1", ["web"]),
    ],
)
def test_the_machines_are_those_of_the_file(
    settings: Settings, text: str, names: list[str]
) -> None:
    assert settings.names(text) == names


def test_every_layer_has_a_say(settings: Settings) -> None:
    text = "[machines.web]\ncount = 2"

    assert settings.names(text, sets=["machines.web.count=3"]) == ["web-1", "web-2", "web-3"]
    assert settings.names(text, sets=["machines.web.autostart=false"]) == ["web-1-", "web-2-"]
    assert settings.names("", sets=["machines.default.primary=true"]) == ["default*"]
    assert settings.names(text, local="[machines.db]", user="cpus = 3") == ["web-1", "web-2", "db"]
    count = "[params]\nn = 2\n[machines.web]\ncount = '{{ params.n }}'"
    assert settings.names(count, local="", params=["n=1"]) == ["web-1"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("machines = 1", "Xhyvefile:1: `machines` holds tables"),
        ("x = ", "Xhyvefile:1: is not TOML"),
        ("\n[machines.a]\n[machines.b]\ncount = 'x'", "Xhyvefile:4: `count` must be"),
        ("[machines.web]\ncount = '{{ nope }}'", "Xhyvefile:2: `count`: `nope` is not defined"),
        ("[machines.web]\nprimary = '{{ params.x }}'\n[params]\nx = '{{ params.x }}'", "Xhyvefile:4: looping templates"),
        ("requires = '>=9'", "Xhyvefile:1: this project requires vx >=9"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_told(settings: Settings, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.names(text)

    (told,) = map(str, caught.value.problems)
    assert told.startswith(problem)


def test_an_unknown_parameter_is_told(settings: Settings) -> None:
    with pytest.raises(
        ConfigError, match=r"--param: there is no parameter `prot` \(did you mean `port`"
    ):
        settings.names("[params]\nport = 1", params=["prot=2"])


def test_a_parameter_without_a_value_is_a_usage_error(settings: Settings) -> None:
    with pytest.raises(UsageError, match="not NAME=VALUE"):
        settings.names("[params]\nport = 1", params=["port"])


def test_both_ways_of_looking_find_the_same_machines(settings: Settings) -> None:
    text = (
        "box = 'micro'\n[machines.b]\ncount = 2\nautostart = false\n[machines.a]\nprimary = true\n"
        "[machines.c]\ncount = '{{ 1 + 1 }}'\n"
    )

    found = [
        f"{machine.name}{'*' if machine.primary else ''}{'' if machine.autostart else '-'}"
        for machine in settings.load(text).project.machines
    ]

    assert settings.names(text) == found == ["b-1-", "b-2-", "a*", "c-1", "c-2"]


def test_names_load_nothing_that_is_slow(settings: Settings) -> None:
    settings.lay(
        "box = 'micro'\n[machines.web]\ncount = 3\nprimary = false\n", "cpus = 1", "cpus = 1"
    )
    slow = ("dataclasses", "inspect", "jinja2", "json", "typing", "difflib", "tempfile", "ipaddress",
            "vagrantish.config.settings", "vagrantish.config.params", "vagrantish.model")  # fmt: skip
    program = f"""\
import sys
from pathlib import Path
before = set(sys.modules)
from vagrantish.config.names import machine_names
from vagrantish.paths import VxHome
names = machine_names(Path({str(settings.file)!r}), home=VxHome(Path({str(settings.home.root)!r})), env={{}})
assert [name.name for name in names] == ["web-1", "web-2", "web-3"]
print(sorted(set({slow!r}) & (set(sys.modules) - before)))
"""

    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_settings_without_templates_do_not_load_jinja2(settings: Settings) -> None:
    settings.lay(
        "box = 'micro'\n[params]\nport = 1\n[[forward]]\nguest = 1\nhost = 1\n"
        "[[provision]]\ninline = 'echo ${#PATH}'\nsensitive = true\nenv = { A = 'b' }\n",
        "",
        "",
    )
    program = f"""\
import sys
from pathlib import Path
from vagrantish.config.load import load
from vagrantish.paths import VxHome
load(Path({str(settings.file)!r}), home=VxHome(Path("/nowhere")), env={{}}, box_defaults=lambda _: None)
print(sorted({{"jinja2", "requests", "paramiko", "rich", "psutil", "filelock"}} & set(sys.modules)))
"""

    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


# --- finding the file ------------------------------------------------------------------------


def test_the_nearest_file_above_is_found(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "Xhyvefile").touch()
    (tmp_path / "a/Xhyvefile").touch()

    assert find(tmp_path / "a/b/c") == tmp_path / "a/Xhyvefile"
    assert find(tmp_path) == tmp_path / "Xhyvefile"


def test_a_relative_start_is_walked_up_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "Xhyvefile").touch()
    monkeypatch.chdir(tmp_path / "a")

    assert find(Path()) == tmp_path / "Xhyvefile"


def test_where_there_is_none_vx_init_is_the_way(tmp_path: Path) -> None:
    with pytest.raises(NoXhyvefile) as caught:
        find(tmp_path)

    assert str(tmp_path) in caught.value.message
    assert "vx init" in caught.value.hint


def test_a_start_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NoXhyvefile, match="gone does not exist"):
        find(tmp_path / "gone")
    with pytest.raises(NoXhyvefile, match="file is not a folder"):
        find(tmp_path / "file")


def test_what_only_looks_like_the_file_is_told_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "Xhyvefile").touch()
    below = tmp_path / "a"
    below.mkdir()
    (below / "Xhyvefile").mkdir()

    with pytest.raises(NoXhyvefile, match="a/Xhyvefile is a folder, not a file"):
        find(below)
    (below / "Xhyvefile").rmdir()
    (below / "Xhyvefile").symlink_to("nowhere")
    with pytest.raises(NoXhyvefile, match="is a link to nothing"):
        find(below)
