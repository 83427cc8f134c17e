"""A box out of a Tiny Core ISO; of others it is said what they are."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vagrantish.box import bootcmdline, boxfile, checks, import_tcz
from vagrantish.box.fields import shown
from vagrantish.box.import_job import check_space, named
from vagrantish.box.ingest import take
from vagrantish.box.members import Pieces
from vagrantish.errors import BoxError
from vagrantish.files import host_errors
from vagrantish.formats import bls_syslinux
from vagrantish.formats.device import FileDevice, ImageError
from vagrantish.formats.iso9660 import Iso9660
from vagrantish.formats.volume import Volume
from vagrantish.model import ArtifactKind, Box, RootKind, SeedKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.box.import_job import Given, Job
    from vagrantish.box.ingest import Staged, StagedExtension

_ARCH = "x86_64"  # runs the 32-bit edition as well
# Kernel and initrd of the 64-bit and of the 32-bit edition.
_PAIRS = (("boot/vmlinuz64", "boot/corepure64.gz"), ("boot/vmlinuz", "boot/core.gz"))
_MENUS = ("boot/isolinux/isolinux.cfg", "isolinux/isolinux.cfg")
# As in the definition of tinycore.
_SAFE = "console=ttyS0 base norestore noswap nozswap noautologin no_timer_check"
_VERSION = re.compile(r"-([0-9]{1,3}(?:\.[0-9]{1,3})+)\.iso$", re.IGNORECASE)
# What lies where on the ISOs of others.
_MARKS = (
    ("casper", "an Ubuntu live system or installer"),
    ("install.amd", "a Debian installer"),
    ("install.a64", "a Debian installer"),
    ("live", "a live system of the Debian family"),
    ("BaseOS", "an installer of the Enterprise Linux family"),
    ("images/pxeboot", "an installer of Enterprise Linux or Fedora"),
    ("LiveOS", "a live system of the Fedora family"),
    ("apks", "an Alpine installer"),
    ("arch/boot", "an Arch installer"),
    ("sources/boot.wim", "a Windows installer"),
    ("meta-data", "a seed for cloud-init"),
)


def box_of(given: Given, job: Job) -> tuple[Box, tuple[Staged | StagedExtension, ...]]:
    """Raises BoxError, HostError; FetchError, DigestMismatch for extensions that are fetched."""
    with _opened(given) as volume:
        pair = next((pair for pair in _PAIRS if all(map(volume.is_file, pair))), None)
        if pair is None:
            raise _no_core(volume, given)
        if job.wishes.arch not in (None, _ARCH):
            raise BoxError(f"{given.label} is for {_ARCH}, not for {job.wishes.arch}")
        told = _VERSION.search(given.said)
        name, version = named(given, job.wishes, "tinycore", told[1] if told else "")
        cmdline = bootcmdline.merged(_append(volume), job.wishes.cmdline or _SAFE)
        staged = _take(volume, pair, given, job)
        brought = import_tcz.on_iso(volume, given, job)
    staged = tuple(
        checks.checked(
            item, label=f"the {item.kind} of {given.label}", cmdline=cmdline, arch=_ARCH, op=job.op
        )
        for item in staged
    )
    if not brought.staged:
        brought = import_tcz.published(version, job, narrow=pair == _PAIRS[1])
    _tell(given, pair, version, brought, job)
    box = Box(
        name=name,
        version=version,
        arch=_ARCH,
        artifacts=boxfile.artifacts_of(staged, job.home),
        cmdline=cmdline,
        user=job.wishes.user or "tc",
        seed=job.wishes.seed or SeedKind.TINYCORE,
        root=RootKind.RAM,
        origin=given.origin,
        description="Tiny Core Linux, all of it in memory",
        defaults={"memory": "256MiB"},
        extensions=import_tcz.extensions_of(brought.staged, job.home),
        sources=(
            *given.source(ArtifactKind.KERNEL, pair[0]),
            *given.source(ArtifactKind.INITRD, pair[1]),
            *brought.sources,
        ),
    )
    return box, (*staged, *brought.staged)


def _tell(
    given: Given, pair: tuple[str, str], version: str, brought: import_tcz.Brought, job: Job
) -> None:
    names = ", ".join(item.name for item in brought.staged)
    job.op.note(
        f"{given.label} is a Tiny Core ISO: {' and '.join(pair)}, seed tinycore, user tc, "
        + (f"with {names} {brought.whence}" if names else "without an extension for ssh")
    )
    if not brought.staged:
        job.op.warn(
            f"neither openssh nor dropbear is on {given.label}, and none is known for a Tiny Core "
            f"{version}: unless its initrd has one, vx cannot log in"
        )


@contextmanager
def _opened(given: Given) -> Iterator[Volume]:
    try:
        with host_errors(f"read {given.path}"), FileDevice(given.path) as device:
            yield Volume(Iso9660(device))
    except ImageError as error:
        raise BoxError(
            f"{given.label} is a damaged ISO image: {error}", hint="Copy or download it again."
        ) from error


def _no_core(volume: Volume, given: Given) -> BoxError:
    label = shown(volume.system.label)
    titled = f' labelled "{label}"' if label else ""
    kind = next((what for path, what in _MARKS if volume.find(path) is not None), "")
    top = ", ".join(shown(name) for name in volume.names("/")[:8])
    holds = kind or (f"it holds {top}" if top else "it is empty")
    return BoxError(
        f"{given.label} is an ISO image{titled}, {holds}: of ISO images only Tiny Core's can be "
        "a box",
        hint="Give the cloud image of that system instead, a qcow2 or raw disk.",
    )


def _append(volume: Volume) -> str:
    """What its own boot menu tells the kernel by default."""
    for path in _MENUS:
        if not volume.is_file(path):
            continue
        menu = bls_syslinux.parse(volume.read(path).decode("utf-8", "replace"))
        entries = sorted(menu.entries, key=lambda entry: entry.name != menu.default)
        # A box boots to ssh: what its menu does with a screen is not wanted.
        words = entries[0].options.split() if entries else []
        return " ".join(word for word in words if word.isprintable() and word != "cde")
    return ""


def _take(volume: Volume, pair: tuple[str, str], given: Given, job: Job) -> tuple[Staged, ...]:
    staged = []
    with job.op.step("box:unpack", f"Taking Tiny Core out of {given.label}") as step:
        for kind, path in zip((ArtifactKind.KERNEL, ArtifactKind.INITRD), pair, strict=True):
            node = volume.find(path)
            size = node.size if node else 0
            check_space(job.folder, size, path)
            content = Pieces(volume.chunks(path, most=checks.size_limit(kind)))
            staged.append(
                take(
                    kind, content, job.folder / kind,
                    label=f"{path} in {given.label}", size_bytes=size, expected=None, step=step,
                )
            )  # fmt: skip
    return tuple(staged)
