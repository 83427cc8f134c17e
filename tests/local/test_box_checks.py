"""A box that cannot boot is refused, or doubted, when it is added."""

from __future__ import annotations

import gzip
import re
import struct
from typing import TYPE_CHECKING

import pytest

from tests.fakes.recorder import Recorder
from tests.fakes.tinybox import kernel
from vagrantish.box.store import BoxStore
from vagrantish.errors import BoxError
from vagrantish.events import Cancel, Note, Op
from vagrantish.formats import cpio
from vagrantish.model import ArtifactKind, BoxParts, BoxRef, SeedKind
from vagrantish.paths import VxHome
from vagrantish.units import GIB, MIB

if TYPE_CHECKING:
    from pathlib import Path

INITRD = gzip.compress(cpio.archive((cpio.file("zeros", bytes(40 * MIB), mode=0o644),)))


@pytest.fixture
def store(tmp_path: Path) -> BoxStore:
    return BoxStore(VxHome(tmp_path / "home"))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def op(recorder: Recorder) -> Op:
    return Op(recorder, Cancel())


def warnings(recorder: Recorder) -> list[str]:
    return [e.text for e in recorder.events if isinstance(e, Note) and e.level == "warning"]


def with_header(offset: int, form: str, value: int) -> bytes:
    data = bytearray(kernel())
    struct.pack_into(form, data, offset, value)
    return bytes(data)


def box(folder: Path, kernel_bytes: bytes, *, memory: str) -> Path:
    folder.mkdir()
    (folder / "vmlinuz").write_bytes(kernel_bytes)
    (folder / "initrd.gz").write_bytes(INITRD)
    (folder / "box.toml").write_text(
        'name = "mine"\nversion = "1"\narch = "x86_64"\nkernel = "vmlinuz"\n'
        f'initrd = "initrd.gz"\n[defaults]\nmemory = "{memory}"\n',
        encoding="utf-8",
    )
    return folder


def test_a_box_that_fits_is_taken_without_a_word(
    store: BoxStore, recorder: Recorder, op: Op, tmp_path: Path
) -> None:
    store.add(box(tmp_path / "box", kernel(), memory="128MiB"), op=op)

    assert warnings(recorder) == []


def test_a_kernel_no_memory_has_room_for_is_refused(
    store: BoxStore, op: Op, tmp_path: Path
) -> None:
    source = box(tmp_path / "box", with_header(0x260, "<I", 3 * GIB), memory="4GiB")

    with pytest.raises(BoxError, match="mine@1 cannot be booted: the kernel unpacks itself"):
        store.add(source, op=op)

    assert store.get(BoxRef(name="mine"), "x86_64") is None


def test_what_xhyve_alone_cannot_boot_is_doubted(
    store: BoxStore, recorder: Recorder, op: Op, tmp_path: Path
) -> None:
    small = with_header(0x260, "<I", 256)  # a page, and three are loaded
    small = small[:0x1F4] + struct.pack("<I", 3 * 256) + small[0x1F8:] + bytes(3 * 4096)
    store.add(box(tmp_path / "box", small, memory="128MiB"), op=op)

    (warning,) = warnings(recorder)
    assert warning.startswith("xhyve cannot boot mine@1: the kernel's header asks for less memory")


@pytest.mark.parametrize(
    ("memory", "why"),
    [("16MiB", "the kernel unpacks itself"), ("64MiB", r"unpacked \(40\.0MiB\), fill 72\.0MiB")],
)
def test_memory_that_will_not_do_is_doubted(
    store: BoxStore, recorder: Recorder, op: Op, tmp_path: Path, memory: str, why: str
) -> None:
    store.add(box(tmp_path / "box", kernel(), memory=memory), op=op)

    (warning,) = warnings(recorder)
    assert warning.startswith(f"mine@1 asks for {memory} of memory, and that is too little")
    assert re.search(why, warning)


def test_own_files_of_a_project_are_checked_as_well(
    store: BoxStore, op: Op, tmp_path: Path
) -> None:
    source = box(tmp_path / "box", with_header(0x260, "<I", 3 * GIB), memory="4GiB")
    parts = BoxParts(
        sources={ArtifactKind.KERNEL: str(source / "vmlinuz")},
        digests={},
        cmdline="",
        user="",
        seed=SeedKind.NONE,
    )

    with pytest.raises(BoxError, match="the box of own files cannot be booted: the kernel"):
        store.adopt(parts, op=op)
