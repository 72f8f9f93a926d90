"""A robot in MuJoCo with a model-based cerebellum, a learned cerebrum, and an evaluation that tells the truth.

Importing this package registers the environments with Gymnasium by name only: nothing heavier than Gymnasium itself
is imported until an environment is made.
"""

from gymnasium.envs.registration import register as _register

__version__ = "0.1.0"

#: Environment id -> (entry point, keyword arguments of the registration). The one list of what exists.
ENVIRONMENTS: dict[str, dict] = {
    "robotics/TransferCube-v0": {
        "entry_point": "robotics.envs.tasks.transfer_cube:TransferCube",
        "max_episode_steps": 400,
    },
}

for _id, _kwargs in ENVIRONMENTS.items():
    _register(id=_id, **_kwargs)
