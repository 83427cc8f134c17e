"""The publishers' stand-in says what publishers say, and the shipped definitions lead through it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import requests

from tests.fakes.upstream import Upstream, upstream
from vagrantish.box import releases

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vagrantish.model import Release

BOXES = ("debian", "ubuntu", "centos", "rocky", "alma", "fedora", "alpine-netboot")
SIGNED = ("ubuntu", "rocky", "alma", "fedora")

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """Every publisher, with a few bytes for each image."""
    folder = tmp_path_factory.mktemp("upstream")
    files = {}
    for name in (*BOXES, "ubuntu-kernel", "ubuntu-initrd", "vagrant"):
        files[name] = folder / name
        files[name].write_bytes(f"{name} ".encode() * 1000)
    tinycore = folder / "tinycore"
    iso = tinycore / "16.x/x86_64/release/CorePure64-16.2.iso"
    iso.parent.mkdir(parents=True)
    iso.write_bytes(b"iso")
    tree = folder / "tree"
    tree.mkdir()
    with upstream(tree, files | {"tinycore": tinycore}) as upstreams:
        yield upstreams


def get(url: str, **headers: str) -> requests.Response:
    answer = requests.get(url, headers=headers, timeout=10)
    answer.raise_for_status()
    return answer


def release_of(served: Upstream, folder: Path, box: str, *, pinned: bool) -> Release:
    written = served.definitions(folder / "catalog", pinned=pinned) / box / "box.toml"
    published = releases.parse(written.read_text(encoding="utf-8"), source=box)
    assert published is not None
    release = published.find(None, "x86_64")
    assert release is not None
    return release


@pytest.mark.parametrize("box", [*BOXES, "ubuntu-files", "tinycore"])
def test_a_definition_leads_to_the_file_it_promises(
    served: Upstream, tmp_path: Path, box: str
) -> None:
    release = release_of(served, tmp_path, box, pinned=True)

    for part in release.parts.values():
        assert part.remote.digest is not None
        content = get(part.remote.urls[0]).content
        assert hashlib.new(part.remote.digest.algorithm, content).hexdigest() == (
            part.remote.digest.hex
        )
        assert part.remote.size_bytes == len(content)


@pytest.mark.parametrize("box", BOXES)
def test_without_a_pin_the_publishers_checksums_name_the_file(
    served: Upstream, tmp_path: Path, box: str
) -> None:
    release = release_of(served, tmp_path, box, pinned=False)
    part = next(iter(release.parts.values()))
    check = part.remote.check
    assert part.remote.digest is None
    assert check is not None

    sums = get(check.sums_url).text

    assert served.digest(box).partition(":")[2] in sums
    assert check.name in sums or box == "alpine-netboot"  # whose file is a digest alone


@pytest.mark.parametrize("box", SIGNED)
def test_signed_checksums_are_signed_by_the_key_of_the_definition(
    served: Upstream, tmp_path: Path, box: str
) -> None:
    if shutil.which("gpgv") is None:
        pytest.skip("gpgv is not installed")
    release = release_of(served, tmp_path, box, pinned=False)
    check = next(iter(release.parts.values())).remote.check
    assert check is not None
    served.trust(tmp_path / "keys")
    keyring = tmp_path / "keyring"
    subprocess.run(
        ["gpg", "--batch", "--homedir", tmp_path, "--dearmor", "-o", keyring,
         tmp_path / "keys/test.asc"],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "sums").write_bytes(get(check.sums_url).content)
    files = [tmp_path / "sums"]
    if check.signature_url:
        (tmp_path / "sig").write_bytes(get(check.signature_url).content)
        files.insert(0, tmp_path / "sig")

    judged = subprocess.run(
        ["gpgv", "--status-fd", "1", "--keyring", keyring, *files], capture_output=True, text=True
    )

    assert f"VALIDSIG {check.keys[0]}" in judged.stdout, judged


def test_fedora_sends_on_to_a_mirror(served: Upstream, tmp_path: Path) -> None:
    release = release_of(served, tmp_path, "fedora", pinned=True)

    answer = get(next(iter(release.parts.values())).remote.urls[0])

    assert [step.status_code for step in answer.history] == [302]
    assert answer.url.startswith(f"{served.url}/mirror.example/")


def test_ubuntus_kernel_files_have_a_list_of_their_own(served: Upstream) -> None:
    folder = served.address("ubuntu").rpartition("/")[0]

    lines = get(f"{folder}/unpacked/SHA256SUMS").text.splitlines()

    for line in lines:
        digest, name = line.split(" *")
        assert hashlib.sha256(get(f"{folder}/unpacked/{name}").content).hexdigest() == digest
    assert len(lines) == 2
    assert "vmlinuz" not in get(f"{folder}/SHA256SUMS").text


def test_a_box_of_ubuntus_takes_the_kernel_files_too(served: Upstream, tmp_path: Path) -> None:
    release = release_of(served, tmp_path, "ubuntu-files", pinned=False)

    for part in release.parts.values():
        assert part.remote.check is not None
        digest = hashlib.sha256(get(part.remote.urls[0]).content).hexdigest()
        assert f"{digest} *{part.remote.check.name}" in get(part.remote.check.sums_url).text
    assert set(release.parts) == {"kernel", "initrd", "disk"}


def test_the_vagrant_catalog_names_boxes_that_are_there(served: Upstream) -> None:
    catalog = json.loads(get(served.catalog_address).text)

    found = {version["version"]: version["providers"][1] for version in catalog["versions"]}

    assert len(found) == 4
    for provider in found.values():
        content = get(provider["url"]).content
        assert hashlib.sha256(content).hexdigest() == provider["checksum"]


# --- the server ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "part"),
    [("bytes=7-", slice(7, None)), ("bytes=5-9", slice(5, 10)), ("bytes=-6", slice(-6, None))],
)
def test_a_range_is_answered_with_that_part(served: Upstream, wanted: str, part: slice) -> None:
    whole = served.file("debian").read_bytes()

    answer = get(served.address("debian"), Range=wanted)

    assert (answer.status_code, answer.content) == (206, whole[part])
    first, _, last = (
        answer.headers["Content-Range"].partition(" ")[2].partition("/")[0].partition("-")
    )
    assert whole[int(first) : int(last) + 1] == answer.content


def test_a_range_of_another_version_is_answered_with_the_whole(served: Upstream) -> None:
    address = served.address("debian")
    etag = get(address).headers["ETag"]

    same = get(address, Range="bytes=7-", **{"If-Range": etag})
    other = get(address, Range="bytes=7-", **{"If-Range": '"old"'})

    assert (same.status_code, other.status_code) == (206, 200)
    assert other.content == served.file("debian").read_bytes()


def test_what_is_not_there_is_said_to_be_missing(served: Upstream) -> None:
    address = served.address("debian")

    assert requests.get(f"{address}.gone", timeout=10).status_code == 404
    assert requests.get(address, headers={"Range": "bytes=9999999-"}, timeout=10).status_code == 416
    assert requests.head(address, timeout=10).headers["Content-Length"] == str(
        served.file("debian").stat().st_size
    )
