"""What the stand-in for xhyve does between its command line and its guest."""

from __future__ import annotations

import os
import pty
import signal
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.hyve.install import install
from tests.fakes.hyve.kexec import Loading, loading_of
from tests.fakes.hyve.model import Firmware, Flavour
from tests.fakes.hyve.trying import Double, await_bytes, await_file, bzimage

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
ACPI = ("-A", "-s", "0,hostbridge")
LPC = ("-A", "-s", "31,lpc")
VM_EXIT = "vm exit[0]\n\treason\t\tVMX\n\trip\t\t0x"


@pytest.fixture
def xhyve(tmp_path: Path) -> Iterator[Double]:
    double = Double(tmp_path)
    yield double
    double.close()


@pytest.fixture
def hyperkit(tmp_path: Path) -> Iterator[Double]:
    double = Double(tmp_path, Flavour.HYPERKIT)
    yield double
    double.close()


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def loading(
    folder: Path,
    kernel: bytes,
    initrd_bytes: int | None = None,
    *,
    memory: int = 64 * MIB,
    cmdline: str = "auto",
    flavour: Flavour = Flavour.HEAD,
) -> Loading:
    (folder / "vmlinuz").write_bytes(kernel)
    if initrd_bytes is not None:
        with (folder / "initrd").open("wb") as initrd:
            initrd.truncate(initrd_bytes)
    firmware = Firmware(
        loader="kexec",
        kernel=str(folder / "vmlinuz"),
        initrd="" if initrd_bytes is None else str(folder / "initrd"),
        cmdline=cmdline,
    )
    return loading_of(firmware, memory, flavour)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"version": 0x020A},
        {"relocatable": 0, "pref_address": MIB},
        {"syssize": 0},
        {"setup_sects": 1},
        {"init_size": 48 * MIB},
        {"alignment": 2 * MIB},
    ],
)
def test_kernels_that_load(tmp_path: Path, header: dict[str, Any]) -> None:
    assert loading(tmp_path, bzimage(**header)) is Loading.GOOD


@pytest.mark.parametrize(
    "header",
    [
        {"setup_sects": 0},
        {"boot_flag": 0xAA54},
        {"magic": b"HdrT"},
        {"version": 0x0209},
        {"loadflags": 0x80},
        {"syssize": 0x10000},
        {"relocatable": 0, "pref_address": MIB - 1},
        {"init_size": 48 * MIB + 1},
        {"init_size": 0x2000},
        {"alignment": 64 * MIB},
        {"alignment": 0},
        {"cmdline_size": 4},
        {"size": 5 * 512},
    ],
)
def test_kernels_that_do_not_load(tmp_path: Path, header: dict[str, Any]) -> None:
    assert loading(tmp_path, bzimage(**header)) is Loading.BAD_KERNEL


@pytest.mark.parametrize("image", [b"", b"\x7fELF", b"<html>" * 200, bzimage()[:0x267]])
def test_files_that_are_no_kernels(tmp_path: Path, image: bytes) -> None:
    assert loading(tmp_path, image) is Loading.BAD_KERNEL


def test_a_command_line_is_one_byte_shorter_than_the_header_says(tmp_path: Path) -> None:
    fits, too_long = "é" + "x" * 2044, "é" + "x" * 2045

    assert loading(tmp_path, bzimage(), cmdline=fits) is Loading.GOOD
    assert loading(tmp_path, bzimage(), cmdline=too_long) is Loading.BAD_KERNEL


def test_an_initrd_ends_at_a_page_below_the_top_of_memory(tmp_path: Path) -> None:
    # The kernel lies from 16 to 17 MiB, memory ends at 64.
    fits = (64 - 17) * MIB - 1

    assert loading(tmp_path, bzimage(), 1) is Loading.GOOD
    assert loading(tmp_path, bzimage(), fits) is Loading.GOOD
    assert loading(tmp_path, bzimage(), fits + 1) is Loading.OVERLAP
    assert loading(tmp_path, bzimage(), 500 * MIB) is Loading.OVERLAP
    assert loading(tmp_path, bzimage(initrd_max=20 * MIB), 3 * MIB) is Loading.GOOD
    assert loading(tmp_path, bzimage(initrd_max=20 * MIB), 3 * MIB + 1) is Loading.OVERLAP


