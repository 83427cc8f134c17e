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
from vagrantish.events import Cancel, Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagrantish.events import Op
    from vagrantish.model import ExecResult, ShellStep
    from vagrantish.provision.base import Remote, Tools

    Sink = Callable[[bytes], object]

_SCRIPT_MAX_BYTES = 8 << 20
_TIDY_TIMEOUT_S = 10
_SHEBANG = re.compile(rb"#![ \t]*(\S+)[ \t]*([^\r\n]*?)[ \t]*(\r?)\n")

_COMMAND = """\
umask 077; d={folder}; mkdir "$d" && tar -xf - -C "$d" || exit 125
root="{sudo}"; [ "$(id -u)" = 0 ] && root=
$root sh "$d/run" </dev/null; s=$?
rm -rf "$d" 2>/dev/null || $root rm -rf "$d"; exit $s
"""
_TIDY = 'd={folder}; [ ! -e "$d" ] || rm -rf "$d" 2>/dev/null || sudo -n rm -rf "$d"'


def run_script(
    step: ShellStep, remote: Remote, tools: Tools, *, on_stdout: Sink, on_stderr: Sink, op: Op
) -> ExecResult:
    """Run the step once and answer how it ended.

    The remote ends a script that takes too long or is interrupted, with all it started.
    Raises CommandTimeout, ProvisionError, FetchError, SSHError, Cancelled.
    """
    folder = f"/tmp/vx-step-{uuid.uuid4().hex}"  # noqa: S108 - in the guest, unguessable, by mkdir
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
    except (SSHError, Cancelled):
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
    Raises ProvisionError for Windows line ends, which the kernel takes as part of the name.
    """
    if not script.startswith(b"#!"):
        return ("/bin/sh",)
    match = _SHEBANG.match(script if b"\n" in script[:4096] else script + b"\n")
    if match is None:
        raise ProvisionError(f"step {name}: the script's first line names no program")
    if match[3]:
        raise ProvisionError(
            f"step {name}: the script has Windows line ends, so the guest would look for "
            f"{match[1].decode(errors='replace')!r} followed by a carriage return",
            hint="Save it with Unix line ends (dos2unix, or `*.sh text eol=lf` in .gitattributes).",
        )
    words = [match[1].decode(errors="surrogateescape")]
    if match[2]:
        words.append(
            match[2].decode(errors="surrogateescape")
        )  # one word: the kernel splits no more
    return tuple(words)


def _package(step: ShellStep, script: bytes, folder: str) -> bytes:
    words = [*interpreter_of(script, step.name), f"{folder}/script", *step.args]
    exports = [f"export {key}={shlex.quote(value)}" for key, value in step.env.items()]
    run = "\n".join([*exports, f"exec {shlex.join(words)}", ""])
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in (("run", run.encode("utf-8", "surrogateescape")), ("script", script)):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o700
            tar.addfile(info, BytesIO(content))
    return buffer.getvalue()


def _tidy(remote: Remote, folder: str, op: Op) -> None:
    """Remove what a script that was ended left; where the connection is gone this cannot be done."""
    calm = replace(op, cancel=Cancel())
    try:
        remote.exec(_TIDY.format(folder=folder), timeout_s=_TIDY_TIMEOUT_S, op=calm)
    except SSHError:
        return
