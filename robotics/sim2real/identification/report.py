"""The page of an identification: what was found and how sure it is, then MuJoCo's own report of the fit."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mujoco import sysid
from mujoco.sysid.report.builder import ReportBuilder
from mujoco.sysid.report.sections.base import ReportSection
from mujoco.sysid.report.sections.covariance import Covariance
from mujoco.sysid.report.sections.parameters import ParametersTable
from mujoco.sysid.report.sections.signals import SignalReport
from mujoco.sysid.report.utils import plotly_script_tag
from plotly.offline import get_plotlyjs

from robotics.outputs import write_atomically
from robotics.reports.gap_format import template
from robotics.sim2real.identification.fit import Fit
from robotics.sim2real.identification.parameters import Parameter
from robotics.sim2real.identification.replay import Replay

#: Signals are shown for this many of the fitted pieces.
SHOWN = 3


def write_report(
    path: Path, document: dict[str, Any], replay: Replay, found: Fit, parameters: Sequence[Parameter]
) -> None:
    """One HTML page, which needs no network."""
    report = ReportBuilder(f"Identification of {Path(document['robot']).name}")
    report.add_section(_Summary(document))
    nominal = _dictionary(parameters, [p.nominal for p in parameters])
    fitted = _dictionary(parameters, found.values.tolist())
    report.add_section(ParametersTable("Parameters, by MuJoCo", fitted, nominal, anchor="parameters"))
    jacobian = np.concatenate(found.jacobian)
    covariance, _ = sysid.calculate_intervals(found.residuals, jacobian)
    report.add_section(Covariance("Covariance in search coordinates", covariance, found.optimum, anchor="covariance"))
    for number, series in enumerate(_series(replay, found, parameters)):
        name = replay.windows[number].name
        report.add_section(SignalReport(name, replay.subject.model, ts_dict=series, anchor=f"signals{number}"))
    write_atomically(path, _alone(report.build()))


class _Summary(ReportSection):
    """What MuJoCo's sections do not say: the verdict, intervals, what is not identifiable, and errors held out."""

    title, template_filename = "What was identified", "signals.html"  # a template that takes HTML as it is

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(collapsible=False)
        self._document = document

    def get_context(self) -> dict[str, Any]:
        return {"plot_div": template("sysid.html.j2").render(d=self._document)}


def _alone(page: str) -> str:
    """The page with plotly's script in it, and without fonts from elsewhere."""
    page = re.sub(r"@import url\([^)]*\);", "", page)
    return page.replace(plotly_script_tag(), f"<script>{get_plotlyjs()}</script>")


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
