"""``vx schema``: for editors that complete and check an Xhyvefile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx schema > vx.schema.json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # it takes none


def run(args: argparse.Namespace, app: App) -> int:
    del args
    import json

    from vagrantish.config.schema import json_schema

    if app.options.json:
        app.answer_json("schema", {"json_schema": json_schema()})
    else:
        app.answer(json.dumps(json_schema(), indent=2))
    return 0
