"""Puts the micro box together: which files go in, and as what."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from vagrantish.box.micro import debs, kernel
from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.formats import cpio, elf

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vagrantish.box.micro.recipe import Recipe, Selection
    from vagrantish.events import Step

_LIBRARY_DIR = "usr/lib/x86_64-linux-gnu"
_LOADER = "ld-linux-x86-64.so.2"
_USER_ID = 1000
_NEEDED_APPLETS = {"cp", "dd", "init", "ip", "modprobe", "mount", "sh", "switch_root", "udhcpc"}
_APPLET = re.compile(rb"([a-z0-9_.\[-]{1,32})\0")


class Files:
    """The box's files so far, by path."""

    def __init__(self) -> None:
        self.entries: dict[str, cpio.Entry] = {}

    def add(self, entry: cpio.Entry) -> None:
        self.entries[entry.name] = entry


def build(
    recipe: Recipe, selection: Selection, packages: Mapping[str, Path], step: Step
) -> tuple[bytes, bytes]:
    """The kernel and the initrd. Raises BoxError, HostError."""
    files = Files()
    for name in ("dev", "proc", "run", "sys", "mnt", "root"):
        files.add(cpio.directory(name, mode=0o700 if name == "root" else 0o755))
    for name in ("tmp", "var/tmp"):
        files.add(cpio.directory(name, mode=0o1777))
    for name in ("home", "var/lib", "var/log", "usr/local/bin"):
        files.add(cpio.directory(name))
    files.add(cpio.directory("home/vx", uid=_USER_ID, gid=_USER_ID))
    files.add(cpio.char_device("dev/console", 5, 1))
    files.add(cpio.char_device("dev/null", 1, 3, mode=0o666))
    for name, target in recipe.links.items():
        files.add(cpio.symlink(name, target))
    _add_own(files, recipe)
    _add_programs(files, recipe, selection, packages, step)
    _add_applets(files)
    vmlinuz, modules = kernel.read(
        [packages[name] for name in selection.kernel], recipe.modules, op=step.op
    )
    for entry in modules:
        files.add(entry)
    ordered = sorted(files.entries.values(), key=lambda entry: entry.name)
    return vmlinuz, cpio.archive(cpio.with_parents(ordered))


def _add_own(files: Files, recipe: Recipe) -> None:
    root = recipe.folder / "root"
    for path in sorted(root.rglob("*")):
        if path.is_file():
            name = path.relative_to(root).as_posix()
            with host_errors(f"read {path}"):
                data = path.read_bytes()
            files.add(cpio.file(name, data, mode=_mode_of(recipe, name, data)))


def _mode_of(recipe: Recipe, name: str, data: bytes) -> int:
    executable = data.startswith(b"#!") or elf.is_elf(data)
    return recipe.modes.get(name, 0o755 if executable else 0o644)


def _add_programs(
    files: Files,
    recipe: Recipe,
    selection: Selection,
    packages: Mapping[str, Path],
    step: Step,
) -> None:
    libraries: dict[str, bytes] = {}
    for index, package in enumerate(selection.packages):
        step.op.cancel.check()
        step.progress(index, len(selection.packages), "packages")
        if package.name in selection.kernel:
            continue
        found, links = debs.read(packages[package.name], _is_program_or_library)
        libraries.update(_by_soname(found, links))
        for source, target in recipe.packages.get(package.name, {}).items():
            data = found.get(source)
            if data is None:
                raise BoxError(f"the package {package.name} {package.version} holds no {source}")
            files.add(cpio.file(target, data, mode=_mode_of(recipe, target, data)))
    _add_libraries(files, libraries)


def _is_program_or_library(path: str) -> bool:
    return path.startswith(("usr/bin/", "usr/sbin/", "usr/lib")) and "/gconv/" not in path


def _by_soname(found: Mapping[str, bytes], links: Mapping[str, str]) -> dict[str, bytes]:
    """Libraries under every file name they go by."""
    named = {
        posixpath.basename(path): data
        for path, data in found.items()
        if ".so" in path and elf.is_elf(data)
    }
    for path, target in links.items():
        data = named.get(posixpath.basename(target))
        if data is not None:
            named.setdefault(posixpath.basename(path), data)
    return named


def _add_libraries(files: Files, libraries: Mapping[str, bytes]) -> None:
    """What the programs are linked with, and what that is linked with."""
    pending = [(entry.name, entry.data) for entry in files.entries.values()]
    done: set[str] = set()
    while pending:
        user, data = pending.pop()
        if not elf.is_elf(data):
            continue
        for soname in elf.needed(data):
            if soname in done:
                continue
            library = libraries.get(soname)
            if library is None:
                raise BoxError(f"no package here has {soname}, which {user} needs")
            done.add(soname)
            folder = "usr/lib64" if soname == _LOADER else _LIBRARY_DIR
            files.add(cpio.file(f"{folder}/{soname}", library, mode=0o755))
            pending.append((soname, library))
    if _LOADER not in done:
        files.add(cpio.file(f"usr/lib64/{_LOADER}", libraries[_LOADER], mode=0o755))


def _add_applets(files: Files) -> None:
    """A link for each program busybox can be, where no other file has that name."""
    names = applets(files.entries["usr/bin/busybox"].data)
    lacking = sorted(_NEEDED_APPLETS - set(names))
    if lacking:
        raise BoxError(f"the busybox of this host's packages lacks {', '.join(lacking)}")
    for name in names:
        path = f"usr/bin/{name}"
        if path not in files.entries:
            files.add(cpio.symlink(path, "busybox"))


def applets(busybox: bytes) -> tuple[str, ...]:
    """Their names lie in the program one after the other, sorted, each ended by NUL."""
    at = busybox.find(b"[\0[[\0")
    names: list[str] = []
    while at >= 0 and (match := _APPLET.match(busybox, at)):
        name = match[1].decode()
        if names and name <= names[-1]:
            break
        names.append(name)
        at = match.end()
    if "sh" not in names:
        raise BoxError("the busybox package's list of applets was not found")
    return tuple(names)
