"""Humanoids that the controller was never tuned for: from files, of other sizes, with other soles and other frames."""

import dataclasses
import math
import re
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robotics.control.humanoid import HumanoidSession
from robotics.control.machine import load_machine
from robotics.control.run import run_trial
from robotics.control.trial import Conditions, Trial
from robotics.controllers.humanoid.biped import Biped
from robotics.controllers.humanoid.model import BipedModel
from robotics.controllers.humanoid.settings import BipedSettings
from robotics.controllers.humanoid.sizing import settings_for, trunk_joints
from robotics.controllers.humanoid.stance import ready_to_walk
from robotics.controllers.humanoid.support import inner_box
from robotics.controllers.legged.locomotion import Twist
from robotics.controllers.limits import JointLimits
from robotics.envs.robots.humanoid import CORNERS, HUMANOID, humanoid_scene, nominal_humanoid
from robotics.errors import UsageError

ROBOTS = Path(__file__).parent / "robots"
STRIDER = (ROBOTS / "strider.xml").read_text()
MASS = '<inertial pos="0 0 0" mass="1" diaginertia="0.01 0.01 0.01"/>'
BOX = '<geom type="box" size="0.12 0.048 0.015" pos="0.035 0 -0.065" class="sole"/>'
#: Half lengths and widths of the box [m].
SOLE = np.array([0.12, 0.048])


def robot_file(folder: Path, model: str, toml: str = "") -> str:
    (folder / "robot.xml").write_text(model)
    (folder / "robot.toml").write_text('model = "robot.xml"\n' + toml)
    return str(folder / "robot.toml")


def biped(robot: str) -> BipedModel:
    machine = load_machine(robot)
    return BipedModel(machine.nominal(), machine.spec)


def balls(radius=0.012, places=((-0.07, 0.036), (-0.07, -0.036), (0.14, 0.036), (0.14, -0.036)), name="") -> str:
    return "".join(
        f'<geom {name.format(number)} type="sphere" size="{radius}" pos="{x} {y} {radius - 0.08}" class="sole"/>'
        for number, (x, y) in enumerate(places)
    )


def on_both_feet(sole: str) -> str:
    """The strider on other soles; {S} is the side."""
    before, between, after = STRIDER.split(BOX)
    return before + sole.replace("{S}", "left") + between + sole.replace("{S}", "right") + after


# -- closed loop ----------------------------------------------------------------------------------------------------


def test_the_example_squats_and_stands_up_again():
    document = run_trial(Trial(str(ROBOTS / "strider.toml"), "squat", seconds=2.5, state="truth"))
    assert not document["fell"]
    assert document["steps"] == 0
    assert document["tracking_rms"]["com"] < 2e-3
    assert document["limits_exceeded"] == 0
    assert document["faults"]["fallback_ticks"] == 0


def test_the_example_walks_on_what_its_sensors_say():
    document = run_trial(Trial(str(ROBOTS / "strider.toml"), "walk", Twist(vx=0.3), seconds=3.5))
    assert not document["fell"]
    assert document["velocity_mean"] == pytest.approx([0.3, 0, 0], abs=0.05)
    assert document["tracking_rms"]["capture"] < 0.01
    assert document["limits_exceeded"] == 0
    assert document["faults"] == {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}


def test_it_walks_uphill_with_a_load_and_is_pushed():
    conditions = Conditions(push=15.0, push_at_s=1.5, payload=4.0, friction=0.5, slope=0.04)
    trial = Trial(str(ROBOTS / "strider.toml"), "walk", Twist(vx=0.2), seconds=3.0, conditions=conditions)
    document = run_trial(trial)
    assert not document["fell"]
    assert document["steps"] > 2
    assert document["velocity_mean"][0] == pytest.approx(0.2, abs=0.07)


# -- feet -----------------------------------------------------------------------------------------------------------

