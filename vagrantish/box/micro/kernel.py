"""Takes the kernel and the modules a guest needs out of a distribution's packages."""

from __future__ import annotations

import lzma
import posixpath
import subprocess
from dataclasses import dataclass, field
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from vagrantish.box.micro import debs
from vagrantish.errors import BoxError, HostError
from vagrantish.files import host_errors
from vagrantish.formats import cpio, elf

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from vagrantish.events import Op


_APT_HELPER = "/usr/lib/apt/apt-helper"


@dataclass
class _Found:
    vmlinuz: bytes = b""
    release: str = ""  # as `uname -r` says it
    builtin: set[str] = field(default_factory=set)
    modules: dict[str, bytes] = field(default_factory=dict)


def read(
    packages: Sequence[Path], wanted: Iterable[str], *, op: Op
) -> tuple[bytes, tuple[cpio.Entry, ...]]:
    """The kernel, and its modules as members of an initrd.

    Of the ``wanted`` modules those come that are not built into the kernel, with all they need,
    a modules.dep for modprobe, and their names in /etc/vx/modules in the order given. Raises
    BoxError when a package is not as expected, HostError.
    """
    names = [_stem(name) for name in wanted]
    found = _Found()
    missing = set(names)
    while missing:
        op.cancel.check()
        for package in packages:
            _collect(package, frozenset(missing), found)
        depends = {stem: _depends(data) for stem, data in found.modules.items()}
        needed = {name for chain in depends.values() for name in chain}
        # What is wanted may be built in or not exist in this kernel; what a module needs must be.
        lost = (needed & missing) - set(found.modules) - found.builtin
        if lost:
            raise BoxError(f"the kernel's packages lack the modules {', '.join(sorted(lost))}")
        missing = needed - set(found.modules) - found.builtin
    if not found.vmlinuz:
        raise BoxError("the kernel's packages hold no vmlinuz")
    folder = f"usr/lib/modules/{found.release}"
    loaded = " ".join(name for name in names if name in found.modules)
    return found.vmlinuz, (
        *(cpio.file(f"{folder}/{stem}.ko", data) for stem, data in found.modules.items()),
        cpio.file(f"{folder}/modules.dep", modules_dep(depends).encode()),
        cpio.file("etc/vx/modules", f"{loaded}\n".encode()),
    )


def _collect(package: Path, stems: frozenset[str], found: _Found) -> None:
    def is_wanted(name: str) -> bool:
        if name.startswith("boot/vmlinuz-") or posixpath.basename(name) == "modules.builtin":
            return True
        return name.startswith("usr/lib/modules/") and ".ko" in name and _stem(name) in stems

    files, _ = debs.read(package, is_wanted)
    for name, data in files.items():
        base = posixpath.basename(name)
        if base.startswith("vmlinuz-"):
            found.vmlinuz, found.release = data, base.removeprefix("vmlinuz-")
        elif base == "modules.builtin":
            found.builtin = {_stem(line) for line in data.decode().split()}
        else:
            found.modules[_stem(name)] = unpacked(data, base)


def _stem(path: str) -> str:
    """A module's name: dashes and underscores are one to the kernel."""
    return posixpath.basename(path).split(".ko")[0].replace("-", "_")


def _depends(module: bytes) -> tuple[str, ...]:
    text = elf.module_info(module).get("depends", "")
    return tuple(_stem(name) for name in text.split(",") if name)


def modules_dep(depends: Mapping[str, tuple[str, ...]]) -> str:
    """For modprobe: each module with all it needs, what must be loaded first coming last."""
    lines = []
    for stem in sorted(depends):
        chain: list[str] = []
        pending = list(depends[stem])
        while pending:
            name = pending.pop(0)
            if name in depends:
                chain = [*(item for item in chain if item != name), name]
                pending.extend(depends[name])
        lines.append(f"{stem}.ko: {' '.join(f'{name}.ko' for name in chain)}".rstrip())
    return "".join(f"{line}\n" for line in lines)


def unpacked(data: bytes, name: str) -> bytes:
    """A module as the kernel takes it; ``name`` tells how it is packed. Raises BoxError, HostError."""
    if name.endswith(".xz"):
        return lzma.decompress(data)
    return _unzstd(data, name) if name.endswith(".zst") else data


def _unzstd(data: bytes, name: str) -> bytes:
    """By apt's own means: where packages are packed so, apt can read it, and zstd may be missing."""
    with host_errors("write a temporary file"), NamedTemporaryFile(suffix=".zst") as file:
        file.write(data)
        file.flush()
        try:
            result = subprocess.run([_APT_HELPER, "cat-file", file.name], capture_output=True)
        except OSError as error:
            raise HostError(f"cannot run {_APT_HELPER}: {error.strerror}") from error
    if result.returncode:
        raise BoxError(f"cannot unpack {name}: {result.stderr.decode('utf-8', 'replace').strip()}")
    return result.stdout
