"""Trains LeRobot's ACT at its default architecture on given batches: BATCHES.npz PRECISION.

Runs under the Python that has LeRobot. For every line "N" on stdin it takes N steps of LeRobot's own `update_policy`
and prints one JSON line: seconds, and the L1 of each step. The batches are normalised, in LeRobot's layout and in
memory before the clock starts: its loading of data is not counted.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
import torch
from accelerate import Accelerator
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.scripts.lerobot_train import update_policy
from lerobot.utils.logging_utils import AverageMeter, MetricsTracker

#: Of ImageNet's pixels: what LeRobot normalises images with.
MEAN, STD = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
KINDS = {"observation.state": FeatureType.STATE, "observation.environment_state": FeatureType.ENV}


def load(path: str) -> list[dict[str, torch.Tensor]]:
    """The batches as LeRobot's policy takes them; images float (B, 3, h, w)."""
    columns = {key: torch.from_numpy(values) for key, values in np.load(path).items()}
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    batches = []
    for number in range(len(columns["action"])):
        batch = {key: values[number] for key, values in columns.items()}
        for key in batch:
            if key.startswith("observation.images."):
                batch[key] = (batch[key].permute(0, 3, 1, 2).float() / 255 - mean) / std
        batches.append(batch)
    return batches


def make_policy(batch: dict[str, torch.Tensor]) -> ACTPolicy:
    inputs = {
        key: PolicyFeature(KINDS.get(key, FeatureType.VISUAL), tuple(values.shape[1:]))
        for key, values in batch.items()
        if key.startswith("observation.")
    }
    outputs = {"action": PolicyFeature(FeatureType.ACTION, tuple(batch["action"].shape[2:]))}
    # No download: the weights of ImageNet change what is learned, not how long a step takes.
    return ACTPolicy(
        ACTConfig(input_features=inputs, output_features=outputs, device="cpu", pretrained_backbone_weights=None)
    )


def main(path: str, precision: str) -> None:
    batches = load(path)
    torch.manual_seed(0)
    policy = make_policy(batches[0])
    settings = policy.config.get_optimizer_preset()
    accelerator = Accelerator(cpu=True, mixed_precision="no" if precision == "fp32" else "bf16")
    policy, optimizer = accelerator.prepare(policy, settings.build(policy.get_optim_params()))
    names = ("loss", "grad_norm", "lr", "update_s")
    meters = {name: AverageMeter(name) for name in names}
    tracker = MetricsTracker(len(batches[0]["action"]), len(batches), 1, meters, accelerator=accelerator)
    parameters = sum(p.numel() for p in policy.parameters())
    print(json.dumps({"version": version("lerobot"), "torch": torch.__version__, "parameters": parameters}), flush=True)
    done = 0
    for line in sys.stdin:
        losses = []
        started = time.perf_counter()
        for batch in batches[done : done + int(line)]:
            tracker, terms = update_policy(tracker, policy, batch, optimizer, settings.grad_clip_norm, accelerator)
            losses.append(terms["l1_loss"])
        done += int(line)
        print(json.dumps({"seconds": time.perf_counter() - started, "l1": losses}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
