"""Boxes and catalogs of strangers: a box or an error, soon, and nothing left behind."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.own_images import imported, left_in, metadata, tar_of
from tests.fakes.recorder import quiet_op
from tests.fuzz.budget import rounds
from vagrantish.box import vagrantbox, vagrantcatalog
from vagrantish.box.import_guest import default_users
from vagrantish.box.vagrantbox import VagrantError
from vagrantish.errors import BoxError
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_S = 5.0
QUICK = settings(max_examples=rounds(60), deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(QUICK, max_examples=rounds(25))
NAMES = ("metadata.json", "Vagrantfile", "box.img", "disk.raw", "vmlinuz", "box.toml", "a/b", "..")
_KEYS = st.sampled_from(
    ["name", "versions", "version", "status", "providers", "url", "checksum", "checksum_type",
     "architecture", "default_architecture", "provider", "disks", "path", "format"]
)  # fmt: skip
_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8)
    | st.sampled_from(["libvirt", "1.0", "sha256", "active", "box.img", "\x1b[2J", "f" * 64])
)  # fmt: skip
JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=25,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> VxHome:
    return VxHome(tmp_path_factory.mktemp("home"))


def refuses(home: VxHome, file: Path) -> None:
    """No disk is in any of these that boots, so an error has to come of each."""
    began = time.monotonic()
    with pytest.raises(BoxError) as caught:
        imported(home, file, quiet_op())
    assert time.monotonic() - began < LONGEST_S
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 4000
    assert left_in(home) == []


@FEW
@given(data=st.data())
def test_any_archive_is_refused_in_order(
    home: VxHome, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5))
    bodies = (
        st.binary(max_size=700) | st.just(metadata()) | JSON.map(lambda v: json.dumps(v).encode())
    )
    members = {name: data.draw(bodies) for name in names}
    packing = data.draw(st.sampled_from(["", "gz"]))

    refuses(home, tar_of(tmp_path_factory.mktemp("t") / "v.box", members, packing=packing))


@QUICK
@given(
    flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8),
    cut=st.none() | st.integers(0, 4000),
)
def test_a_damaged_archive_is_refused_in_order(
    home: VxHome,
    tmp_path_factory: pytest.TempPathFactory,
    flips: list[tuple[int, int]],
    cut: int | None,
) -> None:
    file = tmp_path_factory.mktemp("t") / "v.box"
    tar_of(file, {"metadata.json": metadata(), "box.img": b"QFI\xfb" + bytes(500)})
    damaged = bytearray(file.read_bytes()[:cut])
    for at, value in flips:
        if at < len(damaged):
            damaged[at] = value
    file.write_bytes(damaged)

    refuses(home, file)


@QUICK
@given(value=JSON)
def test_any_json_is_metadata_or_an_error(value: object) -> None:
    data = json.dumps(value).encode()

    try:
        found = vagrantbox.parts(vagrantbox.parse_metadata(data), NAMES)
    except VagrantError as error:
        found, told = {}, str(error)
    else:
        told = ""
    assert set(found.values()) <= set(NAMES)
    assert "\x1b" not in told


@QUICK
@given(value=JSON, versions=st.lists(JSON, max_size=3))
def test_any_json_is_a_catalog_or_an_error(value: object, versions: list[object]) -> None:
    table = {"name": value, "versions": versions}

    try:
        catalog = vagrantcatalog.parse(json.dumps(table).encode())
        offer = vagrantcatalog.choose(catalog, version=None, provider=None, arch="x86_64")
    except VagrantError as error:
        offer, told = None, str(error)
    else:
        told = ""
    assert offer is None or (offer.provider in vagrantbox.PROVIDERS and offer.url)
    assert "\x1b" not in told


@QUICK
@given(data=st.binary(max_size=400))
def test_any_bytes_are_no_catalog(data: bytes) -> None:
    with pytest.raises(VagrantError):
        vagrantcatalog.parse(data)


@QUICK
@given(
    lines=st.lists(
        st.tuples(
            st.integers(0, 6), st.sampled_from(["default_user:", "name: me", "x:", "- y", "#"])
        ),
        max_size=20,
    )
)
def test_any_cloud_cfg_gives_users_or_none(lines: list[tuple[int, str]]) -> None:
    text = "\n".join(" " * indent + word for indent, word in lines)

    assert set(default_users(text)) <= {"me"}


@QUICK
@given(data=st.binary(max_size=300))
def test_any_vagrantfile_gives_a_user(data: bytes) -> None:
    user = vagrantbox.ssh_user(b"c.ssh.username = '" + data)

    assert user
    assert user.isascii()
