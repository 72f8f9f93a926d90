"""Charts of a gap report, as pieces of HTML."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from robotics.reports.charts import COLOURS, to_html

_SIM, _TARGET, _BAND = COLOURS[0], COLOURS[1], "rgba(59,130,246,0.18)"
_COLUMNS = 3


def arms_chart(policies: Sequence[Mapping[str, Any]]) -> str:
    """Success in simulation and on the target, one row per policy, with Wilson intervals; '' without a target."""
    known = [one for one in policies if one["target"] is not None]
    if not known:
        return ""
    figure = go.Figure()
    for name, arm, colour, shift in (("simulation", "sim", _SIM, -0.12), ("target", "target", _TARGET, 0.12)):
        arms = [one[arm] for one in known]
        figure.add_scatter(
            x=[100 * one["rate"] for one in arms],
            y=[place + shift for place in range(len(known))],
            name=name,
            mode="markers",
            marker={"size": 12, "color": colour},
            error_x=_errors([one["rate"] for one in arms], [one["ci95"] for one in arms]),
            text=[f"{one['successes']}/{one['n']}" for one in arms],
            hovertemplate=f"{name}: %{{x:.1f}} % (%{{text}})<extra></extra>",
        )
    figure.update_xaxes(range=[-2, 102], title="success [%], 95 % Wilson interval")
    labels = [one["label"] for one in known]
    figure.update_yaxes(tickvals=list(range(len(known))), ticktext=labels, range=[len(known) - 0.5, -0.5])
    return to_html(figure, height=120 + 55 * len(known))


def curves_chart(curves: Sequence[Mapping[str, Any]]) -> str:
    """Success over the range of each factor, with bands; '' without curves."""
    if not curves:
        return ""
    rows = math.ceil(len(curves) / _COLUMNS)
    titles = [curve["factor"].replace("_", " ") for curve in curves]
    figure = make_subplots(rows, _COLUMNS, subplot_titles=titles, vertical_spacing=0.32 / rows)
    for place, curve in enumerate(curves):
        row, column = place // _COLUMNS + 1, place % _COLUMNS + 1
        points = sorted(curve["points"], key=lambda point: point["value"])
        values = [point["value"] for point in points]
        band = [100 * point["ci95"][1] for point in points], [100 * point["ci95"][0] for point in points]
        figure.add_scatter(
            x=values + values[::-1],
            y=[*band[0], *band[1][::-1]],
            fill="toself",
            fillcolor=_BAND,
            mode="lines",
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            row=row,
            col=column,
        )
        figure.add_scatter(
            x=values,
            y=[100 * point["rate"] for point in points],
            mode="lines+markers",
            line={"color": _SIM},
            showlegend=False,
            text=[f"{point['successes']}/{point['n']}" for point in points],
            hovertemplate="%{x:.4g}: %{y:.0f} % (%{text})<extra></extra>",
            row=row,
            col=column,
        )
        figure.add_vline(curve["nominal"], line={"dash": "dot", "color": "#98a2b3"}, row=row, col=column)
        figure.update_xaxes(title=curve["unit"], type="log" if curve["unit"] == "×" else "linear", row=row, col=column)
    figure.update_yaxes(range=[-3, 103])
    return to_html(figure, height=80 + 230 * rows, top=30)


def blame_chart(attribution: Mapping[str, Any]) -> str:
    """Shapley values with their intervals, and beside each what its factors cost alone; '' where nothing costs any."""
    players = attribution["players"]
    if not any(player["shapley"] or player["single"] for player in players):
        return ""
    places = list(range(len(players)))
    figure = go.Figure()
    figure.add_bar(
        x=[100 * player["shapley"] for player in players],
        y=places,
        orientation="h",
        name="part of the drop (Shapley)",
        marker={"color": [_TARGET if player["significant"] else "#98a2b3" for player in players]},
        error_x=_errors([player["shapley"] for player in players], [player["ci95"] for player in players]),
        hovertemplate="%{x:.1f} points<extra></extra>",
    )
    figure.add_scatter(
        x=[100 * player["single"] for player in players],
        y=[place + 0.25 for place in places],
        mode="markers",
        name="what it costs alone",
        marker={"symbol": "line-ns-open", "size": 16, "color": _SIM, "line": {"width": 3}},
        error_x=_errors([player["single"] for player in players], [player["single_ci95"] for player in players]),
        hovertemplate="alone: %{x:.1f} points<extra></extra>",
    )
    names = [player["name"].replace("_", " ") for player in players]
    figure.update_yaxes(tickvals=places, ticktext=names, range=[len(players) - 0.5, -0.5])
    figure.update_xaxes(title="points of success lost, 95 % bootstrap interval over seeds")
    return to_html(figure, height=150 + 44 * len(players))


def _errors(values: Sequence[float], intervals: Sequence[Sequence[float]]) -> dict[str, Any]:
    pairs = list(zip(values, intervals, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [100 * (high - value) for value, (_, high) in pairs],
        "arrayminus": [100 * (value - low) for value, (low, _) in pairs],
        "thickness": 2,
        "width": 6,
    }
