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
    if sys.stderr is None:
        return
    try:
        encodable(sys.stderr, text)
        sys.stderr.flush()
    except (OSError, ValueError):
        return


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
        _drop_stdout()
        raise AnswerCut from None
    except OSError as error:
        _drop_stdout()
        from vagrantish.files import host_error

        raise host_error(error, "write the answer") from error


def _drop_stdout() -> None:
    """Let the interpreter flush what is left into nothing when it ends, in place of complaining."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
