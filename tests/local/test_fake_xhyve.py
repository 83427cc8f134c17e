"""What the stand-in for xhyve must do, row by row, where no real guest is needed."""

from __future__ import annotations

import os
import pty
import signal
from typing import TYPE_CHECKING

import pytest

from tests.fakes.hyve.model import Flavour
from tests.fakes.hyve.parse import parse
from tests.fakes.hyve.trying import Double, await_bytes, await_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVERY = list(Flavour)
XHYVES = [Flavour.HEAD, Flavour.OLD]
WITH_PID_FILE = [Flavour.HEAD, Flavour.HYPERKIT]
VMNET = "virtio_net: Could not create vmnet interface, permission denied or no entitlement?\n"
UUID = "00112233-4455-6677-8899-aabbccddeeff"
NIC = ("-s", "2:0,virtio-net")
LPC = ("-s", "31,lpc")


@pytest.fixture
def xhyve(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Double]:
    double = Double(tmp_path, getattr(request, "param", Flavour.HEAD))
    yield double
    double.close()


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def of(*flavours: Flavour) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("xhyve", flavours, indirect=True)


@of(*XHYVES)
def test_without_words_it_tells_its_usage_and_fails(xhyve: Double) -> None:
    ran = xhyve.run()

    flags = "behuwxACHPWY" if xhyve.flavour is Flavour.OLD else "behuwxMACHPWY"
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(f"Usage: xhyve [-{flags}] [-c vcpus]")
    assert ("-F: " in ran.err) == (xhyve.flavour is Flavour.HEAD)


@of(Flavour.HYPERKIT)
def test_hyperkit_tells_its_usage_on_stdout(xhyve: Double) -> None:
    ran = xhyve.run()

    assert (ran.status, ran.err) == (1, "")
    assert ran.out.startswith("Usage: hyperkit [-behuwxMACHPWY] [-c vcpus]")


@of(*XHYVES)
@pytest.mark.parametrize("word", ["-h", "-v"])
def test_help_and_version_are_on_stderr_and_no_failure(xhyve: Double, word: str) -> None:
    ran = xhyve.run(word)

    assert (ran.status, ran.out) == (0, "")
    assert ran.err.startswith("Usage: xhyve [" if word == "-h" else "xhyve: v0.2.0")


@of(Flavour.HYPERKIT)
def test_hyperkits_help_is_a_line_on_stderr_and_its_version_is_on_stdout(xhyve: Double) -> None:
    told, version = xhyve.run("-h"), xhyve.run("-v")

    assert told.status == version.status == 0
    assert (told.out, told.err) == ("", "Try 'hyperkit --help' for more information.\n")
    assert version.out.startswith("hyperkit: 0.")
    assert version.err == ""


@of(*EVERY)
def test_pinning_is_in_the_usage_and_not_accepted(xhyve: Double) -> None:
    ran = xhyve.run("-p", "0:0")

    assert ran.status == 1
    assert ran.err.startswith(f"{xhyve.program.name}: illegal option -- p\n")
    assert "Usage: " in ran.err + ran.out


@of(*EVERY)
def test_y_eats_the_firmware(xhyve: Double) -> None:
    ran = xhyve.run("-Y", "-f", "kexec,k,i,")

    assert ran.status == 1
    assert (ran.err + ran.out).startswith("Usage: ")


@of(*XHYVES)
def test_a_firmware_of_two_commas_is_invalid(xhyve: Double) -> None:
    ran = xhyve.run("-f", "kexec,k,i")

    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        "Invalid firmware argument\n"
        "    -f kexec,'kernel','initrd','\"cmdline\"'\n"
        "    -f fbsd,'userboot','boot volume','\"kernel env\"'\n"
    )


@of(Flavour.HYPERKIT)
def test_hyperkit_needs_only_the_kernel(xhyve: Double) -> None:
    boots = xhyve.run("-A", "-f", f"kexec,{xhyve.kernel}")
    fails = xhyve.run("-A", "-f", "kexec,,initrd")

    assert boots.status == -signal.SIGSEGV  # it came to ACPI, which has no slot to describe
    assert fails.status == 1
    assert fails.err.startswith("Invalid firmware argument\n")


