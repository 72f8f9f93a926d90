"""Every factor changes the model or the signal by the declared amount and nothing else, also after resets."""

import pickle
from functools import cache

import mujoco
import numpy as np
import pytest

from robotics.environments import make_env, make_vector
from robotics.envs.base import MujocoTask
from robotics.errors import UsageError
from robotics.sim2real.applicability import applicable, chosen_factors, task_of
from robotics.sim2real.factors import FACTORS, GROUPS, factor
from robotics.sim2real.presets import PRESETS, with_ranges
from robotics.sim2real.roles import roles_of
from robotics.sim2real.signals import STRIBECK_SPEED, Delays, WorldSignals
from robotics.sim2real.targets import open_target
from robotics.sim2real.world import World

ARM, DRAWN, LEGS = "robotics/PickPlace-v0", "robotics/Lift-v0", "robotics/QuadrupedVelocity-v0"
MODEL_FACTORS = [name for name, one in FACTORS.items() if one.effect is not None]
SIGNAL_FACTORS = [name for name, one in FACTORS.items() if one.effect is None and one.applied != "scene"]
#: Also derived by mj_setConst, or buffers that a delay needs.
DERIVED = {*mujoco.MjModel._setconst_outputs, "body_subtreemass", "body_invweight0", "dof_invweight0", "opt"}
EXTRA = ("vis.headlight.diffuse", "vis.headlight.ambient")
#: By what power of the value a field changes; otherwise in proportion.
POWER = {("object_size", "body_inertia"): 2}


def task(env_id: str, values: dict[str, float] | None = None, **kwargs) -> MujocoTask:
    return make_env(env_id, **({} if values is None else {"world": World.of(values)}), **kwargs).unwrapped


@cache
def untouched(env_id: str) -> MujocoTask:
    return task(env_id)


@cache
def as_made(env_id: str) -> dict[str, np.ndarray]:
    return arrays(task(env_id).model)


def arrays(model: mujoco.MjModel) -> dict[str, np.ndarray]:
    """Every numeric field, copied."""
    found = {}
    for name in dir(model):
        if not name.startswith("_") and isinstance(value := getattr(model, name), np.ndarray):
            found[name] = value.copy()
    for name in EXTRA:
        found[name] = np.array(getattr(model.vis.headlight, name.split(".")[-1]))
    return found


def different(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> set[str]:
    return {
        name
        for name, value in one.items()
        if value.shape != other[name].shape or not np.array_equal(value, other[name], equal_nan=value.dtype.kind == "f")
    }


# -- the registry ---------------------------------------------------------------------------------------------------


def test_the_registry_is_whole():
    assert {one.group for one in FACTORS.values()} == set(GROUPS)
    for name, one in FACTORS.items():
        assert one.name == name
        assert one.unit and one.summary and one.source
        assert one.range[0] < one.range[1]
        assert one.range[0] <= one.nominal <= one.range[1]
        assert one.nominal == (1.0 if one.relative else 0.0)
        assert one.at(0.0) == one.nominal
        assert {one.at(1.0), one.at(-1.0)} <= {*one.range, one.nominal}
        assert bool(one.fields) == (one.effect is not None)


def test_relative_factors_go_as_far_down_as_up():
    assert factor("armature").at(0.5) * factor("armature").at(-0.5) == pytest.approx(1.0)
    assert factor("torque_limit").at(1.0) == factor("torque_limit").at(-1.0) == 0.7


def test_presets_name_factors_and_can_be_had():
    for key, one in PRESETS.items():
        for name, span in one.ranges.items():
            assert span[0] <= factor(name).nominal <= span[1] and with_ranges(factor(name), key).range == span
            World.of({name: span[0]}), World.of({name: span[1]})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"masss": 1.1}, "did you mean 'mass'"),
        ({"mass": 0.0}, "can not be 0"),
        ({"mass": -1.0}, "can not be -1"),
        ({"mass": float("nan")}, "can not be nan"),
        ({"encoder_noise": -0.1}, "can not be -0.1"),
        ({"dropout": 1.0}, "can not be 1"),
        ({"object_colour": 3.0}, "0 … 1 is possible"),
        ({"background": -0.1}, "can not be -0.1"),
        ({"distractors": 2.6}, "give a whole number"),
    ],
)
def test_impossible_worlds_are_refused(values, words):
    with pytest.raises(UsageError, match=words):
        World.of(values)


