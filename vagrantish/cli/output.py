"""Writing to stdout and stderr, whatever these happen to be."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


class AnswerCut(Exception):
    """Whoever read our stdout closed it: ``vx logs | head``."""


def write_answer(text: str) -> None:
    """To stdout. Raises AnswerCut; HostError when it cannot be written (a full disk)."""
    _guarded(text)


def flush_answers() -> None:
    """Everything answered is out. Raises as ``write_answer`` does."""
    _guarded(None)


def write_remark(text: str) -> None:
    """To stderr; a stderr that is closed or full loses it, which must not stop a machine's start."""
    if sys.stderr is not None:
        write_or_drop(sys.stderr, text)


def write_or_drop(stream: TextIO, text: str) -> None:
    """Write and flush; once that fails the stream leads nowhere."""
    try:
        encodable(stream, text)
        stream.flush()
    except OSError:
        _drop(stream)


def encodable(stream: TextIO, text: str) -> None:
    """Write ``text``, what the stream's encoding lacks as escapes."""
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _guarded(text: str | None) -> None:
    if sys.stdout is None:  # started with it closed
        return
    try:
        if text is not None:
            encodable(sys.stdout, text)
        else:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop(sys.stdout)
        raise AnswerCut from None
    except OSError as error:
        _drop(sys.stdout)
        from vagrantish.files import host_error

        raise host_error(error, "write the answer") from error


def _drop(stream: TextIO) -> None:
    """Lead the stream nowhere: the interpreter complains of what it cannot flush at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
