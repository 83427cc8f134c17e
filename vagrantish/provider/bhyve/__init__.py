"""bhyve: FreeBSD's own hypervisor."""
