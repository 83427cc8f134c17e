"""What every verb is given: the home and the stores in it."""

from __future__ import annotations

from vagrantish.lifecycle.pins import Pins
from vagrantish.machine.store import MachineStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagrantish.box.store import BoxStore
    from vagrantish.model import MachineConfig
    from vagrantish.paths import VxHome
    from vagrantish.provider.base import Provider
    from vagrantish.provider.choice import Choice


class Services:
    """Built once a command; each part is made when first asked for."""

    def __init__(self, home: VxHome, env: Mapping[str, str]) -> None:
        self.home = home
        self.env = env
        self.machines = MachineStore(home)
        self.pins = Pins()
        self._boxes: BoxStore | None = None

    @property
    def boxes(self) -> BoxStore:
        if self._boxes is None:
            from vagrantish.box.store import BoxStore

            self._boxes = BoxStore(self.home)
        return self._boxes

    def provider(self, name: str) -> Provider:
        """The one of that name. Raises ProviderError."""
        from vagrantish.provider.registry import by_name

        return by_name(name, home=self.home)

    def choose_provider(self, machine: MachineConfig) -> Choice:
        """The one that suits the machine's settings and this host. Raises ProviderError."""
        from vagrantish.provider.choice import choose

        return choose(machine.providers, lambda name: getattr(machine, name), home=self.home)
