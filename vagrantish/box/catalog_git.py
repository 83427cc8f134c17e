"""Definitions out of a git repository, through the ``git`` program; nothing is checked out.

So no hook, filter, submodule or link of the repository has any effect: only its blobs are read.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

from vagrantish.box.catalog_shelf import DEFINITIONS_MAX, chosen
from vagrantish.box.fields import FILE_NAME, SIZE_MAX
from vagrantish.errors import BoxError, FetchError, HostError
from vagrantish.files import host_errors, staging

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import IO

    from vagrantish.events import Op
    from vagrantish.model import CatalogSource
    from vagrantish.paths import VxHome

TIMEOUT_S = 300
_WAKE_S = 0.2  # how late a Ctrl-C may be noticed
_OUTPUT_MAX = 32 << 20
_TOLD_MAX = 500
# Where git was run from must not decide which repository it works on.
_NOT_OURS = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
    "GIT_NAMESPACE", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CEILING_DIRECTORIES",
)  # fmt: skip


def definitions(home: VxHome, source: CatalogSource, *, op: Op) -> dict[str, bytes]:
    """The box.toml of each box, by name. Raises BoxError, FetchError, HostError, Cancelled."""
    with staging(home.tmp) as folder:
        repository = folder / "catalog.git"
        _git(clone_argv(source, repository), source, op)
        listing = _git(_in(repository, "ls-tree", "-r", "-z", "-l", "HEAD"), source, op)
        blobs = blobs_of(listing)
        found = {name: blobs[path] for name, path in chosen(blobs).items()}
        if len(found) > DEFINITIONS_MAX:
            raise BoxError(f"the catalog {source.text} has too many boxes: {len(found)}")
        return {
            name: _git(_in(repository, "cat-file", "blob", blob), source, op)
            for name, blob in found.items()
        }


def clone_argv(source: CatalogSource, repository: Path) -> list[str]:
    branch = (f"--branch={source.branch}",) if source.branch else ()
    return [
        "git", "-c", "core.hooksPath=/dev/null", "clone", "--quiet", "--bare", "--depth=1",
        "--single-branch", "--no-tags", "--template=", "--no-recurse-submodules", *branch,
        "--", source.location, str(repository),
    ]  # fmt: skip


def blobs_of(listing: bytes) -> dict[str, str]:
    """Path → blob of each definition in what ``git ls-tree -r -z -l`` says.

    Links are left out, as is what is too big. See git-ls-tree(1), "Output Format".
    """
    found: dict[str, str] = {}
    for entry in listing.split(b"\0"):
        about, tab, name = entry.partition(b"\t")
        fields = about.split()
        if not tab or len(fields) != 4:
            continue
        mode, kind, blob, size = (field.decode("ascii", "replace") for field in fields)
        path = name.decode("utf-8", "replace")
        if path.rpartition("/")[2] != FILE_NAME or kind != "blob" or not mode.startswith("100"):
            continue
        if size.isdecimal() and int(size) <= SIZE_MAX:
            found[path] = blob
    return found


def _in(repository: Path, *words: str) -> list[str]:
    return ["git", f"--git-dir={repository}", *words]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    return kept | {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }


def _git(argv: Sequence[str], source: CatalogSource, op: Op) -> bytes:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                env=_environment(),
                start_new_session=True,  # no terminal for ssh to ask at; one group to end
            )
        except FileNotFoundError as error:
            raise HostError(
                f"the catalog {source.text} needs the program git, which is not on PATH",
                hint="Install git.",
            ) from error
        except OSError as error:
            raise HostError(f"cannot run git: {error.strerror}") from error
        try:
            _wait(child, source, op)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if child.returncode != 0:
            raise FetchError(
                f"cannot fetch the catalog {source.text}: {_last_words(errors)}",
                hint="Check its address, and that git can read it: "
                f"git ls-remote {source.location}",
            )
        with host_errors("read what git said"):
            out.seek(0)
            data = out.read(_OUTPUT_MAX + 1)
    if len(data) > _OUTPUT_MAX:
        raise BoxError(f"the catalog {source.text} has too many files")
    return data


def _wait(child: subprocess.Popen[bytes], source: CatalogSource, op: Op) -> None:
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        op.cancel.check()
        try:
            child.wait(_WAKE_S)
        except subprocess.TimeoutExpired:
            continue
        return
    raise FetchError(f"cannot fetch the catalog {source.text}: git took more than {TIMEOUT_S} s")


def _last_words(errors: IO[bytes]) -> str:
    """What git says is wrong, without what a terminal might obey."""
    errors.seek(0)
    text = errors.read(1 << 16).decode("utf-8", "replace").strip()
    lines = [line for line in text.splitlines() if line.strip()] or ["git failed"]
    fatal = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
    return "".join(char for char in fatal[:_TOLD_MAX] if char.isprintable())
