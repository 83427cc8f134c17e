"""What the doubles tell about themselves."""

from __future__ import annotations

HELP = """fake bhyve, grub-bhyve, bhyveload, bhyvectl, ifconfig: they check their command lines as the
real ones do, keep /dev/vmm and the interfaces as files, and bhyve boots the guest with QEMU.

What they are comes from their environment:
  FAKE_BHYVE_STATE    folder for what the kernel would keep
  FAKE_BHYVE_ROOT     1: as if root, 0: as if not (default: what it is)
  FAKE_BHYVE_LEASES   dnsmasq's leases file (default: dnsmasq.leases in the state)
  FAKE_BHYVE_NET, _ACCEL, _QEMU, _QEMU_ARGS, _SSH_PORT, _BOOT, _SCRIPT
                      as those of fake xhyve: FAKE_XHYVE_HELP=1 tests/fakes/xhyve tells
  FAKE_BHYVE_HELP     1: this text

Where they differ from the real ones, knowingly:
  - bridge0 is there from the start, and guests reach the host whatever is in it
  - what bhyveload loaded, and UEFI, are only acted (FAKE_BHYVE_BOOT=0)
  - grub-bhyve knows linux, initrd, boot and exit; where it would ask, it ends with 70
  - bhyve run again on a machine that was not loaded again ends with 4 and words of its own
  - com1 and com2 have stdio or a terminal's path behind them; tcp= is refused
  - PCI ids of bridges, ACPI tables and the firmware before the kernel are QEMU's
  - -k, -o, -p, -G, -r and -f are accepted and do nothing
"""
