"""What is read out of Vagrant's boxes and catalogs."""

from __future__ import annotations

import json

import pytest

from vagrantish.box import vagrantcatalog
from vagrantish.box.import_guest import default_users
from vagrantish.box.vagrantbox import VagrantError, is_disk, parse_metadata, parts, ssh_user
from vagrantish.box.vagrantcatalog import choose
from vagrantish.model import ArtifactKind


def entry(version: str, *providers: tuple[str, str], **fields: object) -> dict[str, object]:
    """``providers``: (name, architecture)."""
    return {
        "version": version,
        "providers": [
            {"name": name, "url": f"{version}/{name}/{arch}", "architecture": arch} | fields
            for name, arch in providers
        ],
    }


def chosen(
    *versions: dict[str, object],
    version: str | None = None,
    provider: str | None = None,
    arch: str = "x86_64",
) -> str:
    catalog = vagrantcatalog.parse(json.dumps({"versions": versions}).encode())
    return choose(catalog, version=version, provider=provider, arch=arch).url


# --- the Vagrantfile, read and not run -------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "user"),
    [
        ('config.ssh.username = "admin"', "admin"),
        ("  c.ssh.username='x-y_z1'", "x-y_z1"),
        ("config.ssh.username = 'a'\nconfig.ssh.username = 'b'", "b"),
        ('config.ssh.username = "#{ENV}"', "vagrant"),
        ("config.ssh.username = name", "vagrant"),
        ('# config.ssh.username = "no"', "vagrant"),
        ('config.ssh.username = "Robert; drop"', "vagrant"),
        ('config.winrm.username = "no"', "vagrant"),
        ("", "vagrant"),
    ],
)
def test_the_user_is_a_plain_word_of_the_vagrantfile(line: str, user: str) -> None:
    assert ssh_user(line.encode()) == user


def test_a_vagrantfile_of_any_bytes_is_read() -> None:
    assert ssh_user(b"\xff\xfe" + bytes(100) + b"\nx.ssh.username = 'me'\n") == "me"


# --- its files -------------------------------------------------------------------------------


def test_the_first_version_of_libvirts_boxes_has_box_img() -> None:
    metadata = parse_metadata(b'{"provider": "libvirt"}')

    assert parts(metadata, ["metadata.json", "box.img", "other.img"]) == {
        ArtifactKind.DISK: "box.img"
    }


def test_odd_metadata_is_let_pass_where_it_does_not_matter() -> None:
    odd = b'{"provider": "qemu", "disks": [5, {"path": 7}, {}], "virtual_size": "x", "architecture": 1}'

    metadata = parse_metadata(odd)

    assert (metadata.disks, metadata.arch) == ((), "")


def test_an_xhyve_box_may_boot_from_its_disk() -> None:
    metadata = parse_metadata(b'{"provider": "xhyve"}')

    assert parts(metadata, ["block0.qcow2", "initrd.gz"]) == {ArtifactKind.DISK: "block0.qcow2"}


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("box.img", True), ("DISK.RAW", True), ("a/b.img", False), ("img", False), ("x.vmdk", False)],
)
def test_disks_are_known_by_their_names(name: str, is_one: bool) -> None:
    assert is_disk(name) == is_one


# --- catalogs --------------------------------------------------------------------------------


def test_the_newest_is_by_number_not_by_letter() -> None:
    versions = [entry(v, ("libvirt", "amd64")) for v in ("9.2", "10.1", "10.0", "11.0-beta")]

    assert chosen(*versions) == "10.1/libvirt/amd64"


def test_the_newest_that_has_a_provider_we_take() -> None:
    assert (
        chosen(entry("1", ("qemu", "amd64")), entry("2", ("virtualbox", "amd64"))) == "1/qemu/amd64"
    )


def test_libvirts_comes_before_the_others_unless_one_is_asked_for() -> None:
    one = entry("1", ("xhyve", "amd64"), ("qemu", "amd64"), ("libvirt", "amd64"))

    assert chosen(one) == "1/libvirt/amd64"
    assert chosen(one, provider="qemu") == "1/qemu/amd64"


