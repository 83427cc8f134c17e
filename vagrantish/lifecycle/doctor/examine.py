"""Looks at everything, area by area."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from vagrantish.errors import UsageError, VxError
from vagrantish.lifecycle.doctor import host, machines, network, project, providers, store
from vagrantish.lifecycle.doctor.finding import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vagrantish.events import Op
    from vagrantish.lifecycle.services import Services
    from vagrantish.model import Project

AREAS = ("host", *providers.NAMES, "network", "store", "project", "machine")


def check_areas(areas: Sequence[str]) -> None:
    """Raises UsageError for what is no area and no check of one."""
    for area in areas:
        if area.partition(".")[0] not in AREAS:
            close = get_close_matches(area, AREAS, n=1)
            guess = f"Did you mean {close[0]}? " if close else ""
            raise UsageError(
                f"vx doctor has no area {area}", hint=f"{guess}There are: {', '.join(AREAS)}."
            )


def is_wanted(check: str, areas: Sequence[str]) -> bool:
    """Whether the check is asked for; everything is when nothing is named."""
    return not areas or any(area in (check, check.partition(".")[0]) for area in areas)


def examine(
    services: Services, here: Project | None, areas: Sequence[str] = (), *, op: Op
) -> Iterator[Finding]:
    """All findings of ``areas``; a failure to look is a finding too. ``here`` is the project, if any."""
    for area, look in _looks(services, here, op):
        if not areas or any(asked.partition(".")[0] == area for asked in areas):
            op.cancel.check()
            for finding in _guarded(area, look):
                if is_wanted(finding.id, areas):
                    yield finding


def _looks(
    services: Services, here: Project | None, op: Op
) -> Iterator[tuple[str, Callable[[], Iterator[Finding]]]]:
    yield "host", lambda: host.host_findings(host.see_host())
    yield "host", lambda: host.home_findings(host.see_home(services.home))
    for name in providers.NAMES:
        yield name, lambda name=name: providers.findings(services, here, name, op=op)  # type: ignore[misc]
    if providers.needs_leases(here):
        leases = providers.leases_file(here)
        yield "network", lambda: network.findings(network.see_network(leases))
    yield "store", lambda: store.findings(services.home)
    if here is not None:
        yield "project", lambda: project.findings(services, here)
    yield "machine", lambda: machines.findings(services)


def _guarded(area: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except VxError as error:
        yield Finding(id=f"{area}.look", level=Level.ERROR, text=error.message, hint=error.hint)
    except OSError as error:
        yield Finding(id=f"{area}.look", level=Level.ERROR, text=f"cannot look: {error}")
