from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes import bootdisks as make
from tests.fuzz import endurance
from tests.fuzz.budget import rounds
from vagrantish.formats.xfs import Xfs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(bool(make.missing("mkfs.xfs")), reason="mkfs.xfs is not installed")


@pytest.fixture(scope="module", params=[(), ("-m", "crc=0")], ids=["v5", "v4"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tree: make.Tree = {
        "/boot/vmlinuz": bytes(range(256)) * 600,
        "/link": make.Link("boot/vmlinuz"),
        "/long": make.Link("x/" * 300),
        **{f"/block/file-{number}": "x" for number in range(40)},
        **{f"/leaf/file-with-a-name-{number}": "" for number in range(200)},
    }
    target: Path = tmp_path_factory.mktemp("fuzz") / "xfs"
    return make.xfs(target, tree, *request.param).read_bytes()


def test_damage_is_noticed_or_harmless(image: bytes) -> None:
    unnoticed = endurance.endure(image, Xfs, rounds(40))

    assert unnoticed > 0  # else nothing but the superblock was tried
