"""grub-bhyve: puts a Linux kernel into a machine's memory (grub-core/kern/emu/main.c)."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from tests.fakes.beehive.loaders import EX_USAGE, made, say
from tests.fakes.beehive.world import Vm, memory_bytes, world_of

_HOST = re.compile(r"\(host\)(/.*)", re.DOTALL)
_GRUB_LONG = {
    "root": "r", "device-map": "m", "directory": "d", "verbose": "v", "cons-dev": "c",
    "evga": "e", "ncons": "n", "memory": "M", "grub-cfg": "g", "wire": "S",
}  # fmt: skip
_GRUB_VALUED = "rmdcMg"


@dataclass
class _Grub:
    """What its commands came to. grub-core/kern/emu/main.c, grub-core/loader/i386/linux.c."""

    vm: Vm
    adds_console: bool
    loaded: bool = False

    def do(self, words: list[str]) -> bool:
        """Whether it ends here: by boot, or by exit."""
        command, rest = words[0], words[1:]
        try:
            if command == "linux":
                self._linux(rest)
            elif command == "initrd":
                self._initrd(rest)
            elif command == "boot" and not self.loaded:
                raise ValueError("you need to load the kernel first.")
            elif command == "exit":
                sys.exit(1)
            elif command != "boot":
                raise ValueError(f"can't find command `{command}'.")
        except ValueError as error:
            say(f"error: {error}\n")
            return False
        return command == "boot"

    def _linux(self, words: list[str]) -> None:
        path = _host_file(words)
        with open(path, "rb") as file:
            head = file.read(0x210)
        if head[0x202:0x206] != b"HdrS":
            raise ValueError("invalid magic number.")
        said = [_as_grub_writes(word) for word in words[1:]]
        if self.adds_console and not any(word.startswith("console=") for word in said):
            said.insert(0, "console=ttyS0")
        self.vm = replace(self.vm, kernel=path, cmdline=" ".join(said))
        self.loaded = True

    def _initrd(self, words: list[str]) -> None:
        if not self.loaded:
            raise ValueError("you need to load the kernel first.")
        self.vm = replace(self.vm, initrd=_host_file(words))


def grub(argv: list[str]) -> NoReturn:
    given, name = _grub_options(argv[1:])
    if name is None:
        say("Required VM name parameter not supplied\n")
        sys.exit(1)
    memory = memory_bytes(given.get("M", "256M"))
    if memory is None:
        say(f"Invalid guest memory size `{given['M']}'.\nError in parsing command line arguments\n")
        sys.exit(1)
    world = world_of(os.environ)
    made(world, name)
    session = _Grub(Vm(name=name, memory_bytes=memory, loader="grub"), "n" not in given)
    for line in _commands(given):
        words = split_words(line)
        if words and session.do(words):
            world.save(session.vm)
            sys.exit(0)
    say("grub> \n")  # where it would wait for somebody to type
    sys.exit(70)


def split_words(line: str) -> list[str]:
    """grub's: single quotes keep all, double quotes and backslashes as a shell's, # comments."""
    words, word, quote = [], "", ""
    began = False
    signs = iter(line)
    for sign in signs:
        if quote == "'":
            quote, word = ("", word) if sign == "'" else (quote, word + sign)
        elif sign == "\\":
            word, began = word + next(signs, ""), True
        elif quote == '"':
            quote, word = ("", word) if sign == '"' else (quote, word + sign)
        elif sign in "'\"":
            quote, began = sign, True
        elif sign == "#" and not began:
            break
        elif sign.isspace():
            words += [word] if began else []
            word, began = "", False
        else:
            word, began = word + sign, True
    return [*words, word] if began else words


def _as_grub_writes(word: str) -> str:
    """grub-core/lib/cmdline.c: some signs get a backslash, a word with a space gets quotes."""
    escaped = re.sub(r"""([\\'"])""", r"\\\1", word)
    return f'"{escaped}"' if " " in word else escaped


def _host_file(words: list[str]) -> str:
    if not words:
        raise ValueError("filename expected.")
    found = _HOST.fullmatch(words[0])
    if not found:
        raise ValueError(f"file `{words[0]}' not found.")
    if not os.access(found[1], os.R_OK):
        raise ValueError(f"can't open `{found[1]}': No such file or directory.")
    return found[1]


def _commands(given: dict[str, str]) -> list[str]:
    """grub.cfg below the directory, else what is typed."""
    config = Path(given.get("d", "/nonexistent")) / given.get("g", "grub.cfg")
    if given.get("r", "host") == "host" and config.exists():
        return config.read_text("utf-8", "surrogateescape").splitlines()
    return sys.stdin.read().splitlines()


def _grub_options(words: list[str]) -> tuple[dict[str, str], str | None]:
    """argp: options may follow the operand."""
    given: dict[str, str] = {}
    name = None
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            long, _, value = word[2:].partition("=")
            letter = _GRUB_LONG.get(long, "")
            if not letter:
                _grub_usage(f"unrecognized option '{word}'")
        elif word.startswith("-") and len(word) > 1:
            letter, value = word[1], word[2:]
            if letter not in _GRUB_LONG.values():
                _grub_usage(f"invalid option -- '{letter}'")
        else:
            name = word
            continue
        if letter in _GRUB_VALUED and not value:
            if not rest:
                _grub_usage(f"option requires an argument -- '{letter}'")
            value = rest.pop(0)
        given[letter] = value
    return given, name


def _grub_usage(text: str) -> NoReturn:
    say(f"grub-bhyve: {text}\nTry 'grub-bhyve --help' for more information.\n")
    sys.exit(EX_USAGE)