def test_a_camera_sees_between_0_and_180_degrees():
    with pytest.raises(UsageError, match=r"a camera would have -35 … .* between 0 and 180"):
        task(ARM, {"field_of_view": -80.0}, cameras=("top",))


def test_a_gain_leaves_the_speed_that_a_velocity_servo_reaches():
    """The wheels of a mobile base are told speeds; half the gain makes them weaker, not half as fast."""
    mobile = "robotics/MobileServe-v0"
    nominal, weak = untouched(mobile).model, task(mobile, {"actuator_gain": 0.5}).model
    damped = task(mobile, {"actuator_damping": 0.5}).model
    for name in ("base_x", "base_y", "base_yaw"):
        one = nominal.actuator(name).id
        assert weak.actuator_gainprm[one, 0] == 0.5 * nominal.actuator_gainprm[one, 0]
        assert weak.actuator_gainprm[one, 0] == -weak.actuator_biasprm[one, 2]
        assert np.array_equal(damped.actuator_biasprm[one], nominal.actuator_biasprm[one])
    arm = nominal.actuator("left/waist").id
    assert weak.actuator_biasprm[arm, 2] == nominal.actuator_biasprm[arm, 2]


def test_a_target_of_factors_that_change_nothing_is_refused():
    with pytest.raises(UsageError, match="'gyro_noise' changes nothing in robotics/PickPlace-v0"):
        open_target("factors:mass=1.1,gyro_noise=0.1", ARM)
    assert open_target("factors:exposure=0.5,backlash=0.01", ARM).world.as_dict() == {"backlash": 0.01, "exposure": 0.5}


def test_a_world_keeps_order_forgets_nominals_and_travels():
    world = World.of(object_mass=2.0, mass=1.1, inertia=1.0)
    assert world.as_dict() == {"mass": 1.1, "object_mass": 2.0}
    assert pickle.loads(pickle.dumps(world)) == world
    assert world.only({"mass"}) == World.of(mass=1.1)


def test_factors_that_change_nothing_here_are_refused():
    arm = task_of(ARM)
    assert "gyro_noise" not in applicable(arm)
    assert "exposure" not in applicable(arm)  # no cameras
    with pytest.raises(UsageError, match="gyro_noise"):
        chosen_factors(["gyro_noise"], arm)
    assert "exposure" in applicable(task_of(ARM, cameras=("top",)))
    with pytest.raises(UsageError, match="one world only"):
        task_of("CartPole-v1")


# -- the model --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", [ARM, DRAWN, LEGS])
@pytest.mark.parametrize("name", MODEL_FACTORS)
def test_a_model_factor_changes_its_fields_by_its_amount_and_nothing_else(env_id, name):
    one, value = FACTORS[name], FACTORS[name].at(0.6)
    nominal, altered = untouched(env_id), task(env_id, {name: value})
    for seed in (None, 7, 7, 8):  # as made, and after resets that draw masses anew
        if seed is not None:
            nominal.reset(seed=seed), altered.reset(seed=seed)
        elif set(one.fields) & set(nominal.RANDOMISED):
            continue  # due when the task has drawn
        before = as_made(env_id) if seed is None else arrays(nominal.model)
        after = arrays(altered.model)
        changed = different(before, after)
        assert changed - set(one.fields) - DERIVED == set(), f"{name} also changes {changed - set(one.fields)}"
        for field in changed & set(one.fields):
            check_amount(one, field, value, before[field], after[field], roles_of(nominal.model))
    assert not different(arrays(altered.believed), as_made(env_id))


def check_amount(one, field, value, before, after, roles):
    moved = before != after
    if field == "tex_data":
        assert np.abs(after.astype(float) - (before + value * (255.0 - 2.0 * before))).max() <= 0.5
    elif one.relative:
        power = POWER.get((one.name, field), 1)
        precise = 1e-6 if after.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(after[moved] / before[moved], value**power, rtol=precise)
    elif one.name == "payload":
        assert (after - before).sum() == pytest.approx(value * roles.mass)
    elif one.name == "added_friction":
        np.testing.assert_allclose((after - before)[roles.rates], value * roles.limits, atol=1e-12)
    elif one.name == "camera_shift":
        np.testing.assert_allclose(np.linalg.norm(after - before, axis=1), value)
    elif one.name == "camera_turn":
        np.testing.assert_allclose(2 * np.arccos(np.abs((after * before).sum(axis=1))), value, atol=1e-6)
    elif field.endswith("rgba"):
        np.testing.assert_allclose(after[moved], (before + value * (1 - 2 * before))[moved], rtol=1e-5)
    else:
        np.testing.assert_allclose((after - before)[moved], value, rtol=1e-6)


