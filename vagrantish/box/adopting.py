"""Makes a box of the Xhyvefile's own kernel, initrd and disk."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vagrantish.box import bootcmdline, boxfile, checks, fit, reference
from vagrantish.box.ingest import take
from vagrantish.errors import BoxError
from vagrantish.files import host_errors, make_dir, staging, write_atomic
from vagrantish.model import Artifact, ArtifactKind, BootMode, Box, Digest, RootKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagrantish.box.bootdisk import BootChoice
    from vagrantish.box.ingest import Staged
    from vagrantish.box.store import BoxStore
    from vagrantish.events import Op, Step
    from vagrantish.model import BoxParts
    from vagrantish.paths import VxHome

_KNOWN_MAX = 500
# A file changed within the clock's step of its last change shows no new time.
_SETTLED_S = 2.0


def adopt(store: BoxStore, home: VxHome, parts: BoxParts, *, op: Op) -> Box:
    """Raises BoxError, FetchError, DigestMismatch, HostError; see `BoxStore.adopt`."""
    if parts.boot is not BootMode.KERNEL:
        parts = _disk_alone(parts)
    if not parts.sources.keys() & {ArtifactKind.KERNEL, ArtifactKind.DISK}:
        raise BoxError(
            "a box of own files needs a kernel, or a disk with one inside",
            hint='Add it: box = { kernel = "vmlinuz", … }',
        )
    known = _Known(home)
    keys = {kind: _key(kind, parts) for kind in parts.sources}
    artifacts = {
        kind: artifact for kind, key in keys.items() if (artifact := known.artifact(kind, key))
    }
    missing = [kind for kind in parts.sources if kind not in artifacts]
    if missing:
        with staging(home.tmp) as folder:
            staged = [_stage(kind, parts, folder, home, op) for kind in missing]
            with store.locked(op):
                store.keep(staged)
                known.note({keys[item.kind]: item for item in staged})
            artifacts |= boxfile.artifacts_of(staged, home)
    seen = None
    if ArtifactKind.KERNEL in artifacts:
        _check_cmdline(parts, artifacts[ArtifactKind.KERNEL], op)
    elif parts.boot is BootMode.KERNEL:
        seen, inside = _from_disk(store, home, parts, artifacts[ArtifactKind.DISK], op)
        artifacts = {**inside, **artifacts}
    if parts.boot is BootMode.KERNEL:
        _check_fit(parts, artifacts, seen.cmdline if seen else "", op)
    version = hashlib.sha256(
        " ".join(f"{kind}={artifacts[kind].digest}" for kind in sorted(artifacts)).encode()
    ).hexdigest()[:12]
    return Box(
        name="",
        version=version,
        arch=_arch(parts, artifacts),
        artifacts=artifacts,
        cmdline=parts.cmdline,
        user=parts.user or "root",
        seed=parts.seed,
        root=RootKind.DISK if ArtifactKind.DISK in artifacts else RootKind.RAM,
        origin=", ".join(str(parts.sources[kind]) for kind in sorted(parts.sources)),
        disk_boots=seen is not None,
        disk_cmdline=seen.cmdline if seen else "",
        kernel_release=seen.release if seen else "",
        boot=parts.boot,
    )


def _arch(parts: BoxParts, artifacts: Mapping[ArtifactKind, Artifact]) -> str:
    if parts.boot is BootMode.KERNEL:
        return "x86_64"  # the checks take no other kernel
    from vagrantish.box.loaders import loader_arch

    return loader_arch(artifacts[ArtifactKind.DISK].path) or reference.host_arch()


def _disk_alone(parts: BoxParts) -> BoxParts:
    """What is left of ``parts`` where a loader finds everything on the disk."""
    if ArtifactKind.DISK not in parts.sources:
        raise BoxError(
            f'`boot.mode` "{parts.boot}" boots what is on a disk, and the box has none',
            hint='Add it: box = { disk = "disk.qcow2", … }',
        )
    return replace(
        parts,
        sources={ArtifactKind.DISK: parts.sources[ArtifactKind.DISK]},
        digests={k: digest for k, digest in parts.digests.items() if k is ArtifactKind.DISK},
        cmdline="",
    )


def _from_disk(
    store: BoxStore, home: VxHome, parts: BoxParts, disk: Artifact, op: Op
) -> tuple[BootChoice, dict[ArtifactKind, Artifact]]:
    """Kernel and initrd out of the disk."""
    from vagrantish.box import ondisk

    with staging(home.tmp) as folder:
        seen, staged = ondisk.take_boot_files(
            disk.path,
            folder,
            root=ondisk.root_of(parts.cmdline),
            label=str(parts.sources[ArtifactKind.DISK]),
            arch="x86_64",
            op=op,
        )
        with store.locked(op):
            store.keep(staged)
        return seen, boxfile.artifacts_of(staged, home)


def _stage(kind: ArtifactKind, parts: BoxParts, folder: Path, home: VxHome, op: Op) -> Staged:
    source = parts.sources[kind]
    label = f"the {kind} {source}"
    path = Path(source)
    if "://" in source:
        from vagrantish.fetch import fetch

        path = folder / f"{kind}.fetched"
        fetch(
            source,
            digest=_promised(kind, parts),
            target=path,
            max_bytes=checks.size_limit(kind),
            home=home,
            op=op,
        )
    with op.step("box:adopt", f"Taking in {label}") as step:
        staged = _take(kind, path, folder, label, parts.digests.get(kind), step)
        return checks.checked(staged, label=label, cmdline="", op=op)


def _take(
    kind: ArtifactKind, path: Path, folder: Path, label: str, expected: Digest | None, step: Step
) -> Staged:
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise BoxError(f"{label} {what}", hint="Correct its path in the Xhyvefile.")
    with host_errors(f"read {path}"), path.open("rb") as file:
        return take(
            kind,
            file,
            folder / kind,
            label=label,
            size_bytes=path.stat().st_size,
            expected=expected,
            step=step,
        )


def _promised(kind: ArtifactKind, parts: BoxParts) -> Digest:
    digest = parts.digests.get(kind)
    if digest is None:
        raise BoxError(
            f"the {kind} comes from the web and has no digest: {parts.sources[kind]}",
            hint=f'Add it to the box table: digest = {{ {kind} = "sha256:…" }}',
        )
    return digest


def _check_cmdline(parts: BoxParts, kernel: Artifact, op: Op) -> None:
    """The kernel says how long its command line may be; that may have changed since."""
    with host_errors(f"read {kernel.path}"):
        checks.check_artifact(
            ArtifactKind.KERNEL,
            kernel.path,
            label=f"the kernel {parts.sources[ArtifactKind.KERNEL]}",
            cmdline=parts.cmdline,
            op=op,
        )


def _check_fit(
    parts: BoxParts, artifacts: Mapping[ArtifactKind, Artifact], disk_cmdline: str, op: Op
) -> None:
    """How much memory there will be is not known here."""
    initrd = artifacts.get(ArtifactKind.INITRD)
    fit.check(
        fit.Parts(
            kernel=artifacts[ArtifactKind.KERNEL].path,
            initrd_bytes=initrd.size_bytes if initrd else 0,
            cmdline=bootcmdline.merged(disk_cmdline, parts.cmdline),
        ),
        label="the box of own files",
        op=op,
    )


def _key(kind: ArtifactKind, parts: BoxParts) -> str:
    """What stands for a source that need not be read again; "" when it must be."""
    source = parts.sources[kind]
    promised = parts.digests.get(kind)
    if promised is not None:
        return str(promised)
    if "://" in source:
        return ""
    try:
        stat = Path(source).stat()
    except OSError:
        return ""
    if time.time() - stat.st_mtime < _SETTLED_S:
        return ""
    return f"{source} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"


class _Known:
    """Which artifact a source was last seen to be; safe to delete, so anything odd is ignored."""

    def __init__(self, home: VxHome) -> None:
        self._home = home
        self._path = home.artifacts / "adopted.json"

    def artifact(self, kind: ArtifactKind, key: str) -> Artifact | None:
        """The artifact if the store still has it."""
        try:
            digest = reference.parse_digest(
                key if key.startswith("sha256:") else self._table()[key]
            )
            path = boxfile.artifact_path(self._home, digest)
            size = path.stat().st_size
            os.utime(path)  # young again: no orphan while a machine takes it
        except (KeyError, ValueError, TypeError, OSError):
            return None
        return Artifact(kind=kind, digest=digest, size_bytes=size, path=path)

    def note(self, staged: dict[str, Staged]) -> None:
        """The caller holds the store's lock."""
        table = {**self._table(), **{key: str(item.digest) for key, item in staged.items() if key}}
        newest = dict(list(table.items())[-_KNOWN_MAX:])
        make_dir(self._path.parent)
        write_atomic(self._path, json.dumps(newest).encode())

    def _table(self) -> dict[str, Any]:
        try:
            table = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return table if isinstance(table, dict) else {}
