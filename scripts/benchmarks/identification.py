"""What `robotics sysid` makes of logs of real robots, and of logs whose truth is known.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/benchmarks/identification.py --logs FOLDER [--only cube …] [--sets 20]

FOLDER holds the published logs: sage_so101/*.npz, contactnets_cube/tosses.npz, dfki_double_pendulum/*.npz,
dfki_simple_pendulum/*.csv (scripts/examples/sysid/ says where they are from). Every number is of motions that were held
out, three in ten, drawn by seed 0; the simple pendulum's are named, since its runs carry different masses. Each part
replaces its own entry of results/identification.json, with the commit that it was measured at.

`known`: a servo arm of two joints whose masses, friction, armature, stiffness, damping and delay are drawn anew for
each set; 60 s of `robotics sysid excite`, simulated by plain MuJoCo; encoders of 4096 steps, torques with noise.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from provenance import publish

from robotics.sim2real.identification.excitation import excite
from robotics.sim2real.identification.identify import Settings, identify
from robotics.sim2real.identification.split import HELD_OUT

NAME = "identification"
EXAMPLES = Path(__file__).parents[1] / "examples" / "sysid"
CUBE_HALF_WIDTH_M = 0.0524
#: Runs of the simple pendulum, and for how long nobody pushes it [s]: at 2.9 s of `ilqr` it turns round within 0.2 s
#: against its torque, at 7.3 s of `energy_shaping` it leaves its rest on top.
UNTOUCHED_S = {"ddp": 6.0, "ilqr": 2.9, "energy_shaping": 7.3}
RATE_HZ, TIMESTEP_S = 50.0, 0.002
ENCODER_RAD, TORQUE_NOISE_NM = 2 * np.pi / 4096, 0.03
NOMINAL = {
    "mass.upper": 0.4,
    "mass.lower": 0.3,
    "friction.shoulder": 0.15,
    "friction.elbow": 0.1,
    "armature.shoulder": 0.03,
    "armature.elbow": 0.02,
    "stiffness.shoulder": 15.0,
    "stiffness.elbow": 12.0,
    "damping.shoulder": 0.6,
    "damping.elbow": 0.5,
    "delay": 0.0,
}


def judged(robot: str, log: Path, settings: Settings) -> dict[str, Any]:
    """The document of one identification, and the seconds it took."""
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as out:
        document = identify(robot, log, Path(out) / "sysid", settings)
    return document | {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}


def summary(document: dict[str, Any]) -> dict[str, Any]:
    error = document["replay_rmse"]["heldout"]
    return {
        "heldout_rmse": error,
        "reduction": 1 - error["fitted"] / error["nominal"],
        "trivial_rmse": document["trivial_rmse"],
        "horizon_s": document["settings"]["horizon_s"],
        "promoted": document["promoted"],
        "improvement": document["improvement"],
        "motions": {name: len(motions) for name, motions in document["motions"].items()},
        "parameters": {
            name: [row["value"], *row["ci95"], row["identifiable"]] for name, row in document["parameters"].items()
        },
        "cpu_s": document["cpu_s"],
        "wall_s": document["wall_s"],
    }


def so101(logs: Path) -> dict[str, Any]:
    return summary(judged("so101", logs / "sage_so101", Settings()))


def double_pendulum(logs: Path) -> dict[str, Any]:
    return pendulum_series(logs, perturbed=False)


def double_pendulum_perturbed(logs: Path) -> dict[str, Any]:
    """Another series of runs, in which the motors also disturb; their torques and frictions are others than before."""
    return pendulum_series(logs, perturbed=True)


def pendulum_series(logs: Path, perturbed: bool) -> dict[str, Any]:
    """One series of runs; the motions that are held out are its share of three in ten of all runs."""
    robot, where = EXAMPLES / "double_pendulum.toml", logs / "dfki_double_pendulum"
    names = sorted(path.stem for path in where.glob("*.npz"))
    series = [name for name in names if ("perturbed" in name) == perturbed]
    held = [names[i] for i in np.random.default_rng(0).choice(len(names), round(HELD_OUT * len(names)), replace=False)]
    with tempfile.TemporaryDirectory() as folder:
        for name in series:
            (Path(folder) / f"{name}.npz").symlink_to(where / f"{name}.npz")
        settings = Settings(fit_s=60.0, starts=4, held_out=tuple(name for name in series if name in held))
        document = judged(str(robot), described("double_pendulum", Path(folder)), settings)
    return summary(document) | {"heldout_rmse_of": by_kind(document, ("acrobot", "pendubot", "sysid"))}


def by_kind(document: dict[str, Any], kinds: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Held-out RMSE of the motions whose names begin so."""
    found = {}
    for kind in kinds:
        errors = {}
        for model, judgement in document["heldout"].items():
            squares = [error**2 for name, error in judgement["per_motion"].items() if name.startswith(kind)]
            errors |= {model: float(np.sqrt(np.mean(squares)))} if squares else {}
        found |= {kind: errors} if errors else {}
    return found


