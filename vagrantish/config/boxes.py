"""The box a machine is made from: a name, or a table of its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.config import texts
from vagrantish.model import ArtifactKind, BoxParts, BoxRef, SeedKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagrantish.config.layers import Layer
    from vagrantish.config.paths import ProjectFiles
    from vagrantish.config.problems import Report
    from vagrantish.config.resolve import Branch


def box_of(
    settings: Branch, files: ProjectFiles, project: Layer, report: Report
) -> BoxRef | BoxParts | None:
    """None where there is no usable one, which is then reported."""
    leaf = settings.leaves["box"]
    if not leaf.givens:
        path = ("machines", report.machine.group)
        message = "`box` is missing: it names what is booted"
        report.add(project, path, message, 'write box = "micro"')
        return None
    if "box" in settings.branches:
        return _parts(settings.branches["box"], files, report)
    ref: BoxRef | None = leaf.value
    return ref


def _parts(box: Branch, files: ProjectFiles, report: Report) -> BoxParts:
    digests = box.branches["digest"]
    sources: dict[ArtifactKind, str] = {}
    for kind in ArtifactKind:
        text = box[kind]
        digest = digests.leaves[kind]
        if text is None:
            if digest.givens and not box.leaves[kind].givens:
                message = f"`box.digest.{kind}` is given, and `box.{kind}` is not"
                report.add(*digests.place(kind), message)
            continue
        if not texts.is_url(text):
            complaint = files.complaint(text)
            if complaint:
                report.add(*box.place(kind), f"`box.{kind}` {complaint}")
            sources[kind] = str(files.path(text))
            continue
        sources[kind] = text
        if not digest.givens:
            hint = f'write digest = {{ {kind} = "sha256:…" }} beside it'
            report.add(*box.place(kind), f"`box.{kind}` is a URL and needs a digest", hint)
        try:
            texts.url(text)
        except ValueError:
            message = f"`box.{kind}` must be a path, or a URL beginning with https:// or http://"
            report.add(*box.place(kind), message)
    seed = _seed(box, sources, report)
    return BoxParts(
        sources=sources,
        digests={kind: digests[kind] for kind in ArtifactKind if digests[kind] is not None},
        cmdline=box["cmdline"] or "",
        user=box["user"],
        seed=seed,
    )


def _seed(box: Branch, sources: Mapping[ArtifactKind, str], report: Report) -> SeedKind:
    """How the guest takes its keys, once the parts are found to go with that."""
    if not sources.keys() & {ArtifactKind.KERNEL, ArtifactKind.DISK}:
        hint = "give one, or a disk that has one inside"
        report.add(*box.place(ArtifactKind.KERNEL), "`box.kernel` is missing", hint)
    seed = box["seed"]
    adds = seed in (SeedKind.OVERLAY, SeedKind.TINYCORE) and ArtifactKind.KERNEL in sources
    if adds and not box.leaves[ArtifactKind.INITRD].givens:
        report.add(*box.place("seed"), f'`box.seed` "{seed}" adds to an initrd, and there is none')
    if seed == SeedKind.CLOUD_INIT and not box.leaves[ArtifactKind.DISK].givens:
        report.add(*box.place("seed"), '`box.seed` "cloud-init" works in a disk, and there is none')
    return SeedKind(seed) if seed in tuple(SeedKind) else SeedKind.NONE
