"""The public keys that ship with vx."""

from __future__ import annotations

from vagrantish.fetch import openpgp
from vagrantish.resources import boxes_dir


def test_each_key_file_holds_the_one_key_it_is_named_for() -> None:
    files = sorted((boxes_dir() / "keys").glob("*.asc"))

    assert files
    for path in files:
        assert openpgp.fingerprints(openpgp.dearmored(path.read_bytes())) == [path.stem]


def test_the_readme_lists_each_key() -> None:
    readme = (boxes_dir() / "keys" / "README.md").read_text(encoding="utf-8")

    assert [
        path.stem for path in (boxes_dir() / "keys").glob("*.asc") if path.stem not in readme
    ] == []
