"""Starts QEMU detached, and settles which host ports the machine gets."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish import locks
from vagrantish.errors import MachineBusy, ProviderError
from vagrantish.files import host_errors, make_dir, write_atomic
from vagrantish.model import Address
from vagrantish.provider import child, hostports, running
from vagrantish.provider.base import Started
from vagrantish.provider.qemu import errors, ports
from vagrantish.provider.qemu.argv import qemu_argv, rule_of, wanted_forwards
from vagrantish.provider.qemu.qmp import Qmp, QmpError
from vagrantish.provider.qemu.stop import kill, remove_leftovers
from vagrantish.units import format_size
from vagrantish.wait import poll_until

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.model import Forward, VmSpec
    from vagrantish.paths import MachineLayout
    from vagrantish.proc import ProcessIdentity
    from vagrantish.provider.base import HostFacts

_START_S = 30.0
_QMP_S = 5.0
_ATTEMPTS = 50
_STRAY_S = 0.5


def start(vm: VmSpec, host: HostFacts, *, op: Op) -> Started:
    """Raises MachineBusy when it runs already, PortTaken, ProviderError; nothing is left running."""
    layout = vm.layout
    make_dir(layout.directory, mode=0o700)
    with locks.hold(layout.start_lock, what=f"the start of machine {vm.name}", op=op):
        process = running.find(layout)
        if process is not None:
            raise MachineBusy(
                f"machine {vm.name} is already running (pid {process.pid})",
                hint=f"Run `vx halt {vm.name}` first.",
            )
        _warn_of_memory(vm, op)
        _make_room(layout)
        try:
            return _start(vm, host, op)
        except MachineBusy:
            raise  # what holds the pid file is not ours to end
        except BaseException:
            _end_stray(layout)
            raise


def _start(vm: VmSpec, host: HostFacts, op: Op) -> Started:
    forwards, reasons = _spawn(vm, host, op)
    layout = vm.layout
    process = running.find_unnoted(layout)
    if process is None:
        raise ProviderError(
            f"QEMU ended right after it started machine {vm.name}",
            hint=f"`vx argv {vm.name}` prints the command to try by hand, without -daemonize.",
        )
    if any(forward.host == 0 for forward in forwards):
        forwards = _with_real_ports(vm, forwards)
    ssh, *others = forwards
    running.write_note(layout, running.note_of(process, (ssh.host_ip, ssh.host), tuple(others)))
    for index, (before, after) in enumerate(zip(wanted_forwards(vm), forwards, strict=True)):
        if before.host not in (0, after.host):
            purpose = "ssh" if index == 0 else f"guest port {after.guest}"
            op.note(
                f"Host port {before.host} {reasons.get(index, 'is taken')}: "
                f"{purpose} is at {after.host_ip}:{after.host} ({after.proto})"
            )
    return Started(
        process=process,
        address=Address(host=ssh.host_ip, port=ssh.host),
        forwards=tuple(others),
    )


def _spawn(vm: VmSpec, host: HostFacts, op: Op) -> tuple[tuple[Forward, ...], dict[int, str]]:
    """Run QEMU until it takes the ports: what it took, and why which ones were moved."""
    forwards = wanted_forwards(vm)
    reasons: dict[int, str] = {}
    tried: dict[int, list[int]] = {}
    while (index := hostports.clash(forwards)) is not None:
        reasons[index] = "is wanted twice by this machine"
        forwards = _moved(vm, forwards, index, 0, tried)
    refused_before = ""
    for _ in range(_ATTEMPTS):
        argv = (host.program, *qemu_argv(vm, host, forwards))
        finished = child.run(argv, timeout_s=_START_S, cancel=op.cancel)
        log = f"$ {shlex.join(argv)}\n{finished.output}\n"
        write_atomic(vm.layout.provider_log, log.encode(), mode=0o600)
        if finished.status == 0:
            return forwards, reasons
        if finished.status is None:
            raise ProviderError(
                f"QEMU did not come up within {_START_S:g} s for machine {vm.name}",
                hint=f"See {vm.layout.provider_log}; is a disk on a slow network drive?",
            )
        rule = ports.refused_rule(finished.output)
        index = next((i for i, f in enumerate(forwards) if rule_of(f) == rule), None)
        if index is None:
            raise errors.translate(
                finished.output, finished.status, vm, program=host.program, accel=host.accel
            )
        error = hostports.bind_error(forwards[index])
        if error == 0 and refused_before != rule:
            refused_before = rule or ""
            continue  # whoever had it let go in between
        reasons[index] = f"is taken by {hostports.holder(forwards[index])}"
        if hostports.is_reserved(error):
            reasons[index] = "is reserved for root"
        forwards = _moved(vm, forwards, index, error, tried)
    raise ProviderError(
        f"QEMU was refused {_ATTEMPTS} times the ports of machine {vm.name}",
        hint="Set `host = 0` in its [[forward]] tables to take any free port.",
    )


def _moved(
    vm: VmSpec,
    forwards: tuple[Forward, ...],
    index: int,
    error: int,
    tried: dict[int, list[int]],
) -> tuple[Forward, ...]:
    """``forwards`` with the one at ``index`` on another port. Raises PortTaken when it may not."""
    forward = forwards[index]
    others = forwards[:index] + forwards[index + 1 :]
    if not forward.auto or hostports.is_hopeless(error):
        twin = next((f for f in others if hostports.overlap(forward, f)), None)
        raise hostports.refusal(forward, error, machine=vm.name, is_ssh=index == 0, twin=twin)
    mine = tried.setdefault(index, [])
    mine.append(forward.host)
    if index == 0:
        moved = replace(forward, host=0)
    else:
        moved = hostports.replacement(forward, error, others=others, tried=mine)
    return (*forwards[:index], moved, *forwards[index + 1 :])


def _make_room(layout: MachineLayout) -> None:
    """Clear what the last run left, save its pid file.

    QEMU locks that one, so even one that a killed vx is just starting keeps a second out; QEMU
    itself replaces a stale pid file and stale sockets.
    """
    with host_errors(f"clear {layout.directory}"):
        layout.process.unlink(missing_ok=True)
        if layout.console_log.exists() and layout.console_log.stat().st_size:
            os.replace(layout.console_log, layout.previous_console_log)


def _with_real_ports(vm: VmSpec, forwards: tuple[Forward, ...]) -> tuple[Forward, ...]:
    with Qmp(vm.layout.qmp_socket, timeout_s=_QMP_S) as qmp:
        listing = qmp.monitor("info usernet")
    answer = ports.resolve(forwards, ports.parse_usernet(listing))
    for forward in answer:
        if forward.host == 0:
            raise QmpError(f"QEMU does not say which host port it took for {rule_of(forward)}")
    return answer


def _end_stray(layout: MachineLayout) -> None:
    """After a start that failed or was broken off: nothing of it may go on."""
    # One whose starter was killed ends by itself, or shows up in its pid file very soon.
    process = running.find(layout)
    if process is None and layout.pid_file.exists():
        process = _wait_for_stray(layout)
    if process is not None:
        kill(process)
    remove_leftovers(layout)


def _wait_for_stray(layout: MachineLayout) -> ProcessIdentity | None:
    from vagrantish.events import Cancel

    return poll_until(
        lambda: running.find(layout), timeout_s=_STRAY_S, interval_s=0.02, cancel=Cancel()
    )


def _warn_of_memory(vm: VmSpec, op: Op) -> None:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if vm.memory_bytes > total:
        op.warn(
            f"machine {vm.name} gets {format_size(vm.memory_bytes)} of memory, but this host has "
            f"only {format_size(total)}: it may become very slow or be ended by the system"
        )
