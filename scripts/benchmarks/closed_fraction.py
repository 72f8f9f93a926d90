"""How much of the gap to hidden twins is closed by identifying them and training anew: the loop, over many twins.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/closed_fraction.py [--severity hard] [--work DIR]

The policies are those of `RECIPES`: success in simulation is 98 to 100 %. First the survey of twins of seeds 1, 2, … :
`before`, which learned in the simulation as it is, on every twin, and the teacher (`robotics.envs.teacher`), where the
policy loses `WORTH` or more: what it can not do there, nothing can be learned from. Where few twins cost a policy
anything, --screen tries all in a few episodes of other seeds first, and surveys those that it loses as much on there.
Then, on each twin that costs the policy so much and the teacher can do, the loop, all on the same seeds: `medium` and
`wide` learned in worlds of half and of all of the registry's ranges, nothing identified; `identified` in the one world
that 120 s of logs tell of (30 s of them are fitted, from the nominal values alone); `after` in worlds around it;
`oracle` in the twin itself. Closed is (p_arm - p_before) / (p_oracle - p_before) of the means over those twins; its
interval is for twins like these (`robotics.sim2real.closing.closed_over`).
What is in --work is not made again. With --keep neither is what the published row knows already: its survey, and the
loops on other twins, each with the commit that it ran at; so the twins may be gone through in several calls.
"""

import argparse
import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from provenance import COMMIT, publish, rows_of

from robotics.datasets.collect import collect
from robotics.datasets.demonstration import Source
from robotics.errors import RoboticsError, UsageError
from robotics.evaluation.batched import evaluate_batched
from robotics.evaluation.seeds import evaluation_seeds
from robotics.outputs import kept_json
from robotics.sim2real.closing import closed_over
from robotics.sim2real.loop import Request, real2sim2real
from robotics.sim2real.targets import open_target
from robotics.sim2real.twin import make_twin
from robotics.training.train import train
from robotics.workers import in_order


@dataclass(frozen=True)
class Recipe:
    """How a task's policies are trained, all of them, and what `after` draws of the factors that logs do not tell.

    `training` and `policy` are what differs from the preset.
    """

    family: str
    preset: str
    demonstrations: int
    training: dict[str, Any]
    policy: dict[str, Any] = field(default_factory=dict)
    rest: str | None = None


#: What the small presets add to what is seen is randomisation, too: policies that learned with it lose next to nothing
#: on twins of the arms. Here nothing is at random but what an arm of the comparison says.
PRECISE = {"input_noise": 0.0}
RECIPES = {
    "TransferCube": Recipe("dit", "small", 50, {"steps": 3000}, PRECISE),
    "PickPlace": Recipe("dit", "small", 200, {"steps": 8000}, PRECISE),
    "QuadrupedVelocity": Recipe(
        "bc",
        "reactive",
        40,
        {"steps": 8000, "dagger_rounds": 4, "dagger_episodes": 20, "dagger_beta": 0.3},
        rest="medium",
    ),
}
#: Policies of every loop besides `before` and `after`; those that know nothing of the twin come first.
UNKNOWING = ("medium", "wide")
COMPARED = (*UNKNOWING, "identified", "oracle")
ARMS = ("before", "after", *COMPARED)
SEVERITIES = ("mild", "medium", "hard")
#: Behind the name of a row that has no loops.
SURVEY = ", survey"
FIRST_SEED = 1_000_000
#: Of the episodes that twins are screened in.
SCREEN_SEED = 1_100_000
#: So much of the logs is fitted [s]: it takes minutes a twin.
FITTED_S = 30.0
#: Success that a twin must cost for the loop to be run on it: there must be something to close.
WORTH = 0.05
#: Episodes that the teacher is tried in on a twin, and how often it must succeed for the loop to learn from it.
TRIED, ABLE = 20, 0.5
#: Twins are sealed with it, so that the same call draws the same ones.
KEY = "closed fraction"
RESULT = "closed_fraction"


