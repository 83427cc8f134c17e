"""Key pairs in OpenSSH's and dropbear's forms."""

from __future__ import annotations

import base64
import struct

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vagrantish.ssh import keys


def test_two_pairs_differ_and_are_one_line_each() -> None:
    one, two = keys.generate("vx web"), keys.generate("two\nlines")

    assert one.private != two.private
    assert one.public.startswith("ssh-ed25519 AAAA")
    assert one.public.endswith(" vx web")
    assert two.public.endswith(" two lines")
    assert one.private.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----\n")


def test_dropbears_form_holds_type_seed_and_public_key() -> None:
    pair = keys.generate("")

    data = keys.dropbear_private(pair.private)

    (size,) = struct.unpack_from(">I", data)
    assert data[4 : 4 + size] == b"ssh-ed25519"
    (rest,) = struct.unpack_from(">I", data, 4 + size)
    assert rest == 64
    assert len(data) == 4 + size + 4 + 64
    assert data[-32:] == base64.b64decode(pair.public.split()[1])[-32:]


def test_dropbears_form_of_another_kind_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )

    with pytest.raises(TypeError):
        keys.dropbear_private(other)


def test_a_pinned_key_is_one_line_without_its_comment() -> None:
    assert keys.known_hosts_line("vx-1", "ssh-ed25519 AAAA me@home") == "vx-1 ssh-ed25519 AAAA\n"
