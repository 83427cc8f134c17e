"""A running machine's settings that changed are told from those that did not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.lifecycle.changes import start_settings, waiting
from vagrantish.lifecycle.provisioning import boots_seen
from vagrantish.model import (
    BootConfig,
    BoxRef,
    Forward,
    MachineConfig,
    QemuOptions,
    SSHConfig,
)

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = MachineConfig(
    name="web", index=1, box=BoxRef(name="micro"), providers=("auto",), cpus=1,
    memory_bytes=256 << 20, disk_bytes=None, hostname="web", message="", boot=BootConfig(),
    halt_timeout_s=60, ssh=SSHConfig(), forwards=(), steps=(), qemu=QemuOptions(), primary=False,
    autostart=True, needs=(), context={},
)  # fmt: skip
READY = b"vx: ready ssh"


def test_what_takes_effect_at_a_start_is_waiting_once_it_changed() -> None:
    started_with = start_settings(MACHINE)
    changed = replace(
        MACHINE,
        memory_bytes=512 << 20,
        forwards=(Forward(guest=80, host=8080),),
        boot=BootConfig(cmdline="quiet"),
        box=BoxRef(name="micro", version="1"),
    )

    assert waiting(changed, started_with) == ("box", "memory", "boot.cmdline", "forward")


def test_what_takes_effect_at_once_is_never_waiting() -> None:
    changed = replace(
        MACHINE,
        message="hello",
        halt_timeout_s=1,
        autostart=False,
        boot=BootConfig(timeout_s=1),
        ssh=SSHConfig(forward_agent=True, connect_timeout_s=1),
    )

    assert waiting(changed, start_settings(MACHINE)) == ()


def test_a_machine_started_before_settings_were_kept_waits_for_nothing() -> None:
    assert waiting(MACHINE, {}) == ()


def test_no_setting_is_kept_in_the_clear() -> None:
    secret = replace(MACHINE, boot=BootConfig(cmdline="password=hunter2"))

    assert "hunter2" not in str(start_settings(secret))


def test_boots_are_counted_wherever_a_big_log_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    for before in range((1 << 20) - len(READY) - 1, (1 << 20) + 2):
        log.write_bytes(b"." * before + READY + b"\n" + READY + b"\n")
        assert boots_seen(log) == 2, before


def test_a_log_that_is_missing_or_silent_counts_as_one_boot(tmp_path: Path) -> None:
    assert boots_seen(tmp_path / "none") == 1
    (tmp_path / "console.log").write_bytes(b"")
    assert boots_seen(tmp_path / "console.log") == 1
