"""Files from the web: continued where they broke off, and taken only as far as they are verified."""

from __future__ import annotations

from vagrantish.fetch.blocks import Haste
from vagrantish.fetch.download import Download, fetch, fetch_remote
from vagrantish.fetch.partial import sweep
from vagrantish.fetch.pipeline import Sink
from vagrantish.fetch.transport import Patience, Transport

__all__ = [
    "Download", "Haste", "Patience", "Sink", "Transport", "fetch", "fetch_remote", "sweep",
]  # fmt: skip
