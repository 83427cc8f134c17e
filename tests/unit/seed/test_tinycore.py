"""What a machine adds to Tiny Core."""

from __future__ import annotations

import gzip
import io
import re
import stat

import pytest

from vagrantish.formats import cpio
from vagrantish.resources import templates_dir
from vagrantish.seed import tinycore
from vagrantish.seed.initrd import segment
from vagrantish.seed.overlay import SeedData

SEED = SeedData(
    hostname="web-1",
    user="tc",
    authorized_keys=("ssh-ed25519 AAAA one",),
    host_key=b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
    host_key_public="ssh-ed25519 CCCC host",
    dropbear_host_key=b"\0\0\0\x0bssh-ed25519",
    instance_id="0123abcd",
)
EXTENSIONS = (("openssl.tcz", b"hsqs ssl"), ("openssh.tcz", b"hsqs ssh"))
ENTRIES = {entry.name: entry for entry in tinycore.entries(SEED, EXTENSIONS, console="hvc0")}
BOX_WORDS = ("console=ttyS0", "base", "norestore", "nozswap", "quiet")


def test_extensions_lie_where_tiny_core_looks_first_in_the_order_they_are_loaded() -> None:
    assert ENTRIES["tmp/builtin/onboot.lst"].data == b"openssl.tcz\nopenssh.tcz\n"
    assert ENTRIES["tmp/builtin/optional/openssh.tcz"].data == b"hsqs ssh"


def test_folders_that_tiny_core_has_keep_their_owners_and_modes() -> None:
    packed = gzip.decompress(segment(tinycore.entries(SEED, EXTENSIONS)))
    folders = {
        entry.name: (f"{stat.S_IMODE(entry.mode):o}", entry.uid, entry.gid)
        for entry in cpio.walk(io.BytesIO(packed))
        if stat.S_ISDIR(entry.mode)
    }

    assert folders == {
        "tmp": ("1777", 0, 50),
        "tmp/builtin": ("755", 0, 0),
        "tmp/builtin/optional": ("755", 0, 0),
        "etc": ("755", 0, 0),
        "etc/vx": ("755", 0, 0),
        "etc/vx/seed": ("700", 0, 0),
    }


def test_all_of_the_seed_is_for_root_alone() -> None:
    for name, entry in ENTRIES.items():
        if name.startswith("etc/vx/seed"):
            assert stat.S_IMODE(entry.mode) & 0o077 == 0
            assert (entry.uid, entry.gid) == (0, 0)


def test_the_scripts_read_only_what_is_there() -> None:
    for script in ("tinycore-boot.sh", "tinycore-init.sh", "tinycore-sshd_config"):
        text = (templates_dir() / "seed" / script).read_text()
        named = set(re.findall(r"(?:\$seed|/etc/vx/seed)/([\w.-]+)", text))
        assert named
        assert {f"etc/vx/seed/{name}" for name in named} <= set(ENTRIES)
    assert ENTRIES["etc/vx/seed/console"].data == b"hvc0\n"


def test_the_kernel_starts_a_script_that_is_in_the_overlay() -> None:
    words = tinycore.cmdline_words(BOX_WORDS, "web-1", persistent=False)

    (first,) = (word for word in words if word.startswith("rdinit=/"))
    assert ENTRIES[first.removeprefix("rdinit=/")].mode & 0o100


@pytest.mark.parametrize("persistent", [False, True])
def test_the_boxs_words_stay_and_nothing_comes_twice(*, persistent: bool) -> None:
    words = tinycore.cmdline_words(BOX_WORDS, "web-1", persistent=persistent)

    assert {"console=ttyS0", "nozswap", "noswap", "quiet", "host=web-1"} <= set(words)
    assert len(words) == len(set(words))
    assert tinycore.misread_words(" ".join(words)) == ()


def test_a_machine_without_a_disk_looks_for_none() -> None:
    words = tinycore.cmdline_words((), "web-1", persistent=False)

    assert {"base", "norestore"} <= set(words)
    assert not [word for word in words if "LABEL=" in word]


def test_a_machine_with_a_disk_uses_it_though_the_box_says_otherwise() -> None:
    words = tinycore.cmdline_words(BOX_WORDS, "web-1", persistent=True)

    assert not {"base", "norestore"} & set(words)
    assert {"tce=LABEL=vx-data", "home=LABEL=vx-data", "opt=LABEL=vx-data"} <= set(words)


@pytest.mark.parametrize(
    ("word", "code"),
    [("hostname=web", "host"), ("isolcpus=1", "iso"), ("user_debug=31", "user")],
)
def test_words_that_tiny_core_takes_for_its_own_are_found(word: str, code: str) -> None:
    assert tinycore.misread_words(f"quiet {word} host=web isolated") == ((word, code),)
