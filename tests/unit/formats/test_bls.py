from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagrantish.formats import bls, bls_grub, bls_syslinux

ENTRY = """\
title Red Hat Enterprise Linux (4.18.0-553.el8.x86_64) 8.10 (Ootpa)
version 4.18.0-553.el8.x86_64
linux /boot/vmlinuz-4.18.0-553.el8.x86_64
initrd /boot/initramfs-4.18.0-553.el8.x86_64.img $tuned_initrd
options $kernelopts $tuned_params
# a comment
id rhel-20240515
grub_users $grub_users
"""


def test_an_entry_is_read_with_its_variables_filled_in() -> None:
    entry = bls.parse_entry(ENTRY, "abc-4.18", {"kernelopts": "root=UUID=1 ro  console=ttyS0 "})

    assert entry is not None
    assert entry.linux == "/boot/vmlinuz-4.18.0-553.el8.x86_64"
    assert entry.initrds == ("/boot/initramfs-4.18.0-553.el8.x86_64.img",)
    assert entry.options == "root=UUID=1 ro console=ttyS0"
    assert (entry.name, entry.version) == ("abc-4.18", "4.18.0-553.el8.x86_64")
    assert not entry.is_rescue


def test_what_tuned_adds_is_taken_where_it_is_known() -> None:
    variables = {"kernelopts": "ro", "tuned_params": "isolcpus=1", "tuned_initrd": "/t.img"}

    entry = bls.parse_entry(ENTRY, "x", variables)

    assert entry is not None
    assert entry.options == "ro isolcpus=1"
    assert entry.initrds[1] == "/t.img"


def test_keys_may_repeat_and_be_set_off_by_tabs() -> None:
    text = (
        "linux\t/vmlinuz-6.1\ninitrd\t/ucode.img\ninitrd /initramfs.img\noptions\ta b\noptions c\n"
    )

    entry = bls.parse_entry(text, "x", {})

    assert entry is not None
    assert entry.initrds == ("/ucode.img", "/initramfs.img")
    assert entry.options == "a b c"
    assert entry.version == "6.1"


@pytest.mark.parametrize("text", ["", "title x\nefi /EFI/shell.efi\n", "linux\n", "\0\n \n"])
def test_an_entry_without_a_kernel_is_none(text: str) -> None:
    assert bls.parse_entry(text, "x", {}) is None


def test_a_grubenv_gives_its_variables() -> None:
    text = b"# GRUB Environment Block\nsaved_entry=abc-5.14\nkernelopts=root=UUID=1 a=\\\\b\nodd\n"

    assert bls.parse_environment(text.ljust(1024, b"#")) == {
        "saved_entry": "abc-5.14",
        "kernelopts": "root=UUID=1 a=\\b",
    }


@pytest.mark.parametrize("data", [b"", b"#" * 1024, b"saved_entry=x\n"])
def test_what_is_no_grubenv_has_no_variables(data: bytes) -> None:
    assert bls.parse_environment(data) == {}


@pytest.mark.parametrize(
    "ascending",
    [
        ("6.1.0-9-amd64", "6.1.0-56-amd64"),
        ("5.14.0-70.el9.x86_64", "5.14.0-427.el9.x86_64", "5.14.0-427.13.1.el9_4.x86_64"),
        ("6.9.12-200.fc40.x86_64", "6.10.3-200.fc40.x86_64"),
        ("6.2-rc1", "6.2-rc2", "6.2", "6.2.1"),
        ("3.10.0-1160.el7", "3.10.0-1160.119.1.el7", "4.18.0"),
        ("", "virt", "6.6.41-0-virt"),
    ],
)
def test_kernels_sort_by_age(ascending: tuple[str, ...]) -> None:
    for older, newer in pairwise(ascending):
        assert bls.version_key(older) < bls.version_key(newer)


@given(st.text(), st.text())
def test_any_two_versions_can_be_compared(one: str, other: str) -> None:
    first, second = bls.version_key(one), bls.version_key(other)

    assert (first < second) + (second < first) + (first == second) == 1


@pytest.mark.parametrize(
    ("kernel", "release"),
    [
        ("/boot/vmlinuz-6.1.0-9-amd64", "6.1.0-9-amd64"),
        ("vmlinux-5.4", "5.4"),
        ("/boot/vmlinuz-virt", "virt"),
        ("/boot/vmlinuz", ""),
        ("/boot/System.map-6.1", ""),
    ],
)
def test_the_release_is_in_the_name_of_the_kernel(kernel: str, release: str) -> None:
    assert bls.release_of(kernel) == release


