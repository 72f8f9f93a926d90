"""A calibration carried into an environment: the simulated model changes as it says, what experts believe does not."""

import json

import mujoco
import numpy as np
import pytest

from robotics.cli.main import main
from robotics.datasets.reader import Dataset
from robotics.environments import make_env, make_vector
from robotics.errors import DataError, UsageError
from robotics.evaluation.bench import bench
from robotics.evaluation.circumstances import circumstances
from robotics.reinforcement.config import RLConfig
from robotics.reinforcement.copies import Copies, drawn_worlds
from robotics.sim2real.calibrated import CalibratedWorld
from robotics.sim2real.identification.calibration import calibrate
from robotics.sim2real.roles import roles_of
from robotics.sim2real.world import World
from tests.vector import actions, assert_same

ENV = "robotics/Reach-v0"


def calibration(folder, promoted=True, **values):
    path = folder / "calibration.json"
    rows = {name.replace("__", "."): {"value": value} for name, value in values.items()}
    path.write_text(json.dumps({"robot": "arm", "promoted": promoted, "verdict": "", "parameters": rows}))
    return path


def worlds(path):
    world, _ = CalibratedWorld.read(path)
    return make_env(ENV), make_env(ENV, world=world)


def damping(model):
    """Of joint4: the joint's own and its servo's."""
    own = np.ravel(model.dof_damping[model.joint("joint4").dofadr])[0]
    return own, -model.actuator_biasprm[model.actuator("joint4").id, 2]


def test_each_parameter_changes_what_it_names_and_nothing_else(tmp_path):
    nominal, found = worlds(calibration(tmp_path, stiffness__joint2=123.0, friction__joint3=0.7, damping__joint4=9.0))
    before, after = nominal.unwrapped.model, found.unwrapped.model
    servo = after.actuator("joint2").id
    assert after.actuator_gainprm[servo, 0] == 123.0
    assert after.actuator_biasprm[servo, 1] == -123.0
    assert after.dof_frictionloss[after.joint("joint3").dofadr] == 0.7
    own, held = damping(after)
    assert own + held == pytest.approx(9.0) and own / held == pytest.approx(np.divide(*damping(before)))
    others = [i for i in range(before.nu) if i != servo]
    assert np.array_equal(before.actuator_gainprm[others], after.actuator_gainprm[others])
    assert np.array_equal(before.body_mass, after.body_mass)
    assert np.array_equal(found.unwrapped.believed.actuator_gainprm, before.actuator_gainprm)


def test_a_delay_makes_the_joints_later_by_as_much(tmp_path):
    nominal, found = worlds(calibration(tmp_path, stiffness__joint1=400.0, delay=0.04))
    moved = []
    for env in (nominal, found):
        env.reset(seed=0)
        start = env.unwrapped.data.qpos[0]
        target = np.clip(env.unwrapped.data.qpos[: env.action_space.shape[0]], *_bounds(env))
        target[0] += 0.3
        path = []
        for _ in range(10):
            env.step(target)
            path.append(env.unwrapped.data.qpos[0] - start)
        moved.append(np.array(path))
    assert np.abs(moved[1][:2]).max() < 0.2 * np.abs(moved[0][:2]).max()  # two control steps of 20 ms
    assert np.abs(moved[1][-1]) > 0.1


