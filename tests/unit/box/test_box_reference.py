"""Names of boxes, versions and digests."""

from __future__ import annotations

import pytest

from vagrantish.box import reference
from vagrantish.model import BoxRef


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("micro", BoxRef(name="micro")),
        ("ubuntu@24.04", BoxRef(name="ubuntu", version="24.04")),
        ("my.box-1_x@bookworm-6.1+2", BoxRef(name="my.box-1_x", version="bookworm-6.1+2")),
        ("a" * 64, BoxRef(name="a" * 64)),
    ],
)
def test_a_reference_is_a_name_and_maybe_a_version(text: str, ref: BoxRef) -> None:
    assert reference.parse(text) == ref
    assert str(ref) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "@1", "box@", "Box", "a" * 65, "../x", "x/y", "x\\y", ".hidden", "-f", "x y", "bo\nx",
        "box@../1", "box@.", "box@..", "box@1/2", "box@1@2", "box@-1", "böx", "box@1\n", "box\n",
    ],
)  # fmt: skip
def test_what_could_be_a_path_or_an_option_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no box (name|version): up to 64"):
        reference.parse(text)


def test_a_digest_is_read_in_either_case() -> None:
    digest = reference.parse_digest("sha256:" + "AB" * 32)

    assert str(digest) == "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    "text", ["", "abc", "md5:" + "0" * 32, "sha256:12", "sha256:" + "g" * 64, "sha512:" + "0" * 64]
)
def test_weak_or_broken_digests_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        reference.parse_digest(text)
