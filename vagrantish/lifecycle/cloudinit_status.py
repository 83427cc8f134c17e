"""What cloud-init says of its own work, in any of its versions. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from vagrantish.formats.guesttext import printable

_RAISED = re.compile(
    r"\('(?P<module>[\w-]+)', \w+\((?P<quote>[\"'])(?P<text>.*)(?P=quote)\)\)", re.DOTALL
)
_LOGGED = re.compile(r".*\[WARNING\]: ")  # what its log puts before a message
_MODULE = re.compile(r"([\w-]+): ")
_ERRORS_MAX = 10
_ERROR_MAX = 400  # characters
_LOUD = ("WARNING", "ERROR", "CRITICAL")  # of the levels of recoverable errors; not DEPRECATED

# Modules that work in every image without being asked, and what asks them for more. That they
# fail is not the user's doing while the user's data do not speak of it.
_UNASKED = {
    "apt_configure": b"apt",
    "grub_dpkg": b"grub",
    "growpart": b"growpart",
    "keyboard": b"keyboard",
    "keys_to_console": b"emit_keys",
    "locale": b"locale",
    "resizefs": b"resize_rootfs",
    "rh_subscription": b"rh_subscription",
    "set_passwords": b"passw",
    "ssh_authkey_fingerprints": b"fingerprint",
    "update_etc_hosts": b"etc_hosts",
}


@dataclass(frozen=True, kw_only=True)
class Status:
    state: str  # "done", "disabled", "missing"
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()  # user data passed over


def status_of(output: bytes) -> Status:
    """``output`` is what the waiting command wrote; anything in it is the guest's word."""
    head, _, body = output.decode(errors="replace").partition("json=\n")
    lines = [line.partition("=") for line in head.splitlines()]
    states = [value for name, _, value in lines if name == "state"]
    state, _, code = (states[-1] if states else "stopped -").partition(" ")
    errors, warnings = _reports(body)
    if state == "stopped":
        state = "done"
        if code == "2":
            warnings = warnings or ["it ended with errors it could live with"]
        else:
            errors = [*errors, f"it ended before its last stage (its status is {code})"]
    return Status(
        state=state if state in ("disabled", "missing") else "done",
        errors=_tidy(errors),
        warnings=_tidy(warnings),
        unread=_tidy([_LOGGED.sub("", value) for name, _, value in lines if name == "unread"]),
    )


def users_share(status: Status, user_data: bytes) -> tuple[str, ...]:
    """The errors that come from the user's own data."""
    if not user_data:
        return ()
    asked = tuple(error for error in status.errors if _is_asked_for(error, user_data))
    return (*status.unread, *asked)


def _is_asked_for(error: str, user_data: bytes) -> bool:
    match = _MODULE.match(error)
    word = _UNASKED.get(match[1].replace("-", "_")) if match else None
    return word is None or word in user_data


def _reports(body: str) -> tuple[list[str], list[str]]:
    """Errors and warnings of all stages in status.json; none in what is not such a file."""
    try:
        stages = json.loads(body)["v1"].values()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [], []
    errors: list[str] = []
    warnings: list[str] = []
    for stage in stages:
        if isinstance(stage, dict):
            errors += _texts(stage.get("errors"))
            recoverable = stage.get("recoverable_errors")
            if isinstance(recoverable, dict):
                warnings += [text for level in _LOUD for text in _texts(recoverable.get(level))]
    return errors, warnings


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _tidy(texts: list[str]) -> tuple[str, ...]:
    """Fit for a terminal, each once, not too many and none too long."""
    plain = dict.fromkeys(_line(text)[:_ERROR_MAX] for text in texts)
    return tuple(text for text in plain if text)[:_ERRORS_MAX]


def _line(text: str) -> str:
    """Python's ``('locale', Error("it did\\nnot work"))`` → ``locale: it did not work``."""
    match = _RAISED.fullmatch(text)
    if match:
        text = f"{match['module']}: {match['text']}"
    words = text.replace("\\n", " ").replace("\\'", "'").split()
    return printable(" ".join(words).encode())
