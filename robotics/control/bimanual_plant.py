"""Two ViperX arms and a box in MuJoCo: torques in, truth and encoder counts out, and what the contacts carry."""

from collections import deque

import mujoco
import numpy as np

from robotics.control.trial import Conditions
from robotics.controllers.rotation import rotation_matrix
from robotics.envs.robots.aloha import ALOHA, LEFT, OBJECT, RIGHT, SIDES, STATIC, aloha_scene

Array = np.ndarray

#: The box that is carried: half lengths [m], mass [kg], friction of its cardboard; the finger tips' own is higher.
BOX_HALF, BOX_MASS, BOX_FRICTION = (0.07, 0.06, 0.05), 1.0, 0.8
#: One count of a Dynamixel XM540 (4096 a turn) [rad], and of the fingers, whose motor turns 360 degrees in 12 cm [m].
COUNT, FINGER_COUNT = 2 * np.pi / 4096, 3e-5


def resolution() -> Array:
    """Step of each joint's encoder (14,) [rad, m]."""
    return np.array([FINGER_COUNT if "finger" in joint else COUNT for joint in ALOHA.joints])


class BimanualPlant:
    """The robot of `conditions` at its table; `box` puts one before it. A payload is mass of the box in secret."""

    def __init__(self, conditions: Conditions, period_s: float, box: bool, seed: int = 0) -> None:
        self.conditions = conditions
        scene = aloha_scene("motor")
        if box:
            _add_box(scene, BOX_MASS + conditions.payload)
        self.model = scene.compile()
        self.data = mujoco.MjData(self.model)
        self._q = np.array([self.model.joint(j).qposadr[0] for j in ALOHA.joints])
        self._v = np.array([self.model.joint(j).dofadr[0] for j in ALOHA.joints])
        self._followers = np.array([self.model.joint(f"{side}/right_finger").qposadr[0] for side in SIDES])
        self._leaders = np.array([self.model.joint(f"{side}/left_finger").qposadr[0] for side in SIDES])
        self._substeps = round(period_s / self.model.opt.timestep)
        self._queue = deque([np.zeros(14)] * round(conditions.delay_s / period_s))
        self._box = self.model.body("box").id if box else None
        #: Encoders are mounted somewhere within a count.
        self._offset = np.random.default_rng([seed, 1]).uniform(-0.5, 0.5, 14) * resolution()
        towards = conditions.push_towards
        self._push = conditions.push / conditions.PUSH_S * np.array([np.cos(towards), np.sin(towards), 0.0])

    def place(self, q: Array) -> None:
        """Put the joints at q (14,), at rest."""
        self.data.qpos[self._q] = q
        self.data.qpos[self._followers] = self.data.qpos[self._leaders]
        mujoco.mj_forward(self.model, self.data)

    def truth(self) -> tuple[Array, Array]:
        """Joint positions and velocities (14,), as they are."""
        return self.data.qpos[self._q], self.data.qvel[self._v]

    def counts(self) -> Array:
        """What the encoders say of the positions (14,)."""
        step = resolution()
        return np.round((self.truth()[0] + self._offset) / step) * step

    def step(self, torque: Array) -> None:
        """One period of the controller under the (delayed) torques."""
        self._queue.append(torque)
        self.data.ctrl[:] = self._queue.popleft()
        if self._box is not None:
            pushing = 0 <= self.data.time - self.conditions.push_at_s < self.conditions.PUSH_S
            self.data.xfrc_applied[self._box, :3] = self._push if pushing else 0.0
        mujoco.mj_step(self.model, self.data, nstep=self._substeps)
        mujoco.mj_kinematics(self.model, self.data)

    def hand(self, side: str) -> tuple[Array, Array]:
        """True position (3,) [m] and orientation (4,) wxyz of a hand."""
        quat = np.empty(4)
        site = self.model.site(f"{side}/gripper").id
        mujoco.mju_mat2Quat(quat, self.data.site_xmat[site])
        return self.data.site_xpos[site].copy(), quat

    def box(self) -> tuple[Array, Array]:
        """True position (3,) [m] and orientation (4,) wxyz of the box."""
        assert self._box is not None
        return self.data.xpos[self._box].copy(), self.data.xquat[self._box].copy()

    def box_velocity(self) -> Array:
        """Of the box along x and y [m/s] and about z [rad/s], (3,)."""
        velocity = np.empty(6)
        mujoco.mj_objectVelocity(self.model, self.data, mujoco.mjtObj.mjOBJ_BODY, self._box, velocity, 0)
        return velocity[[3, 4, 2]]

    def forces(self) -> dict[str, Array]:
        """Force (3,) [N] of each hand, and of the table, on the box in its own axes, summed over all contacts."""
        assert self._box is not None
        model, data = self.model, self.data
        total = {name: np.zeros(3) for name in (*SIDES, "table")}
        wrench = np.empty(6)
        for number, contact in enumerate(data.contact):
            bodies = [int(model.geom_bodyid[g]) for g in (contact.geom1, contact.geom2)]
            if self._box not in bodies:
                continue
            mujoco.mj_contactForce(model, data, number, wrench)
            sign = 1.0 if bodies[1] == self._box else -1.0  # MuJoCo's is the one on the second geom
            other = model.body(bodies[0] if bodies[1] == self._box else bodies[1]).name
            total[other.split("/")[0] if "/" in other else "table"] += sign * (
                contact.frame.reshape(3, 3).T @ wrench[:3]
            )
        back = rotation_matrix(data.xquat[self._box]).T
        return {name: back @ force for name, force in total.items()}


def _add_box(scene: mujoco.MjSpec, mass: float) -> None:
    box = scene.worldbody.add_body(name="box", pos=[0, 0, BOX_HALF[2]])
    box.add_freejoint(name="box")
    box.add_geom(
        name="box",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=BOX_HALF,
        mass=mass,
        rgba=[0.76, 0.6, 0.42, 1],
        condim=4,
        friction=[BOX_FRICTION, 0.005, 0.0001],
        contype=OBJECT,
        conaffinity=LEFT | RIGHT | STATIC,
    )