def test_joints_have_the_play_and_the_friction_that_each_was_found_to_have(tmp_path):
    """Half the play to either side, friction by load and at rest: what the model has no field for acts as well."""
    nominal, found = worlds(
        calibration(tmp_path, backlash__joint1=0.03, load_friction__joint2=0.5, stribeck__joint3=2.0)
    )
    limit = nominal.unwrapped.model.actuator_forcerange[nominal.unwrapped.model.actuator("joint3").id, 1]
    assert limit > 2.0
    moved = []
    for env in (nominal, found):
        env.reset(seed=0)
        start = env.unwrapped.data.qpos[:3].copy()
        target = np.clip(env.unwrapped.data.qpos[: env.action_space.shape[0]], *_bounds(env))
        target[0] += 0.1
        for _ in range(50):
            env.step(target)
        moved.append(env.unwrapped.data.qpos[:3] - start)
    assert moved[0][0] - moved[1][0] == pytest.approx(0.03, abs=0.01)
    base, worn = nominal.unwrapped.model.dof_frictionloss, found.unwrapped.model.dof_frictionloss
    torque = abs(found.unwrapped.data.qfrc_actuator[1])
    assert worn[0] == base[0] and worn[2] - base[2] == pytest.approx(2.0, rel=0.1)
    assert worn[1] - base[1] == pytest.approx(0.5 * torque, rel=0.1) and torque > 1.0


@pytest.mark.parametrize(
    "family, value, factors", [("backlash", 0.015, {"backlash": 0.03}), ("load_friction", 0.1, {"load_friction": 0.1})]
)
def test_what_all_joints_are_found_to_have_is_the_factor(family, value, factors, tmp_path):
    """With as late commands, to the bit; and a teacher foresees a delay that was found as one that was declared."""
    model = make_env(ENV).unwrapped.model
    joints = {f"{family}__{model.joint(int(joint)).name}": value for joint in roles_of(model).joints}
    found, _ = CalibratedWorld.read(calibration(tmp_path, delay=0.03, **joints))
    late = [make_env(ENV, world=world) for world in (found, World.of(factors, command_delay=0.03))]
    paths = []
    for env in late:
        env.reset(seed=2)
        for action in actions(env.action_space, 1, 8):
            env.step(action)
        paths.append((env.unwrapped.data.qpos.copy(), env.unwrapped.signals.pending()[1]))
    np.testing.assert_array_equal(paths[0][0], paths[1][0])
    assert paths[0][1] == paths[1][1] == 0.03


def _bounds(env):
    return env.action_space.low, env.action_space.high


def test_serial_and_vector_agree_in_a_calibrated_world(tmp_path):
    wear = {"backlash__joint1": 0.01, "load_friction__joint2": 0.1, "stribeck__joint3": 0.5}
    world, _ = CalibratedWorld.read(calibration(tmp_path, stiffness__joint2=200.0, delay=0.01, **wear))
    one, many = make_env(ENV, world=world), make_vector(ENV, 2, world=world)
    serial, _ = one.reset(seed=5)
    vector, _ = many.reset(seed=5)
    for action in actions(one.action_space, 0, 6):
        serial, *_ = one.step(action)
        vector, *_ = many.step(np.stack([action, action]))
        assert_same(serial, {key: values[0] for key, values in vector.items()})
    many.close()


def test_bench_shows_both_arms_on_the_same_seeds(tmp_path, capsys):
    path = calibration(tmp_path, promoted=False, stiffness__joint2=2.0, stiffness__joint4=2.0)
    command = ["bench", "--env", ENV, "--policy", "expert", "--episodes", "2", "--calibration", str(path)]
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    arm = document["calibrated"]
    assert [e["seed"] for e in arm["episodes"]] == [e["seed"] for e in document["episodes"]]
    assert document["success_rate"] == 1.0
    assert arm["success_rate"] == 0.0  # an arm that hangs limp reaches nothing
    assert main(command) == 0
    assert "NOT promoted" in capsys.readouterr().out


