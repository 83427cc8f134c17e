"""The files cloud-init is given, and how the user's own data join ours."""

from __future__ import annotations

import email
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vagrantish.formats import userdata
from vagrantish.seed.cloudinit import CloudInitSeed, cmdline_words, files, instance_id
from vagrantish.seed.overlay import SeedData

if TYPE_CHECKING:
    from email.message import Message

SEED = SeedData(
    hostname="web-1",
    user="admin",
    authorized_keys=("ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two\n"),
    host_key=b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n",
    host_key_public="ssh-ed25519 CCCC host",
    dropbear_host_key=b"",
    instance_id="0123abcd",
)
PLAIN = CloudInitSeed(mac="52:54:00:AB:CD:EF", grow=False)


def config(seed: SeedData = SEED, options: CloudInitSeed = PLAIN) -> dict[str, Any]:
    text = files(seed, options)["user-data"].decode()
    first, _, rest = text.partition("\n")
    assert first == "#cloud-config"
    read: dict[str, Any] = json.loads(rest)
    return read


def parts(user_data: bytes) -> list[Message]:
    """The leaves, as cloud-init walks them."""
    text = files(SEED, replace(PLAIN, user_data=user_data))["user-data"]
    message = email.message_from_bytes(text)
    assert b"mime-version:" in text[:4096].lower()  # by this cloud-init knows it
    return [part for part in message.walk() if part.get_content_maintype() != "multipart"]


def payload(part: Message) -> bytes:
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return data


def test_the_user_may_sudo_and_logs_in_with_the_keys_alone() -> None:
    told = config()

    assert told["user"] == {
        "name": "admin",
        "lock_passwd": True,
        "ssh_authorized_keys": ["ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"],
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
    }
    assert told["ssh_pwauth"] is False
    assert told["disable_root"] is True


def test_root_as_the_user_is_let_in() -> None:
    told = config(replace(SEED, user="root"))

    assert told["disable_root"] is False
    assert "sudo" not in told["user"]


def test_the_host_key_is_the_pinned_one_and_no_other_is_made() -> None:
    told = config()

    assert told["ssh_deletekeys"] is True
    assert told["ssh_genkeytypes"] == ["ed25519"]
    assert told["ssh_keys"] == {
        "ed25519_private": SEED.host_key.decode(),
        "ed25519_public": "ssh-ed25519 CCCC host\n",
    }


def test_the_root_is_grown_only_where_the_disk_is_bigger() -> None:
    still, grown = config(), config(options=replace(PLAIN, grow=True))

    assert (still["growpart"], still["resize_rootfs"]) == ({"mode": "off"}, False)
    assert "growpart" not in grown
    assert "resize_rootfs" not in grown


def test_the_instance_and_its_name_are_metadata() -> None:
    told = json.loads(files(SEED, PLAIN)["meta-data"])

    assert told == {"instance-id": "0123abcd", "local-hostname": "web-1"}


def test_a_name_with_a_domain_is_the_whole_name() -> None:
    assert config(replace(SEED, hostname="a.example"))["prefer_fqdn_over_hostname"] is True


def test_the_network_is_found_by_its_address_in_lower_case_and_keeps_its_name() -> None:
    told = json.loads(files(SEED, PLAIN)["network-config"])

    assert told == {
        "version": 2,
        "ethernets": {"vx0": {"match": {"macaddress": "52:54:00:ab:cd:ef"}, "dhcp4": True}},
    }


def test_a_card_whose_address_is_not_known_yet_is_found_by_its_name() -> None:
    for version in (1, 2):
        options = replace(PLAIN, mac="", network_version=version)
        told = files(SEED, options)["network-config"].decode()

        assert "mac" not in told
        assert '"e*"' in told or '"eth0"' in told


def test_where_a_guest_is_found_by_its_lease_it_asks_for_one_by_its_address() -> None:
    told = json.loads(files(SEED, replace(PLAIN, by_mac=True))["network-config"])

    assert told["ethernets"]["vx0"]["dhcp-identifier"] == "mac"
    assert "dhcp-identifier" not in files(SEED, PLAIN)["network-config"].decode()


def test_an_old_cloud_init_is_told_of_the_network_in_the_first_form() -> None:
    told = json.loads(files(SEED, replace(PLAIN, network_version=1))["network-config"])

    assert told["version"] == 1
    [interface] = told["config"]
    assert interface["mac_address"] == "52:54:00:ab:cd:ef"
    assert interface["subnets"] == [{"type": "dhcp4"}]