@pytest.mark.parametrize("flavour", EVERY)
def test_a_kernel_command_line_may_hold_commas(flavour: Flavour) -> None:
    line = parse(["xhyve", "-f", "kexec,k,,a=1,2"], flavour)

    assert line.firmware is not None
    assert (line.firmware.kernel, line.firmware.initrd) == ("k", "")
    assert line.firmware.cmdline == "a=1,2"


@of(*EVERY)
def test_memory_has_no_fractions(xhyve: Double) -> None:
    ran = xhyve.run("-m", "1.5G")

    assert (ran.status, ran.out) == (64, "")
    assert ran.err == f"{xhyve.program.name}: invalid memsize '1.5G'\n"


@of(*EVERY)
def test_memory_is_whole_pages(xhyve: Double) -> None:
    ran = xhyve.run("-m", "2000000", "-f", "kexec,k,,")

    assert (ran.status, ran.out, ran.err) == (1, "", "Unable to setup memory (22)\n")


@of(*EVERY)
@pytest.mark.parametrize(
    ("cpus", "said"),
    [
        ("0", "Invalid guest vCPUs (0)\n"),
        ("-3", "Invalid guest vCPUs (-3)\n"),
        ("two", "Invalid guest vCPUs (0)\n"),
        ("17", "17 vCPUs requested but only 16 available\n"),
    ],
)
def test_there_are_one_to_sixteen_cpus(xhyve: Double, cpus: str, said: str) -> None:
    ran = xhyve.run("-c", cpus, *xhyve.boots)

    assert (ran.status, ran.out, ran.err) == (1, "", said)


@of(*EVERY)
@pytest.mark.parametrize("slot", ["32,lpc", "2:8,lpc", "lpc"])
def test_slots_have_bounds(xhyve: Double, slot: str) -> None:
    ran = xhyve.run("-s", slot)

    assert (ran.status, ran.out) == (1, "")
    assert ran.err == f'Invalid PCI slot info field "{slot}"\n'


@of(*EVERY)
def test_a_slot_is_taken_once(xhyve: Double) -> None:
    ran = xhyve.run("-s", "2,dummy", "-s", "2:0,dummy")

    assert (ran.status, ran.out, ran.err) == (1, "", "pci slot 2:0 already occupied!\n")


@of(*XHYVES)
def test_devices_of_hyperkit_are_unknown(xhyve: Double) -> None:
    ran = xhyve.run("-s", "2,virtio-9p")

    assert (ran.status, ran.out) == (1, "")
    assert ran.err == 'pci slot 2:0: unknown device "virtio-9p"\n'


@of(Flavour.HYPERKIT)
def test_hyperkit_has_no_e1000(xhyve: Double) -> None:
    ran = xhyve.run("-s", "2,virtio-9p,path=x", "-s", "3,e1000")

    assert (ran.status, ran.err) == (1, 'pci slot 3:0: unknown device "e1000"\n')


@of(*EVERY)
def test_there_is_no_third_serial_port(xhyve: Double) -> None:
    ran = xhyve.run("-l", "com3,stdio")

    assert (ran.status, ran.out) == (64, "")
    said = f"{xhyve.program.name}: invalid lpc device configuration 'com3,stdio'\n"
    assert ran.err == said


@of(*XHYVES)
def test_a_named_pty_is_hyperkits(xhyve: Double) -> None:
    ran = xhyve.run("-l", "com1,autopty=/x", *LPC, *xhyve.boots)

    said = "Unable to initialize backend 'autopty=/x' for LPC device COM1\n"
    assert (ran.status, ran.out, ran.err) == (1, "", said)


@of(*XHYVES)
def test_without_the_bridge_nobody_looks_at_a_backend(xhyve: Double) -> None:
    ran = xhyve.run("-s", "0,hostbridge", "-A", "-l", "com1,autopty=/x", *xhyve.boots)

    assert (ran.status, ran.out, ran.err) == (1, "", "")


