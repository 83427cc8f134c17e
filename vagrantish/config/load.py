"""A project's settings, whole: every layer read, rendered and checked for every machine."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vagrantish.config.boxes import box_of
from vagrantish.config.build import machine_config
from vagrantish.config.check import check_layer
from vagrantish.config.cloud_init import check_cloud_init
from vagrantish.config.layers import BOX, LOCAL, PROJECT, SET, Layer, project_of, read_layers
from vagrantish.config.loaded import Loaded
from vagrantish.config.names import expand
from vagrantish.config.needs import needs_of
from vagrantish.config.paths import ProjectFiles
from vagrantish.config.ports import check_ports
from vagrantish.config.problems import Problems, Report
from vagrantish.config.requires import check_requires
from vagrantish.config.resolve import Branch, Resolver, Source
from vagrantish.config.settings import MACHINE, MACHINE_ONLY, PROJECT_ONLY
from vagrantish.config.steps import ordered_steps
from vagrantish.config.templates import Templates
from vagrantish.config.texts import hostname_of
from vagrantish.model import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vagrantish.config.names import MachineName
    from vagrantish.model import BoxParts, BoxRef, MachineConfig
    from vagrantish.paths import VxHome

    BoxDefaults = Callable[[BoxRef | BoxParts], tuple[str, Mapping[str, Any]] | None]

_BOX = tuple(key for key in MACHINE if key.name == "box")
_REST = (*(key for key in MACHINE if key.name != "box"), *MACHINE_ONLY, *PROJECT_ONLY)


def load(
    file: Path,
    *,
    home: VxHome,
    env: Mapping[str, str],
    sets: Sequence[str] = (),
    params: Sequence[str] = (),
    box_defaults: BoxDefaults,
) -> Loaded:
    """Raises ConfigError with everything that is wrong, NoXhyvefile, UsageError.

    ``box_defaults`` answers a box's own settings and what to call them, None while it is not known.
    """
    file = Path(os.path.abspath(file))
    layers = read_layers(file, home=home, sets=sets)
    check_requires(layers)
    templates = Templates(layers, file, env=env, params=params)
    return _Loading(file, layers, templates, ProjectFiles(file.parent, env), box_defaults).run(env)


@dataclass
class _Machine:
    """What is known of one machine while loading."""

    name: MachineName
    settings: Branch
    box: BoxRef | BoxParts | None
    steps: tuple[tuple[str, Branch], ...]


class _Loading:
    def __init__(
        self,
        file: Path,
        layers: Sequence[Layer],
        templates: Templates,
        files: ProjectFiles,
        box_defaults: BoxDefaults,
    ) -> None:
        self._file = file
        self._layers = layers
        self._templates = templates
        self._files = files
        self._box_defaults = box_defaults
        self._problems = Problems()
        self._box_layers: dict[str, Layer | None] = {}
        self._secret_params: set[str] = set()

    def run(self, env: Mapping[str, str]) -> Loaded:
        for layer in self._layers:
            check_layer(layer, self._problems)
        params = self._templates.params
        params.check(self._problems)
        values = params.check_values(self._problems)
        names = expand(self._layers, self._templates, self._problems)
        machines = [self._machine(name) for name in names]
        needs = needs_of([(one.name, one.settings) for one in machines], self._problems)
        check_ports([(one.name.name, one.settings) for one in machines], self._problems)
        self._problems.raise_any(len(machines))
        shared = {"params": values, "env": dict(env)}
        configs = [self._config(one, needs[one.name.name], shared) for one in machines]
        root = self._file.parent
        return Loaded(
            project=Project(
                root=root,
                file=self._file,
                name=root.name or "project",
                machines=tuple(configs),
            ),
            settings={one.name.name: one.settings for one in machines},
            params=params,
            param_values=values,
            secret_params=frozenset(self._secret_params),
        )

    def _machine(self, name: MachineName) -> _Machine:
        report = Report(self._problems, name)
        resolver = Resolver(self._templates, report)
        sources = list(_sources(self._layers, name.group))
        first = resolver.branch(_BOX, sources)
        box = box_of(first, self._files, project_of(self._layers), report)
        if box is not None:
            layer = self._box_layer(box)
            sources[:0] = [Source(layer, (), layer.table)] if layer else []
        rest = resolver.branch(_REST, sources)
        settings = Branch(
            {**first.leaves, **rest.leaves}, {**first.branches, **rest.branches}, rest.lists
        )
        _fill_in(settings, name)
        self._secret_params |= resolver.secret_params
        steps = ordered_steps(settings.lists["provision"], self._files, report)
        check_cloud_init(settings.branches["cloud_init"], self._files, report)
        return _Machine(name, settings, box, steps)

    def _box_layer(self, box: BoxRef | BoxParts) -> Layer | None:
        key = repr(box)
        if key not in self._box_layers:
            answer = self._box_defaults(box)
            layer = Layer(BOX, answer[0], dict(answer[1])) if answer else None
            if layer:
                check_layer(layer, self._problems)
            self._box_layers[key] = layer
        return self._box_layers[key]

    def _config(
        self, machine: _Machine, needs: tuple[str, ...], shared: Mapping[str, Any]
    ) -> MachineConfig:
        assert machine.box is not None  # or there would have been a problem
        return machine_config(
            machine.name,
            machine.settings,
            box=machine.box,
            steps=machine.steps,
            needs=needs,
            files=self._files,
            context={**self._templates.context(machine.name), **shared},
        )


def _sources(layers: Sequence[Layer], group: str) -> list[Source]:
    """Weakest first: each layer's top, then what it has for the machines of ``group``."""
    found: list[Source] = []
    for layer in layers:
        top = Source(layer, (), layer.table)
        found.append(top)
        machines = top.below("machines") if layer.kind in (PROJECT, LOCAL, SET) else None
        own = machines.below(group) if machines else None
        if own:
            found.append(own)
    return found


def _fill_in(settings: Branch, name: MachineName) -> None:
    """What depends on the machine's name, and what names.py has read."""
    leaves = settings.leaves
    if not leaves["hostname"].givens:
        hostname = hostname_of(name.name)
        leaves["hostname"] = replace(leaves["hostname"], value=hostname, plain=hostname)
    read = {"primary": name.primary, "autostart": name.autostart, "count": name.count}
    for key, value in read.items():
        leaves[key] = replace(leaves[key], value=value, plain=value)