# --- the user's own data -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"#cloud-config\nruncmd: [ls]\n", "text/cloud-config"),
        (b"#!/bin/sh\necho \xc3\xa4\n", "text/x-shellscript"),
        (b"#include\nhttps://example.com/x\n", "text/x-include-url"),
        (b"#include-once\nhttps://example.com/x\n", "text/x-include-once-url"),
        (b"#cloud-boothook\n#!/bin/sh\n", "text/cloud-boothook"),
        (b"## template: jinja\n#cloud-config\n", "text/jinja2"),
        (b"#cloud-config-archive\n- x\n", "text/cloud-config-archive"),
        (b"#cloud-config-jsonp\n[]\n", "text/cloud-config-jsonp"),
        (b"#part-handler\n", "text/part-handler"),
        (b"\n  #Cloud-Config\n", "text/cloud-config"),
    ],
)
def test_the_users_data_are_a_part_of_their_own_kind_before_ours(text: bytes, kind: str) -> None:
    first, *ours = parts(text)

    assert first.get_content_type() == kind
    assert payload(first) == text
    assert [part.get_content_type() for part in ours] == ["text/cloud-config"] * 2


def test_our_last_part_replaces_what_vx_cannot_do_without() -> None:
    *_, defaults, musts = parts(b"#cloud-config\nuser: eve\nssh_keys: {}\n")

    assert defaults["Merge-Type"] == "dict(no_replace)+list()+str()"
    assert musts["Merge-Type"] == "dict(replace)+list()+str()"
    must = json.loads(payload(musts).decode().removeprefix("#cloud-config\n"))
    assert {"user", "ssh_keys", "ssh_deletekeys"} <= set(must)
    default = json.loads(payload(defaults).decode().removeprefix("#cloud-config\n"))
    assert set(default).isdisjoint(must)
    assert {**default, **must} == config()


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_mime_message_goes_in_whole(end: bytes) -> None:
    lines = [
        b'Content-Type: multipart/mixed; boundary="own"', b"MIME-Version: 1.0", b"",
        b"--own", b"Content-Type: text/x-shellscript", b"", b"#!/bin/sh", b"true",
        b"--own", b"Content-Type: text/cloud-config", b"Merge-Type: list(append)", b"",
        b"#cloud-config", b"runcmd: [ls]", b"--own--", b"",
    ]  # fmt: skip

    script, their_config, *ours = parts(end.join(lines))

    assert script.get_content_type() == "text/x-shellscript"
    assert payload(script).rstrip() == b"#!/bin/sh\ntrue"
    assert their_config["Merge-Type"] == "list(append)"
    assert len(ours) == 2


def test_a_message_of_one_part_goes_in_as_one_part() -> None:
    first, *_ = parts(b"Content-Type: text/x-shellscript\nMIME-Version: 1.0\n\n#!/bin/sh\n")

    assert first.get_content_type() == "text/x-shellscript"
    assert payload(first) == b"#!/bin/sh\n"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"#!/bin/sh\n\xff\xfe", "not UTF-8 text .byte 10"),
        (b"#!/bin/sh\n\0", "NUL"),
        (b"\xef\xbb\xbf#cloud-config\n", "byte order mark"),
        (b"#!/bin/sh\r\ntrue\r\n", "Windows line ends"),
        (b"packages: [nginx]\n", "must begin with #cloud-config"),
        (b"#cloud-config\n" + b"#" * userdata.SIZE_MAX, "bigger than 1 MiB"),
    ],
)
def test_what_cloud_init_would_pass_over_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        userdata.kind_of(data)


# --- which instance it is ------------------------------------------------------------------------


def test_an_instance_is_the_machine_for_life_unless_changes_are_to_be_carried_out() -> None:
    old, new = b"#cloud-config\n#1\n", b"#cloud-config\n#2\n"

    assert instance_id("u", old, first_boot_only=True) == "u"
    assert instance_id("u", new, first_boot_only=True) == "u"
    assert instance_id("u", b"", first_boot_only=False) == "u"
    once = instance_id("u", old, first_boot_only=False)
    assert once.startswith("u-")
    assert once == instance_id("u", old, first_boot_only=False)
    assert once != instance_id("u", new, first_boot_only=False)


def test_the_command_line_names_the_source_and_leaves_the_instance_to_the_seed() -> None:
    [word] = cmdline_words()

    assert word == "ds=nocloud;dsmode=net"
