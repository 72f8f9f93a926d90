"""`robotics train act|dit|diffuser|bc|ppo|sac`: a policy from demonstrations, or from reward."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tyro.conf import UseAppendAction

from robotics.cli import train_rl
from robotics.errors import UsageError
from robotics.training.run_folder import CONFIG, read_run
from robotics.training.time_budget import parse_duration

#: Options that are fields of the policy's configuration; the rest of what is given goes to TrainConfig.
POLICY_OPTIONS: tuple[str, ...] = ("chunk_size", "n_action_steps", "input_noise", "input_sparsity", "language")
POLICY_OPTIONS += ("objective", "sampling_steps", "backbone", "max_delay")


@dataclass(frozen=True)
class Options:
    """Imitate the demonstrations of a dataset. What is not given comes from the preset, or from the resumed run."""

    out: Path
    """Folder of the run."""
    data: UseAppendAction[tuple[str, ...]] = ()
    """Folder of the dataset; several, by commas or by repeating the option, for one policy of all their tasks. Those
    of the run when it is resumed and none is given."""
    preset: str | None = None
    """small (when not given): minutes on two CPU cores from vectors, hours from cameras; paper: as published, for a
    GPU; pixels: from cameras, for a GPU (act, dit)."""
    inputs: str | None = None
    """Observations to use, by commas (state,environment_state,top); all of the dataset's when not given."""
    weights: str | None = None
    """Begin at the weights of this run or checkpoint, whose architecture, inputs and normalisation are taken over
    (fine-tuning); or with the image network of this .safetensors file, by torchvision's names of a resnet18."""
    steps: int | None = None
    """Optimiser steps in all."""
    batch_size: int | None = None
    """Windows per step."""
    lr: float | None = None
    """Largest learning rate."""
    chunk_size: int | None = None
    """Actions predicted at once."""
    n_action_steps: int | None = None
    """Actions executed before the next prediction."""
    input_noise: float | None = None
    """Noise on vector inputs in training, in standard deviations of the data: less where millimetres decide."""
    input_sparsity: float | None = None
    """Weight of a penalty that shuts off numbers of vector inputs that can be done without; 0: all stay."""
    seed: int | None = None
    """Of the initial weights and of everything random later."""
    device: str | None = None
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["fp32", "bf16"] | None = None
    """bf16: autocast; weights and optimiser stay fp32."""
    ema_decay: float | None = None
    """Cap of the decay of the averaged weights; 0 evaluates the raw ones."""
    time_budget: str | None = None
    """Stop after this much training, over all calls: 90s, 30m, 8h. Of --eval-env's evaluations those on the way count,
    the one at the end comes on top."""
    save_every: int | None = None
    """Steps between checkpoints."""
    eval_env: str | None = None
    """Environment of rollouts during training, on seeds apart from the reported ones."""
    eval_every: int | None = None
    """Steps between them."""
    eval_episodes: int | None = None
    """Episodes of each."""
    eval_workers: int | None = None
    """Processes of rollouts; the results do not depend on it."""
    language: bool = False
    """Let the policy read the instruction of each frame."""
    dagger_rounds: int | None = None
    """How often the policy acts and its expert relabels the states it got into; rounds divide the training evenly."""
    dagger_episodes: int | None = None
    """Episodes of each round, in the environment of the data or of --eval-env."""
    dagger_beta: float | None = None
    """In round k the expert acts for this share to the power of k; 0 lets the policy act alone."""
    compile: bool = False
    """Let torch.compile fuse the network: a minute at first, then fewer and larger kernels."""
    frames: Literal["auto", "device", "memory", "disk"] | None = None
    """Where images lie: on the device, in memory, or decoded once into the user's cache and mapped from there."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""
    overwrite: bool = False
    """Replace the run in --out."""


@dataclass(frozen=True)
class DiTOptions(Options):
    """Imitate the demonstrations of a dataset with a diffusion transformer. What is not given comes from the preset."""

    objective: Literal["flow", "ddim", "mip", "regression"] | None = None
    """How the network is trained and sampled."""
    sampling_steps: int | None = None
    """Network evaluations per chunk; the objective's own number when not given."""
    backbone: Literal["adaln", "in_context"] | None = None
    """adaln: time and observation modulate every layer; in_context: they are tokens, as in RDT."""
    max_delay: int | None = None
    """Up to this many first actions are given in training, for real-time chunking without guidance."""


def run(family: str, options: Options) -> None:
    from robotics.training.train import train

    given: dict[str, Any] = {
        field.name: getattr(options, field.name)
        for field in fields(options)
        if field.default is None and getattr(options, field.name) is not None
    }
    given |= {name: True for name in ("language", "compile") if getattr(options, name)}
    inputs, preset_name = given.pop("inputs", None), given.pop("preset", None)
    if "time_budget" in given:
        given["time_budget_s"] = parse_duration(given.pop("time_budget"))
    counters = train(
        family,
        data_folders(options.data or (learned_from(options.out) if options.resume else ())),
        options.out,
        preset_name=preset_name,
        inputs=inputs,
        policy_options={key: value for key, value in given.items() if key in POLICY_OPTIONS},
        training_options={key: value for key, value in given.items() if key not in POLICY_OPTIONS},
        resume=options.resume,
        overwrite=options.overwrite,
    )
    print(f"{options.out}: {counters.step} steps in {counters.elapsed_s:.0f} s", file=sys.stderr)


def data_folders(texts: Sequence[str]) -> list[Path]:
    """The folders that `--data` names: each text is one, or several by commas; UsageError for none."""
    folders = [part for text in texts for part in ([text] if Path(text).exists() else text.split(",")) if part]
    if not folders:
        raise UsageError("--data is needed: the folder of a dataset")
    return [Path(folder) for folder in folders]


def learned_from(run: Path) -> tuple[str, ...]:
    """The folders that a run's demonstrations came from; none where nothing says so."""
    paths = read_run(run)["data"].get("path") if (run / CONFIG).is_file() else None
    return tuple(paths or ())


SUBCOMMANDS: dict[str, tuple[type, Callable[[Any], None]]] = {
    "act": (Options, partial(run, "act")),
    "dit": (DiTOptions, partial(run, "dit")),
    "diffuser": (Options, partial(run, "diffuser")),
    "bc": (Options, partial(run, "bc")),
    **{kind: (train_rl.Options, partial(train_rl.run, kind)) for kind in ("ppo", "sac")},
}
