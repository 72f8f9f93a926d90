"""From a dataset to a run folder: `robotics train FAMILY`."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from robotics.datasets.reader import Dataset
from robotics.errors import DataError, UsageError
from robotics.outputs import prepare_folder, require_room, write_json
from robotics.policies.base import Policy, PolicyConfig
from robotics.policies.documents import from_document, to_document
from robotics.policies.registry import family, make_policy
from robotics.training.checkpoints import checkpoint_bytes
from robotics.training.config import FREE_TO_CHANGE, TrainConfig
from robotics.training.data import TrainingData, choose_inputs
from robotics.training.loop import Counters, Trainer
from robotics.training.optimization import require_device
from robotics.training.presets import preset
from robotics.training.run_folder import CONFIG, read_run
from robotics.versions import versions
from robotics.vocabulary import ACTION


def train(
    name: str,
    data: Path,
    out: Path,
    *,
    preset_name: str = "small",
    inputs: str | None = None,
    policy_options: Mapping[str, Any] | None = None,
    training_options: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Counters:
    """Train a policy of the family `name` on the dataset in `data` into the run folder `out`.

    Args:
        preset_name: the recipe to start from.
        inputs: columns to observe, by commas; all of the dataset's observations when None.
        policy_options, training_options: fields of the policy's configuration and of TrainConfig that differ from it.
        resume: continue from the last checkpoint in `out`, with the settings it was begun with.

    Raises UsageError for settings that do not exist or contradict a resumed run, DataError for a bad dataset or run.
    """
    dataset = Dataset.open(data)
    recipe = preset(name, preset_name)
    training = TrainConfig(**{**recipe.training, **(training_options or {})})
    chosen = choose_inputs(dataset, inputs)
    policy_config = _policy_config(name, dataset, chosen, {**recipe.policy, **(policy_options or {})})
    if resume and (out / CONFIG).is_file():
        policy_config, training = _resumed(out, dataset, name, inputs, policy_options or {}, training_options or {})
        chosen = list(policy_config.input_shapes)
    resume = resume and (out / CONFIG).is_file()
    require_device(training.device)
    prepare_folder(out, "training run", (CONFIG,), resume=resume, overwrite=overwrite)
    torch.manual_seed(training.seed)
    policy = make_policy(policy_config)
    require_room(out, checkpoint_bytes(policy) * 1.5, "checkpoints")
    frames = TrainingData.load(dataset, chosen)
    policy.fit_normalizer({**_vectors(frames, policy), ACTION: frames.actions.numpy()})
    if not resume:
        write_json(out / CONFIG, _document(name, preset_name, dataset, policy_config, training))
    trainer = Trainer(policy, frames, out, training, resume)
    return trainer.train(_evaluation(out, training))


def _policy_config(name: str, dataset: Dataset, inputs: list[str], options: Mapping[str, Any]) -> PolicyConfig:
    kind = family(name)[0]
    known = {field.name for field in fields(kind)}
    if unknown := set(options) - known:
        raise UsageError(f"{name} has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    if ACTION not in dataset.features:
        raise DataError(f"{dataset.root}: holds no 'action' column to learn")
    options = dict(options)
    chunk, executed = options.get("chunk_size"), options.get("n_action_steps")
    if chunk and executed and executed > chunk:  # a shorter chunk asked for on top of a preset
        options["n_action_steps"] = chunk
    return kind(
        input_shapes={key: tuple(dataset.features[key]["shape"]) for key in inputs},
        action_dim=int(dataset.features[ACTION]["shape"][0]),
        fps=float(dataset.fps),
        robot_type=dataset.robot_type,
        action_mode=dataset.provenance.get("env_kwargs", {}).get("action_mode"),
        **options,
    )


def _resumed(
    run: Path,
    dataset: Dataset,
    name: str,
    inputs: str | None,
    policy_options: Mapping[str, Any],
    training_options: Mapping[str, Any],
) -> tuple[PolicyConfig, TrainConfig]:
    """The configuration that `run` was begun with, with what may change changed."""
    path, document = run / CONFIG, read_run(run)
    _require_same(path, "policy family", document["family"], name)
    _require_same(path, "data", document["data"].get("fingerprint"), _fingerprint(dataset))
    policy = from_document(family(name)[0], document["policy"], path)
    training = from_document(TrainConfig, document["training"], path)
    if inputs is not None:
        _require_same(path, "inputs", sorted(policy.input_shapes), choose_inputs(dataset, inputs))
    for option, value in policy_options.items():
        _require_same(path, option, getattr(policy, option), value)
    for option, value in training_options.items():
        if option not in FREE_TO_CHANGE:
            _require_same(path, option, getattr(training, option), value)
    return policy, replace(training, **{k: v for k, v in training_options.items() if k in FREE_TO_CHANGE})


def _require_same(path: Path, name: str, before: Any, now: Any) -> None:
    if before != now:
        raise UsageError(f"--resume: {path} says {name} = {before!r}, not {now!r}; leave it out, or give a new --out")


def _fingerprint(dataset: Dataset) -> dict[str, Any]:
    """What tells this dataset from another one, or from itself with more episodes."""
    action = dataset.stats.get(ACTION, {})
    return {
        "episodes": len(dataset.episodes),
        "frames": dataset.info.frames,
        "action_mean": [float(value) for value in action.get("mean", [])],
    }


def _document(
    name: str, preset_name: str, dataset: Dataset, policy: PolicyConfig, training: TrainConfig
) -> dict[str, Any]:
    origin = dataset.provenance
    return {
        "schema": 1,
        "family": name,
        "preset": preset_name,
        "data": {
            "path": str(dataset.root),
            "env": origin.get("env"),
            "env_kwargs": origin.get("env_kwargs", {}),
            "seeds": origin.get("seeds", []),
            "tasks": dataset.tasks,
            "fingerprint": _fingerprint(dataset),
        },
        "policy": to_document(policy),
        "training": asdict(training),
        "versions": versions(),
    }


def _vectors(data: TrainingData, policy: Policy) -> dict[str, Any]:
    return {key: data.observations[key].numpy() for key in policy.config.vector_dims}


def _evaluation(run: Path, config: TrainConfig) -> Any:
    if config.eval_env is None:
        return None
    from robotics.training.evaluation import Evaluation

    return Evaluation(run, config)
