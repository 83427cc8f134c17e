"""``vx box list --available``, and ``vx box info`` of a box that is not in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vagrantish.errors import BoxError
from vagrantish.lifecycle.catalogs import open_catalog
from vagrantish.model import RootKind
from vagrantish.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from vagrantish.box.catalog import Catalog
    from vagrantish.box.releases import Line, Published
    from vagrantish.cli.app import App
    from vagrantish.model import BoxRef, Release, Remote

_BUILT_HERE = ("micro", "-", "x86_64", "-", "A small Linux that `vx box build micro` makes here")
_OWN_FILE = "a file of your own"


def list_available(app: App, *, refresh: bool) -> int:
    catalog = open_catalog(app.home, app.env, op=app.op, refresh=refresh)
    boxes = list(_published(catalog, app))
    if app.options.json:
        app.answer_json("box-available", {"boxes": [_fields_of_box(box) for box in boxes]})
        return 0
    rows = [_BUILT_HERE, *(row for box in boxes for row in _rows_of(box))]
    rows.sort(key=lambda row: row[0])
    app.columns(("NAME", "VERSION", "ARCH", "ENDS", "DESCRIPTION"), rows)
    return 0


def info(ref: BoxRef, arch: str, app: App) -> bool:
    """Shows the box as its definition has it; False when there is no definition, nor one with
    a name like it.

    Raises BoxNotFound when there is, and it has no such version; BoxError.
    """
    catalog = open_catalog(app.home, app.env, op=app.op)
    box = catalog.published(ref.name)
    if box is None:
        if catalog.close_to(ref.name):
            catalog.find(ref, arch)  # raises
        return False
    own = None if box.releases else catalog.settings(ref, arch)
    release = own or catalog.find(ref, arch)
    if app.options.json:
        app.answer_json("box-info", _fields_of(box, release, app))
        return True
    from vagrantish.cli.text import columns

    app.answer(columns(("name", box.name), list(_info_rows(box, release, app))))
    return True


def _published(catalog: Catalog, app: App) -> Iterator[Published]:
    """What cannot be read is told, and does not hide the rest."""
    for name in catalog.names():
        try:
            box = catalog.published(name)
        except BoxError as error:
            app.op.warn(str(error))
            continue
        if box is not None:
            yield box
    for trouble in catalog.troubles:
        app.op.warn(str(trouble))


# --- for people ----------------------------------------------------------------------------


def _rows_of(box: Published) -> Iterator[tuple[str, str, str, str, str]]:
    """The newest build of each release, the newest release first."""
    for line in reversed(box.lines):
        about = f"{box.description}, {_called(line)}" if line.aliases else box.description
        if not line.builds:
            arches = sorted(line.settings, reverse=True)
            yield box.name, line.name, ", ".join(arches), line.eol or "-", about
            continue
        newest = {build.arch: build.version for build in line.builds}  # the last one counts
        for version in dict.fromkeys(build.version for build in reversed(line.builds)):
            arches = sorted((a for a in newest if newest[a] == version), reverse=True)
            if arches:
                yield box.name, version, ", ".join(arches), line.eol or "-", about


def _called(line: Line) -> str:
    return f"also {', '.join(line.aliases)}"


def _info_rows(box: Published, release: Release, app: App) -> Iterator[tuple[str, str]]:
    line = _line_of(box, release)
    yield "state", "not in the store"
    yield "version", release.version
    yield "architecture", release.arch
    yield "description", box.description or "-"
    yield "from", box.origin
    if line.aliases:
        yield "release", f"{line.name}, {_called(line)}"
    if line.eol:
        yield "ends", line.eol
    yield "versions", ", ".join(_versions(box, release.arch)) or _OWN_FILE
    if box.obtain:
        yield "files", box.obtain
    for part, remote, member in _files(release):
        yield from _file_rows(part, remote, member)
    yield "user", release.user
    yield "seed", release.seed.value
    in_memory = release.root is RootKind.RAM
    yield "root", "in memory, lost at every halt" if in_memory else "on its disk"
    if release.boot != "kernel":
        yield "boots", f"by itself, mode {release.boot}"
    if release.disk_boots:
        yield "kernel", "from its disk, as the guest upgrades it"
    yield "console", release.console
    yield "processor", release.cpu_level
    yield "command line", release.cmdline or "-"
    yield from _settings(release.defaults)
    yield "used by", ", ".join(_users(box.name, release.arch, app)) or "no machine"


def _settings(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", _plain(value)


def _file_rows(part: str, remote: Remote, member: str) -> Iterator[tuple[str, str]]:
    url, *mirrors = remote.urls
    yield part, f"{member} of {url}" if member else url
    for mirror in mirrors:
        yield "  or", mirror
    if remote.size_bytes is not None:
        yield "  size", format_size(remote.size_bytes)
    if remote.digest is not None:
        yield "  digest", str(remote.digest)
    yield "  verified", verified_by(remote)


def verified_by(remote: Remote) -> str:
    """How vx knows that it is the right file."""
    check = remote.check
    if remote.digest is not None:
        return "by this digest"
    if check is None:
        return "by nothing: what comes first is kept, and told when it changes"
    if check.signed == "file":
        return f"by its signature, of {' or '.join(check.keys)}"
    if check.signed:
        return f"by {check.sums_url}, signed by {' or '.join(check.keys)}"
    return f"by the checksums of {urlsplit(check.sums_url).hostname}"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else str(value)


# --- for scripts ---------------------------------------------------------------------------


def _fields_of_box(box: Published) -> dict[str, object]:
    return {
        "name": box.name,
        "description": box.description,
        "origin": box.origin,
        "default": box.default,
        "obtain": box.obtain,
        "releases": [
            {
                "release": line.name,
                "aliases": list(line.aliases),
                "eol": line.eol,
                "versions": [{"version": b.version, "arch": b.arch} for b in line.builds],
            }
            for line in box.lines
        ],
    }


def _fields_of(box: Published, release: Release, app: App) -> dict[str, object]:
    """What `vx box info` says of a box in the store, and what only its definition knows."""
    line = _line_of(box, release)
    files = {part: (remote, member) for part, remote, member in _files(release)}
    sizes = {remote.urls: remote.size_bytes for remote, _ in files.values()}
    known = [size for size in sizes.values() if size is not None]
    return {
        "name": box.name,
        "version": release.version,
        "arch": release.arch,
        "description": box.description,
        "origin": box.origin,
        "size": sum(known) if files and len(known) == len(sizes) else None,
        "artifacts": {
            part: _fields_of_file(*files[part]) for part in files if part in release.parts
        },
        "extensions": {
            part: _fields_of_file(*files[part]) for part in files if part in release.extensions
        },
        "user": release.user,
        "seed": release.seed.value,
        "boot": release.boot.value,
        "root": release.root.value,
        "console": release.console,
        "cpu_level": release.cpu_level,
        "cmdline": release.cmdline,
        "disk_boots": release.disk_boots,
        "defaults": dict(release.defaults),
        "used_by": _users(box.name, release.arch, app),
        "in_store": False,
        "release": line.name,
        "aliases": list(line.aliases),
        "eol": line.eol,
        "versions": _versions(box, release.arch),
        "obtain": box.obtain,
    }


def _fields_of_file(remote: Remote, member: str) -> dict[str, object]:
    check = remote.check
    return {
        "digest": str(remote.digest) if remote.digest else None,
        "size": remote.size_bytes,
        "path": None,
        "urls": list(remote.urls),
        "member": member,
        "verified": verified_by(remote),
        "sums": check.sums_url if check else "",
        "signature": check.signature_url if check else "",
        "keys": list(check.keys) if check else [],
    }


# --- shared --------------------------------------------------------------------------------


def _line_of(box: Published, release: Release) -> Line:
    own = [line for line in box.lines if release in line.builds]
    return (own or [line for line in box.lines if release.version.startswith(line.name)])[-1]


def _versions(box: Published, arch: str) -> list[str]:
    """Newest first."""
    return [each.version for each in reversed(box.releases) if each.arch == arch]


def _files(release: Release) -> Iterator[tuple[str, Remote, str]]:
    for kind, part in release.parts.items():
        yield kind.value, part.remote, part.member
    for name, remote in release.extensions.items():
        yield name, remote, ""


def _users(name: str, arch: str, app: App) -> list[str]:
    from vagrantish.cli.box import users_of

    return [f"{user.name} in {user.project}" for user in users_of(app, name, None, arch)]
