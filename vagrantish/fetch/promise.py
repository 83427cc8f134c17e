"""What a download has to be: a pinned digest, one from signed or unsigned checksums, or nothing."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vagrantish import urls
from vagrantish.errors import BoxError, FetchError
from vagrantish.fetch import checksums, signatures
from vagrantish.fetch.pipes import Incoming
from vagrantish.fetch.transport import Trouble
from vagrantish.files import host_errors
from vagrantish.resources import boxes_dir
from vagrantish.units import format_size

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.fetch.signatures import Checker, Signed
    from vagrantish.fetch.transport import Transport
    from vagrantish.model import Check, Digest, Remote
    from vagrantish.paths import VxHome

STRONG = ("sha256", "sha512")
_FORGED = "Do not use it; try again later, or another mirror."
_NO_SIGNATURE = "signature not checked"


@dataclass(frozen=True, kw_only=True)
class Promise:
    digest: Digest | None
    verified: str  # as in Fetched, once the bytes have that digest
    signature: bytes = b""  # over the file itself, still to be checked
    checker: Checker | None = None

    def check_file(self, path: Path, name: str) -> str:
        """What is verified about the whole file. Raises BoxError when its signature is bad."""
        if self.checker is None:
            return self.verified
        try:
            return f"signed by {self.checker.detached(path, self.signature).fingerprint}"
        except signatures.BadSignature as error:
            raise _forged(name, error) from error


def of(remote: Remote, *, transport: Transport, home: VxHome, op: Op) -> Promise:
    """Raises FetchError, BoxError (a bad signature, no digest to be had), HostError, Cancelled."""
    name = urls.shown(remote.urls[0])
    if remote.digest is not None:
        if remote.digest.algorithm not in STRONG:
            raise BoxError(
                f"only {remote.digest.algorithm} is known for {name}, which is too weak",
                hint="Pin its sha256 or its sha512.",
            )
        return Promise(digest=remote.digest, verified="pinned")
    promise = _of_check(remote.check, transport, home, op) if remote.check else _Nothing
    if promise.digest is None and promise.checker is None:
        op.warn(f"nothing is known to verify {name} by: it is taken as it comes, and remembered")
    return promise


_Nothing = Promise(digest=None, verified="first use")


def _of_check(check: Check, transport: Transport, home: VxHome, op: Op) -> Promise:
    checker, why = _checker(check, home)
    if why:
        op.warn(f"the signature of {check.name} is not checked: {why}")
    digest, verified = None, _Nothing.verified
    if check.sums_url:
        digest, verified = _of_sums(check, checker, transport, op)
    if check.signed == "file" and checker is not None:
        signature = small(check.signature_url, signatures.SIGNATURE_MAX, transport, op)[0]
        return Promise(digest=digest, verified=verified, signature=signature, checker=checker)
    unchecked = f" ({_NO_SIGNATURE}: {why})" if why else ""
    return Promise(digest=digest, verified=verified + unchecked)


def _checker(check: Check, home: VxHome) -> tuple[Checker | None, str]:
    """And why there is none where a signature was promised."""
    if not check.signed:
        return None, ""
    try:
        return signatures.checker(check.keys, [boxes_dir() / "keys", home.keys]), ""
    except signatures.Unchecked as error:
        return None, str(error)


def _of_sums(
    check: Check, checker: Checker | None, transport: Transport, op: Op
) -> tuple[Digest, str]:
    shown = urls.shown(check.sums_url)
    text, final_url = small(check.sums_url, checksums.JSON_MAX, transport, op)
    signed = None
    if check.signed == "sums" and checker is not None:
        signed = _signed_sums(check, text, checker, transport, op)
        text = signed.text or text
    try:
        digest = checksums.find(text, check.name, source=urls.file_name(check.sums_url))
    except checksums.ChecksumError as error:
        raise BoxError(
            f"the checksums {shown} {error}", hint="Pin the digest of the file instead."
        ) from error
    if signed is not None:
        return digest, f"signed by {signed.fingerprint}"
    if urls.is_private(final_url):
        return digest, f"checksums of {urls.host_of(final_url)}"
    op.warn(f"the checksums {shown} came over plain http, where anybody can change them")
    return digest, _Nothing.verified


def _signed_sums(
    check: Check, text: bytes, checker: Checker, transport: Transport, op: Op
) -> Signed:
    shown = urls.shown(check.sums_url)
    try:
        if not check.signature_url:
            return checker.clear(text)
        signature = small(check.signature_url, signatures.SIGNATURE_MAX, transport, op)[0]
        with tempfile.TemporaryDirectory(prefix="vx-") as folder:
            path = Path(folder) / "sums"
            with host_errors(f"write {path}"):
                path.write_bytes(text)
            return checker.detached(path, signature)
    except signatures.BadSignature as error:
        raise _forged(shown, error) from error


def _forged(name: str, error: Exception) -> BoxError:
    return BoxError(f"the signature of {name} is bad: {error}", hint=_FORGED)


def small(url: str, max_bytes: int, transport: Transport, op: Op) -> tuple[bytes, str]:
    """A short file and where it finally came from. Raises FetchError, Cancelled."""
    shown = urls.checked(url)
    patience = transport.patience
    for failed in range(1, patience.tries + 1):
        try:
            return _small(url, max_bytes, transport, op)
        except Trouble as trouble:
            if failed == patience.tries or not trouble.passing:
                raise FetchError(
                    f"cannot fetch {shown}: {trouble.why}", hint=trouble.hint or urls.CHECK_URL
                ) from trouble
            op.cancel.sleep(patience.wait_s(failed, trouble.wait_s))
    raise AssertionError("the last try returns or raises")


def _small(url: str, max_bytes: int, transport: Transport, op: Op) -> tuple[bytes, str]:
    incoming = Incoming(lambda: transport.ask(url, {}, plain_ok=False))
    try:
        answer = incoming.answer(op.cancel)
        if answer.status != 200:
            raise Trouble(f"the server answered {answer.status} {answer.reason}".strip())
        data = bytearray()
        for piece in incoming.pieces(op.cancel):
            data += piece
            if len(data) > max_bytes:
                raise Trouble(f"it is bigger than {format_size(max_bytes)}")
        return bytes(data), answer.url
    finally:
        incoming.close()
