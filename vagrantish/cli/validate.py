"""``vx validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx validate", "vx validate --param port=9000")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # it takes none


def run(args: argparse.Namespace, app: App) -> int:
    del args
    project = app.loaded().project
    names = [machine.name for machine in project.machines]
    if app.options.json:
        app.answer_json("validate", {"file": str(project.file), "machines": names})
    else:
        machines = "1 machine" if len(names) == 1 else f"{len(names)} machines"
        app.answer(f"{project.file.name} is valid: {machines}")
    return 0