CAPSULE = '<geom type="capsule" size="0.015" fromto="-0.085 {y} -0.065 0.155 {y} -0.065" class="sole"/>'
SHOE = (
    '<asset><mesh name="shoe" vertex="-.12 -.048 0  -.12 .048 0  .12 -.048 0  .12 .048 0  0 .048 0  '
    '-.1 -.04 .06  -.1 .04 .06  .1 -.04 .04  .1 .04 .04"/></asset><worldbody>'
)
SOLES = {
    "a box": STRIDER,
    "balls": on_both_feet(balls(places=((-0.085, 0.048), (-0.085, -0.048), (0.155, 0.048), (0.155, -0.048)))),
    "two capsules": on_both_feet(CAPSULE.format(y=0.048) + CAPSULE.format(y=-0.048)),
    "a mesh": on_both_feet('<geom type="mesh" mesh="shoe" pos="0.035 0 -0.08" class="sole"/>').replace(
        "<worldbody>", SHOE, 1
    ),
    "a box beside a ball": on_both_feet(BOX + '<geom type="sphere" size="0.01" pos="0 0 -0.03" class="sole"/>'),
}


@pytest.mark.parametrize("sole", SOLES)
def test_soles_are_found_whatever_shape_they_have(tmp_path, sole):
    robot = robot_file(tmp_path, SOLES[sole])
    assert load_machine(robot).kind == "humanoid"
    model = biped(robot)
    corners = np.abs(model.corner_offsets)
    assert corners.shape == (2, 4, 3)
    assert corners[:, :, :2] == pytest.approx(np.broadcast_to(SOLE, (2, 4, 2)), abs=2e-3)
    assert model.feet[0, 1] > 0 > model.feet[1, 1]
    assert model.feet[:, 2] - model.state.position[2] == pytest.approx([-0.9009] * 2, abs=1e-3)


def test_a_round_sole_gets_corners_on_its_rim(tmp_path):
    sole = '<geom type="cylinder" size="0.08 0.015" pos="0.02 0 -0.065" class="sole"/>'
    offsets = biped(robot_file(tmp_path, on_both_feet(sole))).corner_offsets
    assert np.linalg.norm(offsets, axis=2) == pytest.approx(np.full((2, 4), 0.08), abs=1e-6)
    assert np.abs(offsets[:, :, :2]).min() > 0.04


def test_feet_may_be_named(tmp_path):
    named = on_both_feet(balls(name='name="{{S}}_{}"'))
    lists = (["left_foot", "right_foot"], [f"{side}_{n}" for side in ("left", "right") for n in range(4)])
    specs = [load_machine(robot_file(tmp_path, named, f"[robot]\nfeet = {feet}\n")).spec for feet in lists]
    assert sorted(specs[0].feet[:4]) == sorted(specs[1].feet[:4]) == [f"left_{n}" for n in range(4)]
    geoms = STRIDER.replace(BOX, BOX.replace("<geom", '<geom name="L"'), 1)
    geoms = geoms.replace(BOX, BOX.replace("<geom", '<geom name="R"'), 1)
    assert len(load_machine(robot_file(tmp_path, geoms, '[robot]\nfeet = ["L", "R"]')).spec.feet) == 8


def turned_foot(side: str) -> str:
    """The strider with the frame of one foot turned upside down and its x axis to the right."""
    at = STRIDER.index(f'<body name="{side}_foot">')
    foot = STRIDER[at : STRIDER.index("</body>", at)]
    turned = foot.replace(f'<body name="{side}_foot">', f'<body name="{side}_foot" xyaxes="0 -1 0 -1 0 0">')
    turned = turned.replace("0.035 0 -0.05", "0 -0.035 0.05").replace("0.001 0.004 0.004", "0.004 0.001 0.004")
    turned = turned.replace('axis="1 0 0"', 'axis="0 -1 0"').replace("0.12 0.048 0.015", "0.048 0.12 0.015")
    turned = turned.replace("0.035 0 -0.065", "0 -0.035 0.065").replace("0 0 -0.02 0 0 -0.05", "0 0 0.02 0 0 0.05")
    return STRIDER.replace(foot, turned)


