"""Success of a policy over seeded episodes, as the document of `robotics bench --json`."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robotics.environments import control_rate, make_env
from robotics.errors import UsageError
from robotics.evaluation.agents import BUILT_IN, AgentSource, open_policy
from robotics.evaluation.one_thread import one_thread
from robotics.evaluation.rollout import FAULTS, Episode, run_episode
from robotics.evaluation.seeds import evaluation_seeds, fingerprint, refuse_training_seeds
from robotics.evaluation.statistics import bootstrap_mean, wilson
from robotics.policies.schedule import Execution
from robotics.progress import progress
from robotics.versions import versions
from robotics.workers import in_order

SCHEMA = 1


@dataclass(frozen=True)
class Rollouts:
    """What a worker needs to know to run episodes: picklable."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    source: AgentSource

    @contextmanager
    def open(self) -> Iterator[Callable[[int], Episode]]:
        env = make_env(self.env_id, **self.env_kwargs)
        try:
            agent = self.source.agent(env)
            with one_thread():
                yield lambda seed: run_episode(env, agent, seed)
        finally:
            env.close()


def bench(
    env_id: str,
    policy: str,
    episodes: int,
    seed: int,
    *,
    exam: str | None = None,
    workers: int = 1,
    copies: int = 1,
    execution: Execution | None = None,
    device: str = "cpu",
    env_kwargs: Mapping[str, Any] | None = None,
    target: str | None = None,
    calibration: Path | None = None,
    allow_training_seeds: bool = False,
) -> dict[str, Any]:
    """Run `episodes` episodes of `policy` and return the document of DESIGN §5.

    Episode i uses `seed` + i, or the i-th seed of the secret `exam`. What is measured does not depend on `workers`
    (processes), only how long it takes. With `copies` above one they run side by side in one process, the network
    answering for all at once, as `evaluation.batched` says. `device` is where it answers (`open_policy`). `target` is a
    place other than the simulation as it is (`sim2real.targets`), `calibration` a model that an identification found.

    Raises UsageError for names that do not exist, and for seeds that a trained policy has learned from.
    """
    for option, number in (("--workers", workers), ("--copies", copies)):
        if number < 1:
            raise UsageError(f"{option} {number}: at least one is needed")
    if workers > 1 and copies > 1:
        raise UsageError(f"--workers {workers} contradicts --copies {copies}: copies run side by side in one process")
    source = open_policy(policy, execution, device)
    if copies > 1 and policy in BUILT_IN:
        raise UsageError(f"--copies {copies} is for trained policies; give {policy} --workers")
    seeds = evaluation_seeds(episodes, seed, exam)
    if not allow_training_seeds:
        refuse_training_seeds(seeds, source.trained_on, policy)
    kwargs = source.options(env_id, env_kwargs)
    shown: dict[str, Any] = {"env_kwargs": {key: _plain(value) for key, value in kwargs.items()}}
    if target is not None or calibration is not None:
        from robotics.sim2real.places import place

        there, about = place(env_id, target, calibration, kwargs)
        kwargs, shown = kwargs | there, shown | about
    control_hz = _control_rate(env_id, kwargs, source)
    results: dict[int, Episode] = {}
    with (
        _episodes(env_id, kwargs, source, seeds, workers, copies) as episodes_done,
        progress(f"bench {source.label}", episodes, "episodes") as bar,
    ):
        for number, episode in episodes_done:
            results[number] = episode
            bar.advance(note=_note(results.values()))
    document = {"schema": SCHEMA, "env": env_id, "policy": policy, "policy_label": source.label}
    document |= shown
    document |= {"seed": seed} if exam is None else {"seed": None, "exam": fingerprint(exam)}
    document |= source.circumstances
    if copies > 1:
        document["copies"] = copies
    in_order_of_seeds = [results[number] for number in range(episodes)]
    return (
        document
        | summary(in_order_of_seeds, show_seeds=exam is None)
        | {"control_hz": control_hz, "versions": versions()}
    )


@contextmanager
def _episodes(
    env_id: str, kwargs: Mapping[str, Any], source: AgentSource, seeds: list[int], workers: int, copies: int
) -> Iterator[Iterator[tuple[int, Episode]]]:
    """(place in `seeds`, episode), as they come."""
    if copies > 1:
        from robotics.evaluation.batched import batched_episodes

        how: dict[str, Any] = {"execution": source.execution, "device": source.device, "env_kwargs": kwargs}
        done = batched_episodes(env_id, source.policy, seeds, copies=copies, **how)
        with closing(done):
            yield done
        return
    with in_order(Rollouts(env_id, kwargs, source), seeds, min(workers, len(seeds))) as in_seed_order:
        yield enumerate(in_seed_order)


def summary(episodes: list[Episode], show_seeds: bool = True) -> dict[str, Any]:
    """Episodes and their statistics, ready for JSON. Success is None where an episode does not say it; one that ended
    at its first action, which was no number, has failed where others say it."""
    says = [episode.success is not None for episode in episodes]
    known = any(says) and all(one or episode.faults.get("nan") for one, episode in zip(says, episodes, strict=True))
    successes = sum(bool(episode.success) for episode in episodes)
    returns = [episode.return_ for episode in episodes]
    policy_ms = np.concatenate([episode.policy_ms for episode in episodes])
    inference_ms = np.concatenate([episode.inference_ms for episode in episodes])
    faults = Counter(dict.fromkeys(FAULTS, 0))
    for episode in episodes:
        faults.update(episode.faults)
    return {
        "episodes": [_row(number, episode, show_seeds) for number, episode in enumerate(episodes)],
        "success_rate": successes / len(episodes) if known else None,
        "success_ci95": list(wilson(successes, len(episodes))) if known else None,
        "return_mean": float(np.mean(returns)),
        # A fixed generator: the same episodes give the same interval
        "return_ci95": list(bootstrap_mean(returns, np.random.default_rng(0))) if len(returns) > 1 else None,
        # Of an action, most of which a chunk holds already, and of those for which the policy is asked
        "policy_ms": {
            **{f"p{q}": _percentile(policy_ms, q) for q in (50, 99)},
            **{f"inference_p{q}": _percentile(inference_ms, q) for q in (50, 99)},
        },
        "faults": dict(faults),
    }


def _row(number: int, episode: Episode, show_seed: bool) -> dict[str, Any]:
    return {
        "seed": episode.seed if show_seed else number,
        "success": episode.success,
        "return": episode.return_,
        "length": episode.length,
        "wall_s": round(episode.wall_s, 4),
    }


def _percentile(values: np.ndarray, q: float) -> float | None:
    return round(float(np.percentile(values, q)), 4) if values.size else None


def _note(results: Iterable[Episode]) -> str:
    known = [episode.success for episode in results if episode.success is not None]
    return f"{sum(known)}/{len(known)} succeeded" if known else ""


def _control_rate(env_id: str, kwargs: Mapping[str, Any], source: AgentSource) -> float | None:
    """Control steps per simulated second [Hz]. Opens the environment and the policy once, so that what does not fit is
    said before any worker starts."""
    env = make_env(env_id, **kwargs)
    try:
        source.agent(env)
        return control_rate(env)
    finally:
        env.close()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
