"""``vx box add``: a box by name, from a file or from the web."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vagrantish.errors import BoxError, BoxNotFound, UsageError

if TYPE_CHECKING:
    import argparse

    from vagrantish.box.catalog import Catalog
    from vagrantish.box.import_job import Wishes
    from vagrantish.cli.app import App
    from vagrantish.model import Box, BoxRef, Digest, Release, SeedKind

EXAMPLES = (
    "vx box add ubuntu@24.04",
    "vx box add ./rhel-9.6-x86_64-kvm.qcow2 --name rhel --version 9.6",
    "vx box add https://example.org/disk.raw.xz --name mine --digest sha256:…",
    "vx box add ./freebsd.qcow2 --name freebsd --boot uefi --user me --seed none",
    "vx box add libvirt.box --name mine",
    "vx box add ./mybox",
)
_SEEDS = ("cloud-init", "none", "overlay", "tinycore")
_BOOTS = ("kernel", "uefi", "fbsd")
_OF_FILES = ("name", "version", "digest", "user", "seed", "cmdline", "provider", "boot")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", metavar="WHAT",
        help="a box's name, or the path or URL of a disk image, a Tiny Core ISO, a Vagrant box or "
        "catalog, or a folder or archive with a box.toml",
    )  # fmt: skip
    parser.add_argument("--name", metavar="NAME", help="what the box is to be called")
    parser.add_argument(
        "--version",
        metavar="VERSION",
        help="its version; with a catalog of Vagrant's the one wanted",
    )
    parser.add_argument("--arch", metavar="ARCH", help="x86_64 or aarch64: refuse any other")
    parser.add_argument("--digest", metavar="sha256:…", help="what the file has to be")
    parser.add_argument("--user", metavar="USER", help="whom vx logs in as")
    parser.add_argument(
        "--seed", metavar="SEED", choices=_SEEDS,
        help=f"how it gets its keys: {', '.join(_SEEDS)}",
    )  # fmt: skip
    parser.add_argument(
        "--cmdline", metavar="WORDS", help="words for its kernel, added to those of its own"
    )
    parser.add_argument(
        "--boot", metavar="HOW", choices=_BOOTS,
        help="what boots it: kernel (the one on its disk, by itself), uefi or fbsd (FreeBSD's loader)",
    )  # fmt: skip
    parser.add_argument(
        "--provider", metavar="NAME", help="of a catalog of Vagrant's: libvirt, qemu or xhyve"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace a box of that name and version"
    )


def run(args: argparse.Namespace, app: App) -> int:
    from vagrantish.cli.box import stored

    wishes = _wishes(args)
    if "://" in args.what or os.path.exists(os.path.expanduser(args.what)):
        box = _imported(args, wishes, app)
    else:
        box = _by_name(args, app)
    return stored("box-add", box, app)


def _imported(args: argparse.Namespace, wishes: Wishes, app: App) -> Box:
    from vagrantish.box import importing

    catalog = _Catalog(app)
    request = importing.Request(
        what=args.what,
        wishes=wishes,
        settings=catalog.settings,
        release=catalog.release,
        force=args.force,
    )
    return importing.add(app.home, request, op=app.op)


def _by_name(args: argparse.Namespace, app: App) -> Box:
    """Raises BoxNotFound, BoxError, UsageError."""
    from vagrantish.box import reference
    from vagrantish.lifecycle.catalogs import open_catalog

    try:
        ref = reference.parse(args.what)
    except ValueError as error:
        raise _nothing_there(args.what) from error
    for option in _OF_FILES:
        if getattr(args, option) is not None:
            raise UsageError(
                f"--{option} is for files and URLs, and there is no file {args.what}",
                hint="A version of a box goes by NAME@VERSION; the rest is its definition's to say.",
            )
    catalog = open_catalog(app.home, app.env, op=app.op)
    try:
        release = catalog.find(ref, args.arch or reference.host_arch())
    except BoxNotFound as error:
        if ref.name in catalog.names():
            raise
        raise BoxNotFound(f"there is no file {args.what}, and {error}", hint=error.hint) from error
    return app.services.boxes.obtain(release, force=args.force, op=app.op)


def _nothing_there(what: str) -> BoxError:
    user, slash, name = what.partition("/")
    hint = "Give the name of a box, or the path or URL of a file; `vx help box add` has examples."
    if slash and user.isalnum() and name and "/" not in name:
        hint = (
            "If it is a box of Vagrant's, give its catalog: "
            f"`vx box add https://vagrantcloud.com/api/v2/vagrant/{what}`."
        )
    return BoxError(f"there is no {what}", hint=hint)


def _wishes(args: argparse.Namespace) -> Wishes:
    """Raises UsageError."""
    from vagrantish.box import fields, reference
    from vagrantish.box.import_job import Wishes
    from vagrantish.model import BootMode, SeedKind

    try:
        if args.name is not None:
            reference.check_name(args.name)
        if args.version is not None:
            reference.check_version(args.version)
        digest: Digest | None = reference.parse_digest(args.digest) if args.digest else None
    except ValueError as error:
        raise UsageError(str(error), hint="See `vx help box add`.") from error
    if args.arch is not None and args.arch not in fields.ARCHES:
        raise _odd("arch", args.arch, f"one of {', '.join(fields.ARCHES)}")
    if args.user is not None and not fields.USER.fullmatch(args.user):
        raise _odd("user", args.user, "a user name")
    if args.cmdline is not None and not _is_line(args.cmdline):
        raise _odd("cmdline", args.cmdline, f"one line of up to {fields.CMDLINE_MAX} bytes")
    seed: SeedKind | None = SeedKind(args.seed) if args.seed else None
    return Wishes(
        name=args.name,
        version=args.version,
        arch=args.arch,
        digest=digest,
        user=args.user,
        seed=seed,
        cmdline=args.cmdline,
        provider=args.provider,
        boot=BootMode(args.boot) if args.boot else None,
    )


def _odd(option: str, value: str, meant: str) -> UsageError:
    from vagrantish.box.fields import shown

    return UsageError(f'--{option} "{shown(value)}" is not {meant}', hint="See `vx help box add`.")


def _is_line(text: str) -> bool:
    from vagrantish.box.fields import CMDLINE_MAX

    return len(text.encode()) <= CMDLINE_MAX and all(ord(char) >= 32 for char in text)


class _Catalog:
    """The definitions, read when something asks for them."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._opened: Catalog | None = None

    def settings(self, ref: BoxRef, arch: str) -> Release | None:
        return self._catalog.settings(ref, arch)

    def release(self, ref: BoxRef, arch: str) -> Release | None:
        try:
            return self._catalog.find(ref, arch)
        except BoxNotFound:
            return None

    @property
    def _catalog(self) -> Catalog:
        if self._opened is None:
            from vagrantish.lifecycle.catalogs import open_catalog

            app = self._app
            self._opened = open_catalog(app.home, app.env, op=app.op)
        return self._opened
