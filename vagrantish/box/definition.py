"""box.toml of a packed box, its files beside it; docs/boxes.md describes every key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vagrantish.box import reference
from vagrantish.box.fields import (
    ARCHES,
    CMDLINE_MAX,
    CPU_LEVELS,
    FILE_NAME,
    SIZE_MAX,
    did_you_mean,
    open_table,
    shown,
    unusable,
)
from vagrantish.model import ArtifactKind, BootMode, Digest, RootKind, SeedKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagrantish.box.fields import Fields

__all__ = ["ARCHES", "CMDLINE_MAX", "CPU_LEVELS", "FILE_NAME", "SIZE_MAX", "Definition", "parse"]

_KEYS = (
    "name", "version", "arch", "description", "kernel", "initrd", "disk", "digest",
    "cmdline", "user", "seed", "root", "console", "cpu_level", "disk_boots", "boot",
    "defaults",
)  # fmt: skip
_PLAIN_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")


@dataclass(frozen=True, kw_only=True)
class Definition:
    name: str
    version: str
    arch: str
    description: str
    files: Mapping[ArtifactKind, str]  # plain names beside box.toml
    digests: Mapping[ArtifactKind, Digest]
    cmdline: str
    user: str
    seed: SeedKind
    root: RootKind
    console: str
    cpu_level: str
    disk_boots: bool  # kernel and initrd are those the disk boots; files of them may be missing
    boot: BootMode  # where it is not by a kernel, none is needed
    defaults: Mapping[str, Any]


def parse(
    text: str, *, source: str, name: str | None = None, version: str | None = None
) -> Definition:
    """The definition in ``text``; ``name`` and ``version`` replace its own.

    ``source`` names where it came from. Raises BoxError that lists every problem.
    """
    fields = open_table(text, source)
    fields.refuse_others(_KEYS)
    disk_boots = fields.flag("disk_boots")
    boot = fields.boot()
    by_kernel = boot is BootMode.KERNEL and not disk_boots
    files = _files(fields, needs_kernel=by_kernel)
    found = Definition(
        name=fields.named("name", name, reference.check_name),
        version=fields.named("version", version, reference.check_version),
        arch=fields.choice("arch", ARCHES, None),
        description=fields.text_of("description"),
        files=files,
        digests=_digests(fields, files),
        cmdline=fields.cmdline(),
        user=fields.user(),
        seed=fields.seed(),
        root=fields.root(),
        console=fields.console(),
        cpu_level=fields.cpu_level(),
        disk_boots=disk_boots,
        boot=boot,
        defaults=fields.defaults(),
    )
    overlays = (SeedKind.OVERLAY, SeedKind.TINYCORE)
    if found.seed in overlays and ArtifactKind.INITRD not in files and by_kernel:
        fields.problem("seed", f'seed = "{found.seed}" needs an initrd to add to')
    if boot is not BootMode.KERNEL:
        _check_boot(fields, found)
    if found.root is RootKind.DISK and ArtifactKind.DISK not in files:
        fields.problem("root", 'root = "disk" needs a disk')
    if disk_boots and ArtifactKind.DISK not in files:
        fields.problem("disk_boots", "disk_boots = true needs a disk")
    if fields.problems:
        raise unusable(source, fields.problems)
    return found


def _check_boot(fields: Fields, found: Definition) -> None:
    """What goes with a box whose disk boots by itself."""
    if ArtifactKind.DISK not in found.files:
        fields.problem("boot", f'boot = "{found.boot}" needs a disk')
    for kind in (ArtifactKind.KERNEL, ArtifactKind.INITRD):
        if kind in found.files:
            fields.problem(kind, f'with boot = "{found.boot}" no {kind} is loaded')
    if found.disk_boots:
        fields.problem("disk_boots", f'disk_boots takes a kernel, and boot = "{found.boot}" none')
    if found.seed in (SeedKind.OVERLAY, SeedKind.TINYCORE):
        text = f'seed = "{found.seed}" adds to an initrd, which boot = "{found.boot}" has not'
        fields.problem("seed", text)


def _files(fields: Fields, *, needs_kernel: bool) -> dict[ArtifactKind, str]:
    files: dict[ArtifactKind, str] = {}
    for kind in ArtifactKind:
        if kind not in fields and (kind is not ArtifactKind.KERNEL or not needs_kernel):
            continue
        value = fields.string(kind, None)
        if not isinstance(fields.table.get(kind), str):
            continue
        if not value:
            fields.problem(kind, f'"{kind}" is empty')
        elif not _PLAIN_FILE.fullmatch(value):
            fields.problem(kind, f'"{shown(value)}" is not the plain name of a file beside it')
        elif value in files.values():
            fields.problem(kind, f'"{value}" is named twice')
        files[kind] = value
    return files


def _digests(fields: Fields, files: Mapping[ArtifactKind, str]) -> dict[ArtifactKind, Digest]:
    table = fields.below("digest")
    digests: dict[ArtifactKind, Digest] = {}
    for key in table.table if table else ():
        assert table is not None
        if key not in tuple(ArtifactKind) or ArtifactKind(key) not in files:
            table.problem(key, f'the box has no "{shown(key)}"', did_you_mean(key, files))
        elif digest := table.digest(key):
            digests[ArtifactKind(key)] = digest
    return digests
