from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.budget import rounds
from vagrantish.formats import bls, bls_grub, bls_syslinux

_WORDS = st.sampled_from(
    (
        "menuentry", "submenu", "function", "{", "}", "'", '"', "\\", "linux", "initrd16", "set",
        "default=", "${saved_entry}", "$x", "--id", "$menuentry_id_option", "blscfg", "a>b", "0",
        "label", "LABEL", "append", "kernel", "menu", "default", "initrd=a,b", "#", "\n", "\n",
        "\t", "\0", "title", "version", "options", "rescue", "/boot/vmlinuz-6.1", "($root)/x",
    )
)  # fmt: skip
_SCRIPTS = st.lists(st.one_of(_WORDS, st.text(max_size=8)), max_size=200).map(" ".join)


@settings(max_examples=rounds(100), deadline=None)
@given(_SCRIPTS, st.dictionaries(st.text(max_size=5), st.text(max_size=10), max_size=3))
def test_any_menu_is_read_into_entries_that_boot_a_kernel(
    text: str, environment: dict[str, str]
) -> None:
    menu = bls_grub.parse(text)
    found = bls_grub.default_of(menu.entries, menu.defaults, environment)
    syslinux = bls_syslinux.parse(text)
    entry = bls.parse_entry(text, "name", environment)

    assert found is None or found[0] in menu.entries
    assert len(menu.entries) <= bls.ENTRIES_MAX
    assert all(each.linux for each in syslinux.entries)
    assert entry is None or entry.linux
    for each in (*menu.entries, *syslinux.entries):
        assert len(each.place) == len(each.path)
        bls.version_key(each.version)


@settings(max_examples=rounds(60), deadline=None)
@given(st.binary(max_size=1500))
def test_any_environment_block_is_read(data: bytes) -> None:
    bls.parse_environment(data)
    bls.parse_environment(b"# GRUB Environment Block\n" + data)


def test_the_largest_texts_taken_are_read_soon() -> None:
    started = time.monotonic()

    for piece in ("menuentry 'a' {\nlinux x\n}\n", "submenu a {\n", "linux x 'y\n", "$a$b ", "label a\n", "linux a a a a a a a a\n", "'", "\\", "initrd x\n", "{ }"):  # fmt: skip
        text = piece * (bls.TEXT_MAX // len(piece))
        bls_grub.parse(text)
        bls_syslinux.parse(text)
        bls.parse_entry(text, "x", {"a": "b" * 100})

    assert time.monotonic() - started < 20
