"""Where a policy works when it is not in the simulation as it is: what `--target` and `--calibration` name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robotics.errors import UsageError
from robotics.sim2real.calibrated import CalibratedWorld
from robotics.sim2real.targets import open_target


def place(
    env_id: str, target: str | None, calibration: Path | None, env_kwargs: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the environment is made with there, and what documents say about it; two empty ones for the simulation.

    `env_kwargs` is what it is made with otherwise: its action mode says what of a calibration can be applied.
    UsageError for both at once and for what names nothing, DataError for a file that can not be opened.
    """
    if target is not None and calibration is not None:
        raise UsageError(f"--calibration {calibration} contradicts --target {target}: each is a world of its own")
    if target is not None:
        there = open_target(target, env_id)
        return there.env_kwargs(), {"target": there.public}
    if calibration is not None:
        world, about = CalibratedWorld.read(calibration, env_id, env_kwargs)
        return {"world": world}, {"calibration": about}
    return {}, {}
