"""Two arms that nobody tuned the controllers for, bolted down or on wheels: circles, payloads, a box between them."""

import re
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robotics.control.bimanual import BimanualSession
from robotics.control.box_path import BoxPath
from robotics.control.machine import load_machine
from robotics.control.mobile import MobileSession
from robotics.control.palms import palms
from robotics.control.run import run_trial
from robotics.control.trial import Conditions, Trial
from robotics.controllers.legged.locomotion import Twist
from robotics.controllers.limbs import turning_point
from robotics.controllers.mobile import BaseSettings
from robotics.controllers.model import NominalModel
from robotics.controllers.motors import servo_damping
from robotics.controllers.reaching import reach
from robotics.controllers.rotation import log_between
from robotics.controllers.tasks import Reference
from robotics.errors import UsageError

ROBOTS = Path(__file__).parent / "robots"
DUAL, ROVER = ((ROBOTS / f"{name}.xml").read_text() for name in ("dual", "rover"))
DUAL_TOML, ROVER_TOML = ((ROBOTS / f"{n}.toml").read_text().replace(f"{n}.xml", "robot.xml") for n in ("dual", "rover"))


def robot_file(folder: Path, model: str, toml: str) -> str:
    (folder / "robot.xml").write_text(model)
    (folder / "robot.toml").write_text(toml)
    return str(folder / "robot.toml")


def nominal(robot: str) -> NominalModel:
    machine = load_machine(robot)
    return NominalModel(machine.nominal(), machine.spec)


def worst(document: dict, what: str = "position") -> float:
    return max(value for name, value in document["tracking_rms"].items() if name.endswith(what))


# -- which robot it is ----------------------------------------------------------------------------------------------


def test_what_the_model_says_need_not_be_said_again(tmp_path):
    without = re.sub(r"end_effectors = \[.*\]\n", "", ROVER_TOML.replace('kind = "mobile"', ""), flags=re.S)
    machine = load_machine(robot_file(tmp_path, ROVER, without))
    assert machine.kind == "mobile"
    assert [(e.name, e.gripper_joint) for e in machine.spec.end_effectors] == [
        ("port_tool", "port_grip"),
        ("starboard_tool", "starboard_grip"),
    ]
    assert load_machine(robot_file(tmp_path, DUAL, DUAL_TOML.replace('kind = "bimanual"', ""))).kind == "bimanual"
    bare = re.sub(r"<site.*/>", "", DUAL)
    hands = load_machine(robot_file(tmp_path, bare, DUAL_TOML)).spec.end_effectors
    assert [e.site for e in hands] == ["robotics_left_hand", "robotics_right_hand"]


def test_fields_of_the_file_win_over_what_the_model_says():
    assert [e.name for e in load_machine(str(ROBOTS / "rover.toml")).spec.end_effectors] == ["left", "right"]


ONE_HAND = 'end_effectors = [{name = "left", site = "left_palm"}]\n'
MOTORS = '<motor joint="roll_x"/>\n    <motor joint="roll_y"/>'
ROLL_Y = '<joint name="roll_y" type="slide" axis="0 1 0" damping="15" actuatorfrcrange="-200 200"/>'
HEADING = '<joint name="heading" axis="0 0 1" damping="4" actuatorfrcrange="-80 80"/>'


