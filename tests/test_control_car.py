"""Cars that the controller was never tuned for: from files, of any size, with whatever turns their wheels."""

import re
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy.linalg import expm

from robotics.control.car import CarSession
from robotics.control.car_plant import EMBEDDED, CarPlant, chassis_of
from robotics.control.courses import TASKS, fitted, lay_out_task
from robotics.control.machine import load_machine
from robotics.control.run import run_trial
from robotics.control.trial import Conditions, Trial
from robotics.controllers.car.actuation import WheelMotors
from robotics.controllers.car.chassis import read_chassis
from robotics.controllers.car.model import HEADING, SPEED, STEER, CarParameters, DynamicBicycle, KinematicBicycle
from robotics.controllers.car.mpc import CarMPC, Motion, discretise, linearise
from robotics.controllers.car.scale import Scale, scale_of
from robotics.controllers.car.steering import Beam, Linkage, hinges
from robotics.envs.robots.car import CAR, CAR_SPEC, CHASSIS, car_scene
from robotics.errors import UsageError

ROBOTS = Path(__file__).parent / "robots"
BUGGY = (ROBOTS / "buggy.xml").read_text()
BUGGY_FILE = str(ROBOTS / "buggy.toml")
NO_FAULTS = {"qp_infeasible": 0, "fallback_ticks": 0, "nan": 0}


def robot_file(folder: Path, model: str, fields: str = "") -> str:
    (folder / "robot.xml").write_text(model)
    (folder / "robot.toml").write_text(f'model = "robot.xml"\nkind = "car"\n[robot]\n{fields}\n')
    return str(folder / "robot.toml")


def without(model: str, text: str) -> str:
    """The model without the lines that hold `text`."""
    return "\n".join(line for line in model.splitlines() if text not in line)


def without_body(model: str, name: str) -> str:
    start, depth = model.index(f'<body name="{name}"'), 0
    for tag in re.finditer("<body |</body>", model[start:]):
        depth += 1 if tag.group() == "<body " else -1
        if depth == 0:
            return model[:start] + model[start + tag.end() :]
    raise AssertionError(name)


def wheel(name: str, x: float, y: float, kingpin: str = "") -> str:
    return f"""
        <body name="{name}" pos="{x} {y} 0">
          <inertial pos="0 0 0" mass="0.09" diaginertia="3e-5 6e-5 3e-5"/>{kingpin}
          <joint name="{name}_spin" axis="0 1 0" damping="0.0005" armature="0.0001"/>
          <geom type="ellipsoid" size="0.05 0.03 0.05" friction="1.1 0.01 0.001"/>
        </body>"""


def tenth(front: str, rest: str) -> str:
    """A car of 3 kg, 1:10, with a front axle, and with what follows the world."""
    return f"""<mujoco model="tenth"><compiler autolimits="true" angle="radian"/>
      <default><joint armature="0.0003"/></default>
      <worldbody>
        <body name="cone" pos="3 3 0.1"><freejoint/><geom size="0.1"/></body>
        <body name="car" pos="0 0 0.05"><freejoint/><inertial pos="0 0 0.02" mass="2.8" diaginertia="0.01 0.03 0.035"/>
          {wheel("rl", -0.15, 0.12)}{wheel("rr", -0.15, -0.12)}{front}
        </body>
      </worldbody>{rest}</mujoco>"""


def kingpin(name: str) -> str:
    return f'<joint name="{name}" axis="0 0 1" range="-0.5 0.5" damping="0.01"/>'


