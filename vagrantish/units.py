"""Sizes and durations as people write them."""

from __future__ import annotations

import re

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

_SIZES = {
    "B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip
_DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def parse_size(text: str) -> int:
    """``"1.5GiB"`` → bytes. Raises ValueError, its text fit for the user."""
    number, unit = _split(text)
    if not unit:
        raise ValueError(f'"{text}" has no unit: write "{text}MiB" or "{text}GiB"')
    if unit not in _SIZES:
        raise ValueError(
            f'unknown unit "{unit}" in "{text}": use KiB, MiB, GiB, TiB, kB, MB, GB or TB'
        )
    size = number * _SIZES[unit]
    if size != int(size):
        raise ValueError(f'"{text}" is not a whole number of bytes')
    return int(size)


def parse_duration(text: str) -> float:
    """``"90s"``, ``"5m"`` → seconds. Raises ValueError, its text fit for the user."""
    number, unit = _split(text)
    if not unit:
        raise ValueError(f'"{text}" has no unit: write "{text}s" or "{text}m"')
    if unit not in _DURATIONS:
        raise ValueError(f'unknown unit "{unit}" in "{text}": use ms, s, m or h')
    return number * _DURATIONS[unit]


def format_size(size_bytes: int) -> str:
    """The shortest exact or one-decimal binary form: ``1GiB``, ``4.1MiB``."""
    for unit, factor in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size_bytes >= factor:
            whole, rest = divmod(size_bytes, factor)
            return f"{whole}{unit}" if rest == 0 else f"{size_bytes / factor:.1f}{unit}"
    return f"{size_bytes}B"


def whole_sectors(size_bytes: int) -> int:
    """Rounded up to what a disk is counted in."""
    return -(-size_bytes // 512) * 512


def format_duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _split(text: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise ValueError(f'"{text}" is not a number with a unit')
    return float(match[1]), match[2]
