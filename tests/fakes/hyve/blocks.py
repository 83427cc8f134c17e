"""Disk images, opened as xhyve opens them."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.fakes.hyve.model import Flavour

if TYPE_CHECKING:
    from tests.fakes.hyve.process import Process

NO_ERROR = "Undefined error: 0"  # perror of macOS when nothing failed
_PLAIN: dict[str, dict[str, Any]] = {
    "nocache": {"nocache": True},
    "sync": {"sync": True},
    "direct": {"sync": True},
    "ro": {"read_only": True},
}


@dataclass(frozen=True, kw_only=True)
class BlockOptions:
    path: str
    read_only: bool = False
    sync: bool = False
    nocache: bool = False
    sectors: tuple[int, int] | None = None  # logical, physical


class InvalidOption(ValueError):
    pass


def block_options(config: str, flavour: Flavour) -> BlockOptions:
    """xhyve src/block_if.c:417-450; qcow2's options are hyperkit's. Raises InvalidOption."""
    path, *words = config.split(",")
    hyperkit = flavour is Flavour.HYPERKIT
    options = BlockOptions(path=path.removeprefix("file://") if hyperkit else path)
    for word in words:
        size = re.match(r"sectorsize=\s*([+-]?\d+)(?:/\s*([+-]?\d+))?", word, re.ASCII)
        if word in _PLAIN:
            options = replace(options, **_PLAIN[word])
        elif size:
            logical = int(size[1])
            physical = int(size[2]) if size[2] is not None else logical
            options = replace(options, sectors=(logical, physical))
        elif not (hyperkit and word.startswith(("format=", "qcow-config="))):
            raise InvalidOption(word)
    return options


def open_image(config: str, flavour: Flavour, process: Process) -> tuple[int, str]:
    """A descriptor that stays open as xhyve's does (or -1), and the error that failed last."""
    try:
        options = block_options(config, flavour)
    except InvalidOption as error:
        process.print_err(f'Invalid device option "{error}"\n')
        return -1, NO_ERROR
    if options.nocache:
        process.print_err(f"xhyve: nocache support unimplemented: {NO_ERROR}\n")
        return -1, NO_ERROR
    try:
        fd, read_only = _open(options)
    except OSError as error:
        problem = os.strerror(error.errno or 0)
        process.print_err(f"Could not open backing file: {problem}\n")
        return -1, problem
    unfit = _problem(fd, read_only, options, flavour)
    if unfit:
        os.close(fd)
        process.print_err(f"{unfit[0]}\n")
        return -1, unfit[1]
    return fd, NO_ERROR


def _open(options: BlockOptions) -> tuple[int, bool]:
    extra = os.O_SYNC if options.sync else 0
    if not options.read_only:
        try:
            return os.open(options.path, os.O_RDWR | extra), False
        except OSError:
            pass
    return os.open(options.path, os.O_RDONLY | extra), True


def _problem(
    fd: int, read_only: bool, options: BlockOptions, flavour: Flavour
) -> tuple[str, str] | None:
    """What is printed, and the error that stands in errno then."""
    hyperkit = flavour is Flavour.HYPERKIT
    if hyperkit:
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            problem = os.strerror(error.errno or 0)
            return f"Could not lock backing file: {problem}", problem
    if stat.S_ISCHR(os.fstat(fd).st_mode) and not hyperkit:
        return f"xhyve: raw device support unimplemented: {NO_ERROR}", NO_ERROR
    if options.sectors and options.sectors[0]:
        logical, physical = options.sectors
        powers = not logical & (logical - 1) and not physical & (physical - 1)
        if not powers or logical < 512 or logical > physical:
            return f"Invalid sector size {logical}/{physical}", NO_ERROR
    return None
