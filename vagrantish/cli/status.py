"""``vx status``: what runs, read from what runs."""

from __future__ import annotations

from vagrantish.cli.places import left_over
from vagrantish.lifecycle import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App
    from vagrantish.lifecycle.look import View

EXAMPLES = ("vx status", "vx status web --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every machine")


def run(args: argparse.Namespace, app: App) -> int:
    root = app.xhyvefile().parent
    lost = [record.name for record in left_over(app)]
    names = app.select(args.names, everything=True, beside=lost)
    if not args.names:
        names += lost
    views = [look.look(app.home, root, name) for name in names]
    if app.options.json:
        machines = [
            {**view_fields(app, view), "in_xhyvefile": view.name not in lost} for view in views
        ]
        app.answer_json("status", {"project": str(root), "machines": machines})
        return 0
    rows = [(view.name, view.state, *_details(app, view)) for view in views]
    app.columns(("MACHINE", "STATE", "BOX", "SSH"), rows)
    hint = _hint(views)
    if hint:
        app.say(hint)
    shown = " ".join(name for name in names if name in lost)
    if shown:
        app.say(f"No longer in the Xhyvefile: {shown}. `vx destroy {shown}` removes what is left.")
    return 0


def view_fields(app: App, view: View) -> dict[str, object]:
    """One machine of the JSON answer; absent values are null."""
    from vagrantish.provider import running

    record = view.record
    alive = view.process is not None
    address = running.address(app.home.machine(record.id)) if record and alive else None
    return {
        "name": view.name,
        "state": view.state,
        "id": record.id if record else None,
        "box": record.box_label if record else None,
        "provider": record.provider if record else None,
        "user": record.user if record else None,
        "pid": view.process.pid if view.process else None,
        "ssh": {"host": address[0], "port": address[1]} if address else None,
        "created_at": record.created_at if record else None,
        "project": record.project if record else None,
    }


def _details(app: App, view: View) -> tuple[str, str]:
    fields = view_fields(app, view)
    ssh = fields["ssh"]
    where = f"{fields['user']}@{ssh['host']}:{ssh['port']}" if isinstance(ssh, dict) else "-"
    return (str(fields["box"] or "-"), where)


def _hint(views: list[View]) -> str:
    states = {view.state for view in views}
    if look.BOOTING in states:
        return "A booting machine was left by a vx that ended early: `vx up` goes on with it."
    if states == {look.ABSENT}:
        return "Nothing was created yet: run `vx up`."
    return ""
