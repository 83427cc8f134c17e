"""QEMU: the hypervisor that runs everywhere."""
