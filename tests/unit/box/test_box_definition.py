"""box.toml: what it may say, and every fault told at once."""

from __future__ import annotations

import pytest

from vagrantish.box import definition
from vagrantish.errors import BoxError
from vagrantish.model import ArtifactKind, BootMode, RootKind, SeedKind

LEAST = 'name = "x"\nversion = "1"\narch = "x86_64"\nkernel = "vmlinuz"\n'
FULL = (
    LEAST
    + """
initrd = "initrd.gz"
disk = "root.qcow2"
description = "A box"
cmdline = "console=ttyS0 root=/dev/vda"
user = "core"
seed = "overlay"
root = "disk"
console = "hvc0"
cpu_level = "x86-64-v2"

[digest]
kernel = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

[defaults]
memory = "1GiB"
ssh = { port = 22 }
"""
)


def parse(text: str) -> definition.Definition:
    return definition.parse(text, source="box.tar")


def refused(text: str) -> str:
    with pytest.raises(BoxError) as caught:
        parse(text)
    assert "box.tar" in caught.value.message
    assert "docs/boxes.md" in caught.value.hint
    return caught.value.message


def test_a_full_definition_is_read_whole() -> None:
    found = parse(FULL)

    assert found.files == {
        ArtifactKind.KERNEL: "vmlinuz",
        ArtifactKind.INITRD: "initrd.gz",
        ArtifactKind.DISK: "root.qcow2",
    }
    assert found.digests[ArtifactKind.KERNEL].hex == "0" * 64
    assert (found.seed, found.root) == (SeedKind.OVERLAY, RootKind.DISK)
    assert (found.user, found.console, found.cpu_level) == ("core", "hvc0", "x86-64-v2")
    assert found.defaults == {"memory": "1GiB", "ssh": {"port": 22}}


def test_the_least_definition_has_defaults_for_the_rest() -> None:
    found = parse(LEAST)

    assert (found.user, found.seed, found.root) == ("root", SeedKind.NONE, RootKind.RAM)
    assert (found.console, found.cmdline, found.defaults) == ("ttyS0", "", {})


def test_a_name_and_version_given_from_outside_replace_its_own() -> None:
    found = definition.parse(
        'arch = "x86_64"\nkernel = "k"', source="here", name="given", version="9"
    )

    assert (found.name, found.version) == ("given", "9")


def test_every_fault_is_told_at_once_with_its_line() -> None:
    message = refused(
        'name = "X Y"\nversion = "1"\narch = "riscv"\nkernal = "vmlinuz"\n'
        'kernel = "boot/vmlinuz"\nseed = "overlay"\nuser = 5\n[digest]\ndisk = "md5:1"\n'
    )

    for expected in (
        'box.toml:1: "X Y" is no box name',
        'box.toml:3: "riscv" is no arch: use "x86_64", "aarch64"',
        'box.toml:4: unknown key "kernal" (did you mean "kernel"?)',
        'box.toml:5: "boot/vmlinuz" is not the plain name',
        'box.toml:6: seed = "overlay" needs an initrd',
        'box.toml:7: "user" is a string, not a number',
        'box.toml:9: the box has no "disk"',
    ):
        assert expected in message


def test_a_disk_that_boots_by_itself_needs_no_kernel() -> None:
    least = LEAST.replace("kernel", "disk")

    found = parse(f'{least}boot = "uefi"\nseed = "cloud-init"\nroot = "disk"')

    assert (found.boot, found.files) == (BootMode.UEFI, {ArtifactKind.DISK: "vmlinuz"})
    assert parse(LEAST).boot is BootMode.KERNEL


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("", 'boot = "uefi" needs a disk'),
        ('disk = "d"', "no kernel is loaded"),
        ('disk = "d"\ninitrd = "i"', "no initrd is loaded"),
        ('disk = "d"\ndisk_boots = true', "disk_boots takes a kernel"),
        ('disk = "d"\ninitrd = "i"\nseed = "overlay"', "adds to an initrd"),
    ],
)
def test_what_does_not_go_with_that_is_told(lines: str, why: str) -> None:
    assert why in refused(f'{LEAST}boot = "uefi"\n{lines}\n')


@pytest.mark.parametrize("key", ["name", "version", "arch", "kernel"])
def test_what_every_box_needs_is_asked_for(key: str) -> None:
    lines = [line for line in LEAST.splitlines() if not line.startswith(key)]

    assert f'box.toml: "{key}" is missing' in refused("\n".join(lines))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('initrd = "../initrd"', "plain name"),
        ('initrd = "/etc/passwd"', "plain name"),
        ('initrd = "a\\\\b"', "plain name"),
        ('initrd = ".hidden"', "plain name"),
        ('initrd = ""', "is empty"),
        ('initrd = "vmlinuz"', "named twice"),
        ("disk_boots = true", "needs a disk"),
        ('disk_boots = "yes"', "true or false"),
        ('boot = "efi"', '"efi" is no boot: use "kernel", "uefi", "fbsd"'),
        ('seed = "overly"', 'did you mean "overlay"'),
        ('root = "disk"', "needs a disk"),
        ('cpu_level = "v9"', "is no cpu_level"),
        ('console = "../../x"', "serial console"),
        ('user = "Robert; drop"', "not a user name"),
        ('cmdline = "a\\nb"', "one line"),
        ('cmdline = "' + "a" * 2047 + '"', "2046 are allowed"),
        ('cmdline = "\\u0007"', "control characters"),
        ("defaults = 5", "is a table"),
        ("defaults = { x = 1979-05-27 }", "a date or time"),
        ("digest = 5", "is a table"),
        ('digest = { kernel = "sha256:xyz" }', "64 hexadecimal digits"),
        ("digest = { kernel = 5 }", "is a string"),
        ("defaults = { a={b={c={d={e={f={g={h={i={j=1}}}}}}}}} }", "too deep"),
        ("name = 'again'", "was set before"),
        ("= 5", "is not TOML"),
    ],
)
def test_faults_are_named(line: str, why: str) -> None:
    assert why in refused(LEAST + line + "\n")