def test_demonstrations_are_made_in_the_calibrated_model(tmp_path, capsys):
    path = calibration(tmp_path, stiffness__joint2=300.0)
    command = ["collect", "--env", ENV, "--episodes", "1", "--seed", "3"]
    assert main([*command, "--out", str(tmp_path / "nominal")]) == 0
    assert main([*command, "--out", str(tmp_path / "found"), "--calibration", str(path)]) == 0
    first, second = (Dataset.open(tmp_path / name) for name in ("nominal", "found"))
    assert first.provenance["calibration"] is None
    assert second.provenance["calibration"]["parameters"] == {"stiffness.joint2": 300.0}
    assert not np.array_equal(*(data.column("observation.state")[1:20] for data in (first, second)))
    again = [*command[:4], "2", *command[5:], "--out", str(tmp_path / "nominal"), "--resume"]
    capsys.readouterr()
    assert main([*again, "--calibration", str(path)]) == 2
    assert "was collected with calibration = None" in capsys.readouterr().err
    with_worlds = [*command, "--out", str(tmp_path / "both"), "--calibration", str(path), "--randomise", "mild"]
    assert main(with_worlds) == 2
    assert "contradicts --randomise" in capsys.readouterr().err
    assert not (tmp_path / "both").exists()


def test_what_is_not_applied_is_said_wherever_the_model_is(tmp_path, capsys):
    """A servo has no gain of its own to scale, a joint of motors no stiffness, and nothing can be early."""
    path = calibration(tmp_path, friction__joint1=0.3, gain__joint3=0.5, stiffness__joint2=300.0, delay=-0.03)
    for kwargs, left in (({}, ["gain.joint3", "delay"]), ({"action_mode": "ee"}, ["stiffness.joint2", "delay"])):
        about = CalibratedWorld.read(path, ENV, kwargs)[1]
        assert [name for name in about["not_applied"] if name in left] == left
    assert "not_applied" not in CalibratedWorld.read(calibration(tmp_path, friction__joint1=0.3), ENV)[1]
    path = calibration(tmp_path, friction__joint1=0.3, gain__joint3=0.5)
    about = CalibratedWorld.to_learn_in(path, ENV)[1]
    assert f"{path}: gain.joint3 can not be applied here" in capsys.readouterr().err
    assert circumstances({"calibration": about}) == ["in the calibrated model (promoted; not applied: gain.joint3)"]
    command = ["gap", "--env", ENV, "--policy", "zero", "--episodes", "2", "--target", "factors:command_delay=0.02"]
    assert main([*command, "--out", str(tmp_path / "gap"), "--calibration", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["calibration"]["not_applied"] == ["gain.joint3"]
    assert any("the calibrated model (without gain.joint3)" in line for line in document["policies"][0]["verdict"])


def test_an_offset_is_what_encoders_read_and_servos_go_by(tmp_path):
    """Of one joint, as the factor of that name is of all."""
    env = make_env(ENV, world=CalibratedWorld.read(calibration(tmp_path, offset__joint2=0.05))[0])
    env.reset(seed=0)
    task = env.unwrapped
    wrong = task.signals.qpos - task.data.qpos
    joint, servo = task.model.joint("joint2").qposadr[0], task.model.actuator("joint2").id
    assert wrong[joint] == pytest.approx(0.05) and not np.delete(wrong, joint).any()
    assert task.signals.misread[servo] == 0.05 and not np.delete(task.signals.misread, servo).any()
    hinges = roles_of(task.model).joints[roles_of(task.model).turning]
    every = {f"offset__{task.model.joint(int(j)).name}": 0.01 for j in hinges}
    alike = [CalibratedWorld.read(calibration(tmp_path, **every))[0], World.of(encoder_offset=0.01)]
    seen = []
    for world in alike:
        one = make_env(ENV, world=world)
        one.reset(seed=2)
        for action in actions(one.action_space, 1, 5):
            observation, *_ = one.step(action)
        seen.append(observation)
    assert_same(*seen)


def test_a_gain_is_of_the_motor():
    spec = mujoco.MjSpec.from_string(
        "<mujoco><worldbody><body><joint name='a'/><geom size='.1'/></body></worldbody>"
        "<actuator><motor joint='a' gear='3'/></actuator></mujoco>"
    )
    assert calibrate(spec, {"gain.a": 0.7}) == []
    assert spec.compile().actuator_gainprm[0, 0] == 0.7


def test_a_gap_shows_both_arms(tmp_path, capsys):
    path = calibration(tmp_path, promoted=False, stiffness__joint2=2.0, stiffness__joint4=2.0)
    command = ["gap", "--env", ENV, "--policy", "expert", "--episodes", "2", "--target", "factors:command_delay=0.02"]
    assert main([*command, "--out", str(tmp_path / "gap"), "--calibration", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (one,) = document["policies"]
    assert document["calibration"]["promoted"] is False
    assert one["sim"]["rate"] == 1.0 and one["calibrated"]["rate"] == 0.0
    assert one["calibrated"]["paired"]["drop"] == 1.0
    assert one["calibrated"]["paired_with_target"]["drop"] == -one["target"]["rate"]
    assert any("in the calibrated model, which is NOT promoted, 0 %" in line for line in one["verdict"])
    assert "expert,success,calibrated,,0.0," in (tmp_path / "gap" / "gap_numbers.csv").read_text()


def test_what_does_not_fit_is_one_line(tmp_path):
    path = calibration(tmp_path, stiffness__elbow_flex=2.0)
    with pytest.raises(DataError, match=r"'stiffness.elbow_flex': this robot has no joint 'elbow_flex'"):
        bench(ENV, "expert", 1, 1_000_000, calibration=path)
    path = calibration(tmp_path, friction__joint1=0.3, friction__joitn2=0.3)
    with pytest.raises(DataError, match="no joint 'joitn2'; did you mean 'joint2'"):
        make_env(ENV, world=CalibratedWorld.read(path)[0])
    path = calibration(tmp_path, gain__joint1=0.5)
    with pytest.raises(DataError, match=r"none of its parameters can be applied here .*gain.joint1"):
        bench(ENV, "expert", 1, 1_000_000, calibration=path)
    path = calibration(tmp_path, delay=0.02)
    with pytest.raises(DataError, match="is a calibration of 'arm'; robotics/QuadrupedVelocity-v0 has 'quadruped'"):
        bench("robotics/QuadrupedVelocity-v0", "zero", 1, 1_000_000, calibration=path)
    with pytest.raises(UsageError, match="contradicts --target"):
        bench(ENV, "expert", 1, 1_000_000, calibration=path, target="factors:payload=0.1")
    path.write_text("{}")
    with pytest.raises(DataError, match="is no calibration"):
        bench(ENV, "expert", 1, 1_000_000, calibration=path)


@pytest.mark.parametrize("promoted", [True, False])
def test_who_learns_in_what_is_not_promoted_is_told(tmp_path, capsys, promoted):
    path = calibration(tmp_path, promoted=promoted, stiffness__joint2=300.0)
    data = ["collect", "--env", ENV, "--episodes", "1", "--seed", "3", "--out", str(tmp_path / "data")]
    assert main([*data, "--calibration", str(path)]) == 0
    collected = capsys.readouterr().err
    drawn_worlds(ENV, RLConfig(copies=2, calibration=str(path)))
    for said in (collected, capsys.readouterr().err):
        assert (f"note: --calibration {path} is not promoted" in said) != promoted


def test_reward_is_earned_in_the_calibrated_model(tmp_path):
    path = calibration(tmp_path, stiffness__joint2=123.0)
    found = drawn_worlds(ENV, RLConfig(copies=2, calibration=str(path)))
    assert len(found) == 2 and {dict(world.values)["stiffness.joint2"] for world in found} == {123.0}
    copies = Copies(ENV, 2, 0, {}, found)
    assert copies.env.batch.model.actuator("joint2").gainprm[0] == 123.0
    copies.close()
    with pytest.raises(UsageError, match="contradicts --randomise"):
        drawn_worlds(ENV, RLConfig(copies=2, calibration=str(path), randomise="mild"))
    run = ["train", "ppo", "--env", ENV, "--out", str(tmp_path / "run"), "--calibration", str(tmp_path / "none.json")]
    assert main(run) != 0
