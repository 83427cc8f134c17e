"""The console parser, on lines of real guests."""

from __future__ import annotations

import pytest

from vagrantish.ssh.console import Console, Stage, printable


def read(*lines: str) -> Console:
    console = Console()
    for line in lines:
        console.feed(line.encode() + b"\r\n")
    return console


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        ("SeaBIOS (version 1.16.2-debian-1.16.2-1)", Stage.FIRMWARE),
        ("[    0.000000] Linux version 6.1.0-56-cloud-amd64 (debian-kernel@)", Stage.KERNEL),
        ("[    0.731543] Run /init as init process", Stage.INITRD),
        ("Loading, please wait...", Stage.INITRD),
        ("vx: drivers loaded", Stage.INITRD),
        ("vx: root is on /dev/vda", Stage.INIT),
        ("[    4.1] systemd[1]: systemd 252 running in system mode", Stage.INIT),
        ("Welcome to Debian GNU/Linux 12 (bookworm)!", Stage.INIT),
        ("udhcpc: lease of 10.0.2.15 obtained from 10.0.2.2", Stage.NETWORK),
        ("vx: network up", Stage.NETWORK),
        ("[  OK  ] Reached target network-online.target - Network is Online.", Stage.NETWORK),
        ("vx: ready ssh", Stage.SSHD),
        ("[  OK  ] Started ssh.service - OpenBSD Secure Shell server (sshd).", Stage.SSHD),
        ("debian login: ", Stage.SSHD),
    ],
)
def test_stages_are_recognised(line: str, stage: Stage) -> None:
    assert read(line).stage is stage


def test_a_stage_is_never_left_for_an_earlier_one() -> None:
    assert read("vx: network up", "[    9.0] Linux version 6.1").stage is Stage.NETWORK


def test_nothing_and_something_differ() -> None:
    assert Console().stage is Stage.STARTED
    assert read("hello").stage is Stage.FIRMWARE


@pytest.mark.parametrize(
    ("lines", "message", "hint"),
    [
        (
            ('VFS: Cannot open root device "vda1" or unknown-block(0,0): error -6',
             "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"),
            "Unable to mount root fs on unknown-block(0,0)", "root=",
        ),
        (
            ("Kernel panic - not syncing: No working init found.  Try passing init= option",),
            "No working init found", "no /init",
        ),
        (
            ("Kernel panic - not syncing: Requested init /nope failed (error -2).",),
            "Requested init /nope failed", "init=",
        ),
        (
            ("Kernel panic - not syncing: System is deadlocked on memory",),
            "deadlocked on memory", "more memory",
        ),
        (
            ("Initramfs unpacking failed: write error",
             "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"),
            "Unable to mount root fs", "more memory",
        ),
        (
            ("Initramfs unpacking failed: invalid magic at start of compressed archive",
             "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"),
            "Unable to mount root fs", "initrd is damaged",
        ),
        (
            ("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",),
            "Attempted to kill init!", "first program ended",
        ),
        (("---[ end Kernel panic - not syncing: Oops ]---",), "kernel panicked", "vx logs"),
        (("vx: failed: no answer to DHCP on eth0",), "no answer to DHCP on eth0", "vx logs"),
        (
            ("ALERT!  /dev/vda1 does not exist.  Dropping to a shell!",),
            "emergency shell", "root=",
        ),
        (
            ('You are in emergency mode. After logging in, type "journalctl -xb"',),
            "emergency shell", "vx logs",
        ),
    ],
)  # fmt: skip
def test_causes_are_recognised(lines: tuple[str, ...], message: str, hint: str) -> None:
    failure = read(*lines).failure

    assert failure is not None
    assert message in failure.message
    assert hint in failure.hint


@pytest.mark.parametrize("prompt", [b"(initramfs) ", b"dracut:/# "])
def test_a_prompt_without_an_end_of_line_counts(prompt: bytes) -> None:
    console = Console()

    console.feed(b"some line\n" + prompt)

    assert console.failure is not None


def test_a_line_that_is_still_coming_is_not_judged() -> None:
    console = Console()

    console.feed(b"Kernel panic - not syncing: VFS: Unab")
    early = console.failure
    console.feed(b"le to mount root fs\n")

    assert early is None
    assert console.failure is not None
    assert console.failure.message.endswith("VFS: Unable to mount root fs")


def test_ordinary_lines_are_no_failure() -> None:
    lines = ("panic=1 on the command line", "systemd[1]: emergency.target: not needed", "vx: up")

    assert read(*lines).failure is None


def test_the_hint_of_readiness_may_come_in_pieces() -> None:
    console = Console()

    console.feed(b"vx: rea")
    console.feed(b"dy ssh")

    assert console.ready


def test_memory_stays_bounded() -> None:
    console = Console()

    for _ in range(50):
        console.feed(b"x" * 100_000)
    console.feed(b"\nlast\n" * 1000)

    assert console.last_lines(5000)[-1] == "last"
    assert len(console.last_lines(5000)) <= 200
    assert max(map(len, console.last_lines(5000))) <= 4096


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain", "plain"),
        (b"\x1b[1;31mred\x1b[0m\r", "red"),
        (b"\x1b]0;title\x07after\x1b(B\x1b=", "after"),
        (b"\x1b[2J\x1b[1;1Hclear", "clear"),
        (b" 10%\r 50%\r100%", "100%"),
        (b"tab\there", "tab    here"),
        (b"bell\x07 nul\x00 bs\x08", "bell nul bs"),
        (b"caf\xc3\xa9 \xff\xfe", "café \ufffd\ufffd"),
        ("a\u202eb\u2028c\x9b31m".encode(), "ab c"),
        (b"\x1b", ""),
        (b"\x1bPq..\x1b\\x", "x"),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(raw: bytes, shown: str) -> None:
    assert printable(raw) == shown
