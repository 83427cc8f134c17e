"""A project's folder and a VX_HOME, to write settings into and load them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from vagrantish.config.load import load
from vagrantish.config.names import machine_names
from vagrantish.errors import ConfigError
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vagrantish.config.loaded import Loaded
    from vagrantish.model import BoxParts, BoxRef, MachineConfig


@dataclass(frozen=True)
class Settings:
    root: Path
    home: VxHome

    @property
    def file(self) -> Path:
        return self.root / "Xhyvefile"

    def write(self, name: str, text: str = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def lay(self, text: str, local: str, user: str) -> None:
        """Write the files; no text, no file."""
        self.write("Xhyvefile", text)
        self.home.root.mkdir(exist_ok=True)
        for path, content in (
            (self.root / "Xhyvefile.local", local),
            (self.home.config, user),
        ):
            path.unlink(missing_ok=True)
            if content:
                path.write_text(content, encoding="utf-8")

    def load(
        self,
        text: str,
        *,
        local: str = "",
        user: str = "",
        sets: Sequence[str] = (),
        params: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        box: Mapping[str, Any] | None = None,
    ) -> Loaded:
        """``box`` are the settings of every box; None means that no box is known yet."""
        self.lay(text, local, user)

        def defaults(ref: BoxRef | BoxParts) -> tuple[str, Mapping[str, Any]] | None:
            return None if box is None else (f"box {getattr(ref, 'name', 'own')}@1", box)

        return load(
            self.file,
            home=self.home,
            env=env or {},
            sets=sets,
            params=params,
            box_defaults=defaults,
        )

    def machine(self, text: str, **layers: Any) -> MachineConfig:
        """The only machine, or the one called ``web``."""
        machines = self.load(text, **layers).project.machines
        return next((one for one in machines if one.name == "web"), machines[0])

    def problems(self, text: str, **layers: Any) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(text, **layers)
        return [str(problem) for problem in caught.value.problems]

    def names(
        self,
        text: str,
        *,
        local: str = "",
        user: str = "",
        sets: Sequence[str] = (),
        params: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Each name, with ``*`` for the primary and ``-`` for one that is not started by itself."""
        self.lay(text, local, user)
        found = machine_names(self.file, home=self.home, env=env or {}, sets=sets, params=params)
        return [
            f"{one.name}{'*' if one.primary else ''}{'' if one.autostart else '-'}" for one in found
        ]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    root = tmp_path / "shop"
    root.mkdir()
    return Settings(root, VxHome(tmp_path / "home"))
