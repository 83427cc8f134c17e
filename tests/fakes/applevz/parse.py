"""The command line of vfkit, read as vfkit reads it (cmd/vfkit, pkg/cmdline, pkg/config)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tests.fakes.applevz.model import CommandLine, Device, Efi, Linux

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VERSION = "v0.6.3"
_VALUED = {
    "cpus": "c", "memory": "m", "bootloader": "b", "kernel": "k", "initrd": "i",
    "kernel-cmdline": "C", "device": "d", "timesync": "t", "restful-uri": "", "pidfile": "",
    "log-level": "", "cloud-init": "", "ignition": "",
}  # fmt: skip
_PLAIN = {"gui": "", "nested": "n", "help": "h", "version": "v"}
_LONG = {short: name for name, short in {**_VALUED, **_PLAIN}.items() if short}
_LEGACY = ("kernel", "initrd", "kernel-cmdline")
_COUNTS = {"cpus": "-c, --cpus", "memory": "-m, --memory"}
_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}")
# Device → its options: those with a value, and those without.
_DEVICES: dict[str, tuple[set[str], set[str]]] = {
    "virtio-blk": ({"path", "deviceId", "type"}, set()),
    "nvme": ({"path"}, set()),
    "usb-mass-storage": ({"path"}, {"readonly"}),
    "nbd": ({"uri", "deviceId", "sync", "timeout"}, {"readonly"}),
    "virtio-net": ({"mac", "fd", "unixSocketPath", "type", "path"}, {"nat"}),
    "virtio-rng": (set(), set()),
    "virtio-serial": ({"logFilePath"}, {"stdio", "pty"}),
    "virtio-vsock": ({"port", "socketURL"}, {"listen", "connect"}),
    "virtio-fs": ({"sharedDir", "mountTag"}, set()),
    "rosetta": ({"mountTag"}, {"install", "ignoreIfMissing"}),
    "virtio-balloon": (set(), set()),
    "virtio-gpu": ({"width", "height"}, set()),
    "virtio-input": (set(), {"keyboard", "pointing"}),
}


class Wrong(Exception):
    """What vfkit says before it ends with status 1."""


class Shown(Exception):
    """Text for stdout; the status is 0."""


def parse(argv: Sequence[str]) -> CommandLine:
    """Raises Wrong, Shown."""
    flags = list(_flags(argv[1:]))
    given = {name: value for name, value in flags if name != "device"}
    if "help" in given:
        raise Shown("Usage:\n  vfkit [flags]\n\nFlags:\n" + _flag_list())
    if "version" in given:
        raise Shown(f"vfkit version: {VERSION}\n")
    if given.get("log-level", "info") not in {"error", "debug", "info"}:
        raise Wrong(f"unknown log level: {given['log-level']}")
    legacy = [name for name in _LEGACY if name in given]
    if legacy and len(legacy) < len(_LEGACY):
        missing = " ".join(sorted(set(_LEGACY) - set(legacy)))
        raise Wrong(
            f"if any flags in the group [{' '.join(_LEGACY)}] are set they must all be set; "
            f"missing [{missing}]"
        )
    if legacy and "bootloader" in given:
        raise Wrong(
            f"if any flags in the group [{legacy[0]} bootloader] are set none of the others can be; "
            f"[bootloader {legacy[0]}] were all set"
        )
    if legacy:
        kernel, initrd, cmdline = (given[name] for name in _LEGACY)
        boots: Linux | Efi = Linux(kernel=kernel, initrd=initrd, cmdline=cmdline)
    else:
        lists = [split(value) for name, value in flags if name == "bootloader"]
        boots = _bootloader([word for words in lists for word in words])
    devices = tuple(_device(value) for name, value in flags if name == "device")
    rest = given.get("restful-uri", "none://")
    if rest not in {"none://", "none"}:
        socket_of(rest)
    used = {"cpus", "memory", "bootloader", "restful-uri", "pidfile", *_LEGACY}
    return CommandLine(
        cpus=int(given.get("cpus", "1"), 0),
        memory_mib=int(given.get("memory", "512"), 0),
        bootloader=boots,
        devices=devices,
        rest=rest,
        pid_file=given.get("pidfile", ""),
        others={name: value for name, value in given.items() if name not in used},
    )


def split(text: str) -> list[str]:
    """At commas outside of double quotes, which stay (pkg/cmdline/string_slice.go)."""
    words, word, within = [], "", False
    for sign in text:
        if sign == '"':
            within = not within
        if sign == "," and not within:
            words.append(trim_quotes(word))
            word = ""
        else:
            word += sign
    if within:
        raise Wrong(f'invalid argument "{text}" for "-b, --bootloader" flag: mismatched "')
    if words or trim_quotes(word):
        words.append(trim_quotes(word))
    return words


def trim_quotes(text: str) -> str:
    """All of them at both ends, where there is one at each (pkg/util/strings.go)."""
    return text.strip('"') if text.startswith('"') and text.endswith('"') else text


def socket_of(uri: str) -> str:
    """The path of ``unix:///path``. Raises Wrong."""
    parts = urlsplit(uri)
    scheme = parts.scheme.lower()
    if scheme not in {"unix", "tcp", "http", "none"}:
        raise Wrong(f"invalid scheme {parts.scheme}" if scheme else f'parse "{uri}": invalid URI')
    if scheme in {"tcp", "http"} and not parts.port:
        raise Wrong("invalid TCP uri: missing port")
    if scheme == "unix" and not parts.path:
        raise Wrong("invalid unix uri: missing path")
    if scheme == "unix" and parts.netloc:
        raise Wrong("invalid unix uri: host is forbidden")
    return unquote(parts.path)


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """pflag: ``--name value``, ``--name=value``, ``-n value``, ``-nvalue``, ``-n=value``."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return
        if not word.startswith("-") or word == "-":
            continue
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if name not in _VALUED and name not in _PLAIN:
                raise Wrong(f"unknown flag: --{name}")
        else:
            letter, value = word[1], word[2:]
            if letter not in _LONG:
                raise Wrong(f"unknown shorthand flag: {letter!r} in {word}")
            name, equals = _LONG[letter], value
            value = value.removeprefix("=")
        if name in _PLAIN:
            yield name, "true"
            continue
        if not equals:
            if not rest:
                shown = f"--{name}" if word.startswith("--") else f"{word[1]!r} in {word}"
                raise Wrong(f"flag needs an argument: {shown}")
            value = rest.pop(0)
        _check_count(name, value)
        yield name, value


def _check_count(name: str, value: str) -> None:
    if name in _COUNTS and not re.fullmatch(r"[0-9]+", value):
        raise Wrong(
            f'invalid argument "{value}" for "{_COUNTS[name]}" flag: strconv.ParseUint: parsing '
            f'"{value}": invalid syntax'
        )


def _bootloader(words: list[str]) -> Linux | Efi:
    if not words:
        raise Wrong("empty option list in --bootloader command line argument")
    kind, *options = words
    pairs = [_option(word) for word in options if word]
    if kind == "linux":
        names = {"kernel": "kernel", "initrd": "initrd", "cmdline": "cmdline"}
        for key, _ in pairs:
            if key not in names:
                raise Wrong(f"unknown option for linux bootloaders: {key}")
        return Linux(**{k: trim_quotes(value) if k == "cmdline" else value for k, value in pairs})
    if kind != "efi":
        raise Wrong(f"unknown bootloader type: {kind}")
    found: dict[str, str] = {}
    for key, value in pairs:
        if key not in {"variable-store", "create"}:
            raise Wrong(f"unknown option for EFI bootloaders: {key}")
        if key == "create" and value:
            raise Wrong(f"unexpected value for EFI bootloader 'create' option: {value}")
        found[key] = value
    return Efi(store=found.get("variable-store", ""), create="create" in found)


def _device(text: str) -> Device:
    """Split at every comma: there is no quoting here (pkg/config/virtio.go)."""
    kind, *words = text.split(",")
    if kind not in _DEVICES:
        raise Wrong(f"unknown device type: {kind}")
    valued, plain = _DEVICES[kind]
    options: dict[str, str] = {}
    for key, value in (_option(word) for word in words if word):
        if key in plain and value:
            raise Wrong(f"unexpected value for {kind} '{key}' option: {value}")
        if key not in valued and key not in plain:
            raise Wrong(f"unknown option for {kind} devices: {key}")
        options[key] = value
    _validate(kind, options)
    return Device(kind=kind, options=options)


def _validate(kind: str, options: dict[str, str]) -> None:
    if kind == "virtio-net":
        ways = [way for way in ("nat", "fd", "unixSocketPath", "path") if way in options]
        if len(ways) > 1:
            raise Wrong(f"'{ways[0]}' and '{ways[1]}' cannot be set at the same time")
        if not ways:
            raise Wrong("one of 'nat' or 'fd' or 'unixSocketPath' must be set")
        mac = options.get("mac")
        if mac is not None and not _MAC.fullmatch(mac):
            raise Wrong(f"address {mac}: invalid MAC address")
    if kind == "virtio-serial":
        ends = [end for end in ("logFilePath", "stdio", "pty") if end in options]
        if len(ends) > 1:
            raise Wrong(f"'{ends[0]}' and '{ends[1]}' cannot be set at the same time")
        if not ends or options.get("logFilePath") == "":
            raise Wrong("one of 'logFilePath', 'stdio' or 'pty' must be set")


def _option(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key, value


def _flag_list() -> str:
    lines = []
    for name, short in {**_VALUED, **_PLAIN}.items():
        lines.append(f"  {f'-{short}, ' if short else '    '}--{name}\n")
    return "".join(lines)
