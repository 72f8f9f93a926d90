"""Identification: what a log tells comes back, what it can not tell is said, and nothing is promoted without evidence.

The logs are made here with plain MuJoCo, sample by sample, and not with the models that are fitted to them.
"""

import json
from dataclasses import dataclass, replace

import mujoco
import numpy as np
import pytest

from robotics.cli.main import main
from robotics.errors import DataError, RoboticsError, UsageError
from robotics.reports.gap_format import template
from robotics.sim2real.factors import FACTORS
from robotics.sim2real.identification.calibration import calibrate, read_calibration
from robotics.sim2real.identification.excitation import excite
from robotics.sim2real.identification.families import FAMILIES
from robotics.sim2real.identification.fit import Fit, _Problem
from robotics.sim2real.identification.identify import Settings, identify
from robotics.sim2real.identification.judgement import Errors, command_delay, improvement, mix_ups
from robotics.sim2real.identification.parameters import Parameter, choose
from robotics.sim2real.identification.plant import STRIBECK_SPEED, Plant, neutral
from robotics.sim2real.identification.plausible import require_plausible
from robotics.sim2real.identification.replay import Replay, _held
from robotics.sim2real.identification.speeds import SPEED, with_speeds
from robotics.sim2real.identification.split import split, within_budget
from robotics.sim2real.identification.subject import load_subject
from robotics.sim2real.identification.uncertainty import SAMPLES, certainty
from robotics.sim2real.log_files import read_logs
from robotics.sim2real.logs import EARLIER_S, Log

RATE_HZ, DT = 50, 0.005
ENCODER = 2 * np.pi / 4096


@dataclass(frozen=True)
class Truth:
    """Of joint `a`; `b` is the same, but for its friction."""

    stiffness: float = 8.0
    damping: float = 0.5
    friction: float = 0.1
    mass: float = 0.5
    armature: float = 0.02
    delay: float = 0.0
    backlash: float = 0.0
    load_friction: float = 0.0
    stribeck: float = 0.0


NOMINAL = Truth(stiffness=30.0, damping=0.2, friction=0.02)


def arm(truth, actuator="position"):
    """Two arms side by side, one joint each."""
    servo = f'kp="{truth.stiffness}" forcerange="-30 30"' if actuator == "position" else ""
    return f"""
    <mujoco>
      <compiler angle="radian" autolimits="true"/>
      <option timestep="{DT}" integrator="implicitfast"/>
      <default><joint damping="{truth.damping}" armature="{truth.armature}" range="-2 2"/></default>
      <worldbody>
        <body name="left">
          <joint name="a" axis="0 1 0" frictionloss="{truth.friction}"/>
          <inertial pos="0.15 0 0" mass="{truth.mass}" diaginertia="0.001 0.001 0.001"/>
        </body>
        <body name="right" pos="0 1 0">
          <joint name="b" axis="0 1 0" frictionloss="{2 * truth.friction}"/>
          <inertial pos="0.15 0 0" mass="{truth.mass}" diaginertia="0.001 0.001 0.001"/>
        </body>
      </worldbody>
      <actuator><{actuator} joint="a" {servo}/><{actuator} joint="b" {servo}/></actuator>
    </mujoco>
    """


@pytest.mark.parametrize("robot", ["so101", "arm"])
def test_what_is_fitted_is_what_a_calibration_builds(robot):
    """Commands out of reach hold every servo at its torque limit, which damping outside it would pass."""
    subject = load_subject(robot)
    chosen = choose(subject, [*subject.actuators], True, False, ("stiffness", "damping", "friction", "armature"))
    values = {parameter.name: 0.8 * parameter.nominal for parameter in chosen}
    command = np.random.default_rng(0).uniform(-3, 3, (1, 20, subject.model.nu)).repeat(10, axis=1)
    spec = subject.spec()
    assert calibrate(spec, values) == []
    fitted, built = Plant(subject, 1), Plant(replace(subject, model=spec.compile()), 1)
    for parameter in chosen:
        parameter.family.write(fitted, parameter.index, np.array([values[parameter.name]]))
    start = neutral(subject.model)[None], np.zeros((1, subject.model.nv))
    ours, theirs = fitted.run(*start, command), built.run(*start, command)
    limit = subject.model.actuator_forcerange[:, 1]
    assert (np.abs(ours["actuator_force"]) >= 0.999 * limit).mean() > 0.05
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], atol=1e-9, err_msg=name)


def commands(rng, seconds, size=0.7):
    """(T, 2) sums of sines with rests."""
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    waves = [
        sum(
            np.sin(2 * np.pi * f * time + p)
            for f, p in zip(rng.uniform(0.1, 1.2, 4), rng.uniform(0, 6, 4), strict=True)
        )
        for _ in range(2)
    ]
    wave = np.stack(waves, axis=1) * np.minimum(time, 1.0)[:, None]
    wave[time % 4 > 3.2] = wave[min(np.searchsorted(time, 3.2), len(time) - 1)]
    return time, size * wave / np.abs(wave).max()


