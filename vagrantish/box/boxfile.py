"""box.json: what the store knows of a box, written once it is complete."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vagrantish.box import reference
from vagrantish.errors import BoxError
from vagrantish.model import (
    Artifact,
    ArtifactKind,
    BootMode,
    Box,
    Extension,
    Fetched,
    RootKind,
    SeedKind,
    Source,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from vagrantish.box.ingest import Staged
    from vagrantish.model import Digest
    from vagrantish.paths import VxHome

FILE_NAME = "box.json"
_SCHEMA = 3


def artifact_path(home: VxHome, digest: Digest) -> Path:
    return home.artifacts / digest.algorithm / digest.hex


def artifacts_of(staged: Iterable[Staged], home: VxHome) -> dict[ArtifactKind, Artifact]:
    """What staged files will be once the store keeps them."""
    return {
        item.kind: Artifact(
            kind=item.kind,
            digest=item.digest,
            size_bytes=item.size_bytes,
            path=artifact_path(home, item.digest),
        )
        for item in staged
    }


def encode(box: Box, *, added_at: float) -> bytes:
    """``added_at`` is in seconds since 1970: the newest box of a name is the one added last."""
    table = {
        "schema": _SCHEMA,
        "name": box.name,
        "version": box.version,
        "arch": box.arch,
        "description": box.description,
        "artifacts": {
            str(kind): {"digest": str(artifact.digest), "size": artifact.size_bytes}
            for kind, artifact in sorted(box.artifacts.items())
        },
        "cmdline": box.cmdline,
        "user": box.user,
        "seed": str(box.seed),
        "root": str(box.root),
        "console": box.console,
        "cpu_level": box.cpu_level,
        "origin": box.origin,
        "defaults": box.defaults,
        "extensions": [
            {"name": item.name, "digest": str(item.digest), "size": item.size_bytes}
            for item in box.extensions
        ],
        "boot": str(box.boot),
        "disk_boots": box.disk_boots,
        "disk_cmdline": box.disk_cmdline,
        "kernel_release": box.kernel_release,
        "sources": [
            {
                "part": source.part,
                "publisher": source.url,
                "member": source.member,
                "pinned": source.pinned,
                **asdict(source.fetched),
            }
            for source in box.sources
        ],
        "added_at": added_at,
    }
    return json.dumps(table, indent=1, sort_keys=True).encode() + b"\n"


def read(path: Path, home: VxHome) -> tuple[Box, float] | None:
    """The box whose record is at ``path`` and when it was added; None when there is none.

    Raises BoxError when the record is damaged.
    """
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BoxError(f"cannot read {path}: {error.strerror}") from error
    try:
        table = json.loads(text)
        return _decode(table, home), float(table["added_at"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        version, arch = path.parent.parent.name, path.parent.name
        name = path.parent.parent.parent.name
        raise BoxError(
            f"the store's record of {name}@{version} ({arch}) is damaged: {path}",
            hint=f"`vx box remove {name}@{version}`, then add or build it again.",
        ) from error


def _decode(table: dict[str, Any], home: VxHome) -> Box:
    if table["schema"] == 1:
        table = _from_1(table)
    if table["schema"] == 2:
        table = {**table, "schema": _SCHEMA, "boot": BootMode.KERNEL}
    if table["schema"] != _SCHEMA:
        raise ValueError(table["schema"])
    artifacts = {}
    for word, entry in table["artifacts"].items():
        kind = ArtifactKind(word)
        digest = reference.parse_digest(entry["digest"])
        artifacts[kind] = Artifact(
            kind=kind,
            digest=digest,
            size_bytes=int(entry["size"]),
            path=artifact_path(home, digest),
        )
    return Box(
        name=table["name"],
        version=table["version"],
        arch=table["arch"],
        artifacts=artifacts,
        cmdline=table["cmdline"],
        user=table["user"],
        seed=SeedKind(table["seed"]),
        root=RootKind(table["root"]),
        console=table["console"],
        cpu_level=table["cpu_level"],
        origin=table["origin"],
        description=table["description"],
        defaults=dict(table["defaults"]),
        extensions=tuple(_extension(entry, home) for entry in table["extensions"]),
        boot=BootMode(table["boot"]),
        disk_boots=table["disk_boots"] is True,
        disk_cmdline=str(table["disk_cmdline"]),
        kernel_release=str(table["kernel_release"]),
        sources=tuple(_source(entry) for entry in table["sources"]),
    )


def _from_1(table: dict[str, Any]) -> dict[str, Any]:
    """Boxes of vx 0.1 were all added from this host."""
    added = {"extensions": [], "disk_boots": False, "disk_cmdline": "", "kernel_release": ""}
    return {**table, **added, "schema": 2, "sources": []}


def _extension(entry: dict[str, Any], home: VxHome) -> Extension:
    digest = reference.parse_digest(entry["digest"])
    return Extension(
        name=str(entry["name"]),
        digest=digest,
        size_bytes=int(entry["size"]),
        path=artifact_path(home, digest),
    )


def _source(entry: dict[str, Any]) -> Source:
    fetched = Fetched(
        url=str(entry["url"]),
        sha256=str(entry["sha256"]),
        size_bytes=int(entry["size_bytes"]),
        verified=str(entry["verified"]),
    )
    return Source(
        part=str(entry["part"]),
        url=str(entry["publisher"]),
        member=str(entry["member"]),
        pinned=str(entry["pinned"]),
        fetched=fetched,
    )


def records(home: VxHome) -> Iterator[Path]:
    """Where every box of the store has, or had, its record."""
    for name in folders(home.boxes):
        for version in folders(name):
            for arch in folders(version):
                yield arch / FILE_NAME


def folders(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
