"""Which machines are to be ready before which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.config.problems import Report, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vagrantish.config.names import MachineName
    from vagrantish.config.problems import Problems
    from vagrantish.config.resolve import Branch


def needs_of(
    machines: Sequence[tuple[MachineName, Branch]], problems: Problems
) -> dict[str, tuple[str, ...]]:
    """Machine → the machines it needs; the name of a table with ``count`` means all of them."""
    meant: dict[str, list[str]] = {}
    for machine, _ in machines:
        meant.setdefault(machine.group, []).append(machine.name)
        meant.setdefault(machine.name, [machine.name])
    needs: dict[str, tuple[str, ...]] = {}
    for machine, settings in machines:
        found: dict[str, None] = {}
        for name in settings["needs"] or ():
            if name not in meant:
                message = f"`needs`: there is no machine {quoted(name)}"
                hint = problems.near(name, meant)
                Report(problems, machine).add(*settings.place("needs"), message, hint)
            found.update(dict.fromkeys(meant.get(name, ())))
        needs[machine.name] = tuple(found)
    around = _cycle(needs)
    if around:
        settings = next(settings for machine, settings in machines if machine.name == around[0])
        message = f"`needs` goes round: {' → '.join(around)}"
        problems.add(*settings.place("needs"), message)
    return needs


def _cycle(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Names each of which needs the next, the last being the first again; empty when none do."""
    finished: set[str] = set()
    for start in needs:
        trail: list[str] = []
        waiting = [(start, False)]
        while waiting:
            name, left = waiting.pop()
            if left:
                finished.add(trail.pop())
            elif name in trail:
                return [*trail[trail.index(name) :], name]
            elif name not in finished:
                trail.append(name)
                waiting.append((name, True))
                waiting.extend((other, False) for other in reversed(needs[name]))
    return []