def test_v0_2_0_puts_an_initrd_behind_the_kernel_and_sees_the_end_of_memory(
    tmp_path: Path,
) -> None:
    old = Flavour.OLD

    assert loading(tmp_path, bzimage(), 47 * MIB, flavour=old) is Loading.GOOD
    assert loading(tmp_path, bzimage(), 47 * MIB + 1, flavour=old) is Loading.BAD_INITRD


def test_memory_above_three_gib_is_not_where_kernels_go(tmp_path: Path) -> None:
    late = bzimage(relocatable=0, pref_address=(3 << 30) - MIB // 2)

    assert loading(tmp_path, late, memory=8 << 30) is Loading.BAD_KERNEL


@pytest.mark.parametrize("initrd", ["/nowhere/initrd", "empty"])
def test_an_initrd_that_cannot_be_read_aborts(xhyve: Double, initrd: str) -> None:
    (xhyve.home / "empty").touch()

    ran = xhyve.run(*ACPI, "-f", f"kexec,{xhyve.kernel},{initrd},")

    assert ran.status == -signal.SIGABRT
    assert ran.err == f"kexec: failed to load initrd {initrd}\n"


def test_an_initrd_over_the_kernel_has_no_message_of_its_own(xhyve: Double) -> None:
    with (xhyve.home / "initrd").open("wb") as initrd:
        initrd.truncate(48 * MIB)

    ran = xhyve.run("-m", "64M", *ACPI, "-f", f"kexec,{xhyve.kernel},initrd,")

    assert ran.status == -signal.SIGABRT
    assert ran.err.startswith(VM_EXIT)
    assert "\texit_reason\t2\n" in ran.err


DISKS = [
    ("virtio-blk", None, "", "virtio-block: backing device required\n"),
    ("ahci-hd", None, "pci_ahci: backing device required\n", ""),
    ("ahci-cd", None, "pci_ahci: backing device required\n", ""),
    ("ahci-cd", "none.iso", "Could not open backing file: No such file or directory\n", ""),
    ("ahci-hd", "", "Could not open backing file: No such file or directory\n", ""),
    ("ahci-hd", "disk,format=qcow", 'Invalid device option "format=qcow"\n', ""),
    (
        "virtio-blk",
        "disk,b",
        'Invalid device option "b"\nCould not open backing file: Undefined error: 0\n',
        "",
    ),
    ("ahci-hd", "disk,nocache", "xhyve: nocache support unimplemented: Undefined error: 0\n", ""),
    (
        "ahci-hd",
        "/dev/null",
        "xhyve: raw device support unimplemented: Undefined error: 0\n",
        "",
    ),
    ("ahci-hd", "disk,sectorsize=513", "Invalid sector size 513/513\n", ""),
    ("ahci-hd", "disk,sectorsize=256", "Invalid sector size 256/256\n", ""),
    ("ahci-hd", "disk,sectorsize=4096/512", "Invalid sector size 4096/512\n", ""),
]


@pytest.mark.parametrize(("emulation", "config", "err", "out"), DISKS)
def test_disks_that_do_not_start(
    xhyve: Double, emulation: str, config: str | None, err: str, out: str
) -> None:
    (xhyve.home / "disk").write_bytes(bytes(512))
    device = emulation if config is None else f"{emulation},{config}"

    ran = xhyve.run("-s", f"4,{device}", *xhyve.boots)

    assert (ran.status, ran.err, ran.out) == (1, err, out)


@pytest.mark.parametrize("config", ["disk", "disk,ro", "disk,sync,sectorsize=512/4096", "link"])
def test_disks_that_start(xhyve: Double, config: str) -> None:
    (xhyve.home / "disk").write_bytes(bytes(512))
    (xhyve.home / "link").symlink_to("disk")

    ran = xhyve.run(*ACPI, "-s", f"4,virtio-blk,{config}", *xhyve.boots)

    assert (ran.status, ran.err) == (1, "")  # the guest powered off


def test_hyperkit_locks_its_disks(hyperkit: Double) -> None:
    (hyperkit.home / "disk").write_bytes(bytes(512))
    disk = ("-s", "4,ahci-hd,file://disk")
    hyperkit.start(*ACPI, *disk, "-F", str(hyperkit.pid_file), *hyperkit.boots, script="")
    await_file(hyperkit.pid_file)
    ran = hyperkit.run(*ACPI, *disk, *hyperkit.boots)
    while ran.status == 0:  # the pid file is there before the disk
        ran = hyperkit.run(*ACPI, *disk, *hyperkit.boots)

    said = "Could not lock backing file: Resource temporarily unavailable\n"
    assert (ran.status, ran.err) == (1, said)


def test_two_of_xhyve_on_one_disk_are_not_noticed(xhyve: Double) -> None:
    (xhyve.home / "disk").write_bytes(bytes(512))
    words = (*ACPI, "-s", "4,ahci-hd,disk", "-s", "5,ahci-hd,disk", *xhyve.boots)

    assert xhyve.run(*words).err == ""


DEVICES = [
    (("-s", "30,lpc", "-s", "31,lpc"), "Only one LPC bridge is allowed.\n"),
    (("-s", "1:31:0,lpc"), "LPC bridge can be present only on bus 0.\n"),
    (("-s", "5,fbuf,tcp=0:5900", "-s", "6,fbuf,wait"), "Only one frame buffer device is allowed.\n"),
    (("-s", "5,fbuf,vga=yes"), 'Invalid fbuf emulation "vga=yes"\r\n'),
    (("-s", "5,virtio-tap,tap0,mac=1:2"), "Invalid MAC 1:2\n"),
    (
        ("-s", "1:1:0,dummy"),
        (
            "MPtable is incompatible with multiple PCI hierarchies.\r\n"
            "MPtable generation can be disabled by passing the -Y option to bhyve(8).\r\n"
        ),
    ),
    (("-m", "0"), "mptable requires mapped mem\n"),
    (("-m", "1020k"), "mptable requires mapped mem\n"),
    (("-l", "com1,file", "-s", "31,lpc"), "Unable to initialize backend 'file' for LPC device COM1\n"),
    (("-l", "com2,", "-s", "31,lpc"), "Unable to initialize backend '' for LPC device COM2\n"),
    (("-l", "com1,stdio,x", "-s", "31,lpc"), "Unable to initialize backend 'stdio,x' for LPC device COM1\n"),
    (
        ("-l", "com1,stdio", "-l", "com2,stdio", "-s", "31,lpc"),
        "Unable to initialize backend 'stdio' for LPC device COM2\n",
    ),
    (("-l", "bootrom,/none", "-s", "31,lpc"), 'Error opening bootrom "/none": No such file or directory\n'),
    (("-l", "bootrom,file", "-s", "31,lpc"), "Invalid bootrom size 3\n"),
    (("-l", "bootrom,rom", "-s", "31,lpc"), "Bootrom size 4097 is not a multiple of the page size\n"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said"), DEVICES)
def test_what_refuses_the_start(xhyve: Double, words: tuple[str, ...], said: str) -> None:
    (xhyve.home / "file").write_text("abc", encoding="utf-8")
    (xhyve.home / "rom").write_bytes(bytes(4097))

    ran = xhyve.run(*words, "-F", str(xhyve.pid_file), *xhyve.boots)

    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(said)
    assert not xhyve.pid_file.exists()


def test_devices_start_in_the_order_of_their_slots(xhyve: Double) -> None:
    ran = xhyve.run("-s", "4,ahci-hd,b", "-s", "3:1,ahci-cd", "-s", "3,dummy", *xhyve.boots)

    assert ran.err == "pci_ahci: backing device required\n"


CRASHES = [
    (("-A",), signal.SIGSEGV),
    (("-A", "-Yx", "-s", "1:1:0,dummy"), signal.SIGSEGV),
    (("-s", "5,fbuf"), signal.SIGSEGV),
    (("-U", "nonsense"), signal.SIGABRT),
    (("-m", "0", "-Yx"), signal.SIGABRT),
    (("-m", "4T"), signal.SIGABRT),
]


@pytest.mark.parametrize(("words", "number"), CRASHES)
def test_what_crashes(xhyve: Double, words: tuple[str, ...], number: signal.Signals) -> None:
    ran = xhyve.run(*words, *xhyve.boots)

    assert ran.status == -number
    assert list(xhyve.home.glob("core*")) == []


def test_acpi_has_one_bus(xhyve: Double) -> None:
    words = (*ACPI, "-Yx", "-s", "3:1:0,dummy", "-F", str(xhyve.pid_file), *xhyve.boots)

    ran = xhyve.run(*words)

    assert (ran.status, ran.err) == (255, "DSDT, unsupported PCI bus (3)\n")
    assert not xhyve.pid_file.exists()


INJECTED = [
    ("killed9", -signal.SIGKILL, "", ""),
    ("no-device", 1, "Unable to create VM (-85377018)\n",
     "vmx_init: processor not supported by Hypervisor.framework\n"),
    ("ctlreg", 1, "vmx_set_ctlreg: cap_field: 2 bit: 20 ", ""),
    ("hv-error", -signal.SIGABRT, "hv_vm_create HV_ERROR", ""),
    ("hv-denied", -signal.SIGABRT, "hv_vm_create unknown error -85377017\n", ""),
    ("hv-busy", -signal.SIGABRT, "hv_vm_create HV_BUSY\n", ""),
    ("vmnet", 1, "virtio_net: Could not create vmnet interface, ", ""),
]  # fmt: skip


@pytest.mark.parametrize(("failure", "status", "err", "out"), INJECTED)
def test_failures_on_demand(xhyve: Double, failure: str, status: int, err: str, out: str) -> None:
    ran = xhyve.run("-s", "2,virtio-net", *xhyve.boots, FAKE_XHYVE_FAIL=failure)

    assert (ran.status, ran.out) == (status, out)
    assert ran.err.startswith(err)


@pytest.mark.parametrize(("failure", "reason"), [("exit33", 33), ("triple", 2)])
def test_exits_of_the_guest_that_nobody_handles(xhyve: Double, failure: str, reason: int) -> None:
    ran = xhyve.run(*ACPI, "-F", str(xhyve.pid_file), *xhyve.boots, FAKE_XHYVE_FAIL=failure)

    assert ran.status == -signal.SIGABRT
    assert ran.err.startswith(VM_EXIT)
    assert f"\texit_reason\t{reason}\n" in ran.err
    assert xhyve.pid_file.exists()


@pytest.mark.parametrize(
    "setting", [{"FAIL": "nonsense"}, {"FLAVOUR": "v9"}, {"SCRIPT": "dance@1"}]
)
def test_a_personality_that_means_nothing_is_told(xhyve: Double, setting: dict[str, str]) -> None:
    ran = xhyve.run(
        *ACPI, *xhyve.boots, **{f"FAKE_XHYVE_{name}": setting[name] for name in setting}
    )

    assert ran.status == 70
    assert ran.err.startswith("fake xhyve: ")


def test_it_tells_where_it_differs_from_xhyve(xhyve: Double) -> None:
    ran = xhyve.run(FAKE_XHYVE_HELP="1")

    assert ran.status == 0
    assert "Where it differs from xhyve" in ran.out


@pytest.mark.parametrize("way", ["symlink", "itself"])
def test_it_runs_from_where_it_lies_and_under_another_name(xhyve: Double, way: str) -> None:
    itself = Path("tests/fakes/xhyve").resolve()
    program = xhyve.home / "hyperkit" if way == "symlink" else itself
    if way == "symlink":
        program.symlink_to(itself)
    xhyve.program = program

    ran = xhyve.run("-p", FAKE_XHYVE_FLAVOUR="")

    assert ran.status == 1
    assert ran.err.startswith(f"{program.name}: illegal option -- p\n")
    assert ran.out.startswith("Usage: hyperkit") == (way == "symlink")


def test_a_pty_carries_the_console_both_ways(xhyve: Double) -> None:
    hyper = Double(xhyve.home / "other", Flavour.HYPERKIT)
    link = hyper.home / "tty"
    words = (*LPC, "-l", f"com1,autopty={link}", *hyper.boots)
    started = hyper.start(*words, script="acpi; echo; say:hello")
    name = await_file(link)
    fd = os.open(name, os.O_RDWR | os.O_NOCTTY)

    seen = await_bytes(fd, b"hello\r\n")
    os.write(fd, b"ls\n")
    echoed = await_bytes(fd, b"ls\n")
    os.close(fd)
    started.terminate()
    status = started.wait(30)

    assert (seen, echoed) == (b"hello\r\n", b"ls\n")
    assert not link.is_symlink()
    out = (hyper.home / "out").read_text(encoding="utf-8")
    assert (status, out) == (0, f"linkname {link}\nCOM1 connected to {name}\n")


def test_on_a_terminal_lines_are_printed_at_once(xhyve: Double, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    words = (*LPC, "-l", "com1,autopty", *xhyve.boots)
    xhyve.start(*words, script="", stdout=theirs)

    seen = await_bytes(ours, b"\n")

    assert seen.startswith(b"COM1 connected to /dev/")


def test_an_abort_loses_what_stdout_still_held(xhyve: Double) -> None:
    ran = xhyve.run(*LPC, "-l", "com1,autopty", "-f", "kexec,/nowhere,,")

    assert (ran.status, ran.out) == (-signal.SIGABRT, "")
    assert ran.err == "kexec: failed to load kernel /nowhere\n"


def test_a_pid_file_that_is_gone_at_the_end_is_told(
    xhyve: Double, terminal: tuple[int, int]
) -> None:
    ours, theirs = terminal
    words = (*LPC, "-l", "com1,stdio", "-F", str(xhyve.pid_file), *xhyve.boots)
    started = xhyve.start(*words, script="acpi; say:up", stdin=theirs)
    await_bytes(ours, b"up\r\n")
    pid = int(xhyve.pid_file.read_text(encoding="utf-8"))

    xhyve.pid_file.unlink()
    started.terminate()
    status = started.wait(30)

    assert (status, pid) == (1, started.pid)
    assert (xhyve.home / "err").read_text(encoding="utf-8") == "Failed to remove pidfile\n"


def test_hyperkits_log_is_a_ring(hyperkit: Double) -> None:
    text = bytes(byte % 251 for byte in range(70_000))
    (hyperkit.home / "text").write_bytes(text)
    words = (*LPC, "-l", "com1,null,log=ring", *hyperkit.boots)

    ran = hyperkit.run(*words, script="file:text;die")

    ring = (hyperkit.home / "ring").read_bytes()
    assert ran.status == -signal.SIGABRT
    assert len(ring) == 65536
    assert ring == text[65536:] + text[len(text) - 65536 :][: 2 * 65536 - len(text)]


BACKENDS = [
    ("null", True), ("null,log=ring", True), ("log=ring", False), ("nothing", False),
    ("autopty,nothing", True), ("log=/nowhere/ring,null", False), ("null,log=/nowhere/ring", True),
    ("asl", True), ("autopty=/nowhere/tty", False),
]  # fmt: skip


@pytest.mark.parametrize(("backend", "starts"), BACKENDS)
def test_backends_of_hyperkit(hyperkit: Double, backend: str, starts: bool) -> None:
    ran = hyperkit.run(*LPC, "-l", f"com1,{backend}", *hyperkit.boots, script="say:x;poweroff")

    said = f"Unable to initialize backend '{backend.partition(',')[0]}' for LPC device COM1\n"
    assert ran.status == (0 if starts else 1)
    assert ran.err.endswith(said) == (not starts)


def test_a_terminal_is_raw_while_it_runs_and_restored_by_a_normal_end(
    xhyve: Double, terminal: tuple[int, int]
) -> None:
    ours, theirs = terminal
    before = termios.tcgetattr(theirs)
    words = (*LPC, "-l", "com1,stdio", *xhyve.boots)
    started = xhyve.start(*words, script="acpi; say:up", stdin=theirs)
    await_bytes(ours, b"up\r\n")

    during = termios.tcgetattr(theirs)
    started.terminate()
    status = started.wait(30)

    assert status == 1
    assert during[3] & (termios.ECHO | termios.ICANON | termios.ISIG) == 0
    assert termios.tcgetattr(theirs) == before


def test_a_terminal_stays_raw_after_a_kill(xhyve: Double, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    words = (*LPC, "-l", "com1,stdio", *xhyve.boots)
    started = xhyve.start(*words, script="say:up", stdin=theirs)
    await_bytes(ours, b"up\r\n")

    started.terminate()
    status = started.wait(30)

    assert status == -signal.SIGTERM
    assert termios.tcgetattr(theirs)[3] & termios.ECHO == 0


def test_the_console_reads_descriptor_zero(xhyve: Double, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    words = (*LPC, "-l", "com1,stdio", *xhyve.boots)
    xhyve.start(*words, script="echo; say:up", stdin=theirs)
    await_bytes(ours, b"up\r\n")

    os.write(ours, b"\x03root\r")

    assert await_bytes(ours, b"root\r") == b"\x03root\r"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE])
def test_signals_that_kill(
    xhyve: Double, terminal: tuple[int, int], number: signal.Signals
) -> None:
    ours, theirs = terminal
    words = (*LPC, "-l", "com1,stdio", "-F", str(xhyve.pid_file), *xhyve.boots)
    started = xhyve.start(*words, script="acpi; say:up", stdin=theirs)
    await_bytes(ours, b"up\r\n")

    started.send_signal(number)

    assert started.wait(30) == -number
    assert xhyve.pid_file.exists()


def test_hyperkit_pauses_and_goes_on(hyperkit: Double, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    words = (*LPC, "-l", "com1,stdio", *hyperkit.boots)
    started = hyperkit.start(*words, script="acpi; echo; say:up", stdin=theirs)
    await_bytes(ours, b"up\r\n")

    started.send_signal(signal.SIGUSR1)
    started.send_signal(signal.SIGPIPE)
    started.send_signal(signal.SIGUSR2)
    os.write(ours, b"still here\r")
    echoed = await_bytes(ours, b"here\r")
    started.terminate()

    assert started.wait(30) == 0
    assert echoed == b"still here\r"
    out = (hyperkit.home / "out").read_text(encoding="utf-8")
    assert out == "received sigusr1, pausing\nreceived sigusr2, unpausing\n"


def test_a_guest_that_is_deaf_ignores_its_button(xhyve: Double, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    words = (*LPC, "-l", "com1,stdio", *xhyve.boots)
    started = xhyve.start(*words, script="deaf; echo; say:up", stdin=theirs)
    await_bytes(ours, b"up\r\n")

    started.terminate()
    os.write(ours, b"hm\r")

    assert await_bytes(ours, b"hm\r") == b"hm\r"
    assert started.poll() is None


@pytest.mark.parametrize(("cmdline", "status"), [("panic=1", 0), ("panic=-1", 0)])
def test_a_panic_that_reboots(xhyve: Double, cmdline: str, status: int) -> None:
    ran = xhyve.run(*ACPI, "-f", f"kexec,{xhyve.kernel},,{cmdline}", script="panic")

    assert ran.status == status


def test_a_triple_fault_later_aborts(xhyve: Double) -> None:
    ran = xhyve.run(*LPC, "-l", "com1", *xhyve.boots, script="say:hm; die@0.1")

    assert ran.status == -signal.SIGABRT
    assert "\texit_reason\t2\n" in ran.err


def test_with_descriptor_zero_closed_a_disk_takes_it_and_the_console_writes_there(
    xhyve: Double,
) -> None:
    disk = xhyve.home / "disk"
    disk.write_bytes(b"\0" * 512)
    words = [*LPC, "-s", "4,ahci-hd,disk", "-l", "com1,stdio", *xhyve.boots]

    pid = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", f'cd {xhyve.home} && exec "$@" <&-', "sh", str(xhyve.program), *words],
        xhyve.environment("say:oops;poweroff"),
    )
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 1
    assert b"oops\r\n" in disk.read_bytes()


def test_settings_may_stand_in_the_program_itself(xhyve: Double) -> None:
    install(xhyve.program.parent, settings={"FAKE_XHYVE_FLAVOUR": "v0.2.0"})

    ran = xhyve.run("-M")

    assert ran.err.startswith("xhyve: illegal option -- M\n")


def test_a_guest_of_a_script_gets_an_address(xhyve: Double) -> None:
    words = ("-A", "-s", "2,virtio-net", "-U", "00112233-4455-6677-8899-aabbccddeeff")
    script = "lease:127.64.0.7 tiny; err:rdmsr to register 0x140 on vcpu 0; poweroff"

    ran = xhyve.run(*words, *xhyve.boots, script=script)

    leases = (xhyve.home / "state" / "dhcpd_leases").read_text(encoding="utf-8")
    assert (ran.status, ran.err) == (1, "rdmsr to register 0x140 on vcpu 0\n")
    assert leases.startswith("{\n\tname=tiny\n\tip_address=127.64.0.7\n\thw_address=1,")


def test_a_console_that_nobody_reads_holds_up_nothing(
    xhyve: Double, terminal: tuple[int, int]
) -> None:
    ours, theirs = terminal
    (xhyve.home / "text").write_bytes(b"x" * 300_000)
    words = (*LPC, "-l", "com1,stdio", "-l", "com2,autopty", *xhyve.boots)

    started = xhyve.start(*words, script="file:text; file2:text; poweroff", stdin=theirs)

    assert started.wait(30) == 1
    assert 0 < len(await_bytes(ours, b"x")) < 300_000


def test_a_console_that_is_read_is_whole(xhyve: Double, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    text = b"".join(b"line %d\r\n" % number for number in range(20_000))
    (xhyve.home / "text").write_bytes(text)
    words = (*LPC, "-l", "com1,stdio", *xhyve.boots)

    xhyve.start(*words, script="file:text; poweroff", stdin=theirs)

    assert await_bytes(ours, b"Power down\r\n") == text + b"reboot: Power down\r\n"


def test_a_folder_that_cannot_be_written_is_the_doubles_own_failure(xhyve: Double) -> None:
    (xhyve.home / "state").touch()

    ran = xhyve.run("-s", "2,virtio-net", *xhyve.boots)

    assert ran.status == 70


def test_a_boot_rom_that_no_bridge_shows_is_no_firmware_and_no_error(xhyve: Double) -> None:
    words = (*ACPI, "-l", "bootrom,/nowhere", "-F", str(xhyve.pid_file))
    started = xhyve.start(*words, script="poweroff")
    await_file(xhyve.pid_file)

    started.send_signal(signal.SIGINT)

    assert started.wait(30) == -signal.SIGINT
