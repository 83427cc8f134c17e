"""The boxes that can be had: those vx knows, and those of the user's catalogs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.box import releases, versions
from vagrantish.box.catalog_shelf import Folder, read_kept
from vagrantish.errors import BoxError, BoxNotFound
from vagrantish.resources import boxes_dir

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from vagrantish.box.catalog_shelf import Shelf
    from vagrantish.box.releases import Published
    from vagrantish.model import BoxRef, CatalogSource, Release
    from vagrantish.paths import VxHome

BUILT_IN = "built in"
_LIST = "`vx box list --available` shows what there is."
_SHOWN_MAX = 12  # versions named in an error


class Catalog:
    """Definitions by name, the first shelf's before the next one's; each is parsed when asked for."""

    def __init__(self, shelves: Iterable[Shelf]) -> None:
        self._shelves = tuple(shelves)
        self._parsed: dict[str, Published | None] = {}
        self.troubles: list[BoxError] = []  # catalogs that could not be looked into

    def names(self) -> tuple[str, ...]:
        """Every box there is a definition of, by name; some may be broken, some packed."""
        found: set[str] = set()
        for shelf in self._shelves:
            try:
                found.update(shelf.names())
            except BoxError as error:
                self._trouble(error)
        return tuple(sorted(found))

    def published(self, name: str) -> Published | None:
        """What is said of the box; None when nothing is, or it is not published but built or
        added. Raises BoxError for a definition that cannot be used.
        """
        if name not in self._parsed:
            self._parsed[name] = self._parse(name)
        return self._parsed[name]

    def find(self, ref: BoxRef, arch: str) -> Release:
        """The newest version that matches. Raises BoxNotFound with what comes close, BoxError."""
        box = self.published(ref.name)
        if box is None:
            raise self._unknown(ref)
        release = box.find(ref.version, arch)
        if release is None:
            raise _no_version(box, ref, arch)
        return release

    def releases(self, name: str, arch: str | None = None) -> tuple[Release, ...]:
        """Every version of the box, oldest first; none of a box that is not known."""
        box = self.published(name)
        found = box.releases if box else ()
        return tuple(release for release in found if arch in (None, release.arch))

    def settings(self, ref: BoxRef, arch: str) -> Release | None:
        """How a file of the user's own that is added under this name is booted, if that is known."""
        box = self.published(ref.name)
        return box.settings(ref.version, arch) if box else None

    def close_to(self, name: str) -> str:
        """A box whose name comes close to one that is not known; "" without one."""
        import difflib

        names = self.names()
        close = difflib.get_close_matches(name, names, n=1) if name not in names else []
        return close[0] if close else ""

    def _parse(self, name: str) -> Published | None:
        for shelf in self._shelves:
            try:
                if not shelf.has(name):
                    continue
            except BoxError as error:
                self._trouble(error)
                continue
            found = releases.parse(shelf.text(name), source=shelf.place(name), origin=shelf.label)
            if found is not None and found.name != name:
                raise BoxError(
                    f'the definition at {shelf.place(name)} is called "{found.name}"',
                    hint=f'Call it "{name}", or give its folder the other name.',
                )
            return found
        return None

    def _trouble(self, error: BoxError) -> None:
        if str(error) not in map(str, self.troubles):
            self.troubles.append(error)

    def _unknown(self, ref: BoxRef) -> BoxNotFound:
        names = self.names()
        if ref.name == "micro":
            told, hint = "micro is built, not fetched", "Build it: `vx box build micro`."
        elif ref.name in names:
            told = f"{ref.name} has its files beside its definition, and is not fetched"
            hint = "Take it into the store with `vx box add FOLDER`."
        else:
            close = self.close_to(ref.name)
            told = f"no box {ref.name} is known"
            hint = f'Did you mean "{close}"? {_LIST}' if close else _LIST
        if self.troubles:
            told += "; " + "; ".join(str(error) for error in self.troubles)
        return BoxNotFound(told, hint=hint)


def load(
    home: VxHome, sources: Iterable[CatalogSource] = (), *, built_in: Path | None = None
) -> Catalog:
    """What ``sources`` hold as far as it is here, in their order, before what ships with vx."""
    shelves = [shelf for source in sources if (shelf := shelf_of(home, source)) is not None]
    return Catalog([*shelves, Folder(built_in or boxes_dir(), BUILT_IN)])


def shelf_of(home: VxHome, source: CatalogSource) -> Shelf | None:
    """None for a catalog that was never fetched."""
    if source.kind == "folder":
        from pathlib import Path

        return Folder(Path(source.location), source.text)
    return read_kept(home, source)


def _no_version(box: Published, ref: BoxRef, arch: str) -> BoxNotFound:
    there = box.releases
    if not there:
        example = f"vx box add FILE --name {box.name} --version {ref.version or box.default}"
        return BoxNotFound(f"{box.name} cannot be fetched. {box.obtain}", hint=f"Then `{example}`.")
    wanted = box.wanted(ref.version)
    arches = sorted({each.arch for each in there if versions.matches(each.version, wanted)})
    if arches:
        return BoxNotFound(
            f"{ref} is published for {', '.join(arches)}, not for {arch}", hint=_LIST
        )
    here = [each.version for each in reversed(there) if each.arch == arch]
    if not here:
        return BoxNotFound(f"{box.name} is not published for {arch}", hint=_LIST)
    import difflib

    names = [*dict.fromkeys(line.name for line in box.lines), *box.aliases, *here]
    close = difflib.get_close_matches(wanted, names, n=1)
    maybe = f'Did you mean "{box.name}@{close[0]}"? ' if close else ""
    more = f" and {len(here) - _SHOWN_MAX} more" if len(here) > _SHOWN_MAX else ""
    return BoxNotFound(
        f"{box.name} has no version {ref.version}; for {arch} it has "
        f"{', '.join(here[:_SHOWN_MAX])}{more}",
        hint=f"{maybe}{_LIST}",
    )
