"""What simulated arms have in common, whatever holds them: their joints put somewhere, and a load hung on a hand."""

import mujoco
import numpy as np

from robotics.controllers.limbs import joints_above
from robotics.controllers.model import couplings
from robotics.controllers.robot_spec import RobotSpec
from robotics.errors import UsageError

Array = np.ndarray

#: A collision bit that nobody has: of geoms that touch nothing, and yet are not discarded as URDF's visual ones are.
UNTOUCHED = 1 << 30
#: Links that touch may be this deep in each other [m], as finger tips are that close on each other.
_INSIDE = 0.002


def place_joints(model: mujoco.MjModel, data: mujoco.MjData, addresses: Array, q: Array) -> None:
    """Put the joints at `addresses` of qpos at `q` (n,), at rest; everything else starts as the model says, coupled
    joints along."""
    data.qpos[addresses] = q
    start, known = model.qpos0, np.flatnonzero(np.isin(model.jnt_qposadr, addresses)).tolist()
    for follower, leader, line in couplings(model, known):
        first, second = model.jnt_qposadr[[follower, leader]]
        data.qpos[first] = start[first] + np.polynomial.polynomial.polyval(data.qpos[second] - start[second], line)
    mujoco.mj_forward(model, data)


def require_apart(model: mujoco.MjModel, spec: RobotSpec) -> None:
    """Raise UsageError naming two links of a robot that are inside each other at home: what is between them jams."""
    data = mujoco.MjData(model)
    place_joints(model, data, np.array([model.joint(j).qposadr[0] for j in spec.joints]), np.array(spec.home))
    joints = {int(model.joint(joint).id) for joint in spec.joints}
    for contact in data.contact:
        first, second = (int(model.geom_bodyid[geom]) for geom in (contact.geom1, contact.geom2))
        between = joints & (set(joints_above(model, first)) ^ set(joints_above(model, second)))
        if contact.dist < -_INSIDE and between and first and second:
            raise UsageError(
                f"robot {spec.name}: its links '{model.body(first).name}' and '{model.body(second).name}' are "
                f"{-1e3 * contact.dist:.0f} mm inside each other at home and would jam: let them not collide "
                "(<contact><exclude/></contact>, or no collision geometry), or give another home"
            )


def hang(scene: mujoco.MjSpec, site: str, mass: float) -> None:
    """A ball of that mass [kg] at a site, to be seen and not to be touched."""
    hand = _site(scene, site)
    load = hand.parent.add_body(name=f"robotics_payload_{site}", pos=hand.pos)
    load.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.03, 0, 0], mass=mass)
    load.geoms[0].contype, load.geoms[0].conaffinity = UNTOUCHED, 0
    load.geoms[0].rgba = [0.8, 0.5, 0.2, 1]


def name_of_body(scene: mujoco.MjSpec, site: str) -> str:
    """Of the body that a site is on, which is given one where it has none."""
    body = _site(scene, site).parent
    body.name = body.name or f"robotics_{site}"
    return str(body.name)


def name_of_joints_body(scene: mujoco.MjSpec, joint: str) -> str:
    """Of the body that a joint moves, which is given one where it has none."""
    body = next(j for j in scene.joints if j.name == joint).parent
    body.name = body.name or f"robotics_{joint}"
    return str(body.name)


def _site(scene: mujoco.MjSpec, name: str) -> mujoco.MjsSite:
    return next(s for s in scene.sites if s.name == name)


def substeps(model: mujoco.MjModel, period_s: float, robot: str) -> int:
    """Steps of physics in one period of the controller. Raises UsageError where they do not fit into it."""
    count = round(period_s / model.opt.timestep)
    if abs(count * model.opt.timestep - period_s) > 1e-9:
        raise UsageError(f"robot {robot}: its time step does not fit into {period_s} s")
    return count
