"""Ed25519 key pairs, in the forms OpenSSH and dropbear read."""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

if TYPE_CHECKING:
    from pathlib import Path

_TYPE = "ssh-ed25519"


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    private: bytes  # OpenSSH's PEM, without a passphrase
    public: str  # "ssh-ed25519 AAAA… comment"


def generate(comment: str) -> KeyPair:
    """A new pair. ``comment`` is one line; it says whose key it is to whoever finds it."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return KeyPair(private=private, public=f"{public.decode()} {' '.join(comment.split())}".strip())


def private_problem(path: Path) -> str:
    """What keeps a user's own private key from being used, in a clause; "" for nothing."""
    try:
        data = path.read_bytes()[: 1 << 16]
        others_read = path.stat().st_mode & 0o077
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if others_read:
        return f"may be read by others, and so ssh refuses it: `chmod 600 {path}`"
    for load in (serialization.load_ssh_private_key, serialization.load_pem_private_key):
        try:
            load(data, password=None)
        except TypeError:
            return "has a passphrase, and vx asks for none"
        except (ValueError, UnsupportedAlgorithm):
            continue
        return ""
    if data.startswith((b"ssh-", b"ecdsa-")):
        return "is a public key: name the file without .pub"
    return "is no private key that ssh-keygen writes"


def dropbear_private(private: bytes) -> bytes:
    """An OpenSSH Ed25519 private key as the file dropbear's ``-r`` reads.

    Two SSH strings: the type, then 32 bytes of seed and 32 of public key
    (buf_put_ed25519_priv_key in dropbear's src/ed25519.c). Raises TypeError for other kinds of key.
    """
    key = serialization.load_ssh_private_key(private, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError("not an Ed25519 key")
    return _string(_TYPE.encode()) + _string(
        key.private_bytes_raw() + key.public_key().public_bytes_raw()
    )


def known_hosts_line(alias: str, public: str) -> str:
    """The line that pins ``public`` for ``alias``, with its end of line."""
    kind, blob = public.split()[:2]
    return f"{alias} {kind} {blob}\n"


def fingerprint(blob: bytes) -> str:
    """A public key's fingerprint as OpenSSH prints it: ``SHA256:…``."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