#: One steering wheel that both front wheels follow, and one motor that drives all of them.
LINKED = tenth(
    f"""<body name="column" pos="0.05 0 0.06"><inertial pos="0 0 0" mass="0.02" diaginertia="1e-5 1e-5 1e-5"/>
          <joint name="column" axis="0 0 1" range="-0.45 0.45" damping="0.01"/></body>
        {wheel("fl", 0.15, 0.12, kingpin("fl_turn"))}{wheel("fr", 0.15, -0.12, kingpin("fr_turn"))}""",
    """<equality><joint joint1="fl_turn" joint2="column" polycoef="0 1 0.25 0 0"/>
         <joint joint1="fr_turn" joint2="column" polycoef="0 1 -0.25 0 0"/></equality>
       <tendon><fixed name="throttle"><joint joint="fl_spin" coef="0.25"/><joint joint="fr_spin" coef="0.25"/>
         <joint joint="rl_spin" coef="0.25"/><joint joint="rr_spin" coef="0.25"/></fixed></tendon>
       <actuator><position joint="column" kp="5" kv="0.1" forcerange="-1 1" ctrlrange="-0.4 0.4"/>
         <velocity tendon="throttle" kv="4" ctrlrange="-120 120" forcerange="-2 2"/></actuator>""",
)
#: A front axle that turns as a whole, and is driven; its motors and its pivot are velocity servos.
BEAM = tenth(
    f"""<body name="beam" pos="0.15 0 0"><inertial pos="0 0 0" mass="0.05" diaginertia="3e-5 6e-5 3e-5"/>
          <joint name="pivot" axis="0 0 -1" range="-0.5 0.5" damping="0.01"/>
          {wheel("fl", 0, 0.12)}{wheel("fr", 0, -0.12)}</body>""",
    """<actuator><velocity joint="pivot" kv="0.5" forcerange="-1 1"/>
         <velocity joint="fl_spin" kv="0.02" forcerange="-0.3 0.3"/>
         <velocity joint="fr_spin" kv="0.02" forcerange="-0.3 0.3"/></actuator>""",
)
SERVOS = BUGGY.replace('<motor name="steer_r"', '<position name="steer_r" kp="60" kv="1.5"').replace(
    '<motor name="steer_l"', '<position name="steer_l" kp="60" kv="1.5"'
)
VARIANTS = {
    "as it is": BUGGY,
    "servos that steer": SERVOS.replace('ctrlrange="-3 3"', 'forcerange="-3 3"'),
    "steering wheel and one motor": LINKED,
    "front axle on a pivot": BEAM,
}


def drive(robot: str, task: str, seconds: float, **options) -> CarSession:
    session = CarSession(Trial(robot, task, seconds=seconds, **options))
    for _ in range(round(seconds / session.period_s)):
        session.tick()
        if session.fell() or session.driver.finished:
            break
    return session


# -- what is read from a model ----------------------------------------------------------------------------------------


def test_the_embedded_car_is_read_as_published():
    """But for its centre of mass, which its wheels, all of one weight, shift by 16 mm."""
    chassis = read_chassis(car_scene().compile(), CAR_SPEC)
    car = chassis.car
    assert [car.mass, car.yaw_inertia] == pytest.approx([CAR.mass, CAR.yaw_inertia], rel=1e-3)
    assert car.wheelbase == pytest.approx(CAR.wheelbase, abs=1e-3)
    assert [car.front, car.rear] == pytest.approx([CAR.front, CAR.rear], abs=0.02)
    assert chassis.tracks == pytest.approx(CHASSIS.tracks, abs=1e-3)
    assert chassis.radii == pytest.approx(CHASSIS.radii, abs=1e-3)  # on the road: less by what the tyre gives
    assert chassis.frame == pytest.approx(np.eye(3), abs=1e-3)
    assert car.friction == CAR.friction
    assert scale_of(CAR) == Scale(1.0, 1.0)


