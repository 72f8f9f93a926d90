"""Every way in which a target may differ from the simulation: one registry of named, typed factors.

Ranges are those of severity 1; where published ones exist they are beside it in `presets`, because they disagree by up
to ten times. A relative factor (unit ×) multiplies what the task's model says, an absolute one is added to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from robotics.errors import UsageError, unknown_name
from robotics.sim2real import effects
from robotics.sim2real.effects import Effect

#: In the order in which reports name them.
GROUPS = ("dynamics", "actuator", "sensing", "timing", "contact", "visual", "task")
RELATIVE = "×"


@dataclass(frozen=True)
class Factor:
    """One thing that may be otherwise.

    Attributes:
        group: one of `GROUPS`.
        unit: of its values; × for a multiple of what the model says.
        nominal: the value that changes nothing.
        range: values of severity 1, nominal within.
        source: where the range comes from.
        applied: how it gets in: `model` (MjModel fields after compilation), `scene` (MjSpec before it), `actuators`
            (MuJoCo's own delays), `sensors`, `commands`, `placement`, `pictures` or `friction` (anew in every step).
        fields: MjModel fields that it changes; what MuJoCo derives from them follows.
        effect: what it does to those fields.
        modelled: whether identification has a parameter for it.
        whole: whether its values are whole numbers.
        limits: beyond these, inclusive, is nothing that could be; None where there is no end.
    """

    name: str
    group: str
    unit: str
    nominal: float
    range: tuple[float, float]
    summary: str
    source: str
    applied: str = "model"
    fields: tuple[str, ...] = ()
    effect: Effect | None = field(default=None, repr=False)
    modelled: bool = True
    whole: bool = False
    limits: tuple[float, float] | None = None

    @property
    def relative(self) -> bool:
        return self.unit == RELATIVE

    @property
    def one_sided(self) -> bool:
        """Whether there is only one way away from the nominal value."""
        return self.nominal in self.range

    def at(self, severity: float) -> float:
        """The value at `severity`: 0 nominal, 1 the upper end of its range, -1 the lower; beyond them as far.

        Straight for absolute factors, geometric for relative ones, so that ×2 is as far as ×½. Of a factor with one
        side only, severity counts without sign.
        """
        low, high = self.range
        end = high if severity >= 0 else low
        if end == self.nominal:
            end = low if severity >= 0 else high
        way = abs(severity)
        if self.relative:
            return self.nominal * (end / self.nominal) ** way
        value = self.nominal + way * (end - self.nominal)
        return float(round(value)) if self.whole else value

    def checked(self, value: float) -> float:
        """`value`; UsageError when this factor can not have it."""
        wrong = not abs(value) < 1e6 or (self.relative and value <= 0) or (self.one_sided and self._beyond(value))
        if wrong or (self.limits is not None and not self.limits[0] <= value <= self.limits[1]):
            low, high = self.range
            possible = "" if self.limits is None else "; {:g} … {:g} is possible".format(*self.limits)
            raise UsageError(
                f"factor '{self.name}' can not be {value:g} {self.unit}; severity 1 is {low:g} … {high:g}, "
                f"nominal {self.nominal:g}{possible}"
            )
        if self.whole and value != int(value):
            raise UsageError(f"factor '{self.name}' can not be {value:g} {self.unit}: give a whole number")
        return float(value)

    def _beyond(self, value: float) -> bool:
        """Whether it lies on the side where an absolute factor that has one side only does not go."""
        return not self.relative and (value - self.nominal) * (sum(self.range) - 2 * self.nominal) < 0


_A = "own choice for severity 1"


def _relative(name: str, group: str, span: tuple[float, float], summary: str, source: str, *changed: str) -> Factor:
    effect = getattr(effects, name)
    return Factor(name, group, RELATIVE, 1.0, span, summary, source, "model", changed, effect)


def _added(
    name: str,
    group: str,
    unit: str,
    span: tuple[float, float],
    summary: str,
    source: str,
    *changed: str,
    limits: tuple[float, float] | None = None,
) -> Factor:
    effect = getattr(effects, name)
    return Factor(name, group, unit, 0.0, span, summary, source, "model", changed, effect, limits=limits)


def _signal(
    name: str,
    group: str,
    unit: str,
    span: tuple[float, float],
    summary: str,
    source: str,
    applied: str,
    modelled: bool = True,
    limits: tuple[float, float] | None = None,
) -> Factor:
    return Factor(name, group, unit, 0.0, span, summary, source, applied, modelled=modelled, limits=limits)


_MASS = ("body_mass", "body_inertia")
_SIZE = ("geom_size", "geom_rbound", "geom_pos", "geom_aabb", "site_pos", "body_ipos", "body_inertia", "bvh_aabb")
_LIGHTS = ("light_diffuse", "light_ambient", "vis.headlight.diffuse", "vis.headlight.ambient")

# fmt: off
_ALL = (
    _relative("mass", "dynamics", (0.8, 1.25), "mass and inertia of every link", "×0.9 … 1.1 in MuJoCo Playground",
              *_MASS),
    _added("payload", "dynamics", "of the robot's mass", (0.0, 0.15), "a point mass where the robot carries its load",
           "-1 … 3 kg of 12 kg in Walk These Ways", "body_mass"),
    _relative("inertia", "dynamics", (0.7, 1.4), "inertia of every link", _A, "body_inertia"),
    _added("com", "dynamics", "m", (-0.05, 0.05), "centre of mass of what carries the load, along its x axis",
           "±0.05 m in Playground (Go1), Isaac Lab, mjlab", "body_ipos"),
    _relative("joint_friction", "dynamics", (0.5, 3.0), "dry friction of the joints",
              "×0.5 … 2 (G1), ×0.9 … 1.1 elsewhere in Playground", "dof_frictionloss"),
    _added("added_friction", "dynamics", "of the torque limit", (0.0, 0.02), "dry friction besides what the model has",
           _A, "dof_frictionloss"),
    _relative("joint_damping", "dynamics", (0.3, 3.0), "viscous friction of the joints",
              "×0.5 … 2 at ankles in Playground", "dof_damping"),
    _relative("armature", "dynamics", (0.5, 2.0), "inertia of the rotors",
              "×1 … 1.05 in Playground; fitted over 5 decades by PACE",
              "dof_armature"),
    _signal("stribeck", "dynamics", "of the torque limit", (0.0, 0.03),
            "friction that a joint at rest has besides, gone at 0.1 rad/s", "form of BAM's models M2 … M6 (Rhoban)",
            "friction", False),
    _signal("load_friction", "dynamics", "of the torque", (0.0, 0.15),
            "friction that grows with what a joint's motor gives",
            "form of BAM's models M3 … M6 (Rhoban)", "friction", False),
    _relative("actuator_gain", "actuator", (0.5, 1.5), "stiffness of the servos, or torque per command of motors",
              "×0.9 … 1.1 (T1), ×0.8 … 1.2 (Leap hand) in Playground", "actuator_gainprm", "actuator_biasprm"),
    _relative("actuator_damping", "actuator", (0.5, 1.5), "damping of the servos", "as the stiffness",
              "actuator_biasprm"),
    _relative("torque_limit", "actuator", (0.7, 1.0), "what motors can give at most",
              "×0.9 … 1.1 in Walk These Ways and RMA",
              "actuator_forcerange", "jnt_actfrcrange"),
    _signal("command_delay", "actuator", "s", (0.0, 0.04), "commands reach the motors late",
            "0 … 25 ms fitted by PACE, 0 … 40 ms by DFKI", "actuators"),
    _signal("backlash", "actuator", "rad", (0.0, 0.026), "play between a servo's command and its joint",
            "the class that Menagerie's SO-101 defines has 0.5°; three times that", "commands", False),
    _signal("encoder_noise", "sensing", "rad", (0.0, 0.01), "white noise on joint angles (standard deviation)",
            "0.01 rad in Isaac Lab; 0.03 in Playground", "sensors"),
    _signal("velocity_noise", "sensing", "rad/s", (0.0, 1.5), "white noise on joint velocities",
            "1.5 rad/s in Playground, mjlab, Isaac Lab", "sensors"),
    _signal("gyro_noise", "sensing", "rad/s", (0.0, 0.2), "white noise on the base's turning rate",
            "0.2 rad/s in Playground", "sensors"),
    _signal("encoder_offset", "sensing", "rad", (-0.015, 0.015), "joint angles read too high, by servos too",
            "±0.015 in mjlab; ±0.02 (Walk These Ways) … ±0.1 (PACE)", "sensors"),
    _signal("encoder_step", "sensing", "rad", (0.0, 0.0061), "joint angles come in steps of this size",
            "12 bit a turn of an STS3215; four times that", "sensors"),
    _signal("sensing_delay", "sensing", "s", (0.0, 0.04), "joints are seen late",
            "6 … 12 steps in panda_robotiq push_cube",
            "sensors"),
    _signal("dropout", "sensing", "of the steps", (0.0, 0.2),
            "share of control steps whose measurement is lost: the last one stands", _A, "sensors", False,
            (0.0, 0.999)),
    _signal("object_noise", "sensing", "m", (0.0, 0.004), "white noise on where free objects are seen", _A, "sensors"),
    _signal("object_delay", "sensing", "s", (0.0, 0.04), "free objects are seen late", _A, "sensors"),
    _signal("control_jitter", "timing", "s", (0.0, 0.01),
            "every command late by the size of a normal draw of this deviation",
            "5 … 20 ms of DDS (unitree_sim_isaaclab #108)", "actuators", False),
    _signal("policy_latency", "timing", "s", (0.0, 0.15),
            "an action is carried out this long after what it was decided on",
            _A, "actuators"),
    _relative("contact_friction", "contact", (0.3, 1.5), "sliding friction of all contacts",
              "0.4 … 1 (Playground) … 0.1 … 3 (Walk These Ways)", "geom_friction", "pair_friction"),
    _relative("contact_time", "contact", (0.3, 3.0), "softness of contacts: time constant of solref",
              "±10 % in robosuite",
              "geom_solref", "pair_solref"),
    _relative("contact_damping", "contact", (0.3, 1.5), "how little contacts bounce: damping ratio of solref",
              "±10 % in robosuite",
              "geom_solref", "pair_solref"),
    _relative("contact_width", "contact", (0.3, 3.0), "depth over which contacts harden: width of solimp",
              "±10 % in robosuite",
              "geom_solimp", "pair_solimp"),
    _added("camera_shift", "visual", "m", (-0.05, 0.05), "cameras stand further right",
           "±0.1 m (Colosseum), ±0.01 m (robosuite)", "cam_pos"),
    _added("camera_turn", "visual", "rad", (-0.087, 0.087), "cameras look further left",
           "±0.05 (Colosseum), ±0.087 rad (robosuite)", "cam_quat"),
    _added("field_of_view", "visual", "°", (-5.0, 5.0), "vertical field of view", "±5° in robosuite", "cam_fovy"),
    _signal("exposure", "visual", "stops", (-1.0, 1.0), "pictures are brighter by powers of two", _A, "pictures"),
    _relative("lighting", "visual", (0.4, 1.6), "all lamps", "colours of 0 … 0.5 in the Colosseum", *_LIGHTS),
    _added("object_colour", "visual", "of the way", (0.0, 0.5), "colours of objects, towards their negatives",
           "0 … 0.5 in the Colosseum", "geom_rgba", limits=(0.0, 1.0)),
    _added("background", "visual", "of the way", (0.0, 0.5),
           "colours and textures of table, floor and sky, towards their negatives",
           "0.25 … 1 for table colours in the Colosseum", "geom_rgba", "tex_data", limits=(0.0, 1.0)),
    Factor("distractors", "visual", "things", 0.0, (0.0, 5.0), "things lie about that touch nothing",
           "2 in the Colosseum", "scene", whole=True),
    _relative("object_size", "task", (0.75, 1.25), "size of free objects, at the same mass",
              "×0.75 … 1.25 in the Colosseum", *_SIZE),
    _signal("object_shift", "task", "m", (0.0, 0.05),
            "free objects begin this far from where the task puts them, in a random direction", _A, "placement"),
    _relative("object_mass", "task", (0.5, 2.0), "mass of objects", "×0.8 … 1.2 (Leap hand), 1 … 5 kg (Colosseum)",
              *_MASS),
)
# fmt: on

FACTORS: Mapping[str, Factor] = {factor.name: factor for factor in _ALL}


def factor(name: str) -> Factor:
    """The factor of that name; UsageError with a did-you-mean when there is none."""
    if name not in FACTORS:
        raise unknown_name("factor", name, FACTORS, "`robotics list factors` describes them")
    return FACTORS[name]
