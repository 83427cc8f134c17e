"""The parts of building micro that need no packages."""

from __future__ import annotations

import lzma
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from vagrantish.box import definition
from vagrantish.box.micro import apt, image, kernel, recipe
from vagrantish.box.micro.debs import merged
from vagrantish.resources import boxes_dir

if TYPE_CHECKING:
    from pathlib import Path

# What `apt-cache show` prints on Debian 12, shortened.
SHOWN = """\
Package: dropbear-bin
Source: dropbear
Version: 2022.83-1+deb12u3
Architecture: amd64
Depends: libc6 (>= 2.34), libcrypt1 (>= 1:4.1.0), debconf (>= 0.5) | debconf-2.0
Pre-Depends: init-system-helpers (>= 1.54~)
Description-en: lightweight SSH2 server
 dropbear is a SSH 2 server. Package: fake
Filename: pool/main/d/dropbear/dropbear-bin_2022.83-1+deb12u3_amd64.deb
Size: 155520
SHA256: 44AC9AAAE0105BCA66EA4D457852BF97020CCAB33D5C088B0E5C8668891290A0

Package: local-only
Version: 1:1-1
Architecture: amd64
Status: install ok installed

Package: dropbear-bin
Version: 1
Architecture: amd64
Filename: pool/old.deb
Size: 1
SHA256: 00
"""


def test_what_apt_shows_is_read_and_what_cannot_be_fetched_left_out() -> None:
    found = apt.parse_shown(SHOWN)

    assert list(found) == ["dropbear-bin"]
    package = found["dropbear-bin"]
    assert (package.version, package.size_bytes) == ("2022.83-1+deb12u3", 155520)
    assert package.sha256.startswith("44ac9aaa")
    assert package.depends == (
        ("init-system-helpers",), ("libc6",), ("libcrypt1",), ("debconf", "debconf-2.0"),
    )  # fmt: skip


def test_an_epoch_is_escaped_in_a_file_name() -> None:
    package = apt.Package(
        name="x", version="1:2-3", arch="amd64", sha256="", size_bytes=0, depends=()
    )

    assert package.file_name == "x_1%3a2-3_amd64.deb"


@pytest.mark.parametrize(
    "name", ["libc6", "zlib1g", "libpam0g", "libext2fs2t64", "libpcre2-8-0", "libgcc-s1", "libss2"]
)
def test_library_packages_are_known_by_their_names(name: str) -> None:
    assert recipe.is_library(name)


@pytest.mark.parametrize("name", ["debconf", "perl-base", "libpam-modules-bin", "openssh-client"])
def test_other_packages_are_not_taken_for_libraries(name: str) -> None:
    assert not recipe.is_library(name)


def test_the_recipes_own_definition_is_a_valid_box() -> None:
    text = (boxes_dir() / "micro" / "box.toml").read_text("utf-8")

    assert definition.parse(text, source="micro", version="1").user == "vx"


def test_any_changed_file_of_the_recipe_changes_its_digest(tmp_path: Path) -> None:
    folder = tmp_path / "micro"
    shutil.copytree(boxes_dir() / "micro", folder)
    before = recipe.load(folder).digest()
    assert before == recipe.load(boxes_dir() / "micro").digest()

    with (folder / "root" / "init").open("a") as file:
        file.write("\n")

    assert recipe.load(folder).digest() != before


def test_members_outside_usr_are_found_below_it() -> None:
    assert merged("./bin/busybox") == "usr/bin/busybox"
    assert merged("./lib/x86_64-linux-gnu/libz.so.1") == "usr/lib/x86_64-linux-gnu/libz.so.1"
    assert merged("./usr/bin/rsync") == "usr/bin/rsync"
    assert merged("./boot/vmlinuz-1") == "boot/vmlinuz-1"


def test_a_module_comes_after_all_it_needs_however_deep() -> None:
    text = kernel.modules_dep({"net": ("a", "b"), "a": ("ring",), "b": ("a",), "ring": ()})

    assert text.splitlines() == [
        "a.ko: ring.ko", "b.ko: a.ko ring.ko", "net.ko: b.ko a.ko ring.ko", "ring.ko:",
    ]  # fmt: skip


def test_a_plain_or_xz_module_is_unpacked() -> None:
    assert kernel.unpacked(b"ELF", "x.ko") == b"ELF"
    assert kernel.unpacked(lzma.compress(b"ELF"), "x.ko.xz") == b"ELF"


@pytest.mark.skipif(shutil.which("busybox") is None, reason="needs busybox")
def test_the_applets_found_in_busybox_are_those_it_lists() -> None:
    program = shutil.which("busybox")
    assert program is not None
    listed = subprocess.run([program, "--list"], capture_output=True, check=True, text=True)

    with open(program, "rb") as file:
        assert list(image.applets(file.read())) == listed.stdout.split()
