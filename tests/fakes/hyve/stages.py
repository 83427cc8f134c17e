"""What xhyve does between its command line and its guest, devices aside."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.fakes.hyve import texts
from tests.fakes.hyve.kexec import Loading, loading_of
from tests.fakes.hyve.model import CommandLine, Firmware, Flavour
from tests.fakes.hyve.nic import canonical_uuid

if TYPE_CHECKING:
    from tests.fakes.hyve.personality import Personality
    from tests.fakes.hyve.process import Process

MAX_CPUS = 16
_MIB = 1 << 20
_MEMORY_LIMIT = 1 << 40
_HV_ERRORS = {
    "hv-error": "hv_vm_create HV_ERROR (unspecified error)\n",
    "hv-denied": "hv_vm_create unknown error -85377017\n",
    "hv-busy": "hv_vm_create HV_BUSY\n",
}
_NO_DEVICE_CODE = -85377018
# rip of the invalid guest state that v0.2.0 dies of, with kernels since 4.10
_EXITS = {"exit33": (33, 0x9E019), "triple": (2, 0x1000000)}


def make_vm(line: CommandLine, personality: Personality, process: Process) -> None:
    if personality.flavour is Flavour.HYPERKIT:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for failure in personality.failures:
        if failure in _HV_ERRORS:
            old = personality.flavour is Flavour.OLD
            process.print_err("hv_vm_create failed\n" if old else _HV_ERRORS[failure])
            process.abort()
    if "no-device" in personality.failures:
        process.print_out(texts.NO_DEVICE)
    problem = _vm_problem(line, personality)
    if problem:
        process.print_err(f"{problem}\n")
        process.exit(1)
    if line.memory_bytes >= _MEMORY_LIMIT:
        process.print_err("vmm_mem_alloc failed\n")
        process.abort()


def _vm_problem(line: CommandLine, personality: Personality) -> str:
    if "no-device" in personality.failures:
        return f"Unable to create VM ({_NO_DEVICE_CODE})"
    if "ctlreg" in personality.failures:
        return "vmx_set_ctlreg: cap_field: 2 bit: 20 must be zero\nUnable to create VM (22)"
    if line.cpus < 1:
        return f"Invalid guest vCPUs ({line.cpus})"
    if line.cpus > MAX_CPUS:
        return f"{line.cpus} vCPUs requested but only {MAX_CPUS} available"
    return "Unable to setup memory (22)" if line.memory_bytes % 4096 else ""


def write_pid_file(line: CommandLine, process: Process) -> None:
    path = line.pid_file
    if path is None:
        return
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except (OSError, ValueError):
        process.print_err("Failed to set up pidfile\npidfile error -1\n")
        process.exit(1)
    process.at_exit(lambda: _remove_pid_file(path, process))
    os.write(fd, str(os.getpid()).encode())
    os.close(fd)


def _remove_pid_file(path: str, process: Process) -> None:
    try:
        os.unlink(path)
    except OSError:
        process.print_err("Failed to remove pidfile\n")


def make_tables(line: CommandLine, process: Process) -> None:
    """MP table, SMBIOS, ACPI: what of the slots and the memory does not suit them."""
    buses = {slot.bus for slot in line.slots}
    problem, status = "", 1
    if line.mptable and line.memory_bytes < _MIB:
        problem = "mptable requires mapped mem\n"
    elif line.mptable and buses - {0}:
        problem = (
            "MPtable is incompatible with multiple PCI hierarchies.\r\n"
            "MPtable generation can be disabled by passing the -Y option to bhyve(8).\r\n"
        )
    elif line.memory_bytes < _MIB or (line.uuid and canonical_uuid(line.uuid) is None):
        process.print_err("Assertion failed: (error == 0), function main, file src/xhyve.c.\n")
        process.abort()
    elif line.acpi and 0 not in buses:
        process.die_by(signal.SIGSEGV)
    elif line.acpi and buses - {0}:
        problem, status = f"DSDT, unsupported PCI bus ({min(buses - {0})})\n", 255
    if problem:
        process.print_err(problem)
        process.exit(status)


def load(line: CommandLine, personality: Personality, process: Process) -> None:
    """What the first vcpu's thread does before the guest runs."""
    dump = None
    if line.firmware is not None and line.firmware.loader == "kexec":
        loading = loading_of(line.firmware, line.memory_bytes, personality.flavour)
        if loading in {Loading.BAD_KERNEL, Loading.BAD_INITRD}:
            kernel = loading is Loading.BAD_KERNEL
            what = ("kernel", line.firmware.kernel) if kernel else ("initrd", line.firmware.initrd)
            process.print_err(f"kexec: failed to load {what[0]} {what[1]}\n")
            process.abort()
        if loading is Loading.OVERLAP:
            dump = _EXITS["triple"]
    elif line.firmware is not None and line.firmware.loader == "fbsd":
        _load_fbsd(line.firmware, process)
    for failure in personality.failures:
        dump = _EXITS.get(failure, dump)
    if dump is not None:
        process.print_err(texts.vm_exit(*dump))
        process.abort()


def _load_fbsd(firmware: Firmware, process: Process) -> None:
    problem = ""
    if not firmware.initrd:
        problem = "fbsd: no boot volume"
    elif not os.path.exists(firmware.kernel):
        problem = f"dlopen({firmware.kernel}, 1): image not found"
    if problem:
        process.print_err(f"{problem}\n")
        process.exit(255)
