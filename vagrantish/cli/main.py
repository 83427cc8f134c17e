"""``vx``: find the verb, run it, turn what goes wrong into one message and an exit status."""

from __future__ import annotations

import os
import sys

from vagrantish.cli.output import flush_answers, write_answer, write_remark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vagrantish.cli.app import App

USAGE_STATUS = 2


def entry() -> None:
    """The ``vx`` program."""
    _fill_standard_streams()
    try:
        status = main()
    except KeyboardInterrupt:  # in the moments before and after main is ready for it
        status = 130
    sys.exit(status)


def _fill_standard_streams() -> None:
    """Started with one of them closed, the next file opened would take its place.

    A lock or a socket as descriptor 2 would get whatever a library writes to stderr.
    """
    descriptor = 0
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit status; the working directory stays as it was."""
    session = _Session(sys.argv[1:] if argv is None else argv)
    try:
        status = session.answer()
        flush_answers()
    except BaseException as error:  # noqa: BLE001 - the one place where everything ends
        return session.tell(error)
    return status


class _Session:
    """One command line from its words to its exit status."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self.verb = next((word for word in words if not word.startswith("-")), "")
        self.app: App | None = None

    def answer(self) -> int:
        if self.words in (["--version"], ["version"]):  # argparse alone would take as long again
            from vagrantish import __version__

            write_answer(f"vx {__version__}\n")
            return 0
        if not self.words:
            from vagrantish.cli.overview import overview

            write_remark(overview())
            return USAGE_STATUS
        from vagrantish.cli.interrupt import Interrupts

        with Interrupts(self._interrupt):
            return self._run()

    def tell(self, error: BaseException) -> int:
        """Show what went wrong; the exit status that goes with it."""
        from vagrantish.cli.failures import Style, report

        style = Style.of_words(self.words, os.environ)
        if self.app is not None:
            style.traces = self.app.options.log_level == "debug"
        return report(error, style, verb=self.verb, bug_log=_bug_log())

    def _run(self) -> int:
        from vagrantish.cli.app import App, entered
        from vagrantish.cli.invocation import parse
        from vagrantish.cli.options import Options

        try:
            invocation = parse(self.words)
        except SystemExit:  # argparse has shown the help or the version
            return 0
        self.verb = invocation.command
        options = Options(invocation.args, os.environ)
        with entered(options.directory):
            self.app = App(options, os.environ)
            try:
                return invocation.run(invocation.args, self.app)
            finally:
                self.app.close()

    def _interrupt(self) -> None:
        if self.app is not None:
            self.app.interrupt()


def _bug_log() -> Path | None:
    from vagrantish.paths import VxHome

    try:
        return VxHome.from_env(os.environ).bug_log
    except OSError:  # VX_HOME is relative to a working directory that is gone
        return None