def record(truth, time, command, noise=0.0, rng=None, actuator="position"):
    """(T, 2) positions of plain MuJoCo under these commands, held until the next one."""
    model = mujoco.MjModel.from_xml_string(arm(truth, actuator))
    data = mujoco.MjData(model)
    data.ctrl[:] = command[0]
    mujoco.mj_step(model, data, nstep=400 if actuator == "position" else 0)  # a servo is at rest before it is logged
    measured, felt = np.empty_like(command), data.qpos.copy()
    for step in range(len(time) * round(1 / (RATE_HZ * DT))):
        if step % round(1 / (RATE_HZ * DT)) == 0:
            measured[step // round(1 / (RATE_HZ * DT))] = data.qpos
        sample = np.searchsorted(time, step * DT - truth.delay + 1e-9, side="right") - 1
        target = command[max(sample, 0)]
        felt = np.clip(felt, target - truth.backlash, target + truth.backlash)
        data.ctrl[:] = felt if actuator == "position" else target
        extra = truth.load_friction * np.abs(data.actuator_force)
        extra = extra + truth.stribeck * np.exp(-np.abs(data.qvel) / STRIBECK_SPEED)
        model.dof_frictionloss[:] = np.array([1, 2]) * truth.friction + extra
        mujoco.mj_step(model, data)
    return measured + (rng.normal(0, noise, measured.shape) if noise else 0.0)


def write(folder, time, command, measured, name, channel="command"):
    columns = {"time": time}
    for i, joint in enumerate("ab"):
        columns |= {f"{joint}.position": measured[:, i], f"{joint}.{channel}": command[:, i]}
    folder.mkdir(exist_ok=True)
    np.savez(folder / f"{name}.npz", **columns)


def logs_of(truth, folder, motions=3, seconds=4.0, noise=0.0, seed=0, actuator="position", size=0.7, still=()):
    rng = np.random.default_rng(seed)
    for number in range(motions):
        time, command = commands(rng, seconds, size)
        command[:, list(still)] = 0.0
        measured = record(truth, time, command, noise, rng, actuator)
        if actuator == "motor":  # a sensor of torques says what acted until the sample, not from it on
            write(folder, time, np.vstack([command[:1], command[:-1]]), measured, f"motion{number}", "torque")
        else:
            write(folder, time, command, measured, f"motion{number}")
    return folder


def model_file(tmp_path, truth=NOMINAL, actuator="position"):
    path = tmp_path / "arm.xml"
    path.write_text(arm(truth, actuator))
    return str(path)


def found(tmp_path, truth, families, nominal=NOMINAL, actuator="position", observe=("position",), **log):
    logs = logs_of(truth, tmp_path / "logs", actuator=actuator, **log)
    settings = Settings(families=families, starts=0, observe=observe)
    return identify(model_file(tmp_path, nominal, actuator), logs, tmp_path / "out", settings)


# -- what comes back ----


def test_a_servo_is_recovered_from_noisy_logs(tmp_path):
    truth = Truth(delay=0.015)
    document = found(tmp_path, truth, None, noise=ENCODER, motions=4)
    rows = document["parameters"]
    for name, value in (("stiffness", 8.0), ("damping", 0.5), ("friction", 0.1)):
        assert rows[f"{name}.a"]["value"] == pytest.approx(value, rel=0.05), name
        assert rows[f"{name}.a"]["identifiable"]
    assert rows["friction.b"]["value"] == pytest.approx(0.2, rel=0.05)
    assert rows["delay"]["value"] == pytest.approx(truth.delay, abs=1e-3)
    low, high = rows["stiffness.a"]["ci95"]
    assert low < rows["stiffness.a"]["value"] < high and high / low < 1.6
    assert document["promoted"] and document["verdict"].startswith("promoted")
    error = document["replay_rmse"]["heldout"]
    assert error["fitted"] < 1.3 * ENCODER < 0.2 * error["nominal"]


def test_friction_is_found_where_the_model_has_none(tmp_path):
    """Most models have none. A logarithmic search that began at next to nothing would blame the load instead."""
    document = found(tmp_path, Truth(friction=0.3), None, nominal=replace(NOMINAL, friction=0.0), noise=ENCODER)
    rows = document["parameters"]
    for name, value in (("friction.a", 0.3), ("friction.b", 0.6), ("stiffness.a", 8.0)):
        assert rows[name]["value"] == pytest.approx(value, rel=0.05) and rows[name]["identifiable"], name
    assert rows["load_friction.a"]["value"] == pytest.approx(0.0, abs=0.02)


CHAIN = """
    <mujoco><compiler angle="radian" autolimits="true"/><option timestep="0.004"/><worldbody>
      <body><joint name="a" axis="0 1 0" range="-.035 .035" damping="{}" frictionloss="{}" armature=".02"/>
        <geom type="capsule" fromto="0 0 0 .3 0 0" size=".03" mass="1"/>
        <body pos=".3 0 0">
          <joint name="b" axis="0 1 0" range="-.035 .035" damping="{}" frictionloss="{}" armature=".01"/>
          <geom type="capsule" fromto="0 0 0 .25 0 0" size=".025" mass=".6"/></body></body></worldbody>
      <actuator><position joint="a" kp="{}"/><position joint="b" kp="{}"/></actuator></mujoco>
    """


def test_joints_that_hit_their_ends_are_recovered(tmp_path):
    """Coarse differences see nothing better at 14 % more friction and 9 % less damping of b; the last descent does."""
    model = mujoco.MjModel.from_xml_string(CHAIN.format(1.7, 0.15, 0.8, 0.1, 48, 33))
    (tmp_path / "arm.xml").write_text(CHAIN.format(1.0, 0.0, 0.5, 0.0, 60, 40))
    time = np.arange(8 * RATE_HZ) / RATE_HZ
    for number in range(4):
        rng, data = np.random.default_rng(number), mujoco.MjData(model)
        waves = [
            zip(rng.uniform(0.1, 0.3, 4), rng.uniform(0.1, 1.0, 4), rng.uniform(0, 6, 4), strict=True) for _ in "ab"
        ]
        command = np.stack([sum(a * np.sin(2 * np.pi * f * time + p) for a, f, p in wave) for wave in waves], axis=1)
        measured = np.empty_like(command)
        for sample, row in enumerate(command):
            measured[sample], data.ctrl[:] = data.qpos, row
            mujoco.mj_step(model, data, nstep=5)
        late = time >= 2.0
        noisy = measured + rng.normal(0, 2e-4, measured.shape)
        write(tmp_path / "logs", time[late] - 2.0, command[late], noisy[late], f"m{number}")
    settings = Settings(families=("stiffness", "damping", "friction"), starts=0)
    rows = identify(str(tmp_path / "arm.xml"), tmp_path / "logs", tmp_path / "out", settings)["parameters"]
    assert rows["friction.b"]["value"] == pytest.approx(0.1, rel=0.1)
    assert rows["damping.b"]["value"] == pytest.approx(0.8, rel=0.05)


def test_measurements_that_were_lost_say_nothing(tmp_path):
    """A controller that misses one goes on with the last. Taken for true, a servo would be later and softer."""
    truth, rng = Truth(delay=0.015), np.random.default_rng(1)
    for number in range(3):
        time, command = commands(rng, 4.0)
        measured = record(truth, time, command, ENCODER, rng)
        for sample in np.flatnonzero(rng.random(len(time)) < 0.2)[1:]:
            measured[sample] = measured[sample - 1]
        write(tmp_path / "logs", time, command, measured, f"motion{number}")
    settings = Settings(families=("stiffness", "damping", "friction", "delay"), starts=0)
    document = identify(model_file(tmp_path), tmp_path / "logs", tmp_path / "out", settings)
    rows = document["parameters"]
    assert rows["delay"]["value"] == pytest.approx(truth.delay, abs=1e-3)
    assert rows["stiffness.a"]["value"] == pytest.approx(truth.stiffness, rel=0.05)
    assert document["replay_rmse"]["heldout"]["fitted"] < 1.3 * ENCODER


@pytest.mark.parametrize(
    "family, value, tolerance",
    [("backlash", 0.02, 0.002), ("load_friction", 0.25, 0.03), ("stribeck", 0.15, 0.02)],
)
def test_what_the_engine_has_no_field_for(tmp_path, family, value, tolerance):
    truth = Truth(**{family: value})
    document = found(tmp_path, truth, ("stiffness", "damping", "friction", family), nominal=Truth(stiffness=12.0))
    row = document["parameters"][f"{family}.a"]
    assert row["value"] == pytest.approx(value, abs=tolerance) and row["identifiable"]


def test_motors_without_a_logged_command_are_driven_by_their_torque(tmp_path):
    truth = Truth(mass=0.4, friction=0.05, damping=0.1)
    nominal = Truth(mass=0.6, friction=0.02, damping=0.05)
    document = found(tmp_path, truth, None, nominal=nominal, actuator="motor", size=1.0, motions=6)
    rows = document["parameters"]
    assert {name.split(".")[0] for name in rows} == {"mass", "armature", "damping", "friction", "delay"}
    assert rows["mass.left"]["value"] == pytest.approx(0.4, rel=0.03)
    assert rows["friction.a"]["value"] == pytest.approx(0.05, rel=0.1)
    assert rows["delay"]["value"] == pytest.approx(0.0, abs=0.25 / RATE_HZ)
    assert document["settings"]["horizon_s"] == 0.25 and document["promoted"]


def block(half):
    return f"""
    <mujoco>
      <option timestep="{DT}" cone="elliptic"/>
      <worldbody>
        <geom type="plane" size="2 2 0.1"/>
        <body name="block" pos="0 0 0.2">
          <freejoint name="block"/>
          <inertial pos="0 0 0" mass="0.4" diaginertia="0.0008 0.0008 0.0008"/>
          <geom type="box" size="{half} {half} {half}" priority="1"/>
        </body>
      </worldbody>
    </mujoco>
    """


def test_how_large_a_free_body_is_where_it_touches(tmp_path):
    rng, model = np.random.default_rng(0), mujoco.MjModel.from_xml_string(block(0.05))
    (tmp_path / "logs").mkdir()
    for number in range(4):
        data = mujoco.MjData(model)
        data.qvel[:2] = rng.uniform(-0.5, 0.5, 2)
        rows = []
        for _ in range(120):
            rows.append(np.concatenate([data.qpos, data.qvel]))
            mujoco.mj_step(model, data)
        np.savez(tmp_path / "logs" / f"fall{number}.npz", time=np.arange(120) * DT, state=np.array(rows))
    (tmp_path / "block.xml").write_text(block(0.052))
    settings = Settings(families=("contact_size",), starts=0)
    document = identify(str(tmp_path / "block.xml"), tmp_path / "logs", tmp_path / "out", settings)
    row = document["parameters"]["contact_size"]
    assert row["value"] == pytest.approx(0.05 / 0.052, abs=2e-3) and row["identifiable"]
    assert document["promoted"]


def test_contacts_are_not_looked_for_stiffer_than_the_engine_makes_them(tmp_path):
    """Below, an error does not change with the parameter, which would be called unidentifiable."""
    (tmp_path / "block.xml").write_text(block(0.05))
    subject = load_subject(str(tmp_path / "block.xml"))
    (parameter,) = choose(subject, [], False, True, ("contact_time",))
    log = Log("fall", np.arange(40) * DT, {}, {"block": {"position": np.tile([0.0, 0.0, 0.06], (40, 1))}})
    times = np.array([[parameter.low / 2], [parameter.low], [parameter.low * 1.2]])
    stiffer, stiffest, softer = Replay(subject, [log]).errors([parameter], times)[0]
    np.testing.assert_array_equal(stiffer, stiffest)
    assert np.abs(softer - stiffest).max() > 1e-4


def from_rest(logs):
    """The logs with the speeds that they begin with: none, exactly."""
    speeds = [{joint: np.zeros_like(q) for joint, q in log.joints["position"].items()} for log in logs]
    return [replace(log, joints={**log.joints, SPEED: speed}) for log, speed in zip(logs, speeds, strict=True)]


def test_the_true_model_replays_its_own_log(tmp_path):
    truth = Truth()
    subject = load_subject(model_file(tmp_path, truth))
    logs = from_rest(read_logs(logs_of(truth, tmp_path / "logs", motions=1), subject.joints))
    errors = Replay(subject, logs).errors((), np.zeros((1, 0)))[0]
    assert np.abs(errors).max() < 1e-4
    noisy = from_rest(read_logs(logs_of(truth, tmp_path / "noisy", motions=1, noise=0.01), subject.joints))
    # A motion begins where it was measured: the servo pulls that error in, the rest is noise
    assert Replay(subject, noisy).errors((), np.zeros((1, 0)))[0][0, 100:].std() == pytest.approx(0.01, rel=0.15)


# -- what actuates the joints ----

POSITION = '<position name="p" joint="turn" kp="50" kv="2"/>'


def swinging(actuators):
    return f"""
    <mujoco>
      <compiler angle="radian" autolimits="true"/>
      <option timestep="0.002" integrator="implicitfast"/>
      <worldbody>
        <body>
          <joint name="turn" axis="0 1 0" damping="0.2" range="-1.5 1.5"/>
          <geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.02" mass="1"/>
        </body>
      </worldbody>
      <actuator>{actuators}</actuator>
    </mujoco>
    """


def subject_with(tmp_path, actuators):
    path = tmp_path / "swinging.xml"
    path.write_text(swinging(actuators))
    return load_subject(str(path))


def swung(model, actuator):
    """A log of plain MuJoCo at 100 Hz."""
    data, time = mujoco.MjData(model), np.arange(400) * 0.01
    command, position = 0.5 * np.sin(2 * np.pi * time) + 0.1 * np.sin(17 * time), np.empty(400)
    for sample, value in enumerate(command):
        position[sample] = data.qpos[0]
        data.ctrl[actuator] = value
        mujoco.mj_step(model, data, nstep=5)
    return with_speeds(Log("run", time, {"command": {"turn": command}, "position": {"turn": position}}, {}), 0.002)


@pytest.mark.parametrize(
    "own",
    [
        "",
        'timeconst="0.05"',
        'timeconst="0.02" ctrlrange="-0.3 0.3"',
        'delay="0.051" nsample="40"',
        'delay="0.03" nsample="20" interp="linear"',
        'timeconst="0.03" delay="0.021" nsample="16"',
    ],
)
def test_the_true_model_replays_from_the_middle_of_a_motion(tmp_path, own):
    """What a servo's filter and delay hold when a window begins is told by the commands before it."""
    subject = subject_with(tmp_path, POSITION.replace("/>", f" {own}/>"))
    window = swung(subject.model, 0).between(120, 300)
    assert np.abs(Replay(subject, [window]).errors((), np.zeros((1, 0)))[0]).max() < 1e-3
    before = subject.model.actuator_delay[0] + subject.model.actuator_dynprm[0, 0] * (subject.model.na > 0)
    late = choose(subject, ["turn"], True, False, ("delay",))
    errors = Replay(subject, [window]).errors(late, np.array([[0.02]]))[0]
    assert before < 0.1 and np.abs(errors).max() > 5e-3  # it would show if they held anything else


@pytest.mark.parametrize(
    "actuators, message",
    [
        (
            POSITION.replace("/>", ' gear="3"/>'),
            "position servo 'p' of joint 'turn' has gear 3, so that its command is not the joint's position: give it "
            "gear 1, kp and kv times 9",
        ),
        (POSITION.replace("/>", ' gear="-1"/>'), "gear -1"),
        (
            POSITION + POSITION.replace('"p"', '"q"'),
            "joint 'turn' has two position servos, 'p' and 'q': leave one in the model",
        ),
        ('<motor joint="turn"/><motor name="m" joint="turn"/>', "two motors, number 0 and 'm'"),
        (
            '<intvelocity name="p" joint="turn" kp="50" kv="1" actrange="-1 1"/>',
            "actuator 'p' of joint 'turn' has a state that its commands do not tell",
        ),
    ],
)
def test_a_servo_that_no_log_can_be_about_is_refused(tmp_path, actuators, message):
    with pytest.raises(UsageError) as caught:
        subject_with(tmp_path, actuators)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_neither_a_servo_nor_a_motor_is_refused_where_it_is_logged_or_excited(tmp_path):
    subject = subject_with(tmp_path, '<velocity name="v" joint="turn" kv="5"/>')
    with pytest.raises(UsageError, match=r"actuator 'v' of joint 'turn' is neither a position servo nor a motor"):
        require_plausible(subject, [swung(subject.model, 0)])
    with pytest.raises(UsageError, match="make it a <motor> and log its torques"):
        excite(str(tmp_path / "swinging.xml"), 4.0, 50.0, 2.0, 1.0, 0)


@pytest.mark.parametrize("order", [1, -1])
def test_a_servo_and_its_damper_are_one_whose_torques_rub_together(tmp_path, order):
    """As in the world that is trained in, the load of a joint is what all its actuators do to it."""
    parts = ['<position name="p" joint="turn" kp="50"/>', '<velocity name="v" joint="turn" kv="2"/>'][::order]
    subject = subject_with(tmp_path, "".join(parts))
    servo = subject.actuators["turn"]
    assert subject.model.actuator(servo).name == "p" and subject.is_servo("turn")
    window = swung(subject.model, servo).between(120, 300)
    assert np.abs(Replay(subject, [window]).errors((), np.zeros((1, 0)))[0]).max() < 1e-3
    plant, control = Plant(subject, 1), np.zeros((1, 200, 2))
    plant.set_load_friction(0, np.array([0.3]))
    control[0, :, servo] = np.sin(0.03 * np.arange(200))
    ours = plant.run(np.zeros((1, 1)), np.zeros((1, 1)), control)["qpos"][0, :, 0]
    model = mujoco.MjModel.from_xml_string(swinging("".join(parts)))
    data, theirs = mujoco.MjData(model), []
    for command in control[0]:
        data.ctrl[:] = command
        model.dof_frictionloss[:] = 0.3 * np.abs(data.qfrc_actuator)
        mujoco.mj_step(model, data)
        theirs.append(data.qpos[0])
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


# -- what can not be told ----


def test_a_common_factor_of_all_torques_is_flagged(tmp_path):
    families = ("stiffness", "damping", "friction", "mass", "armature")
    rows = found(tmp_path, Truth(), families, noise=ENCODER)["parameters"]
    for name in ("stiffness.a", "mass.left", "damping.a"):
        assert not rows[name]["identifiable"]
        assert "compensated by" in rows[name]["reason"]


def test_a_joint_that_rests_keeps_its_nominal_values(tmp_path):
    families = ("damping", "friction", "armature")
    truth = Truth(mass=0.001)  # weightless: nothing pulls at b
    nominal = Truth(mass=0.001, damping=0.3)
    rows = found(tmp_path, truth, families, nominal=nominal, still=[1], noise=ENCODER)["parameters"]
    assert rows["damping.a"]["identifiable"] and rows["damping.a"]["value"] == pytest.approx(0.5, rel=0.05)
    for family in families:
        row = rows[f"{family}.b"]
        assert not row["identifiable"], family
        assert row["reason"] and row["ci95"][0] < row["nominal"] < row["ci95"][1]


def test_a_model_that_is_right_already_is_not_replaced(tmp_path):
    document = found(tmp_path, NOMINAL, ("damping", "friction"), noise=ENCODER, motions=6)
    assert not document["promoted"] and "not promoted" in document["verdict"]
    assert document["parameters"]["damping.a"]["value"] == pytest.approx(NOMINAL.damping, rel=0.2)


def test_one_motion_is_not_enough_evidence(tmp_path):
    document = found(tmp_path, Truth(), ("stiffness",), motions=1)
    assert not document["promoted"] and "not enough evidence" in document["verdict"]


def test_pieces_of_one_motion_are_no_evidence(tmp_path):
    """Motors are judged in pieces of 0.25 s, which are wrong in the same way."""
    truth, nominal = Truth(mass=0.4, friction=0.05, damping=0.1), Truth(mass=0.6, friction=0.02, damping=0.05)
    document = found(
        tmp_path, truth, ("mass", "friction", "damping"), nominal, "motor", size=1.0, motions=1, seconds=8.0
    )
    assert document["replay_rmse"]["heldout"]["fitted"] < 0.5 * document["replay_rmse"]["heldout"]["nominal"]
    assert not document["promoted"] and "not enough evidence" in document["verdict"]


def test_pieces_are_averaged_over_their_motion_before_motions_are_compared():
    """Slow errors: four pieces of a motion are wrong alike, so that sixteen of them say what four motions say."""
    of_motions, rng = np.array([0.9, 1.2, 0.7, 0.95]), np.random.default_rng
    ones = Errors(list("abcd"), ["a.position"], np.ones((4, 1)), np.ones(4))
    whole = improvement(ones, Errors(list("abcd"), ["a.position"], of_motions[:, None] ** 2, np.ones(4)), rng(0))
    motion, each = np.repeat(np.arange(4), 4), of_motions.repeat(4)
    apart = [
        Errors([str(i) for i in range(16)], ["a.position"], wrong[:, None] ** 2, wrong, motion)
        for wrong in (np.ones(16), each)
    ]
    assert improvement(*apart, rng(0)) == whole
    assert apart[1].document()["mean_distance_median"] == np.median(of_motions)


def test_a_model_of_which_nothing_is_identifiable_is_not_promoted(tmp_path):
    """The replay is right, and would be with any other common factor of servo and load."""
    truth = Truth(friction=0.0, armature=0.0)
    nominal = replace(truth, stiffness=16.0)
    document = found(tmp_path, truth, ("stiffness", "damping", "mass"), nominal=nominal, noise=ENCODER, motions=8)
    assert not any(row["identifiable"] for row in document["parameters"].values())
    assert document["improvement"]["ci95"][1] < 0 and not document["promoted"]
    assert "but none of its parameters is identifiable from these logs" in document["verdict"]


def test_a_servo_that_moves_without_a_command_is_asked_about_and_promotes_nothing(tmp_path):
    logs_of(Truth(), tmp_path / "logs", motions=8)
    for path in (tmp_path / "logs").iterdir():
        columns = dict(np.load(path))
        columns["b.comand"] = columns.pop("b.command")
        np.savez(path, **columns)
    notes: list[str] = []
    settings = Settings(("stiffness",), starts=0)
    document = identify(model_file(tmp_path), tmp_path / "logs", tmp_path / "out", settings, note=notes.append)
    assert "no column holds the command of b: taken for not commanded" in notes
    assert "b moves, but no column holds its command: is one misnamed?" in document["verdict"]
    assert not document["promoted"]


def test_a_model_that_is_worse_than_none_is_not_promoted(tmp_path):
    """Servos that are where they are told at once: a soft one with less damping is better, and still of no use."""
    rng = np.random.default_rng(0)
    for number in range(8):
        time, command = commands(rng, 4.0)
        write(tmp_path / "logs", time, command, command + rng.normal(0, ENCODER, command.shape), f"motion{number}")
    robot = model_file(tmp_path, replace(NOMINAL, damping=5.0))
    document = identify(robot, tmp_path / "logs", tmp_path / "out", Settings(families=("damping",), starts=0))
    error, trivial = document["replay_rmse"]["heldout"], document["trivial_rmse"]
    assert document["improvement"]["ci95"][1] < 0 and trivial < error["fitted"] < 0.9 * error["nominal"]
    assert not document["promoted"] and not read_calibration(tmp_path / "out" / "calibration.json")["promoted"]
    assert document["verdict"].startswith("not promoted") and "doing nothing is better" in document["verdict"]


def test_a_sign_that_is_flipped_is_asked_about_and_promotes_nothing(tmp_path):
    """Servos that do little are better than ones that go the wrong way, and that is all that was found."""
    rng = np.random.default_rng(0)
    for number in range(8):
        time, command = commands(rng, 4.0)
        write(tmp_path / "logs", time, command, record(NOMINAL, time, command) * [-1, 1], f"motion{number}")
    settings = Settings(families=("stiffness", "damping"), starts=0)
    document = identify(model_file(tmp_path), tmp_path / "logs", tmp_path / "out", settings)
    assert document["improvement"]["ci95"][1] < 0 and not document["promoted"]
    assert "the logs are doubtful; a moves against its command: is its sign flipped?" in document["verdict"]


def test_a_command_without_a_measurement_is_no_measurement(tmp_path):
    logs_of(Truth(), tmp_path / "logs", motions=4)
    for path in (tmp_path / "logs").iterdir():
        columns = dict(np.load(path))
        del columns["b.position"]
        np.savez(path, **columns)
    notes: list[str] = []
    settings = Settings(("stiffness",), starts=0)
    document = identify(model_file(tmp_path), tmp_path / "logs", tmp_path / "out", settings, note=notes.append)
    assert list(document["parameters"]) == ["stiffness.a"] and document["promoted"]
    assert "no column holds the position of b" in notes


def test_logs_that_command_other_joints_than_each_other_are_refused(tmp_path):
    subject, (time, command) = load_subject(model_file(tmp_path)), commands(np.random.default_rng(0), 2.0)
    both = {joint: command[:, i] for i, joint in enumerate("ab")}
    position = {"position": {joint: 0.9 * values for joint, values in both.items()}}
    logs = [
        Log("run", time, position | {"command": both}, {}),
        Log("other", time, position | {"command": {"a": both["a"]}}, {}),
    ]
    for order in (logs, logs[::-1]):
        with pytest.raises(DataError, match=r"a command of b is in this log or in .*, but not in both"):
            require_plausible(subject, order)
    require_plausible(subject, logs[:1])


def test_torques_may_be_larger_than_angles(tmp_path):
    time, (a, b) = np.arange(100) / 50, commands(np.random.default_rng(0), 2.0)[1].T
    log = Log("run", time, {"position": {"a": a, "b": b}, "command": {"a": 10 * a, "b": b}}, {})
    require_plausible(load_subject(model_file(tmp_path, actuator="motor")), [log])
    with pytest.raises(DataError, match=r"'a\.command' lies within"):
        require_plausible(load_subject(model_file(tmp_path)), [log])


@pytest.mark.parametrize(
    "change, question",
    [
        (lambda a, b: (a, b), None),
        (lambda a, b: (b, a), "a moves with b's command: are columns swapped?"),
        (lambda a, b: (-a, b), "a moves against its command: is its sign flipped?"),
        (lambda a, b: (0 * a, b), None),
        (lambda a, b: (0.05 * b, b), None),
    ],
)
def test_what_moves_with_another_command_is_asked_about(change, question):
    logs = []
    for seed in range(2):
        time, command = commands(np.random.default_rng(seed), 6.0)
        a, b = change(*record(NOMINAL, time, command).T)
        joints = {"position": {"a": a, "b": b}, "command": {"a": command[:, 0], "b": command[:, 1]}}
        logs.append(Log(f"motion{seed}", time, joints, {}))
    found = mix_ups(logs, ["a", "b"])
    assert found == [] if question is None else question in found


def test_what_a_family_is_worth_is_said(tmp_path):
    logs = logs_of(Truth(), tmp_path / "logs", motions=4, noise=ENCODER)
    settings = Settings(families=("stiffness", "friction", "offset"), starts=0, attribute=True)
    shares = identify(model_file(tmp_path), logs, tmp_path / "out", settings)["leave_one_out"]
    assert shares["stiffness"]["ci95"][0] > 0
    assert abs(shares["offset"]["heldout_increase"]) < 0.1 * shares["stiffness"]["heldout_increase"]


# -- parts ----


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.013, 0.2])
def test_a_held_command_is_averaged_over_each_step(delay):
    rng = np.random.default_rng(1)
    time, command, edges = np.cumsum(rng.uniform(0.01, 0.03, 20)), rng.normal(size=20), np.arange(30) * 0.01
    time -= time[0]
    (held,) = _held(time, command, edges, np.array([delay]))
    fine = np.linspace(0, edges[-1], 29 * 2000, endpoint=False) + edges[1] / 4000 - delay
    brute = command[np.clip(np.searchsorted(time, fine, side="right") - 1, 0, None)].reshape(29, -1).mean(axis=1)
    np.testing.assert_allclose(held, brute, atol=5e-3)


