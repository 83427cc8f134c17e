"""What is wrong with a machine for xhyve is said of the very thing, with what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.hyve.trying import bzimage
from vagrantish.errors import ProviderError
from vagrantish.model import (
    Disk,
    FbsdLoader,
    Firmware,
    QemuOptions,
    VmSpec,
    XhyveOptions,
)
from vagrantish.paths import MachineLayout
from vagrantish.provider.base import HostFacts
from vagrantish.provider.xhyve import bootchecks, checks, probe
from vagrantish.provider.xhyve.argv import DISKS_MAX
from vagrantish.units import GIB, MIB

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = HostFacts(program="/opt/xhyve", version="", accel="xhyve", flavour="head")
OLD = replace(HEAD, flavour="v0.2.0")
HYPERKIT = replace(HEAD, flavour="hyperkit", program="/opt/hyperkit")
BY_SUDO = replace(HEAD, privilege="sudo")


@pytest.fixture
def vm(tmp_path: Path) -> VmSpec:
    """One that all is well with."""
    (tmp_path / "vmlinuz").write_bytes(bzimage())
    (tmp_path / "m").mkdir()
    return VmSpec(
        id="0f3c",
        name="web",
        uuid="0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11",
        arch="x86_64",
        cpus=1,
        memory_bytes=64 * MIB,
        kernel=tmp_path / "vmlinuz",
        initrd=None,
        cmdline="console=ttyS0",
        disks=(),
        mac="",
        ssh_port=0,
        ssh_port_fixed=False,
        forwards=(),
        cpu_level="x86-64-v1",
        qemu=QemuOptions(),
        layout=MachineLayout(tmp_path / "m"),
    )


def problems(vm: VmSpec, host: HostFacts = HEAD) -> list[str]:
    provider = "hyperkit" if host.flavour == "hyperkit" else "xhyve"
    return [problem.message for problem in checks.problems(vm, host, provider=provider)]


def hints(vm: VmSpec, host: HostFacts = HEAD) -> str:
    return "\n".join(problem.hint for problem in checks.problems(vm, host, provider="xhyve"))


def the_problem(vm: VmSpec, host: HostFacts = HEAD) -> str:
    (message,) = problems(vm, host)
    return message


def made(path: Path, content: bytes = b"", size: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        if size is not None:
            file.truncate(size)
    return path


def disk(path: Path, *, readonly: bool = False, form: str = "raw") -> Disk:
    return Disk(path=path, format=form, serial="vx-root", readonly=readonly)


@pytest.mark.parametrize("host", [HEAD, OLD, HYPERKIT])
def test_a_machine_that_is_well_has_no_problems(vm: VmSpec, host: HostFacts) -> None:
    assert problems(vm, host) == []
    checks.check(vm, host, provider="hyperkit" if host is HYPERKIT else "xhyve")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"arch": "aarch64"}, "is for aarch64"),
        ({"cpus": 0}, "wants 0 processors"),
        ({"cpus": 17}, "wants 17 processors"),
        ({"uuid": ""}, 'the UUID of machine web, "", is one'),
        ({"uuid": "0f3c0a52-9d5f-4c51-e8a0-3d4a0ea20a11"}, "is one that xhyve refuses"),
        ({"uuid": "0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11\n"}, "is one that xhyve refuses"),
        ({"kernel": None}, "has nothing to boot from"),
        ({"cmdline": "acpi=off console=ttyS0"}, "says acpi=off: xhyve's guests find"),
        ({"cmdline": "a noacpi"}, "says noacpi"),
        ({"cmdline": 'a="b'}, "a double quote that is not closed"),
        ({"cmdline": "a\0"}, "a zero byte"),
        ({"cmdline": "x" * 2047}, "at most 2046 can be given"),
        ({"cmdline": "ü" * 1015}, "at most 2046 can be given"),  # bytes count, with ours
        ({"kernel": None, "firmware": Firmware(code=None)}, "boots by UEFI, and none is named"),
        ({"xhyve": XhyveOptions(extra_args=("-M",))}, "`extra_args` under [xhyve]: -M ends it"),
    ],
)
def test_each_problem_is_named(vm: VmSpec, changes: dict[str, object], expected: str) -> None:
    assert expected in the_problem(replace(vm, **changes))  # type: ignore[arg-type]


def test_a_command_line_that_just_fits_passes(vm: VmSpec) -> None:
    added = len("console=ttyS0 panic=1 ")

    assert problems(replace(vm, cmdline="x" * (2046 - added))) == []
    assert problems(replace(vm, cmdline="x" * (2047 - added)))
    assert problems(replace(vm, cmdline="a -- acpi=off")) == []


@pytest.mark.parametrize(
    ("content", "expected", "hint"),
    [
        (b"\x7fELF" + bytes(999), "an ELF file (an unpacked vmlinux?), not an x86", "vmlinuz"),
        (bytes(0x38) + b"ARM\x64" + bytes(999), "an arm64 Linux kernel", "the x86_64 version"),
        (b"MZ\0\0zimg" + bytes(999), "a compressed EFI kernel (zboot)", "for x86_64"),
        (b"MZ" + bytes(999), "an EFI program", "the kernel it was made of"),
        (b"\x1f\x8b" + bytes(999), "a gzip file", "vmlinuz"),
        (b"<!DOCTYPE html><p>404", "an HTML page", "Download it again"),
        (b"", "an empty file", "Download or copy it again"),
        (bzimage(version=0x0209), "it speaks boot protocol 2.09, and 2.10", "vmlinuz"),
        (bzimage(loadflags=0), "a zImage", "vmlinuz"),
        (bzimage(boot_flag=0), "its boot header is damaged", "vmlinuz"),
        (bzimage()[:-1], "it is cut short: 12287 bytes, and its header promises 12288", "vmlinuz"),
        (bzimage(init_size=600 * MIB), "unpacks itself in the first 616MiB", "Raise `memory`"),
        (bzimage(init_size=1), "asks for less memory than the kernel itself", "Raise `memory`"),
        (bzimage(cmdline_size=13), "at most 12 can be given", "Shorten `cmdline`"),
    ],
)  # fmt: skip
def test_a_kernel_that_cannot_be_loaded_is_told_by_the_rule_it_breaks(
    vm: VmSpec, content: bytes, expected: str, hint: str
) -> None:
    assert vm.kernel is not None
    made(vm.kernel, content)

    assert expected in the_problem(vm)
    assert hint in hints(vm)


def test_a_kernel_that_is_not_there_or_no_file_is_told(vm: VmSpec, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert "cannot be read: No such file" in the_problem(replace(vm, kernel=tmp_path / "none"))
    assert "it is not a file" in the_problem(replace(vm, kernel=tmp_path / "pipe"))
    assert "it is not a file" in the_problem(replace(vm, kernel=tmp_path))


def test_what_lies_in_the_machines_own_folder_may_be_made_later(vm: VmSpec) -> None:
    own = vm.layout.directory
    vm = replace(vm, kernel=own / "k", initrd=own / "i", disks=(disk(own / "disk"),))

    assert problems(vm) == []


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "is an empty file"), (64 * MIB, "there is room for"), (46 * MIB, "there is room for")],
)
def test_an_initrd_that_is_empty_or_would_lie_on_the_kernel_is_told(
    vm: VmSpec, tmp_path: Path, size: int, expected: str
) -> None:
    # The kernel ends at 17 MiB of 64: 47 MiB less a page and a byte are left.
    vm = replace(vm, initrd=made(tmp_path / "initrd", size=size + MIB if size else 0))

    assert expected in the_problem(vm)
    assert problems(replace(vm, initrd=made(tmp_path / "initrd", size=47 * MIB - 4097))) == []
    assert "cannot be read" in the_problem(replace(vm, initrd=tmp_path / "none"))


def test_an_initrd_that_was_made_since_is_looked_at_before_the_start(vm: VmSpec) -> None:
    own = replace(vm, initrd=vm.layout.directory / "initrd")
    assert problems(own) == []
    made(vm.layout.directory / "initrd", size=50 * MIB)

    with pytest.raises(ProviderError, match="the initrd is 50MiB"):
        checks.check(own, HEAD, provider="xhyve")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"QFI\xfb", "a qcow2 disk image"),
        (b"KDMV", "a vmdk disk image"),
        (b"# Disk DescriptorFile\n", "a vmdk disk image"),
        (b"vhdxfile", "a vhdx disk image"),
        (b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0") + b"\x7f\x10\xda\xbe",
         "a vdi disk image"),
    ],
)  # fmt: skip
def test_an_image_that_is_called_raw_and_is_not_is_told(
    vm: VmSpec, tmp_path: Path, start: bytes, kind: str
) -> None:
    vm = replace(vm, disks=(disk(made(tmp_path / "d", start, size=MIB)),))

    assert the_problem(vm).endswith(f"and xhyve takes no other: it is {kind}")
    assert "qemu-img convert -O raw" in hints(vm)


def test_disks_that_cannot_be_used_are_told(vm: VmSpec, tmp_path: Path) -> None:
    one = disk(made(tmp_path / "one", size=MIB))

    def told(*disks: Disk) -> str:
        return the_problem(replace(vm, disks=disks))

    assert "cannot be used: No such file" in told(disk(tmp_path / "none"))
    assert "is neither a file nor a disk" in told(disk(tmp_path))
    assert "is a raw device" in told(disk(Path("/dev/null")))
    assert "has 511 bytes" in told(disk(made(tmp_path / "small", size=511)))
    assert "it is a qcow2 disk image" in told(replace(one, format="qcow2"))
    assert "twice" in told(one, replace(one, path=tmp_path / "m" / ".." / "one"))
    many = [disk(made(tmp_path / f"d{number}", size=512)) for number in range(DISKS_MAX + 1)]
    assert f"xhyve takes {DISKS_MAX}" in told(*many)
    assert problems(replace(vm, disks=tuple(many[:-1]))) == []


def test_a_disk_that_its_user_may_not_write_is_told_before_xhyve_opens_it_read_only(
    vm: VmSpec, tmp_path: Path
) -> None:
    image = made(tmp_path / "d", size=MIB)

    assert asked_as_another_user(image, 0o444, readonly=False) == "may not be written by you"
    assert asked_as_another_user(image, 0o444, readonly=True) == ""
    assert asked_as_another_user(image, 0o000, readonly=True) == "may not be read by you"


def asked_as_another_user(path: Path, mode: int, *, readonly: bool) -> str:
    """Root may do everything, so it is another who asks where these tests are root's."""
    path.chmod(mode)
    for folder in path.parents:
        if folder.stat().st_mode & 0o011 != 0o011:  # pytest's own, as deep as its workers are many
            folder.chmod(folder.stat().st_mode | 0o011)
    code = (
        f"import os, sys; sys.path.insert(0, {str(Path.cwd())!r})\n"
        "from pathlib import Path\n"
        "from vagrantish.provider.inputs import disk_use_problem\n"
        "if os.getuid() == 0:\n    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"print(disk_use_problem(Path({str(path)!r}), readonly={readonly}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "which is"), (4097, "4096-byte pages"), (17 * MIB, "16MiB are the most")],
)
def test_firmware_of_no_use_is_told(vm: VmSpec, tmp_path: Path, size: int, expected: str) -> None:
    code = made(tmp_path / "fw", b"_FVH" if size else b"", size=size)
    by_uefi = replace(vm, kernel=None, firmware=Firmware(code=code))

    assert "cannot be UEFI's code" in the_problem(by_uefi)
    assert size == 0 or expected in the_problem(by_uefi)
    assert "BHYVE_UEFI.fd" in hints(by_uefi)
    made(code, b"_FVH", size=2 * MIB)
    assert problems(by_uefi) == []
    assert "v0.2.0 has no UEFI" in the_problem(by_uefi, OLD)


