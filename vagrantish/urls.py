"""URLs: what may be shown of them, which are taken, and what to say when one fails."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from vagrantish.errors import FetchError

CHECK_URL = "Check the URL and the network, then run the same command again."


def shown(url: str) -> str:
    """The URL without what may be secret in it: user, password, query. Raises FetchError."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        bare = url.rpartition("@")[2].partition("?")[0]
        raise FetchError(f"cannot fetch {bare}: the URL is malformed ({error})") from error
    return f"{parts.scheme}://{host}{port}{parts.path}"


def checked(url: str) -> str:
    """The URL as it is shown. Raises FetchError unless it is an http or https one."""
    text = shown(url)
    if urlsplit(url).scheme not in ("http", "https"):
        raise FetchError(f"cannot fetch {text}: only http and https are known")
    return text


def host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


def file_name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


def is_private(url: str) -> bool:
    """Whether nobody on the way can change what comes: https, or a server on this host."""
    from ipaddress import ip_address

    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    try:
        return parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
