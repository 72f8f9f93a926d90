"""The arm on its own: circles, payloads, targets out of reach, and arms that nobody tuned it for."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from robotics.control.arm import ArmSession
from robotics.control.machine import load_machine
from robotics.control.run import run_trial
from robotics.control.trial import Conditions, Trial
from robotics.controllers.tasks import Reference
from robotics.errors import UsageError

ROBOTS = Path(__file__).parent / "robots"
REACHER, SEVEN = (ROBOTS / "reacher.xml").read_text(), (ROBOTS / "seven.urdf").read_text()
SEVEN_TOML = (ROBOTS / "seven.toml").read_text().replace("seven.urdf", "robot.xml")
REACHER_TOML = 'model = "robot.xml"\n[robot]\nvelocity_limits = 3.1\n'


def robot_file(folder: Path, model: str, toml: str) -> str:
    (folder / "robot.xml").write_text(model)
    (folder / "robot.toml").write_text(toml)
    return str(folder / "robot.toml")


@pytest.mark.parametrize("payload", [0.0, 1.0])
@pytest.mark.parametrize("state", ["truth", "estimated"])
def test_circle(state, payload):
    document = run_trial(Trial("arm", "track", seconds=3.0, state=state, conditions=Conditions(payload=payload)))
    assert document["tracking_rms"]["position"] < (1e-3 if payload else 5e-4)
    assert document["circle"]["radius"] == 0.1
    assert document["limits_exceeded"] == 0
    assert document["faults"]["fallback_ticks"] == 0


def test_old_torques():
    """With torques of 10 ms ago nothing swings: not the arm, and not its fingers."""
    document = run_trial(Trial("arm", "track", seconds=3.0, conditions=Conditions(delay_s=0.01)))
    assert document["tracking_rms"]["position"] < 5e-4
    assert document["limits_exceeded"] == 0


def motors_instead(model: str) -> str:
    """Geared motors for the position servos."""
    model = model.replace('<position kp="3000" kv="100" ctrlrange="-6.3 6.3"/>', '<motor gear="2"/>')
    for limit in (28, 150):
        model = model.replace(f'forcerange="-{limit} {limit}"', f'ctrlrange="-{limit / 2} {limit / 2}"')
    return model.replace("<position ", "<motor ").replace(' kp="500" kv="20"', "")


def five_joints(model: str) -> str:
    """Without its last joint, which could turn the hand."""
    model = model.replace('<joint name="a6" axis="0 1 0" range="-6.2 6.2" armature="0.02" damping="0.5"/>', "")
    model = model.replace('<position name="s6" joint="a6" forcerange="-28 28" kp="500" kv="20"/>', "")
    return model.replace(' -1.57 0"/>', ' -1.57"/>')


ARMS = {
    "five joints": (five_joints(REACHER), REACHER_TOML),
    "servos out of order": (REACHER, REACHER_TOML),
    "motors with gears": (motors_instead(REACHER), REACHER_TOML),
    "no site": (REACHER.replace('<site name="flange" pos="0 0.08 0" quat="-0.7071 0.7071 0 0"/>', ""), REACHER_TOML),
    "a third of the mass": (
        REACHER.replace('mass="8.4"', 'mass="2.8"').replace('mass="3.7"', 'mass="1.2"').replace('"2.3"', '"0.8"'),
        REACHER_TOML,
    ),
    "seven joints, URDF": (SEVEN, SEVEN_TOML),
}


@pytest.mark.parametrize("arm", ARMS)
def test_any_arm_draws_the_circle(tmp_path, arm):
    robot = robot_file(tmp_path, *ARMS[arm])
    document = run_trial(Trial(robot, "track", seconds=2.0, conditions=Conditions(payload=0.5)))
    assert document["tracking_rms"]["position"] < 1e-3
    assert document["limits_exceeded"] == 0
    assert document["faults"]["fallback_ticks"] == 0


#: Four joints, a stroke of 18 cm: its hand comes no more than 10 cm further down.
SCARA = """
<mujoco><compiler angle="radian"/><worldbody>
  <body pos="0 0 .45"><joint name="a1" axis="0 0 1" range="-2.4 2.4" damping="1" armature=".05"/>
    <geom type="capsule" fromto="0 0 0 .3 0 0" size=".04" mass="4"/>
    <body pos=".3 0 0"><joint name="a2" axis="0 0 1" range="-2.5 2.5" damping="1" armature=".03"/>
      <geom type="capsule" fromto="0 0 .05 .25 0 .05" size=".035" mass="2.5"/>
      <body name="quill" pos=".25 0 .05"><joint name="z" type="slide" axis="0 0 -1" range="0 .18" damping="20"/>
        <geom type="cylinder" size=".012 .1" mass=".5"/>
        <body pos="0 0 -.1"><joint name="r" axis="0 0 1" range="-6.3 6.3" damping=".1" armature=".005"/>
          <geom type="box" size=".03 .015 .02" mass=".3"/><site name="tip" pos="0 0 -.03"/></body></body></body></body>
