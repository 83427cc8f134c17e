"""Signatures by pinned keys, judged by the library and by gpgv; GnuPG makes them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.fakes.http import FileServer, file_server
from tests.fakes.recorder import Recorder
from vagrantish.errors import BoxError, FetchError
from vagrantish.events import Cancel, Op
from vagrantish.fetch import Download, Patience, Transport, fetch_remote, openpgp
from vagrantish.fetch.signatures import BadSignature, Checker, Unchecked, checker
from vagrantish.model import Check, Remote
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg")

IMAGE = bytes(range(256)) * 256
SUMS = f"{hashlib.sha256(IMAGE).hexdigest()} *disk.img\n".encode()
LIBRARY = pytest.mark.parametrize("library", [True, False], ids=["pysequoia", "gpgv"])


@dataclass(frozen=True)
class Gpg:
    """GnuPG with a home of its own."""

    home: Path

    def run(self, *args: str, data: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "-q", "--batch", "--passphrase", "", *args]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    def make(self, user: str, *args: str, expire: str = "never") -> str:
        """The fingerprint of a new primary key."""
        self.run(*args, "--quick-gen-key", user, "ed25519", "cert,sign", expire)
        return openpgp.fingerprints(self.public(user))[0]

    def public(self, *users: str) -> bytes:
        return self.run("--export", *users)

    def sign(self, user: str, data: bytes, *args: str) -> bytes:
        return self.run("-u", user, *args, "-b", data=data)

    def clear(self, user: str, data: bytes) -> bytes:
        return self.run("-u", user, "--clearsign", data=data)


@dataclass(frozen=True)
class Keys:
    gpg: Gpg
    publisher: str  # signs with a subkey
    other: str
    expired: str  # for a year from 2020 on
    folder: Path  # with the public keys of all of them but `other`


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    base = tmp_path_factory.mktemp("g")
    home = base / "gnupg"
    home.mkdir(mode=0o700)
    gpg = Gpg(home)
    publisher = gpg.make("publisher@x")
    gpg.run("--quick-add-key", publisher, "ed25519", "sign", "never")
    other = gpg.make("other@x")
    expired = gpg.make("expired@x", "--faked-system-time", "20200101T000000", expire="1y")
    folder = base / "keys"
    folder.mkdir()
    (folder / "two.gpg").write_bytes(gpg.public("expired@x", "publisher@x"))
    (folder / "notes.txt").write_text("no key")
    (folder / "damaged.asc").write_bytes(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA")
    yield Keys(gpg, publisher, other, expired, folder)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


def judge(keys: Keys, *, library: bool, pinned: str = "") -> Checker:
    return checker([pinned or keys.publisher], [keys.folder], library=library)


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    path = tmp_path / "SHA256SUMS"
    path.write_bytes(SUMS)
    return path


@LIBRARY
@pytest.mark.parametrize("armor", ["--armor", "--no-armor"])
def test_a_signature_beside_a_file_is_checked(
    keys: Keys, sums: Path, library: bool, armor: str
) -> None:
    signature = keys.gpg.sign("publisher@x", SUMS, armor)

    signed = judge(keys, library=library).detached(sums, signature)

    assert signed.fingerprint == keys.publisher


@LIBRARY
def test_of_a_clear_signed_text_only_what_is_signed_counts(keys: Keys, library: bool) -> None:
    text = b"f00  injected\n" + keys.gpg.clear("publisher@x", b"- a line\n" + SUMS)

    signed = judge(keys, library=library).clear(text)

    assert signed.fingerprint == keys.publisher
    assert signed.text.split(b"\n")[:2] == [b"- a line", SUMS.rstrip()]


@LIBRARY
def test_other_bytes_than_signed_are_refused(keys: Keys, sums: Path, library: bool) -> None:
    signature = keys.gpg.sign("publisher@x", SUMS)
    clear = keys.gpg.clear("publisher@x", SUMS).replace(b"disk.img", b"disk.imh")
    sums.write_bytes(SUMS + b"more")

    with pytest.raises(BadSignature):
        judge(keys, library=library).detached(sums, signature)
    with pytest.raises(BadSignature):
        judge(keys, library=library).clear(clear)


@LIBRARY
def test_a_signature_by_a_key_that_is_not_pinned_is_refused(
    keys: Keys, sums: Path, library: bool
) -> None:
    by_other = keys.gpg.sign("other@x", SUMS)
    by_known = keys.gpg.sign("publisher@x", SUMS)

    with pytest.raises(BadSignature):
        judge(keys, library=library).detached(sums, by_other)
    with pytest.raises(BadSignature):
        judge(keys, library=library, pinned=keys.expired).detached(sums, by_known)


@LIBRARY
def test_what_an_expired_key_signed_in_its_time_holds(
    keys: Keys, sums: Path, library: bool
) -> None:
    signature = keys.gpg.sign("expired@x", SUMS, "--faked-system-time", "20200601T000000")

    signed = judge(keys, library=library, pinned=keys.expired).detached(sums, signature)

    assert signed.fingerprint == keys.expired


@LIBRARY
@pytest.mark.parametrize(
    "rubbish", [b"", b"no signature", b"\x88\xff", b"-----BEGIN PGP SIGNATURE-----\n\n!!\n"]
)
def test_rubbish_is_no_signature(keys: Keys, sums: Path, library: bool, rubbish: bytes) -> None:
    with pytest.raises(BadSignature) as caught:
        judge(keys, library=library).detached(sums, rubbish)

    assert "\n" not in str(caught.value)


def test_without_the_public_key_nothing_is_checked(keys: Keys) -> None:
    with pytest.raises(Unchecked, match=f"no public key {keys.other}"):
        checker([keys.other], [keys.folder])


def test_fingerprints_are_those_that_gpg_shows(keys: Keys) -> None:
    shown = keys.gpg.run("--with-colons", "--list-keys").decode().split("\n")
    primaries = [
        shown[index + 1].split(":")[9] for index, line in enumerate(shown) if line[:4] == "pub:"
    ]

    public = keys.gpg.public("publisher@x", "other@x", "expired@x")

    assert sorted(openpgp.fingerprints(public)) == sorted(primaries)
    armored = keys.gpg.run("--armor", "--export", "publisher@x")
    assert openpgp.dearmored(armored) == keys.gpg.public("publisher@x")


# --- in a download -----------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as files:
        files.files["/disk.img"] = IMAGE
        yield files


@pytest.fixture
def home(tmp_path: Path, keys: Keys) -> VxHome:
    home = VxHome(tmp_path / "home")
    shutil.copytree(keys.folder, home.keys)
    return home


def get(server: FileServer, home: VxHome, check: Check, told: Recorder | None = None) -> Download:
    return fetch_remote(
        Remote(urls=(f"{server.url}/disk.img",), digest=None, check=check),
        home=home,
        max_bytes=1 << 20,
        op=Op(told or Recorder(), Cancel()),
        transport=Transport(Patience(read_s=1, tries=1)),
    )


def check_of(server: FileServer, keys: Keys, *, signed: str, signature: str, sums: str) -> Check:
    return Check(
        sums_url=f"{server.url}/{sums}" if sums else "",
        name="disk.img",
        signature_url=f"{server.url}/{signature}" if signature else "",
        signed=signed,
        keys=(keys.publisher,),
    )


@pytest.mark.parametrize("by", ["publisher@x", "other@x"])
def test_signed_checksums_are_believed_and_forged_ones_refused(
    server: FileServer, home: VxHome, keys: Keys, by: str
) -> None:
    server.files["/SHA256SUMS"] = SUMS
    server.files["/SHA256SUMS.gpg"] = keys.gpg.sign(by, SUMS)
    check = check_of(server, keys, signed="sums", signature="SHA256SUMS.gpg", sums="SHA256SUMS")

    if by == "publisher@x":
        assert get(server, home, check).fetched.verified == f"signed by {keys.publisher}"
    else:
        with pytest.raises(BoxError, match=r"signature of .*SHA256SUMS is bad"):
            get(server, home, check)
        assert server.asked("/disk.img") == []


def test_clear_signed_checksums_are_believed(server: FileServer, home: VxHome, keys: Keys) -> None:
    lie = f"SHA256 (disk.img) = {'0' * 64}\n".encode()
    server.files["/CHECKSUM"] = lie + keys.gpg.clear("publisher@x", SUMS)
    check = check_of(server, keys, signed="sums", signature="", sums="CHECKSUM")

    assert get(server, home, check).fetched.verified == f"signed by {keys.publisher}"


@pytest.mark.parametrize("signed", [IMAGE, IMAGE + b"x"], ids=["this file", "another"])
def test_a_signature_over_the_file_itself(
    server: FileServer, home: VxHome, keys: Keys, signed: bytes
) -> None:
    server.files["/disk.img.asc"] = keys.gpg.sign("publisher@x", signed, "--armor")
    check = check_of(server, keys, signed="file", signature="disk.img.asc", sums="")

    if signed == IMAGE:
        assert get(server, home, check).fetched.verified == f"signed by {keys.publisher}"
    else:
        with pytest.raises(BoxError, match=r"signature of .*disk\.img is bad"):
            get(server, home, check)
        assert list(home.downloads.rglob("*")) == []


def test_a_signature_that_is_withheld_is_an_error(
    server: FileServer, home: VxHome, keys: Keys
) -> None:
    server.files["/SHA256SUMS"] = SUMS
    check = check_of(server, keys, signed="sums", signature="SHA256SUMS.gpg", sums="SHA256SUMS")

    with pytest.raises(FetchError, match=r"SHA256SUMS\.gpg: the server answered 404"):
        get(server, home, check)


def test_without_the_key_the_checksums_count_and_the_state_says_so(
    server: FileServer, home: VxHome, keys: Keys
) -> None:
    shutil.rmtree(home.keys)
    server.files["/SHA256SUMS"] = SUMS
    check = check_of(server, keys, signed="sums", signature="SHA256SUMS.gpg", sums="SHA256SUMS")
    told = Recorder()

    got = get(server, home, check, told)

    assert got.fetched.verified.startswith("checksums of 127.0.0.1 (signature not checked: no pub")
    assert any("is not checked" in note for note in told.notes())
