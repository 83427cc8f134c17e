"""Transcripts of boots: a header, then what was written where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vagrantish.diagnosis.causes import Place, State
from vagrantish.diagnosis.endings import Ending, classify
from vagrantish.diagnosis.reader import Reader

FOLDER = Path(__file__).resolve().parents[2] / "transcripts"


@dataclass(frozen=True, kw_only=True)
class Transcript:
    name: str
    header: dict[str, str]
    parts: dict[Place, str]

    @property
    def cause(self) -> str:
        return self.name.partition("-")[2]

    @property
    def states(self) -> tuple[State, ...]:
        return tuple(map(State, self.header.get("state", "").split()))

    @property
    def ending(self) -> Ending | None:
        if "exit" not in self.header:
            return None
        return classify(
            self.header["provider"],
            status=int(self.header["exit"]),
            seconds=float(self.header["seconds"]),
            printed=Place.CONSOLE in self.parts,
            stderr=self.parts.get(Place.STDERR, ""),
        )

    def read(self, *, piece: int = 1 << 16) -> Reader:
        reader = Reader()
        for place, text in self.parts.items():
            data = text.replace("\n", "\r\n").encode()
            for at in range(0, len(data), piece):
                reader.feed(data[at : at + piece], place)
        if self.ending is not None:
            reader.end(self.ending)
        return reader


def load(path: Path) -> Transcript:
    header: dict[str, str] = {}
    parts: dict[Place, str] = {}
    place = Place.CONSOLE
    for line in path.read_text("utf-8").split("\n")[:-1]:
        if line.startswith("=== "):
            place = Place(line[4:])
        elif line.startswith("# ") and not parts:
            key, _, value = line[2:].partition(": ")
            header[key] = value
        else:
            parts[place] = parts.get(place, "") + line + "\n"
    return Transcript(name=path.stem, header=header, parts=_open_ended(parts))


def _open_ended(parts: dict[Place, str]) -> dict[Place, str]:
    """A prompt at the end of a console has no end of line."""
    said = parts.get(Place.CONSOLE, "")
    return {**parts, Place.CONSOLE: said[:-1]} if said.endswith((" \n", ">\n")) else parts


def every() -> list[Transcript]:
    return [load(path) for path in sorted(FOLDER.glob("*.txt"))]