def given(env_id: str, recipe: Recipe, work: Path, workers: int) -> Path:
    """The policy that the loop begins with: it learned in the simulation as it is."""
    data, run = work / "demonstrations", work / "before"
    collect(env_id, recipe.demonstrations, 0, data, workers=workers, resume=data.exists())
    options = {"save_every": recipe.training["steps"], "device": "cpu", **recipe.training}
    train(
        recipe.family,
        data,
        run,
        preset_name=recipe.preset,
        policy_options=recipe.policy,
        training_options=options,
        resume=run.exists(),
    )
    return run


def twin_of(seed: int, env_id: str, severity: str, work: Path) -> str:
    """The twin as a target."""
    path = work / f"{severity}{seed}.json"
    if not path.exists():
        make_twin(env_id, severity, seed, path, key=KEY)
    return f"twin:{path}"


def success(env_id: str, run: Path, target: str | None, episodes: int, first_seed: int = FIRST_SEED) -> float:
    """Of a policy on a target, or in the simulation."""
    kwargs = {} if target is None else {"world": open_target(target, env_id).world}
    seeds = evaluation_seeds(episodes, first_seed)
    return float(
        np.mean([bool(one.success) for one in evaluate_batched(env_id, run, seeds, copies=50, env_kwargs=kwargs)])
    )


def teacher_success(env_id: str, target: str, workers: int) -> float:
    """Of the teacher on a target."""
    source = Source(env_id, {"world": open_target(target, env_id).world})
    with in_order(source, evaluation_seeds(TRIED, FIRST_SEED), workers) as attempts:
        return float(np.mean([attempt.success for attempt in attempts]))


def costs(simulated: float, there: float) -> bool:
    """Whether a policy loses so much on a twin that there is something to close."""
    return simulated - there >= WORTH - 1e-9


def survey_folder(options: argparse.Namespace, work: Path) -> Path:
    return work / f"survey_{options.episodes}"


def surveyed(
    env_id: str, run: Path, targets: dict[int, str], simulated: float, options: argparse.Namespace, work: Path
) -> dict[int, float]:
    """Success of `before` on each of these twins that --screen does not leave out."""
    survey = {}
    for seed, target in targets.items():
        name = f"{options.severity}{seed}.json"
        if options.screen:
            look = partial(success, env_id, run, target, options.screen, SCREEN_SEED)
            if not costs(simulated, kept_json(work / f"screen_{options.screen}" / name, look)):
                continue
        measure = partial(success, env_id, run, target, options.episodes)
        survey[seed] = kept_json(survey_folder(options, work) / name, measure)
    return survey