def test_every_factor_changes_something_somewhere():
    somewhere = set(applicable(task_of(ARM, cameras=("top",)))) | set(applicable(task_of(LEGS)))
    assert somewhere == set(FACTORS)


def test_masses_that_a_task_draws_are_scaled_after_the_draw():
    """Whatever the task writes at a reset, and however often: never compounding, never lost."""
    nominal, altered = task(DRAWN), task(DRAWN, {"object_mass": 2.0, "contact_friction": 0.5})
    body = nominal.model.body("object").id
    for seed in (1, 1, 2):
        nominal.reset(seed=seed), altered.reset(seed=seed)
        assert altered.model.body_mass[body] == pytest.approx(2.0 * nominal.model.body_mass[body])
        np.testing.assert_allclose(altered.model.geom_friction[:, 0], 0.5 * nominal.model.geom_friction[:, 0])
        np.testing.assert_array_equal(altered.data.userdata, nominal.data.userdata)


def test_larger_objects_still_stand_on_their_table():
    nominal, larger = task(ARM), task(ARM, {"object_size": 1.25})
    nominal.reset(seed=3), larger.reset(seed=3)
    rise = larger.state.joint("cube")[0, 2] - nominal.state.joint("cube")[0, 2]
    assert rise == pytest.approx(0.25 * 0.02)


@pytest.mark.parametrize(
    ("env_id", "bodies"),
    [
        ("robotics/Stack-v0", ("red", "green")),
        ("robotics/Palletize-v0", ("box1", "box4")),
        ("robotics/PegInsertion-v0", ("peg",)),
        ("robotics/MobileServe-v0", ("can",)),
        ("robotics/TransferCube-v0", ("cube",)),
        (DRAWN, ("object",)),
    ],
)
def test_what_an_instance_tells_of_sizes_is_what_the_world_made_of_them(env_id, bodies):
    """Or success would be judged by sizes that nothing has."""
    for size in (0.8, 1.2):
        nominal, altered = task(env_id), task(env_id, {"object_size": size})
        for seed in (3, 3):
            nominal.reset(seed=seed), altered.reset(seed=seed)
            solid = [model_sizes(one, bodies) for one in (nominal, altered)]
            told = [one.data.userdata for one in (nominal, altered)]
            np.testing.assert_allclose(solid[1], size * solid[0])
            for half in solid[0]:
                at = np.flatnonzero(np.isclose(told[0], half, rtol=1e-9, atol=0))
                assert at.size
                np.testing.assert_allclose(told[1][at], size * half)


def model_sizes(one: MujocoTask, bodies: tuple[str, ...]) -> np.ndarray:
    """The first number of the size of what touches of each body."""
    model = one.model
    numbers = np.flatnonzero(
        np.isin(model.geom_bodyid, [model.body(name).id for name in bodies]) & (model.geom_contype > 0)
    )
    return model.geom_size[numbers, 0]


def test_shifted_objects_are_as_far_away_as_declared():
    nominal, shifted = task(ARM), task(ARM, {"object_shift": 0.03})
    nominal.reset(seed=3), shifted.reset(seed=3)
    way = shifted.state.joint("cube")[0] - nominal.state.joint("cube")[0]
    assert np.hypot(*way[:2]) == pytest.approx(0.03)
    assert not way[2:].any()
    assert not (shifted.data.mocap_pos - nominal.data.mocap_pos).any()  # the task's own draws are the same


def test_distractors_are_seen_and_touch_nothing():
    nominal, crowded = task(ARM), task(ARM, {"distractors": 3.0})
    assert crowded.model.nbody == nominal.model.nbody + 3
    assert crowded.model.nq == nominal.model.nq
    assert not crowded.model.geom_contype[-3:].any() and not crowded.model.geom_conaffinity[-3:].any()
    same = arrays(crowded.model)["geom_size"][:-3]
    np.testing.assert_array_equal(same, nominal.model.geom_size)


