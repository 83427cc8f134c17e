"""box.toml of a published box: its releases, their builds, and where their files are got."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vagrantish.box import reference, release_levels, versions
from vagrantish.box.fields import ARCHES, open_table, shown, unusable
from vagrantish.box.release_compose import ComposeError, compose
from vagrantish.box.release_levels import merged, tables_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from vagrantish.box.fields import Fields
    from vagrantish.model import Release


@dataclass(frozen=True, kw_only=True)
class Line:
    """One release and the builds of it, such as Ubuntu 24.04."""

    name: str
    aliases: tuple[str, ...]
    eol: str  # the day, month or year its publisher stops mending it; "" when not known
    builds: tuple[Release, ...]  # oldest first, each once an architecture
    settings: Mapping[str, Release]  # by architecture: how a file of the user's own is booted


@dataclass(frozen=True, kw_only=True)
class Published:
    """All a definition says of one box."""

    name: str
    description: str
    default: str  # the release meant by the name alone
    obtain: str  # how people get the files, where none can be fetched
    lines: tuple[Line, ...]  # oldest first
    origin: str  # which catalog has it, for people

    @property
    def releases(self) -> tuple[Release, ...]:
        """Oldest first."""
        return tuple(build for line in self.lines for build in line.builds)

    @property
    def aliases(self) -> dict[str, str]:
        return {alias: line.name for line in self.lines for alias in line.aliases}

    def wanted(self, version: str | None) -> str:
        """``version`` with an alias replaced, or the default: what `versions.matches` takes."""
        if version is None:
            return self.default
        first, dot, rest = version.partition(".")
        aliases = self.aliases
        if version in aliases:
            return aliases[version]
        return f"{aliases[first]}{dot}{rest}" if first in aliases else version

    def find(self, version: str | None, arch: str) -> Release | None:
        """The newest that matches; None when there is none for ``arch``."""
        found = {build.version: build for build in self.releases if build.arch == arch}
        newest = versions.newest(found, self.wanted(version))
        return found[newest] if newest else None

    def settings(self, version: str | None, arch: str) -> Release | None:
        """How a file of the user's own, called ``version``, is booted: like the release it is of.

        The Release names no files. None when no release fits.
        """
        wanted = self.wanted(version)
        fitting = [line for line in self.lines if versions.matches(wanted, line.name)]
        fitting = fitting or [line for line in self.lines if versions.matches(line.name, wanted)]
        if not fitting or arch not in fitting[-1].settings:
            return None
        return replace(fitting[-1].settings[arch], version=version or fitting[-1].name)


def parse(text: str, *, source: str, origin: str = "") -> Published | None:
    """None for the box.toml of a packed box, which `definition` reads.

    ``source`` names the place of the file, ``origin`` the catalog that has it. Raises BoxError
    that lists every problem.
    """
    top = open_table(text, source)
    if "release" not in top and not _means_to_be(top.table):
        return None
    release_levels.Levels(top).check()
    name = top.named("name", None, reference.check_name)
    description = top.text_of("description")
    obtain = top.text_of("obtain")
    found: list[Line] = []
    if not top.problems:
        found = [_line(top, line, name, description) for line in tables_of(top, "release")]
        found.sort(key=lambda line: versions.key(line.name))
        _check_names(top, found, obtain)
    if top.problems:
        raise unusable(source, top.problems)
    return Published(
        name=name,
        description=description,
        default=_default(top, found),
        obtain=obtain,
        lines=tuple(found),
        origin=origin,
    )


def _means_to_be(table: Mapping[str, Any]) -> bool:
    """A packed box says its own architecture and version, and names its files."""
    return not {"arch", "version"} & set(table) and not isinstance(table.get("kernel"), str)


def _line(top: Fields, line: Fields, name: str, description: str) -> Line:
    line_name = str(line.path[-1])
    builds: list[Release] = []
    for build in tables_of(line, "build"):
        for arch in (arch for arch in ARCHES if arch in build):
            levels = _levels_of(top, line, build, arch=arch)
            try:
                builds.append(
                    compose(
                        levels, name=name, line=line_name, build=str(build.path[-1]),
                        arch=arch, description=description,
                    )
                )  # fmt: skip
            except ComposeError as error:
                build.problem(arch, str(error))
    settings: dict[str, Release] = {}
    for arch in ARCHES:
        levels = _levels_of(top, line, arch=arch)
        try:
            settings[arch] = compose(
                levels, name=name, line=line_name, build=None, arch=arch, description=description
            )
        except ComposeError:
            continue  # told of its builds, if it has any
    builds.sort(key=lambda build: (versions.key(build.version), build.arch))
    return Line(
        name=line_name,
        aliases=line.strings("aliases"),
        eol=line.table.get("eol", ""),
        builds=tuple(builds),
        settings=settings,
    )


def _levels_of(*levels: Fields, arch: str) -> dict[str, Any]:
    """``levels`` and what each has for ``arch`` as one table."""
    return merged(*_each_level(levels, arch))


def _each_level(levels: tuple[Fields, ...], arch: str) -> Iterator[dict[str, Any]]:
    for level in levels:
        yield {key: value for key, value in level.table.items() if key not in ARCHES}
        own = level.table.get(arch, {})
        yield {"digest": own} if isinstance(own, str) else own


def _check_names(top: Fields, lines: list[Line], obtain: str) -> None:
    """What versions, aliases and the default make of each other."""
    table = top.below("release")
    if table is None or not lines:
        top.problem("release", "it has no releases")
        return
    seen: dict[tuple[str, str], str] = {}
    names = {line.name for line in lines} | {b.version for line in lines for b in line.builds}
    for line in lines:
        if "build" not in table.table[line.name] and not obtain:
            told = "this release has no builds, and `obtain` does not say how people get one"
            table.problem(line.name, told)
        for build in line.builds:
            other = seen.setdefault((build.version, build.arch), line.name)
            if other != line.name:
                table.problem(line.name, f"{build.version} is a build of {other} too")
        for alias in line.aliases:
            _check_alias(table, line, alias, lines, names)
    default = _default(top, lines)
    if not any(versions.matches(line.name, default) for line in lines):
        known = ", ".join(line.name for line in lines)
        top.problem("default", f'"{shown(default)}" is no release: there are {known}')


def _check_alias(table: Fields, line: Line, alias: str, lines: list[Line], names: set[str]) -> None:
    if any(alias in other.aliases for other in lines if other is not line):
        table.problem(line.name, f'another release is called "{alias}" too')
    elif line.aliases.count(alias) > 1:
        table.problem(line.name, f'"{alias}" is there twice')
    elif any(versions.matches(name, alias) for name in names):
        table.problem(line.name, f'the alias "{alias}" would hide a version')


def _default(top: Fields, lines: list[Line]) -> str:
    given = top.string("default", "")
    aliases = {alias: line.name for line in lines for alias in line.aliases}
    return aliases.get(given, given) if given else lines[-1].name
