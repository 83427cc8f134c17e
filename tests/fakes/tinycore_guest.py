"""A guest that boots the stand-in for Tiny Core by hand, as tests/fakes/guest.py boots micro."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.fakes.guest import Guest
from vagrantish.model import Artifact, ArtifactKind, Box, Digest, RootKind, SeedKind
from vagrantish.seed import tinycore
from vagrantish.seed.initrd import write_initrd
from vagrantish.seed.overlay import SeedData
from vagrantish.ssh import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fakes.tinycore import Mirror
    from vagrantish.formats import cpio

    Change = Callable[[tuple[cpio.Entry, ...]], tuple[cpio.Entry, ...]]


def box_of(mirror: Mirror, *, user: str = "tc") -> Box:
    paths = {ArtifactKind.KERNEL: mirror.kernel, ArtifactKind.INITRD: mirror.initrd}
    return Box(
        name="tinycore",
        version="16.2",
        arch="x86_64",
        artifacts={
            kind: Artifact(
                kind=kind,
                digest=Digest(algorithm="sha256", hex="0" * 64),
                size_bytes=path.stat().st_size,
                path=path,
            )
            for kind, path in paths.items()
        },
        cmdline="",
        user=user,
        seed=SeedKind.TINYCORE,
        root=RootKind.RAM,
    )


@dataclass
class TinyCoreGuest(Guest):
    extensions: tuple[tuple[str, bytes], ...] = ()
    change: Change = field(default=lambda entries: entries)
    words: tuple[str, ...] = ()  # of the user

    def seed(self, *, hostname: str = "web-1") -> None:
        user, host = keys.generate("user"), keys.generate("host")
        (self.folder / "id").write_bytes(user.private)
        (self.folder / "id").chmod(0o600)
        (self.folder / "known_hosts").write_text(f"guest {host.public}\n")
        data = SeedData(
            hostname=hostname,
            user=self.box.user,
            authorized_keys=(user.public,),
            host_key=host.private,
            host_key_public=host.public,
            dropbear_host_key=keys.dropbear_private(host.private),
            instance_id="test",
        )
        entries = self.change(tinycore.entries(data, self.extensions))
        write_initrd(self.box.artifacts[ArtifactKind.INITRD].path, entries, self.folder / "initrd")
        box_words = ("console=ttyS0", "base", "norestore", "no_timer_check")
        words = tinycore.cmdline_words(box_words, hostname, persistent=self.disk is not None)
        self.box = replace(self.box, cmdline=" ".join((*words, *self.words)))


@contextmanager
def guest_of(
    mirror: Mirror,
    folder: Path,
    *,
    user: str = "tc",
    extensions: tuple[tuple[str, bytes], ...] | None = None,
    disk: Path | None = None,
    words: tuple[str, ...] = (),
    change: Change = lambda entries: entries,
) -> Iterator[TinyCoreGuest]:
    """A seeded guest, not yet started; it does not outlive the block."""
    guest = TinyCoreGuest(
        folder=folder,
        box=box_of(mirror, user=user),
        disk=disk,
        extensions=mirror.extensions() if extensions is None else extensions,
        words=words,
        change=change,
    )
    guest.seed()
    try:
        yield guest
    finally:
        guest.kill()