@pytest.mark.parametrize("arch", ["unknown", ""])
def test_where_no_architecture_is_told_it_is_taken_for_any(arch: str) -> None:
    assert chosen(entry("1", ("libvirt", arch))) == f"1/libvirt/{arch}"


def test_the_exact_architecture_wins() -> None:
    one = entry("1", ("libvirt", "unknown"), ("libvirt", "arm64"))

    assert chosen(one, arch="aarch64") == "1/libvirt/arm64"


def test_a_release_before_its_time_is_for_those_who_ask() -> None:
    versions = [entry(v, ("libvirt", "amd64")) for v in ("2.0-rc1", "1.0")]

    assert chosen(*versions) == "1.0/libvirt/amd64"
    assert chosen(*versions, version="2.0-rc1") == "2.0-rc1/libvirt/amd64"


def test_entries_that_make_no_sense_are_passed_over() -> None:
    odd: list[object] = [
        5, {}, {"version": 7, "providers": []}, {"version": "../x", "providers": [{}]},
        {"version": "3", "providers": [5, {"name": "libvirt"}, {"name": 5, "url": "x"}]},
    ]  # fmt: skip
    data = json.dumps({"versions": [*odd, entry("1", ("libvirt", "amd64"))]}).encode()

    catalog = vagrantcatalog.parse(data)

    assert [offer.version for offer in catalog.offers] == ["1"]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("generic/debian12", "generic-debian12"),
        ("A B//c", "a-b-c"),
        ("../..", ""),
        (5, ""),
        ("ü", ""),
    ],
)
def test_a_box_is_named_after_its_catalog_where_that_is_a_name(said: object, name: str) -> None:
    assert vagrantcatalog.parse(json.dumps({"name": said, "versions": []}).encode()).name == name


@pytest.mark.parametrize(
    ("kind", "value", "digest", "weak"),
    [
        ("sha256", "A" * 64, f"sha256:{'a' * 64}", ""),
        ("SHA-512", "b" * 128, f"sha512:{'b' * 128}", ""),
        ("md5", "c" * 32, "None", "md5"),
        ("sha1", "d" * 40, "None", "sha1"),
        ("sha384", "e" * 96, "None", "sha384"),
        ("", "", "None", ""),
        (None, None, "None", ""),
    ],
)
def test_only_strong_checksums_are_digests(
    kind: object, value: object, digest: str, weak: str
) -> None:
    one = entry("1", ("libvirt", "amd64"), checksum_type=kind, checksum=value)

    (offer,) = vagrantcatalog.parse(json.dumps({"versions": [one]}).encode()).offers

    assert (str(offer.digest), offer.weak) == (digest, weak)


def test_a_catalog_without_end_is_refused() -> None:
    many = json.dumps({"versions": [entry("1", *[("libvirt", "amd64")] * 10_001)]}).encode()

    with pytest.raises(VagrantError, match="more than 10000"):
        vagrantcatalog.parse(many)


# --- cloud.cfg -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("system_info:\n  default_user:\n    name: me\n", ["me"]),
        ("default_user:\n  gecos: x\n  name: 'me' # that\nname: no\n", ["me"]),
        ("default_user:\n  plain:\n    name: no\n  name: yes\n", ["yes"]),
        ("default_user: &x\n  name: no\n", []),
        ("users:\n - name: no\n", []),
        ("default_user:\n  name: Not A User\n", []),
        ("default_user:\n", []),
        ("\tdefault_user:\n\t\tname: tab\n", ["tab"]),
        (
            "a:\n  default_user:\n    name: one\nb:\n  default_user:\n    name: two\n",
            ["one", "two"],
        ),
    ],
)
def test_the_default_user_is_found_by_its_indentation(text: str, names: list[str]) -> None:
    assert list(default_users(text)) == names
