"""`robotics export`: a trained policy as one file for other runtimes, checked and timed."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from robotics.errors import RoboticsError, UsageError
from robotics.outputs import refuse_existing, require_writable


@dataclass(frozen=True)
class Options:
    """A trained policy as one file for other runtimes, checked against the policy, with a latency table."""

    policy: Path
    """A run or a checkpoint folder, of act, dit, diffuser or bc: observations -> chunk; of ppo or sac: -> action."""
    out: Path
    """The file to write."""
    format: Literal["onnx", "torchscript"] = "onnx"
    """onnx needs the extra: pip install 'robotics[export]'."""
    repeat: int = 100
    """Calls that are timed, each on one thread."""
    overwrite: bool = False
    """Replace --out."""
    json: bool = False
    """Print the measurements as JSON, and nothing else, on stdout."""


def run(options: Options) -> None:
    _check(options)
    document = _export(_function(str(options.policy)), options)
    print(json.dumps(document, indent=2, allow_nan=False) if options.json else describe(document, options.out))


def _function(policy: str) -> Any:
    """The `PolicyFunction` of a trained policy; UsageError for what was not trained."""
    from robotics.evaluation.agents import BUILT_IN, open_policy

    source = open_policy(policy)
    if policy in BUILT_IN:
        raise UsageError(f"{policy} is no network; export takes a trained policy")
    if source.execution is None:
        from robotics.reinforcement.export import ActionFunction

        return ActionFunction(policy)
    from robotics.policies.checkpoint import load_policy
    from robotics.policies.export import ChunkFunction

    return ChunkFunction(load_policy(policy))


def _check(options: Options) -> None:
    if options.repeat < 1:
        raise UsageError(f"--repeat {options.repeat}: at least one is needed")
    if options.out.is_dir():
        raise UsageError(f"--out {options.out} is a folder; give a file")
    refuse_existing(options.out, options.overwrite)
    if options.format == "onnx":
        from robotics.policies.export import require_onnx

        require_onnx()
    require_writable(options.out.resolve().parent)


def _export(function: Any, options: Options) -> dict[str, Any]:
    """Write the file, but only if it does what the policy does; what was measured."""
    import numpy as np

    from robotics.evaluation.one_thread import one_thread
    from robotics.policies.export import export_policy, open_exported
    from robotics.policies.export_check import PARITY, largest_difference, latencies
    from robotics.policies.packing import packed

    unproven = options.out.with_name(f".{options.out.name}.{os.getpid()}.tmp")
    try:
        with one_thread():
            export_policy(function, options.format, unproven)
            exported = open_exported(options.format, unproven)
            difference = largest_difference(function, exported)
            if difference > PARITY:
                raise RoboticsError(
                    f"the exported policy differs by up to {difference:.2g} from the original, more than {PARITY:g}; "
                    "nothing was written"
                )
            values = function.draw(np.random.default_rng(1))
            times = {
                "torch": latencies(packed(function).run, values, options.repeat),
                options.format: latencies(exported, values, options.repeat),
            }
        os.replace(unproven, options.out)
    finally:
        unproven.unlink(missing_ok=True)
    return {
        "schema": 1,
        "policy": str(options.policy),
        "out": str(options.out),
        "format": options.format,
        "bytes": options.out.stat().st_size,
        "inputs": {name: [1, *shape] for name, shape in function.inputs.items()},
        "max_difference": difference,
        "gives": function.gives,
        f"{function.gives}_ms": times,
    }


def describe(document: dict[str, Any], out: Path) -> str:
    """The document as a few lines for people."""
    lines = [f"{out}: {document['bytes'] / 1e6:.1f} MB"]
    lines.append("inputs       " + ", ".join(f"{name} {tuple(shape)}" for name, shape in document["inputs"].items()))
    lines.append(f"parity       differs by at most {document['max_difference']:.1e} from the policy, 20 random inputs")
    gives = document["gives"]
    lines += ["", f"{'ms per ' + gives:<14} median     99 %", "-" * 31]
    lines += [f"{name:<12} {time['p50']:>8.2f} {time['p99']:>8.2f}" for name, time in document[f"{gives}_ms"].items()]
    return "\n".join(lines)
