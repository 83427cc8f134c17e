"""``vx global-status``: every machine of this user, in whatever project."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx global-status",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # it takes none


def run(args: argparse.Namespace, app: App) -> int:
    del args
    from vagrantish.cli.status import view_fields
    from vagrantish.lifecycle.look import look_at
    from vagrantish.machine.store import MachineStore

    views = [look_at(app.home, record) for record in MachineStore(app.home).all()]
    if app.options.json:
        app.answer_json("global-status", {"machines": [view_fields(app, view) for view in views]})
        return 0
    rows = [
        (v.record.id, v.name, v.record.provider, v.state, v.record.box_label, v.record.project)
        for v in views
        if v.record is not None
    ]
    if rows:
        app.columns(("ID", "MACHINE", "PROVIDER", "STATE", "BOX", "PROJECT"), rows)
    else:
        app.say(f"No machines in {app.home.root}.")
    return 0
