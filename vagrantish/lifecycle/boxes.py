"""From what the Xhyvefile says of a box to one in the store, by way of the project's lock."""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import TYPE_CHECKING

from vagrantish.errors import BoxNotFound
from vagrantish.lifecycle import pins
from vagrantish.lifecycle.pins import LockMismatch
from vagrantish.model import BoxParts, BoxRef, Part, Release, Remote

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.model import Box, LockedBox, LockedFile

_ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}  # how macOS and the BSDs name them


def host_arch() -> str:
    machine = platform.machine().lower()
    return _ARCHES.get(machine, machine)


def stored_box(services: Services, wanted: BoxRef) -> Box | None:
    """The box if the store has it, the locked version where there is one. Raises BoxError."""
    arch = host_arch()
    return services.boxes.get(services.pins.exact(wanted, arch), arch)


def resolve_box(services: Services, wanted: BoxRef | BoxParts, *, op: Op) -> Box:
    """The box, fetched, built or copied into the store first where needed.

    Raises BoxNotFound, BoxError, FetchError, DigestMismatch, LockMismatch; HostError when
    ``micro`` cannot be built here.
    """
    if isinstance(wanted, BoxParts):
        return services.boxes.adopt(wanted, op=op)
    locked = services.pins.of(wanted, host_arch())
    if locked is not None:
        return _locked_box(services, locked, op=op)
    return services.boxes.get(wanted, host_arch()) or get_box(services, wanted, op=op)


def get_box(services: Services, wanted: BoxRef, *, op: Op) -> Box:
    """Build it, or fetch the newest that ``wanted`` allows, whatever the store has."""
    if wanted.name == "micro" and wanted.version is None:
        return _build_micro(services, op=op)
    release = find_release(services, wanted, host_arch(), op=op)
    return services.boxes.obtain(release, op=op)


def find_release(services: Services, wanted: BoxRef, arch: str, *, op: Op) -> Release:
    """Raises BoxNotFound that knows the store and the catalogs."""
    from vagrantish.lifecycle.catalogs import open_catalog

    catalog = open_catalog(services.home, services.env, op=op)
    if catalog.published(wanted.name) is None and services.boxes.has(wanted.name):
        services.boxes.find(wanted, arch)  # tells what the store has of it
    return catalog.find(wanted, arch)


def _build_micro(services: Services, *, op: Op) -> Box:
    from vagrantish.box import micro

    return micro.build(services.boxes, services.home, force=False, op=op)


def _locked_box(services: Services, locked: LockedBox, *, op: Op) -> Box:
    exact = BoxRef(name=locked.name, version=locked.version)
    box = services.boxes.get(exact, locked.arch)
    lock_name = services.pins.path.name if services.pins.path else "the lock"
    if box is None and locked.local:
        box = _rebuilt(services, locked, lock_name, op=op)
        if box.version != locked.version:
            return box
    elif box is None:
        release = find_locked(services, locked, op=op)
        box = services.boxes.obtain(release, op=op)
    pins.check(locked, box, lock_name=lock_name)
    return box


def _rebuilt(services: Services, locked: LockedBox, lock_name: str, *, op: Op) -> Box:
    """A box that cannot be fetched: micro is built, as near to the locked one as this host can."""
    label = f"{locked.name}@{locked.version}"
    if locked.name != "micro":
        raise BoxNotFound(
            f"{lock_name} has {label}, which was added from somebody's own files",
            hint=f"Get those files, and take them in: `vx box add PATH`. "
            f"`vx lock --update {locked.name}` moves the project to another version.",
        )
    box = services.boxes.get(BoxRef(name="micro"), locked.arch) or _build_micro(services, op=op)
    if box.version != locked.version:
        told = (
            f"micro is built from a host's own packages: {lock_name} has {label}, "
            f"and here it is {box.label}"
        )
        if services.pins.insisted:
            raise LockMismatch(told, hint="`vx lock --update micro` takes the one of this host.")
        op.note(told)
    return box


def find_locked(services: Services, locked: LockedBox, *, op: Op) -> Release:
    """The locked release with the locked digests; how it boots the lock or a catalog knows."""
    if locked.boots is not None:
        bare = Release(
            name=locked.name,
            version=locked.version,
            arch=locked.arch,
            parts={},
            extensions={},
            **vars(locked.boots),
        )
        return with_locked_files(bare, locked.files)
    from vagrantish.lifecycle.catalogs import open_catalog

    catalog = open_catalog(services.home, services.env, op=op)
    exact = BoxRef(name=locked.name, version=locked.version)
    known = catalog.published(locked.name)
    release = known.find(locked.version, locked.arch) if known else None
    if release is None or release.version != locked.version:
        # The definition has moved on. The bytes are still those of the lock.
        release = catalog.settings(_line_of(catalog.releases(locked.name), locked), locked.arch)
    if release is None:
        return catalog.find(exact, locked.arch)
    return with_locked_files(replace(release, version=locked.version), locked.files)


def _line_of(releases: tuple[Release, ...], locked: LockedBox) -> BoxRef:
    """What the definition calls the line that the locked version is of."""
    parts = locked.version.split(".")
    for length in range(len(parts) - 1, 0, -1):
        line = ".".join(parts[:length])
        if any(release.version.startswith(f"{line}.") for release in releases):
            return BoxRef(name=locked.name, version=line)
    return BoxRef(name=locked.name, version=locked.asked or None)


def with_locked_files(release: Release, files: tuple[LockedFile, ...]) -> Release:
    """``release`` made of exactly these files. Mirrors that the definition has stay."""
    from vagrantish.model import ArtifactKind

    known = {str(kind): part.remote for kind, part in release.parts.items()}
    known |= release.extensions
    kinds = {str(kind): kind for kind in ArtifactKind}
    parts = {
        kinds[file.part]: Part(remote=_remote(file, known.get(file.part)), member=file.member)
        for file in files
        if file.part in kinds
    }
    extensions = {
        file.part: _remote(file, known.get(file.part)) for file in files if file.part not in kinds
    }
    return replace(release, parts=parts, extensions=extensions)


def _remote(file: LockedFile, known: Remote | None) -> Remote:
    mirrors = [url for url in (known.urls if known else ()) if url != file.url]
    return Remote(urls=(file.url, *mirrors), digest=file.digest, size_bytes=file.size_bytes)
