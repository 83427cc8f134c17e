"""From a Vagrant catalog to the file of the one version that is wanted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from vagrantish.box import import_web, reference, vagrantcatalog
from vagrantish.box.fields import shown
from vagrantish.box.import_job import check_digest, local
from vagrantish.box.vagrantbox import VagrantError
from vagrantish.errors import BoxError
from vagrantish.files import host_errors

if TYPE_CHECKING:
    from vagrantish.box.import_job import Given, Job
    from vagrantish.box.vagrantcatalog import Offer
    from vagrantish.model import Digest


def offered(catalog: Given, job: Job) -> Given:
    """The file it leads to, fetched and verified. Raises BoxError, FetchError, HostError."""
    wishes = job.wishes
    with host_errors(f"read {catalog.path}"), catalog.path.open("rb") as file:
        data = file.read(vagrantcatalog.SIZE_MAX + 1)
    try:
        parsed = vagrantcatalog.parse(data)
        offer = vagrantcatalog.choose(
            parsed,
            version=wishes.version,
            provider=wishes.provider,
            arch=wishes.arch or reference.host_arch(),
        )
    except VagrantError as error:
        raise BoxError(
            f"{catalog.label} cannot be used as a catalog of Vagrant's: {error}"
        ) from error
    job.op.note(
        f"{catalog.label} is a catalog of Vagrant's: version {offer.version} for {offer.provider}"
        f"{f' and {shown(offer.arch)}' if offer.arch else ''} is taken"
    )
    digest = wishes.digest or offer.digest
    if digest is None and offer.weak:
        job.op.warn(f"the catalog has no more than its {offer.weak}, which verifies nothing")
    given = _got(catalog, offer, job, digest)
    if catalog.download is not None:
        catalog.download.discard()
    return replace(given, name=parsed.name, version=offer.version, description=parsed.description)


def _got(catalog: Given, offer: Offer, job: Job, digest: Digest | None) -> Given:
    try:
        url = urljoin(catalog.url, offer.url)
        in_url = unquote(urlsplit(offer.url).path)
    except ValueError as error:
        raise BoxError(
            f"{catalog.label} leads to {shown(offer.url)}, which is no address ({error})"
        ) from error
    if not catalog.is_local:
        return import_web.fetched(url, job, digest)
    if import_web.is_url(offer.url) and not offer.url.lower().startswith("file:"):
        return import_web.fetched(offer.url, job, digest)
    path = Path(in_url if ":" in offer.url else offer.url)
    given = local(catalog.path.parent / path, str(path))
    if digest is not None:
        check_digest(given, digest, job.op)
    return given
