"""Joints that follow others, and tendons that pull: the nominal model is the one that MuJoCo simulates."""

import mujoco
import numpy as np
import pytest

from robotics.control.plant import place_joints
from robotics.controllers.model import NominalModel
from robotics.controllers.robot_spec import EndEffector, RobotSpec
from robotics.errors import UsageError

SPEC = RobotSpec("hand", ("a", "b", "f1"), (0.3, 0.4, 0.02), (10.0,) * 3, (EndEffector("hand", "s", "f1"),))
HELD = 'solref="0.002 1" solimp=".9999 .9999 .001"'


def hand(coupling, finger="", tendon=""):
    """An arm of two joints with two fingers, coupled as an equality says."""
    return mujoco.MjModel.from_xml_string(f"""
    <mujoco>
      <option timestep="0.0005"><flag contact="disable"/></option>
      <default>
        <joint armature="0.01"/>
        <default class="finger"><joint type="slide" axis="1 0 0"/></default>
      </default>
      <worldbody>
        <body>
          <joint name="a" axis="0 1 0"/><geom type="capsule" size=".05 .2" pos="0 0 .3" mass="2"/>
          <body pos="0 0 .6">
            <joint name="b" axis="0 1 0"/><geom type="capsule" size=".04 .1" pos="0 0 .1" mass="1"/>
            <site name="s" pos="0 0 .2"/>
            <body pos=".03 0 .2"><joint name="f1" class="finger" {finger}/><geom size=".02" mass=".1"/></body>
            <body pos="-.03 0 .2"><joint name="f2" class="finger" {finger}/><geom size=".02" mass=".1"/></body>
          </body>
        </body>
      </worldbody>
      <tendon>{tendon}</tendon>
      <equality><joint {coupling} {HELD}/></equality>
      <actuator>
        <motor joint="a" ctrlrange="-999 999"/><motor joint="b" ctrlrange="-999 999"/>
        <motor joint="f1" ctrlrange="-999 999"/>
      </actuator>
    </mujoco>
    """)


SPRING = '<fixed name="t" stiffness="500" damping="20" springlength="0"><joint joint="b" coef="1"/></fixed>'
CASES = {
    "side by side": ('joint1="f2" joint2="f1" polycoef="0 1 0 0 0"', "", ""),
    "towards each other": ('joint1="f2" joint2="f1" polycoef="0 -1 0 0 0"', 'frictionloss="5"', ""),
    "apart by a centimetre": ('joint1="f2" joint2="f1" polycoef="0.01 1 0 0 0"', "", ""),
    "written the other way round": ('joint1="f1" joint2="f2" polycoef="0.01 -2 0 0 0"', "", ""),
    "a tendon with a spring and a damper": ('joint1="f2" joint2="f1" polycoef="0 1 0 0 0"', "", SPRING),
}


@pytest.mark.parametrize("case", CASES)
def test_torques_give_the_accelerations_that_they_are_for(case):
    model = hand(*CASES[case])
    nominal, q, v = NominalModel(model, SPEC), np.array([0.3, 0.4, 0.02]), np.array([0.3, -0.2, 0.4])
    nominal.update(q, v)
    wanted = np.array([1.0, -2.0, 3.0])
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = nominal.data.qpos, nominal.T @ v, nominal.M @ wanted + nominal.h
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.qacc[:3], wanted, atol=0.02)


@pytest.mark.parametrize("case", CASES)
def test_a_simulated_robot_starts_where_its_model_believes_it(case):
    model = hand(*CASES[case])
    nominal, data = NominalModel(model, SPEC), mujoco.MjData(model)
    place_joints(model, data, np.array([0, 1, 2]), np.array(SPEC.home))
    np.testing.assert_allclose(data.qpos, nominal.data.qpos, atol=1e-12)


def test_what_follows_by_a_curve_is_refused():
    with pytest.raises(UsageError, match="joint 'f2' follows another one by a curve"):
        NominalModel(hand('joint1="f2" joint2="f1" polycoef="0 1 10 0 0"'), SPEC)