@pytest.mark.parametrize("rate_hz", [30.0, 50.0, 500.0])
def test_speeds_come_from_the_positions_around_each_sample(rate_hz):
    rng = np.random.default_rng(0)
    time = np.arange(40) / rate_hz * (1 + 0.1 * rng.random(40) / 40)
    cubic, parabola = np.array([2.0, -1.0, 0.5, 0.3]), np.array([0.0, -1.0, 0.5, 0.3])
    late = np.polyval(np.polyder(cubic), time - 0.5 / rate_hz)  # plain differences are half a sample late
    joints = {"a": np.polyval(cubic, time), "b": np.polyval(parabola, time)}
    speeds = with_speeds(Log("cubic", time, {"position": joints, "velocity": {"a": late}}, {})).joints["speed"]
    np.testing.assert_allclose(speeds["a"][2:-2], np.polyval(np.polyder(cubic), time)[2:-2], atol=1e-9)
    np.testing.assert_allclose(speeds["b"], np.polyval(np.polyder(parabola), time), atol=1e-9)


def test_an_encoders_steps_are_averaged_out_of_a_speed():
    time = np.arange(400) / 500
    position = np.round(np.sin(3 * time) / ENCODER) * ENCODER
    speed = with_speeds(Log("steps", time, {"position": {"a": position}}, {})).joints["speed"]["a"]
    assert np.abs(np.gradient(position, time) - 3 * np.cos(3 * time)).max() > 0.2
    assert np.abs(speed - 3 * np.cos(3 * time))[20:-20].max() < 0.05


