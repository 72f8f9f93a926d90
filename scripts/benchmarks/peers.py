"""Other projects' environments, each in a virtual environment of its own, made once under ~/.cache/robotics-peers."""

import json
import os
import subprocess
import venv
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "robotics-peers"
GYM_ALOHA = ("gym-aloha==0.1.5", "mujoco<3.9")

#: Steps per second of its transfer task with the camera; it renders 480 x 640 whatever size is asked for.
_STEPS = """
import json, sys, time, gymnasium, gym_aloha
env = gymnasium.make("gym_aloha/AlohaTransferCube-v0", obs_type="pixels_agent_pos", disable_env_checker=True)
env.reset(seed=int(sys.argv[1]))
actions = [env.action_space.sample() for _ in range(int(sys.argv[2]))]
env.step(actions[0])
started = time.perf_counter()
for action in actions:
    observation = env.step(action)[0]
wall = time.perf_counter() - started
import mujoco
print(json.dumps({"steps_per_s": len(actions) / wall, "image": list(observation["pixels"]["top"].shape),
                  "mujoco": mujoco.__version__}))
"""


def interpreter(name: str, requirements: tuple[str, ...]) -> Path:
    """Python of the virtual environment `name` with `requirements` in it; made when it is not there."""
    home = CACHE / name
    python, done = home / "bin" / "python", home / "installed"
    if not done.exists() or done.read_text() != repr(requirements):
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        done.write_text(repr(requirements))
    return python


def gym_aloha(processes: int, steps: int) -> dict:
    """Steps per second of all processes together."""
    python = interpreter("gym_aloha", GYM_ALOHA)
    environment = {**os.environ, "MUJOCO_GL": "egl", "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([python, "-c", _STEPS, str(n), str(steps)], stdout=subprocess.PIPE, env=environment, text=True)
        for n in range(processes)
    ]
    results = []
    for process in running:
        out, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"gym_aloha ended with {process.returncode}")
        results.append(json.loads(out.splitlines()[-1]))
    return {**results[0], "steps_per_s": sum(r["steps_per_s"] for r in results)}
