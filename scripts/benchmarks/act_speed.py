"""Training steps of ACT at LeRobot's default architecture, ours beside LeRobot's, on the same windows in one order.

    .venv/bin/python scripts/benchmarks/act_speed.py [--repetitions 5] [--steps 6] [--only state/fp32 …] [--out NAME]

Two observations (state and environment state; state and two 96x96 cameras), batch 8, in fp32 and under bf16 autocast.
The two programs take turns, `steps` at a time after a warm-up, so that a busy machine slows both; medians over the
repetitions. How both learn: `l1_second_half`, the mean error of the second half of their steps, and `l1`, all of them.
Ours is the whole training loop (batch, normalisation, network, optimiser, average of the weights); LeRobot's is its own
`update_policy` on batches that are ready and normalised, by its own torch. `scripts/lerobot/venv` makes its virtual
environment.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from provenance import publish

ENV = "robotics/TransferCube-v0"
CAMERAS, SIDE, EPISODES = ("top", "left_wrist"), 96, 4
INPUTS = {"state": "state,environment_state", "cameras": "state,top,left_wrist"}
BATCH, WARM_UP, SEED = 8, 2, 0
LEROBOT = Path(__file__).parent.parent / "lerobot"


def make_trainer(data: Path, run: Path, inputs: str, precision: str) -> Any:
    """Our trainer for the preset `paper`, which is LeRobot's default architecture and optimiser."""
    import torch

    from robotics.datasets.reader import Dataset
    from robotics.policies.act_config import ActConfig
    from robotics.policies.registry import make_policy
    from robotics.training.config import TrainConfig
    from robotics.training.data import TrainingData, choose_inputs
    from robotics.training.loop import Trainer
    from robotics.training.presets import preset
    from robotics.vocabulary import ACTION

    dataset = Dataset.open(data)
    chosen, recipe = choose_inputs(dataset, INPUTS[inputs]), preset("act", "paper")
    torch.manual_seed(SEED)
    shapes = {key: tuple(dataset.features[key]["shape"]) for key in chosen}
    policy = make_policy(ActConfig(input_shapes=shapes, action_dim=dataset.features[ACTION]["shape"][0]))
    frames = TrainingData.load([dataset], chosen)
    columns = {**frames.observations, ACTION: frames.actions}
    policy.fit_normalizer({key: values.numpy() for key, values in columns.items()})
    settings = {**recipe.training, "batch_size": BATCH, "seed": SEED, "precision": precision, "device": "cpu"}
    return Trainer(policy, frames, run, TrainConfig(**settings))


def export(trainer: Any, steps: int, path: Path) -> None:
    """The batches of the first `steps` steps, vectors and actions normalised, for LeRobot."""
    from robotics.policies.base import ACTION_IS_PAD
    from robotics.vocabulary import ACTION

    policy = trainer.policy
    wanted = [*policy.config.input_shapes, ACTION, ACTION_IS_PAD]
    normalised = {*policy.config.vector_dims, ACTION}
    columns: dict[str, list[np.ndarray]] = {key: [] for key in wanted}
    for step in range(steps):
        batch = trainer.data.batch(trainer.sampler.frames(step), policy.config.chunk_size)
        for key in wanted:
            value = policy.normalizer.normalize(key, batch[key]) if key in normalised else batch[key]
            columns[key].append(value.numpy())
    np.savez(path, **{key: np.stack(values) for key, values in columns.items()})


def serve(data: Path, run: Path, inputs: str, precision: str) -> None:
    """Our side, as scripts/lerobot/act_speed.py: for every line "N" N steps and one JSON line."""
    import torch

    trainer = make_trainer(data, run, inputs, precision)
    parameters = sum(p.numel() for p in trainer.policy.parameters())
    print(json.dumps({"torch": torch.__version__, "parameters": parameters}), flush=True)
    for line in sys.stdin:
        losses = []
        started = time.perf_counter()
        for _ in range(int(line)):
            trainer.step()
            losses.append(float(trainer.terms["l1"]))
        print(json.dumps({"seconds": time.perf_counter() - started, "l1": losses}), flush=True)