@pytest.mark.parametrize("late", [True, False])
def test_late_speeds_of_a_free_body_are_moved_to_their_samples_and_others_believed(late):
    time = np.arange(30) / 100
    fall = np.stack([time, -time, 1 - 4.9 * time**2], axis=-1)
    turn = 0.5 * time + 2 * time**2  # about z [rad]
    orientation = np.stack([np.cos(turn / 2), 0 * turn, 0 * turn, np.sin(turn / 2)], axis=-1)
    at = time - 0.005 * late
    velocity = np.stack([0 * at + 1, 0 * at - 1, -9.8 * at], axis=-1)
    turning = np.stack([0 * at, 0 * at, 0.5 + 4 * at], axis=-1)
    twist = {"velocity": velocity, "angular_velocity": turning}
    log = Log("fall", time, {}, {"block": {"position": fall, "orientation": orientation} | twist})
    for timestep in (0.0, 0.01):  # 0.01: a simulation that begins with them has velocities as late as these
        found = with_speeds(log, timestep).bodies["block"]
        due = time - 0.005 * (late and timestep > 0)
        np.testing.assert_allclose(found["velocity"][:-1, 2], -9.8 * due[:-1], atol=1e-9)
        np.testing.assert_allclose(found["angular_velocity"][:-1, 2], (0.5 + 4 * due)[:-1], atol=1e-9)
    alone = Log("fall", time, {}, {"block": {"position": fall, "orientation": orientation}})
    found = with_speeds(alone).bodies["block"]
    np.testing.assert_allclose(found["velocity"][:, 2], -9.8 * time, atol=1e-9)
    np.testing.assert_allclose(found["angular_velocity"][1:-1, 2], (0.5 + 4 * time)[1:-1], atol=1e-9)


