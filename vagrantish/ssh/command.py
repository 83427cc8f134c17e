"""How a command is worded for the guest so that all it starts can be ended. Pure."""

from __future__ import annotations

import shlex

_MARKER_WITHIN = 1 << 16  # bytes of a login shell's own noise to look through

# The command gets a process group of its own. OpenSSH makes one per command, dropbear one per
# connection, so setsid(1) does. It forks, and loses the exit status, when it already leads a
# group: hence "; exit $?", which keeps this shell from replacing itself with it.
_OUTER = (
    "if command -v setsid >/dev/null 2>&1; "
    'then setsid /bin/sh -c "$1"; else /bin/sh -c "$1"; fi; exit $?'
)

# Field 3 after the name in /proc/PID/stat is the process group (proc(5)).
_RUNNING = r"""
for folder in /proc/[0-9]*; do
  read -r line <"$folder/stat" || continue
  set -- ${line##*) }
  [ "$3" = "$group" ] || continue
  words=$(tr '\0\n' '  ' <"$folder/cmdline")
  case $words in
    *"$token"*) ;;
    *) printf '%s\n' "$words" ;;
  esac
done
"""

_END = r"""
kill -s TERM -- "-$1" || kill -s TERM "$1" || exit 0
for _ in 1 2 3 4 5; do
  kill -s 0 -- "-$1" || kill -s 0 "$1" || exit 0
  sleep 0.1 || sleep 1
done
kill -s KILL -- "-$1" || kill -s KILL "$1"
"""


def grouped(command: str, token: str) -> str:
    """``command`` for a login shell of any kind, run by ``/bin/sh`` in a group of its own.

    The first line on standard error is ``token`` and the group's number.
    """
    inner = f"echo {token} $$ >&2\n{command}"
    return f"exec /bin/sh -c {shlex.quote(_OUTER)} sh {shlex.quote(inner)}"


def ending(group: int, token: str) -> str:
    """Prints what runs in the group, then ends all of it, as root where the user may."""
    script = (
        f"exec 2>/dev/null\ngroup={group} token={token}\n{_RUNNING}\n"
        "sudo=; if [ \"$(id -u)\" != 0 ] && sudo -n true; then sudo='sudo -n'; fi\n"
        f"$sudo /bin/sh -c {shlex.quote(_END)} sh {group}"
    )
    return f"exec /bin/sh -c {shlex.quote(script)}"


class GroupMarker:
    """Finds and takes out the line that ``grouped`` puts on standard error."""

    def __init__(self, token: str) -> None:
        self.group: int | None = None
        self._token = token.encode()
        self._held = b""
        self._passing = False

    def feed(self, data: bytes) -> bytes:
        """What of standard error is the command's, so far as can be told."""
        if self._passing:
            return data
        self._held += data
        start = self._held.find(self._token)
        end = self._held.find(b"\n", start) if start >= 0 else -1
        if end < 0:
            return self.rest() if len(self._held) > _MARKER_WITHIN else b""
        number = self._held[start + len(self._token) : end].strip()
        # Groups 0 and 1 would mean our own and everybody's to kill(2).
        if number.isdigit() and int(number) > 1:
            self.group = int(number)
        self._held = self._held[:start] + self._held[end + 1 :]
        return self.rest()

    def rest(self) -> bytes:
        """What is still held back; nothing is from here on."""
        held, self._held, self._passing = self._held, b"", True
        return held
