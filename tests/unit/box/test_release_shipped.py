"""The definitions that ship with vx, each looked at for what its publisher's names promise."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

import pytest

from vagrantish.box import release_levels, releases, versions
from vagrantish.box.fields import CPU_LEVELS
from vagrantish.config.check import check_layer
from vagrantish.config.layers import BOX, Layer
from vagrantish.config.problems import Problems
from vagrantish.model import ArtifactKind, Release, Remote, RootKind, SeedKind
from vagrantish.resources import boxes_dir
from vagrantish.units import GIB, MIB, parse_size

NAMES = (
    "alma", "alpine", "centos", "debian", "fedora", "rhel", "rocky", "tinycore", "ubuntu",
)  # fmt: skip
HOSTS = {
    "alma": {"repo.almalinux.org", "vault.almalinux.org"},
    "alpine": {"dl-cdn.alpinelinux.org"},
    "centos": {"cloud.centos.org"},
    "debian": {"cloud.debian.org"},
    "fedora": {
        "download.fedoraproject.org", "dl.fedoraproject.org", "archives.fedoraproject.org",
    },
    "rhel": set(),
    "rocky": {"dl.rockylinux.org"},
    "tinycore": {"tinycorelinux.net", "distro.ibiblio.org"},
    "ubuntu": {"cloud-images.ubuntu.com"},
}  # fmt: skip
# Past where the words of a release stand in for its own name.
UPSTREAM = {"10-v2.2": "10.2", "16-x86": "16"}


def published(name: str) -> releases.Published:
    text = (boxes_dir() / name / "box.toml").read_text("utf-8")
    found = releases.parse(text, source=name)
    assert found is not None
    return found


BOXES = {name: published(name) for name in NAMES}
RELEASES = [release for box in BOXES.values() for release in box.releases]


def named(release: Release) -> str:
    return f"{release.name}-{release.version}-{release.arch}"


def remotes(release: Release) -> list[Remote]:
    return [part.remote for part in release.parts.values()] + list(release.extensions.values())


def test_every_definition_that_ships_is_in_this_test() -> None:
    there = {path.parent.name for path in boxes_dir().glob("*/box.toml")}

    assert there == {*NAMES, "micro"}


@pytest.mark.parametrize("name", NAMES)
def test_a_box_is_called_as_its_folder_and_its_default_is_there(name: str) -> None:
    box = BOXES[name]

    assert box.name == name
    assert box.description
    assert box.obtain or box.find(None, "x86_64") is not None
    assert any(versions.matches(line.name, box.default) for line in box.lines)
    for line in box.lines:
        assert line.settings.keys() == {"x86_64", "aarch64"}


@pytest.mark.parametrize("name", NAMES)
def test_the_default_is_a_release_that_is_still_mended(name: str) -> None:
    box = BOXES[name]
    line = next(each for each in box.lines if versions.matches(each.name, box.default))

    assert line.eol == "" or line.eol > "2027"


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_addresses_are_the_publishers_and_name_the_version(release: Release) -> None:
    (own,) = (line.name for line in BOXES[release.name].lines if release in line.builds)
    build = release.version.removeprefix(f"{own}.")
    line = UPSTREAM.get(own, own)

    for part in release.parts.values():
        for url in part.remote.urls:
            parts = urlsplit(url)
            file = parts.path.rpartition("/")[2]
            assert parts.hostname in HOSTS[release.name]
            assert build in (parts.path if release.name == "ubuntu" else file)
            assert line in file
            assert not any(brace in url for brace in "{}")
            words = {"x86_64": ("amd64", "x86"), "aarch64": ("arm64",)}[release.arch]
            assert any(word in url for word in (release.arch, *words))
            others = {"x86_64": ("aarch64", "arm64"), "aarch64": ("x86_64", "amd64")}
            assert not any(word in url for word in others[release.arch])


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_what_has_no_digest_comes_over_https(release: Release) -> None:
    for remote in remotes(release):
        for url in remote.urls:
            assert remote.digest is not None or url.startswith("https://")
        check = remote.check
        if check is not None:
            assert check.sums_url.startswith("https://")
            assert check.name == urlsplit(remote.urls[0]).path.rpartition("/")[2]
            assert bool(check.keys) == bool(check.signed)


def test_only_the_one_nobody_has_a_digest_of_is_without() -> None:
    bare = {
        f"{each.name}@{each.version}"
        for each in RELEASES
        for part in each.parts.values()
        if part.remote.digest is None
    }

    assert bare == {"tinycore@16-x86.2"}


def test_no_digest_stands_at_two_files() -> None:
    files = {
        (str(part.remote.digest), part.remote.urls[0])
        for release in RELEASES
        for part in release.parts.values()
        if part.remote.digest
    }
    counts = Counter(digest for digest, _ in files)

    assert [digest for digest, count in counts.items() if count > 1] == []
    assert len(counts) > 45


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_a_release_can_be_booted_as_it_says(release: Release) -> None:
    kinds = set(release.parts)
    if release.seed is SeedKind.CLOUD_INIT:
        assert release.disk_boots
        assert release.root is RootKind.DISK
        assert kinds == {ArtifactKind.DISK}
    else:
        assert (release.seed, release.root) == (SeedKind.TINYCORE, RootKind.RAM)
        assert kinds == {ArtifactKind.KERNEL, ArtifactKind.INITRD}
        assert {part.member.partition("/")[0] for part in release.parts.values()} == {"boot"}
        assert list(release.extensions)[-1] == "openssh.tcz"
    assert release.user not in ("", "root")
    assert release.console == {"x86_64": "ttyS0", "aarch64": "ttyAMA0"}[release.arch]
    assert f"console={release.console}" in release.cmdline
    assert 256 * MIB <= parse_size(release.defaults["memory"]) <= 2 * GIB


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_processor_levels_are_those_the_programs_were_built_for(release: Release) -> None:
    level = release.cpu_level
    enterprise = {"alma", "centos", "rocky"}
    major = release.version.split(".")[0]

    assert level in CPU_LEVELS
    expected = {"9": "x86-64-v2", "10": "x86-64-v3", "10-v2": "x86-64-v2"}.get(major, "x86-64-v1")
    if release.arch != "x86_64" or release.name not in enterprise:
        expected = "x86-64-v1"
    assert level == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_of_a_box_are_ones_a_box_may_set(name: str) -> None:
    problems = Problems()

    for line in BOXES[name].lines:
        for settings in line.settings.values():
            check_layer(Layer(BOX, f"box {name}", dict(settings.defaults)), problems)
    problems.raise_any()


@pytest.mark.parametrize(
    ("name", "wanted", "version"),
    [
        ("ubuntu", None, "26.04.20260720"),
        ("ubuntu", "noble", "24.04.20260705"),
        ("ubuntu", "22.04", "22.04.20260705"),
        ("debian", "bookworm", "12.20260712-2537"),
        ("debian", "13", "13.20260810-2566"),
        ("centos", "stream9", "9.20260720.0"),
        ("centos", "7", "7.2009"),
        ("alma", "10", "10.2.20260526.0"),
        ("alma", "10-v2", "10-v2.2.20260526.0"),
        ("alma", "9.8", "9.8.20260810"),
        ("rocky", "8", "8.10.20240528.0"),
        ("fedora", "43", "43.1.6"),
        ("alpine", None, "3.23.4"),
        ("tinycore", None, "16.2"),
        ("tinycore", "16-x86", "16-x86.2"),
    ],
)
def test_names_lead_where_people_expect(name: str, wanted: str | None, version: str) -> None:
    release = BOXES[name].find(wanted, "x86_64")

    assert release is not None
    assert release.version == version


def test_there_are_two_builds_of_one_release_to_move_between() -> None:
    lines = [line for box in BOXES.values() for line in box.lines]

    assert [
        line.name
        for line in lines
        if len({build.version for build in line.builds if build.arch == "x86_64"}) > 1
    ] == ["9.8", "13", "16"]


def test_the_definition_in_the_documentation_is_one() -> None:
    page = (boxes_dir().parent / "docs" / "boxes.md").read_text("utf-8")
    section = page.partition("\n## Definitions\n")[2].partition("\n## ")[0]
    text = section.partition("```toml\n")[2].partition("```")[0]

    box = releases.parse(text, source="docs")

    assert box is not None
    assert [each.version for each in box.releases] == ["24.04.20260705"]
    for key in (*release_levels.TOP, *release_levels.LINE, *release_levels.ARCH_OF_BUILD):
        assert f"`{key}`" in section or f"[{key}]" in section, f"{key} is not described"
