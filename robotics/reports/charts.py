"""Interactive charts as pieces of HTML; plotly's script is put into the page once."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.io
import plotly.offline

from robotics.evaluation.bench_document import Bench
from robotics.reports.content import LOSSES, RETURN, SUCCESS, RunContent

COLOURS = ("#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#14b8a6")


def script() -> str:
    """plotly.js, so that the page needs no network."""
    return plotly.offline.get_plotlyjs()


def success_chart(rows: Sequence[tuple[str, Bench]]) -> str:
    """Success rates with their 95 % intervals, one row each under its label; '' when no document knows success."""
    known = [(label, bench) for label, bench in rows if bench.document["success_rate"] is not None]
    if not known:
        return ""
    labels = [f"{label} ({bench.successes}/{len(bench.document['episodes'])})" for label, bench in known]
    places = list(range(len(known)))  # not the labels themselves: plotly draws equal ones on top of each other
    rates = [100 * bench.document["success_rate"] for _, bench in known]
    low, high = zip(*(bench.document["success_ci95"] for _, bench in known), strict=True)
    figure = go.Figure(
        go.Scatter(
            x=rates,
            y=places,
            text=labels,
            mode="markers",
            marker={"size": 13, "color": COLOURS[0]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [100 * h - r for h, r in zip(high, rates, strict=True)],
                "arrayminus": [r - 100 * lo for lo, r in zip(low, rates, strict=True)],
                "thickness": 2,
                "width": 8,
            },
            hovertemplate="%{text}: %{x:.1f} %<extra></extra>",
        )
    )
    figure.update_xaxes(range=[-2, 102], title="success [%], 95 % Wilson interval")
    figure.update_yaxes(tickvals=places, ticktext=labels, range=[len(known) - 0.5, -0.5])
    return to_html(figure, height=110 + 42 * len(known))


def learning_chart(run: RunContent) -> str:
    """Return and success of rollouts over the steps where there were any, and the losses below; '' without either."""
    return _rollout_chart(run) + _loss_chart(run)


def _rollout_chart(run: RunContent) -> str:
    if not (run.logged(RETURN) or run.logged(SUCCESS)):
        return ""
    figure = go.Figure()
    figure.add_scatter(**_curve(run, RETURN), name="return in rollouts", line={"color": COLOURS[2]})
    if run.logged(SUCCESS):
        success = _curve(run, SUCCESS, 100) | {"name": "success in rollouts [%]", "yaxis": "y2"}
        figure.add_scatter(**success, line={"color": COLOURS[1]})
        axis = {"overlaying": "y", "side": "right", "range": [0, 102], "dtick": 25, "showgrid": False}
        figure.update_layout(yaxis2=axis | {"title": "success [%]"})
    figure.update_traces(mode="lines+markers")
    figure.update_xaxes(title="step")
    figure.update_yaxes(title="return", selector={"overlaying": None})
    return to_html(figure, height=320)


def _loss_chart(run: RunContent) -> str:
    names = [name for name in LOSSES if run.logged(name)]
    if not names:
        return ""
    figure = go.Figure()
    for name, colour in zip(names, COLOURS, strict=False):
        figure.add_scatter(**_curve(run, name), name=LOSSES[name], line={"color": colour})
    positive = all(line[name] > 0 or line[name] != line[name] for name in names for line in run.metrics if name in line)
    figure.update_xaxes(title="step")
    figure.update_yaxes(title="loss", type="log" if positive else "linear")  # of policy gradients it has no bound
    return to_html(figure, height=320)


def _curve(run: RunContent, name: str, scale: float = 1.0) -> dict[str, Any]:
    """What plotly draws of one number of the learning curve."""
    lines = [line for line in run.metrics if name in line]
    return {
        "x": [line["step"] for line in lines],
        "y": [scale * line[name] for line in lines],
        "hovertemplate": "step %{x}: %{y:.4g}<extra></extra>",
    }


def to_html(figure: Any, height: int, top: int = 10) -> str:
    """A figure as a piece of HTML in the page's colours, with `top` pixels above it."""
    grey = "rgba(128,128,128,0.25)"
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": top, "b": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#808894", "family": "system-ui, sans-serif"},
        showlegend=len(figure.data) > 1,
        legend={"orientation": "h", "y": 1.1},
    )
    figure.update_xaxes(gridcolor=grey, zerolinecolor=grey, automargin=True)
    figure.update_yaxes(gridcolor=grey, zerolinecolor=grey, automargin=True)
    config = {"displayModeBar": False, "responsive": True}
    return plotly.io.to_html(figure, config=config, full_html=False, include_plotlyjs=False)
