"""What servers do beside sending a file: refuse, redirect, show certificates."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from email.utils import format_datetime
from socketserver import StreamRequestHandler, TCPServer
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.http import FileServer, file_server
from tests.fakes.recorder import Recorder, quiet_op
from vagrantish.errors import BoxError, FetchError
from vagrantish.events import Cancel, Op
from vagrantish.fetch import Download, Patience, Transport, fetch_remote
from vagrantish.fetch.transport import Trouble
from vagrantish.model import Check, Digest, Remote
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = bytes(range(256)) * 256
DIGEST = Digest(algorithm="sha256", hex=hashlib.sha256(IMAGE).hexdigest())
HURRIED = Patience(connect_s=2, read_s=0.3, tries=3, backoff_s=0.01)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as files:
        files.files["/disk.img"] = IMAGE
        yield files


@contextmanager
def raw_server(answer: bytes) -> Iterator[str]:
    """Sends ``answer``, whatever it is asked."""

    class Handler(StreamRequestHandler):
        timeout = 5

        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            with suppress(OSError):  # the client may have seen enough
                self.wfile.write(answer)
                self.rfile.read()  # until the client goes away

    with TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/disk.img"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed one for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def secure(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """An https server whose certificate is trusted."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with file_server(tls(certificate)) as files:
        files.files["/disk.img"] = IMAGE
        yield files


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def get(
    remote: Remote, tmp_path: Path, op: Op | None = None, transport: Transport | None = None
) -> Download:
    return fetch_remote(
        remote,
        home=VxHome(tmp_path / "home"),
        max_bytes=1 << 20,
        op=op or quiet_op(),
        transport=transport or Transport(HURRIED),
    )


def pinned(url: str) -> Remote:
    return Remote(urls=(url,), digest=DIGEST)


def test_a_busy_server_is_asked_again_when_it_wishes(server: FileServer, tmp_path: Path) -> None:
    server.refusals["/disk.img"] = [(503, "1"), (503, "0")]
    started = time.monotonic()

    got = get(pinned(f"{server.url}/disk.img"), tmp_path)

    assert got.path.read_bytes() == IMAGE
    assert len(server.requests) == 3
    assert 1 <= time.monotonic() - started < 5


def test_no_server_is_waited_for_as_long_as_it_likes() -> None:
    patience = Patience(retry_after_max_s=7)

    assert patience.wait_s(1, 86_400) == 7
    assert patience.wait_s(1, None) < patience.wait_s(2, None)


def test_a_wish_may_be_a_date(server: FileServer, tmp_path: Path) -> None:
    past = format_datetime(dt.datetime(2020, 1, 1, tzinfo=dt.UTC), usegmt=True)
    server.refusals["/disk.img"] = [(429, past), (500, "soon")]

    assert get(pinned(f"{server.url}/disk.img"), tmp_path).path.read_bytes() == IMAGE


def test_what_is_not_there_is_asked_for_once(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="answered 404"):
        get(pinned(f"{server.url}/gone"), tmp_path)

    assert len(server.requests) == 1


def test_one_connection_serves_one_file_after_another(server: FileServer, tmp_path: Path) -> None:
    server.files["/other.img"] = IMAGE
    transport = Transport(HURRIED)

    get(pinned(f"{server.url}/disk.img"), tmp_path, transport=transport).discard()
    get(pinned(f"{server.url}/other.img"), tmp_path, transport=transport).discard()

    assert len(server.requests) == 2
    assert len(server.agents) == 1


def test_a_certificate_nobody_vouches_for_is_said_so(certificate: Path, tmp_path: Path) -> None:
    with file_server(tls(certificate)) as files:
        files.files["/disk.img"] = IMAGE

        with pytest.raises(FetchError, match=r"certificate is not trusted .*self") as caught:
            get(pinned(f"{files.url}/disk.img"), tmp_path)

    assert "REQUESTS_CA_BUNDLE" in caught.value.hint
    assert files.requests == []


def test_a_ca_bundle_of_the_environment_is_honoured(secure: FileServer, tmp_path: Path) -> None:
    assert get(pinned(f"{secure.url}/disk.img"), tmp_path).path.read_bytes() == IMAGE


def test_https_is_left_for_http_only_when_the_digest_is_pinned(
    secure: FileServer, server: FileServer, tmp_path: Path
) -> None:
    secure.redirects["/mirrored.img"] = f"{server.url}/disk.img"
    url = f"{secure.url}/mirrored.img"

    with pytest.raises(FetchError, match="from https to plain http") as caught:
        get(Remote(urls=(url,), digest=None), tmp_path)
    got = get(pinned(url), tmp_path)

    assert "Pin its digest" in caught.value.hint
    assert got.path.read_bytes() == IMAGE


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://["])
def test_a_redirect_to_elsewhere_is_not_followed(
    server: FileServer, tmp_path: Path, target: str
) -> None:
    server.redirects["/away"] = target

    with pytest.raises(FetchError, match=r"it leads to|malformed"):
        get(pinned(f"{server.url}/away"), tmp_path)

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "target", ["http://[", "http://a:99999/x", f"http://{'a' * 300}.b/", "http://.a..b/"]
)
def test_of_a_malformed_url_it_is_said_whose_it_is(
    server: FileServer, tmp_path: Path, target: str
) -> None:
    server.redirects["/away"] = target

    with pytest.raises(FetchError, match=r"/away: it leads to a malformed URL"):
        get(pinned(f"{server.url}/away"), tmp_path)


