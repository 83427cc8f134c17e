"""What a machine adds to Tiny Core: extensions to load, its seed, and the words that boot it. Pure.

Facts: init, etc/init.d/tc-config, tc-functions, usr/bin/tce-setup and tce-load of Tiny Core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.formats import cpio
from vagrantish.seed import overlay

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vagrantish.seed.overlay import SeedData

DISK_LABEL = "vx-data"
_BUILTIN = "tmp/builtin"
STAFF = 50
_DISK_WAIT_S = 20
_NO_DISK = ("base", "norestore")

# tc-config takes any word that begins with one of these and holds a "=" for its own.
_PREFIXES = (
    "aoe", "blacklist", "desktop", "home", "host", "httplist", "icons", "iso", "kmap", "lang",
    "mydata", "nbd", "nfsmount", "nodhcp", "noicons", "ntpserver", "opt", "pretce", "resume",
    "swapfile", "tcvd", "tftplist", "tz", "user", "waitusb", "xvesa",
)  # fmt: skip


def entries(
    seed: SeedData, extensions: Sequence[tuple[str, bytes]], *, console: str = "ttyS0"
) -> tuple[cpio.Entry, ...]:
    """The overlay's members; ``extensions`` (name, content) come in the order they are loaded.

    Nothing of it lies below /home or /opt: those may be on a disk, which then hides it.
    """
    return (
        # The kernel gives a folder that is there already these as its new mode and owner. With any
        # others here, Tiny Core loads extensions but runs none of their start scripts.
        cpio.directory("tmp", mode=0o1777, gid=STAFF),
        cpio.directory(_BUILTIN),
        cpio.directory(f"{_BUILTIN}/optional"),
        cpio.file(f"{_BUILTIN}/onboot.lst", _lines(name for name, _ in extensions)),
        *(cpio.file(f"{_BUILTIN}/optional/{name}", content) for name, content in extensions),
        *overlay.data(seed),
        cpio.file(f"{overlay.FOLDER}/console", _lines([console]), mode=0o600),
        cpio.file(
            f"{overlay.FOLDER}/sshd_config", overlay.template("tinycore-sshd_config"), mode=0o600
        ),
        overlay.script("tinycore-boot.sh"),
        overlay.script("tinycore-init.sh"),
    )


def cmdline_words(box_words: Sequence[str], hostname: str, *, persistent: bool) -> tuple[str, ...]:
    """The box's words and those Tiny Core needs besides, for the kernel's command line.

    ``persistent`` is for a machine with a disk whose file system is labelled DISK_LABEL.
    """
    disk = f"LABEL={DISK_LABEL}"
    needed = (
        f"rdinit=/{overlay.FOLDER}/tinycore-init.sh",
        f"host={hostname}",
        # Without it the boot waits for ever where the kernel has no compressed swap.
        "nozswap",
        "noswap",
        "noautologin",
        *(
            # The first only waits until the disk is there.
            (f"waitusb={_DISK_WAIT_S}:{disk}", f"tce={disk}", f"home={disk}", f"opt={disk}")
            if persistent
            else _NO_DISK
        ),
    )
    kept = [word for word in box_words if not (persistent and word in _NO_DISK)]
    return (*kept, *(word for word in needed if word not in kept))


def misread_words(cmdline: str) -> tuple[tuple[str, str], ...]:
    """Words meant for the kernel that Tiny Core takes for its own: (word, the code it reads)."""
    keys = ((word, word.partition("=")[0]) for word in cmdline.split() if "=" in word)
    return tuple(
        (word, prefix)
        for word, key in keys
        for prefix in _PREFIXES
        if key.startswith(prefix) and key != prefix
    )


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
