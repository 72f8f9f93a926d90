"""Named recipes: an architecture and how to train it. `--preset NAME` starts from one; options change numbers."""

from dataclasses import dataclass
from typing import Any

from robotics.errors import unknown_name


@dataclass(frozen=True)
class Preset:
    """Overrides of the defaults of a policy's configuration and of TrainConfig."""

    summary: str
    policy: dict[str, Any]
    training: dict[str, Any]


#: What looking through cameras needs: views that differ a little at every step, or fifty demonstrations are learned by
#: heart. One image network for all cameras, as in ACT: one each takes half as long again per step on an H100. Of 96x96
#: pixels the last stage would leave 3x3 cells; without it a step costs less and teaches as much.
_SEEING: dict[str, Any] = {
    "image_stride": 16,
    "random_shift": 1,
    "colour_jitter": 0.1,
    "input_noise": 0.005,
}
_ON_GPU: dict[str, Any] = {
    "steps": 20_000,
    "batch_size": 256,
    "lr": 5e-4,
    "warmup_steps": 200,
    "schedule": "cosine",
    "precision": "bf16",
}

#: How the small presets are trained: minutes on two CPU cores.
_MINUTES: dict[str, Any] = {
    "steps": 12_000,
    "batch_size": 64,
    "lr": 1e-3,
    "warmup_steps": 200,
    "schedule": "cosine",
}
#: Chunks are executed whole, as ACT's are: a policy that looks again in the middle may change its mind about the way it
#: takes, or stand still where the demonstrations paused. Of 100 development seeds each, after 24 steps and after 48:
#: insertion 66 and 86, PickPlace 80 and 89, TransferCube 100 and 100.
_WHOLE: dict[str, Any] = {"chunk_size": 48, "n_action_steps": 48}
_SMALL_DENOISER: dict[str, Any] = {
    **_WHOLE,
    "dim": 128,
    "heads": 4,
    "feed_forward": 256,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "dropout": 0.0,
    "actions_per_query": 8,
    "input_noise": 0.02,
}

#: Where none is named.
USUAL = "small"
PRESETS: dict[str, dict[str, Preset]] = {
    "act": {
        # No CVAE: our experts are deterministic, so there is no style to explain (Zhao et al. 2023, §VI-B: no effect
        # on scripted demonstrations), and it would cost four fifths of the time.
        "small": Preset(
            "trains in minutes on two CPU cores from vectors",
            policy={
                **_WHOLE,
                "dim": 128,
                "heads": 4,
                "feed_forward": 512,
                "encoder_layers": 2,
                "pre_norm": True,
                "dropout": 0.0,
                "latent_dim": 0,
                "actions_per_query": 4,
                "input_noise": 0.02,
                "input_sparsity": 0.002,
            },
            training=_MINUTES,
        ),
        # Zhao et al. 2023, table 3 and the public code; it stops at about 10 000 steps, which undertrains without their
        # 40 x 2000 windows of one task, so that we train as long as LeRobot does.
        "paper": Preset(
            "the architecture and optimiser of Zhao et al. 2023, for a GPU",
            policy={},
            training={"steps": 100_000, "batch_size": 8, "lr": 1e-5},
        ),
        "pixels": Preset(
            "from two or three 96x96 cameras, for a GPU",
            policy={
                **_WHOLE,
                "dim": 256,
                "heads": 8,
                "feed_forward": 1024,
                "encoder_layers": 3,
                "pre_norm": True,
                "dropout": 0.0,
                "latent_dim": 0,
                "actions_per_query": 2,
                **_SEEING,
            },
            training=_ON_GPU,
        ),
    },
    "dit": {
        "small": Preset(
            "flow matching; trains in minutes on two CPU cores from vectors",
            policy={**_SMALL_DENOISER, "input_sparsity": 0.002},
            training={**_MINUTES, "steps": 8000},
        ),
        # Dasari et al. 2024, the public code's configuration (experiments/agent/diffusion.yaml, bc_cos_sched.yaml).
        "paper": Preset(
            "the architecture and optimiser of DiT-Policy (Dasari et al. 2024), for a GPU",
            policy={},
            training={
                "steps": 150_000,
                "batch_size": 150,
                "lr": 3e-4,
                "weight_decay": 1e-6,
                "warmup_steps": 2000,
                "schedule": "cosine",
            },
        ),
        "pixels": Preset(
            "flow matching from two or three 96x96 cameras, for a GPU",
            policy={
                **_WHOLE,
                "dim": 256,
                "heads": 8,
                "feed_forward": 1024,
                "encoder_layers": 3,
                "decoder_layers": 4,
                "dropout": 0.0,
                # With ranges and the velocity's error, as `small`, it had not learned to see in 3 min of an H200 (2 of
                # 100, TransferCube); so, it does 100. From vectors deviations cost insertion: 40 of 100, not 83.
                "normalization": "mean_std",
                "flow_error": "action",
                "noise_draws": 2,
                "actions_per_query": 2,
                **_SEEING,
            },
            training=_ON_GPU,
        ),
    },
    "diffuser": {
        "small": Preset(
            "plans observations and actions together; trains in minutes on two CPU cores from vectors",
            policy=_SMALL_DENOISER,
            training={**_MINUTES, "steps": 8000},
        ),
        # Janner et al. 2022, the public code's config/locomotion.py; its U-Net is a transformer here.
        "paper": Preset(
            "horizon and optimiser of Diffuser (Janner et al. 2022), for a GPU",
            policy={"chunk_size": 32, "n_action_steps": 1, "sampling_steps": 20},
            training={"steps": 1_000_000, "batch_size": 32, "lr": 2e-4, "weight_decay": 0.0, "ema_decay": 0.995},
        ),
    },
    "bc": {
        "small": Preset(
            "a chunk by regression; trains in a minute on two CPU cores from vectors",
            policy={
                "chunk_size": 48,
                "n_action_steps": 24,
                "hidden": 512,
                "layers": 3,
                "input_noise": 0.02,
                "input_sparsity": 0.002,
            },
            training=_MINUTES,
        ),
        # Legs answer at every step, and stumble into what no demonstration shows: give it rounds of DAgger.
        "reactive": Preset(
            "one action at a time, for legs; trains in a minute on two CPU cores from vectors",
            policy={"hidden": 512, "layers": 3, "input_noise": 0.02, "input_sparsity": 0.002},
            training={**_MINUTES, "steps": 8000},
        ),
        # robomimic's BC (exps/templates/bc.json): one action at a time, two layers of 1024.
        "paper": Preset(
            "one action at a time, as in robomimic (Mandlekar et al. 2021)",
            policy={},
            training={"steps": 200_000, "batch_size": 100, "lr": 1e-4, "weight_decay": 0.0},
        ),
    },
}


def preset(family: str, name: str) -> Preset:
    """The recipe `name` of a policy family; UsageError with a did-you-mean."""
    if name not in PRESETS[family]:
        raise unknown_name(f"preset of {family}", name, PRESETS[family])
    return PRESETS[family][name]