@pytest.mark.parametrize(
    "answer",
    [
        b"\0\1\2 no HTTP\r\n\r\n",
        b"HTTP/1.1 99999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 1000 + b"\r\n",
    ],
    ids=["no HTTP", "status", "a long header", "many headers"],
)
def test_an_answer_that_is_none_is_said_so(tmp_path: Path, answer: bytes) -> None:
    with (
        raw_server(answer) as url,
        pytest.raises(FetchError, match=r"the server's answer is no sound HTTP"),
    ):
        get(pinned(url), tmp_path)


@pytest.mark.parametrize(
    ("proxy", "why"),
    [
        ("http://127.0.0.1:9", "the proxy refuses"),
        ("http://127.0.0.1:99999", "malformed, or the one of the proxy"),
        ("http://", "malformed, or the one of the proxy"),
        ("odd://127.0.0.1:9", "malformed, or the one of the proxy"),
        ("socks5://127.0.0.1:9", "a SOCKS proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, why: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)

    with pytest.raises(FetchError, match=why):
        get(pinned("http://vx.invalid/disk.img"), tmp_path)


def test_what_a_redirect_says_itself_is_not_read(server: FileServer, tmp_path: Path) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {server.url}/disk.img\r\n"
    endless = f"{head}Content-Length: 999999999999\r\n\r\n".encode() + bytes(1 << 20)

    with raw_server(endless) as url:
        assert get(pinned(url), tmp_path).path.read_bytes() == IMAGE


def test_a_password_is_not_carried_to_another_server(server: FileServer, tmp_path: Path) -> None:
    with file_server() as other:
        other.files["/disk.img"] = IMAGE
        server.redirects["/away"] = f"{other.url}/disk.img"
        url = server.url.replace("://", "://me:secret@") + "/away"

        get(pinned(url), tmp_path)

    assert server.authorized == ["Basic bWU6c2VjcmV0"]
    assert other.authorized == []


# --- without a pinned digest -------------------------------------------------------------------


def checked(server: FileServer) -> Remote:
    url = f"{server.url}/disk.img"
    return Remote(
        urls=(url,),
        digest=None,
        check=Check(sums_url=f"{server.url}/SHA256SUMS", name="disk.img"),
    )


def test_unsigned_checksums_of_a_trusted_connection_are_believed(
    secure: FileServer, tmp_path: Path
) -> None:
    secure.files["/SHA256SUMS"] = f"{DIGEST.hex} *disk.img\n".encode()

    assert get(checked(secure), tmp_path).fetched.verified == "checksums of 127.0.0.1"


def test_a_file_that_is_not_what_the_checksums_say_is_refused(
    server: FileServer, tmp_path: Path
) -> None:
    server.files["/SHA256SUMS"] = f"{'0' * 64} *disk.img\n".encode()

    with pytest.raises(BoxError, match="not the promised file"):
        get(checked(server), tmp_path)


def test_checksums_that_do_not_list_the_file_are_an_error(
    server: FileServer, tmp_path: Path
) -> None:
    server.files["/SHA256SUMS"] = f"{DIGEST.hex} *disk.img.bak\n".encode()

    with pytest.raises(BoxError, match=r"SHA256SUMS do not list disk\.img") as caught:
        get(checked(server), tmp_path)

    assert "Pin the digest" in caught.value.hint


def test_md5_is_not_believed(server: FileServer, tmp_path: Path) -> None:
    weak = Digest(algorithm="md5", hex=hashlib.md5(IMAGE).hexdigest())

    with pytest.raises(BoxError, match="only md5 is known"):
        get(Remote(urls=(f"{server.url}/disk.img",), digest=weak), tmp_path)

    assert server.requests == []


def test_what_nothing_is_known_of_is_taken_with_a_warning(
    server: FileServer, tmp_path: Path
) -> None:
    told = Recorder()

    got = get(Remote(urls=(f"{server.url}/disk.img",), digest=None), tmp_path, Op(told, Cancel()))

    assert got.fetched.verified == "first use"
    assert got.fetched.sha256 == DIGEST.hex
    assert any("nothing is known to verify" in note for note in told.notes())


def test_a_list_that_never_ends_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.files["/SHA256SUMS"] = bytes(1 << 20)
    server.faults["/SHA256SUMS"] = "endless"

    with pytest.raises(FetchError, match="bigger than 20MiB"):
        get(checked(server), tmp_path)


def test_nothing_but_http_is_asked() -> None:
    with pytest.raises(Trouble):
        Transport(HURRIED).ask("file:///etc/passwd", {}, plain_ok=True)
