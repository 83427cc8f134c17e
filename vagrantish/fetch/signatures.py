"""Checks OpenPGP signatures by pinned keys, through a library or the host's ``gpgv``."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vagrantish.fetch import openpgp
from vagrantish.files import host_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SIGNATURE_MAX = 1 << 20
_KEY_FILES = ("*.asc", "*.gpg", "*.pgp")
_KEY_FILE_MAX = 4 << 20
_SIGNATURES_MAX = 16
_GPGV_S = 120.0


class Unchecked(Exception):
    """A signature that nobody here can judge; the text says why, in a few words."""


class BadSignature(Exception):
    """A signature that is not what the pinned keys would have made; the text says what it is."""


@dataclass(frozen=True, kw_only=True)
class Signed:
    fingerprint: str  # of the primary key, upper case
    text: bytes = b""  # what a clear-signed text says; only that is signed


class Checker(Protocol):
    """Whether one of the keys made it. Both raise BadSignature."""

    def detached(self, path: Path, signature: bytes) -> Signed: ...

    def clear(self, text: bytes) -> Signed: ...


def checker(pinned: Sequence[str], folders: Iterable[Path], *, library: bool = True) -> Checker:
    """``folders``: where public keys lie, ``*.asc``, ``*.gpg``, ``*.pgp``. Raises Unchecked.

    ``library=False`` leaves pysequoia out, also where it is installed.
    """
    keys = known_keys(pinned, folders)
    if not keys:
        raise Unchecked(f"no public key {' or '.join(pinned)} in vx or in VX_HOME/keys")
    if library:
        try:
            import pysequoia  # noqa: F401

            return _Sequoia(keys, pinned)
        except ImportError:
            pass
    gpgv = shutil.which("gpgv")
    if gpgv is None:
        raise Unchecked("neither pysequoia nor gpgv is installed")
    return _Gpgv(gpgv, keys, pinned)


def known_keys(pinned: Sequence[str], folders: Iterable[Path]) -> list[bytes]:
    """The key files, binary, that hold one of the pinned primary keys; odd files are passed over."""
    found = []
    for folder in folders:
        for path in sorted(file for pattern in _KEY_FILES for file in folder.glob(pattern)):
            try:
                if path.stat().st_size > _KEY_FILE_MAX:
                    continue
                data = openpgp.dearmored(path.read_bytes())
                if set(openpgp.fingerprints(data)) & set(pinned):
                    found.append(data)
            except (OSError, ValueError):
                continue
    return found


class _Sequoia:
    def __init__(self, keys: Sequence[bytes], pinned: Sequence[str]) -> None:
        from pysequoia import Cert

        self._certs = []
        for data in keys:
            try:
                certs = Cert.split_bytes(data)
            except RuntimeError as error:
                raise Unchecked(f"a public key is damaged: {_first_line(error)}") from error
            self._certs += [cert for cert in certs if cert.fingerprint.upper() in pinned]

    def detached(self, path: Path, signature: bytes) -> Signed:
        """Any one good signature of several is enough, as for gpgv."""
        from pysequoia import Sig, verify

        why = "there is no signature in it"
        for packet in _signature_packets(signature):
            try:
                sig = Sig.from_bytes(packet)
                done = verify(file=str(path), store=self._keys, signature=sig)
                return Signed(fingerprint=done.valid_sigs[0].certificate.upper())
            except (RuntimeError, ValueError, IndexError) as error:
                why = self._late(packet) or _first_line(error)
        raise BadSignature(why)

    def clear(self, text: bytes) -> Signed:
        from pysequoia import verify

        try:
            done = verify(bytes=text, store=self._keys)
            return Signed(
                fingerprint=done.valid_sigs[0].certificate.upper(), text=done.bytes or b""
            )
        except (RuntimeError, ValueError, IndexError) as error:
            why = ""
            if b"-----BEGIN PGP SIGNATURE" in text:
                tail = text[text.rindex(b"-----BEGIN PGP SIGNATURE") :]
                for packet in _signature_packets(tail):
                    why = why or self._late(packet)
            raise BadSignature(why or _first_line(error)) from error

    def _keys(self, _ids: Sequence[str]) -> list[object]:
        return list(self._certs)

    def _late(self, packet: bytes) -> str:
        """Names a signature made after its key had expired; "" for others."""
        from pysequoia import Sig

        try:
            sig = Sig.from_bytes(packet)
        except RuntimeError:
            return ""
        for cert in self._certs:
            if cert.expiration and sig.created and sig.created > cert.expiration:
                name = cert.fingerprint.upper()
                return f"the key {name} expired on {cert.expiration:%Y-%m-%d}, before it was made"
        return ""


def _signature_packets(data: bytes) -> list[bytes]:
    try:
        found = [whole for tag, _, whole in openpgp.packets(openpgp.dearmored(data)) if tag == 2]
    except ValueError as error:
        raise BadSignature(f"{error}") from error
    return found[:_SIGNATURES_MAX]


def _first_line(error: Exception) -> str:
    """The library adds a trace of its own below."""
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__


class _Gpgv:
    def __init__(self, program: str, keys: Sequence[bytes], pinned: Sequence[str]) -> None:
        self._program = program
        self._keys = keys
        self._pinned = pinned

    def detached(self, path: Path, signature: bytes) -> Signed:
        with tempfile.TemporaryDirectory(prefix="vx-") as folder:
            file = Path(folder) / "signature"
            with host_errors(f"write {file}"):
                file.write_bytes(signature)
            return self._run(Path(folder), [file, path])

    def clear(self, text: bytes) -> Signed:
        with tempfile.TemporaryDirectory(prefix="vx-") as folder:
            file, plain = Path(folder) / "signed", Path(folder) / "plain"
            with host_errors(f"write {file}"):
                file.write_bytes(text)
            signed = self._run(Path(folder), ["--output", plain, file])
            with host_errors(f"read {plain}"):
                return Signed(fingerprint=signed.fingerprint, text=plain.read_bytes())

    def _run(self, folder: Path, arguments: Sequence[str | Path]) -> Signed:
        rings: list[str | Path] = []
        with host_errors(f"write in {folder}"):
            for number, key in enumerate(self._keys):
                ring = folder / f"keys-{number}.gpg"
                ring.write_bytes(key)
                rings += ["--keyring", ring]
        command = [self._program, "--status-fd", "1", "--homedir", folder, *rings, *arguments]
        with host_errors(f"run {self._program}"):
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, errors="replace", timeout=_GPGV_S
                )
            except subprocess.TimeoutExpired as error:
                raise BadSignature(f"gpgv took more than {_GPGV_S:.0f} s") from error
        return _judged(done.stdout, done.returncode, self._pinned)


def _judged(status: str, code: int, pinned: Sequence[str]) -> Signed:
    """What gpgv's status lines mean (GnuPG's doc/DETAILS). Raises BadSignature."""
    expired_at, why = 0, "it does not match"
    for line in status.splitlines():
        words = line.split()[1:]
        match words:
            case ["KEYEXPIRED", at, *_] if at.isdecimal():
                expired_at = int(at)
            case ["REVKEYSIG", *_]:
                raise BadSignature("its key was revoked")
            case ["NO_PUBKEY" | "ERRSIG", key, *_]:
                why = f"it was made by another key ({key})"
            case ["VALIDSIG", _, _, made_at, *_, primary] if primary in pinned:
                if expired_at and (not made_at.isdecimal() or int(made_at) > expired_at):
                    why = f"the key {primary} had expired before it was made"
                elif code == 0:
                    return Signed(fingerprint=primary)
    raise BadSignature(why)
