"""Files of this computer that settings name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vagrantish.config.problems import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping


class ProjectFiles:
    """Finds them from the project's folder; ``~`` is the user's home."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self._root = root
        self._home = env.get("HOME", "")

    def path(self, text: str) -> Path:
        """Absolute; nothing is looked up."""
        if text.startswith("~/") and self._home:
            text = f"{self._home}{text[1:]}"
        return Path(os.path.normpath(self._root / text))

    def complaint(self, text: str, *, folder: bool = False) -> str:
        """Why the file, or with ``folder`` the file or folder, cannot be used; empty when it can."""
        path = self.path(text)
        wanted = "a file or folder" if folder else "a file"
        try:
            usable = path.is_file() or (folder and path.is_dir())
            exists = usable or os.path.lexists(path)
            readable = usable and os.access(path, os.R_OK)
        except (OSError, ValueError) as error:
            return f"cannot be looked up: {quoted(str(error))}"
        if readable:
            return ""
        if usable:
            return f"is not readable: {quoted(str(path))}"
        return (
            f"is not {wanted}: {quoted(str(path))}"
            if exists
            else f"does not exist: {quoted(str(path))}"
        )
