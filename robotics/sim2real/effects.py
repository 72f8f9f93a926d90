"""What each factor of the model does to it: formulas on MjModel fields that are nominal but for the other factors.

An effect is a function (fields, roles, value). `fields["body_mass"]` is a writable array: the model's own, or a copy to
be thrown away where that field is not due yet (`fields.Fields`).
"""

from collections.abc import Callable, Mapping

import mujoco
import numpy as np

from robotics.errors import UsageError
from robotics.sim2real.roles import Roles

Array = np.ndarray
Effect = Callable[[Mapping[str, Array], Roles, float], None]

# -- dynamics ---------------------------------------------------------------------------------------------------------


def mass(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    """Of every link, with its inertia: the same shape of another density."""
    m["body_mass"][roles.robot] *= value
    m["body_inertia"][roles.robot] *= value


def payload(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    """A point mass at the centre of mass of what carries the load, shared by several carriers."""
    m["body_mass"][roles.carriers] += value * roles.mass / len(roles.carriers)


def inertia(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    m["body_inertia"][roles.robot] *= value


def com(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    """Along the body's own x axis."""
    m["body_ipos"][roles.carriers, 0] += value


def joint_friction(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    m["dof_frictionloss"][roles.dofs] *= value


def added_friction(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    m["dof_frictionloss"][roles.rates] += value * roles.limits


def joint_damping(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    m["dof_damping"][roles.dofs] *= value


def armature(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    m["dof_armature"][roles.dofs] *= value


# -- actuators --------------------------------------------------------------------------------------------------------


def actuator_gain(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    """Stiffness of a servo, of the place or of the speed that it is told, or what a torque motor gives per command."""
    bias, paced = m["actuator_biasprm"], _paced(m, roles)
    m["actuator_gainprm"][:, 0] *= value
    bias[roles.affine, 1] *= value
    bias[paced, 2] *= value


def actuator_damping(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    """Of servos that hold a place: what damps a velocity servo is its gain."""
    m["actuator_biasprm"][np.setdiff1d(roles.affine, _paced(m, roles)), 2] *= value


def _paced(m: Mapping[str, Array], roles: Roles) -> Array:
    """The servos of speeds: their force is gain · (command − speed), so both change or what they reach does."""
    return roles.affine[m["actuator_biasprm"][roles.affine, 1] == 0]


def torque_limit(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    m["actuator_forcerange"][:] *= value
    m["jnt_actfrcrange"][roles.joints] *= value


# -- contacts ---------------------------------------------------------------------------------------------------------


def contact_friction(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    """Sliding friction of everything: whichever of two geoms decides, their contact has it."""
    m["geom_friction"][:, 0] *= value
    m["pair_friction"][:, :2] *= value


def contact_time(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    m["geom_solref"][:, 0] *= value
    m["pair_solref"][:, 0] *= value


def contact_damping(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    m["geom_solref"][:, 1] *= value
    m["pair_solref"][:, 1] *= value


def contact_width(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    m["geom_solimp"][:, 2] *= value
    m["pair_solimp"][:, 2] *= value


# -- what cameras see -------------------------------------------------------------------------------------------------


def camera_shift(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    """To the camera's own right."""
    for camera, quat in enumerate(m["cam_quat"]):
        m["cam_pos"][camera] += value * _axis(quat, 0)


def camera_turn(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    """To the camera's own left, about its vertical."""
    turn = np.array([np.cos(value / 2), 0.0, np.sin(value / 2), 0.0])
    for quat in m["cam_quat"]:
        nominal = quat.copy()
        mujoco.mju_mulQuat(quat, nominal, turn)


def field_of_view(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    m["cam_fovy"][:] += value
    if not ((m["cam_fovy"] > 0) & (m["cam_fovy"] < 180)).all():
        raise UsageError(
            f"factor 'field_of_view' can not be {value:g} °: a camera would have {m['cam_fovy'].min():g} … "
            f"{m['cam_fovy'].max():g} °; between 0 and 180 is possible"
        )


def lighting(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    for name in ("light_diffuse", "light_ambient", "vis.headlight.diffuse", "vis.headlight.ambient"):
        m[name][:] *= value


def object_colour(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    chosen = np.isin(m["geom_bodyid"], roles.objects)
    _towards_negative(m["geom_rgba"], chosen, value)


def background(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    """Sky, floor, table: textures, materials and plain colours of all that neither robot nor object is."""
    chosen = np.zeros(len(m["geom_rgba"]), bool)
    chosen[roles.static] = True
    _towards_negative(m["geom_rgba"], chosen, value)
    texture = m["tex_data"]
    texture[:] = np.round(texture + value * (255.0 - 2.0 * texture)).astype(texture.dtype)


def _towards_negative(rgba: Array, chosen: Array, value: float) -> None:
    rgba[chosen, :3] += value * (1.0 - 2.0 * rgba[chosen, :3])


def _axis(quat: Array, index: int) -> Array:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)[:, index]


# -- objects ----------------------------------------------------------------------------------------------------------


def object_mass(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    m["body_mass"][roles.objects] *= value
    m["body_inertia"][roles.objects] *= value


def object_size(m: Mapping[str, Array], roles: Roles, value: float) -> None:
    """Of free objects, about their own middle, at the same mass."""
    geoms = np.isin(m["geom_bodyid"], roles.freed)
    for name in ("geom_size", "geom_rbound", "geom_pos", "geom_aabb"):
        m[name][geoms] *= value
    m["site_pos"][np.isin(m["site_bodyid"], roles.freed)] *= value
    m["body_ipos"][roles.freed] *= value
    m["body_inertia"][roles.freed] *= value**2
    for body in roles.freed:
        first = m["body_bvhadr"][body]
        if first >= 0:
            m["bvh_aabb"][first : first + m["body_bvhnum"][body]] *= value
