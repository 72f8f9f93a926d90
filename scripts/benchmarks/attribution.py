"""Does the attribution of a gap find who is to blame, and nobody where nobody is?

Ten targets of Reach, each with one dominant factor among ten; which, is drawn from a hash of the target's number. The
policy is a small one that looks: a resolved-rate servo on what it sees of its goal, with gravity as its nominal model
says. A factor is plausible when alone, at some severity up to `SEVERITIES[-1]`, it costs `COST` of success on
calibration seeds; dominant it has the lowest such severity, the nine others a fifteenth to a seventh of theirs.

Null: targets equal to the simulation; ones with ten factors a fiftieth as severe; and runs in which every coalition's
success is a coin of its own, so that there is much to see and nothing behind it.

Two claims are counted of both: that somebody is ranked first in a drop that is sure, and that somebody is significant
among all that are looked at. Eight seeds rank well, and let few be significant.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/attribution.py [--seeds 16] [--workers 2] [--cache FILE]

With a cache an interrupted run goes on where it was; the numbers are the same.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from provenance import publish

from robotics.envs.manipulation import ArmTask
from robotics.envs.robots.panda import arm_scene
from robotics.errors import UsageError
from robotics.evaluation.statistics import wilson
from robotics.sim2real.applicability import applicable, task_of
from robotics.sim2real.attribution import Attribution
from robotics.sim2real.blame import Game, Method, blame
from robotics.sim2real.factors import FACTORS
from robotics.sim2real.trials import Outcome, Trial, Trials
from robotics.sim2real.world import World

ENV, TWINS, PLAYERS = "robotics/Reach-v0", 10, 10
SEVERITIES, COST = (1.0, 2.0, 4.0, 8.0), 0.6
WEAK, TINY_RUNS = (1 / 15, 1 / 7), 1
CALIBRATION, EVALUATION = 1_500_000, 1_600_000
METHOD = Method(exact=False, pairs=1)


class Servo:
    """Half of the way to the goal from where the joints are seen to be, and what holds the arm against gravity."""

    GAIN = 0.5

    def __init__(self) -> None:
        self.model = arm_scene("servo").compile()
        self.data = mujoco.MjData(self.model)
        self.hand = self.model.body("hand").id
        self.site = self.model.site("grip").id
        self.jacobian = np.zeros((6, self.model.nv))

    def reset(self, env: gym.Env, seed: int) -> None:
        self.space = env.action_space

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        q, seen = observation["state"][:8].astype(float), observation["environment_state"].astype(float)
        self.data.qpos[:8], self.data.qpos[8] = q, q[7]
        mujoco.mj_fwdPosition(self.model, self.data)
        mujoco.mj_fwdVelocity(self.model, self.data)
        mujoco.mj_jacSite(self.model, self.data, self.jacobian[:3], None, self.site)
        mujoco.mj_jacBody(self.model, self.data, None, self.jacobian[3:], self.hand)
        error = np.clip(self.GAIN * seen[7:13], -0.05, 0.05)
        j = self.jacobian[:, :7]
        step = j.T @ np.linalg.solve(j @ j.T + 1e-4 * np.eye(6), error)
        hold = self.data.qfrc_bias[:7] / self.model.actuator_gainprm[:7, 0]
        target = np.concatenate([q[:7] + step + hold, [0.02]])
        return np.clip(target, self.space.low, self.space.high).astype(np.float32)


@dataclass(frozen=True)
class Source:
    """The servo as a source of agents."""

    policy: str = "servo"
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    execution: None = None

    def agent(self, env: gym.Env) -> Servo:
        assert isinstance(env.unwrapped, ArmTask)
        return Servo()


class Cached(Trials):
    """Trials that a file remembers."""

    def __init__(self, file: Path | None, workers: int) -> None:
        super().__init__(ENV, {}, Source(), workers)  # type: ignore[arg-type]
        self._file = file
        if file is not None and file.exists():
            for line in file.read_text().splitlines():
                values, seed, success, return_, length = json.loads(line)
                self._known[World.of(values), seed] = Outcome(success, return_, length)

    def _one_by_one(self, trials: list[Trial]) -> Iterator[tuple[Trial, Outcome]]:
        for trial, outcome in super()._one_by_one(trials):
            if self._file is not None:
                row = [trial[0].as_dict(), trial[1], outcome.success, outcome.return_, outcome.length]
                with self._file.open("a") as lines:
                    lines.write(json.dumps(row) + "\n")
            yield trial, outcome


class Coins(Trials):
    """Every trial an independent coin: differences everywhere, causes nowhere."""

    def __init__(self, rate: float, rng: np.random.Generator) -> None:
        super().__init__(ENV, {}, Source())  # type: ignore[arg-type]
        self._rate, self._rng = rate, rng

    def _one_by_one(self, trials: list[Trial]) -> Iterator[tuple[Trial, Outcome]]:
        return ((trial, Outcome(bool(self._rng.random() < self._rate), 0.0, 1)) for trial in trials)


def world_of(severities: dict[str, float]) -> World:
    return World.of({name: FACTORS[name].at(severity) for name, severity in severities.items()})


def calibrate(trials: Trials, names: list[str], seeds: list[int]) -> tuple[float, dict[str, float]]:
    """Success in the simulation, and by factor the lowest severity that costs `COST`."""
    nominal = trials.successes(World(), seeds, "nominal").mean()
    found: dict[str, float] = {}
    for severity in SEVERITIES:
        open_names, worlds = [], []
        for name in names:
            if name not in found:
                try:
                    worlds.append(world_of({name: severity}))
                    open_names.append(name)
                except UsageError:  # a share of dropped measurements above one
                    continue
        outcomes = trials.run([(world, seed) for world in worlds for seed in seeds], f"severity {severity}")
        success = np.array([one.success for one in outcomes]).reshape(len(worlds), len(seeds)).mean(axis=1)
        found |= {name: severity for name, rate in zip(open_names, success, strict=True) if nominal - rate >= COST}
    return float(nominal), found


def generator(label: str, number: int) -> np.random.Generator:
    digest = hashlib.sha256(f"robotics attribution benchmark, {label} {number}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def draw(plausible: dict[str, float], number: int) -> tuple[str, dict[str, float]]:
    """The dominant factor of a target, and the severities of all ten."""
    rng = generator("twin", number)
    chosen = [sorted(plausible)[i] for i in rng.permutation(len(plausible))[:PLAYERS]]
    weak = {name: plausible[name] * rng.uniform(*WEAK) for name in chosen[1:]}
    return chosen[0], {chosen[0]: plausible[chosen[0]], **weak}


def claims(found: Attribution | None) -> dict[str, bool]:
    """Whether somebody is ranked first in a drop that is sure, and whether somebody is significant."""
    return {
        "ranked_somebody_first": found is not None and found.sure,
        "blamed_somebody": found is not None and any(player.significant for player in found.players),
    }


def counted(claimed: list[dict[str, bool]]) -> dict[str, int]:
    """In how many runs each claim is made."""
    return {"runs": len(claimed), **{claim: sum(run[claim] for run in claimed) for claim in claims(None)}}


def coins(names: list[str], seeds: list[int], runs: int) -> dict[str, Any]:
    """The claims of runs in which nothing is behind anything, and how often nobody is blamed."""
    claimed = []
    for number in range(runs):
        rng = generator("coins", number)
        game = Game.of_factors(world_of({names[i]: 1.0 for i in rng.permutation(len(names))[:PLAYERS]}))
        claimed.append(claims(blame(Coins(float(rng.uniform(0.3, 0.9)), rng), game, seeds, METHOD)))
    count = counted(claimed)
    nobody = runs - count["blamed_somebody"]
    return {**count, "blamed_nobody": nobody / runs, "ci95": list(wilson(nobody, runs))}


def culprits(twins: list[dict[str, Any]]) -> dict[str, int]:
    """In how many targets the culprit is ranked first in a drop that is sure, is significant, and is another one so."""
    return {
        "targets": len(twins),
        "ranked_first": sum(twin["ranked_first"] == twin["dominant"] and twin["drop_ci95"][0] > 0 for twin in twins),
        "significant": sum(twin["dominant"] in twin["significant"] for twin in twins),
        "others_significant": sum(bool(set(twin["significant"]) - {twin["dominant"]}) for twin in twins),
    }


def nulls(plausible: dict[str, float], trials: Trials, seeds: list[int], runs: int) -> dict[str, Any]:
    names, tiny = sorted(plausible), []
    for number in range(TINY_RUNS):
        rng = generator("null", number)
        chosen = [names[i] for i in rng.permutation(len(names))[:PLAYERS]]
        target = world_of({name: plausible[name] / 50 for name in chosen})
        tiny.append(claims(blame(trials, Game.of_factors(target), seeds, METHOD, f"null {number}")))
    same = blame(trials, Game.of_factors(World()), seeds, METHOD)
    return {
        "equal_target_blames_nobody": same is None,
        "tiny_targets": counted(tiny),
        "coins": coins(names, seeds, runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--null-runs", type=int, default=200)
    options = parser.parse_args()
    started = time.monotonic()
    trials = Cached(options.cache, options.workers)
    task = task_of(ENV)
    names = list(applicable(task))
    nominal, plausible = calibrate(trials, names, list(range(CALIBRATION, CALIBRATION + 6)))
    print(f"nominal {nominal}, plausible {plausible}", flush=True)
    seeds = list(range(EVALUATION, EVALUATION + options.seeds))
    rows = []
    for number in range(TWINS):
        dominant, severities = draw(plausible, number)
        game = Game.of_factors(world_of(severities))
        found = blame(trials, game, seeds, METHOD, f"twin {number}")
        assert found is not None
        first = found.players[0]
        rows.append(
            {
                "dominant": dominant,
                "severities": {name: round(severity, 3) for name, severity in severities.items()},
                "ranked_first": first.name,
                "drop": found.total,
                "drop_ci95": list(found.total_ci95),
                "share": first.share,
                "share_ci95": None if first.share_ci95 is None else list(first.share_ci95),
                "significant": [player.name for player in found.players if player.significant],
                "interaction": found.interaction,
                "additivity_error": found.additivity_error,
            }
        )
        print(number, dominant, first.name, first.share, found.total, flush=True)
    result = {
        "env": ENV,
        "policy": "resolved-rate servo of this script",
        "success_in_simulation": nominal,
        "seeds": options.seeds,
        "plausible": plausible,
        "culprits": culprits(rows),
        "twins": rows,
        "largest_additivity_error": max(row["additivity_error"] for row in rows),
        "null": nulls(plausible, trials, seeds, options.null_runs),
        "episodes": trials.count,
        "seconds": round(time.monotonic() - started),
    }
    print({"culprits": result["culprits"], "null": result["null"]}, file=sys.stderr)
    publish("attribution", result)


if __name__ == "__main__":
    main()