def test_geometry_is_that_of_the_file():
    machine = load_machine(BUGGY_FILE)
    chassis = chassis_of(machine)
    car = chassis.car
    assert machine.spec.wheels == ("turns_front_l", "turns_front_r", "turns_back_l", "turns_back_r")
    assert machine.spec.steering == ("kingpin_l", "kingpin_r")
    assert car.wheelbase == pytest.approx(0.56, abs=1e-3)
    assert chassis.tracks == pytest.approx((0.42, 0.41), abs=1e-3)
    assert chassis.radii == pytest.approx([0.085, 0.085, 0.095, 0.095], abs=1e-3)
    # 8.6 kg at -0.04, two arms at -0.22, wheels and knuckles on their axles; along y
    heavy = 8.6 * -0.04 + 0.5 * -0.22 + 1.4 * -0.28 + 1.5 * 0.28
    assert car.mass == pytest.approx(12.0)
    assert car.front == pytest.approx(0.28 - heavy / 12.0, abs=2e-3)
    assert chassis.frame[:, 0] == pytest.approx([0, 1, 0], abs=0.03)  # nose up a little on its springs
    assert chassis.drive_share == pytest.approx([0, 0, 0.5, 0.5])
    assert chassis.signs.tolist() == [1, -1, 1, -1]
    assert car.friction == pytest.approx(0.9)
    inner = np.arctan(0.56 / (0.56 / np.tan(car.max_steer) - 0.21))
    assert np.rad2deg(inner) == pytest.approx(28, rel=0.04)  # but for a margin to the stops
    assert car.max_steer_rate == 3.0


def test_yaw_inertia_is_what_a_torque_makes_of_it():
    machine = load_machine(BUGGY_FILE)
    chassis, model = chassis_of(machine), machine.nominal()
    model.opt.gravity[:] = 0.0
    data = mujoco.MjData(model)
    data.qpos[:] = chassis.rest
    data.qpos[2] += 1.0
    dt, base = model.opt.timestep, model.body("tub").id
    for _ in range(2):
        data.xfrc_applied[base, 5] = 0.01
        mujoco.mj_step(model, data)
    turning = (data.xmat[base].reshape(3, 3) @ data.qvel[3:6])[2]
    assert 2 * dt * 0.01 / turning == pytest.approx(chassis.car.yaw_inertia, rel=0.02)


def test_a_urdf_of_another_size_is_a_car_as_well():
    chassis = chassis_of(load_machine(str(ROBOTS / "cart.toml")))
    assert chassis.car.wheelbase == pytest.approx(1.65, abs=1e-3)
    assert chassis.tracks == pytest.approx((0.96, 1.0), abs=1e-3)
    assert chassis.car.mass == 422.0
    assert chassis.drive_share.min() > 0.2
    assert sorted(chassis.signs) == [-1, -1, 1, 1]


@pytest.mark.parametrize("variant", ["as it is", "front axle on a pivot"])
def test_a_hinge_that_turns_right_round_is_not_driven_as_far(tmp_path, variant):
    model = VARIANTS[variant].replace('range="-28 28"', 'range="-180 180"').replace('range="-0.5 0.5"', 'range="-3 3"')
    assert chassis_of(load_machine(robot_file(tmp_path, model))).car.max_steer == 1.0


def test_fields_of_the_file_win(tmp_path):
    fields = "steering_rate = 2.0\nsteering_range = 0.3\ncornering = 12.0\ntop_speed = 3.0"
    chassis = chassis_of(load_machine(robot_file(tmp_path, BUGGY, fields)))
    assert (chassis.car.max_steer_rate, chassis.car.cornering, chassis.top_speed) == (2.0, 12.0, 3.0)
    assert chassis.car.max_steer < 0.3
    assert fitted(TASKS["track"], chassis).pace.speed == pytest.approx(2.7)


# -- joints and actuators ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_steering_angles_come_back_from_the_hinges(tmp_path, variant):
    chassis = chassis_of(load_machine(robot_file(tmp_path, VARIANTS[variant])))
    steers = np.linspace(-0.9, 0.9, 7) * chassis.car.max_steer
    back = [chassis.steering.steer(hinges(chassis.steering, steer)) for steer in steers]
    assert back == pytest.approx(steers, abs=2e-3)
    assert isinstance(chassis.steering, Linkage) == (variant == "steering wheel and one motor")
    assert isinstance(chassis.steering, Beam) == (variant == "front axle on a pivot")


