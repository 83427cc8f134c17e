"""File formats vx reads and writes itself; pure bytes in, bytes or values out."""
