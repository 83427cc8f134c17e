"""The folders of an image looked at last, for formats where finding one name means reading all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from vagrantish.formats.device import ImageError
from vagrantish.formats.volume import ENTRIES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


class FolderCache(Generic[T]):
    """Entries by name, for each folder; never more than ENTRIES_MAX of them in all."""

    def __init__(self) -> None:
        self._folders: dict[int, dict[str, T]] = {}
        self._entries = 0

    def get(self, folder: int) -> dict[str, T] | None:
        return self._folders.get(folder)

    def put(self, folder: int, entries: Iterable[tuple[str, T]]) -> dict[str, T]:
        """Of two entries with one name the first counts. Raises ImageError for too many."""
        names: dict[str, T] = {}
        for name, entry in entries:
            names.setdefault(name, entry)
            if len(names) > ENTRIES_MAX:
                raise ImageError(f"one of its folders has more than {ENTRIES_MAX} entries")
        while self._folders and self._entries + len(names) > ENTRIES_MAX:
            self._entries -= len(self._folders.pop(next(iter(self._folders))))
        self._folders[folder] = names
        self._entries += len(names)
        return names