def test_freebsds_loader_must_be_one_that_macos_loads(vm: VmSpec, tmp_path: Path) -> None:
    volume = made(tmp_path / "disk", size=MIB)

    def by(userboot: Path | None) -> VmSpec:
        return replace(vm, kernel=None, fbsd=FbsdLoader(userboot=userboot, volume=volume))

    assert "none is named for it" in the_problem(by(None))
    assert "cannot be read" in the_problem(by(tmp_path / "none"))
    elf = made(tmp_path / "elf", b"\x7fELF")
    assert "but an ELF library, as FreeBSD itself has it" in the_problem(by(elf))
    fit = made(tmp_path / "userboot.so", b"\xcf\xfa\xed\xfe")
    assert problems(by(fit)) == []
    assert "would run as root" in the_problem(by(fit), BY_SUDO)


def test_a_file_is_roots_where_nobody_else_can_replace_it(tmp_path: Path) -> None:
    assert bootchecks.is_roots(Path("/bin/sh"))
    assert not bootchecks.is_roots(made(tmp_path / "x"))  # below a folder that all may write


@pytest.mark.parametrize("privilege", ["setuid", "sudo", "sudo-ticket"])
def test_what_root_would_open_for_a_strangers_project_its_user_must_be_allowed(
    vm: VmSpec, tmp_path: Path, privilege: str
) -> None:
    host = replace(HEAD, privilege=privilege)

    def told(*words: str) -> str:
        return the_problem(replace(vm, xhyve=XhyveOptions(extra_args=words)), host)

    assert "/none in -s 3,virtio-blk,/none cannot be used" in told("-s", "3,virtio-blk,/none")
    assert "is no absolute path" in told("-s3,ahci-cd,cd.iso")
    assert "may not be written by you" in told("-l", f"com2,{tmp_path}/no/log")
    assert "would do as root what vx cannot tell" in told("-s", "3,virtio-tap,tap0")
    cd = made(tmp_path / "cd.iso", size=MIB)
    fine = replace(vm, xhyve=XhyveOptions(extra_args=("-s", f"3,ahci-cd,{cd}")))
    assert problems(fine, host) == []


