"""qcow2 images: judging one, reading one, and making an empty one over a backing file."""

from __future__ import annotations

from vagrantish.formats.qcow2.header import (
    HEADER_BYTES,
    MAGIC,
    Header,
    Qcow2Error,
    check_standalone,
    parse,
    virtual_size,
)
from vagrantish.formats.qcow2.overlay import create_overlay, overlay_bytes

__all__ = [
    "HEADER_BYTES",
    "MAGIC",
    "Header",
    "Qcow2Error",
    "check_standalone",
    "create_overlay",
    "overlay_bytes",
    "parse",
    "virtual_size",
]