@pytest.mark.parametrize(
    ("model", "toml", "message"),
    [
        (DUAL, DUAL_TOML + ONE_HAND, r"a bimanual robot has two end effectors, this one has 1 \(left\)"),
        ((ROBOTS / "reacher.xml").read_text(), 'model = "robot.xml"\nkind = "bimanual"\n', "do not make two arms"),
        (DUAL, DUAL_TOML.replace("bimanual", "mobile"), "'left_a1' is to be one of its base that slides along x"),
        (ROVER, ROVER_TOML.replace("mobile", "bimanual"), 'roll_x, roll_y move both arms .* kind "mobile"'),
        (ROVER.replace('axis="1 0 0" damping="15"', 'axis="-1 0 0" damping="15"'), ROVER_TOML, "'roll_x' .* along x"),
        (ROVER.replace('<motor joint="heading"/>', ""), ROVER_TOML.replace("1.5, ", ""), "'port_turn' .* about z"),
        (ROVER.replace(HEADING, "").replace(ROLL_Y, HEADING + ROLL_Y), ROVER_TOML, "'heading' is .* along y"),
        (ROVER, ROVER_TOML.replace("port_grip", "port_gripp"), "unknown gripper joint.*did you mean 'port_grip'"),
        (ROVER, ROVER_TOML.replace("port_tool", "port_tol"), "unknown site.*did you mean 'port_tool'"),
        (
            ROVER.replace(HEADING, HEADING + '<site name="deck"/>'),
            ROVER_TOML.replace("port_tool", "deck"),
            "no joint moves end effector 'left' .* its site 'deck' is on body 'chassis'",
        ),
        (
            DUAL.replace('<site name="left', '<site name="eye"/><site name="left'),
            DUAL_TOML,
            r"\(eye, left_palm\); give",
        ),
        (DUAL, DUAL_TOML + ONE_HAND.replace("]", ', {name = "left", site = "right_palm"}]'), "both .* called 'left'"),
        (DUAL.replace('<body name="column">', '<body name="column"><freejoint/>'), DUAL_TOML, "has a free base"),
        (ROVER, ROVER_TOML.replace("port_grip", "port_spin"), "gripper joint 'port_spin' moves the site of .* 'left'"),
        (ROVER, ROVER_TOML.replace("starboard_grip", "port_grip"), "'port_grip' is that of several end effectors"),
        (ROVER, ROVER_TOML.replace('"mobile"', '"arm"'), "an arm has one end effector, this one has 2: left, right"),
        (DUAL, DUAL_TOML + 'feet = ["left_hand"]', "its model has no free base, but feet"),
    ],
)
def test_robots_that_can_not_be_meant(tmp_path, model, toml, message):
    with pytest.raises(UsageError, match=message):
        load_machine(robot_file(tmp_path, model, toml))


def test_a_base_that_turns_what_slides_is_none(tmp_path):
    """Its y is not that of the world once it has turned."""
    turned = ROVER.replace(HEADING, "").replace('<joint name="roll_x"', HEADING + '<joint name="roll_x"')
    joints = list(re.findall(r'<(?:motor|position) joint="(\w+)"', ROVER))
    named = ROVER_TOML + f"joints = {joints}\n"
    with pytest.raises(UsageError, match="it must turn on what slides"):
        load_machine(robot_file(tmp_path, turned, named))


def test_links_that_are_inside_each_other_are_named(tmp_path):
    """As those of URDFs may be, where everything collides."""
    solid = ROVER.replace('<default class="arm"><geom ', '<default class="arm"><geom contype="1" conaffinity="1" ')
    MobileSession(Trial(robot_file(tmp_path, solid, ROVER_TOML), "track"))
    jammed = solid.replace('size="0.034"', 'size="0.13"', 1)
    with pytest.raises(UsageError, match=r"'port_roll_link' and 'port_turret' are .* mm inside each other at home"):
        MobileSession(Trial(robot_file(tmp_path, jammed, ROVER_TOML), "track"))


# -- circles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "most"), [("truth", 2e-4), ("estimated", 2e-3)])
def test_two_arms_draw_their_circles_with_a_load_that_nobody_told_them_of(state, most):
    trial = Trial(str(ROBOTS / "dual.toml"), "track", seconds=2.5, state=state, conditions=Conditions(payload=2.0))
    document = run_trial(trial)
    assert worst(document) < most
    assert worst(document, "orientation") < 5e-3
    assert document["limits_exceeded"] == 0
    assert document["faults"]["fallback_ticks"] == 0


@pytest.mark.parametrize(("state", "most"), [("truth", 5e-4), ("estimated", 3e-3)])
def test_a_base_drives_under_hands_that_keep_to_their_paths(state, most):
    trial = Trial(str(ROBOTS / "rover.toml"), "track", Twist(0.4, 0.0, 0.2), seconds=2.5, state=state)
    document = run_trial(trial)
    assert worst(document) < most
    assert document["base"][1] > 0.2  # ahead of a robot that looks along y
    assert document["limits_exceeded"] == 0
    assert document["faults"]["fallback_ticks"] == 0


def other_base(model: str) -> str:
    """The rover on a base of other make: y before x, links that lie every way round, motors with gears, a lift."""
    slide = 'type="slide" axis="1 0 0" damping="15" actuatorfrcrange="-200 200"/><geom size="0.01" mass="0.5"/>'
    base = (
        f'<body pos="0.3 -2 0" quat="0.70710678 0 0 0.70710678"><joint name="roll_y" {slide}'
        f'<body quat="0.70710678 0 0 -0.70710678"><joint name="roll_x" {slide}<body>{HEADING}'
    )
    lift = '<joint name="up" type="slide" axis="0 0 1" range="-0.1 0.3" damping="50" actuatorfrcrange="-1500 1500"/>'
    model = re.sub(r'<body name="chassis".*?(?=<geom)', base + lift, model, flags=re.S)
    model = model.replace("    </body>\n  </worldbody>", "    </body></body></body>\n  </worldbody>")
    model = re.sub(r'<position (joint="\w+").*/>', r'<motor \1 gear="3"/>', model)
    return re.sub("<keyframe>.*</keyframe>", "", model.replace("<motor", '<motor joint="up"/><motor', 1), flags=re.S)


