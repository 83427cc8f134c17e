"""`catalogs`: only in the user's own file, and every mistake in it with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vagrantish.config.catalogs import catalogs_of, source_of
from vagrantish.config.check import check_layer
from vagrantish.config.layers import BOX, LOCAL, PROJECT, SET, USER, Layer
from vagrantish.config.problems import Problems
from vagrantish.errors import ConfigError
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from pathlib import Path

ENV = {"HOME": "/home/me"}


@pytest.mark.parametrize(
    ("text", "kind", "location", "branch"),
    [
        ("~/boxes", "folder", "/home/me/boxes", ""),
        ("/srv/boxes/", "folder", "/srv/boxes", ""),
        ("https://example.org/x.toml", "web", "https://example.org/x.toml", ""),
        ("http://127.0.0.1:8000/x", "web", "http://127.0.0.1:8000/x", ""),
        ("git+https://example.org/x.git", "git", "https://example.org/x.git", ""),
        ("git+https://example.org/x#v1", "git", "https://example.org/x", "v1"),
        ("git+ssh://git@example.org/x", "git", "ssh://git@example.org/x", ""),
        ("git+file:///srv/x", "git", "file:///srv/x", ""),
    ],
)
def test_a_catalog_is_a_folder_an_address_or_a_repository(
    text: str, kind: str, location: str, branch: str
) -> None:
    source = source_of(text, ENV)

    assert (source.text, source.kind, source.location, source.branch) == (
        text, kind, location, branch,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (5, "a catalog is one of"),
        ("", "it is empty"),
        ("a\nb", "end of line"),
        ("boxes", 'from "/" or "~/"'),
        ("../boxes", 'from "/" or "~/"'),
        ("{{ env.X }}", "cannot be a template"),
        ("http://example.org/x", "plain http"),
        ("ftp://example.org/x", "must begin with https:// or http://"),
        ("https:///x", "names no host"),
        ("https://me:secret@example.org/x", "name or password"),
        ("https://token@example.org/x", "name or password"),
        ("https://exa mple.org/x", "blanks"),
        ("https://[::1/x", "malformed"),
        ("git+http://example.org/x", "must begin with https:// or ssh:// or file://"),
        ("git+ext::sh -c evil", "must begin with"),
        ("git+ssh://-oProxyCommand=evil/x", 'begins with "-"'),
        ("git+ssh://-evil@example.org/x", 'begins with "-"'),
        ("git+--upload-pack=evil", "must begin with"),
        ("git+file://host/x", None),
        ("git+file:x", "must begin with"),
        ("git+https://example.org/x#-evil", "is no branch"),
    ],
)
def test_what_is_none_of_them_is_told(text: object, why: str | None) -> None:
    """None: git itself knows what to make of it."""
    if why is None:
        assert source_of(text, ENV).kind == "git"
        return
    with pytest.raises(ValueError, match=r".") as caught:
        source_of(text, ENV)
    assert why in str(caught.value)


def config(tmp_path: Path, text: str) -> VxHome:
    (tmp_path / "config.toml").write_text(text, "utf-8")
    return VxHome(tmp_path)


def test_catalogs_keep_their_order_and_are_there_once(tmp_path: Path) -> None:
    home = config(tmp_path, 'cpus = 2\ncatalogs = ["/b", "/a", "/b"]\n')

    assert [source.text for source in catalogs_of(home, ENV)] == ["/b", "/a"]


@pytest.mark.parametrize("text", ["", "cpus = 2\n", "catalogs = []\n"])
def test_without_catalogs_there_are_none(tmp_path: Path, text: str) -> None:
    assert catalogs_of(config(tmp_path, text), ENV) == ()
    assert catalogs_of(VxHome(tmp_path / "nowhere"), ENV) == ()


def test_every_mistake_has_its_line(tmp_path: Path) -> None:
    home = config(tmp_path, 'catalogs = [\n  "x",\n  "/fine",\n  "http://e.org/x",\n]\n')

    with pytest.raises(ConfigError) as caught:
        catalogs_of(home, ENV)

    assert [problem.where for problem in caught.value.problems] == [
        "config.toml:2", "config.toml:4",
    ]  # fmt: skip
    assert caught.value.message.count("`catalogs` holds") == 2


@pytest.mark.parametrize("value", ['"/x"', "5", "[" + '"/x", ' * 65 + "]"])
def test_it_is_a_list_of_sane_length(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="must be a list of up to 64"):
        catalogs_of(config(tmp_path, f"catalogs = {value}\n"), ENV)


@pytest.mark.parametrize("kind", [BOX, PROJECT, LOCAL, SET])
def test_nobody_but_the_user_can_set_it(kind: int) -> None:
    problems = Problems()

    check_layer(Layer(kind, "there", {"catalogs": ["/x"]}), problems)

    told = "unknown key" if kind == BOX else "belongs in config.toml in VX_HOME"
    with pytest.raises(ConfigError, match=told):
        problems.raise_any()


def test_no_machine_can_set_it_either() -> None:
    problems = Problems()

    check_layer(Layer(PROJECT, "there", {"machines": {"web": {"catalogs": []}}}), problems)

    with pytest.raises(ConfigError, match=r"belongs in config\.toml in VX_HOME"):
        problems.raise_any()


def test_it_is_in_nobodys_way_in_the_users_file() -> None:
    problems = Problems()

    check_layer(Layer(USER, "config.toml", {"catalogs": ["/x"], "cpus": 2}), problems)

    problems.raise_any()