def test_frames_of_links_do_not_matter(tmp_path):
    """The same robot with one foot described in another frame: the same soles, and the same torques."""
    robots = [str(ROBOTS / "strider.toml"), robot_file(tmp_path, turned_foot("right"))]
    models = [biped(robot) for robot in robots]
    for one, other in zip(*([m.feet, m.rotations, m.M, m.momentum_matrix] for m in models), strict=True):
        assert np.asarray(one) == pytest.approx(np.asarray(other), abs=1e-9)
    torques = []
    for robot in robots:
        machine = load_machine(robot)
        controller = Biped(machine.nominal(), machine.spec)
        state = controller.model.home()
        controller.reset(state)
        torques.append(controller.torque(dataclasses.replace(state, q=state.q + 0.01, velocity=np.full(3, 0.02))))
    assert torques[0] == pytest.approx(torques[1], abs=1e-3)


def test_all_of_a_sole_feels_the_ground():
    """A box presses with its corners, which are no geoms of their own."""
    session = HumanoidSession(Trial(str(ROBOTS / "strider.toml"), "stand", state="truth"))
    for _ in range(250):
        session.tick()
    plant, mass = session.plant, session.controller.model.mass
    assert plant.contact_forces()[:, 2].sum() == pytest.approx(mass * 9.81, rel=0.02)
    assert plant.touch().all()
    plant.data.joint("floating").qpos[2] += 1.0
    mujoco.mj_forward(plant.model, plant.data)
    assert not plant.touch().any()


def test_friction_acts_on_what_touches_the_ground():
    model = load_machine(str(ROBOTS / "strider.toml")).scene(0.1).compile()
    soles = [g for g in range(model.ngeom) if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_BOX and model.geom_contype[g]]
    assert len(soles) == 2
    assert model.geom_friction[soles, 0].tolist() == [0.1, 0.1]
    assert (model.geom_priority[soles] == 1).all()
    assert model.geom_priority.sum() == 2


# -- home ---------------------------------------------------------------------------------------------------------

STRAIGHT = STRIDER.replace("-0.35 0.7 -0.35", "0 0 0")


def test_straight_knees_are_bent_and_the_feet_stay_where_they_stand(tmp_path):
    machine = load_machine(robot_file(tmp_path, STRAIGHT))
    spec = ready_to_walk(machine.nominal(), machine.spec)
    before, after = (BipedModel(machine.nominal(), s) for s in (machine.spec, spec))
    bent = dict(zip(spec.joints, spec.home, strict=True))
    assert bent["left_knee"] > 0.3
    assert bent["right_knee"] > 0.3
    assert bent["waist"] == 0
    lowered = before.home().position[2] - after.home().position[2]
    assert 0.01 < lowered < 0.1
    assert after.rotations == pytest.approx(before.rotations, abs=2e-3)
    assert np.ptp(after.feet - before.feet, axis=0) == pytest.approx(np.zeros(3), abs=3e-3)


def test_a_home_with_bent_knees_stays():
    machine = load_machine(str(ROBOTS / "strider.toml"))
    assert ready_to_walk(machine.nominal(), machine.spec) is machine.spec


def test_without_rolling_ankles_it_stands_but_is_not_asked_to_step(tmp_path):
    model = re.sub(r'<(joint|motor) name="(left|right)_ankle_roll".*?/>', "", STRIDER)
    robot = robot_file(tmp_path, model.replace("-0.35 0.7 -0.35 0", "-0.35 0.7 -0.35"))
    HumanoidSession(Trial(robot, "squat")).tick()
    for task in ("step", "walk"):
        with pytest.raises(UsageError, match=r"can stand and squat, but not step.*sideways"):
            HumanoidSession(Trial(robot, task))


# -- size -----------------------------------------------------------------------------------------------------------


def flat(settings) -> dict:
    fields = dataclasses.asdict(settings)
    nested = [fields.pop(name) for name in ("steps", "wbc")]
    return fields | nested[0] | nested[1]


