"""A calibrated model as a file: what was identified, whether it may be believed, and the nominal model with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robotics.errors import DataError
from robotics.outputs import read_json
from robotics.sim2real.identification.families import FAMILIES, family_and_place
from robotics.sim2real.identification.subject import Subject, share_of_servo

FILE = "calibration.json"


def calibration_document(subject: Subject, document: dict[str, Any]) -> dict[str, Any]:
    """The calibration of an identification (`sysid.json`)."""
    return {
        "schema": 1,
        "robot": subject.name,
        "promoted": document["promoted"],
        "verdict": document["verdict"],
        "parameters": {
            name: {key: row[key] for key in ("value", "ci95", "nominal", "identifiable", "unit")}
            for name, row in document["parameters"].items()
        },
    }


def read_calibration(path: Path | str) -> dict[str, Any]:
    """The calibration in a file; DataError for one that is none, or holds what this version does not know."""
    path = Path(path)
    document = read_json(path)
    if not isinstance(document, dict) or not {"robot", "parameters", "promoted"} <= document.keys():
        raise DataError(f"{path}: is no calibration; `robotics sysid --out DIR` writes DIR/{FILE}")
    for name, row in document["parameters"].items():
        if family_and_place(name)[0] not in FAMILIES:
            raise DataError(f"{path}: parameter '{name}' is unknown; known families: {', '.join(FAMILIES)}")
        if not isinstance(row, dict) or not np.isfinite(row.get("value", np.nan)):
            raise DataError(f"{path}: parameter '{name}' has no finite value")
    return document


def calibrate(spec: mujoco.MjSpec, values: Mapping[str, float]) -> list[str]:
    """Write what a model has fields for of `values` by parameter, in SI units, into `spec`; returns the names of what
    it has none for, or lacks the place.

    Stiffness, damping, friction, armature, masses and gains of motors go into the model; load friction, backlash,
    offsets and delays are signals, not fields.
    """
    left = []
    for name, value in values.items():
        if not _write(spec, *family_and_place(name), value):
            left.append(name)
    return left


def _write(spec: mujoco.MjSpec, family: str, place: str, value: float) -> bool:
    if family == "mass":
        return _write_mass(spec, place, value)
    joint = next((j for j in spec.joints if j.name == place), None)
    if joint is None:
        return False
    servo = next((a for a in spec.actuators if a.target == place and a.biasprm[1] < 0), None)
    motor = next((a for a in spec.actuators if a.target == place and a.biastype == mujoco.mjtBias.mjBIAS_NONE), None)
    if family == "stiffness" and servo is not None:
        servo.gainprm[0], servo.biasprm[1] = value, -value
    elif family == "damping":
        held = 0.0 if servo is None else -float(servo.biasprm[2])
        share = share_of_servo(float(joint.damping[0]), held, spec.option.integrator)
        joint.damping = np.array([value * (1 - share), 0.0, 0.0])  # of the speed, its square, its cube
        if servo is not None:
            servo.biasprm[2] = -value * share
    elif family == "friction":
        joint.frictionloss = value
    elif family == "armature":
        joint.armature = value
    elif family == "gain" and motor is not None:
        motor.gainprm[0] *= value
    else:
        return False
    return True


def _write_mass(spec: mujoco.MjSpec, place: str, value: float) -> bool:
    body = next((b for b in spec.bodies if b.name == place), None)
    if body is None or not body.explicitinertial:
        return False
    ratio = value / body.mass
    body.mass = value
    body.inertia = np.asarray(body.inertia) * ratio
    body.fullinertia = np.asarray(body.fullinertia) * ratio
    return True
