"""The gap of policies between the simulation and a target, measured on paired seeds and attributed to its causes.

`gap` writes `gap.json` (and `gap.csv`, which `robotics agree` reads). Its schema, 1; intervals are 95 %, drops are
simulation minus target (or nominal minus perturbed), shares are of the total drop (in `within` of the leading group's
own), all success in [0, 1]. An interval is null where all seeds agree, which does not tell how sure they are:

    {"schema": 1, "kind": "gap", "env", "env_kwargs", "seed", "episodes", "initial_states", "workers", "copies",
     "mode": "quick" | "full",  "execution": {setting: value},       of chunks; what was asked, empty where nothing was
     "randomisation": "off",                  worlds are fixed: nothing but the task's own instance varies with the seed
     "target": null | {"kind": "hidden twin" | "factors", "env", "severity", "seed", "commitment", "values"},
     "ranges": null | preset,  "factors": [names with curves], "versions", "seconds", "not_modelled": [text],
     "policies": [{
       "policy", "label", "device": where its network acted,
       "determinism": {"seeds", "worlds", "identical": true},
       "plan": {"seeds", "levels", "groups": text | null, "within": text | null, "curves": bool, "episodes", "seconds",
                "half_width", "notes": [text]},
       "sim": {"n", "successes", "rate", "ci95", "return_mean", "success": [bool by seed]},
       "target": null | the same,
       "paired": null | {"n", "sim_only", "target_only", "drop", "ci95" (Newcombe), "ci95_bootstrap" | null,
                         "mcnemar_p", "mcnemar_mid_p", "correlation", "seeds_needed": int | null},
       "curves": [{"factor", "group", "unit", "nominal", "range", "auc", "auc_ci95" | null, "severity_halved",
                   "worst": {"severity", "value", "rate"},
                   "points": [{"severity", "value", "n", "successes", "rate", "ci95", "drop", "drop_ci95" (Newcombe),
                               "mcnemar_mid_p"}]}],      severity 0 is the matched arm, on the same seeds
       "robustness": null | {"cells", "mean", "worst": {"factor", "value", "rate"}, "cvar", "cvar_ci95" | null,
                              "cvar_share"},          the worst are chosen on other seeds than they are measured on
       "attribution": null | {"groups": A, "within": null | {"group", **A}},
       "shift": null | {"seeds", "observation": {"accuracy", "ci95", "n"}, "action_wasserstein": [by dimension],
                        "counterfactual_action", "unit"},
       "calibrated": null | {as "sim", "paired", "paired_with_target": as "paired" | null, "not_applied": [names]},
       "episodes_run", "verdict": [text]}]}
    A = {"method", "seeds", "total", "total_ci95", "sure", "gained", "interaction", "interaction_ci95",
         "additivity_error",
         "players": [{"name", "shapley", "ci95", "share" | null, "share_ci95" | null, "single", "single_ci95", "p",
                      "significant"}]}         the largest first

On a hidden twin the attribution tells roughly what it holds: make the report when training is over. All but `seconds`
and `plan.seconds` is the same for every number of workers, unless a budget made the plan.
"""

import csv
import io
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robotics.errors import UsageError
from robotics.evaluation.agents import BUILT_IN, AgentSource, open_policy
from robotics.evaluation.paired import (
    Pairs,
    bootstrap_difference,
    mcnemar_exact,
    mcnemar_mid_p,
    newcombe_paired,
)
from robotics.evaluation.power import seeds_to_show
from robotics.evaluation.seeds import evaluation_seeds, refuse_training_seeds
from robotics.evaluation.statistics import wilson
from robotics.outputs import prepare_folder, require_free, require_writable, write_atomically, write_json
from robotics.policies.schedule import Execution
from robotics.sim2real.applicability import applicable, chosen_factors, task_of
from robotics.sim2real.blame import Game, blame
from robotics.sim2real.calibrated import CalibratedWorld
from robotics.sim2real.curves import curve_of, describe_curve, robustness
from robotics.sim2real.determinism import require_determinism
from robotics.sim2real.factors import FACTORS, Factor
from robotics.sim2real.initial_states import distinct_initial_states
from robotics.sim2real.plan import Plan, parse_budget, plan
from robotics.sim2real.presets import preset, with_ranges
from robotics.sim2real.shift import measure_shift
from robotics.sim2real.targets import Target, open_target
from robotics.sim2real.trials import Outcome, Trials
from robotics.sim2real.verdict import on_attribution, on_calibration, on_curves, on_drop
from robotics.sim2real.world import World
from robotics.versions import versions

