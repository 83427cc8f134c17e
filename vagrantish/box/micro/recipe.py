"""The recipe in boxes/micro and the packages it comes to on this host."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vagrantish.box.micro import apt
from vagrantish.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from vagrantish.box.micro.apt import Package

# Raise it when the builder's own code makes something else of the same files.
_REVISION = 1
_LIBRARY = re.compile(r"lib(?!perl)[a-z0-9+.-]*[0-9](g|t64)?|zlib1g")
_KERNEL_IMAGE = re.compile(r"linux-image-(unsigned-)?[0-9][a-z0-9.+-]*")
_KERNEL_MODULES = re.compile(r"linux-modules-[0-9][a-z0-9.+-]*")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    folder: Path
    kernels: tuple[str, ...]
    packages: Mapping[str, Mapping[str, str]]  # package → file in it → file in the box
    modules: tuple[str, ...]
    modes: Mapping[str, int]
    links: Mapping[str, str]

    def digest(self) -> str:
        """Over every file of the recipe and the builder's revision."""
        digest = hashlib.sha256(f"revision {_REVISION}\n".encode())
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                data = path.read_bytes()
                name = path.relative_to(self.folder)
                digest.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The packages the box is made of on this host."""

    kernel: tuple[str, ...]  # names of those that hold the kernel and its modules
    kernel_version: str  # upstream: "6.1.192"
    packages: tuple[Package, ...]

    def digest(self) -> str:
        lines = (f"{p.name} {p.version} {p.arch} {p.sha256}\n" for p in self.packages)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def load(folder: Path) -> Recipe:
    from vagrantish import toml

    table: dict[str, Any] = toml.read(folder / "recipe.toml").table
    return Recipe(
        folder=folder,
        kernels=tuple(table["kernels"]),
        packages=table["packages"],
        modules=tuple(table["modules"]["names"]),
        modes=table["modes"],
        links=table["links"],
    )


def select(recipe: Recipe) -> Selection:
    """Ask apt for everything the recipe needs. Raises HostError naming what apt does not know."""
    known = apt.show(recipe.packages, alternatives=recipe.kernels)
    missing = sorted(set(recipe.packages) - set(known))
    meta = next((known[name] for name in recipe.kernels if name in known), None)
    if missing or meta is None:
        lacking = ", ".join(missing or recipe.kernels[:1])
        raise HostError(
            f"apt knows no package {lacking}",
            hint="Run `sudo apt-get update`; on Ubuntu, `universe` must be among the sources.",
        )
    kernel = _kernel_packages(meta)
    libraries = _libraries(known[name] for name in recipe.packages)
    chosen = {
        package.name: package
        for package in (*kernel, *libraries, *(known[name] for name in recipe.packages))
    }
    return Selection(
        kernel=tuple(package.name for package in kernel),
        kernel_version=re.split(r"[^0-9.]", kernel[0].version)[0],
        packages=tuple(chosen[name] for name in sorted(chosen)),
    )


def _kernel_packages(meta: Package) -> tuple[Package, ...]:
    """The image a metapackage stands for and, where they are apart, its modules."""
    names = [name for group in meta.depends for name in group if _KERNEL_IMAGE.fullmatch(name)]
    images = apt.show(names[:1])
    if not images:
        raise HostError(
            f"apt knows no kernel package behind {meta.name}", hint="Run `sudo apt-get update`."
        )
    image = images[names[0]]
    wanted = [
        name
        for package in (meta, image)
        for group in package.depends
        for name in group
        if _KERNEL_MODULES.fullmatch(name)
    ]
    modules = apt.show(wanted) if wanted else {}
    return (image, *(modules[name] for name in sorted(modules)))


def _libraries(packages: Iterable[Package]) -> tuple[Package, ...]:
    """Every library package these depend on, also by way of another library."""
    found: dict[str, Package] = {}
    pending = tuple(packages)
    while pending:
        names = {
            group[0]
            for package in pending
            for group in package.depends
            if group and is_library(group[0]) and group[0] not in found
        }
        fresh = apt.show(names) if names else {}
        found.update(fresh)
        pending = tuple(fresh.values())
    return tuple(found.values())


def is_library(package: str) -> bool:
    """By its name: Debian calls a library's package after its soname (Debian Policy, 8.1)."""
    return _LIBRARY.fullmatch(package) is not None
