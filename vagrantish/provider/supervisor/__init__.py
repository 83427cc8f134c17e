"""A small process of ours beside a hypervisor that cannot live without one (docs/adr/0010)."""
