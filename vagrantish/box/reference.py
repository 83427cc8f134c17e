"""How boxes are named: ``name[@version]``."""

from __future__ import annotations

import os
import re

from vagrantish.model import BoxRef, Digest

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_DIGEST_LENGTHS = {"sha256": 64, "sha512": 128}
_ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}  # how macOS and the BSDs name them


def parse(text: str) -> BoxRef:
    """``"ubuntu@24.04"`` → BoxRef. Raises ValueError, its text fit for the user."""
    name, at, version = text.partition("@")
    check_name(name)
    if at:
        check_version(version)
    return BoxRef(name=name, version=version if at else None)


def check_name(name: str) -> None:
    """Raises ValueError; what passes is safe as a file name."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f'"{name}" is no box name: up to 64 of a-z, 0-9, ".", "_" and "-", '
            "starting with a letter or digit"
        )


def check_version(version: str) -> None:
    """Raises ValueError; what passes is safe as a file name."""
    if not _VERSION.fullmatch(version):
        raise ValueError(
            f'"{version}" is no box version: up to 64 letters, digits, ".", "_", "+" and "-", '
            "starting with a letter or digit"
        )


def parse_digest(text: str) -> Digest:
    """``"sha256:…"`` → Digest. Raises ValueError, its text fit for the user."""
    algorithm, _, value = text.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm)
    if length is None:
        raise ValueError(f'"{text[:80]}" is no digest: write "sha256:…" or "sha512:…"')
    value = value.lower()
    if len(value) != length or not re.fullmatch("[0-9a-f]+", value):
        raise ValueError(f'"{text[:150]}" is no {algorithm}: it has {length} hexadecimal digits')
    return Digest(algorithm=algorithm, hex=value)


def host_arch() -> str:
    machine = os.uname().machine.lower()
    return _ARCHES.get(machine, machine)
