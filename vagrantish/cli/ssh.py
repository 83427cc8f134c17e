"""``vx ssh``: the OpenSSH client, told where, who and which host key."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx ssh", "vx ssh web -c 'uname -a'", "vx ssh web -- -L 8080:localhost:80 -N")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="default: the primary machine")
    parser.add_argument(
        "-c", "--command", metavar="CMD", help="run CMD in the guest; its exit status is passed on"
    )
    parser.add_argument(
        "-A", "--forward-agent", action="store_true", help="let the guest use your ssh agent"
    )
    parser.add_argument(
        "-t", "--tty", action="store_true", help="give CMD a terminal even when it has none here"
    )
    parser.add_argument(
        "args", nargs=argparse_remainder(), metavar="-- ARGS", help="more arguments for ssh itself"
    )


def argparse_remainder() -> str:
    import argparse

    return argparse.REMAINDER


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.lifecycle import connect
    from vagrantish.ssh.program import find_ssh, ssh_argv

    name = app.one(args.name)
    view = connect.running_view(app.home, app.xhyvefile().parent, name)
    target = connect.target(app.home, view)
    target.forward_agent = target.forward_agent or args.forward_agent
    extra = args.args[1:] if args.args[:1] == ["--"] else args.args
    argv = ssh_argv(target, command=args.command, tty=args.tty or None, extra=extra)
    # Replacing this process leaves nothing of Python between the user's terminal and ssh:
    # window size, signals and the exit status are ssh's own business.
    os.execv(find_ssh(), argv)  # noqa: S606 - an argument list, and no shell is wanted
