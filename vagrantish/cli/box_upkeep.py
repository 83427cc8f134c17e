"""``vx box prune``, ``verify``, ``outdated`` and ``update``: what they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.cli.commands import Subcommand

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from vagrantish.cli.app import App
    from vagrantish.model import BoxRef


def _prune_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only tell what would go")
    parser.add_argument(
        "--older-than", metavar="TIME",
        help="boxes not used for so long: 12h, 30d, 8w (default: 10 minutes)",
    )  # fmt: skip
    parser.add_argument(
        "--max-size", metavar="SIZE",
        help="those used longest ago, until the store has no more than this: 20GiB",
    )  # fmt: skip
    parser.add_argument(
        "--all", action="store_true", help="also boxes made of your own files, which cannot be fetched again"
    )  # fmt: skip


def _prune(args: argparse.Namespace, app: App) -> int:
    from vagrantish.cli import box_prune

    return box_prune.prune(args, app)


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "boxes", nargs="*", metavar="BOX", help="NAME or NAME@VERSION; all of the store if left out"
    )
    parser.add_argument(
        "--repair", action="store_true", help="fetch again what is damaged and has an address"
    )


def _verify(args: argparse.Namespace, app: App) -> int:
    from vagrantish.cli import box_verify

    return box_verify.verify(args, app)


def _outdated_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("boxes", nargs="*", metavar="BOX", help="NAME or NAME@VERSION")


def _outdated(args: argparse.Namespace, app: App) -> int:
    from vagrantish.cli import box_newer

    return box_newer.outdated(args, app)


def _update_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "boxes", nargs="*", metavar="BOX", help="NAME or NAME@VERSION; all of the store if left out"
    )


def _update(args: argparse.Namespace, app: App) -> int:
    from vagrantish.cli import box_newer

    return box_newer.update(args, app)


def refs_of(words: Sequence[str]) -> list[BoxRef]:
    """Raises UsageError."""
    from vagrantish.cli.box import ref_of

    return [ref_of(word) for word in words]


def lock_here(app: App) -> Path | None:
    """Where the lock of the project we are in is, or would be."""
    from vagrantish.errors import NoXhyvefile

    try:
        file = app.xhyvefile()
    except NoXhyvefile:
        return None
    return file.with_name(f"{file.name}.lock")


SUBCOMMANDS = {
    "prune": Subcommand(
        "remove boxes that no project and no machine needs",
        _prune_arguments,
        _prune,
        ("vx box prune --dry-run", "vx box prune --older-than 30d --max-size 20GiB"),
    ),
    "verify": Subcommand(
        "read every file of the store again, and name what is damaged",
        _verify_arguments,
        _verify,
        ("vx box verify", "vx box verify ubuntu@24.04 --repair"),
    ),
    "outdated": Subcommand(
        "boxes of which the catalogs have a newer version",
        _outdated_arguments,
        _outdated,
        ("vx box outdated", "vx box outdated ubuntu --json"),
    ),
    "update": Subcommand(
        "fetch the newest version of boxes in the store",
        _update_arguments,
        _update,
        ("vx box update", "vx box update ubuntu@24.04"),
    ),
}