MENU = """\
set default_kernelopts="root=UUID=9 ro"
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="DEFAULT"
fi
function recordfail { set recordfail=1 }
function load_video {
  insmod all_video
}
menuentry 'First' --class x $menuentry_id_option 'id-first' {
  if [ "${initrdfail}" = 1 ]; then
    linux /vmlinuz-2 root=PARTUUID=1 ro
    initrd /early-ucode.img /initrd.img-2
  else
    linux /vmlinuz-2 root=PARTUUID=1 ro panic=-1
  fi
}
submenu 'More' $menuentry_id_option 'id-more' {
  menuentry "Second" --id id-second {
    linux ($root)/vmlinuz-1 quiet $vt_handoff "name=two words" ${kernelopts} $default_kernelopts
  }
  menuentry 'Second (recovery mode)' --id id-recovery {
    linux /vmlinuz-1 single
  }
}
menuentry 'Third' { linux16 /not-a-line }
menuentry 'Fourth' {
  linuxefi /vmlinuz-0
  initrdefi /initrd-0
}
"""


def test_a_menu_is_read_with_its_submenus() -> None:
    first, second, recovery, fourth = bls_grub.parse(MENU).entries

    assert (first.linux, first.options) == ("/vmlinuz-2", "root=PARTUUID=1 ro")
    assert first.initrds == ("/early-ucode.img", "/initrd.img-2")
    assert second.options == 'quiet name="two words" root=UUID=9 ro'
    assert second.place == (1, 0)
    assert recovery.is_rescue
    assert (fourth.linux, fourth.initrds) == ("/vmlinuz-0", ("/initrd-0",))


@pytest.mark.parametrize(
    ("default", "saved", "title"),
    [
        ("0", None, "First"),
        ("id-first", None, "First"),
        ("1>0", None, "Second"),
        ("1", None, "Second"),
        ("id-more>id-second", None, "Second"),
        ("More>Second", None, "Second"),
        ("id-second", None, "Second"),
        ("${saved_entry}", "Fourth", "Fourth"),
        ("${saved_entry}", None, None),
        ("nothing of that name", None, None),
        ("1>1", None, None),
    ],
)
def test_the_default_is_found_by_place_title_or_id(
    default: str, saved: str | None, title: str | None
) -> None:
    menu = bls_grub.parse(MENU.replace("DEFAULT", default))

    found = bls_grub.default_of(
        menu.entries, menu.defaults, {"saved_entry": saved} if saved else {}
    )

    assert (found[0].title if found else None) == title


def test_a_menu_that_reads_entries_says_so() -> None:
    menu = bls_grub.parse('insmod blscfg\nset kernelopts="a b"\nblscfg\n')

    assert menu.reads_entries
    assert menu.variables == {"kernelopts": "a b"}


@pytest.mark.parametrize(
    "text", ["}\n}\n", "menuentry 'a {\n}\n", "submenu x {\n" * 1000, "linux\n"]
)
def test_scripts_that_make_no_sense_have_no_entries(text: str) -> None:
    assert bls_grub.parse(text).entries == ()


EXTLINUX = """\
DEFAULT menu.c32
PROMPT 0
APPEND for=all
LABEL hdt
  COM32 hdt.c32
LABEL memtest
  KERNEL memtest.bin
label lts
  MENU LABEL ^Linux lts
  LINUX vmlinuz-lts
  INITRD ucode.img,initramfs-lts
  APPEND root=UUID=1 modules=ext4
LABEL virt
  MENU DEFAULT
  kernel /boot/vmlinuz-virt
  append initrd=/boot/initramfs-virt quiet
LABEL bare
  LINUX vmlinuz-bare
LABEL none
  LINUX vmlinuz-none
  APPEND -
"""


def test_a_syslinux_menu_is_read() -> None:
    menu = bls_syslinux.parse(EXTLINUX)
    lts, virt, bare, none = menu.entries

    assert menu.default == "virt"
    assert (lts.title, lts.linux, lts.options) == (
        "Linux lts", "vmlinuz-lts", "root=UUID=1 modules=ext4",
    )  # fmt: skip
    assert lts.initrds == ("ucode.img", "initramfs-lts")
    assert (virt.initrds, virt.options) == (("/boot/initramfs-virt",), "quiet")
    assert (bare.options, none.options) == ("for=all", "")


def test_the_default_of_syslinux_may_be_named_first() -> None:
    menu = bls_syslinux.parse("default b\nlabel a\nkernel k\nlabel b\nkernel k2\n")

    assert menu.default == "b"


@given(st.text())
def test_no_text_upsets_the_parsers(text: str) -> None:
    bls.parse_entry(text, "x", {})
    bls.parse_environment(b"# GRUB Environment Block\n" + text.encode("utf-8", "surrogatepass"))
    bls_grub.parse(text)
    bls_syslinux.parse(text)
