"""Catalogs in folders, and how a box is found in all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vagrantish.box import catalog, reference
from vagrantish.box.catalog import Catalog
from vagrantish.box.catalog_shelf import Folder
from vagrantish.errors import BoxError, BoxNotFound
from vagrantish.model import ArtifactKind, CatalogSource
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from pathlib import Path

SUM = "sha256:" + "ab" * 32
X86 = "x86_64"


def definition(name: str, *versions: str, more: str = "", arch: str = X86) -> str:
    builds = ""
    for version in versions:
        line, _, build = version.partition(".")
        builds += f'[release.{line}.build."{build}"]\n{arch} = "{SUM}"\n'
    return (
        f'name = "{name}"\ndescription = "{more or name}"\ndisk_boots = true\n'
        f'disk.url = "https://example.org/{name}-{{version}}.img"\n{builds}'
    )


def folder(path: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (path / name).mkdir(parents=True)
        (path / name / "box.toml").write_text(text, "utf-8")
    return path


def source(path: Path) -> CatalogSource:
    return CatalogSource(text=f"~/{path.name}", kind="folder", location=str(path))


@pytest.fixture
def built_in(tmp_path: Path) -> Path:
    return folder(
        tmp_path / "built-in",
        ubuntu=definition("ubuntu", "22.04.1", "24.04.1", "24.04.2"),
        debian=definition("debian", "13.1", arch="aarch64"),
        micro='name = "micro"\narch = "x86_64"\nkernel = "kernel"\n',
        broken="name = 5\n[release]\n",
        rhel='name = "rhel"\nobtain = "Ask Red Hat."\ndisk_boots = true\n[release.9]\n',
    )


@pytest.fixture
def loaded(built_in: Path, tmp_path: Path) -> Catalog:
    return catalog.load(VxHome(tmp_path / "home"), built_in=built_in)


def missing(loaded: Catalog, text: str, arch: str = X86) -> BoxNotFound:
    with pytest.raises(BoxNotFound) as caught:
        loaded.find(reference.parse(text), arch)
    return caught.value


def test_a_box_is_found_in_its_newest_version_that_matches(loaded: Catalog) -> None:
    assert loaded.find(reference.parse("ubuntu"), X86).version == "24.04.2"
    assert loaded.find(reference.parse("ubuntu@22.04"), X86).version == "22.04.1"
    assert loaded.find(reference.parse("ubuntu@24.04.1"), X86).version == "24.04.1"
    assert [each.version for each in loaded.releases("ubuntu", X86)] == [
        "22.04.1", "24.04.1", "24.04.2",
    ]  # fmt: skip
    assert loaded.releases("ubuntu", "aarch64") == ()
    assert loaded.releases("nothing") == ()


def test_one_broken_definition_is_in_nobodys_way(loaded: Catalog) -> None:
    assert loaded.find(reference.parse("ubuntu"), X86)

    with pytest.raises(BoxError, match='"name" is a string'):
        loaded.find(reference.parse("broken"), X86)


@pytest.mark.parametrize(
    ("text", "arch", "told", "hint"),
    [
        ("ubunto", X86, "no box ubunto is known", 'Did you mean "ubuntu"?'),
        ("zzz", X86, "no box zzz is known", "vx box list --available"),
        ("ubuntu@23.04", X86, "it has 24.04.2, 24.04.1, 22.04.1", 'Did you mean "ubuntu@2'),
        ("debian", X86, "published for aarch64, not for x86_64", "--available"),
        ("debian@12", X86, "debian is not published for x86_64", "--available"),
        ("micro", X86, "micro is built", "vx box build micro"),
        ("rhel@9.4", X86, "Ask Red Hat.", "vx box add FILE --name rhel --version 9.4"),
    ],
)
def test_what_is_not_there_is_told_with_what_comes_close(
    loaded: Catalog, text: str, arch: str, told: str, hint: str
) -> None:
    error = missing(loaded, text, arch)

    assert told in error.message
    assert hint in error.hint


def test_a_box_packed_into_a_users_folder_is_told_from_a_published_one(
    built_in: Path, tmp_path: Path
) -> None:
    mine = folder(
        tmp_path / "mine",
        own='name = "own"\nversion = "1"\narch = "x86_64"\nkernel = "kernel"\n',
    )
    loaded = catalog.load(VxHome(tmp_path / "h"), [source(mine)], built_in=built_in)

    assert loaded.published("own") is None
    assert "vx box add" in missing(loaded, "own").hint


def test_the_users_own_definition_wins_and_an_earlier_catalog_before_a_later_one(
    built_in: Path, tmp_path: Path
) -> None:
    one = folder(tmp_path / "one", ubuntu=definition("ubuntu", "7.1", more="mine"))
    two = folder(
        tmp_path / "two",
        ubuntu=definition("ubuntu", "9.1"),
        corp=definition("corp", "1.0"),
    )
    loaded = catalog.load(VxHome(tmp_path / "h"), [source(one), source(two)], built_in=built_in)

    assert loaded.find(reference.parse("ubuntu"), X86).version == "7.1"
    assert loaded.find(reference.parse("corp"), X86).version == "1.0"
    box = loaded.published("ubuntu")
    assert box is not None
    assert (box.description, box.origin) == ("mine", "~/one")
    assert loaded.names() == ("broken", "corp", "debian", "micro", "rhel", "ubuntu")


def test_a_checkout_may_have_its_definitions_in_boxes(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    folder(checkout / "boxes", corp=definition("corp", "1.0"))
    (checkout / "docs").mkdir()

    assert Folder(checkout, "x").names() == ("corp",)
    assert "corp" in Folder(checkout, "x").text("corp")


def test_a_catalog_that_is_gone_is_told_and_hides_nothing_else(
    built_in: Path, tmp_path: Path
) -> None:
    loaded = catalog.load(VxHome(tmp_path), [source(tmp_path / "gone")], built_in=built_in)

    assert loaded.find(reference.parse("ubuntu"), X86)
    assert "gone cannot be read" in str(loaded.troubles[0])
    assert "gone cannot be read" in missing(loaded, "corp").message
    assert len(loaded.troubles) == 1


def test_a_name_that_is_not_the_folders_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path / "x", one=definition("two", "1.0"))

    with pytest.raises(BoxError, match='is called "two"'):
        Catalog([Folder(place, "x")]).published("one")


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"\xff\xfe", "not UTF-8"), (b"#" * ((64 << 10) + 1), "bigger than 64 KiB"), (b"=", "TOML")],
)
def test_what_is_no_text_of_a_sane_size_is_refused(
    tmp_path: Path, content: bytes, why: str
) -> None:
    folder(tmp_path, one="")
    (tmp_path / "one" / "box.toml").write_bytes(content)

    with pytest.raises(BoxError, match=why):
        Catalog([Folder(tmp_path, "x")]).published("one")


def test_pipes_and_odd_names_are_no_definitions(tmp_path: Path) -> None:
    import os

    folder(tmp_path, good=definition("good", "1.0"))
    (tmp_path / "Bad Name").mkdir()
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "box.toml")
    (tmp_path / "dir" / "box.toml").mkdir(parents=True)

    assert Folder(tmp_path, "x").names() == ("good",)
    assert not Folder(tmp_path, "x").has("pipe")


def test_only_the_definition_asked_for_is_read(built_in: Path, tmp_path: Path) -> None:
    loaded = catalog.load(VxHome(tmp_path), built_in=built_in)
    (built_in / "debian" / "box.toml").chmod(0)

    first = loaded.find(reference.parse("ubuntu"), X86)
    (built_in / "ubuntu" / "box.toml").unlink()

    assert loaded.find(reference.parse("ubuntu"), X86) == first


def test_settings_for_a_file_of_ones_own_come_from_its_definition(loaded: Catalog) -> None:
    settings = loaded.settings(reference.parse("rhel@9.4"), X86)

    assert settings is not None
    assert (settings.version, settings.disk_boots, settings.parts) == ("9.4", True, {})
    assert loaded.settings(reference.parse("rhel@10"), X86) is None
    assert loaded.settings(reference.parse("unknown@1"), X86) is None


def test_the_boxes_that_ship_are_found(tmp_path: Path) -> None:
    shipped = catalog.load(VxHome(tmp_path))

    release = shipped.find(reference.parse("ubuntu@24.04"), X86)
    assert release.parts[ArtifactKind.DISK].remote.digest is not None
    assert {"ubuntu", "centos", "tinycore"} <= set(shipped.names())