def test_the_robot_that_settings_were_made_for_keeps_them():
    usual, fitted = flat(BipedSettings()), flat(settings_for(BipedModel(nominal_humanoid(), HUMANOID)))
    assert set(fitted.pop("trunk")) == set(usual.pop("trunk"))
    for name, value in usual.items():
        assert fitted[name] == pytest.approx(value, rel=5e-3), name


def test_settings_follow_size_and_mass():
    """Lengths go with the height, times with its square root, and forces weigh less on a heavy robot."""
    model = biped(str(ROBOTS / "strider.toml"))
    usual, fitted = BipedSettings(), settings_for(model)
    taller = fitted.swing_height / usual.swing_height
    assert taller == pytest.approx(float(model.com[2] - model.feet[:, 2].mean()) / 0.6673, rel=1e-3)
    assert fitted.steps.duration_s / usual.steps.duration_s == pytest.approx(taller**0.5)
    assert fitted.fastest[0] / usual.fastest[0] == pytest.approx(taller**0.5)
    assert fitted.wbc.force_weight < usual.wbc.force_weight
    assert fitted.steps.narrowest > 2 * SOLE[1]
    assert fitted.wbc.trunk == ("waist",)


def test_a_joint_that_nobody_limits_turns_without_end(tmp_path):
    free = STRIDER.replace('axis="0 0 1" range="-60 60" armature', 'axis="0 0 1" armature')
    model = biped(robot_file(tmp_path, free))
    waist = model.spec.joints.index("waist")
    assert [model.position_lower[waist], model.position_upper[waist]] == [-np.inf, np.inf]
    assert np.isfinite(np.delete([model.position_lower, model.position_upper], waist, axis=1)).all()
    lower, upper = JointLimits().bounds(model)
    assert lower[waist] < 0 < upper[waist]


def test_a_waist_between_trunk_and_legs_is_one_as_well(tmp_path):
    """A base above the waist carries its legs by it: a joint on the way to both feet."""
    waist = f'<body name="lower"><joint name="belt" axis="0 0 1" range="-60 60"/>{MASS}'
    start, end = STRIDER.index('      <body name="left_hip"'), STRIDER.index('      <body name="chest"')
    model = STRIDER[:start] + waist + STRIDER[start:end] + "</body>" + STRIDER[end:]
    model = model.replace("</actuator>", '<motor joint="belt" gear="90" ctrlrange="-1 1"/></actuator>')
    model = model.replace('qpos="0 0 1 1 0 0 0', 'qpos="0 0 1 1 0 0 0 0')
    assert trunk_joints(biped(robot_file(tmp_path, model))) == ("belt", "waist")


def test_the_box_inside_a_sole():
    assert inner_box(np.array([[-2, 1], [-2, -1], [2, 1.5], [2, -1.5]])).tolist() == [2, 1]
    middle = inner_box(np.array([[-2, 1], [-2, -1], [0, 1], [0, -1], [2, 1], [2, -1]]))
    assert middle.tolist() == [2, 1]  # balls in the middle of a side do not make it a point
    triangle = inner_box(np.array([[2.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]]))
    assert (triangle > 0.2).all()


# -- what can not be meant ------------------------------------------------------------------------------------------

NAMED = on_both_feet(balls(name='name="{{S}}_{}"'))
TOE = (
    f'<body name="{{S}}_toe" pos="0.155 0 -0.065">{MASS}<joint name="{{S}}_toe" axis="0 1 0" range="-40 40"/>'
    '<geom type="box" size="0.03 0.04 0.015" pos="0.03 0 0" class="sole"/></body>'
)
TOES = on_both_feet(BOX + TOE).replace("-0.35 0.7 -0.35 0", "-0.35 0.7 -0.35 0 0")
TOE_MOTORS = "".join(f'<motor joint="{side}_toe" gear="20" ctrlrange="-1 1"/>' for side in ("left", "right"))
TOES = TOES.replace("</actuator>", TOE_MOTORS + "</actuator>")
NO_FEET_TOUCH = STRIDER.replace(
    '<default class="sole"><geom mass="0"', '<default class="sole"><geom mass="0" contype="0" conaffinity="0"'
)
FOUR_FEET = (ROBOTS / "walker.xml").read_text()


