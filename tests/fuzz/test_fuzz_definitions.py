"""Definitions, catalogs and versions of strangers: whole values or a BoxError, soon, and no more."""

from __future__ import annotations

import io
import tarfile
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.budget import rounds
from vagrantish.box import catalog_fetch, definition, releases, versions
from vagrantish.box.catalog_git import blobs_of
from vagrantish.box.catalog_shelf import chosen
from vagrantish.box.release_words import TemplateError, fill
from vagrantish.errors import BoxError
from vagrantish.resources import boxes_dir

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

SHIPPED = {
    path.parent.name: path.read_text("utf-8") for path in sorted(boxes_dir().glob("*/box.toml"))
}
LONGEST_S = 2.0
QUICK = settings(max_examples=rounds(60), deadline=None, suppress_health_check=list(HealthCheck))
ODD = ("{", "}", "{build}", "{x.y}", "..", "/", "\0", "\x1b[2J", "\n", "[", "]", "'", '"', "=", "#")


def attempt(work: Callable[[], T]) -> T | None:
    """What comes of it; None when it is refused, in words fit for people and soon."""
    began = time.monotonic()
    try:
        return work()
    except BoxError as error:
        refused = error.message
    finally:
        assert time.monotonic() - began < LONGEST_S
    assert len(refused) < 40_000
    assert "\x1b" not in refused
    return None


def parsed(text: str) -> releases.Published | None:
    box = releases.parse(text, source="here")
    if box is None:
        definition.parse(text, source="here", name="x", version="1")
    return box


def held(text: str) -> None:
    """What every definition must keep to, whatever is in it."""
    box = attempt(lambda: parsed(text))
    for release in box.releases if box else ():
        assert not set(release.version) & set("/\0 ")
        for part in release.parts.values():
            assert ".." not in part.member.split("/")
            assert not part.member.startswith("/")
            for url in part.remote.urls:
                assert url.startswith(("https://", "http://"))
                assert "{" not in url
                assert part.remote.digest or url.startswith(("https://", "http://127.", "http://l"))
        for name in release.extensions:
            assert "/" not in name


@given(st.sampled_from(sorted(SHIPPED)), st.data())
@QUICK
def test_a_definition_with_damage_is_right_or_refused(name: str, data: st.DataObject) -> None:
    text = SHIPPED[name]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        size = data.draw(st.integers(0, 40))
        text = (
            text[:at]
            + data.draw(st.sampled_from(("", *ODD)) | st.text(max_size=6))
            + text[at + size :]
        )

    held(text)


@given(st.sampled_from(sorted(SHIPPED)), st.integers(0, 4000))
@QUICK
def test_a_definition_cut_short_is_right_or_refused(name: str, length: int) -> None:
    held(SHIPPED[name][:length])


KEYS = st.sampled_from((
    "name", "default", "release", "build", "disk", "kernel", "initrd", "file", "url", "mirrors",
    "member", "check", "sums", "signature", "signed", "keys", "x86_64", "aarch64", "digest", "size",
    "words", "arch", "extensions", "names", "digests", "aliases", "eol", "user", "seed", "root",
    "console", "cmdline", "cpu_level", "disk_boots", "defaults", "obtain", "1", "2.3", "a b", "",
))  # fmt: skip
SCALARS = st.one_of(
    st.sampled_from((
        "x", "1", "https://example.org/{version}", "http://localhost/{file}", "sha256:" + "0" * 64,
        "cloud-init", "disk", "sums", "x86-64-v2", "ttyS0", "{arch}", "../x", "",
    )),
    st.integers(-(1 << 70), 1 << 70), st.booleans(), st.floats(allow_nan=False), st.text(max_size=5),
)  # fmt: skip
TABLES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=40,
)


