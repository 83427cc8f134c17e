"""bhyveload: puts FreeBSD's kernel into a machine's memory (usr.sbin/bhyveload/bhyveload.c)."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from tests.fakes.beehive.getopt import BadOption, getopt
from tests.fakes.beehive.world import Vm, World, memory_bytes, world_of

EX_USAGE = 64
_DEFAULT_MEMORY = 256 << 20


def bhyveload(argv: list[str]) -> NoReturn:
    memory = _DEFAULT_MEMORY
    try:
        given, operands = getopt(argv, "CSc:d:e:h:l:m:")
    except BadOption as error:
        _bhyveload_usage(f"{error}\n")
    for letter, text in given:
        if letter == "m":
            parsed = memory_bytes(text)
            memory = _fail(f"Invalid memsize '{text}'") if parsed is None else parsed
        opens = letter == "d" or (letter == "c" and text != "stdio")
        if opens and not os.access(text, os.R_OK | os.W_OK):
            _fail(f"Could not open '{text}'")
    disks = [text for letter, text in given if letter == "d"]
    if sum(letter == "l" for letter, _ in given) > 1:
        _fail("-l can only be given once")
    if len(operands) != 1:
        _bhyveload_usage("")
    name = operands[0]
    world = world_of(os.environ)
    made(world, name)
    if not disks:
        # Without a disk the loader finds no kernel, and asks.
        say("Can't find /boot/kernel/kernel\n")
        sys.exit(1)
    world.save(
        Vm(
            name=name,
            memory_bytes=memory,
            loader="bhyveload",
            kernel=disks[0],
            cmdline=" ".join(text for letter, text in given if letter == "e"),
        )
    )
    os.write(1, b"FreeBSD/amd64 User boot lua\r\n")
    sys.exit(0)


def _bhyveload_usage(complaint: str) -> NoReturn:
    say(complaint)
    say("usage: bhyveload [-S][-c <console-device>] [-d <disk-path>] [-e <name=value>]\n")
    say("       [-h <host-path>] [-m memsize[K|k|M|m|G|g|T|t]] <vmname>\n")
    sys.exit(1)


def _fail(text: str) -> NoReturn:
    say(f"bhyveload: {text}\n")
    sys.exit(EX_USAGE)


# --- of both loaders -------------------------------------------------------------------------


def made(world: World, name: str) -> None:
    """One that is there is emptied, unless it runs."""
    vm = world.find(name)
    try:
        if vm is None:
            world.create(name)
    except OSError as error:
        say(f"vm_create: {error.strerror}\nCould not create VM {name}\n")
        sys.exit(1)
    if vm is not None and vm.pid:
        say(f"Could not reinit VM {name}\n")
        sys.exit(1)


def say(text: str) -> None:
    os.write(2, os.fsencode(text))