@pytest.mark.parametrize(
    ("model", "toml", "message"),
    [
        (STRIDER, 'kind = "humanoid"\n[robot]\nfeet = ["left_foot"]', "has two feet.* feet are 1 .left_foot."),
        (FOUR_FEET, 'kind = "humanoid"', "has two feet.* stands on 4 .*LF_SHANK"),
        (STRIDER, 'kind = "quadruped"', "nothing on foot 'left_forearm' collides"),
        (on_both_feet(balls(0.03, ((0.03, 0.0),))), "", "sole of 'left_foot' has no area .1 of its points"),
        (on_both_feet(CAPSULE.format(y=0)), "", "sole of 'left_foot' has no area .2 of its points"),
        (STRIDER, '[robot]\nfeet = ["right_foot", "left_foot"]', "begin with 'right_foot', which is to the right"),
        (NAMED, '[robot]\nfeet = ["left_0", "right_0", "left_1", "right_1", "left_2", "right_2"]', "mix both soles"),
        (
            NAMED,
            '[robot]\nfeet = ["left_0", "left_1", "left_2", "right_0", "right_1"]',
            "'right_foot' has no area .2 of",
        ),
        (
            NAMED,
            '[robot]\nfeet = ["left_0", "left_1", "left_2", "left_3", "right_0", "right_1", "right_2"]',
            "different numbers of balls",
        ),
        (NAMED, '[robot]\nfeet = ["left_0", "right_foot"]', "'left_0' is a ball and 'right_foot' is not"),
        (STRIDER, 'kind = "humanoid"\n[robot]\nfeet = ["left_fot", "right_foot"]', "did you mean 'left_foot'"),
        (STRIDER, 'kind = "humanoid"\n[robot]\nfeet = ["chest", "left_foot"]', "nothing on foot 'chest' collides"),
        (NO_FEET_TOUCH, 'kind = "humanoid"', "has two feet.* stands on 0 .none."),
        (
            STRIDER.replace('gear="230" ctrlrange="-1 1"', 'gear="230"'),
            "",
            "without torque limit: left_knee, right_knee",
        ),
        (TOES, "", "'left_foot' and 'left_toe' are on the ground at home, of one leg: give feet"),
        (STRIDER.replace("-0.35 0.7 -0.35", "-0.35 0.7 0.35"), "", "'left_foot' is tilted by 40 degrees"),
        (STRIDER, 'kind = "humanoid"\n[robot]\nhome = [0.0, 0.1]', "home has 2 entries for 19 joints"),
        (STRIDER, f'kind = "humanoid"\n[robot]\nhome = {[math.nan] * 19}', "home is .*not all numbers"),
        (re.sub("<keyframe>.*</keyframe>", "", STRIDER), "", "no keyframe 'home' to rest in; give home"),
    ],
)
def test_humanoids_that_can_not_be_meant(tmp_path, model, toml, message):
    with pytest.raises(UsageError, match=message):
        load_machine(robot_file(tmp_path, model, toml))


def test_the_embedded_humanoid_is_found_on_its_own_balls(tmp_path):
    """Written out as a file without a word about its feet, it is the same robot."""
    robot = robot_file(tmp_path, humanoid_scene().to_xml(), f"[robot]\nhome = {list(HUMANOID.home)}\n")
    machine = load_machine(robot)
    assert machine.kind == "humanoid"
    assert sorted(machine.spec.feet) == sorted(HUMANOID.feet)
    assert machine.spec.feet[: len(CORNERS)] != machine.spec.feet[len(CORNERS) :]
    assert {foot[:4] for foot in machine.spec.feet[:4]} == {"left"}
