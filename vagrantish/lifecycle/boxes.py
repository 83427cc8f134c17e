"""From what the Xhyvefile says of a box to one in the store."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from vagrantish.model import BoxParts

if TYPE_CHECKING:
    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.model import Box, BoxRef

_ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}  # how macOS and the BSDs name them


def host_arch() -> str:
    machine = platform.machine().lower()
    return _ARCHES.get(machine, machine)


def resolve_box(services: Services, wanted: BoxRef | BoxParts, *, op: Op) -> Box:
    """The box, built or copied into the store first where needed.

    Raises BoxNotFound, BoxError; HostError when ``micro`` cannot be built here.
    """
    if isinstance(wanted, BoxParts):
        return services.boxes.adopt(wanted, op=op)
    unbuilt = services.boxes.get(wanted, host_arch()) is None
    if wanted.name == "micro" and wanted.version is None and unbuilt:
        from vagrantish.box import micro

        return micro.build(services.boxes, services.home, force=False, op=op)
    return services.boxes.find(wanted, host_arch())
