"""The reader of a boot, on lines of real guests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vagrantish.diagnosis.causes import Place, State
from vagrantish.diagnosis.endings import classify
from vagrantish.diagnosis.reader import Reader
from vagrantish.diagnosis.stages import Stage

if TYPE_CHECKING:
    from vagrantish.diagnosis.verdict import Verdict

PANIC = "Kernel panic - not syncing: "
NO_ROOT = PANIC + "VFS: Unable to mount root fs on unknown-block(0,0)"


def read(*lines: str) -> Reader:
    reader = Reader()
    for line in lines:
        reader.feed(line.encode() + b"\r\n")
    return reader


def verdict_of(*lines: str) -> Verdict:
    verdict = read(*lines).verdict()
    assert verdict is not None
    return verdict


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        ("SeaBIOS (version 1.16.2-debian-1.16.2-1)", Stage.FIRMWARE),
        ("Welcome to GRUB!", Stage.FIRMWARE),
        ("[    0.000000] Linux version 6.1.0-56-cloud-amd64 (debian-kernel@)", Stage.KERNEL),
        ("[    0.731543] Run /init as init process", Stage.INITRD),
        ("Loading, please wait...", Stage.INITRD),
        ("vx: drivers loaded", Stage.INITRD),
        ("[    2.4] EXT4-fs (vda1): mounted filesystem with ordered data mode", Stage.ROOT),
        ("Trying to mount root from ufs:/dev/vtbd0p2 [rw]...", Stage.ROOT),
        ("vx: root is on /dev/vda", Stage.INIT),
        ("[    4.1] systemd[1]: systemd 252 running in system mode", Stage.INIT),
        ("Welcome to Debian GNU/Linux 12 (bookworm)!", Stage.INIT),
        ("udhcpc: lease of 10.0.2.15 obtained from 10.0.2.2", Stage.NETWORK),
        ("vx: network up", Stage.NETWORK),
        ("[  OK  ] Reached target network-online.target - Network is Online.", Stage.NETWORK),
        ("vx: ready ssh", Stage.SSHD),
        ("[  OK  ] Started ssh.service - OpenBSD Secure Shell server (sshd).", Stage.SSHD),
        ("debian login: ", Stage.LOGIN),
        ("debian login: [    1.822026] tsc: Refined TSC clocksource calibration", Stage.LOGIN),
        ("sshd[400]: Failed login: no such user", Stage.FIRMWARE),
        ("Cloud-init v. 22.4.2 finished at Mon, 03 Mar 2025. Up 21.18 seconds", Stage.FIRST_BOOT),
    ],
)
def test_stages_are_recognised(line: str, stage: Stage) -> None:
    assert read(line).stage is stage


def test_a_stage_is_never_left_for_an_earlier_one() -> None:
    assert read("vx: network up", "[    9.0] Linux version 6.1").stage is Stage.NETWORK


def test_nothing_and_something_differ() -> None:
    assert Reader().stage is Stage.PROGRAM
    assert not Reader().printed
    assert read("hello").stage is Stage.FIRMWARE
    assert read("hello").printed


def test_each_stage_is_kept_with_its_line_and_the_kernels_time() -> None:
    reader = read(
        "[    0.000000] Linux version 6.1", "[    2.500000] vx: drivers loaded", "login: "
    )

    assert [(one.stage, one.at_s) for one in reader.reached] == [
        (Stage.KERNEL, 0.0),
        (Stage.INITRD, 2.5),
        (Stage.LOGIN, 2.5),
    ]
    assert reader.reached[1].line.endswith("vx: drivers loaded")


def test_a_clock_of_the_host_goes_before_the_kernels() -> None:
    reader = Reader()
    reader.feed(b"[    0.000000] Linux version 6.1\n", at_s=1.25)

    assert reader.reached[0].at_s == 1.25


@pytest.mark.parametrize(
    ("lines", "event", "message", "cause"),
    [
        (
            ('VFS: Cannot open root device "vda1" or unknown-block(0,0): error -6', NO_ROOT),
            "Unable to mount root fs on unknown-block(0,0)", "root=", "root-device",
        ),
        (
            (PANIC + "No working init found.  Try passing init= option",),
            "No working init found", "no /init", "init-missing",
        ),
        (
            (PANIC + "Requested init /nope failed (error -2).",),
            "Requested init /nope failed", "init=", "init-missing",
        ),
        (
            (PANIC + "System is deadlocked on memory",),
            "deadlocked on memory", "out of memory", "out-of-memory",
        ),
        (
            ("Initramfs unpacking failed: write error", NO_ROOT),
            "Unable to mount root fs", "fit into the memory", "initrd-no-room",
        ),
        (
            ("Initramfs unpacking failed: invalid magic at start of compressed archive", NO_ROOT),
            "Unable to mount root fs", "initrd is damaged", "initrd-corrupt",
        ),
        (
            ("ZSTD-compressed data is corrupt", NO_ROOT),
            "Unable to mount root fs", "initrd is damaged", "initrd-corrupt",
        ),
        (
            (PANIC + "Attempted to kill init! exitcode=0x00000100",),
            "Attempted to kill init!", "first program ended", "init-ended",
        ),
        (("---[ end Kernel panic - not syncing: Oops ]---",), "kernel panicked", "", "panic"),
        (("vx: failed: no answer to DHCP on eth0",), "no answer to DHCP on eth0", "nobody", "no-dhcp"),
        (
            ("ALERT!  /dev/vda1 does not exist.  Dropping to a shell!",),
            "emergency shell", "root=", "root-device-missing",
        ),
        (
            ('You are in emergency mode. After logging in, type "journalctl -xb"',),
            "emergency shell", "", "emergency-shell",
        ),
    ],
)  # fmt: skip
def test_what_happened_and_why_are_told_apart(
    lines: tuple[str, ...], event: str, message: str, cause: str
) -> None:
    verdict = verdict_of(*lines)

    assert event in verdict.event
    assert message in verdict.message
    assert verdict.cause_id == cause


@pytest.mark.parametrize("prompt", [b"(initramfs) ", b"dracut:/# ", b"mountroot> "])
def test_a_prompt_without_an_end_of_line_counts(prompt: bytes) -> None:
    reader = Reader()

    reader.feed(b"some line\n" + prompt)

    assert reader.is_fatal


def test_a_line_that_is_still_coming_is_not_judged() -> None:
    reader = Reader()

    reader.feed(b"Kernel panic - not syncing: VFS: Unab")
    early = reader.is_fatal
    reader.feed(b"le to mount root fs\n")

    assert not early
    verdict = reader.verdict()
    assert verdict is not None
    assert verdict.event.endswith("VFS: Unable to mount root fs")


def test_ordinary_lines_are_no_failure() -> None:
    lines = ("panic=1 on the command line", "systemd[1]: emergency.target: not needed", "vx: up")

    assert read(*lines).verdict() is None


def test_a_clue_counts_only_for_a_boot_in_trouble() -> None:
    reader = read("EXT4-fs error (device vda1): bad thing")

    assert reader.verdict() is None
    assert [one.cause.id for one in reader.remarks()] == ["disk-io"]
    stalled = reader.verdict(State.STALLED)
    assert stalled is not None
    assert stalled.cause_id == "disk-io"


def test_the_lines_that_show_a_cause_come_with_those_around_them_in_order() -> None:
    filler = [f"line {number}" for number in range(20)]
    lines = verdict_of(
        *filler, "Initramfs unpacking failed: write error", *filler, NO_ROOT, "Call Trace:", *filler
    ).lines

    assert lines[:5] == ("line 17", "line 18", "line 19", "Initramfs unpacking failed: write error", "line 0")  # fmt: skip
    assert "[…]" in lines
    assert lines[lines.index(NO_ROOT) + 1] == "Call Trace:"
    assert len(lines) <= 15


def test_the_error_stream_of_the_hypervisor_explains_a_silent_guest() -> None:
    reader = Reader()
    reader.feed(b"rdmsr to register 0x140 on vcpu 0\n", Place.STDERR)
    reader.feed(b"kexec: failed to load kernel /b/vmlinuz\n", Place.STDERR)

    verdict = reader.verdict()

    assert verdict is not None
    assert verdict.cause_id == "kernel-not-bzimage"
    assert verdict.lines[-1].endswith("/b/vmlinuz")


def test_the_command_in_the_hypervisors_log_is_not_its_own_word() -> None:
    reader = Reader()
    reader.feed(b"$ xhyve -l com1,stdio 'fbsd: already occupied!'\n", Place.STDERR)
    reader.end(classify("xhyve", status=1, seconds=0.1, printed=False, stderr=""))

    verdict = reader.verdict()

    assert verdict is not None
    assert verdict.cause_id == "uuid-malformed"


def test_an_ending_without_any_clue_is_named_by_what_it_was() -> None:
    reader = read("[    0.000000] Linux version 6.1")
    reader.end(classify("xhyve", status=1, seconds=9, printed=True, stderr=""))

    verdict = reader.verdict()

    assert verdict is not None
    assert verdict.cause_id == "powered-off"
    assert verdict.stage is Stage.KERNEL


def test_a_boot_after_a_failed_one_begins_anew() -> None:
    first = ("[    0.000000] Linux version 6.1", "[    0.5] Initramfs unpacking failed: write error", NO_ROOT)  # fmt: skip
    again = (*first, "[    0.000000] Linux version 6.1")
    reader = read(*again)

    assert reader.boots == 2
    assert reader.stage is Stage.KERNEL
    assert reader.is_fatal  # nothing yet says that this one gets any further
    assert not read(*again, "vx: network up").is_fatal


def test_the_hint_of_readiness_may_come_in_pieces() -> None:
    reader = Reader()

    reader.feed(b"vx: rea")
    reader.feed(b"dy ssh")

    assert reader.ready


def test_memory_stays_bounded() -> None:
    reader = Reader()

    for _ in range(50):
        reader.feed(b"x" * 100_000)
    reader.feed(b"\nlast\n" * 1000)

    assert reader.last_lines(5000)[-1] == "last"
    assert len(reader.last_lines(5000)) <= 200
    assert max(map(len, reader.last_lines(5000))) <= 4096


def test_what_the_kernel_was_told_is_no_news() -> None:
    reader = read(
        "[    0.000000] Linux version 6.1.0",
        "[    0.000000] Command line: systemd.unit=emergency.target cloud-init=disabled sshd Oops: x",
    )

    assert reader.stage is Stage.KERNEL
    assert reader.remarks()[1:] == ()


def test_a_guest_loops_once_it_has_booted_five_times() -> None:
    boots = ["[    0.000000] Linux version 6.1.0", "[    2.1] reboot: Restarting system"] * 4

    assert not read(*boots).is_looping
    assert read(*boots, boots[0]).is_looping
