"""The fields of a model as effects get them: live where a change is due, throwaway copies everywhere else."""

from collections.abc import Collection, Iterator, Mapping

import mujoco
import numpy as np

from robotics.envs.state import Simulation

Array = np.ndarray


class Fields(Mapping[str, Array]):
    """Fields of a model that has just been compiled; those `drawn` by the task are changed later, by instance."""

    def __init__(self, model: mujoco.MjModel, drawn: Collection[str] = ()) -> None:
        self._model, self._drawn = model, frozenset(drawn)
        self._copies: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._drawn:
            return self._live(name)
        if name not in self._copies:
            self._copies[name] = self._live(name).copy()
        return self._copies[name]

    def _live(self, name: str) -> Array:
        value = self._model
        for part in name.split("."):
            value = getattr(value, part)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._copies)

    def __len__(self) -> int:
        return len(self._copies)


class InstanceFields(Fields):
    """Fields of one simulation that has just been placed: live are those that the task draws, anew at each reset."""

    def __init__(self, model: mujoco.MjModel, simulation: Simulation, drawn: Collection[str]) -> None:
        super().__init__(model)
        self._simulation, self._written = simulation, frozenset(drawn)

    def __getitem__(self, name: str) -> Array:
        if name in self._written:
            return self._simulation.parameter(name)
        if name not in self._copies:
            self._copies[name] = self._live(name).copy()
        return self._copies[name]
