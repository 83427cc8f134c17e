"""Looks through a tar archive once, and takes out of it what a box may be made of."""

from __future__ import annotations

import tarfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vagrantish.box import vagrantbox
from vagrantish.box.archive import MEMBERS_MAX, TOTAL_MAX, forward_tar
from vagrantish.box.definition import FILE_NAME
from vagrantish.box.fields import shown
from vagrantish.box.import_job import check_space, named
from vagrantish.box.ingest import take
from vagrantish.box.vagrantbox import METADATA, VAGRANTFILE, VagrantError
from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.formats import unpack
from vagrantish.model import ArtifactKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from vagrantish.box.import_job import Given, Job
    from vagrantish.box.ingest import Staged

# Small files that are looked into, and how much of them.
_TEXTS = {METADATA: vagrantbox.METADATA_MAX, VAGRANTFILE: vagrantbox.VAGRANTFILE_MAX}
_KERNELS = {"vmlinuz": ArtifactKind.KERNEL, "initrd.gz": ArtifactKind.INITRD}


@dataclass
class Contents:
    """What came by; to be filled."""

    names: list[str] = field(default_factory=list)  # of plain files
    texts: dict[str, bytes] = field(default_factory=dict)
    staged: dict[str, Staged] = field(default_factory=dict)
    is_packed_box: bool = False  # it has a box.toml; nothing more was looked at then


def contents_of(given: Given, job: Job, *, wanted: frozenset[str] = frozenset()) -> Contents:
    """Disk images are staged as they come by, and so are the files of ``wanted``.

    Raises BoxError, also for a Vagrant box of a provider whose boxes are not taken: before its
    disk is unpacked where its metadata comes first. HostError.
    """
    found = Contents()
    with (
        _problems_told(given.label),
        given.path.open("rb") as file,
        forward_tar(file, job.op) as tar,
    ):
        for name, info in _members(tar, given.label):
            if name == FILE_NAME:
                found.is_packed_box = True
                return found
            if not info.isfile():
                _check_odd(info, name, given.label)
                continue
            if name in found.names:
                raise BoxError(f"{given.label} holds {shown(name)} twice")
            found.names.append(name)
            if name in _TEXTS:
                found.texts[name] = _text(tar, info, name)
            elif name in wanted or name in _KERNELS or vagrantbox.is_disk(name):
                target = f"member-{len(found.staged)}{'-again' if wanted else ''}"
                found.staged[name] = _staged(tar, info, name, target, given, job)
            if name == METADATA:
                vagrantbox.parse_metadata(found.texts[name])
                named(given, job.wishes)
    return found


def _members(tar: tarfile.TarFile, label: str) -> Iterator[tuple[str, tarfile.TarInfo]]:
    total = 0
    for count, info in enumerate(iter(tar.next, None), start=1):
        total += info.size
        if count > MEMBERS_MAX:
            raise BoxError(f"{label} has more than {MEMBERS_MAX} members; no box has")
        if total > TOTAL_MAX:
            raise BoxError(f"{label} would unpack to more than {TOTAL_MAX >> 30} GiB")
        yield info.name.removeprefix("./"), info


def _text(tar: tarfile.TarFile, info: tarfile.TarInfo, name: str) -> bytes:
    content = _content(tar, info)
    text = content.read(_TEXTS[name] + 1)
    if len(text) > _TEXTS[name]:
        raise VagrantError(f"its {name} is bigger than {_TEXTS[name] >> 10} KiB")
    return text


def _staged(
    tar: tarfile.TarFile, info: tarfile.TarInfo, name: str, target: str, given: Given, job: Job
) -> Staged:
    label = f"{shown(name)} in {given.label}"
    # It may be mostly holes, so its size says little. It has at least about the bytes it is packed in.
    check_space(job.folder, min(info.size, given.path.stat().st_size), label)
    with (
        host_errors(f"unpack {label}"),
        job.op.step("box:unpack", f"Unpacking {label}") as step,
    ):
        return take(
            _KERNELS.get(name, ArtifactKind.DISK), _content(tar, info), job.folder / target,
            label=label, size_bytes=info.size, expected=None, step=step,
        )  # fmt: skip


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(info)
    assert content is not None, "it is a plain file"
    return content


def _check_odd(info: tarfile.TarInfo, name: str, label: str) -> None:
    """A link or device where a disk is expected refuses the whole."""
    if not info.isdir() and (vagrantbox.is_disk(name) or name in _TEXTS or name in _KERNELS):
        what = "a link" if info.issym() or info.islnk() else "a device or pipe"
        raise BoxError(f"{label} holds {shown(name)}, which is {what}")


@contextmanager
def _problems_told(label: str) -> Iterator[None]:
    try:
        yield
    except VagrantError as error:
        raise vagrantbox.refused(label, error) from error
    except (
        tarfile.TarError, unpack.UnpackError, zlib.error, EOFError, ValueError, OverflowError,
    ) as error:  # fmt: skip
        raise BoxError(
            f"{label} is a damaged archive: {error}", hint="Copy or download it again."
        ) from error
