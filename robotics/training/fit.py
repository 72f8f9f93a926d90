"""Whether datasets, a policy and an environment belong together: one line with both sides when they do not."""

from collections.abc import Iterator, Sequence
from typing import Any

from robotics.datasets.reader import Dataset
from robotics.environments import control_rate, make_env, observation_spaces, taken_by
from robotics.errors import DataError, UsageError
from robotics.evaluation.agents import environment_options
from robotics.policies.base import PolicyConfig
from robotics.training.data import shared_inputs
from robotics.vocabulary import ACTION, dataset_key

#: What is said about one side: its name, and its value.
Side = tuple[str, Any]


def require_same_kind(datasets: Sequence[Dataset], inputs: Sequence[str]) -> None:
    """UsageError naming two datasets that one policy can not learn from, what differs between them, and the inputs that
    they share where these alone would do."""
    first = datasets[0]
    for other in datasets[1:]:
        for name, before, now in _differences(_described(first, inputs), _described(other, inputs)):
            shared = [] if _differ(first, other) else shared_inputs(datasets)
            cure = f"; choose what they share: --inputs {','.join(shared)}" if shared else ""
            raise UsageError(
                f"datasets do not fit together: {name} is {before} in {first.root} and {now} in {other.root}{cure}"
            )


def require_data_fit(dataset: Dataset, config: PolicyConfig, owner: str) -> None:
    """UsageError naming what the policy of `owner` was made for and what the dataset has instead."""
    for name, wanted, there in _differences(_wanted(config), _described(dataset, list(config.input_shapes))):
        raise UsageError(f"dataset and policy do not fit: {name} is {wanted} in {owner} and {there} in {dataset.root}")


def require_env_fit(env_id: str, config: PolicyConfig, owner: str) -> None:
    """UsageError naming what the policy learned from `owner` needs, and what the environment gives instead.

    Makes the environment once: what does not fit is said before a training begins, not at its first rollout.
    """
    env = make_env(env_id, **taken_by(env_id, environment_options(config, owner)))
    try:
        spaces = {dataset_key(name): space for name, space in observation_spaces(env).items()}
        shapes = {key: spaces[key].shape for key in config.input_shapes if key in spaces}
        there: dict[str, Any] = {f"'{key}'": _shape(shapes.get(key)) for key in config.input_shapes}
        there |= {f"'{ACTION}'": _shape(env.action_space.shape)}
        there |= {"control rate": _rate(control_rate(env))}
        there |= {"robot": getattr(env.unwrapped, "robot_type", None)}
    finally:
        env.close()
    wanted = {name: value for name, value in _wanted(config).items() if name in there}
    for name, before, now in _differences(wanted, there):
        raise UsageError(f"dataset and environment do not fit: {name} is {before} in {owner} and {now} in {env_id}")


def action_mode(dataset: Dataset) -> str | None:
    """What the actions of the dataset mean, where `robotics collect` noted it."""
    return dataset.provenance.get("env_kwargs", {}).get("action_mode")


def _differ(first: Dataset, other: Dataset) -> bool:
    """Whether two datasets are of different kinds whatever is observed."""
    return any(_differences(_described(first, []), _described(other, [])))


def _described(dataset: Dataset, inputs: Sequence[str]) -> dict[str, Any]:
    shapes = {key: dataset.features[key]["shape"] for key in (*inputs, ACTION) if key in dataset.features}
    return {
        **{f"'{key}'": _shape(shapes.get(key)) for key in (*inputs, ACTION)},
        "control rate": _rate(dataset.fps),
        "robot": dataset.robot_type,
        "action mode": action_mode(dataset),
    }


def _wanted(config: PolicyConfig) -> dict[str, Any]:
    return {
        **{f"'{key}'": _shape(shape) for key, shape in config.input_shapes.items()},
        f"'{ACTION}'": _shape((config.action_dim,)),
        "control rate": _rate(config.fps),
        "robot": config.robot_type,
        "action mode": config.action_mode,
    }


def _differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(name, one side, other side) of what both sides say and say differently; a column may not be absent."""
    for name, value in before.items():
        other = now.get(name)
        if value != other and (name.startswith("'") or None not in (value, other)):
            yield name, str(value), str(other)


def _shape(shape: Sequence[int] | None) -> str:
    return "absent" if shape is None else f"of shape {tuple(shape)}"


def _rate(rate: float | None) -> str | None:
    return None if rate is None else f"{float(rate):g} Hz"


def require_action(dataset: Dataset) -> None:
    """DataError for a dataset that holds nothing to imitate."""
    if ACTION not in dataset.features:
        raise DataError(f"{dataset.root}: holds no 'action' column to learn")
