"""The dialects of checksum lists, and the traps in them."""

from __future__ import annotations

import base64
import json

import pytest

from vagrantish.fetch.checksums import ChecksumError, find
from vagrantish.model import Digest

A, B = "a1" * 32, "b2" * 32
LONG = "c3" * 64
NAME = "disk-1.0.qcow2"


def sha256(value: str) -> Digest:
    return Digest(algorithm="sha256", hex=value)


def sha512(value: str) -> Digest:
    return Digest(algorithm="sha512", hex=value)


CLEAR_SIGNED = f"""SHA256 ({NAME}) = {B}
-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

- ---- a line that begins with dashes
# {NAME}: 583729152 bytes
SHA256 ({NAME}) = {A}
-----BEGIN PGP SIGNATURE-----

SHA256 ({NAME}) = {B}
-----END PGP SIGNATURE-----
"""

DIGESTS = f"""# MD5 HASH
{"d4" * 16}  {NAME}
# SHA1 HASH
{"e5" * 20}  {NAME}
# SHA512 HASH
{LONG}  {NAME}
"""


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        (f"{B} *other.img\n{A} *{NAME}\n", "SHA256SUMS", sha256(A)),
        (f"{A}  {NAME}\n", "sha256sum.txt", sha256(A)),
        (f"{LONG}  {NAME}\n", "SHA512SUMS", sha512(LONG)),
        (f"{A}  {NAME}\r\n", "SHA256SUMS", sha256(A)),
        (f"{A.upper()}  {NAME}", "SHA256SUMS", sha256(A)),
        (f"{A}  ./images/{NAME}\n", "SHA256SUMS", sha256(A)),
        (f"{A}\t{NAME}\n", "SHA256SUMS", sha256(A)),
        (f"{A}  {NAME}\n", "CHECKSUM", sha256(A)),
        (f"SHA256 ({NAME}) = {A}\n", "", sha256(A)),
        (f"SHA512 ({NAME}) = {LONG}\n", "x.SHA256SUM", sha512(LONG)),
        (f"# {NAME}: 1025 bytes\nSHA256 ({NAME}) = {A}\n", f"{NAME}.CHECKSUM", sha256(A)),
        (f"SHA2-256({NAME})= {B}\nSHA256({NAME})= {A}\n", "", sha256(A)),
        (CLEAR_SIGNED, "Fedora-Cloud-44-CHECKSUM", sha256(A)),
        (f"{LONG}\n", f"{NAME}.sha512", sha512(LONG)),
        (f"{A}", f"{NAME}.SHA256", sha256(A)),
        (f"{A}  -\n", f"{NAME}.sha256", sha256(A)),
        (DIGESTS, f"{NAME}.DIGESTS", sha512(LONG)),
        (f"{A}  {NAME}\n{A}  {NAME}\n", "SHA256SUMS", sha256(A)),
        (f"SHA256 ({NAME}) = {A}\nSHA512 ({NAME}) = {LONG}\n", "", sha256(A)),
        (f"\ufeff\n{A}  {NAME}\n", "SHA256SUMS", sha256(A)),
    ],
)
def test_each_dialect_is_read(text: str, source: str, expected: Digest) -> None:
    assert find(text.encode(), NAME, source=source) == expected


DEBIAN = {
    "items": [
        {
            "data": {"ref": f"trixie/20260712-2537/{NAME}"},
            "metadata": {
                "annotations": {
                    "cloud.debian.org/digest": "sha512:"
                    + base64.b64encode(bytes.fromhex(LONG)).decode().rstrip("=")
                }
            },
        }
    ]
}
SIMPLESTREAMS = {
    "products": {
        "com.ubuntu.cloud:server:24.04:amd64": {
            "versions": {
                "20260705": {
                    "items": {
                        "disk1.img": {"path": f"releases/noble/{NAME}", "sha256": A, "size": 7},
                        "manifest": {"path": "releases/noble/x.manifest", "sha256": B},
                    }
                }
            }
        }
    }
}
COREOS = {
    "architectures": {
        "x86_64": {
            "artifacts": {
                "qemu": {
                    "formats": {
                        "qcow2.xz": {
                            "disk": {
                                "location": f"https://builds.example/x/{NAME}",
                                "sha256": A,
                                "uncompressed-sha256": B,
                            }
                        }
                    }
                }
            }
        }
    }
}
FEDORA = [
    {"arch": "aarch64", "link": "https://mirror.example/other.qcow2", "sha256": B},
    {"arch": "x86_64", "link": f"https://mirror.example/{NAME}", "sha256": A, "size": "1"},
]


