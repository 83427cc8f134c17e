"""Shell steps: a script travels to the guest, runs, and leaves nothing of itself behind."""

from __future__ import annotations

import re
import secrets
import shlex
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vagrantish.errors import CommandTimeout, ProvisionError, SSHError
from vagrantish.events import Cancel
from vagrantish.formats.guesttext import printable
from vagrantish.provision import content
from vagrantish.provision.output import Lines, Stream
from vagrantish.units import format_duration

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.events import Step as Visible
    from vagrantish.model import ShellStep
    from vagrantish.provision.base import Remote, Tools
    from vagrantish.provision.output import Masker

_BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 5.0)
_TIDY_S = 10.0
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BOM = b"\xef\xbb\xbf"

# Standard input is the script and, after it, the launcher. Counting says whether all of it came:
# a connection that breaks looks like its end. Words: folder, bytes of the script, bytes of all.
_RUN = r"""
say() { echo "$1: $2" >&2; exit 65; }
name=$1 script=$2 all=$3 sudo=$4
folder=${TMPDIR:-/tmp}/$name
mask=$(umask)
umask 077
mkdir "$folder" || say "$name" "nothing can be written in ${TMPDIR:-/tmp}"
tidy() { rm -rf "$folder" 2>/dev/null || sudo -n rm -rf "$folder"; }
cat >"$folder/all"
[ "$(wc -c <"$folder/all")" -eq "$all" ] || { tidy; say "$name" 'not all of the script arrived'; }
head -c "$script" "$folder/all" >"$folder/script" &&
  tail -c "+$((script + 1))" "$folder/all" >"$folder/run" &&
  rm "$folder/all" && chmod 700 "$folder/script" || { tidy; say "$name" 'no room for the script'; }
umask "$mask"
if [ "$sudo" = no ] || [ "$(id -u)" = 0 ]; then
  /bin/sh "$folder/run" "$folder/script" </dev/null
elif command -v sudo >/dev/null; then
  sudo -n -H /bin/sh "$folder/run" "$folder/script" </dev/null
else
  tidy
  say "$name" 'the guest has no sudo'
fi
status=$?
tidy
exit $status
"""

_TIDY = 'd=${TMPDIR:-/tmp}/%s; rm -rf "$d" 2>/dev/null || sudo -n rm -rf "$d"'

_HINTS = (
    (
        "a password is required",
        "The ssh user may not use sudo without a password: allow it in the box, "
        "or set `sudo = false` for the step.",
    ),
    (
        "must have a tty",
        "The guest's sudo wants a terminal: remove `requiretty` from its sudoers.",
    ),
)
_STATUS_HINTS = {
    126: "The script's interpreter cannot be run: check its first line.",
    127: "Something it runs is not in the guest: check the first line of the script, "
    "and install what it needs first.",
    137: "It was killed; a guest that runs out of memory does that: see `vx logs`, and `memory`.",
    -1: "It was killed; a guest that runs out of memory does that: see `vx logs`, and `memory`.",
}


def run_shell(
    step: ShellStep, remote: Remote, tools: Tools, *, masker: Masker, visible: Visible
) -> None:
    """Run the step's script, again after a failure as often as it says.

    Raises ProvisionError, HostError, Cancelled, and what fetching raises.
    """
    op = visible.op
    script = content.local_script(step)
    if script is None:
        script = _fetched(step, tools)
    launcher = launcher_of(step, script)
    for attempt in range(step.retries + 1):
        try:
            _run_once(step, script, launcher, remote, masker, visible)
            return
        except _Failed as failed:
            if attempt == step.retries:
                raise failed.error from failed.__cause__
            op.note(
                f"Step {step.name}: {failed.what}; trying again ({attempt + 1} of {step.retries})"
            )
            op.cancel.sleep(_BACK_OFF_S[min(attempt, len(_BACK_OFF_S) - 1)])


def launcher_of(step: ShellStep, script: bytes) -> bytes:
    """The shell program that runs the script with its environment and arguments.

    Values go into this file, never on a command line, where ``ps`` shows them; it removes itself
    before anything else. Raises ProvisionError.
    """
    lines = ['rm -f "$0"', "script=$1"]
    for name, value in step.env.items():
        if not _ENV_NAME.fullmatch(name):
            raise ProvisionError(
                f"step {step.name}: {name!r} cannot be the name of an environment variable",
                hint="Use letters, digits and underscores, not starting with a digit.",
            )
        lines.append(f"export {name}={shlex.quote(_text(value, step))}")
    words = [shlex.quote(word) for word in interpreter_of(script, step.name)]
    arguments = [shlex.quote(_text(argument, step)) for argument in step.args]
    lines.append(" ".join(["exec", *words, '"$script"', *arguments]))
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def interpreter_of(script: bytes, name: str) -> tuple[str, ...]:
    """The words before the script's own path: what the kernel would make of its first line.

    Named here, and not left to the kernel, it works where /tmp may not hold programs. Raises
    ProvisionError for a script with the line ends of Windows.
    """
    if script.startswith(b"\x7fELF"):
        return ()
    first = script.split(b"\n", 1)[0]
    if first.startswith(_BOM):
        raise ProvisionError(
            f"step {name}: the script starts with a byte order mark, which no interpreter expects",
            hint="Save it as UTF-8 without BOM.",
        )
    if first.endswith(b"\r"):
        raise ProvisionError(
            f"step {name}: the script has the line ends of Windows (CR LF)",
            hint="Save it with Unix line ends, or run `sed -i 's/\\r$//'` on it; "
            "`*.sh text eol=lf` in .gitattributes keeps them.",
        )
    if not first.startswith(b"#!"):
        return ("/bin/sh",)
    words = first[2:].decode("utf-8", "surrogateescape").strip().split(None, 1)
    return tuple(words) or ("/bin/sh",)