@pytest.mark.parametrize("variant", VARIANTS)
def test_wheels_get_the_torques_that_are_wanted(tmp_path, variant):
    machine = load_machine(robot_file(tmp_path, VARIANTS[variant]))
    chassis, model = chassis_of(machine), machine.nominal()
    motors, data = WheelMotors(model, machine.spec.wheels, "it"), mujoco.MjData(model)
    dofs = [model.joint(name).dofadr[0] for name in machine.spec.wheels]
    data.qvel[dofs] = np.random.default_rng(0).normal(0, 2, 4)
    wanted = chassis.signs * chassis.wheel_torques(1.0, 0.0)
    motors.apply(data, wanted)
    mujoco.mj_forward(model, data)
    assert data.qfrc_actuator[dofs] == pytest.approx(wanted, rel=1e-4, abs=1e-9)
    force = (chassis.signs * wanted / chassis.radii).sum()
    assert force == pytest.approx(chassis.moved_mass, rel=1e-6)


# -- motion to scale --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["track", "limit"])
def test_plans_of_similar_cars_are_similar(task):
    """Froude's law: lengths, accelerations and times scaled, the same problem."""
    scale = Scale(0.2, 1.3)
    small = replace(
        CAR,
        mass=10.0,
        yaw_inertia=CAR.yaw_inertia / CAR.mass * 10.0 * scale.length**2,
        front=CAR.front * scale.length,
        rear=CAR.rear * scale.length,
        friction=CAR.friction * scale.acceleration,
        max_steer_rate=CAR.max_steer_rate / scale.time,
        max_acceleration=CAR.max_acceleration * scale.acceleration,
        max_braking=CAR.max_braking * scale.acceleration,
    )
    plans = []
    for car, usual in ((CAR, True), (small, False)):
        one = TASKS[task] if usual else fitted(TASKS[task], replace(CHASSIS, car=small))
        size = Scale() if usual else one.scale
        stretch = lay_out_task(one, car).stretches[0]
        mpc = CarMPC(one.model(car), one.mpc)
        way = 0.4 * stretch.length
        position, heading, _, velocity = stretch.at(np.array([way]))
        start = np.zeros(mpc.model.states)
        start[:2] = position[0] + size.length * np.array([0.2, -0.3])
        start[[HEADING, SPEED, STEER]] = heading[0] + 0.05, velocity[0] * 0.95, 0.02
        plan = mpc.plan(start, stretch, way, np.zeros(2), None)
        plans.append(plan.inputs / [size.acceleration, 1 / size.time])
    assert one.scale.length == pytest.approx(scale.length)
    assert one.scale.acceleration == pytest.approx(scale.acceleration)
    assert plans[1] == pytest.approx(plans[0], abs=2e-3)


@pytest.mark.parametrize("cornering", [5.0, 20.89, 100.0])
def test_steps_are_exact_for_tyres_of_any_stiffness(cornering):
    model = DynamicBicycle(CarParameters(cornering=cornering))
    z = np.array([0, 0, 0.2, 0.5, 0.05, 0.02, 0.03])
    motion = Motion(np.stack([z, z]), np.array([[0.5, 0.1]]), 0.1)
    A, B = linearise(model, motion)
    Ad, Bd, _ = discretise(model, motion, A, B)
    whole = expm(0.1 * np.block([[A[0], B[0]], [np.zeros((2, 9))]]))
    assert Ad[0] == pytest.approx(whole[:7, :7], abs=2e-2)
    assert np.abs(np.linalg.eigvals(Ad[0])).max() <= 1 + 1e-9
    assert Bd[0] == pytest.approx(whole[:7, 7:], abs=2e-2)


def test_the_embedded_car_drives_its_own_tasks():
    for name, task in TASKS.items():
        own = fitted(task, CHASSIS)
        assert (own.pace, own.mpc, own.scale) == (task.pace, task.mpc, task.scale), name
        assert lay_out_task(own).length == lay_out_task(task).length
        assert own.model() == task.model()
    assert chassis_of(EMBEDDED) is CHASSIS


