"""``vx ssh-config``: the same way in, for ssh, scp, rsync and editors."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App

EXAMPLES = ("vx ssh-config > ssh.cfg && ssh -F ssh.cfg default", "vx ssh-config --host web1 web")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every running machine")
    parser.add_argument("--host", metavar="NAME", help="the Host name to write (one machine only)")


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.errors import UsageError
    from vagrantish.lifecycle import connect, look
    from vagrantish.ssh.program import ssh_config_text

    root = app.xhyvefile().parent
    names = app.select(args.names, everything=True)
    if not args.names:
        up = [n for n in names if look.look(app.home, root, n).process is not None]
        names = up or names
    if args.host and len(names) > 1:
        raise UsageError(
            f"--host needs one machine, and there are {len(names)}", hint="Name the machine."
        )
    views = [connect.running_view(app.home, root, name) for name in names]
    texts = [
        ssh_config_text(connect.target(app.home, view), args.host or view.name) for view in views
    ]
    app.answer("\n".join(text.rstrip("\n") + "\n" for text in texts).rstrip("\n"))
    return 0
