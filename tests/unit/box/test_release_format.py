"""box.toml of a published box: levels, words, files, and every fault told at once."""

from __future__ import annotations

import pytest

from vagrantish.box import releases
from vagrantish.errors import BoxError
from vagrantish.model import ArtifactKind, BootMode, Release, RootKind, SeedKind

SUM = "sha256:" + "ab" * 32
OTHER = "sha512:" + "cd" * 64

LEAST = f"""
name = "x"
disk_boots = true
disk.url = "https://example.org/x-{{version}}.img"

[release.1.build.2]
x86_64 = "{SUM}"
"""
FULL = f"""
name = "full"
description = "All there is"
default = "old"
user = "core"
seed = "cloud-init"
root = "disk"
disk_boots = true
cmdline = "root=LABEL=x console={{console}}"
defaults = {{ memory = "1GiB", boot = {{ timeout = "90s" }} }}

[words]
flavour = "server"

[aarch64]
words.arch = "arm64"
console = "ttyAMA0"

[disk]
url = "https://example.org/{{codename}}/{{build}}/{{name}}-{{release}}-{{flavour}}-{{arch}}.img"
mirrors = ["http://old.example.org/{{major}}/{{file}}"]
check = {{ sums = "SUMS", signature = "/sigs/{{file}}.asc", keys = ["{"ab" * 20}"] }}

[release."8.10"]
aliases = ["old", "eight"]
eol = "2029-05"
words.codename = "elder"

[release."8.10".build.7]
x86_64 = {{ digest = "{SUM}", size = 1234 }}
aarch64 = "{OTHER}"

[release."9.1"]
cpu_level = "x86-64-v2"
words.codename = "young"
defaults.memory = "2GiB"

[release."9.1".build.1]
x86_64 = "{SUM}"

[release."9.1".build.10]
cmdline = "quiet"
words.flavour = "small"
x86_64.disk = {{ url = "https://example.org/odd.img", mirrors = [] }}
"""


def parse(text: str) -> releases.Published:
    found = releases.parse(text, source="here")
    assert found is not None
    return found


def only(text: str) -> Release:
    (release,) = parse(text).releases
    return release


def refused(text: str) -> str:
    with pytest.raises(BoxError) as caught:
        releases.parse(text, source="a catalog")
    assert "box.toml of a catalog cannot be used" in caught.value.message
    assert "docs/boxes.md" in caught.value.hint
    return caught.value.message


def found(version: str | None, arch: str = "x86_64") -> Release:
    release = parse(FULL).find(version, arch)
    assert release is not None
    return release


# --- what it comes to ----------------------------------------------------------------------


def test_the_least_definition_has_defaults_for_the_rest() -> None:
    release = only(LEAST)

    assert (release.name, release.version, release.arch) == ("x", "1.2", "x86_64")
    assert (release.user, release.seed, release.root) == ("root", SeedKind.NONE, RootKind.RAM)
    remote = release.parts[ArtifactKind.DISK].remote
    assert remote.urls == ("https://example.org/x-1.2.img",)
    assert (str(remote.digest), remote.size_bytes, remote.check) == (SUM, None, None)


def test_words_fill_in_addresses_and_the_command_line() -> None:
    release = found("8.10", "aarch64")

    remote = release.parts[ArtifactKind.DISK].remote
    assert remote.urls == (
        "https://example.org/elder/7/full-8.10-server-arm64.img",
        "http://old.example.org/8/full-8.10-server-arm64.img",
    )
    assert release.cmdline == "root=LABEL=x console=ttyAMA0"
    assert release.console == "ttyAMA0"


def test_checksums_and_signatures_are_found_beside_the_file() -> None:
    check = found("8.10").parts[ArtifactKind.DISK].remote.check

    assert check is not None
    assert check.sums_url == "https://example.org/elder/7/SUMS"
    assert check.signature_url == "https://example.org/sigs/full-8.10-server-x86_64.img.asc"
    assert check.name == "full-8.10-server-x86_64.img"
    assert (check.signed, check.keys) == ("sums", ("AB" * 20,))


def test_a_narrower_level_overrides_a_wider_one_key_by_key() -> None:
    old, new, odd = found("8.10"), found("9.1.1"), found("9.1.10")

    assert (old.cpu_level, new.cpu_level) == ("x86-64-v1", "x86-64-v2")
    assert old.defaults == {"memory": "1GiB", "boot": {"timeout": "90s"}}
    assert new.defaults == {"memory": "2GiB", "boot": {"timeout": "90s"}}
    assert (new.cmdline, odd.cmdline) == ("root=LABEL=x console=ttyS0", "quiet")
    assert odd.parts[ArtifactKind.DISK].remote.urls[0] == "https://example.org/odd.img"
    assert old.parts[ArtifactKind.DISK].remote.size_bytes == 1234


