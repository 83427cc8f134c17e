"""``vx cp``: files between host and guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx cp notes.txt :/tmp/", "vx cp web:/var/log/messages .", "vx cp -- ./-odd :/tmp/odd")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="a path here, or [NAME]:PATH in a guest")
    parser.add_argument("destination", metavar="DST", help="a path here, or [NAME]:PATH in a guest")


def run(args: argparse.Namespace, app: App) -> int:
    from pathlib import Path

    from vagrantish.errors import UsageError
    from vagrantish.lifecycle.copy import copy_in, copy_out

    source_machine, source = split(args.source)
    destination_machine, destination = split(args.destination)
    if (source_machine is None) == (destination_machine is None):
        raise UsageError(
            "one of SRC and DST is in a guest, the other here",
            hint="Write a guest's path as NAME:PATH, or :PATH for the primary machine; "
            "a path here that holds a colon as ./a:b.",
        )
    root = app.xhyvefile().parent
    if destination_machine is not None:
        name = app.one(destination_machine or None)
        copy_in(app.services, root, name, Path(source), destination, op=app.op.on(name))
    else:
        name = app.one(source_machine or None)
        copy_out(app.services, root, name, source, Path(destination), op=app.op.on(name))
    return 0


def split(text: str) -> tuple[str | None, str]:
    """(machine or None for the host, path); machine "" is the primary one."""
    head, colon, tail = text.partition(":")
    if not colon or "/" in head:
        return None, text
    return head, tail
