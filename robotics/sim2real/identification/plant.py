"""Many copies of a nominal model, each with parameters of its own, and what MuJoCo's actuators have no field for.

Native in the engine: stiffness, damping, Coulomb friction, armature, masses, contacts. In front of it, per command:
delay, encoder offsets, torque gains, backlash as play, which a servo's spring follows its command with (the hysteresis
of Nordin and Gutman 2002, as in `sim2real.signals`), friction that grows with the load or falls with the speed
(Duclusaud et al., "Extended friction models for the physics simulation of servo actuators", 2024; Stribeck).
"""

import mujoco
import numpy as np
from mujoco.batch import Batch

from robotics.sim2real.identification.actuators import filtered
from robotics.sim2real.identification.subject import Subject

Array = np.ndarray

#: Speed at which the extra friction at rest has fallen to a third [rad/s].
STRIBECK_SPEED = 0.1


class Plant:
    """`count` copies of the subject's model. What is not set is nominal."""

    def __init__(self, subject: Subject, count: int, threads: int = 0) -> None:
        self.subject, self.model, self.count = subject, subject.model, count
        self.batch = Batch(self.model, count, threads or _cores(count))
        self.delay = np.zeros(count)
        self.gain: dict[int, Array] = {}
        self.offset: dict[int, Array] = {}
        self._backlash: dict[int, Array] = {}
        self._coulomb: dict[int, Array] = {}
        self._load: dict[int, Array] = {}
        self._stribeck: dict[int, Array] = {}

    # -- parameters -----------------------------------------------------------------------------------------------

    def set_stiffness(self, joint: int, values: Array) -> None:
        actuator = self._actuator(joint)
        self.batch.expand("actuator_gainprm")[:, actuator, 0] = values
        self.batch.expand("actuator_biasprm")[:, actuator, 1] = -values

    def set_damping(self, joint: int, values: Array) -> None:
        """Of joint and servo together, shared as nominally: what the servo has is within its torque limit."""
        share = self.subject.servo_share(joint)
        if self.subject.is_servo(self.model.joint(joint).name):
            self.batch.expand("actuator_biasprm")[:, self._actuator(joint), 2] = -share * values
        self.set_dof("dof_damping", joint, (1 - share) * values)

    def set_friction(self, joint: int, values: Array) -> None:
        self._coulomb[joint] = values
        self.set_dof("dof_frictionloss", joint, values)

    def set_load_friction(self, joint: int, values: Array) -> None:
        self._load[joint] = values

    def set_stribeck(self, joint: int, values: Array) -> None:
        self._stribeck[joint] = values

    def set_backlash(self, joint: int, values: Array) -> None:
        self._backlash[joint] = values

    def set_gain(self, joint: int, values: Array) -> None:
        self.gain[self._actuator(joint)] = values

    def set_offset(self, joint: int, values: Array) -> None:
        self.offset[joint] = values

    def set_delay(self, values: Array) -> None:
        self.delay = values

    def set_mass(self, body: int, values: Array) -> None:
        ratio = values / self.model.body_mass[body]
        self.batch.expand("body_mass")[:, body] = values
        self.batch.expand("body_inertia")[:, body] = self.model.body_inertia[body] * ratio[:, None]

    def set_dof(self, field: str, joint: int, values: Array) -> None:
        self.batch.expand(field)[:, self.model.jnt_dofadr[joint]] = values

    def set_contact(self, field: str, geoms: Array, column: int, values: Array) -> None:
        self.batch.expand(field)[:, geoms, column] = values[:, None]

    def set_size(self, geoms: Array, ratio: Array) -> None:
        """Shapes this many times as large, about their own middles; masses stay, and where the shapes are."""
        for field in ("geom_size", "geom_rbound", "geom_aabb"):
            nominal = getattr(self.model, field)[geoms]
            self.batch.expand(field)[:, geoms] = ratio.reshape(-1, *[1] * nominal.ndim) * nominal

    # -- motion ---------------------------------------------------------------------------------------------------

    def run(
        self, qpos: Array, qvel: Array, control: Array, substeps: int = 1, past: Array | None = None
    ) -> dict[str, Array]:
        """Simulate from these states (N, nq), (N, nv) with commands (N, steps, nu), each for `substeps` physics steps.

        Actuators with a state or a delay of their own begin with what commands (N, n, nu) before, one per physics step,
        left in them. Returns qpos, qvel and actuator_force after every command, (N, steps, …).
        """
        self.batch.set_const()
        self.batch.reset()
        self.batch.bind("qpos")[:], self.batch.bind("qvel")[:] = qpos, qvel
        if past is not None:
            self._remember(past)
        fields = ("qpos", "qvel", "actuator_force")
        if not (self._backlash or self._load or self._stribeck):
            fine = np.repeat(control, substeps, axis=1)
            out = self.batch.rollout(fine.shape[1], fine if control.shape[2] else None, record=fields)
            return {str(name): values[:, substeps - 1 :: substeps] for name, values in out.items()}
        return self._stepped(control, substeps, fields)

    def _remember(self, past: Array) -> None:
        """Set the filters and the delays of the model's actuators to what `past` commands left in them."""
        for actuator in self.subject.actuators.values():
            address, count = self.model.actuator_historyadr[actuator], self.model.actuator_history[actuator, 0]
            if address >= 0:  # a cell of the user's, the newest sample's index, then times [s], then commands
                history = self.batch.bind("history")
                times = history[0, address + 2 : address + 2 + count]
                steps_ago = np.round(times / self.model.opt.timestep).astype(int)  # all below zero: from the end
                history[:, address + 2 + count : address + 2 + 2 * count] = past[:, steps_ago, actuator]
            state = filtered(self.model, actuator, past[:, :, actuator])
            if state is not None:
                self.batch.bind("act")[:, self.model.actuator_actadr[actuator]] = state

    def _stepped(self, control: Array, substeps: int, fields: tuple[str, ...]) -> dict[str, Array]:
        live = {name: self.batch.bind(name) for name in (*fields, "ctrl", "qfrc_actuator")}
        out = {name: np.empty((self.count, control.shape[1], live[name].shape[1])) for name in fields}
        friction = self.batch.expand("dof_frictionloss")
        felt = {joint: live["qpos"][:, self.model.jnt_qposadr[joint]].copy() for joint in self._backlash}
        for step in range(control.shape[1]):
            live["ctrl"][:] = control[:, step]
            self._play(live["ctrl"], felt)
            self._rub(live, friction)
            self.batch.step(nstep=substeps)
            for name in fields:
                out[name][:, step] = live[name]
        return out

    def _play(self, ctrl: Array, felt: dict[int, Array]) -> None:
        """Commands become what is felt of them: it stays where it was as long as that is within the play."""
        for joint, play in self._backlash.items():
            target = ctrl[:, self._actuator(joint)]
            felt[joint] = np.clip(felt[joint], target - play, target + play)
            ctrl[:, self._actuator(joint)] = felt[joint]

    def _rub(self, live: dict[str, Array], friction: Array) -> None:
        for joint in {*self._load, *self._stribeck}:
            dof = int(self.model.jnt_dofadr[joint])
            total = self._coulomb.get(joint, self.model.dof_frictionloss[dof])
            if joint in self._load:
                total = total + self._load[joint] * np.abs(live["qfrc_actuator"][:, dof])  # as in `signals`
            if joint in self._stribeck:
                total = total + self._stribeck[joint] * np.exp(-np.abs(live["qvel"][:, dof]) / STRIBECK_SPEED)
            friction[:, dof] = total

    def _actuator(self, joint: int) -> int:
        return self.subject.actuators[self.model.joint(joint).name]


def _cores(count: int) -> int:
    import os

    return min(len(os.sched_getaffinity(0)), count)


def neutral(model: mujoco.MjModel) -> Array:
    """(nq,) the home keyframe, or the model's own zero."""
    return model.key_qpos[0].copy() if model.nkey else model.qpos0.copy()