def simple_pendulum(logs: Path) -> dict[str, Any]:
    """Fitted to one run, judged by two that carry the same mass: each until a hand pushes the pendulum."""
    robot, where = str(EXAMPLES / "simple_pendulum.toml"), logs / "dfki_simple_pendulum"
    with tempfile.TemporaryDirectory() as folder:
        for control, until_s in UNTOUCHED_S.items():
            name = f"control_method_{control}__data_measured.csv"
            header, *rows = (where / name).read_text().splitlines()
            kept = [row for row in rows if float(row.split(",")[0]) < until_s]
            (Path(folder) / name).write_text("\n".join([header, *kept]) + "\n")
        held = tuple(f"control_method_{control}__data_measured" for control in ("ilqr", "energy_shaping"))
        settings = Settings(horizon_s=0.5, held_out=held)
        return summary(judged(robot, described("simple_pendulum", Path(folder)), settings))


def cube(logs: Path) -> dict[str, Any]:
    description = (
        (EXAMPLES / "cube_log.toml").read_text().replace('"*.npz"', f'"{logs / "contactnets_cube/tosses.npz"}"')
    )
    scale = CUBE_HALF_WIDTH_M  # positions and speeds are in half widths
    described_text = f'lengths = "length"\nunits = {{position = {scale}, velocity = {scale}}}\n' + description
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.toml"
        path.write_text(described_text)
        document = judged(str(EXAMPLES / "cube.toml"), path, Settings(fit_s=200.0, starts=8))
    held, width = document["heldout"], 2 * CUBE_HALF_WIDTH_M
    widths: dict[str, Any] = {kind: held[kind]["mean_distance_median"] / width for kind in ("nominal", "fitted")}
    widths["fitted_ci95"] = [end / width for end in held["fitted"]["mean_distance_median_ci95"]]
    return summary(document) | {"median_error_in_widths": widths}


def described(name: str, where: Path) -> Path:
    """The example's description, for logs that lie elsewhere."""
    text = (EXAMPLES / f"{name}_log.toml").read_text()
    pattern = text.split('files = "')[1].split('"')[0]
    path = Path(tempfile.mkdtemp()) / "log.toml"
    path.write_text(text.replace(f'"{pattern}"', f'"{where / pattern}"'))
    return path


# -- known truth ----


def arm(values: dict[str, float]) -> str:
    """A servo arm of two joints, as MJCF."""

    def joint(name: str) -> str:
        v = {key: values[f"{key}.{name}"] for key in ("damping", "friction", "armature")}
        return (
            f'<joint name="{name}" axis="0 1 0" range="-2 2" damping="{v["damping"]}" frictionloss="{v["friction"]}" '
            f'armature="{v["armature"]}"/>'
        )

    def inertial(name: str) -> str:
        mass = values[f"mass.{name}"]
        inertia = 0.004 * mass
        return f'<inertial pos="0.12 0 0" mass="{mass}" diaginertia="{inertia} {inertia} {inertia}"/>'

    return f"""
    <mujoco>
      <compiler angle="radian" autolimits="true"/>
      <option timestep="{TIMESTEP_S}" integrator="implicitfast" jacobian="dense"/>
      <worldbody>
        <body name="upper">{joint("shoulder")}{inertial("upper")}
          <body name="lower" pos="0.2 0 0">{joint("elbow")}{inertial("lower")}</body>
        </body>
      </worldbody>
      <actuator>
        <position joint="shoulder" kp="{values["stiffness.shoulder"]}" forcerange="-20 20"/>
        <position joint="elbow" kp="{values["stiffness.elbow"]}" forcerange="-20 20"/>
      </actuator>
    </mujoco>
    """


