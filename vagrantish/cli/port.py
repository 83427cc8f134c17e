"""``vx port``: which host port leads where."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx port", "vx port web --guest 80")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="default: the primary machine")
    parser.add_argument(
        "--guest", type=int, metavar="PORT", help="print only the host port that leads to PORT"
    )


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.errors import MachineError
    from vagrantish.lifecycle import connect
    from vagrantish.provider import running

    name = app.one(args.name)
    view = connect.running_view(app.home, app.xhyvefile().parent, name)
    if view.record is None:
        return 1
    layout = app.home.machine(view.record.id)
    target = connect.target(app.home, view)
    rows = [("tcp", target.address_host, target.address_port, 22)]
    rows += [(f.proto, f.host_ip, f.host, f.guest) for f in running.forwards(layout)]
    if args.guest is not None:
        found = [row for row in rows if row[3] == args.guest]
        if not found:
            raise MachineError(
                f"nothing is forwarded to port {args.guest} of machine {name}",
                hint="Add a [[forward]] table to the Xhyvefile and run `vx reload`.",
            )
        app.answer(str(found[0][2]))
        return 0
    if app.options.json:
        keys = ("proto", "host_ip", "host", "guest")
        app.answer_json(
            "port", {"machine": name, "ports": [dict(zip(keys, row, strict=True)) for row in rows]}
        )
        return 0
    app.columns(
        ("PROTO", "HOST", "GUEST"), [(p, f"{ip}:{host}", str(guest)) for p, ip, host, guest in rows]
    )
    return 0
