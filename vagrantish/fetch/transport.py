"""Asks servers over http and https, and says in words what went wrong."""

from __future__ import annotations

import re
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from vagrantish import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

_REDIRECTS = (301, 302, 303, 307, 308)
_REDIRECTS_MAX = 10
_PIECE = 1 << 20
_POOL = 16
_REASON_MAX = 80
_MALFORMED = "the URL is malformed"
_LEADS_TO_MALFORMED = "it leads to a malformed URL"
_NO_HTTP = "the server's answer is no sound HTTP"
_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
_NUMBER = re.compile(r"[0-9]{1,15}")
_RANGE = re.compile(r"bytes\s+(?:([0-9]{1,15})-([0-9]{1,15})|\*)/([0-9]{1,15}|\*)")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long servers are waited for, and how often they are asked again."""

    connect_s: float = 15.0
    read_s: float = 60.0  # between two pieces, not for the whole
    tries: int = 5  # without getting any further
    backoff_s: float = 0.5  # doubles from try to try
    backoff_max_s: float = 20.0
    retry_after_max_s: float = 120.0  # whatever a server wishes

    def wait_s(self, failed: int, wished_s: float | None) -> float:
        """``failed``: tries in a row that got no further, from 1."""
        if wished_s is not None:
            return min(wished_s, self.retry_after_max_s)
        return min(self.backoff_s * 2.0 ** (failed - 1), self.backoff_max_s)


class Trouble(Exception):
    """Why a try failed, in words that go on from "cannot fetch URL: "."""

    def __init__(
        self, why: str, *, passing: bool = False, wait_s: float | None = None, hint: str = ""
    ) -> None:
        super().__init__(why)
        self.why = why
        self.passing = passing  # the same again may well succeed
        self.wait_s = wait_s  # the server's own wish
        self.hint = hint


class Answer:
    """A server's answer: status and headers, then the bytes as they are on the wire."""

    def __init__(self, response: requests.Response, url: str) -> None:
        self._response = response
        self.url = url  # after redirects
        self.status: int = response.status_code
        self.reason = "".join(filter(str.isprintable, response.reason or ""))[:_REASON_MAX]

    def header(self, name: str) -> str:
        return self._response.headers.get(name, "").strip()

    @property
    def length(self) -> int | None:
        text = self.header("Content-Length")
        return int(text) if _NUMBER.fullmatch(text) and not self._is_chunked else None

    @property
    def content_range(self) -> tuple[int | None, int | None, int | None]:
        """First and last byte and the whole size; None for what it does not say."""
        match = _RANGE.fullmatch(self.header("Content-Range"))
        if not match:
            return None, None, None
        first, last, total = (
            int(text) if text and text != "*" else None for text in match.groups()
        )
        return first, last, total

    @property
    def _is_chunked(self) -> bool:
        return "chunked" in self.header("Transfer-Encoding").lower()

    def read(self) -> bytes:
        """What has come, up to a piece; b"" at the end. Raises Trouble.

        Nothing that has come is lost when the line breaks, and what a server labels as packed
        stays packed: `iter_content` would do neither.
        """
        try:
            return self._response.raw.read1(_PIECE, decode_content=False) or b""
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _trouble_of(error) from error
        except (ValueError, AttributeError) as error:  # shut down by another thread
            raise Trouble("the connection broke off", passing=True) from error

    def interrupt(self) -> None:
        """From another thread: end a `read` that waits."""
        try:
            self._response.raw.shutdown()
        except (OSError, ValueError, RuntimeError, AttributeError):
            return  # at its end already

    def close(self) -> None:
        self._response.close()


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Even one that follows no redirects reads their bodies, however long, if it sees any."""


class Transport:
    """Connections that are kept and used again; safe to use from several threads."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self._session = _Session()
        adapter = HTTPAdapter(pool_connections=_POOL, pool_maxsize=_POOL, max_retries=0)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)
        self._session.headers["User-Agent"] = f"vx/{__version__}"
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Packed on the way, the bytes would not be those the digest is of.
        self._session.headers["Accept-Encoding"] = "identity"

    def ask(self, url: str, headers: Mapping[str, str], *, plain_ok: bool) -> Answer:
        """``plain_ok``: a redirect may lead from https to http. Raises Trouble."""
        malformed = _MALFORMED
        for _ in range(_REDIRECTS_MAX + 1):
            response = self._get(url, headers, malformed)
            target = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or target is None:
                return _good(Answer(response, url))
            response.close()
            url, malformed = _followed(url, target, plain_ok=plain_ok), _LEADS_TO_MALFORMED
        raise Trouble(f"more than {_REDIRECTS_MAX} redirects")

    def _get(self, url: str, headers: Mapping[str, str], malformed: str) -> requests.Response:
        """``malformed`` is what to say of such a URL. Raises Trouble."""
        try:
            return self._session.get(
                url,
                headers=dict(headers),
                stream=True,
                allow_redirects=False,
                timeout=(self.patience.connect_s, self.patience.read_s),
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            if requests.utils.get_environ_proxies(url):
                malformed += ", or the one of the proxy that the environment names"
            raise _trouble_of(error, malformed) from error

    def close(self) -> None:
        self._session.close()


def _followed(url: str, target: str, *, plain_ok: bool) -> str:
    try:
        # Header bytes come as latin-1; most that are not ASCII are UTF-8.
        new = urljoin(url, target.encode("latin-1").decode())
        scheme = urlsplit(new).scheme
    except ValueError:
        raise Trouble(_LEADS_TO_MALFORMED) from None
    if scheme not in ("http", "https"):
        raise Trouble("it leads to something that is not http or https")
    if scheme == "http" and urlsplit(url).scheme == "https" and not plain_ok:
        raise Trouble(
            "it leads from https to plain http, where anybody on the way can change it",
            hint="Pin its digest, or use another mirror.",
        )
    return new


def _good(answer: Answer) -> Answer:
    """Answers that bring the file, or 416, which says something of it. Raises Trouble."""
    if answer.status in (200, 206, 416):
        return answer
    reason = f"{answer.status} {answer.reason}".strip()
    wait_s = _wish(answer.header("Retry-After"))
    answer.close()
    passing = answer.status in _PASSING_STATUS
    raise Trouble(f"the server answered {reason}", passing=passing, wait_s=wait_s)


def _wish(retry_after: str) -> float | None:
    """Seconds; the header has those or a date."""
    if _NUMBER.fullmatch(retry_after):
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _trouble_of(error: Exception, malformed: str = _MALFORMED) -> Trouble:
    """What went wrong, without the URL the libraries repeat in their texts."""
    chain: list[BaseException] = [error]
    while (inner := _inner(chain[-1])) is not None and inner not in chain:
        chain.append(inner)
    for link in chain:
        if isinstance(link, ssl.SSLCertVerificationError):
            return Trouble(
                f"the server's certificate is not trusted ({link.verify_message})",
                hint="Behind a proxy with certificates of its own, REQUESTS_CA_BUNDLE names the "
                "file with its authority.",
            )
    kinds = [type(link).__name__ for link in chain]
    for kind, (why, passing) in _WORDS.items():
        if kind in kinds:
            return Trouble(why, passing=passing)
    last = chain[-1]
    if isinstance(last, OSError) and last.strerror:
        return Trouble(last.strerror.lower(), passing=True)
    if isinstance(error, ValueError):
        return Trouble(malformed)
    return Trouble(kinds[-1], passing=True)


_WORDS = {
    "ReadTimeoutError": ("the server went silent", True),
    "ReadTimeout": ("the server went silent", True),
    "ConnectTimeoutError": ("the server does not answer", True),
    "NameResolutionError": ("the server's name is not known", True),
    "ProxyError": ("the proxy refuses", True),
    "SSLError": ("the encrypted connection failed", True),
    "InvalidSchema": ("the environment names a SOCKS proxy, which vx does not know", False),
    "InvalidHeader": (_NO_HTTP, True),
    "LineTooLong": (_NO_HTTP, True),
    "BadStatusLine": (_NO_HTTP, True),
    "HTTPException": (_NO_HTTP, True),
    "IncompleteRead": ("the connection broke off", True),
    "ProtocolError": ("the connection broke off", True),
}


def _inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    for argument in error.args:
        if isinstance(argument, BaseException):
            return argument
    return error.__cause__ or error.__context__