def test_without_root_a_device_of_its_users_own_passes(vm: VmSpec) -> None:
    vm = replace(vm, xhyve=XhyveOptions(extra_args=("-s", "3,virtio-tap,tap0")))

    assert problems(vm, replace(HEAD, privilege="entitled")) == []


def test_a_program_of_the_other_kind_is_told(vm: VmSpec) -> None:
    (problem,) = checks.problems(vm, HYPERKIT, provider="xhyve")

    assert "/opt/hyperkit is hyperkit" in problem.message
    assert 'provider = "hyperkit"' in problem.hint


def test_memory_must_be_there_and_the_old_one_takes_3_gib(vm: VmSpec) -> None:
    by_uefi = replace(vm, kernel=None, firmware=None, memory_bytes=MIB)

    assert any("needs 2 MiB for itself" in text for text in problems(by_uefi))
    assert problems(replace(vm, memory_bytes=3 * GIB), OLD) == []
    assert "breaks above 3GiB" in the_problem(replace(vm, memory_bytes=3 * GIB + 1), OLD)
    assert problems(replace(vm, memory_bytes=64 * GIB)) == []


def test_paths_of_the_machines_own_that_cannot_be_are_told(vm: VmSpec, tmp_path: Path) -> None:
    odd, long = tmp_path / "a,b", tmp_path / ("x" * 100)

    assert "has a comma in it" in the_problem(replace(vm, layout=MachineLayout(odd)))
    assert "too long for a socket" in the_problem(replace(vm, layout=MachineLayout(long)))


