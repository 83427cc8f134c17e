"""``vx logs``: what the guest wrote to its console, what the hypervisor had to say."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from pathlib import Path
    from typing import BinaryIO

    from vagrantish.cli.app import App
    from vagrantish.lifecycle.look import View

EXAMPLES = ("vx logs", "vx logs -f web", "vx logs --previous")

_FOLLOW_S = 0.1
_CHUNK = 1 << 16
_LINE_MAX = 1 << 18  # a guest may never end one; then it is shown in pieces


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="default: the primary machine")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on as the guest writes, until it halts"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--previous", action="store_true", help="the console of the boot before")
    which.add_argument("--provider", action="store_true", help="the hypervisor's own messages")


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.errors import MachineError, MachineNotFound
    from vagrantish.lifecycle import look

    name = app.one(args.name)
    view = look.look(app.home, app.xhyvefile().parent, name)
    if view.record is None:
        raise MachineNotFound(f"machine {name} is not created yet", hint=f"Run `vx up {name}`.")
    layout = app.home.machine(view.record.id)
    path = layout.console_log
    if args.previous:
        path = layout.previous_console_log
    elif args.provider:
        path = layout.provider_log
    if not path.exists():
        raise MachineError(f"machine {name} has no such log: {path} does not exist")
    _show(path, app, follow=args.follow, view=view)
    return 0


def _show(path: Path, app: App, *, follow: bool, view: View) -> None:
    """Print a log of untrusted bytes, made harmless for the terminal."""
    from vagrantish.cli.output import flush_answers
    from vagrantish.formats.guesttext import printable
    from vagrantish.lifecycle import look

    rest = b""
    is_over = not follow
    file: BinaryIO = path.open("rb")
    try:
        while True:
            chunk = file.read(_CHUNK)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                app.answer(printable(line))
            if len(rest) > _LINE_MAX:
                app.answer(printable(rest))
                rest = b""
            if chunk:
                continue
            if follow and (fresh := _fresh(file, path)) is not None:
                file.close()
                file = fresh
                continue
            if is_over or view.record is None:
                break
            flush_answers()
            app.cancel.sleep(_FOLLOW_S)
            # Once it is gone, what it wrote last is read in one more round.
            is_over = look.look_at(app.home, view.record).process is None
    finally:
        file.close()
    if rest:
        app.answer(printable(rest))


def _fresh(file: BinaryIO, path: Path) -> BinaryIO | None:
    """Where a log that was read to its end goes on; None: where it is.

    One that has grown too big is moved aside, or begins anew.
    """
    try:
        there, ours = path.stat(), os.fstat(file.fileno())
        has_moved = not os.path.samestat(there, ours)
        return path.open("rb") if has_moved or there.st_size < file.tell() else None
    except OSError:
        return None
