"""Our cloud-config and the user's own data as one MIME message."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import sha256

from vagrantish.formats.userdata import MESSAGE, kind_of

CONFIG = b"#cloud-config\n"


@dataclass(frozen=True)
class Part:
    """A cloud-config of ours. ``merge`` says how it is put onto what comes before it."""

    config: bytes
    merge: str


def merged(users: bytes, *ours: Part) -> bytes:
    """``users`` must be of a known kind; raises ValueError otherwise.

    Ours come last: how a part is merged is told by that part, so the last word is the only one
    nobody can take back (cloudinit/handlers/cloud_config.py).
    """
    bodies = [_part_of(users), *(_ours(part) for part in ours)]
    boundary = f"vx-{sha256(b''.join(bodies)).hexdigest()[:32]}".encode()
    head = b'Content-Type: multipart/mixed; boundary="%b"\nMIME-Version: 1.0\n\n' % boundary
    pieces = [b"--%b\n%b\n" % (boundary, body) for body in bodies]
    return b"".join([head, *pieces, b"--%b--\n" % boundary])


def _ours(part: Part) -> bytes:
    return (
        (
            f'Content-Type: text/cloud-config; charset="utf-8"\nMerge-Type: {part.merge}\n'
            'Content-Disposition: attachment; filename="vx"\n\n'
        ).encode()
        + CONFIG
        + part.config
    )


def _part_of(users: bytes) -> bytes:
    kind = kind_of(users)
    if kind == MESSAGE:
        return users.replace(b"\r\n", b"\n")  # its headers are those of the part
    return (
        f'Content-Type: {kind}; charset="utf-8"\nContent-Transfer-Encoding: base64\n'
        'Content-Disposition: attachment; filename="user-data"\n\n'
    ).encode() + base64.encodebytes(users)
