"""All that is wrong with the settings, gathered to be told at once and in order."""

from __future__ import annotations

from vagrantish.errors import ConfigError, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from vagrantish.config.layers import Layer
    from vagrantish.config.names import MachineName
    from vagrantish.errors import RenderError
    from vagrantish.toml import KeyPath

    Found = tuple[int, int, str, str, str]  # layer, line, where, message, hint

_SHOWN_MAX = 100
_NAMED_MAX = 3
_TEXT_MAX = 60


class Problems:
    """Each problem once, however many machines have it."""

    def __init__(self) -> None:
        self._found: dict[Found, set[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(
        self, layer: Layer, path: KeyPath, message: str, hint: str = "", *, machine: str = ""
    ) -> None:
        """``machine`` names the one that has it, when others may not have it."""
        found = (layer.rank, layer.line(path), layer.where(path), message, hint)
        self._found.setdefault(found, set()).add(machine)

    def add_render(
        self, layer: Layer, path: KeyPath, label: str, error: RenderError, *, machine: str = ""
    ) -> None:
        """What rendering the value at ``path`` said; a parameter's own fault is told at the parameter."""
        from vagrantish.config.params import BadParam

        if isinstance(error, BadParam):
            self.add(error.layer, error.path, error.message, error.hint)
        else:
            self.add(layer, path, f"`{label}`: {error.message}", error.hint, machine=machine)

    def near(self, word: str, known: Iterable[str], shown: str = "`{}`") -> str:
        """``did you mean …?``, or nothing when nothing is near."""
        if len(self._found) > _SHOWN_MAX:
            return ""  # it will not be shown
        import difflib

        matches = difflib.get_close_matches(word[:_TEXT_MAX], list(known), n=1, cutoff=0.6)
        return f"did you mean {shown.format(matches[0])}?" if matches else ""

    def raise_any(self, machines: int = 1) -> None:
        """Raises ConfigError in the order of layers and lines. ``machines``: how many there are."""
        if not self._found:
            return
        told = []
        for found, who in sorted(self._found.items(), key=lambda item: item[0]):
            _rank, _line, where, message, hint = found
            if "" not in who and len(who) < machines:
                message = f"{message} ({_names(sorted(who))})"
            told.append(Problem(where, message, hint))
        if len(told) > _SHOWN_MAX:
            more = len(told) - _SHOWN_MAX
            told[_SHOWN_MAX:] = [Problem(told[-1].where.partition(":")[0], f"and {more} more")]
        raise ConfigError(told)


class Report:
    """Problems of one machine."""

    def __init__(self, problems: Problems, machine: MachineName) -> None:
        self.problems = problems
        self.machine = machine

    def add(self, layer: Layer, path: KeyPath, message: str, hint: str = "") -> None:
        self.problems.add(layer, path, message, hint, machine=self._who(path))

    def add_render(self, layer: Layer, path: KeyPath, label: str, error: RenderError) -> None:
        self.problems.add_render(layer, path, label, error, machine=self._who(path))

    def _who(self, path: KeyPath) -> str:
        """The machine's name, where what stands at ``path`` is for others too."""
        own = path[:1] == ("machines",) and not self.machine.counted
        return "" if own else self.machine.name


def _names(names: list[str]) -> str:
    if len(names) == 1:
        return f"machine {names[0]}"
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return f"machines {', '.join(names[:_NAMED_MAX])}{more}"


def shown(value: object, most: int = _TEXT_MAX) -> str:
    """A value for people: short, on one line, without what a terminal might obey."""
    if isinstance(value, str):
        text = value if len(value) <= most else f"{value[:most]}…"
        plain = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
        return f'"{plain}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 200:
        return "a huge number"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return "a date or time"


def quoted(word: str, most: int = _TEXT_MAX) -> str:
    """A key for people, as ``shown`` does it."""
    return f"`{shown(word, most)[1:-1]}`"