def test_the_speed_of_the_shortest_log():
    for count in (2, 3, 4):
        time = np.arange(count) * 0.1
        log = with_speeds(Log("short", time, {"position": {"a": 3 * time}}, {}))
        np.testing.assert_allclose(log.joints["speed"]["a"], 3.0)
        position = np.stack([3 * time, 0 * time, time], axis=-1)
        body = {"position": position, "velocity": 0 * position + [3, 0, 1], "orientation": np.eye(4)[[0] * count]}
        twist = with_speeds(Log("short", time, {}, {"block": body})).bodies["block"]
        np.testing.assert_allclose(twist["velocity"], body["velocity"])
        np.testing.assert_allclose(twist["angular_velocity"], 0.0)


def test_the_longest_delay_of_a_target_is_found(tmp_path):
    """All of the registry's delays together: a fit that stops at a bound tells training nothing."""
    most = sum(max(FACTORS[name].range) for name in ("command_delay", "policy_latency", "sensing_delay"))
    subject = load_subject(model_file(tmp_path, Truth()))
    (delay,) = choose(subject, ["a", "b"], True, False, ("delay",))
    assert delay.high < most < delay.wider().high < EARLIER_S
    families = ("stiffness", "damping", "friction", "delay")
    row = found(tmp_path, Truth(delay=most), families, motions=4)["parameters"]["delay"]
    assert row["identifiable"] and row["value"] == pytest.approx(most, abs=2e-3)