@dataclass(frozen=True)
class _Failed(Exception):
    """One attempt went wrong in a way that another may not."""

    what: str
    error: ProvisionError


def _run_once(
    step: ShellStep,
    script: bytes,
    launcher: bytes,
    remote: Remote,
    masker: Masker,
    visible: Visible,
) -> None:
    name = f"vx-{secrets.token_hex(16)}"
    # What a sensitive step writes is neither shown nor kept.
    lines = Lines(len if step.sensitive else visible.output)
    streams = Stream(lines, masker), Stream(lines, masker)
    words = (name, str(len(script)), str(len(script) + len(launcher)), "yes" if step.sudo else "no")
    try:
        result = remote.exec(
            shlex.join(("/bin/sh", "-c", _RUN, "sh", *words)),
            stdin=script + launcher,
            timeout_s=step.timeout_s,
            on_stdout=streams[0].feed,
            on_stderr=streams[1].feed,
            op=visible.op,
        )
    except CommandTimeout as error:
        _tidy(name, remote, visible.op)
        raise _timed_out(step, error, name) from error
    except SSHError as error:
        raise ProvisionError(
            f"step {step.name}: the connection to the guest was lost while it ran: {error.message}",
            hint="If the script reboots the guest, let vx do it: `reboot = true`.",
        ) from error
    except BaseException:
        _tidy(name, remote, visible.op)
        raise
    finally:
        for stream in streams:
            stream.close()
        lines.close()
    if result.exit_status:
        raise _ended_badly(step, result.exit_status, lines, name)


def _ended_badly(step: ShellStep, status: int, lines: Lines, name: str) -> Exception:
    tail = lines.tail
    own = [line.removeprefix(f"{name}: ") for line in tail if line.startswith(f"{name}: ")]
    if status == 65 and own:
        return ProvisionError(f"step {step.name}: {own[-1]}", hint="See `vx ssh`.")
    what = "was killed" if status == -1 else f"ended with exit status {status}"
    shown = "" if step.sensitive else "".join(f"\n  | {line}" for line in tail)
    said = " ".join(tail)
    hint = next((hint for text, hint in _HINTS if text in said), "") or _STATUS_HINTS.get(
        status, f"Correct it and run `vx provision`, which goes on with {step.name}."
    )
    return _Failed(
        what, ProvisionError(f"step {step.name} failed: its script {what}{shown}", hint=hint)
    )


def _timed_out(step: ShellStep, error: CommandTimeout, name: str) -> _Failed:
    after = format_duration(step.timeout_s or 0)
    what = f"its script did not end within {after}"
    # Ours are the shells that hold it; the youngest of the others is what it waited for.
    theirs = [line for line in error.running if name not in line]
    if theirs and not step.sensitive:
        what += f"; it was running: {printable(theirs[-1].encode())[:200]}"
    return _Failed(
        what,
        ProvisionError(
            f"step {step.name} failed: {what}",
            hint=f"All it had started was ended. Give it longer with `timeout` of the step "
            f"{step.name}, or see what it waits for.",
        ),
    )


def _tidy(name: str, remote: Remote, op: Op) -> None:
    """Remove what an interrupted script left; the error that is under way stays the one shown."""
    with suppress(SSHError):
        remote.exec(_TIDY % name, timeout_s=_TIDY_S, group=False, op=replace(op, cancel=Cancel()))


def _fetched(step: ShellStep, tools: Tools) -> bytes:
    if step.url is None or step.digest is None:
        raise ProvisionError(
            f"step {step.name} has no script that can be checked",
            hint="Give it `inline`, `path`, or `url` with `digest`.",
        )
    return tools.fetch(step.url, step.digest)


def _text(value: str, step: ShellStep) -> str:
    if "\0" in value:
        raise ProvisionError(
            f"step {step.name}: a value of `env` or `args` holds a NUL, which none can"
        )
    return value