def test_two_factors_of_one_field_do_not_know_of_each_other():
    both = task(LEGS, {"mass": 1.2, "payload": 0.1})
    nominal = task(LEGS).model
    roles = roles_of(nominal)
    assert both.model.body_mass.sum() == pytest.approx(nominal.body_mass[roles.robot].sum() * 1.3)


# -- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIGNAL_FACTORS)
def test_a_signal_factor_leaves_the_model_alone(name):
    altered = arrays(task(LEGS if name == "gyro_noise" else ARM, {name: FACTORS[name].at(0.7)}).model)
    changed = different(arrays(task(LEGS if name == "gyro_noise" else ARM).model), altered)
    allowed = (
        {"actuator_delay", "actuator_history", "actuator_historyadr"} if FACTORS[name].applied == "actuators" else set()
    )
    assert changed <= allowed


def signals(values: dict[str, float], env_id: str = ARM) -> tuple[WorldSignals, MujocoTask]:
    """Signals of a task that has just been reset, and it."""
    altered = task(env_id, values)
    altered.reset(seed=5)
    return altered.signals, altered


def watch(values: dict[str, float], steps: int = 60, env_id: str = ARM):
    """Measured and true positions and velocities, (steps, nq) and (steps, nv) each, while the robot swings."""
    one, altered = signals(values, env_id)
    rows = []
    for step in range(steps):
        altered.data.qpos[:] += 0.01 * np.sin(0.3 * step)
        altered.data.qvel[:] = 0.1 * step
        one.measure(altered._simulation)
        rows.append((one.qpos.copy(), altered.data.qpos.copy(), one.qvel.copy(), altered.data.qvel.copy()))
    return [np.stack(part) for part in zip(*rows, strict=True)], roles_of(altered.model)


def test_sensors_err_by_their_amounts():
    (seen, true, rates, true_rates), roles = watch(
        {"encoder_noise": 0.02, "velocity_noise": 0.5, "object_noise": 0.004}
    )
    assert (seen - true)[:, roles.angles[roles.turning]].std() == pytest.approx(0.02, rel=0.1)
    assert (rates - true_rates)[:, roles.rates[roles.turning]].std() == pytest.approx(0.5, rel=0.1)
    assert (seen - true)[:, roles.placed.ravel()].std() == pytest.approx(0.004, rel=0.1)
    rest = np.setdiff1d(np.arange(seen.shape[1]), np.concatenate([roles.angles[roles.turning], roles.placed.ravel()]))
    assert not (seen - true)[:, rest].any()


def test_offset_and_steps_of_encoders():
    (seen, true, _, _), roles = watch({"encoder_offset": -0.02})
    np.testing.assert_allclose((seen - true)[:, roles.angles[roles.turning]], -0.02, atol=1e-12)
    assert not (seen - true)[:, roles.angles[~roles.turning]].any()  # a finger is no turn of anything
    (seen, true, _, _), roles = watch({"encoder_step": 0.005})
    assert np.abs((seen - true)[:, roles.angles]).max() <= 0.0025 + 1e-12
    hinges = seen[:, roles.angles[roles.turning]]
    np.testing.assert_allclose(np.round(hinges / 0.005) * 0.005, hinges, atol=1e-12)


def test_gyro_noise_is_of_the_base_alone():
    (_, _, rates, true), roles = watch({"gyro_noise": 0.1}, env_id=LEGS, steps=200)
    assert (rates - true)[:, roles.spin].std() == pytest.approx(0.1, rel=0.15)
    assert not (rates - true)[:, roles.rates].any()


@pytest.mark.parametrize("delay_s", [0.02, 0.05, 0.06])
def test_measurements_are_as_late_as_declared(delay_s):
    """On a ramp the interpolated past is exact, between control steps too; 20 ms a step here."""
    one, altered = signals({"sensing_delay": delay_s})
    roles, start = roles_of(altered.model), altered.data.qpos.copy()
    for step in range(1, 12):
        altered.data.qpos[:] = start + 0.5 * 0.02 * step
        one.measure(altered._simulation)
        late = max(0.02 * step - delay_s, 0.0)
        np.testing.assert_allclose(one.qpos[roles.angles], start[roles.angles] + 0.5 * late, atol=1e-12)
        np.testing.assert_array_equal(one.qpos[roles.placed], altered.data.qpos[roles.placed])


