"""Interactive charts as pieces of HTML; plotly's script is put into the page once."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.io
import plotly.offline

from robotics.reports.content import Bench, RunContent

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
    """Loss over optimiser steps, and success in rollouts where there were any; '' without metrics."""
    losses = [line for line in run.metrics if "loss" in line]
    rollouts = [line for line in run.metrics if "eval_success_rate" in line]
    if not losses:
        return ""
    figure = go.Figure()
    figure.add_scatter(
        x=[line["step"] for line in losses],
        y=[line["loss"] for line in losses],
        name="training loss",
        line={"color": COLOURS[0]},
        hovertemplate="step %{x}: %{y:.4g}<extra></extra>",
    )
    if rollouts:
        figure.add_scatter(
            x=[line["step"] for line in rollouts],
            y=[100 * line["eval_success_rate"] for line in rollouts],
            name="success in rollouts [%]",
            yaxis="y2",
            mode="lines+markers",
            line={"color": COLOURS[1]},
        )
        figure.update_layout(yaxis2={"overlaying": "y", "side": "right", "range": [0, 102], "title": "success [%]"})
    figure.update_xaxes(title="step")
    figure.update_yaxes(title="loss", type="log", selector={"overlaying": None})
    return to_html(figure, height=320)


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
