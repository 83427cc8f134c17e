"""First-boot data: what vx tells a guest before it starts."""
