"""What boots a machine: which box, settings and provider go together, and UEFI's variables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.recorder import Recorder, quiet_op
from tests.unit.lifecycle.test_spec import BOX, MACHINE
from tests.unit.provider.conftest import host, vm
from vagrantish.errors import BoxError, ProviderError, VxError
from vagrantish.events import Cancel, Op
from vagrantish.lifecycle import bootmodes
from vagrantish.model import (
    ArtifactKind,
    BootConfig,
    BootMode,
    Box,
    FbsdLoader,
    Firmware,
    SeedKind,
    VmSpec,
)
from vagrantish.paths import MachineLayout, VxHome
from vagrantish.provider.qemu.provider import Qemu

if TYPE_CHECKING:
    from vagrantish.provider.base import HostFacts

__all__ = ["host", "vm"]

DISK_ALONE = replace(
    BOX,
    artifacts={ArtifactKind.DISK: BOX.artifacts[ArtifactKind.DISK]},
    disk_boots=False,
    boot=BootMode.UEFI,
)
FLASH = bytes(40) + b"_FVH" + bytes(4052)


@pytest.fixture
def qemu(tmp_path: Path) -> Qemu:
    return Qemu(VxHome(tmp_path))


def refused(mode: BootMode, box: Box, qemu: Qemu) -> VxError:
    with pytest.raises((BoxError, ProviderError)) as caught:
        bootmodes.check(replace(MACHINE, boot=BootConfig(mode=mode)), box, qemu)
    return caught.value


@pytest.mark.parametrize(
    ("mode", "box"),
    [
        (BootMode.KERNEL, BOX),
        (BootMode.UEFI, BOX),
        (BootMode.UEFI, DISK_ALONE),
        (BootMode.UEFI, replace(DISK_ALONE, seed=SeedKind.CLOUD_INIT)),
    ],
)
def test_a_disk_boots_by_uefi_whether_or_not_there_is_a_kernel(
    qemu: Qemu, mode: BootMode, box: Box
) -> None:
    bootmodes.check(replace(MACHINE, boot=BootConfig(mode=mode)), box, qemu)


def test_what_does_not_go_together_is_told_with_the_way_on(qemu: Qemu) -> None:
    error = refused(BootMode.KERNEL, DISK_ALONE, qemu)
    assert "corp@1 has no kernel vx could start: it boots by UEFI" in error.message
    assert error.hint == 'Set `mode = "uefi"` under [boot].'

    assert (
        "no disk that UEFI could boot"
        in refused(BootMode.UEFI, replace(BOX, artifacts={}), qemu).message
    )
    assert (
        "initrd, which is not loaded"
        in refused(BootMode.UEFI, replace(BOX, seed=SeedKind.OVERLAY), qemu).message
    )
    error = refused(BootMode.FBSD, DISK_ALONE, qemu)
    assert error.message == "the qemu provider boots no machine by FreeBSD's own loader"
    assert '"kernel" or "uefi"' in error.hint


def uefi(code: Path | None = None, variables: Path | None = None) -> BootConfig:
    return BootConfig(mode=BootMode.UEFI, firmware=code, firmware_vars=variables)


def test_variables_are_copied_once_and_then_the_guests(qemu: Qemu, tmp_path: Path) -> None:
    code, template = tmp_path / "OVMF_CODE.fd", tmp_path / "OVMF_VARS.fd"
    for path in (code, template):
        path.write_bytes(FLASH)
    layout = MachineLayout(tmp_path)
    machine = replace(MACHINE, boot=uefi(code))

    assert bootmodes.firmware_of(machine, layout, qemu) == Firmware(
        code=code, vars=layout.firmware_vars
    )
    bootmodes.make_vars(machine, layout, qemu, op=quiet_op())
    assert layout.firmware_vars.read_bytes() == FLASH
    layout.firmware_vars.write_bytes(FLASH[:-1] + b"x")
    bootmodes.make_vars(machine, layout, qemu, op=quiet_op())

    assert layout.firmware_vars.read_bytes() == FLASH[:-1] + b"x"


def test_variables_of_another_uefi_are_put_aside_and_that_is_told(
    qemu: Qemu, tmp_path: Path
) -> None:
    code, template = tmp_path / "code", tmp_path / "vars"
    for path in (code, template):
        path.write_bytes(FLASH)
    layout = MachineLayout(tmp_path)
    layout.firmware_vars.write_bytes(b"of a smaller flash")
    watched = Recorder()

    machine = replace(MACHINE, boot=uefi(code, template))
    bootmodes.make_vars(machine, layout, qemu, op=Op(watched, Cancel()))

    assert layout.firmware_vars.read_bytes() == FLASH
    assert (tmp_path / "uefi-vars.fd.1").read_bytes() == b"of a smaller flash"
    assert "they begin anew" in watched.notes()[-1]


def test_code_without_variables_keeps_none(qemu: Qemu, tmp_path: Path) -> None:
    layout = MachineLayout(tmp_path)
    machine = replace(MACHINE, boot=uefi(tmp_path / "alone.fd"))

    bootmodes.make_vars(machine, layout, qemu, op=quiet_op())

    assert bootmodes.firmware_of(machine, layout, qemu) == Firmware(code=tmp_path / "alone.fd")
    assert not layout.firmware_vars.exists()


def test_other_machines_have_neither(qemu: Qemu, tmp_path: Path) -> None:
    layout = MachineLayout(tmp_path)
    bootmodes.make_vars(MACHINE, layout, qemu, op=quiet_op())

    assert bootmodes.firmware_of(MACHINE, layout, qemu) is None
    assert bootmodes.loader_of(MACHINE, layout) is None
    assert not list(tmp_path.iterdir())
    fbsd = replace(MACHINE, boot=BootConfig(mode=BootMode.FBSD, userboot=Path("/u.so")))
    assert bootmodes.loader_of(fbsd, layout) == FbsdLoader(
        userboot=Path("/u.so"), volume=layout.disk
    )


def test_a_template_that_is_none_is_told_before_a_start(qemu: Qemu, tmp_path: Path) -> None:
    machine = replace(MACHINE, boot=uefi(None, tmp_path / "none.fd"))

    with pytest.raises(ProviderError, match=r"none\.fd does not exist"):
        bootmodes.check(machine, DISK_ALONE, qemu)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (None, "there is no UEFI for QEMU on this host"),
        (b"", "it has 0 bytes"),
        (bytes(4096), "it holds no firmware volume of UEFI"),
        (FLASH, ""),
    ],
)
def test_qemu_tells_of_code_that_is_none(
    qemu: Qemu, tmp_path: Path, vm: VmSpec, host: HostFacts, code: bytes | None, why: str
) -> None:
    path = tmp_path / "CODE.fd"
    if code is not None:
        path.write_bytes(code)
    spec = replace(
        vm, kernel=None, initrd=None, firmware=Firmware(code=path if code is not None else None)
    )

    told = [problem.message for problem in qemu.problems(spec, host)]

    assert [why in message for message in told] == [True] * bool(why)
