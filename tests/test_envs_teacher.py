"""Teachers in worlds that are not the nominal one: what they foresee comes true, and what it is worth."""

import numpy as np
import pytest

from robotics.controllers.arms import HandTarget
from robotics.datasets.demonstration import Source
from robotics.environments import make_env
from robotics.envs.teacher import Foresight, Teacher
from robotics.evaluation.agents import open_policy
from robotics.evaluation.rollout import run_episode
from robotics.sim2real.world import World
from robotics.training.relabel import Relabelling
from tests.vector import actions, assert_same

ARM, TWO_ARMS, BASE, LEGS = (
    f"robotics/{name}-v0" for name in ("PickPlace", "TransferCube", "MobileServe", "QuadrupedTerrain")
)
WALK = "robotics/QuadrupedVelocity-v0"


# Legs observe their last commands, too: those that are sent while one is on its way through the actuators, nobody knows
@pytest.mark.parametrize(
    ("env_id", "delay", "late_s"),
    [
        *((env_id, "policy_latency", 0.06) for env_id in (ARM, TWO_ARMS, BASE, LEGS)),
        *((env_id, "command_delay", 0.02) for env_id in (ARM, TWO_ARMS, BASE)),
    ],
)
def test_what_is_foreseen_comes_true(env_id, delay, late_s):
    """Whatever was sent meanwhile; and nothing of the present simulation is touched."""
    env = make_env(
        env_id, world=World.of({delay: late_s}, encoder_noise=0.01, encoder_offset=0.01, dropout=0.2, actuator_gain=0.8)
    )
    steps = round(late_s * env.unwrapped.control_hz)
    observation, _ = env.reset(seed=4)
    task, foresight, foreseen, true = env.unwrapped, Foresight(env.unwrapped), [], []
    for action in actions(env.action_space, 4, 24):
        before = task.data.qpos.copy(), task.data.time, task.state.userdata.copy()
        foreseen.append(foresight.see(observation))
        assert_same(before, (task.data.qpos, task.data.time, task.state.userdata))
        observation, *_ = env.step(action)
        true.append({key: values[0] for key, values in task.seen(task.state).items()})
    for index in range(steps, len(true) - steps + 1):  # the first action is not known when it is foreseen
        assert_same(foreseen[index], true[index + steps - 1])


def test_a_teacher_of_the_nominal_world_is_its_expert():
    env, same = make_env(ARM), make_env(ARM)
    (observation, _), _ = env.reset(seed=2), same.reset(seed=2)
    teacher, expert = Teacher(env), same.unwrapped.expert()
    teacher.reset()
    expert.reset(same)
    for _ in range(20):
        assert_same(action := teacher.act(observation), expert.act(observation))
        observation = env.step(action)[0]


def test_a_teacher_knows_the_robot_and_sizes_and_nobody_else_does():
    env = make_env(ARM, world=World.of(actuator_gain=0.5, payload=0.1, object_size=1.1, distractors=3))
    env.reset(seed=1)
    nominal, true = env.unwrapped.believed, env.unwrapped.model
    before = {name: getattr(nominal, name).copy() for name in ("actuator_gainprm", "body_mass", "geom_size")}
    Teacher(env).reset()
    for name, values in before.items():
        told = getattr(env.unwrapped.believed, name)
        np.testing.assert_array_equal(told, getattr(true, name)[: len(told)])
        np.testing.assert_array_equal(getattr(nominal, name), values)
        assert (told != values).any()


@pytest.mark.parametrize("env_id", [ARM, TWO_ARMS, BASE])
def test_a_controller_told_the_nominal_robot_is_the_nominal_one(env_id):
    """To the bit: so an expert may always be told what it believes."""
    task = make_env(env_id).unwrapped
    told, nominal = (task.make_cerebellum(believed=scene).model for scene in (task.believed, None))
    q = np.array(task.SPEC.home) + 0.1
    for model in (told, nominal):
        model.update(q, np.ones_like(q))
    np.testing.assert_array_equal(told.M, nominal.M)
    np.testing.assert_array_equal(told.h, nominal.h)


def test_servos_hold_the_hand_where_it_is_wanted_though_encoders_err_and_a_payload_pulls():
    """Told of both, to under a millimetre; believing in the nominal robot, to over a centimetre."""
    world = World.of(encoder_offset=0.02, payload=0.1)
    missed = {}
    for name, told in (("teacher", True), ("expert", False)):
        env = make_env(ARM, world=world)
        task, _ = env.unwrapped, env.reset(seed=0)
        if told:
            Teacher(env)
        expert = task.expert()
        expert.reset(env)
        start, quat = expert.kinematics.pose("hand")
        target = HandTarget(start + [0.05, 0.05, -0.05], quat, 0.04)
        for _ in range(150):
            env.step(expert._servos.follow({"hand": target}, task.joint_positions(), 1 / task.control_hz))
        missed[name] = np.linalg.norm(task.data.site("grip").xpos - target.position)
    assert missed["teacher"] < 0.001
    assert missed["expert"] > 0.01


@pytest.mark.parametrize(
    ("env_id", "values"),
    [
        (ARM, {"encoder_offset": 0.015}),
        (ARM, {"payload": 0.2}),
        (ARM, {"object_size": 1.15}),
        (TWO_ARMS, {"object_size": 1.2}),
        ("robotics/BimanualInsertion-v0", {"object_size": 0.8}),
        (TWO_ARMS, {"encoder_offset": -0.01, "payload": 0.05, "actuator_gain": 0.65}),
    ],
)
def test_a_teacher_does_what_an_expert_waits_for_in_vain(env_id, values):
    """It stands beside the object for ever, or with fingers that it thinks are not closed."""
    world = World.of(values)
    with Source(env_id, {"world": world}).demonstrator() as demonstrator:
        assert demonstrator.attempt(1_000_000).success
    env = make_env(env_id, world=world)
    assert not run_episode(env, open_policy("expert").agent(env), 1_000_000).success


@pytest.mark.parametrize("size", [0.75, 1.15])
def test_success_is_judged_by_the_sizes_that_there_are(size):
    with Source("robotics/Stack-v0", {"world": World.of(object_size=size)}).demonstrator() as demonstrator:
        assert demonstrator.attempt(1_000_000).success


def test_a_teacher_walks_where_the_expert_comes_too_late():
    world = World.of(policy_latency=0.07, command_delay=0.01, actuator_gain=0.7)
    with Source(WALK, {"world": world}).demonstrator() as demonstrator:
        assert demonstrator.attempt(1_000_001).success
    env = make_env(WALK, world=world)
    assert not run_episode(env, open_policy("expert").agent(env), 1_000_001).success


def test_labels_of_dagger_are_the_teachers():
    """Where it alone acts, the relabelled episode is its demonstration."""
    kwargs = {"world": World.of(policy_latency=0.05)}
    with Source(ARM, kwargs).open() as attempt, Relabelling(ARM, kwargs, "zero", 1.0, 10, 10_000).open() as relabelled:
        demonstrated, labelled = attempt(3), relabelled(3)
    assert labelled.success
    np.testing.assert_array_equal(labelled.frames["action"], demonstrated.frames["action"])
