"""How xhyve becomes root, and who is never asked for it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagrantish.provider.xhyve.privilege import (
    ENTITLED,
    NONE,
    SETUID,
    SUDO,
    TICKET,
    Facts,
    command,
    is_named_in,
    privilege_of,
    refusal,
    setuid_commands,
    signature_problem,
    sudoers_line,
)

USER = Facts(is_root=False, is_setuid=False, entitlements="", has_sudo=True, sudo_is_free=False)
XHYVE = "/usr/local/bin/xhyve"
# As `sudo -l` prints them (sudo 1.9.13).
LISTING = """Matching Defaults entries for ada on mac:
    env_reset, secure_path=/usr/bin\\:/bin, use_pty
User ada may run the following commands on mac:
    (root) PASSWD: /bin/ls, NOPASSWD: /usr/local/bin/xhyve, /my\\ dir/a\\,b\\:c\\=d\\#e
    (root) NOPASSWD: /bin/a, PASSWD: /bin/b, SETENV: NOPASSWD: /bin/c
    (ALL : ALL) NOPASSWD: /bin/echo hi, /opt/*/xhyve, /opt/dir/
    (ALL : ALL) ALL"""


@pytest.mark.parametrize(
    ("changes", "root", "expected"),
    [
        ({"is_root": True, "is_setuid": True}, "auto", NONE),
        ({"is_setuid": True, "sudo_is_free": True}, "never", SETUID),
        ({"entitlements": "[Key] com.apple.vm.networking"}, "never", ENTITLED),
        ({"entitlements": "[Key] com.apple.security.hypervisor"}, "never", None),
        ({"sudo_is_free": True}, "auto", SUDO),
        ({}, "sudo", TICKET),
        ({"sudo_is_free": True}, "never", None),
        ({"has_sudo": False}, "auto", None),
    ],
)
def test_the_ways_to_root_are_tried_in_their_order(
    changes: dict[str, object], root: str, expected: str | None
) -> None:
    facts = replace(USER, **changes)  # type: ignore[arg-type]

    assert privilege_of(facts, root) == expected


def test_a_program_that_settings_name_gets_root_by_a_rule_only() -> None:
    named = replace(USER, is_named=True)

    assert privilege_of(named, "sudo") is None
    assert privilege_of(replace(named, sudo_is_free=True), "auto") == SUDO
    assert privilege_of(replace(named, is_setuid=True), "auto") == SETUID


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (XHYVE, True),
        ("/my dir/a,b:c=d#e", True),
        ("/bin/a", True),
        ("/bin/c", True),
        ("/bin/b", False),  # asks for a password
        ("/bin/ls", False),
        ("/bin/echo", False),  # with one argument only
        ("/bin/echo hi", False),
        ("/opt/*/xhyve", False),
        ("/opt/a/xhyve", False),
        ("/opt/dir/xhyve", False),
        ("ALL", False),
        ("/tmp/evil", False),
    ],
)
def test_a_rule_names_a_program_where_it_is_for_just_that_path(
    program: str, expected: bool
) -> None:
    assert is_named_in(LISTING, program) is expected


def test_a_rule_for_every_program_names_none() -> None:
    assert not is_named_in("User ada may run:\n    (ALL) NOPASSWD: ALL", XHYVE)


def test_a_refusal_says_why_and_names_the_three_ways() -> None:
    message, hint = refusal(USER, "never", name="xhyve", program=XHYVE, user="ada")

    assert 'root = "never"' in message
    assert (
        "sudo chown root:admin /usr/local/bin/xhyve && sudo chmod 4750 /usr/local/bin/xhyve" in hint
    )
    assert "ada ALL=(root) NOPASSWD: /usr/local/bin/xhyve, /bin/kill" in hint
    assert "com.apple.vm.networking" in hint
    assert hint.index("chmod") < hint.index("NOPASSWD")


def test_a_refusal_of_a_named_program_says_that_it_needs_a_rule() -> None:
    named = replace(USER, is_named=True)

    message, hint = refusal(named, "auto", name="xhyve", program="/p/x", user="ada")

    assert message.endswith(
        "sudo runs a program that settings name only by a rule of its own for /p/x"
    )
    assert hint.startswith("If you do not know that program, take `binary` out of [xhyve]. Else: ")
    without, _ = refusal(
        replace(named, has_sudo=False), "auto", name="xhyve", program="/p/x", user="ada"
    )
    assert "there is no sudo" in without


@pytest.mark.parametrize(
    ("user", "program", "line"),
    [
        # All but the last were read back by cvtsudoers (sudo 1.9.13) as they were meant.
        ("ada", XHYVE, "ada ALL=(root) NOPASSWD: /usr/local/bin/xhyve, /bin/kill"),
        ("ada", "/a b/x", "ada ALL=(root) NOPASSWD: /a\\ b/x, /bin/kill"),
        ("ada", "/a,b:c=d#e", "ada ALL=(root) NOPASSWD: /a\\,b\\:c\\=d\\#e, /bin/kill"),
        ("DOM\\ada l", "/x(1)!", "DOM\\\\ada\\ l ALL=(root) NOPASSWD: /x(1)!, /bin/kill"),
        ("ALL", "/x", "\\ALL ALL=(root) NOPASSWD: /x, /bin/kill"),
        ("%admin", "/x", "\\%admin ALL=(root) NOPASSWD: /x, /bin/kill"),
        ("ada", "/a*/x", ""),
    ],
)
def test_the_rule_for_sudo_is_one_that_sudo_reads(user: str, program: str, line: str) -> None:
    assert sudoers_line(user, program) == line


@given(st.text(min_size=1).map(lambda text: f"/{text}"))
def test_a_rule_that_is_printed_is_one_line_for_one_path(program: str) -> None:
    line = sudoers_line("ada", program)

    if line:
        listed = f"    (root) {line.partition('(root) ')[2]}"
        assert not re.search(r"[*?\[\n]", line)
        if len(line.splitlines()) == 1:
            assert is_named_in(listed, program)


def test_what_a_shell_would_change_is_quoted() -> None:
    assert (
        setuid_commands("/a b/x;y")
        == "sudo chown root:admin '/a b/x;y' && sudo chmod 4750 '/a b/x;y'"
    )


def test_sudo_stands_before_what_it_starts() -> None:
    assert command(("x",), SUDO) == command(("x",), TICKET) == ("sudo", "-n", "x")
    assert command(("x",), SETUID) == command(("x",), NONE) == ("x",)


@pytest.mark.parametrize(
    "facts", [{"is_setuid": True}, {"entitlements": "[Key] com.apple.vm.networking"}]
)
def test_who_wants_sudo_gets_no_other_way(facts: dict[str, object]) -> None:
    with_sudo = replace(USER, sudo_is_free=True, **facts)  # type: ignore[arg-type]

    assert privilege_of(with_sudo, "sudo") == SUDO
    assert privilege_of(with_sudo, "auto") != SUDO


@pytest.mark.parametrize(
    ("entitlements", "macos", "is_fine"),
    [
        ("", (), True),  # not a Mac
        ("", (10, 15, 7), True),
        ("", (11, 0), False),
        ("[Key] com.apple.vm.networking", (14, 5), False),
        (
            "[Dict]\n\t[Key] com.apple.security.hypervisor\n\t[Value]\n\t\t[Bool] true",
            (14, 5),
            True,
        ),
    ],
)
def test_since_macos_11_a_hypervisor_must_be_signed_as_one(
    entitlements: str, macos: tuple[int, ...], *, is_fine: bool
) -> None:
    assert (signature_problem(entitlements, macos, name="xhyve") == "") is is_fine
