"""An initramfs in the place of Alpine's: it shows on the console what it was started with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.formats import cpio

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.images_root import Root

# In the order they load; a name that this kernel has built in is passed over.
MODULES = (
    "virtio", "virtio_ring", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
    "failover", "net_failover", "virtio_net", "virtio_blk",
)  # fmt: skip
INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
for module in {modules}; do /bin/busybox insmod /modules/$module.ko; done
/bin/busybox ip link set eth0 up
echo "netboot: command line $(/bin/busybox cat /proc/cmdline)"
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in apkovl=*) /bin/busybox tar -tzf "${{word#apkovl=}}" | /bin/busybox sed 's/^/netboot: overlay /' ;; esac
done
echo "netboot: reached the end of init"
/bin/busybox poweroff -f
"""


def initramfs(root: Root) -> bytes:
    found = _modules(root.tree / "usr/lib/modules" / root.version)
    names = [name for name in MODULES if name in found]
    entries = [
        cpio.char_device("dev/console", 5, 1),
        *(cpio.directory(name) for name in ("proc", "sys", "tmp")),
        cpio.file("bin/busybox", (root.tree / "usr/bin/busybox").read_bytes(), mode=0o755),
        cpio.file("init", INIT.format(modules=" ".join(names)).encode(), mode=0o755),
        *(cpio.file(f"modules/{name}.ko", found[name].read_bytes()) for name in names),
    ]
    return cpio.archive(cpio.with_parents(entries))


def _modules(folder: Path) -> dict[str, Path]:
    return {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