def test_a_version_is_found_by_its_first_parts_by_alias_or_by_nothing() -> None:
    assert found("9").version == "9.1.10"
    assert found("9.1.1").version == "9.1.1"
    assert found("eight").version == "8.10.7"
    assert found("eight.7").version == "8.10.7"
    assert found(None).version == "8.10.7"
    assert parse(FULL).default == "8.10"
    assert parse(LEAST).default == "1"
    assert parse(FULL).find("9", "aarch64") is None
    assert parse(FULL).find("8.1", "x86_64") is None


def test_releases_and_builds_come_oldest_first_whatever_their_order_in_the_file() -> None:
    assert [each.version for each in parse(FULL).releases if each.arch == "x86_64"] == [
        "8.10.7", "9.1.1", "9.1.10",
    ]  # fmt: skip


def test_a_disk_that_boots_by_itself_says_so() -> None:
    text = LEAST.replace("disk_boots = true", 'boot = "uefi"\nseed = "cloud-init"')

    found = parse(text)

    assert found.releases[0].boot is BootMode.UEFI
    assert found.lines[0].settings["x86_64"].boot is BootMode.UEFI
    assert parse(LEAST).releases[0].boot is BootMode.KERNEL


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('seed = "overlay"', "adds to an initrd"),
        ("disk_boots = true", "takes no kernel and no initrd, nor disk_boots"),
        ('kernel.url = "https://example.org/x-{version}.img"', "takes no kernel"),
    ],
)
def test_what_does_not_go_with_that_is_told(more: str, why: str) -> None:
    text = LEAST.replace("disk_boots = true", f'boot = "uefi"\n{more}')

    with pytest.raises(BoxError, match=why):
        parse(text)


def test_processor_levels_are_those_of_one_architecture() -> None:
    text = LEAST.replace("x86_64 =", "aarch64 =").replace(
        "disk_boots = true", 'disk_boots = true\ncpu_level = "x86-64-v3"'
    )

    assert only(text).cpu_level == "x86-64-v1"


def test_several_parts_of_one_archive_share_its_address_and_digest() -> None:
    release = only(f"""
        name = "iso"
        seed = "tinycore"
        file.url = "http://example.org/{{release}}.iso"
        kernel.member = "boot/vmlinuz"
        initrd.member = "boot/core-{{arch}}.gz"
        [release.1.build.0]
        x86_64 = "{SUM}"
    """)

    kernel, initrd = release.parts[ArtifactKind.KERNEL], release.parts[ArtifactKind.INITRD]
    assert kernel.remote == initrd.remote
    assert (kernel.member, initrd.member) == ("boot/vmlinuz", "boot/core-x86_64.gz")


def test_parts_with_files_of_their_own_have_digests_of_their_own() -> None:
    release = only(f"""
        name = "two"
        kernel.url = "https://example.org/k"
        initrd.url = "https://example.org/i"
        [release.1.build.0.x86_64]
        kernel.digest = "{SUM}"
        initrd = {{ digest = "{OTHER}", size = 5 }}
    """)

    assert str(release.parts[ArtifactKind.KERNEL].remote.digest) == SUM
    assert release.parts[ArtifactKind.INITRD].remote.size_bytes == 5


def test_extensions_keep_their_order_and_their_digests() -> None:
    release = only(
        LEAST
        + f"""
        [extensions]
        url = "https://example.org/tcz/{{extension}}"
        mirrors = ["https://two.example.org/{{file}}"]
        names = ["b.tcz", "a.tcz"]
        digests = {{ "a.tcz" = "{SUM}" }}
    """
    )

    assert list(release.extensions) == ["b.tcz", "a.tcz"]
    assert release.extensions["b.tcz"].digest is None
    assert str(release.extensions["a.tcz"].digest) == SUM
    assert release.extensions["a.tcz"].urls == (
        "https://example.org/tcz/a.tcz", "https://two.example.org/a.tcz",
    )  # fmt: skip


OWN = """
name = "own"
obtain = "Ask for it."
disk_boots = true
user = "cloud-user"
cmdline = "console={console}"
[release.9]
cpu_level = "x86-64-v2"
[release.10]
cpu_level = "x86-64-v3"
"""


@pytest.mark.parametrize(
    ("version", "level"),
    [("9", "x86-64-v2"), ("9.6", "x86-64-v2"), ("10.0.1", "x86-64-v3"), (None, "x86-64-v3")],
)
def test_a_file_of_the_users_own_is_booted_like_the_release_it_is_of(
    version: str | None, level: str
) -> None:
    settings = parse(OWN).settings(version, "x86_64")

    assert settings is not None
    assert (settings.user, settings.cpu_level) == ("cloud-user", level)
    assert settings.cmdline == "console=ttyS0"
    assert settings.parts == {}
    assert settings.version == (version or "10")


