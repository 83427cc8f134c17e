"""vx: light virtual machines described by one file per project."""

__version__ = "0.1.0"
