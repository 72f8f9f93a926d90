"""A robot with two arms in MuJoCo: torques in, truth and encoder counts out, and what a held box feels."""

from collections import deque

import mujoco
import numpy as np

from robotics.control.plant import hang, place_joints, substeps
from robotics.control.trial import Conditions
from robotics.controllers.limbs import bodies_of_hands, planar_base
from robotics.controllers.motors import Motors
from robotics.controllers.robot_spec import RobotSpec
from robotics.controllers.rotation import rotation_matrix
from robotics.controllers.tasks import Reference
from robotics.envs.robots.aloha import LEFT, OBJECT, RIGHT, STATIC

Array = np.ndarray

#: The box that is carried: half lengths [m], mass [kg], friction of its cardboard; the finger tips' own is higher.
BOX_HALF, BOX_MASS, BOX_FRICTION = (0.07, 0.06, 0.05), 1.0, 0.8
#: Its name, that of what it stands on, half the width of that [m], and the collision bits of things to be touched.
BOX, STAND, STAND_HALF, EVERYTHING = "robotics_box", "robotics_stand", 0.04, (1 << 30) - 1
#: One count of joints that turn: of a Dynamixel XM540 (4096 a turn) [rad]; and of those that slide: of ALOHA's fingers,
#: whose motor turns 360 degrees in 12 cm [m].
COUNT, SLIDE_COUNT = 2 * np.pi / 4096, 3e-5
#: Steps in which a base on wheels knows where it is [m, rad], and how much its wheels slip and differ from nominal.
WHEEL_COUNT, SLIP = 1e-4, 1e-3


def resolution(model: mujoco.MjModel, spec: RobotSpec) -> Array:
    """Step of each joint's encoder (n,) [rad, m]."""
    slides = [model.jnt_type[model.joint(joint).id] == int(mujoco.mjtJoint.mjJNT_SLIDE) for joint in spec.joints]
    steps = np.where(slides, SLIDE_COUNT, COUNT)
    if planar_base(model, spec):
        steps[:3] = WHEEL_COUNT
    return steps


class HandsPlant:
    """The robot `spec` in `scene`, under `conditions`: a push hits the body `pushed`."""

    def __init__(
        self,
        scene: mujoco.MjSpec,
        spec: RobotSpec,
        conditions: Conditions,
        period_s: float,
        pushed: str | None = None,
        seed: int = 0,
    ) -> None:
        self.conditions = conditions
        self.model = scene.compile()
        self.data = mujoco.MjData(self.model)
        self._motors = Motors(self.model, spec.joints)
        self._q = np.array([self.model.joint(j).qposadr[0] for j in spec.joints])
        self._v = np.array([self.model.joint(j).dofadr[0] for j in spec.joints])
        self._sites = {e.name: self.model.site(e.site).id for e in spec.end_effectors}
        self._owners = bodies_of_hands(self.model, spec)
        self._substeps = substeps(self.model, period_s, spec.name)
        self._queue = deque([np.zeros(len(spec.joints))] * conditions.late(period_s))
        self._pushed = None if pushed is None else self.model.body(pushed).id
        rng, self.resolution = np.random.default_rng([seed, 1]), resolution(self.model, spec)
        #: Encoders are mounted somewhere within a count; wheels are a little larger or smaller than they should be.
        self._offset = rng.uniform(-0.5, 0.5, len(self.resolution)) * self.resolution
        wheels = 3 if planar_base(self.model, spec) else 0
        self._scale = np.ones(len(spec.joints))
        self._scale[:wheels] = [1 + SLIP * rng.uniform(-1, 1) for _ in range(wheels)]
        towards = conditions.push_towards
        self._push = conditions.push / conditions.PUSH_S * np.array([np.cos(towards), np.sin(towards), 0.0])

    def place(self, q: Array) -> None:
        """Put the joints at q (n,), at rest."""
        place_joints(self.model, self.data, self._q, q)

    def truth(self) -> tuple[Array, Array]:
        """Joint positions and velocities (n,), as they are."""
        return self.data.qpos[self._q], self.data.qvel[self._v]

    def counts(self) -> Array:
        """What the encoders say of the positions (n,)."""
        return np.round((self._scale * self.truth()[0] + self._offset) / self.resolution) * self.resolution

    def step(self, torque: Array) -> None:
        """One period of the controller under the (delayed) torques."""
        self._queue.append(torque)
        torque = self._queue.popleft()
        if self._pushed is not None:
            pushing = self.conditions.pushing(self.data.time)
            self.data.xfrc_applied[self._pushed, :3] = self._push if pushing else 0.0
        for _ in range(self._substeps):
            self._motors.apply(self.data, torque, *self.truth())
            mujoco.mj_step(self.model, self.data)
        mujoco.mj_kinematics(self.model, self.data)

    def hand(self, name: str) -> tuple[Array, Array]:
        """True position (3,) [m] and orientation (4,) wxyz of a hand."""
        quat, site = np.empty(4), self._sites[name]
        mujoco.mju_mat2Quat(quat, self.data.site_xmat[site])
        return self.data.site_xpos[site].copy(), quat

    def velocity(self, body: str) -> Array:
        """Of a body along x and y [m/s] and about z [rad/s], (3,)."""
        velocity = np.empty(6)
        index = self.model.body(body).id
        mujoco.mj_objectVelocity(self.model, self.data, mujoco.mjtObj.mjOBJ_BODY, index, velocity, 0)
        return velocity[[3, 4, 2]]

    def box(self) -> tuple[Array, Array]:
        """True position (3,) [m] and orientation (4,) wxyz of the box."""
        box = self.data.body(BOX)
        return box.xpos.copy(), box.xquat.copy()

    def forces(self) -> dict[str, Array]:
        """Force (3,) [N] of each hand, and of what else there is, on the box in its own axes, summed over contacts."""
        model, data, box = self.model, self.data, self.model.body(BOX).id
        total = {name: np.zeros(3) for name in (*self._owners, "table")}
        wrench = np.empty(6)
        for number, contact in enumerate(data.contact):
            first, second = (int(model.geom_bodyid[g]) for g in (contact.geom1, contact.geom2))
            if box not in (first, second):
                continue
            mujoco.mj_contactForce(model, data, number, wrench)
            force = contact.frame.reshape(3, 3).T @ wrench[:3]  # on the second one
            other = first if second == box else second
            owner = next((name for name, bodies in self._owners.items() if other in bodies), "table")
            total[owner] += force if second == box else -force
        back = rotation_matrix(data.xquat[box]).T
        return {name: back @ force for name, force in total.items()}


