"""``catalogs`` in the user's config.toml: where more boxes are defined.

No project can set it: who may add a catalog decides what a box's name boots.
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vagrantish import toml
from vagrantish.config import texts
from vagrantish.config.layers import is_template
from vagrantish.config.problems import shown
from vagrantish.errors import ConfigError, Problem
from vagrantish.model import CatalogSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagrantish.paths import VxHome

KEY = "catalogs"
MOST = 64
WANTS = 'folders ("~/boxes"), addresses ("https://…") or git repositories ("git+https://…")'
_GIT = "git+"
_GIT_SCHEMES = ("https", "ssh", "file")


def catalogs_of(home: VxHome, env: Mapping[str, str]) -> tuple[CatalogSource, ...]:
    """The user's catalogs, as written; none without a config.toml.

    Raises ConfigError with every problem of the key.
    """
    if not os.path.lexists(home.config):
        return ()
    document = toml.read(home.config)
    written = document.table.get(KEY, [])
    if not isinstance(written, list) or len(written) > MOST:
        message = f"`{KEY}` must be a list of up to {MOST} {WANTS}, got {shown(written)}"
        raise ConfigError([Problem(document.where((KEY,)), message)])
    found: dict[str, CatalogSource] = {}
    problems: list[Problem] = []
    for index, item in enumerate(written):
        try:
            source = source_of(item, env)
        except ValueError as error:
            told = f"`{KEY}` holds {shown(item)}: {error}"
            problems.append(Problem(document.where((KEY, index)), told))
        else:
            found.setdefault(source.text, source)
    if problems:
        raise ConfigError(problems)
    return tuple(found.values())


def source_of(text: object, env: Mapping[str, str]) -> CatalogSource:
    """Raises ValueError, its text fit for the user."""
    if not isinstance(text, str):
        raise ValueError(f"a catalog is one of {WANTS}")  # noqa: TRY004  told like the others
    texts.filled_line(text)
    if is_template(text):
        raise ValueError("a catalog cannot be a template")
    if text.startswith(_GIT):
        return _git(text)
    if "://" in text:
        return _web(text)
    return _folder(text, env)


def _folder(text: str, env: Mapping[str, str]) -> CatalogSource:
    path = text
    if (text == "~" or text.startswith("~/")) and env.get("HOME"):
        path = env["HOME"] + text[1:]
    if not os.path.isabs(path):
        raise ValueError('a folder is written from "/" or "~/": no other is the same everywhere')
    return CatalogSource(text=text, kind="folder", location=os.path.normpath(path))


def _web(text: str) -> CatalogSource:
    host = _checked(text, ("https", "http"))
    if not text.startswith("https://") and not _is_here(host):
        raise ValueError("over plain http anybody on the way can change it: use https")
    return CatalogSource(text=text, kind="web", location=text)


def _git(text: str) -> CatalogSource:
    location, _, branch = text.removeprefix(_GIT).partition("#")
    host = _checked(location, _GIT_SCHEMES)
    if not host and not location.startswith("file:///"):
        raise ValueError("it names no host")
    if branch.startswith("-") or not branch.isprintable() or " " in branch:
        raise ValueError(f"{shown(branch)} is no branch")
    return CatalogSource(text=text, kind="git", location=location, branch=branch)


def _checked(url: str, schemes: tuple[str, ...]) -> str:
    """The URL's host."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise ValueError("the address is malformed") from error
    if parts.scheme not in schemes or "://" not in url:
        raise ValueError(f"it must begin with {' or '.join(f'{each}://' for each in schemes)}")
    if any(not "!" <= char <= "~" for char in url):
        raise ValueError("it holds blanks or other characters no address has")
    # A program that is given it must not take a part of it for an option.
    if host.startswith("-") or (parts.username or "").startswith("-"):
        raise ValueError('no host or user begins with "-"')
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise ValueError("it holds a name or password, which would be shown and kept")
    if not host and parts.scheme != "file":
        raise ValueError("it names no host")
    return host


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
