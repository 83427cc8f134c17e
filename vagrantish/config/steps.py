"""Provisioning steps: what their keys must agree on, their order, and the values they become."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.config.problems import quoted
from vagrantish.model import FileStep, RunWhen, ShellStep, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vagrantish.config.paths import ProjectFiles
    from vagrantish.config.problems import Report
    from vagrantish.config.resolve import Branch

_SCRIPTS = ("inline", "path", "url")


def ordered_steps(
    entries: Sequence[Branch], files: ProjectFiles, report: Report
) -> tuple[tuple[str, Branch], ...]:
    """The steps with their names, in the order they run; what is wrong is reported."""
    named: dict[str, Branch] = {}
    for position, entry in enumerate(entries, start=1):
        name = entry["name"] or f"{entry['type']}-{position}"
        if name in named:
            message = f"there are two steps called {quoted(name)}"
            report.add(*entry.place("name"), message, "give one of them another `name`")
            continue
        named[name] = entry
        if entry["type"] == "shell":
            _check_shell(entry, files, report)
        elif entry["type"] == "file":
            _check_file(entry, files, report)
    return _in_order(named, report)


def step_of(name: str, entry: Branch, files: ProjectFiles) -> Step:
    """What ``ordered_steps`` found nothing wrong with, as a value."""
    run = RunWhen(entry["run"])
    if entry["type"] == "file":
        return FileStep(
            name=name,
            run=run,
            source=files.path(entry["source"]),
            destination=entry["destination"],
            owner=entry["owner"],
            mode=entry["mode"],
            template=entry["template"],
        )
    return ShellStep(
        name=name,
        run=run,
        inline=entry["inline"],
        path=None if entry["path"] is None else files.path(entry["path"]),
        url=entry["url"],
        digest=entry["digest"],
        args=entry["args"],
        env=entry["env"],
        sudo=entry["sudo"],
        timeout_s=entry["timeout"],
        retries=entry["retries"],
        sensitive=entry["sensitive"],
        reboot=entry["reboot"],
    )


def _check_shell(entry: Branch, files: ProjectFiles, report: Report) -> None:
    given = [key for key in _SCRIPTS if entry.leaves[key].givens]
    if not given:
        message = "a shell step needs one of `inline`, `path` and `url`"
        report.add(*entry.place(""), message)
    for extra in given[1:]:
        message = f"a shell step has one script: `{given[0]}` or `{extra}`"
        report.add(*entry.place(extra), message)
    if "url" in given and not entry.leaves["digest"].givens:
        message = "`provision.url` needs a `digest`: a script from elsewhere is not run unchecked"
        report.add(*entry.place("url"), message, 'write digest = "sha256:…"')
    if "url" not in given and entry.leaves["digest"].givens:
        report.add(*entry.place("digest"), "`provision.digest` goes with `url`")
    if entry["path"] is not None:
        complaint = files.complaint(entry["path"])
        if complaint:
            report.add(*entry.place("path"), f"`provision.path` {complaint}")


def _check_file(entry: Branch, files: ProjectFiles, report: Report) -> None:
    if entry["source"] is not None:
        complaint = files.complaint(entry["source"], folder=True)
        if complaint:
            report.add(*entry.place("source"), f"`provision.source` {complaint}")


def _in_order(named: Mapping[str, Branch], report: Report) -> tuple[tuple[str, Branch], ...]:
    """As written, save where `before` and `after` want otherwise."""
    earlier: dict[str, set[str]] = {name: set() for name in named}
    for name, entry in named.items():
        for key in ("before", "after"):
            for other in entry[key] or ():
                if other not in named:
                    hint = report.problems.near(other, named)
                    message = f"`{key}`: there is no step {quoted(other)}"
                    report.add(*entry.place(key), message, hint)
                elif key == "after":
                    earlier[name].add(other)
                else:
                    earlier[other].add(name)
    done: dict[str, Branch] = {}
    while len(done) < len(named):
        ready = next(
            (name for name in named if name not in done and earlier[name] <= done.keys()), None
        )
        if ready is None:
            stuck = [name for name in named if name not in done]
            around = " → ".join(_cycle(stuck[0], earlier, done))
            first = next(
                name
                for name in stuck
                if named[name].leaves["after"].givens or named[name].leaves["before"].givens
            )
            message = f"the steps wait for each other: {around}"
            report.add(*named[first].place("after"), message)
            break
        done[ready] = named[ready]
    return tuple(done.items())


def _cycle(start: str, earlier: Mapping[str, set[str]], done: Mapping[str, Branch]) -> list[str]:
    """Names that each wait for the next, the last being one of them again."""
    path = [start]
    while True:
        following = min(earlier[path[-1]] - done.keys())
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)