def test_objects_are_seen_late_the_robot_is_not():
    (seen, true, _, _), roles = watch({"object_delay": 0.04}, steps=10)
    np.testing.assert_allclose(seen[2:, roles.placed.ravel()], true[:-2, roles.placed.ravel()], atol=1e-12)
    np.testing.assert_array_equal(seen[:, roles.angles], true[:, roles.angles])


def test_lost_measurements_repeat_the_last():
    (seen, _, _, _), roles = watch({"dropout": 0.3}, steps=400)
    repeated = (np.diff(seen[:, roles.angles[0]]) == 0).mean()
    assert repeated == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize("delay_s", [0.012, 0.02, 0.037])
def test_commands_reach_the_servos_as_late_as_declared(delay_s):
    altered = task(ARM, {"command_delay": delay_s})
    altered.reset(seed=1)
    model, data = altered.model, altered.data
    gain, damping = model.actuator_gainprm[0, 0], -model.actuator_biasprm[0, 2]
    home, sent, arrived = data.ctrl[0], [], []
    for step in range(40):
        data.ctrl[0] = home + 0.001 * (step + 1)
        sent.append(data.ctrl[0])
        q, v = data.qpos[0], data.qvel[0]
        mujoco.mj_step(model, data)
        arrived.append(data.actuator_force[0] / gain + q + damping / gain * v)
    late = round(delay_s / model.opt.timestep)
    np.testing.assert_allclose(arrived[late:], sent[: 40 - late], atol=1e-9)
    np.testing.assert_allclose(arrived[:late], home, atol=1e-9)  # as if it had been told to stay for ever


def test_latency_is_whole_steps_of_actions_and_the_rest_in_the_motors():
    delays = Delays({"policy_latency": 0.05, "command_delay": 0.004}, period_s=0.02, timestep_s=0.002)
    assert delays.steps == 2
    assert delays.native() == pytest.approx((7 - 0.5) * 0.002)
    one, _ = signals({"policy_latency": 0.05})
    assert [one.command(np.array([float(step)]))[0] for step in range(5)] == [0.0, 0.0, 0.0, 1.0, 2.0]


def test_jitter_makes_commands_late_by_a_half_normal_time():
    one, altered = signals({"control_jitter": 0.01})
    lates = []
    for _ in range(600):
        one.before(altered._simulation)
        lates.append(altered.model.actuator_delay[0])
    assert np.mean(lates) == pytest.approx(0.01 * np.sqrt(2 / np.pi), abs=0.0015)
    assert max(lates) <= 0.03
    assert altered.model.actuator_history[0, 0] * altered.model.opt.timestep >= 0.03


def test_play_is_as_wide_as_declared():
    one, altered = signals({"backlash": 0.02})
    home = altered.data.ctrl.copy()
    there = [one.drive(home + 0.01 * step)[0] for step in range(6)]
    back = [one.drive(home + 0.05 - 0.01 * step)[0] for step in range(6)]
    np.testing.assert_allclose(there[-1], home[0] + 0.05 - 0.01)
    np.testing.assert_allclose(back[-1], home[0] + 0.01)
    np.testing.assert_allclose(back[:3], there[-1])  # turning round, nothing moves until the play is used up
    assert one.drive(home + 0.01)[7] == home[7] + 0.01  # fingers slide


def test_a_servo_is_misled_by_its_encoder():
    """It reads what it is told; where the joint truly is, only somebody else sees. Alone and behind gears with play."""
    plain, off = signals({"encoder_noise": 1e-9})[1], signals({"encoder_offset": -0.02})[1]
    roles, home = roles_of(plain.model), plain.data.ctrl.astype(np.float32)
    for _ in range(60):
        plain.step(home)
        off.step(home)
    hinges = roles.angles[roles.turning]
    np.testing.assert_allclose(off.signals.qpos[hinges], plain.signals.qpos[hinges], atol=2e-3)
    np.testing.assert_allclose((off.data.qpos - plain.data.qpos)[hinges], 0.02, atol=2e-3)
    one, altered = signals({"encoder_offset": 0.01, "backlash": 0.02})
    driven = one.drive(altered.data.ctrl + 0.05)
    np.testing.assert_allclose(driven[:7], altered.data.ctrl[:7] + 0.05 - 0.01 - 0.01)
    assert driven[7] == altered.data.ctrl[7] + 0.05  # fingers slide


