"""Fetches what is to become a box; what is compressed is unpacked while it comes."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vagrantish import urls
from vagrantish.box.archive import TOTAL_MAX
from vagrantish.box.import_job import Given
from vagrantish.box.ingest import Staged
from vagrantish.box.intake import Unpacking
from vagrantish.errors import BoxError, FetchError
from vagrantish.fetch import fetch_remote
from vagrantish.formats import unpack
from vagrantish.model import ArtifactKind, Remote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagrantish.box.import_job import Job
    from vagrantish.fetch import Download
    from vagrantish.model import Digest

_DISK = re.compile(r".*\.(qcow2|img|raw|iso)(\.(gz|xz|zst|bz2))?", re.IGNORECASE)


def is_url(what: str) -> bool:
    return "://" in what


def names_a_disk(url: str) -> bool:
    """Whether it is sure to say nothing of what the box is called, as catalogs and box.toml do."""
    return _DISK.fullmatch(urls.file_name(url)) is not None


def names_a_catalog(url: str) -> bool:
    path = urlsplit(url).path
    return path.endswith(".json") or "/api/v2/vagrant/" in path


def shown(url: str) -> str:
    """The URL as it may be shown. Raises FetchError for one that cannot be fetched."""
    text = urls.shown(url)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise FetchError(
            f"cannot fetch {text}: only http and https are known",
            hint="Fetch it by other means, and give the path of the file.",
        )
    if not parts.hostname:
        raise FetchError(f"cannot fetch {text}: the URL names no server")
    return text


def check(url: str, digest: Digest | None) -> str:
    """As `shown`; raises BoxError too, when nothing would protect it."""
    text = shown(url)
    if digest is None and not urls.is_private(url):
        raise BoxError(
            f"{text} comes over plain http, where anybody on the way can change it",
            hint="Give an https address, or what it has to be: --digest sha256:….",
        )
    return text


def fetched(url: str, job: Job, digest: Digest | None) -> Given:
    """Raises FetchError, DigestMismatch, BoxError, HostError; what came is kept for the next try."""
    text = check(url, digest)
    unpacking = Unpacking(job.folder / "unpacked", TOTAL_MAX)
    try:
        with _told(text):
            download = fetch_remote(
                Remote(urls=(url,), digest=digest),
                home=job.home,
                max_bytes=TOTAL_MAX,
                op=job.op,
                sink=unpacking,
            )
            unpacking.end()
    finally:
        unpacking.close()
    unpacked = None
    if unpacking.result is not None:
        path, sha256, size = unpacking.result
        unpacked = Staged(kind=ArtifactKind.DISK, path=path, digest=sha256, size_bytes=size)
    return replace(
        given(url, text),
        path=unpacked.path if unpacked else download.path,
        download=download,
        pinned=str(digest) if digest else "",
        unpacked=unpacked,
    )


def given(url: str, shown: str) -> Given:
    """Before it is fetched."""
    return Given(path=Path(), said=shown, label=shown, origin=shown, url=url)


def tell_digest(download: Download, shown: str, job: Job) -> None:
    """Of a box that nothing vouched for."""
    if download.fetched.verified == "first use":
        job.op.note(
            f"nothing but the connection vouches for {shown}; "
            f"--digest sha256:{download.fetched.sha256} holds it to what came now"
        )


@contextmanager
def _told(shown: str) -> Iterator[None]:
    try:
        yield
    except unpack.UnpackError as error:
        raise BoxError(
            f"{shown} cannot be unpacked: {error}",
            hint="The publisher's file is damaged, or is no disk image.",
        ) from error