def hang_payload(scene: mujoco.MjSpec, spec: RobotSpec, conditions: Conditions) -> None:
    """Half of the payload on every hand of two, where there is any."""
    for effector in spec.end_effectors if conditions.payload else ():
        hang(scene, effector.site, conditions.payload / len(spec.end_effectors))


def add_box(scene: mujoco.MjSpec, mass: float) -> None:
    """Put the box in the middle of ALOHA's table."""
    geom = _add_box(scene, mass, np.array([0, 0, BOX_HALF[2]]), np.array([1.0, 0, 0, 0]))
    geom.contype, geom.conaffinity = OBJECT, LEFT | RIGHT | STATIC


def add_box_on_stand(scene: mujoco.MjSpec, mass: float, start: Reference) -> None:
    """Put the box at a pose, on a stand that is narrower than it is. Both touch everything, the box as ALOHA's finger
    tips do, whatever the hands are made of; contacts are those of ALOHA's scene, since by usual ones a held box creeps
    by millimetres a second."""
    scene.option.cone, scene.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10
    geom = _add_box(scene, mass, start.position, start.quat)
    geom.contype = geom.conaffinity = EVERYTHING
    geom.priority, geom.solref[:], geom.solimp[:3] = 1, [0.01, 1], [0.95, 0.99, 0.001]
    top = float(start.position[2]) - BOX_HALF[2]
    stand = scene.worldbody.add_geom(name=STAND, type=mujoco.mjtGeom.mjGEOM_BOX, rgba=[0.35, 0.37, 0.4, 1])
    stand.size = [STAND_HALF, STAND_HALF, 0.5 * top]
    stand.pos, stand.quat = [start.position[0], start.position[1], 0.5 * top], start.quat
    stand.contype = stand.conaffinity = EVERYTHING


def _add_box(scene: mujoco.MjSpec, mass: float, position: Array, quat: Array) -> mujoco.MjsGeom:
    box = scene.worldbody.add_body(name=BOX, pos=position, quat=quat)
    box.add_freejoint(name=BOX)
    return box.add_geom(
        name=BOX,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=BOX_HALF,
        mass=mass,
        rgba=[0.76, 0.6, 0.42, 1],
        condim=4,
        friction=[BOX_FRICTION, 0.005, 0.0001],
    )
