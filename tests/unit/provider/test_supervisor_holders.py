"""Which command lines are a hypervisor's own."""

from __future__ import annotations

import pytest

from vagrantish.provider.supervisor.holders import is_run_of, program_of

UUID = "5d2f0c1e-7a3b-4c4d-8e5f-000000000001"


@pytest.mark.parametrize(
    "words",
    [
        ("xhyve", "-U", UUID),
        ("/usr/local/bin/xhyve", "-A", "-U", UUID),
        ("/usr/bin/python3.11", "-IS", "/opt/bin/xhyve", "-U", UUID),
        ("/bin/sh", "/opt/bin/xhyve", "-U", UUID),
    ],
)
def test_a_hypervisor_is_known_also_as_a_script(words: tuple[str, ...]) -> None:
    assert is_run_of("xhyve", words)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("sudo", "-n", "xhyve", "-U", UUID),
        ("/bin/sh", "/usr/bin/sudo", "-n", "xhyve", "-U", UUID),
        ("grep", "-r", UUID, "xhyve"),
        ("vim", "xhyve", UUID),
        ("python3", "-m", "vagrantish", "argv", UUID, "xhyve"),
        ("sh", "-c", f"xhyve -U {UUID}"),
    ],
)
def test_what_only_names_it_is_none(words: tuple[str, ...]) -> None:
    assert not is_run_of("xhyve", words)


def test_bhyve_is_known_by_its_title() -> None:
    assert is_run_of("bhyve", ("bhyve: vx-00000001",))


def test_the_program_behind_sudo_is_the_one_that_counts() -> None:
    assert program_of(("/opt/xhyve", "-A")) == "xhyve"
    assert program_of(("sudo", "-n", "/opt/xhyve", "-A")) == "xhyve"
    assert program_of(("/usr/bin/sudo", "-n")) == "sudo"
