"""Whether this vx is new enough for a project: ``requires = ">=0.1"``."""

from __future__ import annotations

from vagrantish import __version__
from vagrantish.config.layers import LOCAL, PROJECT
from vagrantish.config.problems import Problems, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagrantish.config.layers import Layer

_OPERATORS = (">=", "<=", "==", "!=", ">", "<")  # the longer before their beginnings


def check_requires(layers: Sequence[Layer]) -> None:
    """Raises ConfigError, and only for this: what a newer vx allows would look wrong here."""
    problems = Problems()
    for layer in layers:
        if layer.kind not in (PROJECT, LOCAL) or "requires" not in layer.table:
            continue
        wanted = layer.table["requires"]
        try:
            fits = isinstance(wanted, str) and satisfies(__version__, wanted)
        except ValueError as error:
            problems.add(layer, ("requires",), f"`requires` {error}", 'write requires = ">=0.1"')
            continue
        if not isinstance(wanted, str):
            message = f'`requires` must be text such as ">=0.1", got {shown(wanted)}'
            problems.add(layer, ("requires",), message)
        elif not fits:
            message = (
                f"this project requires vx {shown(wanted)[1:-1]}, and this is vx {__version__}"
            )
            problems.add(layer, ("requires",), message, "install a vx that fits")
    problems.raise_any()


def satisfies(version: str, wanted: str) -> bool:
    """``wanted``: one or more of ``>=0.1``, separated by commas. Raises ValueError."""
    ours = _numbers(version)
    results = []
    for part in wanted.split(","):
        part = part.strip()
        operator = next((op for op in _OPERATORS if part.startswith(op)), "")
        theirs = _numbers(part.removeprefix(operator).strip())
        if not operator or not theirs:
            raise ValueError(f"is no list of versions: {shown(part)}")
        width = max(len(ours), len(theirs))
        left, right = _padded(ours, width), _padded(theirs, width)
        results.append({
            ">=": left >= right, "<=": left <= right, "==": left == right,
            "!=": left != right, ">": left > right, "<": left < right,
        }[operator])  # fmt: skip
    return all(results)


def _numbers(version: str) -> tuple[int, ...]:
    """``0.1.0rc1`` → (0, 1, 0): what comes before a release counts as that release."""
    numbers: list[int] = []
    for part in version.split("."):
        rest = part.lstrip("0123456789")
        digits = part[: len(part) - len(rest)]
        if not part or len(digits) > 9 or (rest and not (rest.isalnum() and (digits or numbers))):
            return ()
        if digits:
            numbers.append(int(digits))
        if rest or not digits:
            break
    return tuple(numbers)


def _padded(numbers: tuple[int, ...], width: int) -> tuple[int, ...]:
    return numbers + (0,) * (width - len(numbers))
