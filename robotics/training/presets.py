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


PRESETS: dict[str, dict[str, Preset]] = {
    "act": {
        # No CVAE: our experts are deterministic, so there is no style to explain (Zhao et al. 2023, §VI-B: no effect
        # on scripted demonstrations), and it would cost four fifths of the time.
        "small": Preset(
            "trains in minutes on two CPU cores from vectors",
            policy={
                "chunk_size": 48,
                "n_action_steps": 24,
                "dim": 128,
                "heads": 4,
                "feed_forward": 512,
                "encoder_layers": 2,
                "pre_norm": True,
                "dropout": 0.0,
                "latent_dim": 0,
                "actions_per_query": 4,
                "input_noise": 0.02,
            },
            training={"steps": 12_000, "batch_size": 64, "lr": 1e-3, "warmup_steps": 200, "schedule": "cosine"},
        ),
        # Zhao et al. 2023, table 3 and the public code; it stops at about 10 000 steps, which undertrains without their
        # 40 x 2000 windows of one task, so that we train as long as LeRobot does.
        "paper": Preset(
            "the architecture and optimiser of Zhao et al. 2023, for a GPU",
            policy={},
            training={"steps": 100_000, "batch_size": 8, "lr": 1e-5},
        ),
    },
    "dit": {
        "small": Preset(
            "flow matching; trains in minutes on two CPU cores from vectors",
            policy={
                "chunk_size": 48,
                "n_action_steps": 24,
                "dim": 128,
                "heads": 4,
                "feed_forward": 256,
                "encoder_layers": 2,
                "decoder_layers": 3,
                "dropout": 0.0,
                "actions_per_query": 8,
                "input_noise": 0.02,
            },
            training={"steps": 12_000, "batch_size": 64, "lr": 1e-3, "warmup_steps": 200, "schedule": "cosine"},
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
    },
}


def preset(family: str, name: str) -> Preset:
    """The recipe `name` of a policy family; UsageError with a did-you-mean."""
    if name not in PRESETS[family]:
        raise unknown_name(f"preset of {family}", name, PRESETS[family])
    return PRESETS[family][name]
