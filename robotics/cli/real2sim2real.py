"""`robotics real2sim2real`: the gap of a policy to a target, made smaller, and measured before and after."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robotics.cli.execution import ExecutionField, ExecutionOptions, executed


@dataclass(frozen=True)
class Options:
    """Log the target, identify it, train the policy anew in worlds around what was found, and measure it again."""

    env: str
    """Gymnasium id of one of this project's environments whose robot stands fast on position servos."""
    target: str
    """twin:FILE (a hidden twin) or factors:NAME=VALUE,…"""
    policy: str
    """A run folder of `robotics train`, or a checkpoint in it; it is trained anew by its own recipe."""
    out: Path
    """Folder for report.html, real2sim2real.json, logs/, identification/, demonstrations/, runs/, measured/."""
    log_seconds: float = 120.0
    """Motion of the target to log."""
    parameters: str | None = None
    """Families to identify, by commas: stiffness, damping, armature, mass, friction, stribeck, load_friction,
    backlash, delay; when not given stiffness, damping, friction, load_friction, backlash and delay, of legs stribeck
    instead of load_friction. Lost measurements are counted besides."""
    fit_seconds: float = 60.0
    """At most this much of the motion is fitted."""
    starts: int = 8
    """Random starts of the fit that are looked at, beside the nominal one; 0 for that one alone."""
    demonstrations: int | None = None
    """Of the expert, in worlds around what was identified; as many as the policy learned from when not given."""
    steps: int | None = None
    """Optimiser steps of the training; those of the policy's recipe when not given."""
    rest: str | None = None
    """mild, medium or wide: also draw all that logs do not tell of, up to this much of the registry's ranges."""
    compare: str = ""
    """Policies to train besides, by commas: nominal (no worlds), medium or wide (worlds at random), identified (the
    one world that was identified), oracle (in the target itself: gives the closed fraction)."""
    episodes: int = 50
    """Seeds; all arms run on the same ones."""
    seed: int = 1_000_000
    """Episode i uses seed + i."""
    how: ExecutionField = field(default_factory=ExecutionOptions)
    workers: int = 1
    """Processes; the numbers do not depend on it."""
    copies: int = 1
    """Episodes side by side in one process: faster."""
    resume: bool = False
    """Go on in --out where an interrupted call stopped."""
    overwrite: bool = False
    """Replace what is in --out."""
    json: bool = False
    """Print the document, and nothing else, on stdout."""


def run(options: Options) -> None:
    execution = options.how.asked()  # what it refuses, it refuses before much is loaded
    from robotics.reports.loop import write_loop_page
    from robotics.sim2real.loop import Request, real2sim2real

    request = Request(
        env=options.env,
        policy=options.policy,
        target=options.target,
        log_seconds=options.log_seconds,
        parameters=_names(options.parameters) or None,
        fit_seconds=options.fit_seconds,
        starts=options.starts,
        demonstrations=options.demonstrations,
        steps=options.steps,
        rest=options.rest,
        compare=_names(options.compare),
        episodes=options.episodes,
        seed=options.seed,
        execution=execution,
        device=options.how.device,
        workers=options.workers,
        copies=options.copies,
    )
    document = real2sim2real(request, options.out, resume=options.resume, overwrite=options.overwrite)
    page = write_loop_page(options.out)
    print(json.dumps(document, indent=2, allow_nan=False) if options.json else describe(document, page))


def describe(document: dict[str, Any], written: Path) -> str:
    """The document as lines for people."""
    from robotics.sim2real.identification.families import family_and_place

    lines = [
        f"{document['env']}, {document['episodes']} paired seeds; target: {document['target']['kind']}",
        *executed(document),
    ]
    lines.append(f"{'policy':<10}{'simulation':>12}{'target':>9}  95 % interval")
    for name, one in document["arms"].items():
        low, high = one["target"]["ci95"]
        rates = f"{one['sim']['rate']:>12.1%}{one['target']['rate']:>9.1%}"
        lines.append(f"{name:<10}{rates}  [{low:.1%}, {high:.1%}]")
    for family, (low, high) in document["randomisation"].items():
        lines.append(f"trained with {family} {low:.4g} … {high:.4g}")
    for family, joints in Counter(family_and_place(name)[0] for name in document["joints"]).items():
        lines.append(f"trained with {family} of {joints} joints, each around its own")
    return "\n".join([*lines, *document["verdict"], f"written to {written}"])


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name for part in (text or "").split(",") if (name := part.strip()))
