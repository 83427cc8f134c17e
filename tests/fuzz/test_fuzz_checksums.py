"""Lists of checksums from strangers: the right digest, or the module's own error, and soon."""

from __future__ import annotations

import json
import time
from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.budget import rounds
from vagrantish.fetch import openpgp
from vagrantish.fetch.checksums import ChecksumError, find

A = "a1" * 32
NAME = "disk-1.0.qcow2"
SIGNATURE = "-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
SEEDS = (
    f"{A} *{NAME}\n{'b2' * 32}  other\n",
    f"# {NAME}: 12 bytes\nSHA256 ({NAME}) = {A}\n",
    f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSHA256 ({NAME}) = {A}\n{SIGNATURE}",
    f"# SHA256 HASH\n{A}  {NAME}\n# MD5 HASH\n{'c' * 32}  {NAME}\n",
    json.dumps({"items": [{"path": f"a/{NAME}", "sha256": A}]}),
    f"-\n  file: {NAME}\n  sha256: {A}\n",
)
SOURCES = ("", "SHA256SUMS", "x.sha512", "CHECKSUM", "latest.yaml")
NODES = st.recursive(
    st.none() | st.integers() | st.sampled_from([A, NAME, f"x/{NAME}", "http://[", "sha512:A"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["path", "link", "sha256", "sha512", "data", "metadata", "ref", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def look(text: bytes, source: str) -> None:
    started = time.monotonic()
    with suppress(ChecksumError):
        digest = find(text, NAME, source=source)
        assert len(digest.hex) == {"sha256": 64, "sha512": 128}[digest.algorithm]
        assert digest.hex in text.decode().lower()
    assert time.monotonic() - started < 2


@settings(max_examples=rounds(60), deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.integers(0, 400),
    st.sampled_from(SOURCES),
)
def test_damaged_lists(seed: str, flips: list[tuple[int, int]], length: int, source: str) -> None:
    data = bytearray(seed.encode())
    for position, byte in flips:
        data[position % len(data)] = byte

    look(bytes(data[:length]), source)


@settings(max_examples=rounds(60), deadline=None)
@given(NODES, st.sampled_from(SOURCES))
def test_catalogs_of_any_shape(node: object, source: str) -> None:
    look(json.dumps([node]).encode(), source)


@settings(max_examples=rounds(40), deadline=None)
@given(st.text(max_size=2000), st.sampled_from(SOURCES))
@example(A * 10_000, "SHA256SUMS")
@example("SHA256 (" * 10_000, "")
@example(f"{A} " + " \t" * 20_000, "x.sha256")
@example("sha256:" * 50_000, "latest.yaml")
def test_any_text(text: str, source: str) -> None:
    look(text.encode(), source)


@settings(max_examples=rounds(80), deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_packets_end_or_are_refused(data: bytes, armored: bool) -> None:
    head = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" if armored else b"\x98\x20\x04"
    with suppress(ValueError):
        binary = openpgp.dearmored(head + data)
        assert sum(len(whole) for _, _, whole in openpgp.packets(binary)) == len(binary)
        openpgp.fingerprints(binary)
