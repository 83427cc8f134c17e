"""``vx box add``: a box by name, from a file or from the web."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.errors import BoxError

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx box add ./mybox", "vx box add mybox.tar.gz --name mybox --version 2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="PATH", help="a folder or archive with box.toml and the files it names"
    )
    parser.add_argument("--name", metavar="NAME", help="call it so, whatever box.toml says")
    parser.add_argument("--version", metavar="VERSION", help="its version, whatever box.toml says")
    parser.add_argument(
        "--force", action="store_true", help="replace a box of that name and version"
    )


def run(args: argparse.Namespace, app: App) -> int:
    from pathlib import Path

    from vagrantish.cli.box import stored

    source = Path(args.path).expanduser().absolute()
    if not source.exists():
        raise BoxError(
            f"there is no {source}", hint="Give a folder or archive that holds a box.toml."
        )
    box = app.services.boxes.add(
        source, name=args.name, version=args.version, force=args.force, op=app.op
    )
    return stored("box-add", box, app)
