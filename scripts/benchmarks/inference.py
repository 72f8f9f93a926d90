"""Time from an observation to a chunk of actions, one observation at a time, on one core.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/inference.py

Weights are random: they do not change the time. Per row: median and 99th percentile of the wall time, and the median of
the processor time, which other programs on the machine disturb less. `onnx_p50_ms` is the same policy as `robotics
export --format onnx` writes it, in onnxruntime on one thread. `--only dit` runs the rows that begin so; the others
stay, each with the commit it was measured at.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from provenance import publish

from robotics.policies.base import Policy
from robotics.policies.export import ChunkFunction, export_policy, open_exported
from robotics.policies.packing import packed
from robotics.policies.registry import family, make_policy
from robotics.training.presets import preset
from robotics.vocabulary import ENVIRONMENT_STATE, IMAGE_PREFIX, STATE

#: TransferCube: two arms of seven joints with their speeds, and the cube's pose.
VECTORS = {STATE: (14,), ENVIRONMENT_STATE: (7,)}
CAMERAS = {IMAGE_PREFIX + camera: (96, 96, 3) for camera in ("top", "wrist")}
ACTION_DIM, WARM_UP = 14, 10
#: Rows that are measured as ONNX, too.
EXPORTED = ("act small", "act paper", "dit small, flow 5")


def rows() -> Iterator[tuple[str, str, str, bool, dict[str, Any]]]:
    """Name, family, preset, with cameras or not, and what differs from the preset."""
    yield "act small", "act", "small", False, {}
    yield "act paper", "act", "paper", False, {}
    for steps in (1, 3, 5, 9):
        yield f"dit small, flow {steps}", "dit", "small", False, {"sampling_steps": steps}
    for steps in (8, 16):
        yield f"dit small, ddim {steps}", "dit", "small", False, {"objective": "ddim", "sampling_steps": steps}
    for objective in ("mip", "regression"):
        yield f"dit small, {objective}", "dit", "small", False, {"objective": objective}
    yield "dit small, flow 5, in context", "dit", "small", False, {"backbone": "in_context"}
    yield "dit paper, flow 5", "dit", "paper", False, {}
    yield "diffuser small, 8 evaluations", "diffuser", "small", False, {}
    yield "bc small", "bc", "small", False, {}
    yield "act paper, two 96x96 cameras", "act", "paper", True, {}
    for name in ("act", "dit"):
        yield f"{name} pixels, two 96x96 cameras", name, "pixels", True, {}


def untrained(name: str, recipe: str, cameras: bool, changes: dict[str, Any]) -> Policy:
    """A policy of random weights."""
    torch.manual_seed(0)
    shapes = VECTORS | (CAMERAS if cameras else {})
    options = {**preset(name, recipe).policy, **changes}
    return make_policy(family(name)[0](input_shapes=shapes, action_dim=ACTION_DIM, **options)).eval()


def chunk_times(policy: Policy, repeats: int) -> dict[str, Any]:
    """Times [ms] of one `predict_chunk` of one observation in the threads that torch has, and the policy's size."""
    observation = {
        key: torch.zeros(1, *shape, dtype=torch.uint8 if len(shape) == 3 else torch.float32)
        for key, shape in policy.config.input_shapes.items()
    }
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        wall, processor = times(lambda: policy.predict_chunk(observation, generator), repeats)
    return {
        "p50_ms": round(float(np.percentile(wall, 50)), 2),
        "p99_ms": round(float(np.percentile(wall, 99)), 2),
        "processor_p50_ms": round(float(np.percentile(processor, 50)), 2),
        "parameters": sum(parameter.numel() for parameter in policy.parameters()),
    }


def times(work: Callable[[], object], repeats: int) -> tuple[list[float], list[float]]:
    """Wall and processor times [ms] of each call after a few to warm up."""
    wall, processor = [], []
    for _ in range(WARM_UP + repeats):
        begun, begun_processor = time.perf_counter(), time.thread_time()
        work()
        wall.append(1e3 * (time.perf_counter() - begun))
        processor.append(1e3 * (time.thread_time() - begun_processor))
    return wall[WARM_UP:], processor[WARM_UP:]


def exported_ms(policy: Policy, repeats: int) -> float:
    """Median wall time [ms] of the policy as an ONNX file."""
    function = ChunkFunction(policy)
    values = function.draw(np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as folder:
        export_policy(function, "onnx", Path(folder) / "policy.onnx")
        run = open_exported("onnx", Path(folder) / "policy.onnx")
        return round(float(np.median(times(lambda: run(values), repeats)[0])), 2)


def row(title: str, policy: Policy, repeats: int) -> dict[str, Any]:
    exported = {"onnx_p50_ms": exported_ms(policy, repeats)} if title in EXPORTED else {}
    return chunk_times(packed(policy), repeats) | exported


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="rows whose name begins so")
    parser.add_argument("--repeats", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        title: row(title, untrained(name, recipe, cameras, changes), arguments.repeats)
        for title, name, recipe, cameras, changes in rows()
        if title.startswith(arguments.only)
    }
    publish("inference", {"threads": 1, "batch": 1, "repeats": arguments.repeats}, chunk=result)