@pytest.mark.parametrize(
    ("release", "expected"),
    [(b"4.10.0-rc1 (x) #1", True), (b"4.9.3", False), (b"6.1.0-9-amd64", True), (b"", False)],
)
def test_the_old_one_is_warned_of_and_kernels_it_hardly_starts(
    vm: VmSpec, release: bytes, expected: bool
) -> None:
    assert vm.kernel is not None
    kernel = bytearray(bzimage())
    kernel[0x20E:0x210] = (0x600).to_bytes(2, "little")
    kernel[0x800 : 0x800 + len(release)] = release
    made(vm.kernel, bytes(kernel))

    warned = checks.warnings(vm, OLD)

    assert "brew install --HEAD xhyve" in warned[0]
    assert any("hardly starts" in text for text in warned) is expected
    assert checks.warnings(vm, HEAD) == ()


def test_what_is_lost_is_warned_of(vm: VmSpec, tmp_path: Path) -> None:
    odd = disk(made(tmp_path / "d", size=MIB + 100))
    fw = Firmware(code=None, vars=tmp_path / "vars")

    variables, end = checks.warnings(replace(vm, disks=(odd,), firmware=fw), HEAD)

    assert "keeps no UEFI variables" in variables
    assert "the last 100 bytes" in end


SUDO = (
    '#!/bin/sh\necho "$@" >> {log}\ncase "$*" in *-l*) echo "    (root) NOPASSWD: {rule}";; esac\n'
)


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """One that allows everything and lists one rule; answers the file of what it was asked."""

    def install(rule: str) -> Path:
        log, program = tmp_path / "asked", tmp_path / "bin" / "sudo"
        made(program, SUDO.format(log=log, rule=rule).encode()).chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return log

    return install


def test_a_program_that_only_settings_name_is_not_tried_as_root_under_a_rule_for_all(
    sudo: Callable[[str], Path],
) -> None:
    log = sudo("ALL")

    assert not probe.sudo_is_free("/project/xhyve", is_named=True)
    assert log.read_text() == "-k -n -l\n"


def test_a_program_with_a_rule_of_its_own_is_tried(sudo: Callable[[str], Path]) -> None:
    log = sudo("/project/xhyve, /bin/kill")

    assert probe.sudo_is_free("/project/xhyve", is_named=True)
    assert log.read_text() == "-k -n -l\n-k -n /project/xhyve -v\n"


def test_the_one_on_path_is_tried_at_once(sudo: Callable[[str], Path]) -> None:
    log = sudo("ALL")

    assert probe.sudo_is_free("/usr/local/bin/xhyve", is_named=False)
    assert log.read_text() == "-k -n /usr/local/bin/xhyve -v\n"
