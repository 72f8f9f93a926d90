"""A robot in MuJoCo with a model-based cerebellum, a learned cerebrum, and an evaluation that tells the truth.

Importing this package registers the environments with Gymnasium by name only: nothing heavier than Gymnasium itself
is imported until an environment is made.
"""

from gymnasium.envs.registration import register as _register
from gymnasium.envs.registration import registry as _registry

from robotics.errors import UsageError as _UsageError
from robotics.plugins import load_plugins as _load_plugins

__version__ = "0.1.0"

#: Environment id -> the class of its task, "module:Class". The one list of what exists.
ENVIRONMENTS: dict[str, str] = {}


def register_task(env_id: str, task: str, max_episode_steps: int, **kwargs: object) -> None:
    """Make a task, of ours or of another package, known to `gymnasium.make`, its `make_vec` and `robotics list envs`.

    `task` is "module:Class" of a `robotics.envs.base.MujocoTask`; the module is imported when the environment is made,
    with `kwargs`. UsageError for an id that exists already, and for a task that is spelled otherwise.
    """
    if env_id in _registry:
        raise _UsageError(f"environment '{env_id}' exists already: register the task under another id")
    module, kind = task.split(":") if task.count(":") == 1 else ("", "")
    if not (module and kind):
        raise _UsageError(f"task '{task}' of environment '{env_id}': give \"module:Class\"")
    _register(
        id=env_id,
        entry_point=task,
        vector_entry_point=f"robotics.envs.vector:{module}.{kind}",
        max_episode_steps=max_episode_steps,
        kwargs=kwargs,
    )
    ENVIRONMENTS[env_id] = task


register_task("robotics/TransferCube-v0", "robotics.envs.tasks.transfer_cube:TransferCube", max_episode_steps=400)
register_task("robotics/ClothFold-v0", "robotics.envs.tasks.cloth_fold:ClothFold", max_episode_steps=500)
register_task(
    "robotics/BimanualInsertion-v0", "robotics.envs.tasks.bimanual_insertion:BimanualInsertion", max_episode_steps=500
)
register_task("robotics/Reach-v0", "robotics.envs.tasks.reach:Reach", max_episode_steps=150)
register_task("robotics/Lift-v0", "robotics.envs.tasks.lift:Lift", max_episode_steps=250)
register_task("robotics/PickPlace-v0", "robotics.envs.tasks.pick_place:PickPlace", max_episode_steps=350)
register_task("robotics/Stack-v0", "robotics.envs.tasks.stack:Stack", max_episode_steps=350)
register_task("robotics/DrawerOpen-v0", "robotics.envs.tasks.drawer_open:DrawerOpen", max_episode_steps=550)
register_task("robotics/Palletize-v0", "robotics.envs.tasks.palletize:Palletize", max_episode_steps=1200)
register_task(
    "robotics/PalletizeUnseen-v0", "robotics.envs.tasks.palletize:Palletize", max_episode_steps=1200, shapes="unseen"
)
register_task("robotics/PegInsertion-v0", "robotics.envs.tasks.peg_insertion:PegInsertion", max_episode_steps=600)
register_task("robotics/PushT-v0", "robotics.envs.tasks.push_t:PushT", max_episode_steps=1000)
register_task("robotics/MobileServe-v0", "robotics.envs.tasks.mobile_serve:MobileServe", max_episode_steps=800)
register_task("robotics/PathTrack-v0", "robotics.envs.tasks.path_track:PathTrack", max_episode_steps=160)

register_task(
    "robotics/QuadrupedVelocity-v0", "robotics.envs.tasks.quadruped_velocity:QuadrupedVelocity", max_episode_steps=300
)

register_task(
    "robotics/QuadrupedTerrain-v0", "robotics.envs.tasks.quadruped_terrain:QuadrupedTerrain", max_episode_steps=800
)
register_task(
    "robotics/HumanoidBalance-v0", "robotics.envs.tasks.humanoid_balance:HumanoidBalance", max_episode_steps=400
)

_load_plugins(ENVIRONMENTS)