def test_a_version_of_no_release_has_no_settings() -> None:
    assert parse(OWN).settings("11", "x86_64") is None
    assert parse(OWN).find("9", "x86_64") is None


def test_a_packed_box_is_left_to_its_own_reader() -> None:
    packed = 'name = "x"\nversion = "1"\narch = "x86_64"\nkernel = "vmlinuz"\n'

    assert releases.parse(packed, source="here") is None


# --- what is wrong with it -----------------------------------------------------------------


def test_every_fault_is_told_at_once_with_its_line() -> None:
    message = refused(
        'name = "X Y"\ndescripton = "a"\ncpu_level = "v9"\n[disk]\nurl = "ftp://x/y"\n'
        '[release.1]\nalias = ["a"]\neol = "soon"\n[release.1.build.2]\nx86_64 = "md5:1"\n'
        '[release.1.build.3]\naarch64 = { digest = 5, size = -1 }\ncmdline = "{nothing}"\n'
    )

    for expected in (
        'box.toml:1: "X Y" is no box name',
        'box.toml:2: unknown key "descripton" (did you mean "description"?)',
        'box.toml:3: "v9" is no cpu_level',
        'box.toml:5: "ftp://x/y" is not an address',
        'box.toml:7: unknown key "alias" (did you mean "aliases"?)',
        'box.toml:8: "soon" is not a day, month or year',
        'box.toml:10: "md5:1" is no digest',
        "box.toml:12: the digest of digest is a string",
        'box.toml:12: "size" is a number of bytes, not -1',
        'box.toml:13: "cmdline" names "{nothing}"',
    ):
        assert message.count(expected) == 1, message


TOP = [
    ("default = '7'", '"7" is no release: there are 1'),
    ("release = 5", "was set before"),
    ("user = 5", '"user" is a string'),
    ("disk_boots = 1", "was set before"),
    ("words = 5", '"words" is a table'),
    ("words.build = 'x'", '"build" is what vx says itself'),
    ("words.Build = 'x'", "is no name: a-z"),
    ("words.part = 'a/../b'", "as a part of a file name"),
    ("words.part = ''", "as a part of a file name"),
    ("disk.member = '/etc/passwd'", "a path inside an archive"),
    ("disk.member = 'a/../../b'", "climbs out"),
    ("disk.digest = 'sha256:1'", 'unknown key "digest"'),
    ("disk.mirrors = 'https://x/y'", "is a list of strings"),
    ("disk.mirrors = [5]", "this is a number"),
    ("disk.mirrors = ['file:///x']", "is not an address"),
    ("disk.mirrors = ['https://x/']", "does not name a file"),
    ("disk.mirrors = ['https://u:p@x/y']", "does not name a file on a host"),
    ("disk.mirrors = ['https://x:99999/y']", "is no address"),
    ("disk.mirrors = ['https://x/{fle}']", 'did you mean "file"?'),
    ("disk.mirrors = ['https://x/{']", 'a brace that is no "{name}"'),
    ("disk.mirrors = ['https://x/{build.__class__}']", 'a brace that is no "{name}"'),
    ("disk.mirrors = ['https://x/{extension}']", "which has no value here"),
    ("disk.check = {}", None),
    ("disk.check.sum = 'x'", 'did you mean "sums"?'),
    ("disk.check.name = 'a/b'", "the name of a file"),
    ("disk.check.keys = ['abc']", "is no fingerprint"),
    ("disk.check.signature = 'x'", "write their fingerprints"),
    (f"disk.check.keys = ['{'0' * 40}']", "a check needs sums"),
    (f"disk.check = {{ signed = 'file', keys = ['{'0' * 40}'] }}", "needs a signature"),
    ("disk.check.signed = 'both'", 'is no signed: use "sums", "file"'),
    ("kernel = 'vmlinuz'", '"kernel" is a table'),
    ("kernel = {}", "[kernel] has no url"),
    ("seed = 'overly'", 'did you mean "overlay"'),
    ("extensions.names = ['../x']", "not the name of a file"),
    ("extensions.names = ['a', 'a']", "there twice"),
    ("extensions.names = ['a']", "[extensions] has no url"),
    (f"extensions.digests = {{ a = '{SUM}' }}", "which it does not name"),
    ("x86_64.words.arch = 5", '"arch" is a string'),
    ("x86_64.digest = 'x'", 'unknown key "digest"'),
    ("riscv64 = {}", 'unknown key "riscv64"'),
    ("defaults.x = 1979-05-27", "a date or time"),
    ("cmdline = '" + "a" * 2047 + "'", "2046 are allowed"),
    ("file.url = 'https://x/y'", None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "why"), TOP)