@of(*EVERY)
def test_a_missing_disk_is_told_twice_and_before_the_missing_kernel(xhyve: Double) -> None:
    ran = xhyve.run("-s", "4,virtio-blk,/nowhere/disk", "-f", "kexec,/nowhere/vmlinuz,,")

    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "Could not open backing file: No such file or directory\n" * 2


@of(*WITH_PID_FILE)
def test_an_elf_kernel_aborts_and_leaves_the_pid_file(xhyve: Double) -> None:
    xhyve.kernel.write_bytes(b"\x7fELF" + bytes(100_000))

    ran = xhyve.run("-F", str(xhyve.pid_file), *xhyve.boots)

    assert (ran.status, ran.out) == (-signal.SIGABRT, "")
    assert ran.err == f"kexec: failed to load kernel {xhyve.kernel}\n"
    assert xhyve.pid_file.read_text(encoding="utf-8").isdigit()


@of(*WITH_PID_FILE)
def test_a_pid_file_that_is_there_stops_the_start(xhyve: Double) -> None:
    xhyve.pid_file.write_text("1", encoding="utf-8")

    ran = xhyve.run("-F", str(xhyve.pid_file), *xhyve.boots)

    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "Failed to set up pidfile\npidfile error -1\n"
    assert xhyve.pid_file.read_text(encoding="utf-8") == "1"


@of(Flavour.OLD)
@pytest.mark.parametrize("option", ["F", "M"])
def test_v0_2_0_knows_neither_pid_file_nor_mac(xhyve: Double, option: str) -> None:
    ran = xhyve.run(f"-{option}", "x", *xhyve.boots)

    assert ran.status == 1
    assert ran.err.startswith(f"xhyve: illegal option -- {option}\nUsage: ")


@of(Flavour.HEAD)
@pytest.mark.parametrize("emulation", ["virtio-net", "e1000"])
def test_a_uuid_has_a_mac_which_stays(xhyve: Double, emulation: str) -> None:
    words = ("-M", "-s", f"2:0,{emulation}", "-F", str(xhyve.pid_file), "-f", "kexec,/none,,")

    first, again = xhyve.run("-U", UUID, *words), xhyve.run("-U", UUID.upper(), *words)
    other = xhyve.run("-U", UUID[:-1] + "0", *words)

    assert (first.status, first.err) == (0, "")
    label, _, mac = first.out.rstrip("\n").partition(" ")
    assert label == "MAC:"
    assert [len(octet) for octet in mac.split(":")] == [2] * 6
    assert again.out == first.out != other.out
    assert not xhyve.pid_file.exists()


@of(Flavour.HYPERKIT)
def test_hyperkit_parses_the_option_for_the_mac_and_has_nothing_behind_it(xhyve: Double) -> None:
    ran = xhyve.run("-M", "-U", UUID, *NIC, *xhyve.boots)

    assert ran.status == 1
    assert ran.out.startswith("Usage: hyperkit ")


def test_without_a_network_card_the_mac_is_not_asked_for(xhyve: Double) -> None:
    ran = xhyve.run("-M", "-A", "-s", "0,hostbridge", *xhyve.boots, script="halt")

    assert (ran.status, ran.out, ran.err) == (2, "", "")


@of(*EVERY)
def test_a_network_card_needs_root(xhyve: Double) -> None:
    ran = xhyve.run("-U", UUID, *NIC, *xhyve.boots, FAKE_XHYVE_ROOT="0")

    assert (ran.status, ran.out, ran.err) == (1, "", VMNET)


def test_a_second_network_card_is_refused(xhyve: Double) -> None:
    ran = xhyve.run("-U", UUID, *NIC, "-s", "2:1,virtio-net", *xhyve.boots)

    assert (ran.status, ran.err) == (1, VMNET)