def on_twin(seed: int, env_id: str, run: Path, options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """The loop's document for one twin."""
    out = work / f"loop_{options.severity}{seed}"
    for name in UNKNOWING:  # what an earlier loop trained to the end serves all
        trained = next(work.glob(f"loop_*/runs/{name}/checkpoints/last"), None)
        if trained is not None and not (out / "runs" / name).exists():
            for part in ("demonstrations", "runs"):
                shutil.copytree(trained.parents[3] / part / name, out / part / name, symlinks=True, dirs_exist_ok=True)
    request = Request(
        env_id,
        str(run),
        twin_of(seed, env_id, options.severity, work),
        fit_seconds=FITTED_S,
        starts=0,
        rest=RECIPES[options.task].rest,
        compare=COMPARED,
        episodes=options.episodes,
        seed=FIRST_SEED,
        workers=options.workers,
        copies=50,
    )
    return real2sim2real(request, out, resume=True)


def published(name: str, recipe: Recipe, episodes: int, screen: int) -> dict[str, Any]:
    """The row of that name, for --keep; UsageError for one of another recipe or length."""
    row = rows_of(RESULT).get(name)
    wanted = (asdict(recipe), episodes, screen)
    if row is None or (row["recipe"], row["episodes"], row["screened"]["episodes"]) != wanted:
        raise UsageError(
            f"--keep: no row '{name}' of this recipe, {episodes} episodes and --screen {screen} is published; "
            "leave it out"
        )
    return row


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    """What a loop's policies did on its twin, a digit a seed; with the commit."""
    arms = document["arms"]
    return {"commit": COMMIT, **{name: "".join(map(str, map(int, arms[name]["target"]["success"]))) for name in ARMS}}


def arms_of(kept: dict[str, str]) -> dict[str, Any]:
    """`outcomes` as `closed_over` takes them."""
    return {name: {"target": {"success": [int(digit) for digit in kept[name]]}} for name in ARMS}


def rate(digits: str) -> float:
    return round(digits.count("1") / len(digits), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=RECIPES, default="TransferCube")
    parser.add_argument("--severity", choices=SEVERITIES, default="medium")
    parser.add_argument("--twins", type=int, default=10)
    parser.add_argument("--screen", type=int, default=0, help="episodes that twins are tried in before the survey")
    parser.add_argument("--loops", type=int, nargs="*", help="run the loop on these twins alone; without any, on none")
    parser.add_argument("--keep", action="store_true", help="go on from the published row")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("runs/closed_fraction"), help="where everything is kept")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    os.environ["ROBOTICS_TWIN_KEY"] = KEY
    env_id, work = f"robotics/{options.task}-v0", options.work / options.task
    started = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    recipe, name = RECIPES[options.task], f"{options.task}, {options.severity}{SURVEY if options.loops == [] else ''}"
    known = published(name, recipe, options.episodes, options.screen) if options.keep else {}
    run, seeds = given(env_id, recipe, work, options.workers), list(range(1, options.twins + 1))
    targets = {seed: twin_of(seed, env_id, options.severity, work) for seed in seeds}
    noted = survey_folder(options, work)
    simulated = known.get("in_simulation")
    if simulated is None:
        simulated = kept_json(noted / "simulation.json", partial(success, env_id, run, None, options.episodes))
    survey = {int(seed): value for seed, value in known.get("before_by_twin", {}).items()}
    screened = known.get("screened", {}).get("twins", 0)
    fresh = {seed: target for seed, target in targets.items() if seed not in survey and seed > screened}
    survey |= surveyed(env_id, run, fresh, simulated, options, work)
    print("survey", simulated, survey, flush=True)
    costly = [seed for seed in seeds if seed in survey and costs(simulated, survey[seed])]
    teacher = {
        seed: kept_json(
            noted / f"teacher_{options.severity}{seed}.json",
            partial(teacher_success, env_id, targets[seed], options.workers),
        )
        for seed in costly
    }
    print("teacher", teacher, flush=True)
    loops: dict[int, dict[str, str]] = {int(seed): kept for seed, kept in known.get("loops", {}).items()}
    beyond: dict[int, str] = {seed: "the teacher can not do it" for seed in costly if teacher[seed] < ABLE}
    able = [seed for seed in costly if seed not in beyond]
    asked = set(able) - set(loops) if options.loops is None else set(options.loops)
    for seed in [one for one in able if one in asked]:
        try:
            document = on_twin(seed, env_id, run, options, work)
        except RoboticsError as error:
            beyond[seed] = str(error).partition(";")[0]
            continue
        loops[seed] = outcomes(document)
        print(seed, {arm: rate(loops[seed][arm]) for arm in ARMS}, flush=True)
    looped = [arms_of(loops[seed]) for seed in sorted(loops)]
    row = {
        "episodes": options.episodes,
        "recipe": asdict(recipe),
        "in_simulation": simulated,
        "screened": {"episodes": options.screen, "twins": max(screened, options.twins) if options.screen else 0},
        "before_by_twin": survey,
        "teacher_by_twin": teacher,
        "beyond_the_teacher": beyond,
        "not_looped_on": [seed for seed in able if seed not in loops],
        "loops": {seed: loops[seed] for seed in sorted(loops)},
        "success": {arm: [rate(loops[seed][arm]) for seed in sorted(loops)] for arm in ARMS},
        "closed": {arm: closed_over(looped, arm) if looped else None for arm in ARMS[1:-1]},
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    order = [f"{task}, {severity}{kind}" for task in RECIPES for severity in SEVERITIES for kind in ("", SURVEY)]
    publish(RESULT, {}, order=order, rows={name: row})


if __name__ == "__main__":
    main()