def test_a_base_of_another_make_brings_hands_to_what_is_out_of_reach(tmp_path):
    arm = ["turn", "lift", "bend", "roll", "pitch", "spin", "grip"]
    starboard, port = ([f"{side}_{joint}" for joint in arm] for side in ("starboard", "port"))
    pose = [0.0, 0.2, 1.0, 0.0, -1.2, 0.0, 0.03]
    toml = (
        f'model = "robot.xml"\n[robot]\njoints = {["roll_x", "roll_y", "heading", *starboard, "up", *port]}\n'
        f"home = {[-0.3, 0.4, -0.7, *pose, 0.05, *pose]}\nvelocity_limits = 1.5\n"
    )
    session = MobileSession(Trial(robot_file(tmp_path, other_base(ROVER), toml), "reach", seconds=5.0, state="truth"))
    assert turning_point(session.controller.model.model, session.controller.model.spec) == pytest.approx([0.3, -2.0])
    for _ in range(round(4.9 / session.period_s)):
        session.tick()
    assert np.linalg.norm(session.job._errors[-1][:, :3], axis=1).max() < 1e-3
    assert np.linalg.norm(session.plant.truth()[0][:2] - [-0.3, 0.4]) > 0.2
    assert session.limits_exceeded == 0


def test_a_weak_base_is_not_asked_for_more_than_it_has(tmp_path):
    usual = BaseSettings.within(nominal(str(ROBOTS / "rover.toml"))).mpc
    weak = ROVER.replace('damping="15" actuatorfrcrange="-200 200"', 'actuatorfrcrange="-30 30"')
    slow = ROVER_TOML.replace("1.2, 1.2, 1.5", "0.2, 0.3, 0.5")
    less = BaseSettings.within(nominal(robot_file(tmp_path, weak, slow))).mpc
    assert usual.max_velocity == pytest.approx((0.84, 1.0))
    assert less.max_velocity == pytest.approx((0.14, 0.35))
    assert less.max_acceleration[0] == pytest.approx(0.7 * 30 / 102.64, rel=0.01)


@pytest.mark.parametrize(("robot", "kind"), [("dual", BimanualSession), ("rover", MobileSession)])
def test_both_hands_share_the_payload_and_the_controller_does_not_know(robot, kind):
    session = kind(Trial(str(ROBOTS / f"{robot}.toml"), "track", conditions=Conditions(payload=3.0)))
    believed = session.controller.model.model
    assert session.model.body_subtreemass[0] == pytest.approx(believed.body_subtreemass[0] + 3.0)
    for effector in session.controller.model.spec.end_effectors:
        body = int(session.model.site_bodyid[session.model.site(effector.site).id])
        more = session.model.body_subtreemass[body] - believed.body_subtreemass[believed.site(effector.site).bodyid[0]]
        assert more == pytest.approx(1.5)


def test_a_servo_feels_like_inertia_for_as_long_as_its_command_is_held():
    """Torques that should speed joints up by 1 rad/s^2 do so, though MuJoCo takes the damping of servos at the end of
    its step."""
    session = MobileSession(Trial(str(ROBOTS / "rover.toml"), "track", state="truth"))
    believed, plant = session.controller.model, session.plant
    assert servo_damping(believed.model, believed.spec.joints)[3:6] == pytest.approx([100, 100, 75])
    believed.update(np.array(believed.spec.home), np.zeros(believed.n))
    wanted = np.ones(believed.n)
    plant.model.dof_frictionloss[:] = 0.0  # which at rest is as strong as what moves
    plant.step(believed.M @ wanted + believed.h)
    assert plant.truth()[1] / session.period_s == pytest.approx(wanted, abs=0.1)


# -- a box between the hands ----------------------------------------------------------------------------------------


def test_arms_that_have_never_seen_it_carry_the_box():
    session = BimanualSession(Trial(str(ROBOTS / "dual.toml"), "carry", seconds=8.0))
    while session.now < 8.0:
        session.tick()
        assert not session.fell()
    results = session.results()
    assert session.plant.box()[0][2] - session.job._path.start.position[2] > 0.1
    assert results["position_max"] < 3e-3
    assert results["squeeze"]["within_2N"] > 0.98
    assert session.limits_exceeded == 0
    assert set(session.faults().values()) == {0}


