"""``vx version``."""

from __future__ import annotations

from vagrantish import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx version", "vx version --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # it takes none


def run(args: argparse.Namespace, app: App) -> int:
    del args
    if not app.options.json:
        app.answer(f"vx {__version__}")
        return 0
    import platform

    app.answer_json(
        "version",
        {
            "version": __version__,
            "python": platform.python_version(),
            "host": {"os": platform.system(), "arch": platform.machine()},
        },
    )
    return 0