</worldbody><actuator><motor joint="a1" ctrlrange="-60 60"/><motor joint="a2" ctrlrange="-30 30"/>
  <motor joint="z" ctrlrange="-150 150"/><motor joint="r" ctrlrange="-5 5"/></actuator></mujoco>"""
SCARA_TOML = 'model = "robot.xml"\nkind = "arm"\n[robot]\nhome = [0.4, 0.8, 0.08, 0.0]\nvelocity_limits = 3.0\n'


def test_the_circle_is_as_large_as_the_arm_reaches(tmp_path):
    document = run_trial(Trial(robot_file(tmp_path, SCARA, SCARA_TOML), "track", seconds=2.0))
    assert 0.02 < document["circle"]["radius"] < 0.05
    assert document["circle"]["off"] < 0.05
    assert document["limits_exceeded"] == 0


def test_links_inside_each_other_are_refused(tmp_path):
    """They rub, whatever the controller does."""
    post = '<body name="post"><geom type="cylinder" size=".07 .2" pos="0 0 .25" mass="20"/></body>'
    robot = robot_file(tmp_path, SCARA.replace("<worldbody>", "<worldbody>" + post), SCARA_TOML)
    with pytest.raises(UsageError, match="inside each other at home and would jam"):
        ArmSession(Trial(robot, "track"))


def test_what_the_model_says_need_not_be_said_again():
    six, seven = (load_machine(str(ROBOTS / f"{name}.toml")).spec for name in ("reacher", "seven"))
    assert six.joints == ("a1", "a2", "a3", "a4", "a5", "a6")
    assert six.home == (-1.57, -1.57, 1.57, -1.57, -1.57, 0.0)
    assert six.end_effectors[0].site == "flange"
    assert seven.end_effectors[0].site == "robotics_hand"


def test_a_free_object_is_no_part_of_the_arm():
    session = ArmSession(Trial(str(ROBOTS / "reacher.toml"), "hold"))
    for _ in range(200):
        session.tick()
    assert session.data.body("crate").xpos == pytest.approx([0.8, 0.8, 0.1], abs=2e-3)
    assert session.results()["tracking_rms"]["position"] < 1e-4


@pytest.mark.parametrize(
    ("model", "toml", "message"),
    [
        (
            REACHER.replace("<site", '<site name="camera"/><site'),
            REACHER_TOML,
            "2 sites.*camera, flange.*end_effectors",
        ),
        (REACHER.replace(' forcerange="-150 150"', ""), REACHER_TOML, "without torque limit: a1, a2, a3"),
        (REACHER.replace('name="home"', 'name="one"/><key name="two"'), REACHER_TOML, "no keyframe 'home'"),
        (REACHER, REACHER_TOML + 'joints = ["a1", "a7"]\nhome = [0, 0]', "unknown joint.*'a7'"),
        (REACHER, 'kind = "quadruped"\n' + REACHER_TOML, "quadruped"),
        (SEVEN, SEVEN_TOML.replace("home", "# home"), "no keyframe 'home'"),
        (SEVEN, SEVEN_TOML.replace("[1.5, ", "["), "velocity_limits has 6 entries for 7"),
        (SEVEN.replace('effort="40"', 'effort="0"'), SEVEN_TOML, "A6, A7"),
    ],
)
def test_arms_that_can_not_be_meant(tmp_path, model, toml, message):
    with pytest.raises(UsageError, match=message):
        load_machine(robot_file(tmp_path, model, toml))


def test_a_target_out_of_reach_is_approached_and_told():
    """1.6 m from the shoulder: the hand goes as far as the arm is long, and how much is missing is in the document."""
    session = ArmSession(Trial("arm", "reach", state="truth"))
    far = Reference(np.array([0.9, 0.9, 1.2]), session.plant.hand()[1])
    session._somewhere = lambda: far
    for _ in range(round(3.1 / session.period_s)):
        session.tick()
    shoulder, reach = np.array([0, 0, 0.333]), 0.855 + 0.11  # to the wrist's last axis, and the hand across it
    missed = session.results()["targets"]["missed_m"]
    assert missed == [pytest.approx(np.linalg.norm(far.position - shoulder) - reach, abs=0.06)]
    assert session.limits_exceeded == 0
    assert session.faults()["fallback_ticks"] == 0


def test_random_targets_are_met_or_told():
    document = run_trial(Trial("arm", "reach", seconds=15.1, seed=2))
    assert document["limits_exceeded"] == 0
    assert document["targets"]["given"] == 5


@pytest.mark.parametrize("robot", ["arm", str(ROBOTS / "reacher.toml")])
def test_no_limit_is_exceeded_by_targets_that_change_all_the_time(robot):
    """A short version of what scripts/benchmarks/arm.py does 100 000 times."""
    session = ArmSession(Trial(robot, "reach", seed=2))
    rng = np.random.default_rng(0)
    for tick in range(1500):
        if tick % 10 == 0:
            session.patience_s = float(rng.choice([0.02, 0.1, 0.6]))
        session.tick()
    assert session.limits_exceeded == 0
    assert session.faults()["fallback_ticks"] == 0


def test_options_that_an_arm_does_not_have():
    with pytest.raises(UsageError, match="no --slope"):
        Trial("arm", "track", conditions=Conditions(slope=0.1))
    with pytest.raises(UsageError, match=r"unknown task of arm 'trak'.*did you mean 'track'"):
        Trial("arm", "trak")


@pytest.mark.parametrize("robot", ["arm", str(ROBOTS / "seven.toml")])
def test_the_payload_is_the_plants_alone(robot):
    session = ArmSession(Trial(robot, "hold", conditions=Conditions(payload=2.0)))
    nominal = session.controller.model.model.body_subtreemass[0]
    assert session.model.body_subtreemass[0] == pytest.approx(nominal + 2.0)


@pytest.mark.parametrize("robot", ["arm", str(ROBOTS / "seven.toml")])
def test_the_ball_is_avoided_on_the_way_there(robot):
    document = run_trial(Trial(robot, "avoid", seconds=3.1))
    assert document["clearance"] > 0.015
    assert document["targets"] == {"given": 1, "missed_m": []}
    assert document["limits_exceeded"] == 0
    assert document["faults"]["fallback_ticks"] == 0


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e9])
def test_broken_sensors_never_reach_the_motors(broken):
    session = ArmSession(Trial("arm", "track"))
    for tick in range(60):
        q, v = session.plant.truth()
        q, v = q.copy(), v.copy()
        if tick % 3:
            q[tick % len(q)], v[(tick + 1) % len(v)] = broken, -broken
        session._plan()
        torque, _ = session.controller.torque(q, v)
        assert np.isfinite(torque).all()
        assert (np.abs(torque) <= session.controller.model.torque_upper).all()
        session.plant.step(torque)
    assert session.faults()["nan"] > 0
    mujoco.mj_checkPos(session.model, session.data)
    assert not any(session.data.warning.number)
