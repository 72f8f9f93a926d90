"""A policy anew from other data, by the recipe of a run that exists."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robotics.errors import UsageError
from robotics.policies.documents import from_document
from robotics.policies.registry import family
from robotics.training.config import TrainConfig
from robotics.training.initial_weights import settings_of
from robotics.training.run_folder import CONFIG, read_run
from robotics.training.train import train


def retrain(run: Path, data: Path, out: Path, *, steps: int | None = None, resume: bool = False) -> int:
    """Train what `run` holds on `data` instead, into `out`; returns the steps it took.

    Family, architecture, inputs, optimisation and rounds of DAgger are those of `run`; the rounds are in the worlds of
    the new data. Left out are its rollouts during training.

    Args:
        steps: other than those of the recipe.
    """
    document = read_run(run)
    kind = family(document["family"])[0]
    policy = from_document(kind, document["policy"], run / CONFIG)
    training = asdict(from_document(TrainConfig, document["training"], run / CONFIG))
    training |= {"eval_env": None, **({} if steps is None else {"steps": steps})}
    training["save_every"] = min(training["save_every"], training["steps"])
    counters = train(
        document["family"],
        data,
        out,
        preset_name=document.get("preset", "small"),
        inputs=",".join(policy.input_shapes),
        policy_options=settings_of(policy),
        training_options=training,
        resume=resume,
    )
    return counters.step


@dataclass(frozen=True)
class Origin:
    """How a run's demonstrations were collected: arguments of `collect`, and how many there were."""

    env_kwargs: dict[str, Any]
    episodes: int
    noise: float = 0.0
    hardest_of: int = 1


def origin_of(run: Path, env_id: str) -> Origin:
    """Where a run's demonstrations come from; those of runs that do not say how they were collected, undisturbed.

    UsageError for a run of another environment, or of several, and for one without demonstrations.
    """
    document = read_run(run)
    data = document["data"]
    if data.get("path") is None:
        raise UsageError(f"{run} learned from reward, by {document['family']}: give a run trained on demonstrations")
    if envs := {str(name) for name in data.get("env", [])} - {env_id}:
        raise UsageError(f"{run} was trained on {', '.join(sorted(envs))}, not on {env_id} alone")
    episodes = sum(int(one["episodes"]) for one in data.get("fingerprint", []))
    kwargs = (data.get("env_kwargs") or [{}])[0]
    kwargs = {name: tuple(value) if isinstance(value, list) else value for name, value in kwargs.items()}
    return Origin(kwargs, episodes, **(data.get("collection") or [{}])[0])
