"""Runs a script in the guest.

It travels with its environment as a small archive on standard input, into a private folder that
is removed afterwards, so no secret is ever on a command line and no time is spent on sftp.
"""

from __future__ import annotations

import re
import shlex
import tarfile
import uuid
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

from vagrantish.errors import ProvisionError, SSHError
from vagrantish.events import Cancel

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.events import Op
    from vagrantish.model import ExecResult, ShellStep
    from vagrantish.provision.base import Remote, Tools

    Sink = Callable[[bytes], object]

FOLDER_PREFIX = "/tmp/vx-step-"  # noqa: S108 - in the guest; made by mkdir, its end unguessable
_SCRIPT_MAX_BYTES = 8 << 20
_TIDY_TIMEOUT_S = 10
_SHEBANG = re.compile(rb"#![ \t]*(\S+)[ \t]*([^\r\n]*?)[ \t]*(\r?)\n")

# The private folder needs its own umask; what the script makes is as public as after a login.
_COMMAND = """\
d={folder} mask=$(umask); umask 077
tidy() {{ rm -rf "$d" 2>/dev/null || sudo -n rm -rf "$d"; }}
mkdir "$d" && tar -xf - -C "$d" && [ -e "$d/whole" ] || {{ tidy; exit 125; }}
umask "$mask"
root="{sudo}"; [ "$(id -u)" = 0 ] && root=
$root sh "$d/run" </dev/null; s=$?
tidy; exit $s
"""
_TIDY = 'd={folder}; [ ! -e "$d" ] || rm -rf "$d" 2>/dev/null || sudo -n rm -rf "$d"'

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CRLF_HINT = "Save it with Unix line ends (dos2unix, or `*.sh text eol=lf` in .gitattributes)."
_BOM = b"\xef\xbb\xbf"


def run_script(
    step: ShellStep, remote: Remote, tools: Tools, *, on_stdout: Sink, on_stderr: Sink, op: Op
) -> ExecResult:
    """Run the step once and answer how it ended.

    The remote ends a script that takes too long or is interrupted, with all it started.
    Raises CommandTimeout, ProvisionError, FetchError, SSHError, Cancelled.
    """
    folder = f"{FOLDER_PREFIX}{uuid.uuid4().hex}"
    package = _package(step, script_of(step, tools), folder)
    command = _COMMAND.format(folder=folder, sudo="sudo -n -H" if step.sudo else "")
    try:
        return remote.exec(
            command,
            stdin=package,
            timeout_s=step.timeout_s,
            on_stdout=on_stdout,
            on_stderr=on_stderr,
            op=op,
        )
    except BaseException:  # Ctrl-C in the main thread and a sink that fails leave the same behind
        _tidy(remote, folder, op)
        raise


def script_of(step: ShellStep, tools: Tools) -> bytes:
    """The script's bytes. Raises ProvisionError, FetchError."""
    if step.inline is not None:
        return step.inline.encode()
    if step.path is not None:
        try:
            with step.path.open("rb") as file:
                script = file.read(_SCRIPT_MAX_BYTES + 1)
        except OSError as error:
            raise ProvisionError(
                f"step {step.name}: cannot read {step.path}: {error.strerror}"
            ) from error
    elif step.url is not None and step.digest is not None:
        script = tools.fetch(step.url, step.digest)
    else:
        raise ProvisionError(f"step {step.name} has nothing to run")
    if len(script) > _SCRIPT_MAX_BYTES:
        raise ProvisionError(
            f"step {step.name}: the script is bigger than {_SCRIPT_MAX_BYTES >> 20} MiB",
            hint="Copy it with a file step and run it from there.",
        )
    return script


def interpreter_of(script: bytes, name: str) -> tuple[str, ...]:
    """The words that run the script, from its first line as the kernel reads it.

    Named outright rather than left to the kernel, so that a /tmp mounted noexec does no harm.
    A program needs none. Raises ProvisionError for Windows line ends, which the kernel takes as
    part of the name and the shell as part of every word.
    """
    if script.startswith(b"\x7fELF"):
        return ()
    if script.startswith(_BOM):
        raise ProvisionError(
            f"step {name}: the script starts with a byte order mark, which hides its first line",
            hint="Save it as UTF-8 without BOM.",
        )
    if not script.startswith(b"#!"):
        if script.partition(b"\n")[0].endswith(b"\r"):
            raise ProvisionError(f"step {name}: the script has Windows line ends", hint=_CRLF_HINT)
        return ("/bin/sh",)
    match = _SHEBANG.match(script if b"\n" in script[:4096] else script + b"\n")
    if match is None:
        raise ProvisionError(f"step {name}: the script's first line names no program")
    if match[3]:
        raise ProvisionError(
            f"step {name}: the script has Windows line ends, so the guest would look for "
            f"{match[1].decode(errors='replace')!r} followed by a carriage return",
            hint=_CRLF_HINT,
        )
    words = [match[1].decode(errors="surrogateescape")]
    if match[2]:
        words.append(
            match[2].decode(errors="surrogateescape")
        )  # one word: the kernel splits no more
    return tuple(words)


def _package(step: ShellStep, script: bytes, folder: str) -> bytes:
    _check_values(step)
    words = [*interpreter_of(script, step.name), f"{folder}/script", *step.args]
    exports = [f"export {key}={shlex.quote(value)}" for key, value in step.env.items()]
    # The file with the values goes before the script starts: an end by force may skip all later.
    run = "\n".join(['rm -f "$0"', *exports, f"exec {shlex.join(words)}", ""])
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        # "whole" is last: where it is missing, the connection broke before all had come.
        files = (
            ("run", run.encode("utf-8", "surrogateescape")),
            ("script", script),
            ("whole", b""),
        )
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o700
            tar.addfile(info, BytesIO(content))
    return buffer.getvalue()


def _check_values(step: ShellStep) -> None:
    for name, value in step.env.items():
        if not _ENV_NAME.fullmatch(name):
            raise ProvisionError(
                f"step {step.name}: {name!r} cannot be the name of an environment variable",
                hint="Use letters, digits and underscores, not starting with a digit.",
            )
        if "\0" in value:
            raise ProvisionError(f"step {step.name}: the variable {name} holds a NUL character")
    if any("\0" in argument for argument in step.args):
        raise ProvisionError(f"step {step.name}: an argument holds a NUL character")


def _tidy(remote: Remote, folder: str, op: Op) -> None:
    """Remove what a script that was ended left; where the connection is gone this cannot be done."""
    calm = replace(op, cancel=Cancel())
    try:
        remote.exec(_TIDY.format(folder=folder), timeout_s=_TIDY_TIMEOUT_S, op=calm)
    except SSHError:
        return