@pytest.mark.parametrize(
    ("catalog", "expected"),
    [
        (DEBIAN, sha512(LONG)),
        (SIMPLESTREAMS, sha256(A)),
        (COREOS, sha256(A)),
        (FEDORA, sha256(A)),
        ([{"file": NAME, "sha512": LONG.upper()}], sha512(LONG)),
    ],
)
def test_each_catalog_is_read(catalog: object, expected: Digest) -> None:
    assert find(json.dumps(catalog).encode(), NAME, source="catalog.json") == expected


def test_alpines_yaml_is_read() -> None:
    text = f"""---
-
  title: "Standard"
  file: other.iso
  sha256: {B}
-
  title: "Virtual"
  file: {NAME}
  sha256: {A}
  sha512: {LONG}
  size: 65011712
"""

    assert find(text.encode(), NAME, source="latest-releases.yaml") == sha256(A)


@pytest.mark.parametrize(
    ("text", "source", "why"),
    [
        (f"{A}  {NAME}\n{B}  {NAME}\n", "SHA256SUMS", "two different sha256"),
        (f"{A}  a/{NAME}\n{B}  b/{NAME}\n", "SHA256SUMS", "two different sha256"),
        (f"{A}  {NAME}.bak\n{B}  x{NAME}\n", "SHA256SUMS", "do not list"),
        (f"{A}  {NAME.upper()}\n", "SHA256SUMS", "do not list"),
        (f"\\{A}  {NAME}\n", "SHA256SUMS", "escaped"),
        (f"{'d4' * 16}  {NAME}\n", f"{NAME}.md5.txt", "only the md5 of"),
        (f"{'e5' * 20}  {NAME}\n", "CHECKSUM", "only the sha1 of"),
        (f"SHA1 ({NAME}) = {'e5' * 20}\n", "", "only the sha1 of"),
        (f"{A}  {NAME}\n", "SHA512SUMS", "a sha512 of 64 digits"),
        (f"SHA512 ({NAME}) = {A}\n", "", "a sha512 of 64 digits"),
        (f"{A}\n", f"{NAME}.sha512", "a sha512 of 64 digits"),
        (f"{A}\n", "CHECKSUM", "do not list"),
        (f"{A}\n{B}\n", f"{NAME}.sha256", "two different"),
        (CLEAR_SIGNED.partition("-----BEGIN PGP SIGNATURE")[0], "CHECKSUM", "cut short"),
        ("<html>404</html>", "SHA256SUMS", "do not list"),
        ("", "SHA256SUMS", "do not list"),
        ("{" * 100_000, "x.json", "do not list"),
        ("[" * 100_000, "x.json", "do not list"),
        (json.dumps([{"file": NAME, "sha256": "xyz"}]), "x.json", "that is none"),
        (json.dumps([{"file": NAME, "sha256": 7}]), "x.json", "do not list"),
    ],
)
def test_what_cannot_be_believed_is_an_error(text: str, source: str, why: str) -> None:
    with pytest.raises(ChecksumError, match=why):
        find(text.encode(), NAME, source=source)


def test_a_name_with_folders_is_compared_with_them() -> None:
    text = f"{A}  x86_64/{NAME}\n{B}  aarch64/{NAME}\n".encode()

    assert find(text, f"aarch64/{NAME}", source="SHA256SUMS") == sha256(B)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ChecksumError, match="not text"):
        find(b"\xff\xfe\x00" + A.encode(), NAME)


def test_a_list_beyond_the_bound_is_refused() -> None:
    with pytest.raises(ChecksumError, match="too long"):
        find(b"x" * (1 << 21), NAME, source="SHA256SUMS")