def test_faults_are_named(line: str, why: str | None) -> None:
    """None: it is none."""
    text = f"{line}\n{LEAST}"

    if why is None:
        assert only(text).version == "1.2"
    else:
        assert why in refused(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name = 'x'", "it has no releases"),
        ("name = 'x'\n[release]", "it has no releases"),
        ("release = {}", '"name" is missing'),
        ("name = 'x'\nrelease = 5", '"release" is a table'),
        ("name = 'x'\nrelease.1 = 5", '"1" is a table'),
        ("name = 'x'\n[release.1]", "this release has no builds"),
        ("name = 'x'\n[release.1.build.2]", "is for no architecture"),
        (f"name = 'x'\n[release.1.build.2]\nx86_64 = '{SUM}'", "it has no files"),
        (f"name='x'\ndisk.url='https://a/b'\n[release.1.build.2]\nx86_64='{SUM}'", "no [kernel]"),
        (f"name='x'\nroot='disk'\nkernel.url='https://a/b'\n[release.1.build.2]\nx86_64='{SUM}'", "needs a [disk]"),
        (f"name='x'\nseed='overlay'\nkernel.url='https://a/b'\n[release.1.build.2]\nx86_64='{SUM}'", "needs an [initrd]"),
        (f"name='x'\ndisk_boots=true\nkernel.url='https://a/b'\n[release.1.build.2]\nx86_64='{SUM}'", "disk_boots needs a [disk]"),
        (f"{LEAST}\n[release.'a b'.build.2]\nx86_64='{SUM}'", "gives no version"),
        (f"{LEAST}\n[release.1.build.'2/3']\nx86_64='{SUM}'", "gives no version"),
        (f"{LEAST}\n[release.'1.2'.build.0]\nx86_64='{SUM}'\n[release.1.build.'2.0']\nx86_64='{SUM}'", "is a build of 1 too"),
        (f"{LEAST}\n[release.3]\naliases=['a']\n[release.3.build.2]\nx86_64='{SUM}'\n[release.4]\naliases=['a']\n[release.4.build.2]\nx86_64='{SUM}'", 'is called "a" too'),
        (f"{LEAST}\n[release.3]\naliases=['1']\n[release.3.build.2]\nx86_64='{SUM}'", "would hide a version"),
        (f"{LEAST}\n[release.3]\naliases=['a', 'a']\n[release.3.build.2]\nx86_64='{SUM}'", "is there twice"),
        (f"{LEAST}\n[release.3]\naliases=['a b']\n[release.3.build.2]\nx86_64='{SUM}'", "is no box version"),
        (f"name='x'\nkernel.url='https://a/k'\ninitrd.url='https://a/i'\n[release.1.build.2]\nx86_64='{SUM}'", "has several files"),
        (f"name='x'\nkernel.url='https://a/k'\n[release.1.build.2.x86_64]\ndigest='{SUM}'\nkernel.digest='{SUM}'", "and so has a part of it"),
        (f"name='x'\nkernel.url='https://a/k'\ninitrd.url='https://a/k'\n[release.1.build.2]\nx86_64='{SUM}'", "https://a/k is two of its files"),
        (f"name='x'\nfile.url='https://a/k'\nkernel.member='b'\ninitrd.member='b'\n[release.1.build.2]\nx86_64='{SUM}'", "b in https://a/k is two of its files"),
        ("name='x'\nkernel.url='https://a/k'\nextensions.url='https://a/k'\nextensions.names=['e']\n[release.1.build.2]\nx86_64={}", "https://a/k is two of its files"),
        ("name='x'\nkernel.url='http://a/k'\n[release.1.build.2]\nx86_64={}", "is plain http"),
        ("name='x'\nkernel.url='https://a/k'\nkernel.check.sums='http://b/s'\n[release.1.build.2]\nx86_64={}", "http://b/s is plain http"),
        ("name='x'\nkernel.url='https://a/k'\nkernel.check.sums='http://[::1'\n[release.1.build.2]\nx86_64={}", "http://[::1 is no address"),
        ("name='x'\nkernel.url='https://[::1/k'\n[release.1.build.2]\nx86_64={}", "https://[::1/k is no address"),
        ("= 5", "is not TOML"),
    ],
)  # fmt: skip
def test_what_gives_no_whole_is_refused(text: str, why: str) -> None:
    assert why in refused(text)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]"])
def test_a_server_on_this_host_needs_no_https(host: str) -> None:
    text = f"name='x'\nkernel.url='http://{host}/k'\n[release.1.build.2]\nx86_64={{}}"

    assert only(text).parts[ArtifactKind.KERNEL].remote.digest is None


def test_a_flood_of_faults_is_cut() -> None:
    message = refused(LEAST + "\n[words]\n" + "".join(f"W{n} = 5\n" for n in range(500)))

    assert "and 400 more" in message
