"""``vx box outdated`` and ``vx box update``: what is newer in the catalogs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.box import missing, versions
from vagrantish.box.reference import host_arch
from vagrantish.cli.box_upkeep import lock_here, refs_of
from vagrantish.errors import BoxError
from vagrantish.lifecycle.catalogs import open_catalog
from vagrantish.lifecycle.keeping import read_lock, standings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from vagrantish.cli.app import App
    from vagrantish.lifecycle.keeping import Standing
    from vagrantish.model import Box, BoxRef, LockedBox


def outdated(args: argparse.Namespace, app: App) -> int:
    found = _standings(app, refs_of(args.boxes), with_lock=True)
    behind = [each for each in found if each.is_behind]
    if app.options.json:
        app.answer_json("box-outdated", {"boxes": [_standing_fields(each) for each in found]})
    elif found:
        rows = [_row_of(each) for each in found]
        app.columns(("NAME", "ARCH", "HERE", "NEWEST", "WHERE", "ENDS"), rows)
    else:
        app.say("No boxes yet: `vx box list --available` shows what can be had.")
    if behind and not app.options.json:
        where = {each.where == "store" for each in behind}
        ways = ["`vx box update`"] * (True in where) + ["`vx lock --update`"] * (False in where)
        app.say(f"To move on: {' and '.join(ways)}.")
    return 10 if behind else 0


def _row_of(each: Standing) -> tuple[str, ...]:
    return (
        f"{each.name}@{each.line}" if each.line else each.name,
        each.arch,
        each.here,
        each.newest.version if each.newest else "-",
        each.where,
        each.eol or "-",
    )


def update(args: argparse.Namespace, app: App) -> int:
    refs = refs_of(args.boxes)
    if any(ref.name == "micro" for ref in refs):
        raise BoxError(
            "micro is built here, not fetched", hint="Build it anew: `vx box build micro`."
        )
    moved = []
    for each in _standings(app, refs, with_lock=False):
        if each.newest is not None and each.is_behind:
            moved.append((each, app.services.boxes.obtain(each.newest, op=app.op)))
        elif each.newest is None and refs:
            app.say(f"{each.name}@{each.here} is in no catalog.")
    if app.options.json:
        app.answer_json("box-update", {"boxes": [_moved_fields(*pair) for pair in moved]})
        return 0
    for each, box in moved:
        app.answer(f"{each.name}@{each.line} ({box.arch}): {each.here} → {box.version}")
    if moved:
        app.say(
            "Projects and machines stay as they are: `vx lock --update` moves a project, "
            "`vx box prune` removes what nothing needs any more."
        )
    else:
        app.say("Nothing newer is known.")
    return 0


def _moved_fields(each: Standing, box: Box) -> dict[str, object]:
    return {
        "name": box.name,
        "line": each.line,
        "arch": box.arch,
        "before": each.here,
        "after": box.version,
    }


def _standings(app: App, refs: Sequence[BoxRef], *, with_lock: bool) -> tuple[Standing, ...]:
    """Raises BoxNotFound for a box that is neither in the store nor in the project's lock."""
    lock = lock_here(app) if with_lock else None
    arch = host_arch()
    boxes = app.services.boxes.list()
    locked = [box for box in (read_lock(lock).boxes if lock else ()) if box.arch == arch]
    for ref in refs:
        here = [_is_one_of(box, [ref]) for box in boxes]
        if not any(here) and not any(_is_one_of(box, [ref]) for box in locked):
            raise missing.not_found(app.home, ref, arch)
    if refs:
        boxes = tuple(box for box in boxes if _is_one_of(box, refs))
        locked = [box for box in locked if _is_one_of(box, refs)]
    if not boxes and not locked:
        return ()
    catalog = open_catalog(app.home, app.env, op=app.op, refresh=not app.options.offline)
    name = lock.name if lock else ""
    return standings(boxes, locked, catalog, lock_name=name, op=app.op)


def _is_one_of(box: Box | LockedBox, refs: Iterable[BoxRef]) -> bool:
    return any(
        box.name == ref.name and (not ref.version or versions.matches(box.version, ref.version))
        for ref in refs
    )


def _standing_fields(each: Standing) -> dict[str, object]:
    return {
        "name": each.name,
        "line": each.line or None,
        "arch": each.arch,
        "here": each.here,
        "newest": each.newest.version if each.newest else None,
        "outdated": each.is_behind,
        "where": each.where,
        "eol": each.eol or None,
    }
