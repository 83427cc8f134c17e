"""What a command is given: options, places, settings, and ways to answer. All built on first use."""

from __future__ import annotations

import os
import sys

from vagrantish.cli import output
from vagrantish.errors import ConfigError, MachineNotFound, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from vagrantish.cli.options import Options
    from vagrantish.cli.reporters import Renderer
    from vagrantish.config.loaded import Loaded
    from vagrantish.config.names import MachineName
    from vagrantish.events import Cancel, Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.model import BoxParts, BoxRef, Project
    from vagrantish.paths import VxHome

HALT_TIMEOUT_S = 60
_PATTERN_SIGNS = frozenset("*?[")


class entered:  # noqa: N801 - a context manager, used like a function
    """Work in ``directory`` (None: here), so that every relative path means the same."""

    def __init__(self, directory: str | None) -> None:
        self._directory = directory
        self._before = -1

    def __enter__(self) -> None:
        if self._directory is None:
            return
        try:
            self._before = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
            os.chdir(self._directory)
        except OSError as error:
            self.__exit__()
            raise UsageError(
                f"cannot change to {self._directory}: {error.strerror}",
                hint="Give -C a folder that exists.",
            ) from error

    def __exit__(self, *_error: object) -> None:
        if self._before >= 0:
            os.fchdir(self._before)
            os.close(self._before)
            self._before = -1


