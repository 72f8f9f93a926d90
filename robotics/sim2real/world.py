"""A world: values of factors, and what they make of any of our environments. Give it as `world=` to one.

    World.of(contact_friction=0.5, command_delay=0.02)

Joints that an identification knows one by one come first, in SI units; factors change what that makes of the model.

The environment compiles its scene, keeps that as what its controllers believe, and simulates the altered one. Worlds
are picklable and cheap; one without values is the environment itself, bit for bit.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import mujoco
import numpy as np

from robotics.envs.state import Simulation
from robotics.errors import DataError
from robotics.sim2real.distractors import add_distractors
from robotics.sim2real.factors import FACTORS, factor
from robotics.sim2real.fields import Fields, InstanceFields
from robotics.sim2real.identification.calibration import calibrate
from robotics.sim2real.roles import Roles, roles_of
from robotics.sim2real.signals import Delays, WorldSignals, used_by
from robotics.sim2real.wear import wear_of

Array = np.ndarray

_SIGNALS = ("actuators", "commands", "sensors", "friction")


@dataclass(frozen=True)
class World:
    """Values by factor, in the registry's order, without those that are nominal. UsageError for impossible ones.

    `joints` are parameters of single joints as `robotics sysid` names them, in SI units.
    """

    values: tuple[tuple[str, float], ...] = ()
    joints: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        given = {name: factor(name).checked(value) for name, value in self.values}
        kept = tuple((name, given[name]) for name in FACTORS if name in given and given[name] != FACTORS[name].nominal)
        object.__setattr__(self, "values", kept)

    @classmethod
    def of(cls, values: Mapping[str, float] | None = None, **more: float) -> "World":
        return cls(tuple({**(values or {}), **more}.items()))

    @property
    def nominal(self) -> bool:
        """Whether it is the environment itself."""
        return not self.values and not self.joints

    def as_dict(self) -> dict[str, float]:
        return dict(self.values)

    def only(self, names: Collection[str]) -> "World":
        """The same with only these factors away from nominal."""
        return replace(self, values=tuple((name, value) for name, value in self.values if name in names))

    def alter(
        self, spec: mujoco.MjSpec, nominal: mujoco.MjModel, drawn: Collection[str], control_hz: float, slots: int = 0
    ) -> "AlteredScene":
        """DataError when the scene lacks one of the joints."""
        scene = AlteredScene(self, spec, nominal, drawn, control_hz, slots)
        if scene.left:
            raise DataError(f"a world of '{scene.left[0]}': this scene has no such joint, or nothing to write it into")
        return scene


class AlteredScene:
    """One task's scene in a world (`robotics.envs.worlds.Altered`).

    Attributes:
        left: parameters of the world's joints that this scene has no place for.
    """

    def __init__(
        self,
        world: World,
        spec: mujoco.MjSpec,
        nominal: mujoco.MjModel,
        drawn: Collection[str],
        control_hz: float,
        slots: int = 0,
    ) -> None:
        self.world, self._drawn, self._period_s = world, tuple(drawn), 1.0 / control_hz
        self.roles: Roles = roles_of(nominal)
        values = world.as_dict()
        self.enlarged = values.get("object_size", 1.0)
        self._signal_values = {n: v for n, v in values.items() if FACTORS[n].applied in _SIGNALS}
        self._worn = wear_of(dict(world.joints), nominal, self.roles)
        self._delays = Delays(values, self._period_s, nominal.opt.timestep)
        self.slots = max(self._delays.samples, slots)
        self.left: list[str] = []
        self.model = self._compile(spec, nominal, values)
        self.fields, self.parameters = used_by({*values, *self._worn.by_factor})

    def _compile(self, spec: mujoco.MjSpec, nominal: mujoco.MjModel, values: dict[str, float]) -> mujoco.MjModel:
        if self.world.nominal and not self.slots:
            return nominal
        left = calibrate(spec, dict(self.world.joints))
        self.left = [name for name in left if name not in self._worn.parameters]
        add_distractors(spec, nominal, int(values.get("distractors", 0)))
        for actuator in spec.actuators if self.slots else ():
            actuator.nsample = self.slots
        model = spec.compile()
        if self.slots:
            model.actuator_delay[:] = self._delays.native()
        if any(FACTORS[name].effect for name in values):
            self._apply(Fields(model, self._drawn))
            mujoco.mj_setConst(model, mujoco.MjData(model))
        return model

    def _apply(self, fields: Fields) -> None:
        for name, value in self.world.values:
            effect = FACTORS[name].effect
            if effect is not None:
                effect(fields, self.roles, value)

    @cached_property
    def _late(self) -> bool:
        """Whether some factor changes what the task itself draws at every reset."""
        return any(set(FACTORS[name].fields) & set(self._drawn) for name, _ in self.world.values)

    def adapt(self, simulation: Simulation, rng: np.random.Generator) -> None:
        """A task's own masses and sizes are changed after it has drawn them; free objects moved from where they lie."""
        values, roles = self.world.as_dict(), self.roles
        if self._late:
            self._apply(InstanceFields(self.model, simulation, self._drawn))
        if self.enlarged != 1.0:
            simulation.qpos[roles.placed[:, 2]] += (1.0 - 1.0 / self.enlarged) * self._half_heights(simulation)
        if shift := values.get("object_shift"):
            direction = rng.uniform(-np.pi, np.pi, len(roles.placed))
            simulation.qpos[roles.placed[:, 0]] += shift * np.cos(direction)
            simulation.qpos[roles.placed[:, 1]] += shift * np.sin(direction)

    def _half_heights(self, simulation: Simulation) -> Array:
        """How far free objects (k,) reach down from their middle as they lie [m], of their present sizes."""
        model, drawn = self.model, "geom_aabb" in self._drawn
        boxes = simulation.parameter("geom_aabb") if drawn else model.geom_aabb
        touching = simulation.parameter("geom_contype") if "geom_contype" in self._drawn else model.geom_contype
        heights = np.zeros(len(self.roles.freed))
        for number, body in enumerate(self.roles.freed):
            turn = np.empty(9)
            first = self.roles.placed[number, 2] + 1
            mujoco.mju_quat2Mat(turn, np.ascontiguousarray(simulation.qpos[first : first + 4]))
            for geom in range(model.body_geomadr[body], model.body_geomadr[body] + model.body_geomnum[body]):
                if touching[geom]:
                    inside = np.empty(9)
                    mujoco.mju_quat2Mat(inside, model.geom_quat[geom])
                    axes = turn.reshape(3, 3) @ inside.reshape(3, 3)
                    middle = (turn.reshape(3, 3) @ model.geom_pos[geom] + axes @ boxes[geom, :3])[2]
                    heights[number] = max(heights[number], np.abs(axes[2]) @ boxes[geom, 3:] - middle)
        return heights

    def signals(self, idle: bool = False) -> WorldSignals | None:
        """Fresh ones for one simulation; None where nothing touches them, unless `idle` ones are asked for."""
        worn = self._worn.by_factor
        if not self._signal_values and not worn and not idle:
            return None
        return WorldSignals(self._signal_values, self.roles, self.model, self._period_s, self._delays, worn)

    def expose(self, images: Array) -> Array:
        stops = self.world.as_dict().get("exposure", 0.0)
        if not stops:
            return images
        return np.clip(np.round(images * 2.0**stops), 0, 255).astype(np.uint8)
