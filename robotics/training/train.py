"""From datasets to a run folder: `robotics train FAMILY`."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from robotics.datasets.origin import differences
from robotics.datasets.reader import Dataset
from robotics.errors import UsageError
from robotics.outputs import prepare_folder, require_room, write_json
from robotics.policies.base import PolicyConfig
from robotics.policies.documents import from_document, to_document
from robotics.policies.registry import family, make_policy
from robotics.training.checkpoints import checkpoint_bytes, has_checkpoint
from robotics.training.config import FREE_TO_CHANGE, TrainConfig
from robotics.training.dagger import Dagger, dagger_source
from robotics.training.data import TrainingData, choose_inputs, instructions_of, short_name
from robotics.training.fit import action_mode, require_action, require_data_fit, require_env_fit, require_same_kind
from robotics.training.initial_weights import begin_from, learned_policy, require_elsewhere, seeds_behind
from robotics.training.loop import Counters, Evaluate, Trainer
from robotics.training.optimization import make_accelerator, require_device
from robotics.training.presets import USUAL, preset
from robotics.training.run_folder import CONFIG, read_run, require_steps_ahead
from robotics.versions import versions
from robotics.vocabulary import ACTION


def train(
    name: str,
    data: Path | Sequence[Path],
    out: Path,
    *,
    preset_name: str | None = None,
    inputs: str | None = None,
    policy_options: Mapping[str, Any] | None = None,
    training_options: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Counters:
    """Train a policy of the family `name` on the datasets in `data` into the run folder `out`.

    Args:
        preset_name: the recipe to start from; `small` when None, and of a resumed run its own.
        inputs: columns to observe, by commas; all of the dataset's observations when None.
        policy_options, training_options: fields of the policy's configuration and of TrainConfig that differ from it.
        resume: continue from the last checkpoint in `out`, with the settings it was begun with; from the beginning when
            it was interrupted before the first one.

    Raises UsageError for settings that do not exist or contradict a resumed run, and for datasets that do not fit
    together; DataError for a bad dataset or run.
    """
    datasets = [Dataset.open(path) for path in ([data] if isinstance(data, str | os.PathLike) else data)]
    if not datasets:
        raise UsageError("--data names no dataset")
    asked, resume = resume, resume and (out / CONFIG).is_file()
    if asked and not resume:
        print(f"note: --resume: {out} holds no run, so a new one begins", file=sys.stderr)
    policy_options, training_options = policy_options or {}, training_options or {}
    if resume:
        config, training = _resumed(out, datasets, name, preset_name, inputs, policy_options, training_options)
    else:
        config, training = _fresh(datasets, name, preset_name or USUAL, inputs, policy_options, training_options)
        require_elsewhere(training.weights, out)
    require_same_kind(datasets, list(config.input_shapes))
    require_device(training.device)
    source = dagger_source(out if resume else None, datasets, config, training)
    if training.eval_env is not None:
        require_env_fit(training.eval_env, config, str(datasets[0].root))
    _warn_of_untold_tasks(datasets, config)
    _warn_of_other_origins(datasets)
    accelerator = make_accelerator(training)
    torch.manual_seed(training.seed)
    policy = make_policy(config)
    begun = resume and has_checkpoint(out)
    learned = not begun and begin_from(training.weights, policy)
    require_room(out, checkpoint_bytes(policy) * 1.5, "checkpoints", overwrite=overwrite)
    with accelerator.main_process_first():  # one process makes the folder and decodes images, the others find them
        if accelerator.is_main_process:
            prepare_folder(out, "training run", (CONFIG,), resume=asked, overwrite=overwrite)
            begun_with = read_run(out) if resume else _document(name, preset_name or USUAL, datasets, config, training)
            write_json(out / CONFIG, {**begun_with, "training": asdict(training)})
        dagger = Dagger(out, source, training, _seeds(datasets))
        spent_s = dagger.finish_round() if accelerator.is_main_process else 0.0
        dagger.read()
        frames = _load([*datasets, *dagger.datasets()], config, training, accelerator)
    if not (begun or learned):  # else the statistics come with the weights
        policy.fit_normalizer(_columns(frames))
    trainer = Trainer(policy, frames, out, training, begun, accelerator)
    trainer.use(frames, dagger.begin)
    trainer.spend(spent_s)
    return _train_in_rounds(
        trainer,
        dagger,
        _evaluation(out, training),
        lambda: _load([*datasets, *dagger.datasets()], config, training, accelerator, earlier=trainer.data),
    )


def _train_in_rounds(
    trainer: Trainer, dagger: Dagger, evaluate: Evaluate | None, load: Callable[[], TrainingData]
) -> Counters:
    """Train, and between equal shares of the training let DAgger add to the data; without rounds, just train."""
    accelerator, rounds = trainer.accelerator, trainer.config.dagger_rounds
    while len(dagger.rounds) < rounds and trainer.done < 1.0:
        trainer.train(evaluate, share=(len(dagger.rounds) + 1) / (rounds + 1))
        with accelerator.main_process_first():
            seconds = dagger.collect_round(trainer.counters.step) if accelerator.is_main_process else 0.0
            dagger.read()
            data = load()
        trainer.use(data, dagger.begin)
        trainer.spend(seconds)
    return trainer.train(evaluate)


def _load(
    datasets: Sequence[Dataset],
    config: PolicyConfig,
    training: TrainConfig,
    accelerator: Accelerator,
    earlier: TrainingData | None = None,
) -> TrainingData:
    require_same_kind(datasets, list(config.input_shapes))
    return TrainingData.load(datasets, list(config.input_shapes), accelerator.device, training.frames, earlier)


def _fresh(
    datasets: Sequence[Dataset],
    name: str,
    preset_name: str,
    inputs: str | None,
    policy_options: Mapping[str, Any],
    training_options: Mapping[str, Any],
) -> tuple[PolicyConfig, TrainConfig]:
    """The configuration of a new run: the preset's, or that of the policy it begins from, with what was asked for
    changed."""
    recipe = preset(name, preset_name)
    training = TrainConfig(**{**recipe.training, **training_options})
    before = learned_policy(training.weights, name)
    if before is None:
        usual = _suited(recipe.policy, family(name)[0], policy_options)
        return _policy_config(name, datasets, inputs, {**usual, **policy_options}), training
    require_data_fit(datasets[0], before, str(training.weights))
    if inputs is not None and choose_inputs(datasets[0], inputs) != sorted(before.input_shapes):
        has = ",".join(map(short_name, before.input_shapes))
        raise UsageError(f"--inputs {inputs}: --weights {training.weights} observes {has}; leave --inputs out")
    return replace(before, **policy_options), training


def _suited(usual: Mapping[str, Any], kind: type[PolicyConfig], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's policy without what belongs to another chunk or objective than is asked for."""
    suited, chunk, objective = dict(usual), asked.get("chunk_size"), asked.get("objective", "flow")
    if chunk and suited.get("n_action_steps", kind.n_action_steps) > chunk:  # a shorter chunk is executed whole
        suited["n_action_steps"] = chunk
    if objective != "flow":
        suited.pop("flow_error", None)
    if objective == "regression":
        suited.pop("noise_draws", None)
    if objective == "ddim":
        suited.pop("normalization", None)  # it clips what it denoises to the range
    return suited


