"""`robotics bench`: success rate of a policy on seeded episodes, with its interval."""

import json
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from robotics.cli.execution import ExecutionField, ExecutionOptions, executed
from robotics.errors import UsageError
from robotics.evaluation.circumstances import calibration_in_words, target_in_words
from robotics.evaluation.seeds import fingerprint, refuse_seed_beside_exam
from robotics.outputs import require_writable, write_json


@dataclass(frozen=True)
class Options:
    """Success rate of a policy on seeded episodes, with its interval."""

    env: str
    """Gymnasium id, ours or another package's (module:Id-v0)."""
    policy: str
    """expert, random, zero, a run or a checkpoint folder."""
    episodes: int = 50
    """Episodes."""
    seed: int = 1_000_000
    """Episode i uses seed + i; 1000000 … 1999999 are for development."""
    out: Path | None = None
    """Folder (a run, for example) that gets the document as bench-<policy>-<seed>.json."""
    exam: str | None = None
    """Secret key: seeds that nobody can have tuned to. The document names its fingerprint, never the key."""
    workers: int = 1
    """Processes; the result does not depend on it."""
    copies: int = 1
    """Episodes side by side in one process, for a trained policy: faster, and equal but for the rounding of batched
    matrix products, which a long episode can amplify."""
    how: ExecutionField = field(default_factory=ExecutionOptions)
    action_mode: str | None = None
    """What an action means; the policy's or the environment's own default when not given."""
    calibration: Path | None = None
    """Measure in the model of this calibration.json (of `robotics sysid`) too, on the same seeds."""
    target: str | None = None
    """Another place than the simulation as it is: twin:FILE (a hidden twin) or factors:NAME=VALUE,…"""
    allow_training_seeds: bool = False
    """Evaluate on seeds the policy was trained on, to see how much it overfits."""
    overwrite: bool = False
    """Replace the document in --out."""
    json: bool = False
    """Print the document, and nothing else, on stdout."""


def run(options: Options) -> None:
    refuse_seed_beside_exam(options.seed, options.exam)
    from robotics.evaluation.agents import open_policy
    from robotics.evaluation.bench import bench

    execution = options.how.asked()
    device = open_policy(options.policy, execution, options.how.device).device
    target = _target(options, device)
    measure = partial(
        bench,
        options.env,
        options.policy,
        options.episodes,
        options.seed,
        exam=options.exam,
        workers=options.workers,
        copies=options.copies,
        execution=execution,
        device=device,
        env_kwargs={} if options.action_mode is None else {"action_mode": options.action_mode},
        target=options.target,
        allow_training_seeds=options.allow_training_seeds,
    )
    if options.calibration is None:
        document = measure()
    else:  # both arms, always: identification can make a model agree that is none the better for it
        calibrated = measure(calibration=options.calibration)
        document = measure() | {"calibrated": {key: calibrated[key] for key in CALIBRATED_ARM}}
    if target:
        write_json(target, document)
    print(json.dumps(document, indent=2, allow_nan=False) if options.json else describe(document, target))


#: What a document says of the arm in the calibrated model, beside the whole of the nominal one.
CALIBRATED_ARM = ("calibration", "episodes", "success_rate", "success_ci95", "return_mean", "return_ci95", "faults")


def document_name(policy: str, seed: int, exam: str | None = None, execution: str = "") -> str:
    """`bench-<policy>-<seed>[-<execution>].json`, with a policy's folder name made harmless."""
    name = _harmless(Path(policy).name or "policy")
    seeds = str(seed) if exam is None else f"exam{fingerprint(exam)}"
    return f"bench-{name}-{seeds}{execution and '-' + execution}.json"


def _harmless(text: str) -> str:
    """As a part of a file's name; a path by its last part."""
    return re.sub(r"[^\w.=-]+", "_", text.rpartition("/")[2])[:80]


def describe(document: dict[str, Any], target: Path | None = None) -> str:
    """The document as a few lines for people."""
    lines = [f"{document['policy']} on {document['env']}, {len(document['episodes'])} episodes"]
    lines += executed(document)
    if "target" in document:
        lines.append(f"target       {target_in_words(document['target'])}")
    if document["success_rate"] is None:
        lines.append("success      not reported by this environment")
    else:
        low, high = document["success_ci95"]
        lines.append(f"success      {document['success_rate']:.1%}  [{low:.1%}, {high:.1%}] (95 % Wilson)")
    if "calibrated" in document:
        lines.append(_calibrated(document["calibrated"]))
    bounds = document["return_ci95"]
    sure = f"[{bounds[0]:.2f}, {bounds[1]:.2f}] (95 % bootstrap)" if bounds else "(no interval from one episode)"
    lines.append(f"return       {document['return_mean']:.2f}  {sure}")
    lengths = [episode["length"] for episode in document["episodes"]]
    lines.append(f"length       {sum(lengths) / len(lengths):.1f} steps")
    if document["control_hz"]:
        speed = sum(lengths) / document["control_hz"] / sum(episode["wall_s"] for episode in document["episodes"])
        lines.append(f"speed        {speed:.2f} x real time per process")
    ms = document["policy_ms"]
    lines.append(f"policy       {ms['p50']} ms an action (median), {ms['p99']} ms 99th percentile")
    if ms["inference_p50"] is not None:
        lines.append(
            f"inference    {ms['inference_p50']} ms a chunk (median), {ms['inference_p99']} ms 99th percentile"
        )
    if any(document["faults"].values()):
        lines.append(
            "faults       " + ", ".join(f"{name} {count}" for name, count in document["faults"].items() if count)
        )
    failed = [str(episode["seed"]) for episode in document["episodes"] if episode["success"] is False]
    if failed:
        lines.append(f"failed seeds {', '.join(failed[:10])}{', …' if failed[10:] else ''}")
    if target:
        lines.append(f"written to   {target}")
    return "\n".join(lines)


def _calibrated(arm: dict[str, Any]) -> str:
    about = calibration_in_words(arm["calibration"])
    if arm["success_rate"] is None:
        return f"calibrated   not reported by this environment ({about})"
    low, high = arm["success_ci95"]
    return f"calibrated   {arm['success_rate']:.1%}  [{low:.1%}, {high:.1%}] on the same seeds, in a model {about}"


def document_of(options: Options, device: str = "cpu") -> Path:
    """Where the document of a policy that acts on `device` goes: what is measured otherwise has another name."""
    assert options.out is not None
    how = options.how
    steps = "" if how.n_action_steps is None else f"steps{how.n_action_steps}"
    late = f"delay{how.delay}" if how.delay else ""
    shaken = "" if how.unstick is None else f"unstick{how.unstick:g}"
    on = "" if device == "cpu" else _harmless(device)
    place = "" if options.target is None else "on-" + _harmless(options.target.removesuffix(".json"))
    beside = "" if options.calibration is None else "calibrated"
    execution = "-".join(part for part in (how.execution, steps, late, shaken, on, place, beside) if part)
    return options.out / document_name(options.policy, options.seed, options.exam, execution)


def _target(options: Options, device: str) -> Path | None:
    """Where the document goes; UsageError when it is there already, or can not be."""
    if options.out is None:
        return None
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out {options.out} is a file; a folder is needed")
    target = document_of(options, device)
    if target.exists() and not options.overwrite:
        raise UsageError(f"{target} exists: give --overwrite to replace it, or another --out")
    require_writable(options.out)
    return target
