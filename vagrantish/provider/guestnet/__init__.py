"""Where a guest is that got its address from the host's own DHCP server."""
