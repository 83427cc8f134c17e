"""Initrds: everything the kernel unpacks passes, everything cut short does not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import subprocess

import pytest

from vagrantish.formats import cpio, initrd

PLAIN = cpio.archive((cpio.file("init", b"#!/bin/sh\n" * 5000, mode=0o755),))
RANDOM = cpio.archive((cpio.file("noise", bytes((i * i * 7919 >> 3) & 255 for i in range(99999))),))


def packed_by(program: str, *options: str, data: bytes = RANDOM) -> bytes:
    if shutil.which(program) is None:
        pytest.skip(f"needs the program {program}")
    done = subprocess.run([program, *options], input=data, capture_output=True, check=True)
    return done.stdout


def check(data: bytes) -> None:
    initrd.check(io.BytesIO(data))


WHOLE = {
    "plain": PLAIN,
    "gzip": gzip.compress(PLAIN),
    "xz": lzma.compress(PLAIN, check=lzma.CHECK_CRC32),
    "bzip2": bz2.compress(PLAIN),
    "padded": PLAIN + bytes(5000),
    "microcode first": PLAIN + bytes(512) + gzip.compress(RANDOM),
    "overlay behind gzip": gzip.compress(PLAIN) + b"\0" + gzip.compress(RANDOM),
    "overlay right behind xz": lzma.compress(PLAIN) + gzip.compress(RANDOM) + b"\0\0",
    "legacy lz4": b"\x02\x21\x4c\x18" + len(RANDOM).to_bytes(4, "little") + RANDOM,
    "two archives in one gzip": gzip.compress(PLAIN + bytes(100) + RANDOM),
}


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_what_the_kernel_unpacks_passes(data: bytes) -> None:
    check(data)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("plain", len(PLAIN)),
        ("xz", len(PLAIN)),
        ("padded", len(PLAIN)),
        ("microcode first", len(PLAIN) + len(RANDOM)),
        ("two archives in one gzip", len(PLAIN) + 100 + len(RANDOM)),
    ],
)
def test_what_it_unpacks_to_is_counted(name: str, size: int) -> None:
    assert initrd.check(io.BytesIO(WHOLE[name])) == size


@pytest.mark.parametrize(
    "program", [("zstd", "-qc"), ("zstd", "-qc", "--no-check"), ("lz4", "-lc")]
)
def test_what_other_programs_packed_passes_with_something_behind(program: tuple[str, ...]) -> None:
    packed = packed_by(*program)
    check(packed)
    check(packed + bytes(4))
    if program[0] == "zstd":
        check(packed + gzip.compress(PLAIN))


@pytest.mark.parametrize("name", ["plain", "gzip", "xz", "bzip2", "microcode first", "legacy lz4"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_cut_initrd_is_noticed(name: str, share: float) -> None:
    data = WHOLE[name].rstrip(b"\0")

    with pytest.raises(initrd.InitrdError, match=r"cut short|ends in the middle"):
        check(data[: int(len(data) * share)])


@pytest.mark.parametrize("program", [("zstd", "-qc"), ("lz4", "-lc")])
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_cut_zstd_or_lz4_initrd_is_noticed(program: tuple[str, ...], share: float) -> None:
    data = packed_by(*program)

    with pytest.raises(initrd.InitrdError, match="cut short"):
        check(data[: int(len(data) * share)])


def test_damage_inside_a_gzip_member_is_noticed() -> None:
    data = bytearray(gzip.compress(RANDOM))
    data[len(data) // 2] ^= 0xFF

    with pytest.raises(initrd.InitrdError, match=r"damaged|no cpio|header"):
        check(bytes(data))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "it is empty"),
        (bytes(4096), "it is empty"),
        (b"<!DOCTYPE html><html>404</html>", "HTML page"),
        (b"\x7fELF" + bytes(100), "ELF"),
        (bytes(0x202) + b"HdrS", "x86 Linux kernel|no kernel would unpack"),
        (gzip.compress(b"hello", mtime=0), "holds no cpio archive"),
        (gzip.compress(bytes(100), mtime=0), "is empty"),
        (gzip.compress(gzip.compress(PLAIN, mtime=0), mtime=0), "holds no cpio archive"),
        (b"\x04\x22\x4d\x18rest", "lz4 -l"),
        (gzip.compress(PLAIN, mtime=0) + b"junk", "at byte"),
        (
            gzip.compress(PLAIN, mtime=0)
            + bytes(-len(gzip.compress(PLAIN, mtime=0)) % 4 + 1)
            + PLAIN,
            "multiple of 4",
        ),
    ],
)
def test_what_no_kernel_unpacks_is_refused_and_named(data: bytes, what: str) -> None:
    with pytest.raises(initrd.InitrdError, match=what):
        check(data)


def test_a_bomb_ends_at_the_limit() -> None:
    bomb = gzip.compress(cpio.archive((cpio.file("zeros", bytes(4 << 20)),)))

    with pytest.raises(initrd.InitrdError, match="unpacks to more than 1MiB"):
        initrd.check(io.BytesIO(bomb), unpacked_max=1 << 20)


def test_a_long_check_can_be_stopped() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        initrd.check(io.BytesIO(gzip.compress(PLAIN)), alive=stop)
