"""What kind of user data for cloud-init a text is, told by how it begins."""

from __future__ import annotations

import re

SIZE_MAX = 1 << 20
MESSAGE = "message/rfc822"  # a MIME message, which may hold several parts

# cloudinit/handlers/__init__.py, INCLUSION_TYPES_MAP. It looks for the longest first.
_BEGINNINGS = {
    "#cloud-config-archive": "text/cloud-config-archive",
    "#cloud-config-jsonp": "text/cloud-config-jsonp",
    "## template: jinja": "text/jinja2",
    "#cloud-boothook": "text/cloud-boothook",
    "#include-once": "text/x-include-once-url",
    "#part-handler": "text/part-handler",
    "#cloud-config": "text/cloud-config",
    "#include": "text/x-include-url",
    "#!": "text/x-shellscript",
}
_HEADER = re.compile(r"(mime-version|content-type)[ \t]*:", re.IGNORECASE)
_GZIP = b"\x1f\x8b"
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def kind_of(data: bytes) -> str:
    """Its MIME type. Raises ValueError, its text fit for the user, for what no cloud-init takes."""
    if len(data) > SIZE_MAX:
        raise ValueError(f"it is bigger than {SIZE_MAX >> 20} MiB")
    if data.startswith(_GZIP):
        raise ValueError("it is packed with gzip: give it unpacked")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start})") from None
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    if text.startswith(_BOM):
        raise ValueError("it starts with a byte order mark: save it as UTF-8 without BOM")
    if not text.strip():
        raise ValueError("it is empty")
    return _kind_of_text(text)


def _kind_of_text(text: str) -> str:
    if _HEADER.match(text):
        return MESSAGE
    beginning = text.lstrip()[:40].lower()
    for words, kind in _BEGINNINGS.items():
        if beginning.startswith(words):
            if kind == "text/x-shellscript" and text.lstrip().partition("\n")[0].endswith("\r"):
                raise ValueError("the script has Windows line ends: save it with Unix line ends")
            return kind
    raise ValueError(
        "it must begin with #cloud-config, #!, #include, #cloud-boothook, ## template: jinja "
        "or the header of a MIME message"
    )
