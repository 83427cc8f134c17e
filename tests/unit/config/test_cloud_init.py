"""The ``[cloud_init]`` table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from vagrantish.model import CloudInitConfig

if TYPE_CHECKING:
    from tests.unit.config.conftest import Settings

INLINE = 'user_data = "#cloud-config\\npackages: [{{ params.what }}]"'


def test_nothing_is_asked_for_by_default(settings: Settings) -> None:
    assert settings.machine("box = 'a'").cloud_init == CloudInitConfig()


def test_inline_data_are_rendered(settings: Settings) -> None:
    text = f"box = 'a'\n[params]\nwhat = 'nginx'\n[cloud_init]\n{INLINE}\nfirst_boot_only = false"

    found = settings.machine(text).cloud_init

    assert found.user_data == "#cloud-config\npackages: [nginx]"
    assert not found.first_boot_only


def test_a_file_is_found_from_the_projects_folder(settings: Settings) -> None:
    path = settings.write("data/first.yaml", "#cloud-config\npackages: ['{{ v1.region }}']\n")

    found = settings.machine("box = 'a'\n[cloud_init]\npath = 'data/first.yaml'").cloud_init

    assert found == CloudInitConfig(path=path)


def test_a_machine_may_have_its_own(settings: Settings) -> None:
    text = "box = 'a'\n[cloud_init]\nuser_data = '#!/bin/sh'\n"
    text += "[machines.web.cloud_init]\nuser_data = '#!/bin/ash'\n[machines.db]"

    machines = settings.load(text).project.machines

    assert [one.cloud_init.user_data for one in machines] == ["#!/bin/ash", "#!/bin/sh"]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("user_data = 'packages: [nginx]'", "Xhyvefile:3: `cloud_init.user_data` must be user data .* it must begin with #cloud-config"),
        ("user_data = ''", "Xhyvefile:3: .* it is empty"),
        ("path = 'missing'", "Xhyvefile:3: `cloud_init.path` does not exist: "),
        ("path = '.'", "Xhyvefile:3: `cloud_init.path` is not a file: "),
        ("path = 'bad.yaml'", "Xhyvefile:3: `cloud_init.path` must be user data .*bad.yaml.*: it is packed with gzip"),
        ("path = 'good.sh'\nuser_data = '#!/bin/sh'", "Xhyvefile:3: `cloud_init` has one source: `user_data` or `path`"),
        ("file = 'x'", "Xhyvefile:3: unknown key `file` in"),
        ("first_boot_only = 'perhaps'", "Xhyvefile:3: `cloud_init.first_boot_only` must be true or false"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(settings: Settings, table: str, problem: str) -> None:
    (settings.root / "bad.yaml").write_bytes(b"\x1f\x8b\x08")
    settings.write("good.sh", "#!/bin/sh\n")

    [found] = settings.problems(f"box = 'a'\n[cloud_init]\n{table}")

    assert re.search(problem, found), found


def test_data_that_are_wrong_are_not_shown(settings: Settings) -> None:
    [found] = settings.problems("box = 'a'\n[cloud_init]\nuser_data = 'password: hunter2'")

    assert "hunter2" not in found


def test_a_box_cannot_set_it(settings: Settings) -> None:
    [found] = settings.problems("box = 'a'", box={"cloud_init": {"user_data": "#!/bin/sh"}})

    assert "a box cannot set `cloud_init.user_data`" in found
