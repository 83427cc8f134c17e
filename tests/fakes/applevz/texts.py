"""What the double tells about itself."""

from __future__ import annotations

HELP = """fake vfkit: checks its command line as vfkit does, and boots the guest with QEMU.

What it is comes from its environment:
  FAKE_VFKIT_ARCH     x86_64, arm64: of the Mac (default: x86_64); with arm64 nothing real boots
  FAKE_VFKIT_FAIL     hardstop: that change is refused
  FAKE_VFKIT_STATE, _LEASES, _NET, _ACCEL, _QEMU, _QEMU_ARGS, _SSH_PORT, _BOOT, _SCRIPT
                      as those of fake xhyve: FAKE_XHYVE_HELP=1 tests/fakes/xhyve tells
  FAKE_VFKIT_HELP     1: this text

Where it differs from vfkit, knowingly:
  - the guest has a serial port ttyS0 and no hvc0: where the last console word of the kernel is
    hvc0, it is made ttyS0; where it is another, the log stays empty as it would on a Mac
  - PCI addresses, ACPI tables and the firmware before the kernel are QEMU's
  - efi, tcp:// and the consoles stdio and pty are checked, and then end with a message of its own
  - devices other than disks, network, entropy and console are checked, and then not there
"""
