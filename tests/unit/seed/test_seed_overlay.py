"""The overlay a machine adds to its box's initrd."""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from vagrantish.formats import cpio, initrd
from vagrantish.resources import boxes_dir, templates_dir
from vagrantish.seed.initrd import segment, write_initrd
from vagrantish.seed.overlay import SeedData, entries

if TYPE_CHECKING:
    from pathlib import Path

SEED = SeedData(
    hostname="web-1",
    user="vx",
    authorized_keys=("ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two\n"),
    host_key=b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
    host_key_public="ssh-ed25519 CCCC host",
    dropbear_host_key=b"\0\0\0\x0bssh-ed25519",
    instance_id="0123abcd",
)
BOX = cpio.archive((cpio.file("init", b"#!/bin/sh\n", mode=0o755),))


def content(name: str) -> bytes:
    return {entry.name: entry.data for entry in entries(SEED)}[f"etc/vx/seed/{name}"]


def test_the_seed_holds_what_the_first_boot_script_asks_for() -> None:
    assert content("hostname") == b"web-1\n"
    assert content("user") == b"vx\n"
    assert content("authorized_keys") == b"ssh-ed25519 AAAA one\nssh-ed25519 BBBB two\n"
    assert content("dropbear_ed25519_host_key") == SEED.dropbear_host_key
    script = content("first-boot.sh").decode()
    for entry in entries(SEED)[1:]:
        name = entry.name.removeprefix("etc/vx/seed/")
        if name not in ("first-boot.sh", "instance_id", "ssh_host_ed25519_key.pub"):
            assert name in script


def test_nobody_but_root_can_read_it() -> None:
    for entry in entries(SEED):
        assert stat.S_IMODE(entry.mode) & 0o077 == 0
        assert (entry.uid, entry.gid) == (0, 0)


def test_the_segment_names_every_folder_above_it() -> None:
    archive = gzip.decompress(segment(entries(SEED)))

    names = [entry.name for entry in cpio.walk(io.BytesIO(archive))]

    assert names[:3] == ["etc", "etc/vx", "etc/vx/seed"]


def test_the_same_seed_gives_the_same_segment() -> None:
    assert segment(entries(SEED)) == segment(entries(SEED))


@pytest.mark.parametrize("odd", range(4))
def test_the_segment_follows_the_boxs_own_initrd_wherever_that_ends(
    odd: int, tmp_path: Path
) -> None:
    box = tmp_path / "box"
    box.write_bytes(gzip.compress(BOX) + bytes(odd))
    box.chmod(0o444)
    target = tmp_path / "initrd"

    write_initrd(box, entries(SEED), target)

    data = target.read_bytes()
    assert data.startswith(box.read_bytes())
    assert len(data) % 4 == 0
    initrd.check(io.BytesIO(data))
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["box", "initrd"]


def test_writing_again_replaces_the_overlay_and_does_not_add_another(tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.write_bytes(BOX)
    target = tmp_path / "initrd"

    write_initrd(box, entries(SEED), target)
    first = target.read_bytes()
    write_initrd(box, entries(SEED), target)

    assert target.read_bytes() == first


def test_a_box_without_an_initrd_gets_the_overlay_alone(tmp_path: Path) -> None:
    target = tmp_path / "initrd"

    write_initrd(None, entries(SEED), target)

    assert target.read_bytes() == segment(entries(SEED))


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_shellcheck_has_nothing_to_say_about_the_guests_scripts() -> None:
    root = boxes_dir() / "micro" / "root"
    scripts = [path for path in root.rglob("*") if path.is_file() and _is_script(path)]
    scripts.append(templates_dir() / "seed" / "first-boot.sh")
    assert len(scripts) > 5

    done = subprocess.run(["shellcheck", "-s", "sh", *scripts], capture_output=True, text=True)

    assert done.stdout == ""


def _is_script(path: Path) -> bool:
    return path.read_bytes().startswith(b"#!")
