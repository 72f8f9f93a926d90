"""`robotics list envs|policies|controllers|robots|factors`: what exists."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What exists, one line each."""

    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class EnvsOptions(Options):
    """Environments: robot, action modes, time limit, cameras, task."""


@dataclass(frozen=True)
class PoliciesOptions(Options):
    """Policies: what --policy takes, and the families that can be trained."""


@dataclass(frozen=True)
class ControllersOptions(Options):
    """Controllers of the cerebellum."""


@dataclass(frozen=True)
class RobotsOptions(Options):
    """Embedded robots, and the tasks that `robotics control` has for them."""


@dataclass(frozen=True)
class FactorsOptions(Options):
    """Factors by which a target may differ from the simulation: unit, nominal value, range of severity 1, source."""


def environments() -> list[Row]:
    import gymnasium as gym

    from robotics import ENVIRONMENTS
    from robotics.environments import creator

    rows = []
    for name in ENVIRONMENTS:
        spec = gym.spec(name)
        try:
            kind = creator(spec)
            rows.append(
                {
                    "id": name,
                    "robot": kind.robot_type,
                    "action_modes": list(kind.ACTION_MODES),
                    "horizon": spec.max_episode_steps,
                    "cameras": list(kind.camera_names),
                    "task": kind.task,
                }
            )
        except Exception as error:  # another package's module can not be imported, or its class is no task
            if name.startswith("robotics/"):
                raise
            print(f"warning: environment '{name}' is left out: {' '.join(str(error).splitlines())}", file=sys.stderr)
    return rows


def policies() -> list[Row]:
    from robotics.evaluation.agents import BUILT_IN
    from robotics.policies.registry import FAMILIES

    rows = [{"name": name, "kind": "built in", "summary": text} for name, text in BUILT_IN.items()]
    for name, (_, policy) in FAMILIES.items():
        summary = (policy.__doc__ or "").strip().split("\n")[0]
        rows.append({"name": name, "kind": f"robotics train {name}", "summary": summary})
    return rows


def controllers() -> list[Row]:
    from robotics.controllers import CONTROLLERS

    return [{"name": name, "summary": text} for name, text in CONTROLLERS.items()]


def robots() -> list[Row]:
    from robotics.control.robots import ROBOTS as CONTROLLED
    from robotics.envs import ROBOTS

    return [{"name": name, "tasks": list(CONTROLLED[name].tasks), "summary": text} for name, text in ROBOTS.items()]


def factors() -> list[Row]:
    from robotics.sim2real.factors import FACTORS
    from robotics.sim2real.presets import PRESETS

    rows = []
    for name, one in FACTORS.items():
        row = {"name": name, "group": one.group, "unit": one.unit, "nominal": one.nominal, "range": list(one.range)}
        row |= {"applied": one.applied, "modelled": one.modelled, "summary": one.summary, "source": one.source}
        presets = {key: list(preset.ranges[name]) for key, preset in PRESETS.items() if name in preset.ranges}
        rows.append(row | {"presets": presets})
    return rows


def run(key: str, rows_of: Callable[[], list[Row]], options: Options, wide: tuple[str, ...] = ()) -> None:
    """`wide` columns are in the JSON document only."""
    rows = rows_of()
    if options.json:
        print(json.dumps({"schema": 1, key: rows}, indent=2))
    else:
        print(_table([{key: value for key, value in row.items() if key not in wide} for row in rows]))


def _table(rows: list[Row]) -> str:
    """Columns wide enough for their longest cell, under their names."""
    cells = [[_text(value) for value in row.values()] for row in rows]
    header = [name.replace("_", " ") for name in rows[0]]
    widths = [max(len(line[column]) for line in [header, *cells]) for column in range(len(header))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in [header, *cells]
    ]
    return "\n".join(line.rstrip() for line in lines)


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, float) for part in value):
        return " … ".join(f"{part:g}" for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(part)}" for key, part in value.items())
    if isinstance(value, float):
        return f"{value:g}"
    return "|".join(map(str, value)) if isinstance(value, list) else str(value)


SUBCOMMANDS: dict[str, tuple[type, Callable[[Any], None]]] = {
    "envs": (EnvsOptions, partial(run, "envs", environments)),
    "policies": (PoliciesOptions, partial(run, "policies", policies)),
    "controllers": (ControllersOptions, partial(run, "controllers", controllers)),
    "robots": (RobotsOptions, partial(run, "robots", robots)),
    "factors": (FactorsOptions, partial(run, "factors", factors, wide=("applied", "modelled", "source", "presets"))),
}
