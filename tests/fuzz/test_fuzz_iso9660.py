from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes import bootdisks as make
from tests.fuzz import endurance
from tests.fuzz.budget import rounds
from vagrantish.formats.iso9660 import Iso9660

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    bool(make.missing("genisoimage")), reason="genisoimage is not installed"
)


@pytest.fixture(scope="module", params=["-R", "-J", "-l"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tree: make.Tree = {
        "/boot/vmlinuz": bytes(range(256)) * 600,
        "/link": make.Link("boot/vmlinuz"),
        f"/{'n' * 60}": "long",
        "/a/b/c/d/e/f/g/h/i/deep": "deep",
        **{f"/many/file-{number}": "x" for number in range(100)},
    }
    folder: Path = tmp_path_factory.mktemp("fuzz")
    make.folder_of(tree, folder / "tree")
    names = ("-D", request.param) if request.param != "-R" else ("-R",)
    make.run("genisoimage", "-quiet", *names, "-o", folder / "iso", folder / "tree")
    return (folder / "iso").read_bytes()


def test_damage_is_noticed_or_harmless(image: bytes) -> None:
    unnoticed = endurance.endure(image, Iso9660, rounds(60))

    assert unnoticed > 0
