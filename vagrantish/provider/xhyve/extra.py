"""What of a user's own arguments would end xhyve, or take from vx what it must know. Pure.

They are read as xhyve reads them: the platform's getopt (xhyve src/xhyve.c:861), for which an
option that takes an argument ends its word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagrantish.provider.xhyve.flavour import Flavour

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LETTERS = "behuwxACHPWYglsmcfFUMv"
_WITH_VALUE = "YglsmcfFU"
_TAKEN = {
    "f": "says what is booted: that is [boot]",
    "m": "sets the memory: that is `memory`",
    "c": "sets the processors: that is `cpus`",
    "U": "sets the UUID, by which vx finds the machine",
    "F": "keeps a pid file, which vx does without: one left behind prevents every later start",
    "M": "ends it once the MAC is known",
    "h": "ends it with its help",
    "v": "ends it with its version",
}
_SLOT = re.compile(
    r"(?:(\d{1,3}):)??(?:(\d{1,2})(?::(\d))?),([^,]+)(?:,(.*))?", re.DOTALL | re.ASCII
)
_CARDS = ("virtio-net", "e1000", "virtio-vpnkit")
_BLOCKS = ("virtio-blk", "ahci-hd", "ahci-cd")
_BLOCK_OPTIONS = re.compile(r"ro|sync|direct|sectorsize=(512|4096|512/4096)")
_QCOW_OPTIONS = re.compile(r"format=.*|qcow-config=.*")
_HARMLESS = ("hostbridge", "amd_hostbridge", "virtio-rnd", "dummy", "uart", *_BLOCKS)
_OWN = {
    Flavour.HYPERKIT: ("virtio-9p", "virtio-sock", "virtio-vpnkit"),
    Flavour.HEAD: ("e1000", "fbuf"),
    Flavour.OLD: ("e1000", "fbuf"),
}
_SLOTS, _FUNCTIONS = 32, 8


@dataclass(frozen=True, kw_only=True)
class Use:
    """A file that an argument has the hypervisor open."""

    path: str
    what: str  # the argument
    write: bool
    is_disk: bool


class Refusal(ValueError):
    """Of one argument; the text is a clause for people that begins with it."""


def uses(words: Sequence[str], flavour: Flavour, taken: frozenset[tuple[int, int]]) -> list[Use]:
    """The files that ``words`` name. Raises Refusal.

    ``taken`` are the slots and functions that the machine itself has.
    """
    found: list[Use] = []
    places = set(taken)
    for letter, value in _options(words):
        if letter in _TAKEN:
            raise Refusal(f"-{letter} {_TAKEN[letter]}")
        if letter == "s":
            found += _slot_uses(value, flavour, places)
        elif letter == "l":
            found += _lpc_uses(value, flavour)
        elif letter == "g" and not re.fullmatch(r"\d{1,5}", value, re.ASCII):
            raise Refusal(f"-g {value} names no port")
    screens = [text for text, device in _devices(words) if device == "fbuf"]
    if len(screens) > 1:
        raise Refusal(f"-s {screens[1]} would be a second frame buffer, and there can be one")
    return found


def needs_root(words: Sequence[str]) -> str:
    """The first device whose files vx cannot tell, so that none but its user may give it root."""
    told = (*_HARMLESS, "fbuf")
    return next((f"-s {text}" for text, device in _devices(words) if device not in told), "")


def _devices(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What stands behind each -s, and the device in it. Raises Refusal."""
    for letter, value in _options(words):
        found = _SLOT.fullmatch(value) if letter == "s" else None
        if found is not None:
            yield value, found[4]


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Letters and their arguments, "" for one without. Raises Refusal."""
    rest = iter(words)
    for word in rest:
        if "\0" in word:
            raise Refusal(f"{word!r} has a zero byte in it")
        if not word.startswith("-") or word in ("-", "--"):
            raise Refusal(f'"{word}" is no option: all behind it would be ignored')
        for at, letter in enumerate(word[1:], start=2):
            if letter not in _LETTERS:
                raise Refusal(f"-{letter} is no option it has")
            if letter not in _WITH_VALUE:
                yield letter, ""
                continue
            value = word[at:] or next(rest, None)
            if value is None or (letter == "Y" and value.startswith("-")):
                more = ", unlike what its help says: write -Yx" if letter == "Y" else ""
                raise Refusal(f"-{letter} takes an argument{more}")
            if "\0" in value:
                raise Refusal(f"{value!r} has a zero byte in it")
            yield letter, value
            break


def _slot_uses(text: str, flavour: Flavour, places: set[tuple[int, int]]) -> Iterator[Use]:
    """``places`` gets the one that ``text`` takes."""
    found = _SLOT.fullmatch(text)
    if found is None:
        raise Refusal(f"-s {text} is not SLOT[:FUNCTION],DEVICE[,SETTINGS]")
    bus, slot, function = (int(number or 0) for number in found.groups()[:3])
    device, config = found[4], found[5]
    if bus or slot >= _SLOTS or function >= _FUNCTIONS:
        raise Refusal(f"-s {text} is out of reach: there are slots 0 to 31 with 0 to 7, on bus 0")
    if (slot, function) in places:
        raise Refusal(f"-s {text} names a slot that is taken: free are 1 and 3, among others")
    places.add((slot, function))
    if device in _CARDS:
        raise Refusal(f"-s {text} would be a second network card, which macOS refuses it")
    if device == "lpc":
        raise Refusal(f"-s {text} would be a second LPC bridge")
    if device not in (*_HARMLESS, "virtio-tap", *_OWN[flavour]):
        raise Refusal(f"-s {text} names a device it does not have")
    if device == "uart":
        yield from _terminal(f"-s {text}", config)
    if device in _BLOCKS:
        yield _block_use(text, device, config, flavour)
    elif device == "fbuf" and not config:
        raise Refusal(f"-s {text} says nothing of where it is shown, and ends it")


def _block_use(text: str, device: str, config: str | None, flavour: Flavour) -> Use:
    path, *options = (config or "").split(",")
    is_hyperkit = flavour is Flavour.HYPERKIT
    if is_hyperkit:
        path = path.removeprefix("file://")
    if not path:
        raise Refusal(f"-s {text} names no file")
    for option in options:
        known = _BLOCK_OPTIONS.fullmatch(option) or (
            is_hyperkit and _QCOW_OPTIONS.fullmatch(option)
        )
        if not known:
            raise Refusal(f'-s {text}: a disk has no option "{option}", nor its path a comma')
    is_read = "ro" in options or device == "ahci-cd"
    return Use(path=path, what=f"-s {text}", write=not is_read, is_disk=True)


def _lpc_uses(text: str, flavour: Flavour) -> Iterator[Use]:
    device, _, backend = text.partition(",")
    if device.lower() == "com1":
        raise Refusal(f"-l {text} would take away the console, which vx reads")
    if device.lower() == "bootrom":
        raise Refusal(f"-l {text} says what is booted: that is [boot]")
    if device.lower() != "com2":
        raise Refusal(f"-l {text} names a device it does not have")
    is_hyperkit = flavour is Flavour.HYPERKIT
    for part in backend.split(",") if is_hyperkit else [backend]:
        kind, _, path = part.partition("=") if is_hyperkit else (part, "", "")
        if kind in ("autopty", "log") and path:
            yield Use(path=path, what=f"-l {text}", write=True, is_disk=False)
        elif not (is_hyperkit and part in ("null", "asl")):
            yield from _terminal(f"-l {text}", part)


def _terminal(what: str, backend: str | None) -> Iterator[Use]:
    if backend == "stdio":
        raise Refusal(f"{what} would take away the console, which vx reads")
    if backend and backend != "autopty":
        yield Use(path=backend, what=what, write=True, is_disk=False)