def test_a_late_command_from_before_a_cut_acts_after_it(tmp_path):
    truth = Truth(delay=0.06)
    subject = load_subject(model_file(tmp_path, truth))
    (whole,) = read_logs(logs_of(truth, tmp_path / "logs", motions=1, size=1.5), subject.joints)
    parameters = choose(subject, ["a", "b"], True, False, ("delay",))
    cut = with_speeds(whole).between(20, 100).between(30, 60)  # at sample 50, while everything moves
    assert len(cut.time) == 30 and cut.commands().time[0] == pytest.approx(cut.time[0] - EARLIER_S, abs=1 / RATE_HZ)
    np.testing.assert_array_equal(cut.commands().joints["a"], whole.joints["command"]["a"][35:80])
    known, forgotten = (
        np.abs(Replay(subject, [log]).errors(parameters, np.array([[truth.delay]]))[0]).max()
        for log in (cut, replace(cut, commanded=None))
    )
    assert known < 0.2 * forgotten


def motion(name, seconds, moved):
    time = np.arange(round(seconds * 50)) / 50
    return Log(name, time, {"position": {"a": moved * np.sin(time), "b": 0 * time}}, {})


def test_a_jump_on_one_side_is_no_derivative(tmp_path):
    class Jumping:
        """Residuals that grow by 3 per search coordinate; the second also by 5 at once, just above 0.2."""

        def residuals(self, parameters, values):
            z = np.stack([p.to_search(v) for p, v in zip(parameters, values.T, strict=True)], axis=-1)[:, 0]
            return [np.stack([3 * z, 3 * z + 5 * (z > 0.2001)], axis=1)]

    parameters = choose(load_subject(model_file(tmp_path)), ["a", "b"], True, False, ("delay",))
    _, (jacobian,) = _Problem(Jumping(), parameters).linearize(np.array([0.2]))
    np.testing.assert_allclose(jacobian[:, 0], [3.0, 3.0])


def test_motions_held_out_are_never_fitted():
    logs = [motion(f"m{i}", 4.0, 1.0) for i in range(20)]
    for count, judges in ((2, 1), (3, 1), (4, 2), (8, 4), (10, 4), (20, 6)):
        for seed in range(5):
            fitted, held = split(logs[:count], seed)
            assert len(held) == judges and len(fitted) == count - judges
            assert not {x.name for x in fitted} & {x.name for x in held}
    assert [x.name for x in split(logs, 0, ["m4"])[1]] == ["m4"]
    with pytest.raises(UsageError, match="did you mean 'm4'"):
        split(logs, 0, ["m44"])
    with pytest.raises(UsageError, match="some must be fitted"):
        split(logs, 0, [x.name for x in logs])


def test_a_budget_takes_some_of_every_motion():
    logs = [motion(f"m{i}", 30.0, i) for i in range(4)]
    chosen = within_budget(logs, 20.0, 40.0)
    assert {x.name.split("[")[0] for x in chosen} == {"m0", "m1", "m2", "m3"}
    assert sum(x.duration_s for x in chosen) == pytest.approx(40.0, abs=1.0)
    assert len(within_budget(logs, 20.0, 5.0)) == 1
    assert sum(x.duration_s for x in within_budget(logs, 20.0, 1e6)) >= 100


def test_a_calibrated_file_moves_like_the_fitted_model(tmp_path):
    truth = Truth()
    document = found(tmp_path, truth, ("stiffness", "damping", "friction", "armature", "delay"))
    calibration = read_calibration(tmp_path / "out" / "calibration.json")
    assert calibration["promoted"] == document["promoted"]
    subject = load_subject(model_file(tmp_path))
    spec = subject.spec()
    assert calibrate(spec, {n: row["value"] for n, row in calibration["parameters"].items()}) == ["delay"]
    calibrated = tmp_path / "calibrated.xml"
    spec.compile()
    calibrated.write_text(spec.to_xml())
    logs = [with_speeds(log) for log in read_logs(tmp_path / "logs", subject.joints)]
    parameters = choose(subject, ["a", "b"], True, False, ("stiffness", "damping", "friction", "armature"))
    values = np.array([[calibration["parameters"][p.name]["value"] for p in parameters]])
    one = Replay(subject, logs).errors(parameters, values)[0]
    other = Replay(load_subject(str(calibrated)), logs).errors((), np.zeros((1, 0)))[0]
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("parameters"),
        lambda d: d["parameters"].update({"mas.a": {"value": 1.0}}),
        lambda d: d["parameters"].update({"mass.a": {"value": float("nan")}}),
    ],
)
def test_a_file_that_is_no_calibration(tmp_path, change):
    document = {"schema": 1, "robot": "arm.xml", "promoted": True, "parameters": {"mass.a": {"value": 1.0}}}
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(document))
    assert read_calibration(path) == document
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="calibration"):
        read_calibration(path)


