"""Stand-ins for bhyve, its loaders, bhyvectl and ifconfig that run on Linux: they check their
command lines as the real ones do, keep the kernel's objects as files, and boot with QEMU."""