def record(values: dict[str, float], time_s: np.ndarray, command: np.ndarray, rng: np.random.Generator) -> dict:
    """Columns of a log of the arm with these values, by plain MuJoCo, with noise."""
    model = mujoco.MjModel.from_xml_string(arm(values))
    data = mujoco.MjData(model)
    data.ctrl[:] = command[0]
    mujoco.mj_step(model, data, nstep=2000)
    ticks = round(1 / (RATE_HZ * TIMESTEP_S))
    position, torque = np.empty_like(command), np.empty_like(command)
    for step in range(len(time_s) * ticks):
        if step % ticks == 0:
            position[step // ticks], torque[step // ticks] = data.qpos, data.actuator_force
        late = np.searchsorted(time_s, step * TIMESTEP_S - values["delay"] + 1e-9, side="right") - 1
        data.ctrl[:] = command[max(late, 0)]
        mujoco.mj_step(model, data)
    position = np.round(position / ENCODER_RAD) * ENCODER_RAD
    torque = torque + rng.normal(0, TORQUE_NOISE_NM, torque.shape)
    columns = {"time": time_s}
    for i, joint in enumerate(("shoulder", "elbow")):
        columns |= {
            f"{joint}.position": position[:, i],
            f"{joint}.command": command[:, i],
            f"{joint}.torque": torque[:, i],
        }
    return columns


def known(sets: int) -> dict[str, Any]:
    """Errors of the values and how often the intervals hold the truth, over `sets` data sets."""
    errors: dict[str, list[float]] = {name: [] for name in NOMINAL}
    held: list[bool] = []
    families = tuple(dict.fromkeys(name.split(".")[0] for name in NOMINAL))
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        truth = {name: value * float(rng.uniform(0.6, 1.6)) for name, value in NOMINAL.items()}
        truth["delay"] = TIMESTEP_S * int(rng.integers(0, 11))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "arm.xml").write_text(arm(NOMINAL))
            plan = excite(str(folder / "arm.xml"), 60.0, RATE_HZ, 3.0, 3.0, seed)
            (folder / "logs").mkdir()
            np.savez(folder / "logs" / "excited.npz", **record(truth, plan.time, plan.command, rng))
            settings = Settings(families=families, observe=("position", "torque"), starts=0, window_s=5.0)
            document = judged(str(folder / "arm.xml"), folder / "logs", settings)
        for name, row in document["parameters"].items():
            error = row["value"] - truth[name]
            errors[name].append(error if name == "delay" else error / truth[name])
            held.append(row["ci95"][0] <= truth[name] <= row["ci95"][1])
        print(seed, {name: round(values[-1], 4) for name, values in errors.items()}, sum(held), len(held), flush=True)
    return {
        "sets": sets,
        "largest_relative_error": {n: float(np.abs(v).max()) for n, v in errors.items() if n != "delay"},
        "largest_delay_error_s": float(np.abs(errors["delay"]).max()),
        "within_5_percent": float(np.mean([abs(e) <= 0.05 for n, v in errors.items() if n != "delay" for e in v])),
        "intervals_hold_the_truth": float(np.mean(held)),
        "intervals": len(held),
    }


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "so101": so101,
    "cube": cube,
    "double_pendulum": double_pendulum,
    "double_pendulum_perturbed": double_pendulum_perturbed,
    "simple_pendulum": simple_pendulum,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--logs", type=Path, help="folder of the published logs; their parts are skipped without it")
    parser.add_argument("--only", nargs="*", choices=[*PARTS, "known"], default=[*PARTS, "known"])
    parser.add_argument("--sets", type=int, default=20)
    options = parser.parse_args()
    for name in options.only:
        if name != "known" and options.logs is None:
            print(f"{name}: skipped, no --logs")
            continue
        part = known(options.sets) if name == "known" else PARTS[name](options.logs.resolve())
        publish(NAME, {}, parts={name: part})


if __name__ == "__main__":
    main()