# -- excitation ----


def walled(gap):
    """An arm whose tip may hit a wall."""
    wall = f'<geom type="box" size="0.01 0.5 0.5" pos="{gap} 0 0"/>' if gap is not None else ""
    return f"""
    <mujoco>
      <compiler angle="radian" autolimits="true"/>
      <option timestep="0.005" integrator="implicitfast" gravity="0 0 0"/>
      <worldbody>
        <body name="link">
          <joint name="turn" axis="0 1 0" range="-1.5 1.5" damping="1" armature="0.05"/>
          <geom type="capsule" fromto="0 0 0 0 0 0.5" size="0.02"/>
        </body>
        {wall}
      </worldbody>
      <actuator><position joint="turn" kp="50"/></actuator>
    </mujoco>
    """


def test_what_can_not_be_kept_apart_is_named(tmp_path):
    path = tmp_path / "link.xml"
    path.write_text(walled(0.0302).replace('<geom type="box"', '<geom name="wall" type="box"'))
    with pytest.raises(RoboticsError, match=r"most often body 'link' and body 'world' \(geom 'wall'\)"):
        excite(str(path), 4.0, 50.0, 2.0, 1.0, 0)


@pytest.mark.parametrize("gap", [None, 0.3])
def test_an_excitation_keeps_to_its_limits_and_touches_nothing(tmp_path, gap):
    path = tmp_path / "link.xml"
    path.write_text(walled(gap))
    plan = excite(str(path), 12.0, 50.0, 2.0, 1.0, 0)
    assert plan.command.shape == (600, 1) and plan.joints == ("turn",)
    assert np.abs(plan.command).max() <= 0.8 * 1.5 + 1e-9
    assert np.abs(np.diff(plan.command, axis=0)).max() * 50 <= 1.0 + 1e-9
    assert abs(plan.command[0, 0]) < 1e-6 and abs(plan.command[-1, 0]) < 1e-6  # from rest to rest
    assert np.ptp(plan.command) > 0.2
    model = mujoco.MjModel.from_xml_path(str(path))
    data = mujoco.MjData(model)
    for value in plan.command[:, 0]:
        data.ctrl[:] = value
        mujoco.mj_step(model, data, nstep=4)
        assert data.ncon == 0


def test_an_excitation_keeps_to_what_may_be_commanded(tmp_path):
    path = tmp_path / "link.xml"
    path.write_text(walled(None).replace('kp="50"', 'kp="50" ctrlrange="-0.2 0.3"'))
    command = excite(str(path), 12.0, 50.0, 2.0, 1.0, 0).command
    assert command.min() == -0.2 and command.max() == 0.3


def test_a_filtered_servo_does_not_begin_to_move_at_once(tmp_path):
    """Its rehearsal begins at home: from a filter at zero the arm would swing upright, into what is there."""
    path, key = tmp_path / "link.xml", '<keyframe><key qpos="0.9" ctrl="0.9"/></keyframe>'
    scene = walled(None).replace("</worldbody>", '<geom type="sphere" size="0.02" pos="0.05 0 0.49"/></worldbody>')
    path.write_text(scene.replace('kp="50"', 'kp="50" timeconst="0.3"').replace("</mujoco>", f"{key}</mujoco>"))
    assert np.ptp(excite(str(path), 4.0, 50.0, 1.0, 0.2, 0).command) > 0.05


def test_no_motion_is_too_short_to_begin_and_end_at_rest(tmp_path, capsys):
    """The shortest that is refused, and one that is not, slower than the smoothing is long."""
    shortest = ["sysid", "excite", "--robot", "so101", "--out", str(tmp_path / "a.csv"), "--seconds"]
    assert main([*shortest, "1.9"]) == 2 and "takes 2 s or more" in capsys.readouterr().err
    assert main([*shortest, "2", "--rate-hz", "12", "--top-hz", "2"]) == 0


def test_two_samples_have_no_lag():
    log = Log("a", np.array([0.0, 0.02]), {c: {"j": np.array([0.0, 0.1])} for c in ("position", "command")}, {})
    assert command_delay([log], ["j"]) is None


