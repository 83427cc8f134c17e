"""Tiny Core from an ISO; of other ISOs it is said what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes import bootdisks, own_images
from tests.fakes.fileserver import folder_server
from tests.fakes.own_images import left_in
from tests.fakes.recorder import Recorder, quiet_op
from vagrantish.box.import_job import Wishes
from vagrantish.box.import_tcz import dependencies, in_order
from vagrantish.box.importing import Request, add
from vagrantish.errors import BoxError
from vagrantish.events import Cancel, Op
from vagrantish.model import (
    ArtifactKind,
    BoxRef,
    Release,
    Remote,
    RootKind,
    SeedKind,
)
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vagrantish.model import Box

_MISSING = bootdisks.missing("xorriso")
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {_MISSING}")

MENU = (
    "default corepure64\nlabel other\n  kernel /boot/vmlinuz64\n  append wrong\n"
    "label corepure64\n  kernel /boot/vmlinuz64\n  initrd /boot/corepure64.gz\n"
    "  append loglevel=3 cde noswap\n"
)
CORE: bootdisks.Tree = {
    "boot/vmlinuz64": own_images.KERNEL,
    "boot/corepure64.gz": own_images.INITRD,
    "boot/isolinux/isolinux.cfg": MENU,
}
TCZ = b"hsqs"


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


def iso(target: Path, tree: bootdisks.Tree, label: str = "LABEL") -> Path:
    folder = bootdisks.folder_of(tree, target.with_suffix(".tree"))
    bootdisks.run(
        "xorriso", "-as", "mkisofs", "-quiet", "-V", label, "-J", "-R", "-o", target, folder
    )
    return target


def nothing(_ref: BoxRef, _arch: str) -> Release | None:
    return None


def imported(
    home: VxHome,
    what: Path | str,
    op: Op | None = None,
    *,
    wishes: Wishes | None = None,
    release: Callable[[BoxRef, str], Release | None] = nothing,
) -> Box:
    request = Request(
        what=str(what), wishes=wishes or Wishes(name="tc"), settings=nothing, release=release
    )
    return add(home, request, op=op or quiet_op())


def refused(home: VxHome, what: Path, wishes: Wishes | None = None) -> BoxError:
    with pytest.raises(BoxError) as caught:
        imported(home, what, wishes=wishes)
    assert left_in(home) == []
    return caught.value


def test_a_tiny_core_iso_becomes_a_box(home: VxHome, tmp_path: Path) -> None:
    box = imported(home, iso(tmp_path / "CorePure64-15.0.iso", CORE))

    assert (box.label, box.user, box.seed, box.root) == (
        "tc@15.0", "tc", SeedKind.TINYCORE, RootKind.RAM,
    )  # fmt: skip
    assert box.artifacts[ArtifactKind.KERNEL].path.read_bytes() == own_images.KERNEL
    assert box.artifacts[ArtifactKind.INITRD].path.read_bytes() == own_images.INITRD


def test_its_menus_words_are_joined_by_those_a_boot_needs(home: VxHome, tmp_path: Path) -> None:
    box = imported(home, iso(tmp_path / "CorePure64-15.0.iso", CORE))

    words = box.cmdline.split()
    assert words[0] == "loglevel=3"
    assert "cde" not in words
    assert words.count("noswap") == 1
    assert {"console=ttyS0", "nozswap", "base", "norestore", "noautologin"} <= set(words)


def test_the_32_bit_edition_is_known_too(home: VxHome, tmp_path: Path) -> None:
    core: bootdisks.Tree = {"boot/vmlinuz": own_images.KERNEL, "boot/core.gz": own_images.INITRD}

    assert imported(home, iso(tmp_path / "Core-16.2.iso", core)).label == "tc@16.2"


def test_openssh_and_what_it_needs_are_taken_from_the_iso(home: VxHome, tmp_path: Path) -> None:
    shelf: bootdisks.Tree = {
        "cde/optional/openssh.tcz": TCZ + b"ssh",
        "cde/optional/openssh.tcz.dep": "openssl.tcz\n\n nowhere.tcz \nnet-KERNEL.tcz\n",
        "cde/optional/openssl.tcz": TCZ + b"ssl",
        "cde/optional/net-6.6.8-tinycore64.tcz": TCZ + b"net",
        "cde/optional/Xorg.tcz": TCZ,
    }
    watched = Recorder()

    box = imported(
        home, iso(tmp_path / "CorePlus-15.0.iso", CORE | shelf), Op(watched, Cancel())
    )  # fmt: skip

    names = [extension.name for extension in box.extensions]
    assert names == ["openssl.tcz", "net-6.6.8-tinycore64.tcz", "openssh.tcz"]
    assert box.extensions[-1].path.read_bytes() == TCZ + b"ssh"
    assert "with openssl.tcz, net-6.6.8-tinycore64.tcz, openssh.tcz from it" in watched.notes()[0]


def test_else_the_published_ones_of_its_series_are_fetched(home: VxHome, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "openssh.tcz").write_bytes(TCZ)
    asked = []

    with folder_server(served) as server:

        def release(ref: BoxRef, _arch: str) -> Release:
            asked.append(str(ref))
            remote = Remote(urls=(f"{server.url}/openssh.tcz",), digest=None)
            return Release(
                name="tinycore", version="15.0", arch="x86_64", parts={}, user="tc", cmdline="",
                extensions={"openssh.tcz": remote}, disk_boots=False, seed=SeedKind.TINYCORE,
                root=RootKind.RAM,
            )  # fmt: skip

        box = imported(home, iso(tmp_path / "CorePure64-15.0.iso", CORE), release=release)

    assert asked == ["tinycore@15"]
    assert [extension.name for extension in box.extensions] == ["openssh.tcz"]
    assert [source.part for source in box.sources] == ["openssh.tcz"]


def test_a_box_that_vx_may_not_get_into_is_warned_of(home: VxHome, tmp_path: Path) -> None:
    watched = Recorder()

    imported(home, iso(tmp_path / "CorePure64-15.0.iso", CORE), Op(watched, Cancel()))

    assert "neither openssh nor dropbear is on CorePure64-15.0.iso" in watched.notes()[-1]


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        ({"casper/vmlinuz": b"x"}, "an Ubuntu live system or installer"),
        ({"install.amd/vmlinuz": b"x", "dists/x": b"x"}, "a Debian installer"),
        ({"BaseOS/x": b"x", "images/pxeboot/vmlinuz": b"x"}, "of the Enterprise Linux family"),
        ({"sources/boot.wim": b"x"}, "a Windows installer"),
        ({"meta-data": b"x", "user-data": b"x"}, "a seed for cloud-init"),
        ({"photos/1.jpg": b"x", "notes.txt": b"x"}, "it holds notes.txt, photos"),
    ],
)
def test_other_isos_are_refused_by_what_they_are(
    home: VxHome, tmp_path: Path, tree: bootdisks.Tree, what: str
) -> None:
    error = refused(home, iso(tmp_path / "x.iso", tree, "Some-Label"))

    assert 'x.iso is an ISO image labelled "Some-Label", ' in error.message
    assert what in error.message
    assert "cloud image" in error.hint


def test_a_nameless_one_is_told_a_name(home: VxHome, tmp_path: Path) -> None:
    assert "--name tinycore`" in refused(home, iso(tmp_path / "x.iso", CORE), Wishes()).hint


def test_a_cut_iso_is_refused(home: VxHome, tmp_path: Path) -> None:
    image = iso(tmp_path / "x.iso", CORE)
    image.write_bytes(image.read_bytes()[: 19 * 2048])

    assert "x.iso is a damaged ISO image" in refused(home, image).message


def test_a_kernel_that_is_none_is_refused(home: VxHome, tmp_path: Path) -> None:
    error = refused(home, iso(tmp_path / "x.iso", CORE | {"boot/vmlinuz64": b"not a kernel"}))

    assert "the kernel of x.iso" in error.message


# --- extensions ------------------------------------------------------------------------------


def test_dependencies_come_first_and_circles_end() -> None:
    needs = {"a": ["b", "c"], "b": ["c", "a"], "c": ["d"]}

    assert in_order("a", lambda name: needs.get(name, [])) == ("d", "c", "b", "a")


def test_a_circle_of_thousands_is_cut() -> None:
    assert len(in_order("0", lambda name: [str(int(name) + 1)])) <= 64


def test_only_names_of_extensions_are_dependencies() -> None:
    there = ("a.tcz", "x-5.tcz", "x-y.tcz", "b.txt")

    assert dependencies("a.tcz x-KERNEL.tcz ../a.tcz b.txt .*", there) == ["a.tcz", "x-5.tcz"]
