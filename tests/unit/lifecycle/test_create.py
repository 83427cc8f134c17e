"""What a new machine is given."""

from __future__ import annotations

import pytest

from vagrantish.lifecycle.create import key_comment


@pytest.mark.parametrize(
    ("folder", "comment"),
    [
        ("my project", "vx my project web"),
        ("new\nline", "vx new_line web"),
        ("not\udcffutf-8", "vx not_utf-8 web"),
        ("ünï", "vx _n_ web"),
    ],
)
def test_a_keys_comment_is_one_plain_line_whatever_the_folder_is_called(
    folder: str, comment: str
) -> None:
    assert key_comment(folder, "web") == comment
