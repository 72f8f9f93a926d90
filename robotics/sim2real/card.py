"""The robustness and generalisation card of a policy: what each change costs, on the same seeds as without it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from typing import Any

from robotics.errors import UsageError
from robotics.evaluation.agents import AgentSource, open_policy
from robotics.evaluation.bench import Rollouts
from robotics.evaluation.multiple import holm
from robotics.evaluation.paired import Pairs, mcnemar_mid_p, newcombe_paired
from robotics.evaluation.rollout import Episode
from robotics.evaluation.seeds import evaluation_seeds, refuse_training_seeds
from robotics.evaluation.statistics import wilson
from robotics.policies.schedule import Execution
from robotics.progress import progress
from robotics.sim2real.applicability import task_of
from robotics.sim2real.card_axes import Axis, ToldOtherwise, axes, reads_instructions
from robotics.versions import versions
from robotics.workers import in_order

SCHEMA, KIND = 1, "robustness card"
#: Below this many episodes an axis says "not enough evidence": the interval of a difference then spans half its range.
ENOUGH_EPISODES = 10


@dataclass(frozen=True)
class ConditionTrials:
    """Trial k: a seed under a condition. Picklable; opens a condition when its turn comes, and keeps only that one."""

    conditions: tuple[Rollouts, ...]
    trials: tuple[tuple[int, int], ...]

    @contextmanager
    def open(self) -> Iterator[Callable[[int], Episode]]:
        with ExitStack() as stack:
            current: tuple[int, Callable[[int], Episode]] | None = None

            def run(number: int) -> Episode:
                nonlocal current
                condition, seed = self.trials[number]
                if current is None or current[0] != condition:
                    stack.close()
                    current = condition, stack.enter_context(self.conditions[condition].open())
                return current[1](seed)

            yield run


def robustness_card(
    env_id: str,
    policy: str,
    episodes: int,
    seed: int,
    *,
    severity: float = 1.0,
    exam: str | None = None,
    execution: Execution | None = None,
    device: str = "cpu",
    workers: int = 1,
) -> dict[str, Any]:
    """The card's document: success as it is and under every axis, paired by seed, with intervals and Holm's p-values.

    `severity` 1 is the end of the factors' ranges. What is measured does not depend on `workers`. Raises UsageError for
    names that do not exist, environments that are not ours, an `execution` or `device` that the policy has no use for,
    and seeds that it has learned from.
    """
    if workers < 1:
        raise UsageError(f"--workers {workers}: at least one is needed")
    if not 0 < severity <= 2:
        raise UsageError(f"--severity {severity:g}: within 0 … 2, where 1 is the end of the factors' ranges")
    source = open_policy(policy, execution, device)
    seeds = evaluation_seeds(episodes, seed, exam)
    refuse_training_seeds(seeds, source.trained_on, policy)
    kwargs = source.options(env_id, None)
    task = task_of(env_id, **kwargs)
    try:
        tried = axes(env_id, task, severity, reads_instructions(source))
    finally:
        task.close()
    nominal = Axis("as it is", "nominal", ((env_id, {}),))
    outcomes = _measure([nominal, *(axis for axis in tried if axis.missing is None)], source, kwargs, seeds, workers)
    document = {"schema": SCHEMA, "kind": KIND, "env": env_id, "policy": policy, "policy_label": source.label}
    document |= source.circumstances
    document |= {"seed": seed if exam is None else None, "episodes": episodes, "severity": severity}
    document |= {"enough": episodes >= ENOUGH_EPISODES, "seeds": seeds if exam is None else list(range(episodes))}
    rows = [_row(axis, outcomes.get(axis.name), outcomes[nominal.name]) for axis in tried]
    _correct(rows)
    return document | {"nominal": _rate(outcomes[nominal.name]), "axes": rows, "versions": versions()}


def _measure(
    tried: Sequence[Axis], source: AgentSource, kwargs: Mapping[str, Any], seeds: Sequence[int], workers: int
) -> dict[str, list[bool]]:
    """Axis -> success by seed."""
    conditions, trials = list[Rollouts](), list[tuple[int, int]]()
    order = list[tuple[str, int]]()
    for axis in tried:
        used = (
            ToldOtherwise(**{f.name: getattr(source, f.name) for f in fields(source)}) if axis.other_words else source
        )
        for side, (env_id, more) in enumerate(axis.sides):
            mine = [place for place in range(len(seeds)) if place % len(axis.sides) == side]
            if mine:
                conditions.append(Rollouts(env_id, {**kwargs, **more}, used))
                trials += [(len(conditions) - 1, seeds[place]) for place in mine]
                order += [(axis.name, place) for place in mine]
    found: dict[str, list[bool]] = {axis.name: [False] * len(seeds) for axis in tried}
    job = ConditionTrials(tuple(conditions), tuple(trials))
    with (
        in_order(job, range(len(trials)), min(workers, len(trials))) as done,
        progress(f"card {source.label}", len(trials), "episodes") as bar,
    ):
        for (name, place), episode in zip(order, done, strict=True):
            if episode.success is None:
                raise UsageError("this environment does not report success")
            found[name][place] = episode.success
            bar.advance(note=name)
    return found


def _rate(outcomes: Sequence[bool]) -> dict[str, Any]:
    successes = sum(outcomes)
    interval = wilson(successes, len(outcomes))
    return {"success_rate": successes / len(outcomes), "success_ci95": list(interval), "outcomes": list(outcomes)}


def _row(axis: Axis, outcomes: Sequence[bool] | None, nominal: Sequence[bool]) -> dict[str, Any]:
    row = {"name": axis.name, "group": axis.group, "changed": axis.shown, "missing": axis.missing}
    if outcomes is None:
        return row
    pairs = Pairs.of(outcomes, nominal)
    return {
        **row,
        **_rate(outcomes),
        "difference": pairs.difference,
        "difference_ci95": list(newcombe_paired(pairs)),
        "p": mcnemar_mid_p(pairs),
    }


def _correct(rows: list[dict[str, Any]]) -> None:
    """`p_holm`: with a dozen axes, one in two cards would show a cost that is none."""
    measured = [row for row in rows if "p" in row]
    for row, adjusted in zip(measured, holm([row["p"] for row in measured]), strict=True):
        row["p_holm"] = adjusted