# -- closed loop ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "state"), [("track", "truth"), ("parking", "estimated")])
def test_a_car_from_a_file_follows_its_course(task, state):
    session = drive(BUGGY_FILE, task, 7.0, state=state)
    results = session.results()
    assert results["cross_track_max"] < 0.06  # a tenth of its wheelbase; as far off as it starts is 0.02
    assert np.linalg.norm(results["position"][:2]) > 0.9 * results["car"]["course_scale"]
    assert results["gear_changes"] == (task == "parking")
    assert session.limits_exceeded == 0
    assert session.faults() == NO_FAULTS


@pytest.mark.parametrize("variant", list(VARIANTS)[1:])
def test_whatever_turns_its_wheels(tmp_path, variant):
    session = drive(robot_file(tmp_path, VARIANTS[variant]), "track", 3.0, state="truth")
    assert not session.fell()
    assert session.results()["cross_track_max"] < 0.1 * session.chassis.car.wheelbase
    assert np.mean([v[0] for v in session._velocities[50:]]) > 1.0
    assert session.limits_exceeded == 0


def test_at_the_limit_of_friction_it_stays_on_its_course():
    session = drive(BUGGY_FILE, "limit", 3.5, state="truth")
    results = session.results()
    assert results["side_acceleration_max"] > 0.8 * session.chassis.car.grip
    assert results["slack_ticks"] > 0
    assert results["cross_track_max"] < 0.5
    assert not session.fell()


def test_the_document_says_what_the_model_was_read_as():
    document = run_trial(Trial(BUGGY_FILE, "track", seconds=0.5))
    assert document["car"]["wheelbase"] == pytest.approx(0.56, abs=1e-3)
    assert document["car"]["top_speed"] is None
    assert "car" not in run_trial(Trial("car", "track", seconds=0.5))


def test_friction_is_that_of_the_tyres():
    machine = load_machine(BUGGY_FILE)
    plant = CarPlant(Conditions(friction=0.3), np.random.default_rng(0), machine, chassis_of(machine))
    tyres = [plant.model.geom(name).id for name in machine.spec.tyres]
    assert plant.model.geom_friction[tyres, 0].tolist() == [0.3] * 4
    plant.place(4.0)
    for _ in range(40):
        plant.drive(0.0, 0.3)
    state = plant.state()
    assert abs(state.speed * state.turn) < 0.3 * 9.81 * 1.1


def test_it_rolls_on_by_itself_at_the_speed_it_was_put_down_with():
    """Its frame, its radii and what its bearings take are right: nothing pulls it aside, and no torque is missing."""
    machine = load_machine(BUGGY_FILE)
    plant = CarPlant(Conditions(), np.random.default_rng(0), machine, chassis_of(machine))
    plant.place(3.0)
    heading = plant.state().heading
    for _ in range(50):
        plant.drive(0.0, 0.0)
    after = plant.state()
    assert after.speed == pytest.approx(3.0, abs=0.03)
    assert after.heading == pytest.approx(heading, abs=0.01)
    for _ in range(50):
        plant.drive(1.0, 0.0)
    assert plant.state().speed - after.speed == pytest.approx(1.0, rel=0.05)


# -- what is no such car ----------------------------------------------------------------------------------------------