class App:
    """One command's surroundings. ``close`` ends what it shows and undoes what it changed."""

    def __init__(self, options: Options, env: Mapping[str, str]) -> None:
        self.options = options
        self.env = env
        self._renderer: Renderer | None = None
        self._cancel: Cancel | None = None
        self._op: Op | None = None
        self._home: VxHome | None = None
        self._services: Services | None = None
        self._file: Path | None = None
        self._names: tuple[MachineName, ...] | None = None
        self._loaded: Loaded | None = None
        self._stop_log: Callable[[], None] | None = None
        if options.log_level:
            from vagrantish.cli import log

            self._stop_log = log.start(options.log_level)

    # --- to tell and to ask ---------------------------------------------------------------

    @property
    def cancel(self) -> Cancel:
        if self._cancel is None:
            from vagrantish.events import Cancel

            self._cancel = Cancel()
        return self._cancel

    @property
    def op(self) -> Op:
        """Its reporter draws on stderr, in the way the options and the terminal ask for."""
        if self._op is None:
            from vagrantish.events import Op

            self._op = Op(
                self.renderer,
                self.cancel,
                offline=self.options.offline,
                terminal=None if self.options.no_input else _terminal(),
            )
        return self._op

    @property
    def renderer(self) -> Renderer:
        if self._renderer is None:
            from vagrantish.cli.reporters import choose

            self._renderer = choose(self.options, self.env, sys.stderr, self.cancel)
        return self._renderer

    def interrupt(self) -> None:
        """Ask all that goes on to stop; called from a signal handler."""
        if self._cancel is not None:
            self._cancel.set()

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
        if self._stop_log is not None:
            self._stop_log()

    def answer(self, text: str) -> None:
        """The answer itself, to stdout."""
        if self._renderer is not None:
            self._renderer.settle()
        output.write_answer(text + "\n")

    def answer_json(self, command: str, fields: Mapping[str, object]) -> None:
        import json

        self.answer(json.dumps({"schema": f"vx.{command}/1", **fields}, indent=2))

    def columns(self, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        from vagrantish.cli.text import columns

        self.answer(columns(headers, rows))

    def say(self, text: str) -> None:
        """A remark that is no answer, to stderr; silent with -q."""
        if self.options.events:
            self.op.note(text)
        elif not self.options.quiet:
            if self._renderer is not None:
                self._renderer.settle()
            output.write_remark(text + "\n")

    def confirm(self, question: str) -> bool:
        """Raises UsageError where nobody can be asked."""
        if self.options.yes:
            return True
        if self.options.no_input or sys.stdin is None or not sys.stdin.isatty():
            raise UsageError(
                f"not confirmed: {question}", hint="Pass --yes to go on without asking."
            )
        if self._renderer is not None:
            self._renderer.settle()
        output.write_remark(f"{question} [y/N] ")
        try:
            return sys.stdin.readline().strip().lower() in ("y", "yes")
        except KeyboardInterrupt:
            output.write_remark("\n")
            raise

    # --- places ---------------------------------------------------------------------------

    @property
    def home(self) -> VxHome:
        """Raises HostError when VX_HOME cannot be a folder, or sudo would leave files of root in it."""
        if self._home is None:
            from vagrantish.paths import VxHome

            home = VxHome.from_env(self.env)
            if os.path.exists(home.root) and not os.path.isdir(home.root):
                from vagrantish.errors import HostError

                raise HostError(
                    f"VX_HOME is {home.root}, which is not a folder",
                    hint="Point VX_HOME at a folder, or remove that file.",
                )
            _refuse_sudo(home.root, self.env)
            self._home = home
        return self._home

    @property
    def services(self) -> Services:
        if self._services is None:
            from vagrantish.lifecycle.services import Services

            self._services = Services(self.home, self.env)
        return self._services

    def xhyvefile(self) -> Path:
        """The settings file, -f or found from here upwards. Raises NoXhyvefile."""
        if self._file is None:
            from pathlib import Path

            from vagrantish.config import discover

            if self.options.file is None:
                self._file = discover.find(Path(working_directory()))
            else:
                self._file = Path(working_directory(), os.path.expanduser(self.options.file))
        return self._file

    # --- settings -------------------------------------------------------------------------

    def machine_names(self) -> tuple[MachineName, ...]:
        """In the order of the Xhyvefile; cheap: nothing else in it is looked at."""
        if self._names is None:
            from vagrantish.config.names import machine_names

            self._names = machine_names(
                self.xhyvefile(),
                home=self.home,
                env=self.env,
                sets=self.options.sets,
                params=self.options.params,
            )
        return self._names

    def loaded(self) -> Loaded:
        """All settings with their origins. Raises ConfigError with every problem."""
        if self._loaded is None:
            from vagrantish.config.load import load

            self.use_lock()
            self._loaded = load(
                self.xhyvefile(),
                home=self.home,
                env=self.env,
                sets=self.options.sets,
                params=self.options.params,
                box_defaults=self._box_defaults,
            )
        return self._loaded

    def forget_settings(self) -> None:
        """Read them anew when next asked: a box that was not there may bring defaults."""
        self._loaded = None

    def use_lock(self, *, insist: bool = False) -> None:
        """Boot what the project's lock says; ``insist``: and nothing it does not have."""
        pins = self.services.pins
        if pins.path is None:
            file = self.xhyvefile()
            pins.path = file.with_name(f"{file.name}.lock")
        pins.insisted = pins.insisted or insist

    def _box_defaults(self, box: BoxRef | BoxParts) -> tuple[str, Mapping[str, Any]] | None:
        from vagrantish.model import BoxRef

        if not isinstance(box, BoxRef):
            return None
        from vagrantish.box.reference import host_arch

        return self.services.boxes.defaults_of(self.services.pins.exact(box, host_arch()))

    def project(self, *, provider: str | None = None) -> Project:
        """The project; ``provider``, else VX_PROVIDER, instead of what its machines ask for."""
        project = self.loaded().project
        wanted = provider or self.options.provider
        if wanted is None:
            return project
        from dataclasses import replace

        machines = tuple(replace(machine, providers=(wanted,)) for machine in project.machines)
        return replace(project, machines=machines)

    def halt_timeout_s(self, name: str) -> float:
        """A mistake elsewhere in the Xhyvefile must not keep a machine from being halted."""
        try:
            machines = self.loaded().project.machines
        except ConfigError as error:
            self.op.on(name).warn(
                f"waiting {HALT_TIMEOUT_S} s for it to halt, as the settings cannot be read: {error}"
            )
            return HALT_TIMEOUT_S
        timeouts = (machine.halt_timeout_s for machine in machines if machine.name == name)
        return next(timeouts, HALT_TIMEOUT_S)

    def jobs(self, given: int | None) -> int:
        """How many machines at a time: --jobs, else VX_JOBS, else one a processor."""
        if given is not None and given < 1:
            raise UsageError(f"--jobs {given} is not a number of machines", hint="Use 1 or more.")
        return given or self.options.jobs or os.cpu_count() or 1

    def select(
        self, patterns: Sequence[str], *, everything: bool = False, beside: Sequence[str] = ()
    ) -> list[str]:
        """Machines by name or pattern, each once, in the Xhyvefile's order.

        No pattern means those with autostart, or all of them with ``everything``. A pattern may
        also mean one of ``beside``, which the Xhyvefile does not have. Raises MachineNotFound.
        """
        machines = self.machine_names()
        if not patterns:
            return [m.name for m in machines if everything or m.autostart]
        names = [*(machine.name for machine in machines), *beside]
        chosen: set[str] = set()
        for pattern in patterns:
            chosen.update(_matching(pattern, names))
        return [name for name in names if name in chosen]

    def one(self, name: str | None) -> str:
        """The machine named; without a name the primary one, or the only one."""
        machines = self.machine_names()
        names = [machine.name for machine in machines]
        if name is not None:
            if name not in names:
                raise _not_found(name, names)
            return name
        if len(names) == 1:
            return names[0]
        for machine in machines:
            if machine.primary:
                return machine.name
        raise UsageError(
            f"which machine? There are {', '.join(names)}",
            hint="Name one, or write primary = true for one of them in the Xhyvefile.",
        )


def _refuse_sudo(home: Path, env: Mapping[str, str]) -> None:
    """Some systems' sudo keeps HOME; the user could then do nothing with their own machines."""
    user = env.get("SUDO_UID", "")
    if os.geteuid() != 0 or not user.isdigit() or int(user) == 0:
        return
    there = next(path for path in (home, *home.parents) if path.exists())
    if there.stat().st_uid == int(user):
        from vagrantish.errors import HostError

        raise HostError(
            f"under sudo vx would leave files owned by root in {home}",
            hint="Run vx without sudo: it needs no root. For machines of root, set VX_HOME.",
        )


def _terminal() -> int | None:
    """The descriptor of the terminal vx was started at, if it was."""
    try:
        return sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    except (OSError, ValueError):
        return None


def working_directory() -> str:
    """Raises HostError when it was removed under our feet."""
    try:
        return os.getcwd()
    except OSError as error:
        from vagrantish.errors import HostError

        raise HostError(
            "the working directory is gone", hint="Change to one that exists, or use -C DIR."
        ) from error


def _matching(pattern: str, names: Sequence[str]) -> Sequence[str]:
    if pattern in names:
        return [pattern]
    found: Sequence[str] = []
    if not _PATTERN_SIGNS.isdisjoint(pattern):
        from fnmatch import fnmatchcase

        found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        raise _not_found(pattern, names)
    return found


def _not_found(name: str, names: Sequence[str]) -> MachineNotFound:
    from difflib import get_close_matches

    close = get_close_matches(name, names, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"The Xhyvefile has {', '.join(names)}."
    return MachineNotFound(f"the Xhyvefile has no machine {name}", hint=hint)
