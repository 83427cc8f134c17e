"""Files from the web, taken only when their digest is the promised one."""

from __future__ import annotations

import hashlib
import os
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from vagrantish.errors import DigestMismatch, FetchError
from vagrantish.files import host_errors
from vagrantish.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.events import Op, Step
    from vagrantish.model import Digest

CONNECT_TIMEOUT_S = 15.0
READ_TIMEOUT_S = 60.0  # between two pieces, not for the whole
_CHUNK = 1 << 16
_REDIRECTS_MAX = 10
_CONNECTS = 3
_CHECK_URL = "Check the URL and the network, then run the same command again."


def fetch(
    url: str,
    *,
    digest: Digest,
    target: Path,
    max_bytes: int,
    op: Op,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> None:
    """Put what ``url`` gives at ``target``, whole and with ``digest``, or leave nothing there.

    Raises FetchError (also beyond ``max_bytes``), DigestMismatch, HostError, Cancelled.
    """
    shown = _shown(url)
    if op.offline:
        raise FetchError(
            f"{shown} is not here yet, and vx is offline",
            hint="Run the same command once without --offline (VX_OFFLINE).",
        )
    if urlsplit(url).scheme not in ("http", "https"):
        raise FetchError(f"cannot fetch {shown}: only http and https are known")
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    with op.step("fetch", f"Fetching {shown}") as step:
        try:
            with _session() as session, _answer(session, url, shown, read_timeout_s) as response:
                actual = _save(response, partial, digest, max_bytes, shown, step)
            if actual != str(digest):
                raise DigestMismatch(
                    shown,
                    expected=str(digest),
                    actual=actual,
                    hint="If the file was replaced on purpose, correct its digest; "
                    "else a mirror or a proxy gave something else.",
                )
            with host_errors(f"write {target}"):
                os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)


def _session() -> requests.Session:
    session = requests.Session()
    session.max_redirects = _REDIRECTS_MAX
    # A connection that fails is tried again; an answer, whatever it says, is final.
    retry = Retry(total=None, connect=_CONNECTS - 1, read=0, redirect=False, status=0, other=0)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    # Packed on the way, the bytes would not be those the digest is of.
    session.headers["Accept-Encoding"] = "identity"
    return session


def _answer(
    session: requests.Session, url: str, shown: str, read_timeout_s: float
) -> requests.Response:
    try:
        response = session.get(url, stream=True, timeout=(CONNECT_TIMEOUT_S, read_timeout_s))
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise FetchError(f"cannot fetch {shown}: {_reason(error)}", hint=_CHECK_URL) from error
    if response.status_code != requests.codes.ok:
        response.close()
        reason = f"{response.status_code} {response.reason or ''}".strip()
        raise FetchError(f"cannot fetch {shown}: the server answered {reason}", hint=_CHECK_URL)
    return response


def _save(
    response: requests.Response,
    partial: Path,
    digest: Digest,
    max_bytes: int,
    shown: str,
    step: Step,
) -> str:
    """The digest of what was saved, as text."""
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    too_big = FetchError(f"{shown} is bigger than the {format_size(max_bytes)} allowed for it")
    if total is not None and total > max_bytes:
        raise too_big
    hasher = hashlib.new(digest.algorithm)
    done = 0
    with host_errors(f"write {partial}"), partial.open("xb") as file:
        for chunk in _chunks(response, shown):
            step.op.cancel.check()
            done += len(chunk)
            if done > max_bytes:
                raise too_big
            hasher.update(chunk)
            file.write(chunk)
            step.progress(done, total)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done != total:
        raise FetchError(
            f"cannot fetch {shown}: it ended after {done} of {total} bytes", hint=_CHECK_URL
        )
    return f"{digest.algorithm}:{hasher.hexdigest()}"


def _chunks(response: requests.Response, shown: str) -> Iterator[bytes]:
    """The bytes as sent: iter_content would unpack what a server labels as packed."""
    try:
        while chunk := response.raw.read(_CHUNK, decode_content=False):
            yield chunk
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise FetchError(f"cannot fetch {shown}: {_reason(error)}", hint=_CHECK_URL) from error


def _shown(url: str) -> str:
    """The URL without what may be secret in it: user, password, query. Raises FetchError."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        bare = url.rpartition("@")[2].partition("?")[0]
        raise FetchError(f"cannot fetch {bare}: the URL is malformed ({error})") from error
    return f"{parts.scheme}://{host}{port}{parts.path}"


def _reason(error: Exception) -> str:
    """What went wrong, without the URL the libraries repeat in their texts."""
    chain: list[BaseException] = [error]
    while (inner := _inner(chain[-1])) is not None and inner not in chain:
        chain.append(inner)
    kinds = [type(link).__name__ for link in chain]
    texts = {
        "ReadTimeoutError": "the server went silent",
        "ReadTimeout": "the server went silent",
        "ConnectTimeoutError": "the server does not answer",
        "NameResolutionError": "the server's name is not known",
        "SSLError": "the server's certificate is not trusted",
        "TooManyRedirects": f"more than {_REDIRECTS_MAX} redirects",
        "InvalidSchema": "it leads to something that is not http or https",
        "IncompleteRead": "the connection broke off",
        "ProtocolError": "the connection broke off",
    }
    for kind in kinds:
        if kind in texts:
            return texts[kind]
    last = chain[-1]
    if isinstance(last, OSError) and last.strerror:
        return last.strerror.lower()
    return "the URL is malformed" if isinstance(error, ValueError) else kinds[-1]


def _inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    for argument in error.args:
        if isinstance(argument, BaseException):
            return argument
    return error.__cause__ or error.__context__
