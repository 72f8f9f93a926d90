"""A policy as one file for other runtimes: observations in, actions out, everything in physical units."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from robotics.errors import RoboticsError
from robotics.policies.base import Policy
from robotics.policies.documents import to_document
from robotics.policies.language import BUCKETS, MAX_WORDS, TASK
from robotics.vocabulary import ACTION, camera_of

Format = Literal["onnx", "torchscript"]

#: Input that a policy which samples starts from, standard normal; the same noise gives the same chunk.
NOISE = "noise"
#: Entry of the file's own metadata: the policy's configuration and its inputs in their order, as JSON.
DESCRIPTION = "policy.json"
#: What the ONNX format needs besides torch: the extra `export`.
ONNX_MODULES = ("onnx", "onnxscript", "onnxruntime")

#: Inputs by name -> what the policy gives: a chunk (1, H, A), or an action.
Runner = Callable[[Mapping[str, np.ndarray]], np.ndarray]


class PolicyFunction(nn.Module):
    """A policy as a function of plain tensors, one observation at a time: `inputs` in their order -> `gives`.

    Attributes:
        inputs: name -> shape without the leading one.
        gives: "chunk" or "action".
    """

    inputs: dict[str, tuple[int, ...]]
    gives: str

    def run(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the policy itself gives for inputs by name: what every exported file must give, too."""
        raise NotImplementedError

    def spread(self) -> np.ndarray:
        """(A,) how far one unit of the normalised action is, in the action's own."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Inputs as the data may hold them."""
        raise NotImplementedError

    def description(self) -> dict[str, Any]:
        """What the file says of itself: at least `type` and `inputs`."""
        raise NotImplementedError


class ChunkFunction(PolicyFunction):
    """A policy that predicts chunks (1, H, A). Its inputs are those of its configuration, `task` where it reads
    instructions (word ids), `noise` where it samples."""

    gives = "chunk"

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        config = policy.config
        self.policy = policy.cpu().eval().requires_grad_(False)
        self.samples = getattr(config, "objective", None) in ("flow", "ddim")
        self.inputs = dict(config.input_shapes)
        if config.language:
            self.inputs[TASK] = (MAX_WORDS,)
        if self.samples:
            self.inputs[NOISE] = (config.chunk_size, config.action_dim)

    def forward(self, *tensors: Tensor) -> Tensor:
        observation = dict(zip(self.inputs, tensors, strict=True))
        policy: Any = self.policy
        if not self.samples:
            return policy.predict_chunk(observation)
        noise = observation.pop(NOISE)
        return policy.normalizer.denormalize(ACTION, policy.sample(policy.encode(observation), noise))

    def run(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        with torch.no_grad():
            return self(*(torch.from_numpy(values[name]) for name in self.inputs)).numpy()

    def spread(self) -> np.ndarray:
        ends = [torch.full((self.policy.config.action_dim,), end) for end in (0.0, 1.0)]
        low, high = (self.policy.normalizer.denormalize(ACTION, end).numpy() for end in ends)
        return high - low

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Inputs as the data may hold them: vectors spread as the normalisation says, any picture, any words."""
        values: dict[str, np.ndarray] = {}
        for name, shape in self.inputs.items():
            if camera_of(name):
                values[name] = rng.integers(0, 256, (1, *shape), dtype=np.uint8)
            elif name == TASK:
                values[name] = rng.integers(1, BUCKETS, (1, *shape))
            else:
                plain = torch.from_numpy(rng.standard_normal((1, *shape), dtype=np.float32))
                values[name] = (plain if name == NOISE else self.policy.normalizer.denormalize(name, plain)).numpy()
        return values

    def description(self) -> dict[str, Any]:
        config = self.policy.config
        return {"type": config.type, **to_document(config), "inputs": self.inputs}


def export_policy(function: PolicyFunction, form: Format, path: Path) -> None:
    """Write `function` to `path`, its configuration and inputs inside. RoboticsError without the extra `export`.

    ONNX by torch's exporter of traced programs: the older one gives other numbers for the same network (torch 2.13).
    """
    example = function.draw(np.random.default_rng(0))
    tensors = tuple(torch.from_numpy(example[name]) for name in function.inputs)
    if form == "onnx":
        require_onnx()
    with _quiet(), torch.no_grad():
        if form == "torchscript":
            module = torch.jit.trace(function, tensors, check_trace=False)
            torch.jit.save(module, path, _extra_files={DESCRIPTION: json.dumps(function.description())})
            return
        names = list(function.inputs)
        program = torch.onnx.export(function, tensors, input_names=names, output_names=[ACTION], verbose=False)
        assert program is not None
        program.model.metadata_props[DESCRIPTION] = json.dumps(function.description())
        program.save(path, external_data=False)


def open_exported(form: Format, path: Path) -> Runner:
    """The function in a file that `export_policy` wrote, on one thread (TorchScript: on as many as torch uses)."""
    if form == "torchscript":
        described = {DESCRIPTION: ""}
        with _quiet():
            module = torch.jit.load(path, _extra_files=described)
        names = list(json.loads(described[DESCRIPTION])["inputs"])

        def run(values: Mapping[str, np.ndarray]) -> np.ndarray:
            with torch.no_grad():
                return module(*(torch.from_numpy(values[name]) for name in names)).numpy()

        return run
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda values: session.run([ACTION], dict(values))[0]


def require_onnx() -> None:
    """RoboticsError naming what is not installed of the extra `export`, and how to get it."""
    missing = [name for name in ONNX_MODULES if find_spec(name) is None]
    if missing:
        raise RoboticsError(
            f"format onnx needs {', '.join(missing)}: install the extra with pip install 'robotics[export]', "
            "or export as torchscript"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Both exporters talk of their own internals, the tracer of every shape that it takes for a constant: here those
    are, since one observation comes at a time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