@contextmanager
def side(command: list[str]) -> Iterator[tuple[dict[str, Any], Any]]:
    """What a program says about itself, and a function that lets it take steps."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout

    def answer() -> dict[str, Any]:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"error: {command[1]} ended with {process.wait()}")
        return json.loads(line)

    def take(steps: int) -> dict[str, Any]:
        print(steps, file=process.stdin, flush=True)
        return answer()

    try:
        yield answer(), take
    finally:
        process.stdin.close()
        process.wait()


def compare(data: Path, work: Path, inputs: str, precision: str, repetitions: int, steps: int) -> dict[str, Any]:
    """Samples per second of both, medians; and whether they learn the same."""
    batches = work / f"{inputs}.npz"
    if not batches.exists():
        export(make_trainer(data, work / "run", inputs, "fp32"), WARM_UP + repetitions * steps, batches)
    peer = subprocess.run([LEROBOT / "venv"], check=True, capture_output=True, text=True).stdout.strip()
    ours = [sys.executable, __file__, "--serve", str(data), str(work / "run"), inputs, precision]
    theirs = [peer, str(LEROBOT / "act_speed.py"), str(batches), precision]
    rows: dict[str, list[dict[str, Any]]] = {"ours": [], "lerobot": []}
    with side(ours) as (about_us, our_steps), side(theirs) as (about_them, their_steps):
        first = {"ours": our_steps(WARM_UP), "lerobot": their_steps(WARM_UP)}
        for _ in range(repetitions):
            rows["ours"].append(our_steps(steps))
            rows["lerobot"].append(their_steps(steps))
    curves = {name: [*first[name]["l1"], *(loss for row in rows[name] for loss in row["l1"])] for name in rows}
    rates = {name: [BATCH * steps / row["seconds"] for row in rows[name]] for name in rows}
    last = {name: float(np.mean(curve[-len(curve) // 2 :])) for name, curve in curves.items()}
    return {
        "ours": about_us,
        "lerobot": about_them,
        "samples_per_s": {name: round(median(values), 2) for name, values in rates.items()},
        "ratio": round(median(a / b for a, b in zip(rates["ours"], rates["lerobot"], strict=True)), 2),
        "l1_second_half": {name: round(value, 4) for name, value in last.items()},
        "l1": {name: [round(value, 4) for value in curve] for name, curve in curves.items()},
    }


def summary(case: str, row: dict[str, Any]) -> str:
    """A case in a line: what it measured, and with which torch on either side."""
    (ours, theirs), (error, their_error) = (
        (row[part]["ours"], row[part]["lerobot"]) for part in ("samples_per_s", "l1_second_half")
    )
    return (
        f"{case}: {ours} and {theirs} samples/s, {row['ratio']} x; l1 in the second half of the steps {error} and "
        f"{their_error}; torch {row['ours']['torch']} and {row['lerobot']['torch']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    cases = [f"{inputs}/{precision}" for inputs in INPUTS for precision in ("fp32", "bf16")]
    parser.add_argument("--only", nargs="*", default=cases, choices=cases)
    parser.add_argument("--out", default="act_speed", help="name of the results file")
    options = parser.parse_args()

    from robotics.datasets.collect import collect

    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        collect(ENV, EPISODES, 0, data, env_kwargs={"cameras": CAMERAS, "image_size": (SIDE, SIDE)})
        for case in options.only:
            inputs, precision = case.split("/")
            results[case] = compare(data, Path(folder), inputs, precision, options.repetitions, options.steps)
            print(summary(case, results[case]), file=sys.stderr)
    for inputs in INPUTS:  # bf16 is the lever: against what LeRobot does by default
        fp32, bf16 = results.get(f"{inputs}/fp32"), results.get(f"{inputs}/bf16")
        if fp32 and bf16:
            ours, theirs = bf16["samples_per_s"]["ours"], fp32["samples_per_s"]["lerobot"]
            results[f"{inputs}/our bf16 to its fp32"] = round(ours / theirs, 2)
    publish(options.out, {"env": ENV, "batch": BATCH, "steps": options.steps, "cases": results})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:6])
    else:
        main()
