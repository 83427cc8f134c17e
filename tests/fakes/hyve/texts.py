"""What xhyve and hyperkit print, where it is more than a line."""

from __future__ import annotations

from tests.fakes.hyve.model import Flavour

VMNET = "virtio_net: Could not create vmnet interface, permission denied or no entitlement?\n"
NO_DEVICE = "vmx_init: processor not supported by Hypervisor.framework\n"
VERSIONS = {
    Flavour.HEAD: "v0.2.0-164-gdfbe09b",
    Flavour.OLD: "v0.2.0",
    Flavour.HYPERKIT: "0.20210107",
}

_XHYVE_SYNTAX = """Invalid firmware argument
    -f kexec,'kernel','initrd','"cmdline"'
    -f fbsd,'userboot','boot volume','"kernel env"'
"""
FIRMWARE_SYNTAX = {
    Flavour.HEAD: _XHYVE_SYNTAX,
    Flavour.OLD: _XHYVE_SYNTAX,
    Flavour.HYPERKIT: """Invalid firmware argument
    -f kexec,'kernel'[,'initrd'][,'"cmdline"']
    -f fbsd,'userboot','boot volume'[,'"kernel env"']
    -f bootrom,'ROM'
    -f multiboot,'kernel'[,module[;cmdline][:module[;cmdline]]...][,cmdline]
""",
}

# The letters are those of the real programs, quirks included; the words beside them are not.
_OPTIONS = (
    ("A", "ACPI tables for the guest"),
    ("c", "how many vcpus (1 when not given)"),
    ("C", "guest memory goes into core files"),
    ("e", "an unknown I/O port ends the guest"),
    ("f", "what to boot, and how"),
    ("F", "file for the process id"),
    ("g", "port of the debugger"),
    ("h", "this text"),
    ("H", "leave the guest when it executes hlt"),
    ("l", "a device behind the LPC bridge"),
    ("m", "memory, in MB"),
    ("M", "print the MAC address of vmnet, then exit"),
    ("p", "pin a vcpu to a cpu of the host"),
    ("P", "leave the guest when it executes pause"),
    ("s", "<slot,driver,configinfo> a PCI device"),
    ("u", "the RTC holds UTC"),
    ("U", "uuid"),
    ("v", "the version"),
    ("w", "unknown MSRs are ignored"),
    ("W", "virtio without MSI-X"),
    ("x", "local APIC in x2APIC mode"),
    ("Y", "no MP table"),
)


def usage(prog: str, flavour: Flavour) -> str:
    old = flavour is Flavour.OLD
    flags = "behuwxACHPWY" if old else "behuwxMACHPWY"
    pid_file = "" if old else " [-F <pidfile>]"
    missing = {Flavour.OLD: "FM", Flavour.HYPERKIT: "Mp"}.get(flavour, "")
    lines = [
        f"Usage: {prog} [-{flags}] [-c vcpus]{pid_file} [-g <gdb port>] [-l <lpc>]",
        f"       {'':{len(prog)}} [-m mem] [-p vcpu:hostcpu] [-s <pci>] [-U uuid] -f <fw>",
    ]
    lines += [f"       -{letter}: {said}" for letter, said in _OPTIONS if letter not in missing]
    return "\n".join(lines) + "\n"


def help_of(prog: str, flavour: Flavour) -> str:
    """What -h prints on stderr: of hyperkit one line only (its usage is for errors, on stdout)."""
    if flavour is Flavour.HYPERKIT:
        return f"Try '{prog} --help' for more information.\n"
    return usage(prog, flavour)


def version(prog: str, flavour: Flavour) -> str:
    if flavour is Flavour.HYPERKIT:
        return (
            f"{prog}: {VERSIONS[flavour]}\n\nHomepage: https://github.com/docker/hyperkit\n"
            "License: BSD\n\n"
        )
    return (
        f"{prog}: {VERSIONS[flavour]}\n\nA hypervisor for OS X, ported from FreeBSD's bhyve.\n\n"
        "Homepage: https://github.com/mist64/xhyve\nLicense: BSD\n\n"
    )


def vm_exit(reason: int, rip: int) -> str:
    """xhyve src/xhyve.c:418-432."""
    return (
        "vm exit[0]\n"
        "\treason\t\tVMX\n"
        f"\trip\t\t0x{rip:016x}\n"
        "\tinst_length\t0\n"
        "\tstatus\t\t0\n"
        f"\texit_reason\t{reason}\n"
        f"\tqualification\t0x{0:016x}\n"
        "\tinst_type\t\t0\n"
        "\tinst_error\t\t0\n"
    )


DEVIATIONS = """fake xhyve: parses, prints and ends as xhyve does, and boots the guest with QEMU.

What it is comes from its environment:
  FAKE_XHYVE_FLAVOUR   head, v0.2.0, hyperkit (default: head; hyperkit when called so)
  FAKE_XHYVE_STATE     folder for locks, MAC addresses, sockets
  FAKE_XHYVE_LEASES    the leases file (default: dhcpd_leases in the state)
  FAKE_XHYVE_ROOT      1: as if root, 0: as if not (default: what it is)
  FAKE_XHYVE_NET       user, tap:BRIDGE, none
  FAKE_XHYVE_ACCEL     tcg, kvm
  FAKE_XHYVE_QEMU      the program; FAKE_XHYVE_QEMU_ARGS: more words for it
  FAKE_XHYVE_FAIL      by comma: no-device hv-error hv-denied hv-busy ctlreg vmnet killed9
                       exit33 triple no-lease late-lease=N dup-lease duid
  FAKE_XHYVE_BOOT      0: no guest; one that acts FAKE_XHYVE_SCRIPT (or what stands here instead
                       of 0), actions by ";", each at a second since start:
    poweroff@3 reboot@2 halt@1 panic@1 die@1    ends (panic: spins for ever)
    acpi@0.5          from then on SIGTERM presses a button, and it powers off
    deaf@0.5          as acpi, but nobody listens to the button
    say@1:TEXT        prints a line on COM1 (say2: COM2); file@1:PATH prints a file
    echo@0            prints what COM1 receives
    err@1:TEXT        a line on stderr, as of the hypervisor itself
    lease@1:IP NAME   the guest has that address: an entry in the leases file
  FAKE_XHYVE_HELP      1: this text

Where it differs from xhyve, knowingly:
  - more than 3 GiB of memory is split elsewhere; SeaBIOS runs first
  - PCI ids of AHCI and of the bridges are QEMU's, and so are the ACPI tables
  - a triple fault cannot be told from a reboot
  - -l bootrom and the loaders fbsd, bootrom and multiboot end with a message of its own
  - virtio-tap, fbuf, uart, dummy, 9p, sock and vpnkit are checked, and then not there
  - -b, -g and -x are accepted and do nothing
  - no privileges are dropped: what root opens, root opens to the end
  - usage and version are worded differently; their first lines are the same
  - more memory than the host has is refused from 1 TiB on only
  - hyperkit: no qcow2, asl writes nowhere, pause stops QEMU
"""
