"""What the templates of one project are rendered with; nothing heavy is loaded until one is."""

from __future__ import annotations

from vagrantish.config.layers import is_template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from vagrantish.config.layers import Layer
    from vagrantish.config.names import MachineName
    from vagrantish.config.params import Params
    from vagrantish.render import Renderer


class Templates:
    def __init__(
        self,
        layers: Sequence[Layer],
        file: Path,
        *,
        env: Mapping[str, str],
        params: Sequence[str] = (),
    ) -> None:
        self._layers = layers
        self._file = file
        self._env = env
        self._given_params = params
        self._params: Params | None = None
        self._renderer: Renderer | None = None
        self._shared: dict[str, Any] | None = None

    @property
    def params(self) -> Params:
        """Raises UsageError when a ``--param`` is not NAME=VALUE."""
        if self._params is None:
            from vagrantish.config.params import Params

            self._params = Params(
                self._layers, self._given_params, lambda text: self.render(text, None)
            )
        return self._params

    def check(self, text: str) -> None:
        """Raises RenderError when ``text`` is no template."""
        if is_template(text):
            self._render_with().check(text)

    def render(self, text: str, machine: MachineName | None) -> str:
        """Text as it is when it is no template. Without ``machine`` its name is not known.

        Raises RenderError; BadParam when the fault lies with a parameter.
        """
        if not is_template(text):
            return text
        return self._render_with().render(text, self.context(machine))

    def context(self, machine: MachineName | None) -> dict[str, Any]:
        if self._shared is None:
            from vagrantish.config.host import host_facts

            root = self._file.parent
            project = {"name": root.name or "project", "dir": str(root)}
            self._shared = {"env": self._env, "host": host_facts(), "project": project}
        names = {"params": self.params, **self._shared}
        if machine is not None:
            names["machine"] = {"name": machine.name, "index": machine.index}
        return names

    def _render_with(self) -> Renderer:
        if self._renderer is None:
            from vagrantish.render import Renderer

            self._renderer = Renderer()
        return self._renderer
