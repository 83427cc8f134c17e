"""zstd: Python's own from 3.14 on, before that the same code as a package."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

__all__ = ["ZstdDecompressor", "ZstdError", "decompressor"]


def decompressor(window_log_max: int) -> ZstdDecompressor:
    """For one frame that wants at most 2^``window_log_max`` bytes of memory, else ZstdError."""
    return ZstdDecompressor(options={DecompressionParameter.window_log_max: window_log_max})
