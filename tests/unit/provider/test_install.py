from __future__ import annotations

import pytest

from vagrantish.provider.install import hint
from vagrantish.provider.registry import PROVIDERS


@pytest.mark.parametrize(
    ("provider", "system", "manager", "command"),
    [
        ("qemu", "linux", "apt-get", "apt-get install qemu-system-x86"),
        ("qemu", "linux", "dnf", "dnf install qemu"),
        ("qemu", "linux", "pacman", "pacman -S"),
        ("qemu", "darwin", "brew", "brew install qemu"),
        ("qemu", "freebsd", "pkg", "pkg install qemu"),
        ("xhyve", "darwin", "brew", "brew install --HEAD xhyve"),
        ("xhyve", "darwin", "port", "port install xhyve"),
        ("vfkit", "darwin", "brew", "brew install vfkit"),
    ],
)
def test_the_hint_names_the_command_of_this_systems_package_manager(
    provider: str, system: str, manager: str, command: str
) -> None:
    told = hint(provider, system, lambda name: f"/bin/{name}" if name == manager else None)

    assert command in told


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("system", ["linux", "darwin", "freebsd", "sunos"])
def test_without_a_package_manager_there_is_another_way(provider: str, system: str) -> None:
    told = hint(provider, system, lambda _: None)

    assert told.endswith(".")
    assert "Install it: `" not in told
