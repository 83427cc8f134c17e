"""``vx up``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from vagrantish.cli.app import App
    from vagrantish.lifecycle.up import UpResult
    from vagrantish.model import MachineConfig, Project

EXAMPLES = ("vx up", "vx up web 'db-*'", "vx up --only motd --force", "vx up --plan")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    import argparse

    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="patterns allowed; default: all with autostart"
    )
    parser.add_argument("--provider", metavar="NAME", help="instead of the Xhyvefile's")
    parser.add_argument(
        "--provision",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="run the provisioning steps that are due",
    )
    add_step_arguments(parser)
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="machines at a time (default: VX_JOBS, else the CPUs)"
    )
    parser.add_argument(
        "--locked", action="store_true", help="boot what Xhyvefile.lock says, or nothing"
    )
    parser.add_argument(
        "--plan", action="store_true", help="say what would be done (exit status 10), do nothing"
    )


def add_step_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only", action="append", default=[], metavar="STEP", help="only this step; repeatable"
    )
    parser.add_argument("--force", action="store_true", help="run steps even when nothing changed")


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.lifecycle.plan import plan
    from vagrantish.lifecycle.provisioning import check_only
    from vagrantish.lifecycle.up import UpOptions, get_boxes, up

    options = UpOptions(
        provision=args.provision,
        only=tuple(args.only),
        force=args.force,
        jobs=app.jobs(args.jobs),
    )
    wanted = set(app.select(args.names))
    app.use_lock(insist=args.locked)

    def chosen() -> tuple[Project, list[MachineConfig]]:
        project = app.project(provider=args.provider)
        return project, [machine for machine in project.machines if machine.name in wanted]

    project, machines = chosen()
    if args.plan:
        return _show_plan(plan(app.services, project, machines, options), app)
    check_only(machines, options.only)
    if get_boxes(app.services, project, machines, op=app.op):
        app.forget_settings()
        project, machines = chosen()
    results = up(app.services, project, machines, options, op=app.op)
    report(results, app)
    return 0


def report(results: Sequence[UpResult], app: App) -> None:
    if app.options.json:
        app.answer_json("up", {"machines": [_fields(result) for result in results]})
        return
    for result in results:
        if result.did_nothing:
            app.say(f"{result.machine} is up already; nothing to do")
        else:
            app.say(f"{result.machine} is ready in {result.seconds:.1f} s: vx ssh {result.machine}")
    for result in results:
        if result.message:
            app.answer(result.message)


def _fields(result: UpResult) -> dict[str, object]:
    return {
        "name": result.machine,
        "outcome": result.outcome,
        "seconds": round(result.seconds, 3),
        "ssh": {"host": result.host, "port": result.port},
        "forwards": [
            {"proto": f.proto, "host_ip": f.host_ip, "host": f.host, "guest": f.guest}
            for f in result.forwards
        ],
        "steps": [{"name": step.name, "status": step.status} for step in result.steps],
        "message": result.message,
    }


def _show_plan(actions: Sequence[tuple[str, str]], app: App) -> int:
    if app.options.json:
        app.answer_json("plan", {"actions": [{"machine": m, "action": a} for m, a in actions]})
    else:
        for machine, action in actions:
            app.answer(f"{machine}: {action}")
        if not actions:
            app.say("Nothing to do.")
    return 10 if actions else 0
