"""What the options of every command and the environment ask for, checked once."""

from __future__ import annotations

from vagrantish.cli.parser import GLOBAL_PREFIX
from vagrantish.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from typing import TextIO

LOG_LEVELS = ("debug", "info", "warning", "error")
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("", "0", "false", "no", "off")
_VERBOSE_ENOUGH_TO_LOG = 2  # -vv


class Options:
    """``sets`` and ``params`` are ``KEY=VALUE`` in the order given: a later one wins."""

    __slots__ = (
        "color", "directory", "events", "file", "jobs", "json", "log_level", "no_input", "offline",
        "params", "provider", "quiet", "sets", "verbosity", "yes",
    )  # fmt: skip

    def __init__(self, args: argparse.Namespace, env: Mapping[str, str]) -> None:
        """Raises UsageError."""

        def given(name: str) -> object:
            return getattr(args, GLOBAL_PREFIX + name)

        self.directory = _text(given("directory"))
        self.file = _text(given("file"))
        self.sets = _assignments("--set", given("set"))
        self.params = _assignments("--param", given("param"))
        self.json = bool(given("json"))
        self.events = bool(given("events"))
        self.quiet = bool(given("quiet"))
        self.verbosity = int(str(given("verbose")))
        self.color = str(given("color"))
        self.yes = bool(given("yes"))
        self.no_input = bool(given("no_input"))
        self.offline = bool(given("offline")) or _flag("VX_OFFLINE", env)
        self.provider = env.get("VX_PROVIDER") or None
        self.jobs = _jobs(env)
        self.log_level = _log_level(env, self.verbosity)


def wants_color(color: str, stream: TextIO | None, env: Mapping[str, str]) -> bool:
    """``color`` is auto, always or never; https://no-color.org and https://force-color.org."""
    if color != "auto":
        return color == "always"
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR"):
        return True
    return stream is not None and stream.isatty() and env.get("TERM") != "dumb"


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _assignments(option: str, given: object) -> tuple[str, ...]:
    texts = tuple(map(str, given)) if isinstance(given, list) else ()
    for text in texts:
        key, equals, _ = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                f"{option} {text} is not KEY=VALUE",
                hint=f"Write {option} {key.strip() or 'KEY'}=VALUE.",
            )
    return texts


def _flag(name: str, env: Mapping[str, str]) -> bool:
    value = env.get(name, "").strip().lower()
    if value not in _TRUE + _FALSE:
        raise UsageError(f"{name}={env[name]} is neither yes nor no", hint=f"Set {name} to 1 or 0.")
    return value in _TRUE


def _jobs(env: Mapping[str, str]) -> int | None:
    text = env.get("VX_JOBS", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text[:9]) == 0:
        raise UsageError(
            f"VX_JOBS={text} is not a number of machines", hint="Set VX_JOBS to 1 or more."
        )
    return int(text[:9])


def _log_level(env: Mapping[str, str], verbosity: int) -> str | None:
    if verbosity >= _VERBOSE_ENOUGH_TO_LOG:
        return "debug"
    level = env.get("VX_LOG", "").strip().lower()
    if level and level not in LOG_LEVELS:
        raise UsageError(
            f"VX_LOG={env['VX_LOG']} is no level of the log",
            hint=f"Use one of {', '.join(LOG_LEVELS)}.",
        )
    return level or None
