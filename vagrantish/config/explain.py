"""Which file and line gave a setting its value."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vagrantish.config.problems import quoted
from vagrantish.config.resolve import BUILT_IN, MASK, Branch, Given, Leaf, mask, plain_of
from vagrantish.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vagrantish.config.params import Params


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """``origin`` is ``Xhyvefile:12``, ``--set``, ``box micro@12``, ``built-in``.

    ``overridden`` has what weaker layers give, the strongest of them first, as it is written there.
    """

    key: str
    value: Any
    origin: str
    overridden: tuple[tuple[Any, str], ...]
    help: str


def explain_setting(settings: Branch, key: str) -> Explanation:
    """``memory``, ``boot.timeout``, ``forward`` or ``forward.1.guest``, counted from 1.

    Raises UsageError when there is no such setting.
    """
    branch, done, rest = settings, "", key.split(".")
    while True:
        part, *rest = rest
        if part in branch.leaves and not rest:
            return explained(key, branch.leaves[part])
        if part in branch.lists and not rest:
            return _explained_list(key, branch.lists[part])
        if part in branch.lists:
            number, *rest = rest
            branch = _entry(branch.lists[part], number, f"{done}{part}")
            done = f"{done}{part}.{number}."
            if not rest:
                return _explained_entry(key, branch)
        elif part in branch.branches and rest:
            branch = branch.branches[part]
            done = f"{done}{part}."
        else:
            raise _unknown(branch, part, done)


def explain_param(params: Params, name: str, value: Any, *, secret: bool) -> Explanation:
    """Raises UsageError when there is no such parameter."""
    if name not in params:
        near = _near(name, params)
        raise UsageError(
            f"there is no parameter {quoted(name)}",
            hint=f"Did you mean params.{near}?" if near else "",
        )
    *weaker, given = (Given(one.value, one.layer, one.path) for one in params.sources(name))
    return Explanation(
        key=f"params.{name}",
        value=MASK if secret else value,
        origin=given.origin,
        overridden=tuple((MASK if secret else one.value, one.origin) for one in reversed(weaker)),
        help=params.declared[name].help,
    )


def explained(key: str, leaf: Leaf) -> Explanation:
    *weaker, given = (Given(leaf.key.default, BUILT_IN, ()), *leaf.givens)
    if leaf.givens and leaf.key.default is None:
        weaker = weaker[1:]
    overridden = (
        (mask(one.value) if leaf.secret else one.value, one.origin) for one in reversed(weaker)
    )
    return Explanation(
        key=key,
        value=mask(leaf.plain) if leaf.secret else leaf.plain,
        origin=given.origin,
        overridden=tuple(overridden),
        help=leaf.key.help,
    )


def _explained_list(key: str, entries: tuple[Branch, ...]) -> Explanation:
    origins = [entry.given.origin for entry in entries if entry.given]
    return Explanation(
        key=key,
        value=[plain_of(entry) for entry in entries],
        origin=", ".join(origins) or BUILT_IN.label,
        overridden=(),
        help="",
    )


def _explained_entry(key: str, entry: Branch) -> Explanation:
    assert entry.given is not None  # every entry of a list stands somewhere
    origin = entry.given.origin
    return Explanation(key=key, value=plain_of(entry), origin=origin, overridden=(), help="")


def _entry(entries: tuple[Branch, ...], number: str, key: str) -> Branch:
    if number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= len(entries):
        return entries[int(number[:9]) - 1]
    raise UsageError(
        f"there is no entry {quoted(number)} in `{key}`", hint=f"It has {len(entries)}, from 1."
    )


def _unknown(branch: Branch, word: str, done: str) -> UsageError:
    """``done``: what of the key was found."""
    if word in branch.branches:
        inside = branch.branches[word]
        names = ", ".join(f"{done}{word}.{name}" for name in (*inside.leaves, *inside.branches))
        return UsageError(f"`{done}{word}` is a table", hint=f"It has {names}.")
    near = _near(word, [*branch.leaves, *branch.branches, *branch.lists])
    hint = f"Did you mean {done}{near}?" if near else ""
    return UsageError(f"there is no setting {quoted(f'{done}{word}')}", hint=hint)


def _near(word: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(word[:64], list(known), n=1)), "")
