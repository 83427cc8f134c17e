"""What cloud-init says of its work, in the words of several releases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vagrantish.lifecycle.cloudinit_status import Status, status_of, users_share

# From /run/cloud-init/status.json of Debian 12 (22.4.2), where locales had been left out.
LOCALE = (
    "('locale', ProcessExecutionError(\"Unexpected error while running command.\\nCommand: "
    "['update-locale', '--locale-file=/etc/default/locale', 'LANG=en_US.UTF-8']\\nExit code: 255"
    '\\nReason: -\\nStdout: -\\nStderr: -"))'
)
SCRIPTS = "('scripts_user', RuntimeError('Runparts: 1 failures (runcmd) in 1 attempted commands'))"


def output(*lines: str, **stages: Any) -> bytes:
    status = {"v1": {"datasource": "DataSourceNoCloud [seed=/dev/vdb]", "stage": None, **stages}}
    return "\n".join([*lines, "json=", json.dumps(status)]).encode()


def test_the_errors_of_every_stage_are_told_in_plain_words() -> None:
    stages = {"modules-config": {"errors": [LOCALE]}, "modules-final": {"errors": [SCRIPTS]}}

    found = status_of(output("stage=init", "state=done", **stages))

    assert found.state == "done"
    assert found.errors == (
        (
            "locale: Unexpected error while running command. Command: ['update-locale', "
            "'--locale-file=/etc/default/locale', 'LANG=en_US.UTF-8'] Exit code: 255 Reason: - "
            "Stdout: - Stderr: -"
        ),
        "scripts_user: Runparts: 1 failures (runcmd) in 1 attempted commands",
    )


def test_what_it_could_live_with_is_a_warning_and_what_is_merely_old_is_not() -> None:
    recoverable = {"WARNING": ["cannot write x"], "DEPRECATED": ["use users instead"]}

    found = status_of(output("state=done", init={"errors": [], "recoverable_errors": recoverable}))

    assert (found.errors, found.warnings) == ((), ("cannot write x",))


@pytest.mark.parametrize("state", ["disabled", "missing"])
def test_without_cloud_init_there_is_no_more_to_say(state: str) -> None:
    assert status_of(f"state={state}\n".encode()) == Status(state=state)


@pytest.mark.parametrize(("code", "kind"), [("1", "errors"), ("0", "errors"), ("2", "warnings")])
def test_an_end_without_a_result_is_judged_by_the_programs_own_status(code: str, kind: str) -> None:
    found = status_of(output(f"state=stopped {code}"))

    assert len(getattr(found, kind)) == 1
    assert len(found.errors + found.warnings) == 1


def test_the_users_own_modules_are_the_users_to_mend() -> None:
    found = Status(state="done", errors=("scripts_user: Runparts: 1 failures",))

    assert users_share(found, b"#cloud-config\n") == found.errors
    assert users_share(found, b"") == ()


def test_what_fails_in_the_image_is_not_put_down_to_the_users_data() -> None:
    found = status_of(output("state=done", **{"modules-config": {"errors": [LOCALE]}}))

    assert users_share(found, b"#cloud-config\nruncmd: [ls]\n") == ()
    assert users_share(found, b"#cloud-config\nlocale: de_DE.UTF-8\n") == found.errors


def test_data_that_were_passed_over_are_the_users_to_mend() -> None:
    said = (f"unread=2026-11-25 {at} - util.py[WARNING]: Failed loading yaml blob" for at in "12")

    found = status_of(output("state=done", *said))

    assert users_share(found, b"#cloud-config\nx: [\n") == ("Failed loading yaml blob",)


def test_escapes_and_floods_do_not_reach_the_terminal() -> None:
    errors = [f"\x1b[2J{number}" + "x" * 10_000 for number in range(100)]

    found = status_of(output("state=done", init={"errors": errors}))

    assert len(found.errors) == 10
    assert all(len(text) <= 400 and "\x1b" not in text for text in found.errors)
