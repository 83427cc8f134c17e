"""``vx box``: the boxes in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.cli import box_add, box_upkeep
from vagrantish.cli.commands import Subcommand
from vagrantish.errors import BoxError, UsageError
from vagrantish.units import format_size

if TYPE_CHECKING:
    import argparse

    from vagrantish.cli.app import App
    from vagrantish.machine.record import Record
    from vagrantish.model import Box, BoxRef

EXAMPLES = ("vx box list", "vx help box add")
BUILDABLE = ("micro",)
VERIFIED = {
    "pinned": "the digest in its definition or lock",
    "first use": "nothing: it was taken as it came, and is compared from then on",
}


class BoxInUse(BoxError):
    code = "box-in-use"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # the commands below it take them


def run(args: argparse.Namespace, app: App) -> int:
    del args, app
    raise UsageError(
        f"vx box needs a command: {', '.join(SUBCOMMANDS)}", hint="See `vx box --help`."
    )


# --- list and info -------------------------------------------------------------------------


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--available", action="store_true", help="those that can be had, not those in the store"
    )
    parser.add_argument(
        "--refresh", action="store_true", help="the same, with the catalogs fetched again first"
    )


def _list(args: argparse.Namespace, app: App) -> int:
    if args.available or args.refresh:
        from vagrantish.cli import box_catalog

        return box_catalog.list_available(app, refresh=args.refresh)
    boxes = app.services.boxes.list()
    if app.options.json:
        app.answer_json("box-list", {"boxes": [fields_of(box) for box in boxes]})
        return 0
    if boxes:
        rows = [
            (box.name, box.version, box.arch, format_size(size_of(box)), box.description)
            for box in boxes
        ]
        app.columns(("NAME", "VERSION", "ARCH", "SIZE", "DESCRIPTION"), rows)
    else:
        app.say("No boxes yet. `vx box build micro` makes a small one.")
    return 0


def _info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("box", metavar="BOX", help="NAME[@VERSION]; the newest without a version")
    _arch_argument(parser)


def _info(args: argparse.Namespace, app: App) -> int:
    ref, arch = ref_of(args.box), _arch(args)
    if app.services.boxes.get(ref, arch) is None:
        from vagrantish.cli import box_catalog

        if box_catalog.info(ref, arch, app):
            return 0
    box = app.services.boxes.find(ref, arch)
    users = [
        f"{user.name} in {user.project}" for user in users_of(app, box.name, box.version, box.arch)
    ]
    if app.options.json:
        app.answer_json("box-info", {**fields_of(box), "used_by": users})
        return 0
    from vagrantish.box.bootcmdline import merged
    from vagrantish.cli.text import columns

    rows = [
        ("version", box.version),
        ("architecture", box.arch),
        ("description", box.description or "-"),
        ("from", box.origin or "-"),
        ("size", format_size(size_of(box))),
        *((f"  {part}", f"{format_size(f.size_bytes)}  {f.digest}") for part, f in box.files.items()),
        *source_rows(box),
        ("user", box.user),
        ("seed", box.seed.value),
        ("root", "in memory, lost at every halt" if box.root == "ram" else "on its disk"),
        ("console", box.console),
        ("processor", box.cpu_level),
        *([("boots", f"by itself, mode {box.boot}")] if box.boot != "kernel" else []),
        *([("kernel", f"{box.kernel_release}, from its disk, as the guest upgrades it")] if box.disk_boots else []),
        ("command line", merged(box.disk_cmdline, box.cmdline) or "-"),
        ("used by", ", ".join(users) or "no machine"),
    ]  # fmt: skip
    app.answer(columns(("name", box.name), rows))
    return 0


# --- build ---------------------------------------------------------------------------------


def _build_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", default="micro", choices=BUILDABLE, metavar="NAME",
        help="the box to build: micro",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="build it even when it is there")


def _build(args: argparse.Namespace, app: App) -> int:
    from vagrantish.box import micro

    del args.name  # there is but one
    box = micro.build(app.services.boxes, app.home, force=args.force, op=app.op)
    return stored("box-build", box, app)


def stored(command: str, box: Box, app: App) -> int:
    if app.options.json:
        app.answer_json(command, fields_of(box))
    else:
        app.say(f'{box.label} is in the store. Use it with: box = "{box.name}"')
    return 0


# --- remove --------------------------------------------------------------------------------


def _remove_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("box", metavar="BOX", help="NAME[@VERSION]")
    _arch_argument(parser)
    parser.add_argument("--force", action="store_true", help="also when a machine was made from it")


def _remove(args: argparse.Namespace, app: App) -> int:
    ref = ref_of(args.box)
    arch = _arch(args)
    users = users_of(app, ref.name, ref.version, arch)
    if users and not args.force:
        raise BoxInUse(
            f"{ref} is used by {', '.join(f'{user.name} in {user.project}' for user in users)}",
            hint=f"Destroy that first, or run `vx box remove {ref} --force`: "
            "what the machine needs is kept until it is destroyed.",
        )
    if not app.confirm(f"Remove box {ref} ({arch})?"):
        app.say("Nothing was removed.")
        return 1
    in_use = app.services.machines.artifacts_in_use()
    app.services.boxes.remove(ref, arch, in_use=in_use, op=app.op)
    if app.options.json:
        app.answer_json("box-remove", {"name": ref.name, "version": ref.version, "arch": arch})
    else:
        app.say(f"{ref} is removed.")
    return 0


# --- shared --------------------------------------------------------------------------------


def _arch_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arch", metavar="ARCH", help="x86_64 or aarch64 (default: this host's)")


def _arch(args: argparse.Namespace) -> str:
    from vagrantish.box.reference import host_arch

    return args.arch or host_arch()


def ref_of(text: str) -> BoxRef:
    """Raises UsageError."""
    from vagrantish.box.reference import parse

    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(
            str(error), hint="A box is NAME or NAME@VERSION: see `vx box list`."
        ) from error


def source_rows(box: Box) -> list[tuple[str, str]]:
    """Each download once, and what made it trustworthy."""
    rows = []
    for url in dict.fromkeys(source.fetched.url for source in box.sources):
        fetched = next(s.fetched for s in box.sources if s.fetched.url == url)
        rows += [
            ("fetched from", url),
            ("  sha256", fetched.sha256),
            ("  verified by", VERIFIED.get(fetched.verified, fetched.verified)),
        ]
    return rows


def size_of(box: Box) -> int:
    return sum(file.size_bytes for file in box.files.values())


def users_of(app: App, name: str, version: str | None, arch: str) -> list[Record]:
    """The machines made from a box, in whatever project; any version when that is None."""
    return [
        record
        for record in app.services.machines.all()
        if record.box.get("arch") == arch
        and record.box_label.partition("@")[0] == name
        and version in (None, record.box_label.partition("@")[2])
    ]


def fields_of(box: Box) -> dict[str, object]:
    """A box as ``--json`` shows it."""
    return {
        "name": box.name,
        "version": box.version,
        "arch": box.arch,
        "description": box.description,
        "origin": box.origin,
        "size": size_of(box),
        "artifacts": {
            kind.value: {"digest": str(a.digest), "size": a.size_bytes, "path": str(a.path)}
            for kind, a in box.artifacts.items()
        },
        "extensions": [
            {"name": e.name, "digest": str(e.digest), "size": e.size_bytes, "path": str(e.path)}
            for e in box.extensions
        ],
        "sources": [
            {
                "part": source.part,
                "url": source.fetched.url,
                "member": source.member,
                "sha256": source.fetched.sha256,
                "size": source.fetched.size_bytes,
                "verified": source.fetched.verified,
            }
            for source in box.sources
        ],
        "kernel_release": box.kernel_release,
        "in_store": True,
        "user": box.user,
        "seed": box.seed.value,
        "boot": box.boot.value,
        "root": box.root.value,
        "console": box.console,
        "cpu_level": box.cpu_level,
        "cmdline": box.cmdline,
        "defaults": dict(box.defaults),
    }


SUBCOMMANDS = {
    "list": Subcommand(
        "the boxes in the store, or those that can be had",
        _list_arguments,
        _list,
        ("vx box list", "vx box list --available"),
    ),
    "info": Subcommand(
        "all about one box, also one that is not in the store yet",
        _info_arguments,
        _info,
        ("vx box info micro", "vx box info micro --json"),
    ),
    "build": Subcommand(
        "make a small box from this host's own packages",
        _build_arguments,
        _build,
        ("vx box build micro", "vx box build micro --force"),
    ),
    "add": Subcommand(
        "take a box into the store: by name, from a file or from the web",
        box_add.add_arguments,
        box_add.run,
        box_add.EXAMPLES,
    ),
    "remove": Subcommand(
        "take a box out of the store",
        _remove_arguments,
        _remove,
        ("vx box remove micro", "vx box remove mybox@2 --yes"),
    ),
    **box_upkeep.SUBCOMMANDS,
}
