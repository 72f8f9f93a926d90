"""MuJoCo's own identification report of a fit: parameters in SI units, their covariance, the fit of every signal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mujoco import sysid
from mujoco.sysid.report.builder import ReportBuilder
from mujoco.sysid.report.sections.covariance import Covariance
from mujoco.sysid.report.sections.parameters import ParametersTable
from mujoco.sysid.report.sections.signals import SignalReport

from robotics.outputs import write_atomically
from robotics.sim2real.identification.fit import Fit
from robotics.sim2real.identification.parameters import Parameter
from robotics.sim2real.identification.replay import Replay

#: Signals are shown for this many of the fitted pieces.
SHOWN = 3


def write_report(
    path: Path, document: dict[str, Any], replay: Replay, found: Fit, parameters: Sequence[Parameter]
) -> None:
    """One HTML page."""
    error = document["replay_rmse"]["heldout"]
    report = ReportBuilder(
        f"{document['robot']}: held-out RMSE {error['nominal']:.4g} -> {error['fitted']:.4g}. {document['verdict']}"
    )
    nominal = _dictionary(parameters, [p.nominal for p in parameters])
    fitted = _dictionary(parameters, found.values.tolist())
    report.add_section(ParametersTable("Parameters", fitted, nominal, anchor="parameters"))
    jacobian = np.concatenate(found.jacobian)
    covariance, _ = sysid.calculate_intervals(found.residuals, jacobian)
    report.add_section(Covariance("Covariance in search coordinates", covariance, found.optimum, anchor="covariance"))
    for number, series in enumerate(_series(replay, found, parameters)):
        name = replay.windows[number].name
        report.add_section(SignalReport(name, replay.subject.model, ts_dict=series, anchor=f"signals{number}"))
    write_atomically(path, report.build())


def _dictionary(parameters: Sequence[Parameter], values: Sequence[float]) -> sysid.ParameterDict:
    """In SI units, for display."""
    found = sysid.ParameterDict()
    for parameter, value in zip(parameters, values, strict=True):
        found.add(sysid.Parameter(f"{parameter.name} [{parameter.unit}]", float(value), parameter.low, parameter.high))
    return found


def _series(replay: Replay, found: Fit, parameters: Sequence[Parameter]) -> list[dict[str, sysid.TimeSeries]]:
    """For the first pieces: what was measured, and what both models make of the commands."""
    few = Replay(replay.subject, replay.windows[:SHOWN])
    mapping = {s.label: (sysid.SignalType.CustomObs, np.array([i])) for i, s in enumerate(few.observed)}
    errors = {"nominal": few.errors((), np.zeros((1, 0))), "fitted": few.errors(parameters, found.values[None])}
    shown = []
    for w, log in enumerate(few.windows):
        time, measured = log.time - log.time[0], few.measured[w]
        series = {"measured": measured, **{name: measured + e[w][0] for name, e in errors.items()}}
        shown.append({name: sysid.TimeSeries(time, values, mapping) for name, values in series.items()})
    return shown