def toml_of(value: Any) -> str:
    """As an inline value."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{toml_of(key)} = {toml_of(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_of, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        plain = "".join(
            c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in value
        )
        return f'"{plain}"'
    return repr(value)


@given(st.dictionaries(KEYS, TABLES, max_size=12))
@QUICK
def test_tables_of_every_shape_are_right_or_refused(table: dict[str, Any]) -> None:
    held("".join(f"{toml_of(key)} = {toml_of(value)}\n" for key, value in table.items()))


@pytest.mark.parametrize(
    "text",
    [
        "release" + ".a" * 20_000 + " = 1",
        "[release]\n" + "".join(f"[release.{n}.build.1]\nx86_64 = ''\n" for n in range(1500)),
        "name = 'x'\n[release.1]\n" + "".join(f"[release.1.build.{n}]\n" for n in range(2000)),
        "words = {" + ", ".join(f"w{n} = 'x'" for n in range(3000)) + "}\n[release]",
        "release = " + "{a=" * 300 + "1" + "}" * 300,
        "cmdline = '" + "{build}" * 9000 + "'\n[release]",
        "default = '" + "a" * 60_000 + "'\n[release]",
    ],
)
def test_what_is_much_or_deep_is_refused_soon(text: str) -> None:
    held(text)
    with pytest.raises(BoxError):
        releases.parse(text, source="here")


# --- catalogs ------------------------------------------------------------------------------


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("ubuntu", "tinycore"):
            data = SHIPPED[name].encode()
            member = tarfile.TarInfo(f"boxes/{name}/box.toml")
            member.size = len(data)
            member.pax_headers = {"comment": "é" * 40}
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


ARCHIVE = archive()


@given(st.lists(st.tuples(st.integers(0, len(ARCHIVE) - 1), st.integers(0, 255)), max_size=12),
       st.integers(0, len(ARCHIVE)))  # fmt: skip
@QUICK
def test_a_damaged_archive_is_read_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(ARCHIVE)
    for at, byte in changes:
        # Half of them in the headers, where they do most.
        data[at % 512 if at % 2 else at] = byte

    found = attempt(lambda: catalog_fetch.definitions(bytes(data[: cut or len(data)]), "here"))

    for name, content in (found or {}).items():
        assert "/" not in name
        assert len(content) <= 65537


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"77777777777\0"])
@pytest.mark.parametrize("kind", [b"0", b"x", b"L", b"S", b"g"])
def test_a_member_of_impossible_size_ends_the_reading(size: bytes, kind: bytes) -> None:
    data = bytearray(ARCHIVE)
    first = data.index(b"boxes/ubuntu/box.toml\0")
    for at in (0, first):
        header = data[at : at + 512]
        header[124:136], header[156:157] = size, kind
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        data[at : at + 512] = header

    attempt(lambda: catalog_fetch.definitions(bytes(data), "here"))


@given(st.binary(max_size=400))
@QUICK
def test_bytes_of_any_kind_are_a_catalog_or_refused(data: bytes) -> None:
    attempt(lambda: catalog_fetch.definitions(data, "here"))


@given(st.binary(max_size=300), st.lists(st.text(max_size=20), max_size=20))
@QUICK
def test_listings_and_paths_of_any_kind_give_plain_names(data: bytes, paths: list[str]) -> None:
    for path in (*blobs_of(data), *chosen(paths)):
        assert isinstance(path, str)


# --- small things --------------------------------------------------------------------------


@given(st.text(max_size=40), st.dictionaries(st.sampled_from(("a", "build")), st.just("v")))
@QUICK
def test_templates_know_nothing_but_their_words(text: str, words: dict[str, str]) -> None:
    try:
        filled = fill(text, words)
    except TemplateError:
        return
    assert "{" not in filled
    assert "}" not in filled


@given(st.lists(st.text(max_size=30), max_size=10), st.text(max_size=10))
@QUICK
def test_versions_of_any_text_have_an_order(texts: list[str], wanted: str) -> None:
    for one, other in pairwise(texts):
        keys = versions.key(one), versions.key(other)
        assert (keys[0] < keys[1]) + (keys[1] < keys[0]) + (one == other) == 1
    newest = versions.newest(texts, wanted)
    assert newest is None or not wanted or versions.matches(newest, wanted)
