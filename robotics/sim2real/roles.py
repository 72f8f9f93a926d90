"""Which parts of a scene are the robot, which are objects: read from the model alone, so it holds for any task."""

from dataclasses import dataclass

import mujoco
import numpy as np

Array = np.ndarray

_FREE = int(mujoco.mjtJoint.mjJNT_FREE)
_HINGE = int(mujoco.mjtJoint.mjJNT_HINGE)


@dataclass(frozen=True)
class Roles:
    """Indices into a model's arrays.

    A kinematic tree that an actuator moves is the robot's; one that moves without is an object.

    Attributes:
        robot: bodies of the robot.
        carriers: the bodies that carry its load: the one with the free joint, or the last one behind a driven hinge.
        joints: the robot's hinges and slides, as joints; `angles` into qpos and `rates` into qvel are theirs.
        turning: of those, which are hinges: what is given in radians concerns no finger that slides.
        dofs: all degrees of freedom of the robot.
        hinged: the actuators of hinges; `servos`: those of joints that are position servos.
        affine: all servos, of joints or of what else, of positions or of speeds.
        spin: into qvel, the turning rates of the robot's free bases.
        objects: bodies of objects; `placed`: into qpos, where the free ones are (k, 3); `freed`: those bodies (k,).
        static: geoms of the world that neither robot nor object is.
        mass: of the whole robot [kg]; `limits`: torque limits of `joints` (k,) [N m, N], 0 where there is none.
    """

    robot: Array
    carriers: Array
    joints: Array
    angles: Array
    rates: Array
    turning: Array
    dofs: Array
    hinged: Array
    servos: Array
    affine: Array
    spin: Array
    objects: Array
    placed: Array
    freed: Array
    static: Array
    mass: float
    limits: Array


def roles_of(model: mujoco.MjModel) -> Roles:
    """The roles in `model`. Cheap."""
    joint_trees = model.dof_treeid[model.jnt_dofadr]
    on_joint = np.isin(model.actuator_trntype, [int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT)])
    target = np.where(on_joint, model.actuator_trnid[:, 0], 0)
    driven = np.unique(target[on_joint])
    trees = np.unique(joint_trees[driven])
    of_robot = np.isin(joint_trees, trees)
    free = model.jnt_type == _FREE
    single = np.isin(model.jnt_type, [_HINGE, int(mujoco.mjtJoint.mjJNT_SLIDE)])
    joints = np.flatnonzero(of_robot & single)
    bases, loose = np.flatnonzero(of_robot & free), np.flatnonzero(~of_robot & free)
    robot = np.flatnonzero(np.isin(model.body_treeid, trees) & (model.body_treeid >= 0))
    objects = np.flatnonzero(~np.isin(model.body_treeid, trees) & (model.body_treeid >= 0))
    affine = model.actuator_biastype == int(mujoco.mjtBias.mjBIAS_AFFINE)
    still = (model.body_treeid < 0) & (model.body_mocapid < 0)
    return Roles(
        robot=robot,
        carriers=_carriers(model, trees, driven, bases),
        joints=joints,
        angles=model.jnt_qposadr[joints],
        rates=model.jnt_dofadr[joints],
        turning=model.jnt_type[joints] == _HINGE,
        dofs=np.flatnonzero(np.isin(model.dof_treeid, trees)),
        hinged=np.flatnonzero(on_joint & (model.jnt_type[target] == _HINGE)),
        servos=np.flatnonzero(on_joint & affine),
        affine=np.flatnonzero(affine),
        spin=(model.jnt_dofadr[bases][:, None] + np.arange(3, 6)).ravel(),
        objects=objects,
        placed=model.jnt_qposadr[loose][:, None] + np.arange(3),
        freed=model.jnt_bodyid[loose],
        static=np.flatnonzero(still[model.geom_bodyid]),
        mass=float(model.body_mass[robot].sum()),
        limits=_limits(model, target, on_joint)[joints],
    )


def _limits(model: mujoco.MjModel, target: Array, on_joint: Array) -> Array:
    """What each joint (njnt,) can be driven with [N m, N]: by its own limit, or by its actuator's."""
    limits = np.where(model.jnt_actfrclimited.astype(bool), model.jnt_actfrcrange[:, 1], 0.0)
    for actuator in np.flatnonzero(on_joint & model.actuator_forcelimited.astype(bool)):
        if limits[target[actuator]] == 0.0:
            limits[target[actuator]] = model.actuator_forcerange[actuator, 1]
    return limits


def _carriers(model: mujoco.MjModel, trees: Array, driven: Array, bases: Array) -> Array:
    found = []
    for tree in trees:
        floating = [joint for joint in bases if model.dof_treeid[model.jnt_dofadr[joint]] == tree]
        hinges = [j for j in driven if model.dof_treeid[model.jnt_dofadr[j]] == tree and model.jnt_type[j] == _HINGE]
        every = [j for j in driven if model.dof_treeid[model.jnt_dofadr[j]] == tree]
        found.append(model.jnt_bodyid[floating[0] if floating else (hinges or every)[-1]])
    return np.array(sorted(found), int)
