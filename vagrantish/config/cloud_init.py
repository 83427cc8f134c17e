"""The ``[cloud_init]`` table: what its keys must agree on, and the value it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.config.problems import quoted
from vagrantish.formats import userdata
from vagrantish.model import CloudInitConfig

if TYPE_CHECKING:
    from pathlib import Path

    from vagrantish.config.paths import ProjectFiles
    from vagrantish.config.problems import Report
    from vagrantish.config.resolve import Branch

WANTS = 'user data such as "#cloud-config …" or a script'


def inline(text: str) -> str:
    """Raises ValueError for what cloud-init would pass over."""
    userdata.kind_of(text.encode())
    return text


def check_cloud_init(table: Branch, files: ProjectFiles, report: Report) -> None:
    if table.leaves["user_data"].givens and table.leaves["path"].givens:
        message = "`cloud_init` has one source: `user_data` or `path`"
        report.add(*table.place("path"), message)
    if table["path"] is None:
        return
    complaint = files.complaint(table["path"]) or _complaint(files.path(table["path"]))
    if complaint:
        report.add(*table.place("path"), f"`cloud_init.path` {complaint}")


def cloud_init_of(table: Branch, files: ProjectFiles) -> CloudInitConfig:
    """What ``check_cloud_init`` found nothing wrong with, as a value."""
    return CloudInitConfig(
        user_data=table["user_data"],
        path=None if table["path"] is None else files.path(table["path"]),
        first_boot_only=table["first_boot_only"],
    )


def _complaint(path: Path) -> str:
    try:
        with path.open("rb") as file:
            userdata.kind_of(file.read(userdata.SIZE_MAX + 1))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError as error:
        return f"must be {WANTS}: {quoted(str(path), 300)}: {error}"
    return ""
