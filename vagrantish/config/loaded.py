"""A project that was found right, and where each of its settings comes from."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vagrantish.config.explain import Explanation, explain_param, explain_setting
from vagrantish.config.resolve import MASK, Branch, plain_of
from vagrantish.errors import MachineNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagrantish.config.params import Params
    from vagrantish.model import Project


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """``values`` and ``explain`` show ``***`` for what a sensitive step is given."""

    project: Project
    settings: Mapping[str, Branch]  # by machine
    params: Params
    param_values: Mapping[str, Any]
    secret_params: frozenset[str]

    def values(self, machine: str) -> dict[str, Any]:
        """Every setting as it would be written, JSON-able; None where nothing is set.

        Raises MachineNotFound.
        """
        values = plain_of(self._of(machine))
        values["params"] = {
            name: MASK if name in self.secret_params else value
            for name, value in self.param_values.items()
        }
        return copy.deepcopy(values)

    def explain(self, key: str, machine: str) -> Explanation:
        """``key`` as in ``boot.timeout``, ``forward.1.guest``, ``params.port``.

        Raises UsageError when there is no such setting, MachineNotFound.
        """
        settings = self._of(machine)
        first, _, name = key.partition(".")
        if first == "params" and name:
            value, secret = self.param_values.get(name), name in self.secret_params
            return explain_param(self.params, name, value, secret=secret)
        return explain_setting(settings, key)

    def _of(self, machine: str) -> Branch:
        if machine not in self.settings:
            known = ", ".join(self.settings)
            raise MachineNotFound(f"there is no machine {machine}", hint=f"There are: {known}")
        return self.settings[machine]