def test_the_same_seed_excites_the_same(tmp_path):
    path = tmp_path / "link.xml"
    path.write_text(walled(None))
    plans = [excite(str(path), 4.0, 50.0, 2.0, 1.0, seed).command for seed in (0, 0, 1)]
    np.testing.assert_array_equal(plans[0], plans[1])
    assert not np.array_equal(plans[0], plans[2])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"seconds": 0.0}, "--seconds is 0.0"),
        ({"top_hz": 20.0}, "carry at most 12.5 Hz"),
        ({"speed": float("nan")}, "--speed is nan"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_an_impossible_excitation_is_refused(tmp_path, change, message):
    path = tmp_path / "link.xml"
    path.write_text(walled(None))
    options = {"seconds": 4.0, "rate_hz": 50.0, "top_hz": 2.0, "speed": 1.0, "seed": 0} | change
    with pytest.raises(UsageError, match=message):
        excite(str(path), **options)


# -- command line ----


def test_the_page_says_what_the_document_says(tmp_path):
    document = found(tmp_path, Truth(), ("stiffness", "mass", "delay"), motions=4, noise=ENCODER)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script src" not in page and "@import" not in page and "<link" not in page
    ours = page[page.index("What was identified</h2>") : page.index('<section id="parameters">')]
    error = document["replay_rmse"]
    for number in (document["trivial_rmse"], *error["train"].values(), *error["heldout"].values()):
        assert f"{number:.4g}" in ours
    assert document["verdict"] in ours and "MuJoCo's own" in ours
    for name, row in document["parameters"].items():
        line = ours[ours.index(f"<td>{name}</td>") :].partition("</tr>")[0]
        assert f"{row['ci95'][0]:.4g} … {row['ci95'][1]:.4g}" in line and row["unit"] in line
        assert ("NOT IDENTIFIABLE" in line) == (not row["identifiable"]) and row.get("reason", "yes") in line
    for name in (*document["motions"]["heldout"], *document["motions"]["train"]):
        assert name in ours
    hostile = json.loads(json.dumps(document).replace("stiffness.a", "<i>").replace("motion0", "<i>"))
    assert "<i>" not in template("sysid.html.j2").render(d=hostile | {"verdict": "<i>"})


def test_the_command_prints_one_document(tmp_path, capsys):
    logs = logs_of(Truth(), tmp_path / "logs")
    out = tmp_path / "out"
    arguments = ["sysid", "--robot", model_file(tmp_path), "--log", str(logs), "--out", str(out)]
    assert main([*arguments, "--parameters", "stiffness,delay", "--starts", "0", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["parameters"]) == {"stiffness.a", "stiffness.b", "delay"}
    for row in document["parameters"].values():
        assert {"value", "ci95", "nominal", "identifiable"} <= row.keys()
        assert row["ci95"][0] <= row["value"] <= row["ci95"][1]
    for part in ("train", "heldout"):
        assert {"nominal", "fitted"} == document["replay_rmse"][part].keys()
    for file in ("sysid.json", "samples.json", "calibration.json", "report.html"):
        assert (out / file).stat().st_size > 100
    assert main(arguments) == 2
    assert "already holds something" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change, message",
    [
        (["--robot", "so100"], "did you mean 'so101'"),
        (["--parameters", "stifness"], "did you mean 'stiffness'"),
        (["--parameters", "gain"], "has nothing with a gain in these logs; it belongs to a motor"),
        (["--heldout", "motion7"], "unknown motion to hold out 'motion7'"),
        (["--horizon", "-1"], "--horizon is -1.0: give a positive number of seconds"),
        (["--horizon", "nan"], "--horizon is nan: give a positive number of seconds"),
        (["--fit-seconds", "0"], "--fit-seconds is 0.0: give a positive number of seconds"),
        (["--starts", "-1"], "--starts -1"),
        (["--seed", "-1"], "--seed -1"),
        (["--observe", "current"], "position, velocity and torque can be compared"),
        (["--log", "nowhere"], "nowhere: no such log"),
    ],
)
def test_what_can_not_be_done_is_one_line(tmp_path, capsys, change, message):
    write(tmp_path / "logs", *commands(np.random.default_rng(0), 2.0), np.zeros((100, 2)), "motion0")
    out = tmp_path / "out"
    arguments = {"--robot": model_file(tmp_path), "--log": str(tmp_path / "logs"), "--out": str(out)}
    arguments |= dict([change])
    assert main(["sysid", *(word for pair in arguments.items() for word in pair)]) in (1, 2)
    error = capsys.readouterr().err.strip()
    assert message in error and error.count("\n") == 0
    assert not out.exists()


def test_a_robot_without_motors_can_not_be_excited(tmp_path):
    path = tmp_path / "ball.xml"
    path.write_text("<mujoco><worldbody><body><freejoint/><geom size='0.1'/></body></worldbody></mujoco>")
    with pytest.raises(RoboticsError, match="no actuated joint"):
        excite(str(path), 4.0, 50.0, 2.0, 1.0, 0)


def test_a_robot_with_a_free_base_is_not_excited_on_the_floor():
    with pytest.raises(UsageError, match="is free and would fall"):
        excite("quadruped", 4.0, 50.0, 2.0, 1.0, 0)


def test_intervals_from_few_blocks_hold_the_truth_as_often_as_they_say():
    """A straight line fitted to twelve motions whose errors differ: 95 of 100 intervals, not 90."""
    slope = Parameter("delay", FAMILIES["delay"], 0, nominal=1.0, low=0.0, high=2.0)
    rng, held, trials = np.random.default_rng(0), 0, 600
    for _ in range(trials):
        x = [rng.normal(size=20) for _ in range(12)]
        y = [one + rng.normal(0, 0.1 * rng.uniform(0.2, 2.0), 20) + rng.normal(0, 0.1) * one for one in x]
        best = sum(a @ b for a, b in zip(x, y, strict=True)) / sum(a @ a for a in x)
        jacobian = [2 / 5 * one[:, None] for one in x]  # a fifth of the range is one search coordinate
        residuals = [best * a - b for a, b in zip(x, y, strict=True)]
        fitted = Fit(np.array([best]), np.array([2.5 * best]), residuals, jacobian, {}, {}, None, [])
        (one,) = certainty(fitted, [slope], rng)
        held += one.interval[0] <= 1.0 <= one.interval[1]
    assert 0.93 <= held / trials <= 0.97


@pytest.mark.parametrize("where", [0.0, 0.01, 0.99, 1.0])
def test_at_a_bound_is_said_first(where):
    """Of two that undo each other, and are too wide as well, one has come to its bound, or has never left its start."""
    pair = [Parameter(name, FAMILIES["delay"], 0, nominal=0.0, low=-0.05, high=0.1) for name in ("a", "b")]
    rng = np.random.default_rng(0)
    jacobian = [np.repeat(one[:, None], 2, axis=1) for one in rng.normal(size=(12, 20))]
    residuals = [rng.normal(0, 9.0, 20) for _ in range(12)]
    values = np.array([-0.05 + 0.15 * where, 0.0])
    search = np.array([float(pair[0].to_search(value)) for value in values])
    stopped, other = certainty(Fit(values, search, residuals, jacobian, {}, {}, None, []), pair, rng)
    assert stopped.reason == f"stopped at its bound {-0.05 if where < 0.5 else 0.1:.4g}"
    assert other.reason == "compensated by a"


def test_samples_keep_what_parameters_have_to_do_with_each_other():
    """Of two that are told almost only together, the sum is known and neither is; each lies in its own interval."""
    names = [Parameter(name, FAMILIES["delay"], 0, nominal=1.0, low=-9.0, high=11.0) for name in ("a", "b")]
    rng, jacobian, residuals = np.random.default_rng(3), [], []
    for _ in range(12):
        together, apart = rng.normal(size=20), rng.normal(0, 0.1, 20)
        jacobian.append(np.stack([together + apart, together - apart], axis=1))
        residuals.append(rng.normal(0, 0.3, 20))
    search = np.array([float(one.to_search(1.0)) for one in names])
    sure = certainty(Fit(np.ones(2), search, residuals, jacobian, {}, {}, None, []), names, rng)
    a, b = (one.samples for one in sure)
    assert a.shape == b.shape == (SAMPLES,) and np.std(a + b) < 0.3 * np.std(a)
    for one in sure:
        low, high = one.interval
        assert 0.85 < np.mean((low <= one.samples) & (one.samples <= high)) <= 1.0


def test_units_are_those_of_the_joint():
    """Arms turn and fingers slide; a delay is the robot's."""
    names = ["left/elbow", "left/left_finger"]
    found = choose(load_subject("bimanual"), names, True, False, ("stiffness", "damping", "friction", "delay"))
    assert [(one.name.partition("/")[2], one.unit) for one in found if "/" in one.name] == [
        *(("elbow", "N m/rad"), ("left_finger", "N/m")),
        *(("elbow", "N m s/rad"), ("left_finger", "N s/m")),
        *(("elbow", "N m"), ("left_finger", "N")),
    ]
    assert found[-1].unit == "s"


def test_the_interval_of_a_median_is_the_exact_one():
    """By the binomial, the median lies between the 6th and the 15th of 20 in 95.9 %, between the next in 88.5 %."""

    def written(count: int) -> dict:
        return Errors([str(i) for i in range(count)], ["x"], np.zeros((count, 1)), np.arange(1.0, count + 1)).document()

    assert written(20)["mean_distance_median_ci95"] == [6.0, 15.0]
    assert written(5)["mean_distance_median_ci95"] is None, "of five, even the extremes hold the median too seldom"