def test_a_trial_too_short_to_lift_the_box_says_so():
    with pytest.raises(UsageError, match="--seconds 5: carry takes 7 s to lift its box"):
        BimanualSession(Trial(str(ROBOTS / "dual.toml"), "carry", seconds=5.0))


PAD = 'type="box" size="0.025 0.035 0.012"'


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (DUAL.replace(PAD, 'type="sphere" size="0.03"'), "'left_palm' that collides is flat"),
        (re.sub(r'contype="\d" conaffinity="\d"', 'contype="0" conaffinity="0"', DUAL), "'left_palm' that collides"),
        (DUAL.replace("-90 90", "-8 8"), r"joint '\w+_a1' can not give more than 8"),
        (DUAL.replace("-1.9 1.9", "-0.4 0.4").replace('"-2.8 2.8"', '"-0.7 0.3"'), "do not reach where it goes"),
    ],
)
def test_arms_that_can_not_carry_are_told_why(tmp_path, model, message):
    with pytest.raises(UsageError, match=message):
        BimanualSession(Trial(robot_file(tmp_path, model, DUAL_TOML), "carry", seconds=8.0))


def test_the_flat_of_a_hand_is_found_where_it_is():
    found = {
        tuple(np.round(palm.towards).astype(int)): palm
        for palm in palms(nominal(str(ROBOTS / "dual.toml")), "left_palm")
    }
    assert set(found) == {(0, 0, -1), (0, 1, 0), (0, -1, 0)}  # the wrist behind it is as thick as the pad
    front = found[0, 0, -1]
    assert front.centre == pytest.approx([0, 0, 0], abs=2e-3)
    assert front.half == pytest.approx((0.025, 0.035), abs=2e-3)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_path_of_the_box_moves_as_it_says(side):
    start = Reference(np.array([0.3, 0.1, 0.8]), np.array([np.cos(0.4), 0, 0, np.sin(0.4)]))
    path, eps = BoxPath(start, np.array([0.03, 0.0, 0.12]), side), 1e-5
    for t in (0.5, 1.7, 3.3, 4.6, 8.0):
        before, here, after = (path.at(t + step) for step in (-eps, 0.0, eps))
        turn = log_between(before.quat, after.quat)
        assert here.velocity == pytest.approx(
            [*(after.position - before.position), *turn] / np.array(2 * eps), abs=1e-6
        )
        assert here.acceleration == pytest.approx((after.velocity - before.velocity) / (2 * eps), abs=1e-4)


def test_joints_are_found_that_bring_hands_where_they_shall_be():
    robot, rng = nominal(str(ROBOTS / "dual.toml")), np.random.default_rng(0)
    home, room = np.array(robot.spec.home), 0.03
    lower, upper = robot.position_lower + room, robot.position_upper - room
    for _ in range(20):
        robot.move(np.clip(home + rng.uniform(-0.4, 0.4, robot.n), lower, upper))
        poses = {hand.name: robot.pose(hand.name) for hand in robot.spec.end_effectors}
        q = reach(robot, poses, home)
        assert q is not None
        assert ((q >= lower - 1e-9) & (q <= upper + 1e-9)).all()
        robot.move(q)
        for hand, (position, quat) in poses.items():
            here, turn = robot.pose(hand)
            assert here == pytest.approx(position, abs=6e-4)
            assert log_between(turn, quat) == pytest.approx(np.zeros(3), abs=3e-3)
    far = {hand: (position + [3.0, 0, 0], quat) for hand, (position, quat) in poses.items()}
    assert reach(robot, far, home) is None


def test_a_camera_sees_all_of_a_robot_that_nobody_gave_one():
    """The corners of its geoms are within the picture."""
    session = MobileSession(Trial(str(ROBOTS / "rover.toml"), "track"))
    model, data = session.model, session.data
    mujoco.mj_camlight(model, data)
    camera = data.camera(session.camera)
    seen = (data.geom_xpos[model.geom_bodyid > 0] - camera.xpos) @ camera.xmat.reshape(3, 3)
    angles = np.arctan2(np.abs(seen[:, :2]), -seen[:, 2:])
    assert (seen[:, 2] < 0).all()
    assert angles.max() < np.radians(0.5 * model.cam_fovy[model.camera(session.camera).id])