def test_friction_follows_speed_and_load():
    one, altered = signals({"stribeck": 0.02, "load_friction": 0.1})
    roles, model, data = roles_of(altered.model), altered.model, altered.data
    nominal = altered.nominal["dof_frictionloss"]
    data.qvel[:] = 0.0
    data.qfrc_actuator[:] = 3.0
    one.before(altered._simulation)
    np.testing.assert_allclose(model.dof_frictionloss[roles.rates], nominal[roles.rates] + 0.02 * roles.limits + 0.3)
    data.qvel[:] = 20 * STRIBECK_SPEED
    data.qfrc_actuator[:] = 0.0
    one.before(altered._simulation)
    np.testing.assert_allclose(model.dof_frictionloss[roles.rates], nominal[roles.rates], atol=1e-6)
    altered.reset(seed=2)
    np.testing.assert_array_equal(model.dof_frictionloss, nominal)


def test_exposure_is_a_power_of_two():
    bright = task(ARM, {"exposure": 1.0})
    picture = np.array([[[0, 10, 200]]], np.uint8)
    np.testing.assert_array_equal(bright.altered.expose(picture), [[[0, 20, 255]]])


# -- environments -----------------------------------------------------------------------------------------------------


def everything(severity: float = 0.7) -> World:
    return World.of({name: one.at(severity) for name, one in FACTORS.items()})


def rollout(env_id: str, world: World | list[World] | None, seeds: list[int], steps: int, vector: bool) -> np.ndarray:
    """States (n, steps + 1, k) under actions that depend on seed and step; in one world, or each copy in its own."""
    kwargs = {} if world is None else {"worlds" if isinstance(world, list) else "world": world}
    if vector:
        env = make_vector(env_id, len(seeds), autoreset_mode="Disabled", **kwargs)
        rows = [env.reset(seed=seeds)[0]]
        for step in range(steps):
            rows.append(env.step(np.stack([action(env.single_action_space, seed, step) for seed in seeds]))[0])
        return np.stack([np.concatenate([row["state"], row["environment_state"]], axis=1) for row in rows], axis=1)
    found = []
    for seed in seeds:
        env = make_env(env_id, **kwargs)
        rows = [env.reset(seed=seed)[0]]
        rows += [env.step(action(env.action_space, seed, step))[0] for step in range(steps)]
        found.append([np.concatenate([row["state"], row["environment_state"]]) for row in rows])
    return np.array(found)


def action(space, seed: int, step: int) -> np.ndarray:
    middle, half = (space.low + space.high) / 2, (space.high - space.low) / 2
    return (middle + 0.1 * half * np.random.default_rng((seed, step)).uniform(-1, 1, space.shape)).astype(np.float32)


@pytest.mark.parametrize("env_id", [ARM, DRAWN, LEGS, "robotics/PathTrack-v0", "robotics/ClothFold-v0"])
def test_serial_and_vector_environments_are_the_same_world(env_id):
    serial = rollout(env_id, everything(), [1, 2, 3], 8, vector=False)
    np.testing.assert_array_equal(serial, rollout(env_id, everything(), [1, 2, 3], 8, vector=True))
    assert (serial != rollout(env_id, None, [1, 2, 3], 8, vector=False)).any()


def test_a_robot_knows_what_it_was_told_however_late_it_comes():
    """The last servo targets, behind the joints, are those of the action that was just sent: logs of a robot do not
    tell whether it is late before its actuators or within them, and a policy must not see a difference either."""
    sent = np.stack([action(make_env(LEGS).action_space, 3, step) for step in range(6)])
    for values in ({"policy_latency": 0.07}, {"command_delay": 0.07}, {"encoder_offset": 0.01, "backlash": 0.02}):
        for vector in (False, True):
            seen = rollout(LEGS, World.of(values), [3], 6, vector=vector)[0]
            np.testing.assert_allclose(seen[1:, 30:42], sent, atol=1e-6)