def _policy_config(
    name: str, datasets: Sequence[Dataset], inputs: str | None, options: Mapping[str, Any]
) -> PolicyConfig:
    kind, dataset = family(name)[0], datasets[0]
    known = {field.name for field in fields(kind)}
    if unknown := set(options) - known:
        raise UsageError(f"{name} has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    require_action(dataset)
    return kind(
        input_shapes={key: tuple(dataset.features[key]["shape"]) for key in choose_inputs(dataset, inputs)},
        action_dim=int(dataset.features[ACTION]["shape"][0]),
        fps=float(dataset.fps),
        robot_type=dataset.robot_type,
        action_mode=action_mode(dataset),
        **options,
    )


def _resumed(
    run: Path,
    datasets: Sequence[Dataset],
    name: str,
    preset_name: str | None,
    inputs: str | None,
    policy_options: Mapping[str, Any],
    training_options: Mapping[str, Any],
) -> tuple[PolicyConfig, TrainConfig]:
    """The configuration that `run` was begun with, with what may change changed."""
    path, document = run / CONFIG, read_run(run)
    _require_same(path, "policy family", document["family"], name)
    if preset_name is not None:
        _require_same(path, "preset", document.get("preset"), preset_name)
    policy = from_document(family(name)[0], document["policy"], path)
    training = from_document(TrainConfig, document["training"], path)
    require_data_fit(datasets[0], policy, str(path))
    before = document["data"].get("fingerprint")
    _require_same(path, "data", before, [_fingerprint(dataset) for dataset in datasets])
    if inputs is not None:
        _require_same(path, "inputs", sorted(policy.input_shapes), choose_inputs(datasets[0], inputs))
    for option, value in policy_options.items():
        _require_same(path, option, getattr(policy, option), value)
    for option, value in training_options.items():
        if option not in FREE_TO_CHANGE:
            _require_same(path, option, getattr(training, option), value)
    require_steps_ahead(run, training_options.get("steps", training.steps), training.steps)
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
    name: str, preset_name: str, datasets: Sequence[Dataset], policy: PolicyConfig, training: TrainConfig
) -> dict[str, Any]:
    return {
        "schema": 1,
        "family": name,
        "preset": preset_name,
        "data": {
            "path": [str(dataset.root) for dataset in datasets],
            "env": [dataset.provenance.get("env") for dataset in datasets],
            "env_kwargs": [dataset.provenance.get("env_kwargs", {}) for dataset in datasets],
            "collection": [_collection(dataset.provenance) for dataset in datasets],
            "seeds": sorted({*_seeds(datasets), *seeds_behind(training.weights)}),
            "tasks": instructions_of(datasets),
            "fingerprint": [_fingerprint(dataset) for dataset in datasets],
        },
        "policy": to_document(policy),
        "training": asdict(training),
        "versions": versions(),
    }


def _collection(provenance: dict[str, Any]) -> dict[str, Any]:
    """How the demonstrations were chosen and disturbed, where `robotics collect` noted it."""
    return {name: provenance[name] for name in ("noise", "hardest_of") if provenance.get(name)}


def _seeds(datasets: Sequence[Dataset]) -> list[int]:
    """Those that the demonstrations come from, where `robotics collect` noted them."""
    return sorted({seed for dataset in datasets for seed in dataset.provenance.get("seeds", [])})


def _columns(data: TrainingData) -> dict[str, Any]:
    return {key: values.cpu().numpy() for key, values in {**data.observations, ACTION: data.actions}.items()}


def _warn_of_untold_tasks(datasets: Sequence[Dataset], config: PolicyConfig) -> None:
    texts = instructions_of(datasets)
    if len(texts) > 1 and not config.language:
        print(
            f"note: {len(texts)} different instructions, and without --language the policy is told none",
            file=sys.stderr,
        )


def _warn_of_other_origins(datasets: Sequence[Dataset]) -> None:
    if found := differences(datasets):
        print(f"note: datasets of different origins are learned as one: {', '.join(found)}", file=sys.stderr)


def _evaluation(run: Path, config: TrainConfig) -> Evaluate | None:
    if config.eval_env is None:
        return None
    from robotics.training.evaluation import Evaluation

    return Evaluation(run, config)