PLANAR = '<joint type="slide" axis="1 0 0" name="x"/><joint axis="0 0 1" name="yaw"/>'
PLATE = '<geom class="black" type="box" size="0.09 0.3 0.012" pos="0 0 -0.03"/>'


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        (without_body(BUGGY, "front_r"), "", "3 of its joints could spin a wheel .*a car has four"),
        (without(BUGGY, "kingpin"), "", "0 of its wheels are steered"),
        (
            BUGGY.replace('pos="-0.19 0.28 -0.032"', 'pos="-0.19 0.28 0.05"'),
            "",
            "wheel 'turns_front_l' does not touch the ground: it hangs 0.0",
        ),
        (BUGGY.replace('<joint range="-28 28" ', "<joint "), "", "how far steering hinge 'kingpin_l' turns.*range"),
        (
            BUGGY.replace('range="-28 28"', 'range="0 28"'),
            "",
            "it steers 0 rad to one side: 'kingpin_l' and 'kingpin_r'",
        ),
        (
            BUGGY.replace('<freejoint name="tub"/>', PLANAR),
            "",
            "free base, but body 'tub' has other joints .'x', 'yaw'",
        ),
        (
            BUGGY.replace('<freejoint name="tub"/>', "").replace(
                "<worldbody>", '<worldbody><body><geom size="1" mass="1"/></body>'
            ),
            "",
            "hang on 'tub', which has no free joint",
        ),
        (BUGGY.replace('gear="8" ctrlrange="-0.4 0.4"', ""), "", "without torque limit: turns_back_l, turns_back_r"),
        (LINKED.replace('ctrlrange="-120 120" forcerange="-2 2"', ""), "", "wheels without torque limit: fl_spin"),
        (without(BUGGY, '"drive_'), "", "none of its wheels has an actuator"),
        (without(BUGGY, '"steer_l"'), "", "steering hinge 'kingpin_l' has no actuator"),
        (BUGGY.replace('contype="1" friction', "friction"), "", "nothing on 'turns_front_l' collides"),
        (BUGGY.replace('class="spin" axis="-1 0 0"', 'class="spin" range="-9 9"'), "", "'turns_back_l' has a range"),
        (
            BUGGY.replace('"front_l" pos="-0.02 0 0"', '"front_l" euler="0 0 12"'),
            "",
            "'turns_front_l' does not roll str",
        ),
        (BUGGY.replace(PLATE, '<geom contype="1" size="0.12"/>'), "", "a geom of 'tub' lies on the ground"),
        (
            BUGGY.replace(PLATE, '<geom contype="1" conaffinity="1" type="box" size="0.15 0.3 0.01" pos="0 0 -0.03"/>'),
            "",
            "a geom of 'tub' and a geom of 'front_.' rub on each other, its wheels turned",
        ),
        (BUGGY.replace('pos="0 -0.04 0.03" mass="8.6"', 'pos="0 0.6 0.03" mass="8.6"'), "", "it tips over"),
        (BUGGY, 'wheel = ["a"]', "unknown field of a car 'wheel'; did you mean 'wheels'"),
        (BUGGY, 'wheels = ["turns_front_l", "turns_back_rr"]', "did you mean 'turns_back_r'"),
        (BUGGY, 'wheels = ["turns_front_l", "turns_back_r"]', "wheels has 2 different joints: give four"),
        (BUGGY, 'steering = ["kingpin_l"]', "1 of its wheels are steered"),
        (BUGGY, "steering = 3", "steering is 3: give a list of joints"),
        (BUGGY, "wheels = []", "wheels is .*: give a list of joints"),
        (BUGGY, f"top_speed = 1{'0' * 400}", "top_speed is 10*: give a positive number"),
        (BUGGY.replace('friction="0.9 0.01 0.001"', 'friction="0"'), "", "its tyres .* have no friction on the ground"),
        (BUGGY, "steering_rate = -1", "steering_rate is -1: give a positive number"),
        (BUGGY, "top_speed = nan", "top_speed is nan"),
        (BUGGY, 'cornering = "soft"', "cornering is 'soft'"),
        (BUGGY, 'base = "tubb"', "unknown base joint.*did you mean 'tub'"),
    ],
)
def test_models_that_are_no_such_car(tmp_path, model, fields, message):
    with pytest.raises(UsageError, match=message):
        load_machine(robot_file(tmp_path, model, fields))


def test_tasks_and_conditions_are_those_of_the_car():
    with pytest.raises(UsageError, match="did you mean 'parking'"):
        Trial(BUGGY_FILE, "parkin")
    with pytest.raises(UsageError, match="robot car has no --payload"):
        Trial(BUGGY_FILE, "track", conditions=Conditions(payload=1.0))


def test_a_kinematic_car_has_no_stiff_tyres():
    assert KinematicBicycle().stiffness(np.zeros((3, 5))).tolist() == [0, 0, 0]
