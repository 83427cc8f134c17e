"""Builds the box ``micro`` from this host's own distribution packages, without root."""

from __future__ import annotations

import hashlib
import platform
from typing import TYPE_CHECKING

from vagrantish.box import reference
from vagrantish.box.micro import apt, image, recipe
from vagrantish.errors import HostError
from vagrantish.files import host_errors, staging
from vagrantish.locks import hold
from vagrantish.model import BoxRef
from vagrantish.resources import boxes_dir

if TYPE_CHECKING:
    from vagrantish.box.store import BoxStore
    from vagrantish.events import Op
    from vagrantish.model import Box
    from vagrantish.paths import VxHome

NAME = "micro"
_ORIGIN = "built from this host's packages"
_ALTERNATIVE = "Elsewhere, add a box made on such a host: `vx box add PATH`."


def build(store: BoxStore, home: VxHome, *, force: bool, op: Op) -> Box:
    """The box ``micro`` made of the packages apt knows now; built only if the store lacks it.

    The same packages and recipe give the same bytes. Raises HostError where it cannot be built,
    FetchError, DigestMismatch, BoxError.
    """
    _check_host()
    with hold(home.locks / "build-micro.lock", what="the building of micro", op=op):
        with op.step("box:plan", "Asking apt for packages") as step:
            rules = recipe.load(boxes_dir() / NAME)
            selection = recipe.select(rules)
            version = _version(rules, selection)
            step.outcome = f"{NAME}@{version}"
        box = None if force else store.get(BoxRef(name=NAME, version=version), "x86_64")
        if box is not None:
            op.note(f"{box.label} is already built from these packages")
            return box
        packages = apt.fetch(selection.packages, home, op=op)
        with staging(home.tmp) as folder:
            with op.step("box:build", f"Building {NAME}@{version}") as step:
                kernel, initrd = image.build(rules, selection, packages, step)
                with host_errors(f"write in {folder}"):
                    (folder / "kernel").write_bytes(kernel)
                    (folder / "initrd").write_bytes(initrd)
                    definition = (rules.folder / "box.toml").read_text("utf-8")
                    (folder / "box.toml").write_text(definition, "utf-8")
            return store.add(folder, version=version, force=True, origin=_ORIGIN, op=op)


def _check_host() -> None:
    arch = reference.host_arch()
    if apt.native_arch() is None:
        raise HostError(
            f"{NAME} is built from Debian's or Ubuntu's packages, and this host has no apt",
            hint=f"Build it on Debian 12 or later, or Ubuntu 22.04 or later. {_ALTERNATIVE}",
        )
    if arch != "x86_64" or apt.native_arch() != "amd64":
        raise HostError(f"{NAME} is built for x86_64, and this host is {arch}", hint=_ALTERNATIVE)


def _version(rules: recipe.Recipe, selection: recipe.Selection) -> str:
    """Readable first, then unique: ``bookworm-6.1.192-1a2b3c4d``."""
    try:
        release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        release = ""
    inputs = hashlib.sha256(f"{rules.digest()} {selection.digest()}".encode()).hexdigest()
    return "-".join(filter(None, (release, selection.kernel_version, inputs[:8])))
