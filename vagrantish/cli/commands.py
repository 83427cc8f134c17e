"""Every verb: the module that knows it and what it does, in the order ``vx --help`` shows them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from vagrantish.cli.app import App

    class Command(Protocol):
        """What a verb's module holds. ``EXAMPLES`` are whole command lines."""

        EXAMPLES: tuple[str, ...]

        def add_arguments(self, parser: argparse.ArgumentParser, /) -> None: ...
        def run(self, args: argparse.Namespace, app: App, /) -> int: ...


class Subcommand:
    """A verb's verb: a module lists its own in ``SUBCOMMANDS``, name → Subcommand."""

    __slots__ = ("add_arguments", "examples", "run", "summary")

    def __init__(
        self,
        summary: str,
        add_arguments: Callable[[argparse.ArgumentParser], None],
        run: Callable[[argparse.Namespace, App], int],
        examples: tuple[str, ...],
    ) -> None:
        self.summary = summary
        self.add_arguments = add_arguments
        self.run = run
        self.examples = examples


GROUPS: tuple[tuple[str, Mapping[str, tuple[str, str]]], ...] = (
    (
        "Machines",
        {
            "up": ("up", "create, boot and provision machines; safe to repeat"),
            "halt": ("halt", "shut machines down, keeping their disks"),
            "reload": ("reload", "halt, then up with the Xhyvefile as it is now"),
            "destroy": ("destroy", "remove machines and all that is on their disks"),
            "status": ("status", "what the project's machines are doing"),
            "global-status": ("global_status", "what the machines of every project are doing"),
        },
    ),
    (
        "In the guest",
        {
            "ssh": ("ssh", "log into a machine, or run a command in it"),
            "ssh-config": ("ssh_config", "settings for ssh, scp, rsync and editors"),
            "provision": ("provision", "run the provisioning steps that are due"),
            "cp": ("cp", "copy files between here and a guest"),
            "port": ("port", "which port of the host leads to which of the guest"),
        },
    ),
    (
        "When something is wrong",
        {
            "explain": ("explain", "why a boot failed, or how long each stage of it took"),
            "logs": ("logs", "what a guest wrote to its console"),
            "console": ("attach", "attach to a machine's serial console"),
            "argv": ("argv", "the exact hypervisor command"),
            "doctor": ("doctor", "what is wrong with this host, the boxes, the project"),
        },
    ),
    (
        "The project",
        {
            "init": ("init", "write an Xhyvefile"),
            "validate": ("validate", "look for mistakes in the Xhyvefile"),
            "config": ("config", "the settings as they came out, and where each is from"),
            "lock": ("lock", "pin what the project boots, to the byte"),
            "fetch": ("fetch", "get everything the project needs, in advance"),
            "schema": ("schema", "print the JSON Schema of the Xhyvefile"),
        },
    ),
    (
        "Boxes and vx itself",
        {
            "box": ("box", "build, add, list and remove boxes"),
            "completion": ("completion", "print the completion script of a shell"),
            "version": ("version", "print the version"),
        },
    ),
)

COMMANDS: Mapping[str, tuple[str, str]] = {
    name: entry for _, group in GROUPS for name, entry in group.items()
}

# What people type who know another tool → the verb they want.
SYNONYMS: Mapping[str, str] = {
    "boot": "up", "create": "up", "run": "up", "start": "up",
    "down": "halt", "poweroff": "halt", "shutdown": "halt", "stop": "halt",
    "delete": "destroy", "remove": "destroy", "rm": "destroy",
    "list": "status", "ls": "status", "ps": "status",
    "reboot": "reload", "restart": "reload",
    "connect": "ssh", "exec": "ssh", "login": "ssh", "shell": "ssh",
    "copy": "cp", "scp": "cp", "upload": "cp",
    "attach": "console", "log": "logs", "serial": "console",
    "check": "validate", "diagnose": "explain", "new": "init", "show": "config", "why": "explain",
}  # fmt: skip


def load(verb: str) -> Command:
    """The module of a verb of the table; only this one is ever imported."""
    from importlib import import_module

    module: Command = import_module(f"vagrantish.cli.{COMMANDS[verb][0]}")
    return module


def subcommands(module: Command) -> Mapping[str, Subcommand]:
    found: Mapping[str, Subcommand] = getattr(module, "SUBCOMMANDS", {})
    return found
