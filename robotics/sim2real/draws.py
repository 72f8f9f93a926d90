"""Draws of worlds that a dataset notes, and what they were: who acts anew for its policy does so in the same worlds."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from robotics.errors import DataError
from robotics.sim2real.calibrated import CalibratedWorld
from robotics.sim2real.drawing import Draw, Randomisation
from robotics.sim2real.posterior import Posterior
from robotics.sim2real.targets import InTarget


@dataclass(frozen=True)
class InCalibration:
    """The world of a calibration, for every demonstration: its parameters by name, in SI units."""

    parameters: dict[str, float]

    def world(self, task: Any, seed: int) -> CalibratedWorld:
        """The calibrated one, whatever the seed."""
        return CalibratedWorld("the calibration of the dataset", tuple(self.parameters.items()))


KINDS: tuple[type, ...] = (Randomisation, Posterior, InTarget, InCalibration)


def draw_of(provenance: Mapping[str, Any]) -> Draw | None:
    """What gave a dataset's episodes their worlds, from its meta/robotics.json; None for the simulation as it is.

    DataError for a note that is none of ours.
    """
    noted, calibration = provenance.get("randomisation"), provenance.get("calibration")
    if noted is None and calibration is None:
        return None
    if noted is None:
        noted = {"parameters": calibration.get("parameters")} if isinstance(calibration, dict) else calibration
    for kind in KINDS:
        needed = {one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}
        if isinstance(noted, dict) and needed <= noted.keys() <= {one.name for one in fields(kind)}:
            return kind(**noted)
    raise DataError(f"worlds noted as {noted!r}: not how any are drawn")
