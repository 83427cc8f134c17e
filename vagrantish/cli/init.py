"""``vx init``: an Xhyvefile to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.errors import VxError

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx init", "vx init mybox@2", "vx init --force")


class AlreadyThere(VxError):
    code = "already-there"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "box", nargs="?", default="micro", metavar="BOX", help="NAME[@VERSION] (default: micro)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite an Xhyvefile")


def run(args: argparse.Namespace, app: App) -> int:
    import os
    from pathlib import Path

    from vagrantish.cli.app import working_directory
    from vagrantish.cli.box import ref_of
    from vagrantish.config.init import initial_text
    from vagrantish.files import write_atomic

    box = ref_of(args.box)
    path = Path(working_directory(), app.options.file or "Xhyvefile")
    if os.path.lexists(path) and not args.force:
        raise AlreadyThere(
            f"{path} exists already", hint="Edit it, or overwrite it with `vx init --force`."
        )
    write_atomic(path, initial_text(str(box)).encode())
    if app.options.json:
        app.answer_json("init", {"file": str(path), "box": str(box)})
    else:
        app.say(f"Wrote {path.name}. Now run `vx up`.")
    return 0
