"""A stream of bytes as lines, whole ones and the one that is still being written. Pure."""

from __future__ import annotations

from vagrantish.formats.guesttext import printable

LINE_MAX = 4096  # bytes of a line that are looked at; a guest may never end one


class LineSplitter:
    """Untrusted bytes to harmless lines; keeps no more than the start of the next one."""

    __slots__ = ("_partial",)

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes."""
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = self._partial + whole[0]
            self._partial = rest[-LINE_MAX:]
        else:
            self._partial = (self._partial + rest[-LINE_MAX:])[-LINE_MAX:]
        return [printable(line[-LINE_MAX:]) for line in whole]

    @property
    def unfinished(self) -> str:
        """What was written of the next line: a prompt never ends its own."""
        return printable(self._partial)