SCHEMA = 1
GAP, TABLE = "gap.json", "gap.csv"
#: Curves that are drawn where none are asked for, as far as they mean anything: one of each kind of trouble.
DEFAULT_FACTORS = (
    "mass",
    "joint_friction",
    "actuator_gain",
    "command_delay",
    "encoder_noise",
    "policy_latency",
    "contact_friction",
    "object_mass",
)
#: Seeds of the self-test, and at most of the measures of shift.
CHECKED_SEEDS, SHIFT_SEEDS = 2, 40
NOT_MODELLED = (
    "contacts are as rigid and pointlike as MuJoCo's; nothing bends, wears or heats up",
    "pictures have no motion blur, lens distortion, rolling shutter or delay",
    "the controller inside the step of ee and twist actions sees the true state: sensors err for the policy alone",
)


@dataclass(frozen=True)
class Request:
    """What to measure; defaults as of `robotics gap`."""

    env: str
    policies: tuple[str, ...]
    target: str | None = None
    calibration: Path | None = None
    factors: tuple[str, ...] = ()
    ranges: str | None = None
    episodes: int = 50
    seed: int = 1_000_000
    full: bool = False
    budget: str | None = None
    workers: int = 1
    copies: int = 1
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    execution: Execution = field(default_factory=Execution)
    device: str = "cpu"