def test_torques_of_a_controller_inside_the_step_are_seen():
    """They are nobody's to know ahead: those of now, in a world with signals as in one without."""
    seen = []
    for kwargs in ({}, {"world": World.of(object_noise=0.001)}):
        env = make_env(LEGS, action_mode="twist", **kwargs)
        env.reset(seed=1)
        seen.append([env.step(np.array([0.3, 0, 0], np.float32))[0]["state"][30:42] for _ in range(3)])
        many = make_vector(LEGS, 1, action_mode="twist", **kwargs)
        many.reset(seed=[1])
        seen.append([many.step(np.array([[0.3, 0, 0]], np.float32))[0]["state"][0, 30:42] for _ in range(3)])
        many.close()
    assert np.abs(seen[0]).max() > 1
    for other in seen[1:]:
        np.testing.assert_array_equal(seen[0], other)


@pytest.mark.parametrize("env_id", [ARM, DRAWN, LEGS, "robotics/PathTrack-v0"])
def test_every_copy_in_a_world_of_its_own(env_id):
    """One with everything but other things in it, one with late commands alone, one as it is: as if each were alone."""
    late, all_but_things = World.of(command_delay=0.03), everything().only(set(FACTORS) - {"distractors"})
    worlds, seeds = [all_but_things, late, World(), World.of(mass=1.3, encoder_noise=0.01)], [5, 6, 7, 8]
    alone = [rollout(env_id, world, [seed], 8, vector=False)[0] for world, seed in zip(worlds, seeds, strict=True)]
    np.testing.assert_array_equal(np.array(alone), rollout(env_id, worlds, seeds, 8, vector=True))


def test_what_a_copy_that_diverged_ends_with_is_as_if_it_were_alone():
    """Its neighbour's world errs, and so it has signals that do nothing: not even remember what it was sent."""
    many = make_vector(LEGS, 2, worlds=[World.of(encoder_noise=0.01), World()], autoreset_mode="Disabled")
    alone = make_env(LEGS)
    many.reset(seed=0), alone.reset(seed=1)
    many.state.qpos[1, 0] = alone.unwrapped.data.qpos[0] = np.nan
    sent = np.full((2, 12), 0.1, np.float32)
    there, _, ended, _, _ = many.step(sent)
    here = alone.step(sent[1])[0]
    assert ended.tolist() == [False, True]
    for key, value in here.items():
        np.testing.assert_array_equal(there[key][1], value)
    many.close()


def test_worlds_of_copies_that_can_not_be():
    with pytest.raises(UsageError, match="1 worlds for 2 copies"):
        make_vector(ARM, 2, worlds=[World()])
    with pytest.raises(UsageError, match="leave distractors out"):
        make_vector(ARM, 2, worlds=[World(), World.of(distractors=2)])


@pytest.mark.parametrize("env_id", [ARM, DRAWN])
def test_a_world_without_values_is_the_environment_itself(env_id):
    np.testing.assert_array_equal(
        rollout(env_id, World(), [4], 8, vector=False), rollout(env_id, None, [4], 8, vector=False)
    )


def test_pictures_of_serial_and_vector_environments_agree():
    world = World.of(camera_shift=0.04, exposure=0.5, distractors=3, background=0.3, lighting=0.7)
    kwargs = {"cameras": ("top",), "image_size": (48, 48)}
    one = make_env(ARM, world=world, **kwargs).reset(seed=3)[0]["image_top"]
    many = make_vector(ARM, 2, world=world, **kwargs)
    np.testing.assert_array_equal(one, many.reset(seed=[3, 4])[0]["image_top"][0])
    many.close()
    worlds = [World(), World.of(camera_shift=0.04, exposure=0.5), World.of(lighting=0.4)]
    alone = [make_env(ARM, world=world, **kwargs).reset(seed=3)[0]["image_top"] for world in worlds]
    for order in ([0, 1, 2], [2, 0, 1]):
        many = make_vector(ARM, 3, worlds=[worlds[index] for index in order], **kwargs)
        np.testing.assert_array_equal(many.reset(seed=[3] * 3)[0]["image_top"], [alone[index] for index in order])
        many.close()
    assert all((other != alone[0]).any() for other in (one, *alone[1:]))


def test_the_expert_believes_in_the_nominal_servos():
    """Else it would compensate what it can not know."""
    altered = make_env(ARM, world=World.of(actuator_gain=0.5))
    altered.reset(seed=1)
    expert = altered.unwrapped.expert()
    expert.reset(altered)
    np.testing.assert_array_equal(expert._servos._gain, task(ARM).model.actuator_gainprm[:, 0])
