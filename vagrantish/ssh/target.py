"""Where a guest is, who logs in, and which host key it must show."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


class Target:
    """A way into one guest. A plain class: ``vx ssh`` starts without paying for dataclasses.

    ``alias`` is the name the pinned host key has in ``known_hosts``, whatever the address is.
    """

    __slots__ = (
        "address_host",
        "address_port",
        "alias",
        "connect_timeout_s",
        "forward_agent",
        "key_file",
        "known_hosts",
        "user",
    )

    def __init__(
        self,
        *,
        address_host: str,
        address_port: int,
        user: str,
        key_file: Path,
        known_hosts: Path,
        alias: str,
        forward_agent: bool = False,
        connect_timeout_s: float = 15,
    ) -> None:
        self.address_host = address_host
        self.address_port = address_port
        self.user = user
        self.key_file = key_file
        self.known_hosts = known_hosts
        self.alias = alias
        self.forward_agent = forward_agent
        self.connect_timeout_s = connect_timeout_s

    @property
    def where(self) -> str:
        """For people: ``vx@127.0.0.1:2222``."""
        return f"{self.user}@{self.address_host}:{self.address_port}"
