"""How a hypervisor ended: the same status means different things."""

from __future__ import annotations

import pytest

from vagrantish.diagnosis.endings import EndingKind, classify, complaint

CHATTER = "rdmsr to register 0x140 on vcpu 0\nUnhandled inb 0x0087 at 0xffffffff81\n"
VMNET = "virtio_net: Could not create vmnet interface, permission denied or no entitlement?\n"
LOAD = "kexec: failed to load kernel /b/vmlinuz\n"
DUMP = "vm exit[0]\n\treason\t\tVMX\n\texit_reason\t33\n"

OFF, REBOOT, HALT = EndingKind.POWERED_OFF, EndingKind.REBOOTED, EndingKind.HALTED
FAILED, CRASHED, KILLED = EndingKind.FAILED_TO_START, EndingKind.CRASHED, EndingKind.KILLED


@pytest.mark.parametrize(
    ("provider", "status", "seconds", "printed", "stderr", "kind"),
    [
        ("xhyve", 0, 30, True, "", REBOOT),
        ("xhyve", 0, 0.1, True, "", REBOOT),
        ("xhyve", 0, 0.1, False, "xhyve: 0.2.0\n", FAILED),
        ("xhyve", 1, 30, True, "", OFF),
        ("xhyve", 1, 30, True, CHATTER, OFF),
        ("xhyve", 1, 30, True, CHATTER + "something else\n", OFF),
        ("xhyve", 1, 30, False, "", OFF),
        ("xhyve", 1, 30, False, CHATTER, OFF),
        ("xhyve", 1, 0.2, False, "", FAILED),
        ("xhyve", 1, 0.2, False, VMNET, FAILED),
        ("xhyve", 1, 9, False, VMNET, FAILED),
        ("xhyve", 1, 0.2, True, "", OFF),
        ("xhyve", 2, 30, True, "", HALT),
        ("xhyve", 3, 30, True, "", CRASHED),
        ("xhyve", 64, 0.1, False, "xhyve: invalid memsize '1.5G'\n", FAILED),
        ("xhyve", 100, 30, True, "", CRASHED),
        ("xhyve", 255, 0.1, False, "fbsd: error\n", FAILED),
        ("xhyve", -6, 0.3, False, LOAD, FAILED),
        ("xhyve", 134, 0.3, False, LOAD, FAILED),
        ("xhyve", -6, 3, False, "hv_vm_create HV_ERROR\n", FAILED),
        ("xhyve", -6, 3, True, CHATTER + DUMP, CRASHED),
        ("xhyve", -6, 3, False, DUMP, CRASHED),
        ("xhyve", -11, 0.1, False, "", CRASHED),
        ("xhyve", 139, 0.1, False, "", CRASHED),
        ("xhyve", -15, 3, True, "", KILLED),
        ("xhyve", 143, 3, True, "", KILLED),
        ("xhyve", -9, 3, True, "", KILLED),
        ("xhyve", -9, 0.05, False, "", FAILED),
        ("xhyve", 127, 0.05, False, "sudo: xhyve: command not found\n", FAILED),
        ("hyperkit", 0, 30, True, "", OFF),
        ("hyperkit", 2, 30, True, "", REBOOT),
        ("hyperkit", 3, 30, True, "", CRASHED),
        ("hyperkit", 1, 0.1, False, VMNET, FAILED),
        ("hyperkit", 1, 60, True, "", CRASHED),
        ("bhyve", 0, 30, True, "", REBOOT),
        ("bhyve", 1, 30, True, "", OFF),
        ("bhyve", 2, 30, True, "", HALT),
        ("bhyve", 3, 30, True, "", CRASHED),
        ("bhyve", 4, 0.1, False, "vm_open: No such file or directory\n", FAILED),
        ("vfkit", 0, 30, True, "", OFF),
        ("vfkit", 1, 0.3, False, "time=… level=error msg=…\n", FAILED),
        ("vfkit", 1, 60, True, "", CRASHED),
        ("qemu", 0, 30, True, "", OFF),
        ("qemu", 1, 0.1, False, "could not open kernel file\n", FAILED),
    ],
)
def test_an_ending_is_told_from_all_that_is_known(
    provider: str, status: int, seconds: float, printed: bool, stderr: str, kind: EndingKind
) -> None:
    ending = classify(provider, status=status, seconds=seconds, printed=printed, stderr=stderr)

    assert ending.kind is kind
    assert ending.text


def test_the_hypervisors_own_reason_is_in_the_text() -> None:
    ending = classify("xhyve", status=1, seconds=0.2, printed=False, stderr=CHATTER + VMNET)

    assert "Could not create vmnet interface" in ending.text
    assert "rdmsr" not in ending.text


def test_a_shells_status_of_a_signal_is_that_signal() -> None:
    ending = classify("xhyve", status=143, seconds=9, printed=True, stderr="")

    assert ending.status == -15
    assert "SIGTERM" in ending.text


def test_what_is_said_is_short_and_harmless() -> None:
    said = complaint("\n\x1b[2J" + "x\x07" * 1000)

    assert len(said) <= 301
    assert said.isprintable()