def test_a_uuid_belongs_to_one_that_lives(xhyve: Double, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    words = ("-U", UUID, *NIC, *LPC, *xhyve.boots)
    first = xhyve.start(*words, "-l", "com1,stdio", script="say:up", stdin=theirs)
    await_bytes(ours, b"up\r\n")

    refused = xhyve.run(*words)
    first.kill()
    first.wait()
    after = xhyve.run(*words)

    assert (refused.status, refused.err) == (1, VMNET)
    assert (after.status, after.err) == (2, "")


@of(*EVERY)
def test_a_bad_uuid_with_a_network_card_ends_it_in_silence(xhyve: Double) -> None:
    ran = xhyve.run("-U", "00000000-0000-0000-f000-000000000000", *NIC, *xhyve.boots)

    assert (ran.status, ran.out, ran.err) == (1, "", "")


ENDS = {
    "poweroff": {Flavour.HEAD: 1, Flavour.OLD: 1, Flavour.HYPERKIT: 0},
    "reboot": {Flavour.HEAD: 0, Flavour.OLD: 0, Flavour.HYPERKIT: 2},
    "halt": {Flavour.HEAD: 2, Flavour.OLD: 2, Flavour.HYPERKIT: 0},
}


@of(*EVERY)
@pytest.mark.parametrize("way", ENDS)
def test_how_the_guest_ended_is_the_status(xhyve: Double, way: str) -> None:
    ran = xhyve.run("-A", "-s", "0,hostbridge", *xhyve.boots, script=way)

    assert (ran.status, ran.out, ran.err) == (ENDS[way][xhyve.flavour], "", "")


def test_power_off_without_acpi_is_a_halt(xhyve: Double) -> None:
    ran = xhyve.run(*xhyve.boots, script="poweroff")

    assert ran.status == 2


@of(*WITH_PID_FILE)
def test_sigterm_before_acpi_kills_and_leaves_the_pid_file(xhyve: Double) -> None:
    words = ("-A", "-s", "0,hostbridge", "-F", str(xhyve.pid_file), *xhyve.boots)
    started = xhyve.start(*words, script="acpi@3600")
    await_file(xhyve.pid_file)

    started.terminate()

    assert started.wait(30) == -signal.SIGTERM
    assert xhyve.pid_file.exists()


@of(*EVERY)
def test_sigterm_with_acpi_is_a_power_button(xhyve: Double, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    kept = () if xhyve.flavour is Flavour.OLD else ("-F", str(xhyve.pid_file))
    words = ("-A", *LPC, "-l", "com1,stdio", *kept, *xhyve.boots)
    started = xhyve.start(*words, script="acpi; say:up", stdin=theirs)
    await_bytes(ours, b"up\r\n")

    started.terminate()

    assert started.wait(30) == ENDS["poweroff"][xhyve.flavour]
    assert b"reboot: Power down" in await_bytes(ours, b"Power down")
    assert not xhyve.pid_file.exists()


@of(*EVERY)
def test_where_the_console_is_stands_in_a_file_only_at_the_end(
    xhyve: Double, terminal: tuple[int, int]
) -> None:
    ours, theirs = terminal
    consoles = ("-l", "com1,autopty", "-l", f"com2,{os.ttyname(theirs)}")
    started = xhyve.start("-A", *LPC, *consoles, *xhyve.boots, script="acpi; say2:up")
    await_bytes(ours, b"up\r\n")

    before = (xhyve.home / "out").read_bytes()
    started.terminate()
    status = started.wait(30)

    said = (xhyve.home / "out").read_text(encoding="utf-8").splitlines()
    assert (before, status) == (b"", ENDS["poweroff"][xhyve.flavour])
    assert said[-1].startswith("COM1 connected to /dev/")
    assert said[:-1] == (["linkname (null)"] if xhyve.flavour is Flavour.HYPERKIT else [])


@of(*EVERY)
def test_the_console_of_stdio_is_descriptor_zero(xhyve: Double, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    words = ("-A", *LPC, "-l", "com1,stdio", *xhyve.boots)

    started = xhyve.start(*words, script="say:hello;poweroff@0.2", stdin=theirs)

    assert started.wait(30) == ENDS["poweroff"][xhyve.flavour]
    assert await_bytes(ours, b"Power down").startswith(b"hello\r\n")
    assert (xhyve.home / "out").read_bytes() == (xhyve.home / "err").read_bytes() == b""
