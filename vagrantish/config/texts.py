"""Texts that end up in command lines, in ssh's files or in a guest: what each may hold.

Every function takes the text and answers it as vx works with it. They raise ValueError, its text
fit for the user, or empty where the description of what is wanted says it all.
"""

from __future__ import annotations

import base64
import binascii
import re

from vagrantish.model import BoxRef, Digest

CMDLINE_MAX = 2046  # what every x86 boot loader can hand over
_LINE_MAX = 4096
_HOSTNAME_MAX = 64  # what Linux keeps
_DIGEST_LENGTHS = {"sha256": 64, "sha512": 128}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_STEP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BOX_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_BOX_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_KEY_TYPE = r"ssh-(?:ed25519|rsa|dss)|ecdsa-sha2-nistp(?:256|384|521)"
_HOST_KEY_TYPE = r"ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)"
_SECURITY_KEY_TYPE = r"sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com"
_PUBLIC_KEY = re.compile(rf"({_KEY_TYPE}|{_SECURITY_KEY_TYPE}) ([A-Za-z0-9+/]+={{0,2}})( [ -~]*)?")
_OCTAL = re.compile(r"[0-7]{3,4}")
_URL = re.compile(r"https?://[^\s/]+(/\S*)?")


def one_line(text: str) -> str:
    if len(text) > _LINE_MAX:
        raise ValueError(f"it has {len(text)} characters, {_LINE_MAX} are allowed")
    if _CONTROL.search(text):
        raise ValueError("it holds an end of line or a control character")
    return text


def filled_line(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return one_line(text)


def cmdline(text: str) -> str:
    if len(text) > CMDLINE_MAX:
        raise ValueError(f"it has {len(text)} characters, {CMDLINE_MAX} are allowed")
    return one_line(text)


def lines(text: str) -> str:
    """Lines shown on a terminal, which must not obey them."""
    if _CONTROL.search(text.replace("\n", "").replace("\t", "")):
        raise ValueError("it holds a control character")
    return text


def script(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    return text


def argument(text: str) -> str:
    """An argument of a program in the guest; ends of lines are fine there."""
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    return text


def hostname(text: str) -> str:
    if len(text) > _HOSTNAME_MAX or not all(_LABEL.fullmatch(part) for part in text.split(".")):
        raise ValueError
    return text


def hostname_of(machine: str) -> str:
    """A machine's name, made a valid name of a host: ``a_b.`` → ``a-b``."""
    labels = [re.sub("[^A-Za-z0-9-]", "-", part).strip("-") for part in machine.split(".")]
    return ".".join(label for label in labels if label)


def user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise ValueError
    return text


def owner(text: str) -> str:
    """``user`` or ``user:group``."""
    parts = text.split(":")
    if len(parts) > 2 or not all(
        _USER.fullmatch(part) or (part.isascii() and part.isdigit()) for part in parts
    ):
        raise ValueError
    return text


def mode(text: str) -> int:
    if not _OCTAL.fullmatch(text):
        raise ValueError
    return int(text, 8)


def step_name(text: str) -> str:
    if not _STEP.fullmatch(text):
        raise ValueError
    return text


def digest(text: str) -> Digest:
    algorithm, _, value = text.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm)
    if length is None or not re.fullmatch(rf"[0-9A-Fa-f]{{{length}}}", value):
        raise ValueError
    return Digest(algorithm=algorithm, hex=value.lower())


def url(text: str) -> str:
    if not text.isprintable() or not _URL.fullmatch(text):
        raise ValueError
    return text


def is_url(text: str) -> bool:
    return "://" in text


def ipv4(text: str) -> str:
    parts = text.split(".")
    if len(parts) != 4 or not all(
        re.fullmatch("0|[1-9][0-9]{0,2}", part) and int(part) < 256 for part in parts
    ):
        raise ValueError
    return text


def public_key(text: str) -> str:
    """One line as in authorized_keys. What is wrong is told without the text: it may be a secret."""
    line = text.strip()
    if "PRIVATE KEY" in line:
        raise ValueError("this is a private key: never give it away, use the .pub file beside it")
    match = _PUBLIC_KEY.fullmatch(line)
    if not match:
        raise ValueError
    kind = match[1].encode()
    try:
        blob = base64.b64decode(match[2], validate=True)
    except binascii.Error:
        raise ValueError("its base64 part is damaged") from None
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind):
        raise ValueError("its base64 part is not of the type it names")
    return line


def host_key(text: str) -> str:
    """As in a host's ssh_host_*_key.pub; a line of ssh-keyscan's is one with a name before it."""
    words = text.split()
    if len(words) > 2 and not re.fullmatch(_HOST_KEY_TYPE, words[0]):
        words = words[1:]
    line = public_key(" ".join(words[:2]))
    if not re.fullmatch(_HOST_KEY_TYPE, line.split()[0]):
        raise ValueError
    return line


def box_ref(text: str) -> BoxRef:
    name, at, version = text.partition("@")
    if "/" in text or text.startswith((".", "~")):
        raise ValueError(
            "a box of your own is added first, with `vx box add FOLDER`, or is a table"
        )
    if not _BOX_NAME.fullmatch(name) or (at and not _BOX_VERSION.fullmatch(version)):
        raise ValueError
    return BoxRef(name=name, version=version if at else None)