def gap(request: Request, out: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Measure, write `out`/gap.json and gap.csv, and return the document. UsageError for what can not be asked.

    With `overwrite` a gap report in `out` is replaced, when the new one is measured.
    """
    started = time.monotonic()
    require_free(out, "gap report", (GAP,), overwrite=overwrite)
    if request.workers < 1 or request.copies < 1:
        raise UsageError(f"--workers {request.workers} and --copies {request.copies}: both must be at least 1")
    if not request.policies:
        raise UsageError("--policy: give one or more")
    if twice := [policy for policy, count in Counter(request.policies).items() if count > 1]:
        raise UsageError(f"--policy {twice[0]} comes twice")
    if request.ranges is not None:
        preset(request.ranges)
    budget_s = None if request.budget is None else parse_budget(request.budget)
    seeds = evaluation_seeds(request.episodes, request.seed)
    sources = [open_policy(policy, request.execution, request.device) for policy in request.policies]
    for source in sources:
        refuse_training_seeds(seeds, source.trained_on, source.policy)
        if request.copies > 1 and source.policy in BUILT_IN:
            raise UsageError(f"--copies {request.copies} is for trained policies, not {source.policy}")
    target = None if request.target is None else open_target(request.target, request.env)
    labels = Counter(source.label for source in sources)
    policies, results = list[_Policy](), list[dict[str, Any]]()
    for source in sources:
        label = source.label if labels[source.label] == 1 else source.policy
        policies.append(_Policy(request, source, label, target, seeds))
    require_writable(out)
    for number, policy in enumerate(policies):
        share = None
        if budget_s is not None:
            share = (budget_s - (time.monotonic() - started)) / (len(policies) - number)
        results.append(policy.measure(share))
    document = {
        "schema": SCHEMA,
        "kind": "gap",
        "env": request.env,
        "env_kwargs": {key: list(v) if isinstance(v, tuple) else v for key, v in request.env_kwargs.items()},
        "seed": request.seed,
        "episodes": request.episodes,
        "initial_states": distinct_initial_states(request.env, request.env_kwargs, seeds),
        "workers": request.workers,
        "copies": request.copies,
        "mode": "full" if request.full else "quick",
        "execution": request.execution.told(),
        "randomisation": "off",
        "target": None if target is None else target.public,
        "calibration": about_calibration([policy.about for policy in policies]),
        "ranges": request.ranges,
        "factors": [curve["factor"] for curve in results[0]["curves"]],
        "versions": versions(),
        "seconds": round(time.monotonic() - started, 1),
        "not_modelled": list(NOT_MODELLED),
        "policies": results,
    }
    prepare_folder(out, "gap report", (GAP,), overwrite=overwrite)
    write_json(out / GAP, document)
    write_atomically(out / TABLE, table(document))
    return document


class _Policy:
    """The gap of one policy."""

    def __init__(
        self, request: Request, source: AgentSource, label: str, target: Target | None, seeds: Sequence[int]
    ) -> None:
        self._request, self._source, self._target, self._seeds = request, source, target, list(seeds)
        self._label = label
        self._kwargs = source.options(request.env, request.env_kwargs)
        task = task_of(request.env, **self._kwargs)
        source.agent(task)  # fits, or says why not, before any other policy is measured
        matters = applicable(task)
        # What changes nothing for this policy (colours for one without cameras) is no player
        self._world = World() if target is None else target.world.only(matters)
        self._curves = self._chosen(task, matters)
        self._trials = Trials(request.env, self._kwargs, source, request.workers, request.copies)
        self._calibrated: Trials | None = None
        self.about: dict[str, Any] | None = None
        if request.calibration is not None:
            world, self.about = CalibratedWorld.read(request.calibration, request.env, self._kwargs)
            kwargs = {**self._kwargs, "world": world}
            self._calibrated = Trials(request.env, kwargs, source, request.workers, request.copies)
        task.close()

    def _chosen(self, task: Any, matters: Mapping[str, Factor]) -> list[Factor]:
        if self._request.factors:
            return [with_ranges(one, self._request.ranges) for one in chosen_factors(self._request.factors, task)]
        if self._target is not None and not self._request.full:
            return []
        return [with_ranges(matters[name], self._request.ranges) for name in DEFAULT_FACTORS if name in matters]

    def measure(self, budget_s: float | None) -> dict[str, Any]:
        started = time.monotonic()
        worlds = [World()] if self._target is None else [World(), self._world]
        checked = require_determinism(
            self._request.env, self._kwargs, self._source, worlds, self._seeds[:CHECKED_SEEDS]
        )
        began = time.monotonic()
        arms = [
            self._trials.run([(world, seed) for seed in self._seeds], title)
            for world, title in zip(worlds, ("simulation", "target"), strict=False)
        ]
        rate = self._trials.count / max(time.monotonic() - began, 1e-6)
        left = None if budget_s is None else budget_s - (time.monotonic() - started)
        chosen = self._plan(left, rate)
        few, drawn = self._seeds[: chosen.seeds], self._curves if chosen.curves else []
        curves = [curve_of(self._trials, one, few, chosen.levels) for one in drawn]
        attribution, lines = self._attribution(chosen)
        described = [describe_curve(curve) for curve in curves]
        sim = arm(arms[0])
        result: dict[str, Any] = {
            "policy": self._source.policy,
            "label": self._label,
            "device": self._source.device_title,
            "determinism": checked,
            "plan": chosen.as_dict(),
            "sim": sim,
            "target": None,
            "paired": None,
            "curves": described,
            "robustness": robustness(curves),
            "attribution": attribution,
            "shift": None,
            "calibrated": self._in_calibrated(arms),
        }
        verdict = [*lines, *on_curves(described)]
        if self._target is not None:
            there = arm(arms[1])
            paired = pair(arms[0], arms[1])
            result |= {"target": there, "paired": paired, "shift": self._shift(chosen.seeds)}
            verdict.insert(0, on_drop(self._label, sim, there, paired, self._target.title))
        if self.about is not None:
            promoted, left = self.about["promoted"], self.about.get("not_applied", ())
            verdict.append(on_calibration(sim, result["target"], result["calibrated"], promoted, left))
        return result | {"episodes_run": self._trials.count, "verdict": verdict}

    def _in_calibrated(self, arms: Sequence[Sequence[Outcome]]) -> dict[str, Any] | None:
        """The arm in the calibrated model, as JSON, paired with the simulation and with the target."""
        if self._calibrated is None:
            return None
        found = self._calibrated.run([(World(), seed) for seed in self._seeds], "calibrated")
        against_target = pair(found, arms[1]) if len(arms) > 1 else None
        left = {name: value for name, value in (self.about or {}).items() if name == "not_applied"}
        return {**arm(found), "paired": pair(arms[0], found), "paired_with_target": against_target, **left}

    def _plan(self, left_s: float | None, rate: float) -> Plan:
        groups = Game.of_groups(self._world).players
        largest = max((len(names) for names in groups.values()), default=0)
        if left_s is not None and self._target is not None:  # both arms once more, with the policy asked twice
            left_s -= 3 * min(SHIFT_SEEDS, len(self._seeds)) / rate
        return plan(len(self._seeds), len(groups), largest, self._curves, self._request.full, left_s, rate)

    def _attribution(self, chosen: Plan) -> tuple[dict[str, Any] | None, list[str]]:
        if chosen.groups is None:
            return None, []
        seeds = self._seeds[: chosen.seeds]
        groups = blame(self._trials, Game.of_groups(self._world), seeds, chosen.groups, "attribution to groups")
        if groups is None:
            return None, ["the target does not differ from the simulation in anything that this policy could notice"]
        leading, within = groups.players[0].name, None
        inside = self._world.only({name for name, _ in self._world.values if FACTORS[name].group == leading})
        if chosen.within is not None and groups.sure and len(inside.values) > 1:
            within = blame(self._trials, Game.of_factors(inside), seeds, chosen.within, f"attribution within {leading}")
        document = {
            "groups": groups.as_dict(),
            "within": None if within is None else {"group": leading, **within.as_dict()},
        }
        return document, on_attribution(groups, within, leading)

    def _shift(self, most: int) -> dict[str, Any] | None:
        seeds = self._seeds[: min(SHIFT_SEEDS, max(most, 2))]
        return measure_shift(self._request.env, self._kwargs, self._source, self._world, seeds, self._request.workers)


def about_calibration(told: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    """What the document says of the calibration: what could not be applied to any of the policies with it."""
    about = [one for one in told if one is not None]
    if not about:
        return None
    left = dict.fromkeys(name for one in about for name in one.get("not_applied", ()))
    return about[0] | ({"not_applied": list(left)} if left else {})


def arm(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """One policy in one world, as JSON."""
    successes, n = sum(one.success for one in outcomes), len(outcomes)
    return {
        "n": n,
        "successes": successes,
        "rate": successes / n,
        "ci95": list(wilson(successes, n)),
        "return_mean": float(np.mean([one.return_ for one in outcomes])),
        "success": [one.success for one in outcomes],
    }


def pair(sim: Sequence[Outcome], target: Sequence[Outcome]) -> dict[str, Any]:
    """The difference of two worlds on the same seeds, as JSON."""
    first, second = [one.success for one in sim], [one.success for one in target]
    pairs = Pairs.of(first, second)
    rng = np.random.default_rng((0x6A9, len(first)))
    bootstrap = bootstrap_difference([float(x) for x in first], [float(x) for x in second], rng)
    return {
        "n": pairs.trials,
        "sim_only": pairs.first_only,
        "target_only": pairs.second_only,
        "drop": pairs.difference,
        "ci95": list(newcombe_paired(pairs)),
        "ci95_bootstrap": list(bootstrap) if bootstrap[0] < bootstrap[1] else None,
        "mcnemar_p": mcnemar_exact(pairs),
        "mcnemar_mid_p": mcnemar_mid_p(pairs),
        "correlation": pairs.correlation,
        "seeds_needed": seeds_to_show(pairs),
    }


def table(document: Mapping[str, Any]) -> str:
    """`gap.csv`: one line per policy, as `robotics agree` reads it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["policy", "sim", "target", "sim_n", "target_n"])
    for one in document["policies"]:
        sim, there = one["sim"], one["target"]
        rate, count = ("", "") if there is None else (f"{there['rate']:.6f}", there["n"])
        writer.writerow([one["label"], f"{sim['rate']:.6f}", rate, sim["n"], count])
    return text.getvalue()
