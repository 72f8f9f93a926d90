"""The loop: logs of a target, worlds around what they tell, a policy by the recipe of another, before and after."""

import json
import re
from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy import stats

from robotics.cli.main import main
from robotics.datasets.collect import collect
from robotics.datasets.reader import read_provenance
from robotics.environments import make_env
from robotics.errors import DataError, RoboticsError, UsageError
from robotics.reports.loop import write_loop_page
from robotics.sim2real import loop
from robotics.sim2real.closing import UNSEEN, closed_fraction, closed_over, gain, verdict
from robotics.sim2real.drawing import Randomisation
from robotics.sim2real.dropout import measured_dropout
from robotics.sim2real.excited_logs import families_of, log_motions, logged_task, nominal_model, require_servo_robot
from robotics.sim2real.factors import FACTORS
from robotics.sim2real.identification.identify import Settings, identify
from robotics.sim2real.identification.judgement import replay_errors
from robotics.sim2real.identification.parameters import choose
from robotics.sim2real.identification.speeds import with_speeds
from robotics.sim2real.identification.subject import load_subject
from robotics.sim2real.posterior import (
    FACTORS_OF,
    Posterior,
    identified_world,
    intervals,
    posterior,
    require_known,
)
from robotics.sim2real.roles import roles_of
from robotics.sim2real.twin import make_twin
from robotics.sim2real.world import World
from robotics.training.run_folder import read_run
from robotics.training.train import train
from tests.runs import BRIEF, TINY

REACH, QUADRUPED = "robotics/Reach-v0", "robotics/QuadrupedVelocity-v0"


# -- worlds around an identification ----------------------------------------------------------------------------------


def row(value: float, low: float, high: float, nominal: float, identifiable: bool = True) -> dict:
    return {"value": value, "ci95": [low, high], "nominal": nominal, "identifiable": identifiable}


def resampled(parameters: dict, count: int = 100) -> dict:
    """Samples that lie evenly in their intervals on a logarithmic scale, in an order of their own."""
    rng = np.random.default_rng(0)
    return {name: rng.permutation(np.geomspace(*one["ci95"], count)).tolist() for name, one in parameters.items()}


@pytest.fixture(scope="module")
def reach():
    env = make_env(REACH)
    yield env.unwrapped
    env.close()


def test_every_joint_is_drawn_around_what_it_told_of_itself(reach):
    apart = {"stiffness.joint1": row(1000, 990, 1010, 2000), "stiffness.joint2": row(2500, 2490, 2510, 2500)}
    found = posterior(apart, resampled(apart), reach.believed)
    assert found.families == {} and found.joints.keys() == apart.keys()
    for name, value in (("stiffness.joint1", 1000), ("stiffness.joint2", 2500)):
        values = found.joints[name]
        assert np.exp(np.mean(np.log(values))) == pytest.approx(value, rel=0.01)
        assert 1.05 < max(values) / min(values) < 1.2  # by what its model is taken to be off


def test_a_world_is_one_fit_and_never_parts_of_several(reach):
    """Stiffness and damping of which only the ratio is known: 0.02 in every world, though each varies fourfold."""
    stiffness = np.geomspace(1000, 4000, 100)
    told = {"stiffness.joint1": row(2000, 1000, 4000, 2000), "damping.joint1": row(40, 20, 80, 200)}
    samples = {"stiffness.joint1": stiffness.tolist(), "damping.joint1": (0.02 * stiffness).tolist()}
    joints = posterior(told, samples, reach.believed).joints
    assert max(joints["stiffness.joint1"]) / min(joints["stiffness.joint1"]) > 3.5
    ratio = np.array(joints["damping.joint1"]) / np.array(joints["stiffness.joint1"])
    assert 0.015 < ratio.min() < 0.019 and 0.021 < ratio.max() < 0.026  # moved by the models' error alone


def test_a_joint_that_can_not_tell_gets_what_the_others_agree_on(reach):
    told = {
        "stiffness.joint1": row(1400, 1390, 1410, 2000),
        "stiffness.joint2": row(5000, 1000, 25000, 2500),  # hardly told: it counts less
        "stiffness.joint3": row(18, 17, 19, 1800, identifiable=False),
    }
    only, around = (
        identified_world(told, resampled(told), reach.believed),
        posterior(told, resampled(told), reach.believed),
    )
    assert [len(values) for values in only.joints.values()] == [1, 1, 1]
    assert only.joints["stiffness.joint1"] == pytest.approx([1400]) and only.joints["stiffness.joint2"] == [5000]
    assert only.joints["stiffness.joint3"] == pytest.approx([0.7 * 1800], rel=0.05)
    low, high = intervals(around.joints)["stiffness.joint2"]
    assert low < 1300 and high > 19000
    assert np.median(around.joints["stiffness.joint3"]) == pytest.approx(0.7 * 1800, rel=0.1)
    unknown = {name: {**one, "identifiable": False} for name, one in told.items()}
    assert posterior(unknown, resampled(told), reach.believed) == identified_world(
        unknown, resampled(told), reach.believed
    )
    assert posterior(unknown, resampled(told), reach.believed) == Posterior({})


def test_joints_that_disagree_widen_the_range_of_one_that_can_not_tell(reach):
    def spread(other: float) -> float:
        told = {
            "stiffness.joint1": row(2000, 1990, 2010, 2000),
            "stiffness.joint2": row(other, other - 10, other + 10, 2500),
            "stiffness.joint3": row(18, 17, 19, 1800, identifiable=False),
        }
        values = posterior(told, resampled(told), reach.believed).joints["stiffness.joint3"]
        return max(values) / min(values)

    assert spread(2500) < 1.2 < 1.5 < spread(1250)


@pytest.mark.parametrize(("apart", "alike"), [(1.02, True), (2.0, False)])
def test_joints_that_differ_by_their_noise_alone_are_taken_to_be_alike(reach, apart, alike):
    """Each is known within a tenth: two of them 2 % higher than the others may be nothing, twice as high may not."""
    values = {f"stiffness.joint{j}": 1000 * (apart if j < 3 else 1.0) for j in range(1, 7)}
    told = {name: row(value, 0.9 * value, value / 0.9, 1000) for name, value in values.items()}
    only = identified_world(told, resampled(told), reach.believed).joints
    spread = max(v[0] for v in only.values()) / min(v[0] for v in only.values())
    assert spread == pytest.approx(1.0, abs=1e-6) if alike else 1.9 < spread < 2.0
    worlds = posterior(told, resampled(told), reach.believed).joints
    ratio = np.array(worlds["stiffness.joint1"]) / np.array(worlds["stiffness.joint6"])
    assert ratio.std() < 1e-6 if alike else 1.8 < np.median(ratio) < 2.1


def test_a_joint_whose_errors_are_large_keeps_what_its_own_fit_found(reach):
    """What compensates what is only known nearby: 1.3 times the others' stiffness, known within a factor of 1.6."""
    values = {f"stiffness.joint{j}": 1000.0 for j in range(1, 6)} | {"stiffness.joint6": 1300.0}
    told = {name: row(value, 0.9 * value, value / 0.9, 1000) for name, value in values.items()}
    told["stiffness.joint6"] = row(1300, 1300 / 1.6, 1300 * 1.6, 1000)
    only = identified_world(told, resampled(told), reach.believed).joints
    assert only["stiffness.joint6"] == pytest.approx([1300])
    assert only["stiffness.joint1"] == pytest.approx([1000])


def test_friction_is_a_joints_own_and_never_less_than_none(reach):
    """It is no ratio: of one that has none nominally, others tell nothing."""
    told = {
        "friction.joint1": row(0.97, 0.96, 0.98, 0.1),
        "friction.joint2": row(0.01, 0.009, 0.011, 0.1),
        "friction.joint3": row(0.5, 0.001, 9.0, 0.1, identifiable=False),
    }
    joints = posterior(told, resampled(told), reach.believed).joints
    assert joints.keys() == {"friction.joint1", "friction.joint2"}
    assert np.median(joints["friction.joint1"]) == pytest.approx(0.97, rel=0.5)
    assert min(joints["friction.joint2"]) == 0.0 < max(joints["friction.joint2"])
    early = {"delay": row(-0.02, -0.021, -0.019, 0.0)}
    assert set(posterior(early, {"delay": [-0.02] * 100}, reach.believed).families["delay"]) == {0.0}


def test_what_was_counted_apart_lies_in_its_interval(reach):
    told = {"delay": row(0.02, 0.019, 0.021, 0.0), "dropout": row(0.1, 0.09, 0.11, 0.0)}
    found = posterior(told, {"delay": np.linspace(0.019, 0.021, 40).tolist()}, reach.believed).families
    assert {name: len(values) for name, values in found.items()} == {"delay": 40, "dropout": 40}
    low, high = intervals(found)["dropout"]
    assert 0.07 < low < 0.1 < high < 0.13
    assert abs(np.corrcoef(found["delay"], found["dropout"])[0, 1]) < 0.5


def test_worlds_of_joints_are_in_the_model(reach):
    """Written before the factors, which go on from there; a joint that is not there is an error."""
    told = {"friction.joint1": row(0.97, 0.96, 0.98, 0.1), "stiffness.joint2": row(900, 890, 910, 2500)}
    world = identified_world(told, resampled(told), reach.believed).world(reach, 0)
    assert not world.nominal and world.values == ()
    for more, times in (({}, 1.0), ({"actuator_gain": 0.5}, 0.5)):
        env = make_env(REACH, world=World(tuple(more.items()), world.joints))
        model = env.unwrapped.model
        servo = next(a for a in range(model.nu) if model.joint(model.actuator_trnid[a, 0]).name == "joint2")
        assert model.actuator_gainprm[servo, 0] == pytest.approx(times * 900, rel=1e-3)
        assert model.dof_frictionloss[model.joint("joint1").dofadr[0]] == pytest.approx(0.97, rel=1e-3)
        env.close()
    with pytest.raises(DataError, match="joint9"):
        make_env(REACH, world=World(joints=(("friction.joint9", 1.0),)))


def test_episodes_take_the_worlds_in_turn(reach):
    drawn = Posterior({"mass": [0.8, 0.9], "delay": [0.01, 0.03]}, joints={"damping.a": [4.0, 6.0]})
    for seed in range(4):
        world, which = drawn.world(reach, seed), seed % 2
        assert world.as_dict() == {"mass": [0.8, 0.9][which], "command_delay": [0.01, 0.03][which]}
        assert dict(world.joints) == {"damping.a": [4.0, 6.0][which]}


def test_what_logs_do_not_tell_is_drawn_from_the_registry(reach):
    """And nothing that they do tell, under whatever name."""
    told, joints = {"delay": [0.01, 0.02]}, {"friction.joint1": [0.1, 0.2]}
    for seed in range(20):
        alone, with_rest = (Posterior(told, rest, joints).world(reach, seed).as_dict() for rest in (None, "medium"))
        assert set(alone) == {"command_delay"}
        others = Randomisation("medium").world(reach, seed).as_dict()
        same = {"joint_friction", "added_friction", "command_delay", "policy_latency", "sensing_delay"}
        assert with_rest == {**{name: value for name, value in others.items() if name not in same}, **alone}
        assert "encoder_noise" in with_rest and same <= {*others, "policy_latency", "sensing_delay"}


@pytest.mark.parametrize("world", [{"dropout": 0.1}, {"dropout": 0.1, "encoder_noise": 0.002}, {}])
def test_lost_measurements_are_counted(world, tmp_path):
    """Of a robot that moves, with and without noise; one that loses none loses none."""
    found = measured_dropout(log_motions(REACH, World.of(world), 24.0, 3, tmp_path))
    low, high = found["ci95"]
    assert low <= world.get("dropout", 0.0) <= high and high - low < 0.05
    assert (found["value"] == 0) == (world == {})


def test_every_family_has_factors_of_one_kind():
    for names in FACTORS_OF.values():
        assert len({(FACTORS[name].unit, FACTORS[name].nominal) for name in names}) == 1
    for name in ("offset", "dropout"):
        with pytest.raises(UsageError, match=f"{name}: training can draw"):
            require_known(["delay", name])


# -- verdicts ---------------------------------------------------------------------------------------------------------


def arms(before: int, after: int, oracle: int, n: int = 40) -> dict:
    def one(hits: int) -> dict:
        return {"target": {"n": n, "rate": hits / n, "success": [i < hits for i in range(n)]}}

    found = {name: one(hits) for name, hits in (("before", before), ("after", after), ("oracle", oracle))}
    found["after"]["gain"] = gain(found["after"]["target"], found["before"]["target"])
    return found


@pytest.mark.parametrize(("after", "fraction"), [(10, 0.0), (20, 0.5), (30, 1.0)])
def test_the_closed_fraction_is_of_what_the_oracle_gains(after, fraction):
    closed = closed_fraction(arms(10, after, 30))
    assert closed["value"] == pytest.approx(fraction)
    if 0 < fraction < 1:
        assert closed["ci95"][0] <= fraction <= closed["ci95"][1]
    else:  # on every seed alike, which does not tell how sure that is
        assert closed["ci95"] is None
    told = arms(10, after, 30)
    line = verdict(told, {"promoted": True, "verdict": "", "parameters": {}}, closed, "the target")[-1]
    assert f"training around the identification gains {fraction:.0%}" in line and "[100%, 100%]" not in line


def test_nothing_is_claimed_without_evidence():
    assert closed_fraction(arms(10, 12, 12)) == {"value": None, "ci95": None}
    assert closed_fraction(arms(30, 12, 10)) == {"value": None, "ci95": None}  # an oracle that is surely worse
    told = arms(10, 12, 12)
    late = {"delay": {"reason": "stopped at its bound 0.25", "unit": "s"}, "mass.a": {"reason": "any other"}}
    identified = {"promoted": False, "verdict": "not promoted: …", "parameters": late}
    lines = verdict(told, identified, closed_fraction(told), "the target")
    assert "not enough evidence" in lines[0] and any("not promoted: prefer" in line for line in lines)
    assert any(line.startswith("delay stopped at its bound 0.25 s: nothing") for line in lines)
    assert not any("mass.a" in line for line in lines)
    del told["oracle"]
    assert closed_fraction(told) is None
    sure = arms(10, 30, 30)
    identified = {"promoted": False, "verdict": "", "parameters": {}}
    lines = verdict(sure, identified, closed_fraction(sure), "the target")
    assert "better" in lines[0] and not any("prefer" in line for line in lines)
    assert any("not promoted: only what was measured" in line for line in lines)


def test_over_several_targets_those_where_much_was_lost_count_most():
    lost, kept = arms(0, 30, 40), arms(40, 40, 40)
    closed = closed_over([lost] * 9 + [kept], "after")
    assert closed["value"] == pytest.approx(270 / 360)
    assert 0.6 < closed["ci95"][0] < 0.75 - UNSEEN / 11  # as one more target may be
    assert closed["ci95"][0] + closed["ci95"][1] == pytest.approx(1.5)
    nothing = {"value": None, "ci95": None}
    assert closed_over([kept, kept, lost], "after") == nothing  # what the oracles gain may be nothing
    assert closed_over([lost], "after") == nothing  # which says nothing of others


def test_the_interval_over_targets_is_that_of_fieller():
    """Its ends are the ratios that a t test just does not refuse, with one more target on the side of each."""
    targets = [arms(before, after, 38) for before, after in ((0, 38), (10, 30), (4, 39), (20, 36), (12, 37))]
    closed = closed_over(targets, "after")
    rates = {name: np.array([one[name]["target"]["rate"] for one in targets]) for name in ("before", "after", "oracle")}
    won, there = rates["after"] - rates["before"], rates["oracle"] - rates["before"]
    assert closed["value"] == pytest.approx(won.mean() / there.mean())
    for ratio, further in zip(closed["ci95"], (-UNSEEN, UNSEEN), strict=True):
        left = np.append(won - ratio * there, won.mean() + (further - ratio) * there.mean())
        assert stats.ttest_1samp(left, 0).pvalue == pytest.approx(0.05)


# -- logs -------------------------------------------------------------------------------------------------------------


def test_logs_tell_a_late_target_from_the_simulation(tmp_path):
    late = log_motions(REACH, World.of(command_delay=0.04), 16.0, 0, tmp_path / "late")
    same = log_motions(REACH, World(), 16.0, 0, tmp_path / "same")
    assert len(late) == len(same) == len(list((tmp_path / "late").glob("*.csv"))) >= 7
    apart, following = [], []
    for one, other in zip(late, same, strict=True):
        assert np.array_equal(one.joints["command"]["joint1"], other.joints["command"]["joint1"])
        a, b = one.joints["position"]["joint1"], other.joints["position"]["joint1"]
        apart.append(np.abs(a - b).max())
        following.append(np.abs(a[2:] - b[:-2]).max())  # 40 ms are two control steps
    assert max(following) < 0.1 * max(apart)


def test_robots_that_can_not_be_held_are_refused():
    for env_id in ("robotics/HumanoidBalance-v0", "robotics/MobileServe-v0"):
        with pytest.raises(UsageError, match="neither stands fast on position servos nor can be hung up"):
            require_servo_robot(env_id)
    with pytest.raises(UsageError, match="its cloth does not lie still"):
        require_servo_robot("robotics/ClothFold-v0")


def test_objects_are_fixed_where_they_lie(tmp_path):
    """A robot among loose objects is logged and identified as one without."""
    logs = log_motions("robotics/PickPlace-v0", World(), 16.0, 0, tmp_path / "logs")
    assert all(np.ptp(log.joints["position"]["joint2"]) > 0.1 for log in logs)
    task = logged_task("robotics/PickPlace-v0")
    task.reset(seed=3)
    (tmp_path / "model.xml").write_text(nominal_model(task))
    subject = load_subject(str(tmp_path / "model.xml"))
    assert not subject.bodies and (subject.model.jnt_type != mujoco.mjtJoint.mjJNT_FREE).all()
    assert subject.model.body("cube").pos == pytest.approx(task.state.joint("cube")[0, :3])
    task.close()


def test_training_can_draw_what_is_identified_of_legs():
    require_known(families_of(QUADRUPED))
    require_known(families_of(REACH))
    assert "armature" not in families_of(REACH)


def test_a_robot_on_legs_is_hung_up(hung, tmp_path):
    """It hangs as its nominal model does, and its joints tell what drives them: the torque of soft servos is seen."""
    same = log_motions(QUADRUPED, World(), 16.0, 0, tmp_path / "same")
    weak = log_motions(QUADRUPED, World.of(actuator_gain=0.6), 16.0, 0, tmp_path / "weak")
    subject = load_subject(hung)
    assert not subject.bodies and len(subject.joints) == 12
    model, data, log = subject.model, mujoco.MjData(subject.model), same[0]
    mujoco.mj_resetDataKeyframe(model, data, 0)
    steps, joints = round(0.02 / model.opt.timestep), [model.joint(name) for name in log.joints["position"]]
    data.qpos[[joint.qposadr[0] for joint in joints]] = [log.joints["position"][joint.name][0] for joint in joints]
    replayed = []
    for now in range(len(log.time)):
        replayed.append([data.qpos[joint.qposadr[0]] for joint in joints])
        for joint in joints:
            data.ctrl[subject.actuators[joint.name]] = log.joints["command"][joint.name][now]
        mujoco.mj_step(model, data, nstep=steps)
    measured, soft = (
        np.stack([one.joints["position"][joint.name] for joint in joints], axis=1) for one in (log, weak[0])
    )
    off = np.sqrt(((np.array(replayed) - measured) ** 2).mean())
    assert off < 0.003 and np.sqrt(((np.array(replayed) - soft) ** 2).mean()) > 3 * off


@pytest.fixture
def hung(tmp_path) -> str:
    """The file of what the simulation believes of a quadruped that hangs."""
    task = logged_task(QUADRUPED)
    task.reset(seed=3)
    (tmp_path / "model.xml").write_text(nominal_model(task))
    task.close()
    return str(tmp_path / "model.xml")


def test_play_is_the_same_to_identification_and_worlds(hung, tmp_path):
    """What replays the logs of a world with backlash is the plant with half of it to either side."""
    subject = load_subject(hung)
    logged = log_motions(QUADRUPED, World.of(backlash=0.02), 16.0, 0, tmp_path / "logs")
    logs = [with_speeds(log, float(subject.model.opt.timestep)) for log in logged]
    parameters = choose(subject, subject.joints, True, False, ("backlash",))

    def error(half: float) -> float:
        return replay_errors(subject, logs, parameters, np.full(len(parameters), half)).rmse

    assert error(0.01) < 0.5 * min(error(0.0), error(0.02))


def test_friction_at_rest_is_told_from_a_lack_of_damping(hung, tmp_path):
    """Friction that falls with the speed looks like less damping to an identification that knows none."""
    assert "stribeck" in families_of(QUADRUPED)
    log_motions(QUADRUPED, World.of(stribeck=0.02), 16.0, 0, tmp_path / "logs")
    knowing, not_knowing = (brief(hung, tmp_path, "damping", one) for one in ("stribeck", "friction"))
    assert ratio(knowing, "damping") == pytest.approx(1.0, abs=0.03) and ratio(not_knowing, "damping") < 0.95
    model = load_subject(hung).model
    roles = roles_of(model)
    limits = {model.joint(int(joint)).name: limit for joint, limit in zip(roles.joints, roles.limits, strict=True)}
    parts = [knowing[f"stribeck.{joint}"]["value"] / limit for joint, limit in limits.items()]
    assert np.mean(parts) == pytest.approx(0.02, abs=0.005)


def test_friction_by_load_is_found_of_legs(hung, tmp_path):
    """Though nothing loads legs that hang but their own motion."""
    assert "load_friction" in families_of(QUADRUPED)
    log_motions(QUADRUPED, World.of(load_friction=0.1), 16.0, 0, tmp_path / "logs")
    rows = brief(hung, tmp_path, "stiffness", "load_friction")
    assert ratio(rows, "stiffness") == pytest.approx(1.0, abs=0.03)
    assert np.mean([row["value"] for name, row in rows.items() if "load" in name]) == pytest.approx(0.1, abs=0.02)


def brief(hung: str, folder: Path, *families: str) -> dict:
    """The parameters of these families that a little of the motion in the logs tells of."""
    settings = Settings(families=families, fit_s=3.0, starts=0)
    return identify(hung, folder / "logs", folder / "_".join(families), settings)["parameters"]


def ratio(parameters: dict, family: str) -> float:
    """Mean of what a family's parameters are to nominal."""
    return float(
        np.mean([row["value"] / row["nominal"] for name, row in parameters.items() if family == name.split(".")[0]])
    )


# -- the loop ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reach_run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reach")
    collect(REACH, 2, 0, folder / "data", noise=0.001, hardest_of=2)
    train("act", folder / "data", folder / "run", policy_options=TINY, training_options=BRIEF)
    return folder / "run"


def asked(run: Path, out: Path, *more: str) -> list[str]:
    tiny = ["--log-seconds", "16", "--parameters", "delay", "--fit-seconds", "4", "--starts", "0", "--steps", "4"]
    given = ["--env", REACH, "--policy", str(run), "--out", str(out), "--target", "factors:command_delay=0.03"]
    return ["real2sim2real", *given, *tiny, "--demonstrations", "1", "--episodes", "2", *more]


def shown(folder: Path) -> str:
    """The page in `folder` without the library in its head, and the random names of its charts."""
    page = (folder / "report.html").read_text()
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "chart", page[page.index("<main>") :])


def test_the_whole_way_and_where_it_stopped(reach_run, tmp_path, capsys):
    out = tmp_path / "loop"
    assert main([*asked(reach_run, out), "--n-action-steps", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["arms"]) == ["before", "after"] and document["closed_fraction"] is None
    assert document["execution"] == {"n_action_steps": 2, "delay": 0}
    delay = document["identification"]["parameters"]["delay"]
    assert delay["value"] == pytest.approx(0.03, abs=2e-3) and document["identification"]["promoted"]
    low, high = document["randomisation"]["delay"]
    assert low < 0.03 < high
    collected = read_provenance(out / "demonstrations" / "after")
    assert (collected["noise"], collected["hardest_of"]) == (0.001, 2)  # as the given policy's were
    noted = collected["randomisation"]
    assert noted["rest"] == document["rest"] and noted.keys() == {"families", "rest", "joints"}
    assert intervals(noted["families"]) == document["randomisation"] and noted["joints"] == document["joints"] == {}
    assert document["randomisation"]["dropout"][0] == document["logs"]["dropout"]["value"] == 0
    before, after = read_run(reach_run), read_run(out / "runs" / "after")
    assert after["policy"] == before["policy"] and after["training"]["lr"] == before["training"]["lr"]
    assert after["training"]["steps"] == 4
    page = shown(out)
    assert "before and after" in page and "is not measured" in page and "http" not in page
    assert page.count("plotly-graph-div") == 1 and '"before","after"' in page  # their intervals as a picture

    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0 and shown(out) == page
    capsys.readouterr()

    stamps = {path: path.stat().st_mtime_ns for path in (out / "logs").iterdir()}
    (out / "measured" / "after.json").unlink()
    asked_again = [*asked(reach_run, out), "--n-action-steps", "2", "--resume"]
    assert main([*asked_again, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["arms"] == document["arms"]
    assert stamps == {path: path.stat().st_mtime_ns for path in (out / "logs").iterdir()}
    assert main([*asked_again, "--episodes", "3"]) == 2
    assert "begun with episodes = 2, not 3" in capsys.readouterr().err
    assert main([*asked(reach_run, out), "--resume"]) == 2
    assert "begun with receding_horizon, n_action_steps 2, not receding_horizon;" in capsys.readouterr().err
    assert main(asked(reach_run, out)) == 2
    assert "already holds something" in capsys.readouterr().err
    (out / "real2sim2real.json").write_text("{}")
    with pytest.raises(DataError, match="no document"):
        write_loop_page(out)


def test_a_twin_that_was_replaced_is_another_target(reach_run, tmp_path, capsys, monkeypatch):
    twin, out = tmp_path / "twin.json", tmp_path / "loop"
    given = [*asked(reach_run, out), "--target", f"twin:{twin}"]
    monkeypatch.setattr(loop._Loop, "_logs", lambda self: pytest.fail("stopped"))
    make_twin(REACH, "mild", 1, twin, key="k")
    monkeypatch.setenv("ROBOTICS_TWIN_KEY", "k")
    with pytest.raises(pytest.fail.Exception, match="stopped"):
        main(given)
    make_twin(REACH, "mild", 2, twin, key="k", overwrite=True)
    assert main([*given, "--resume"]) == 2
    assert f"begun with another hidden twin behind twin:{twin}" in capsys.readouterr().err


def test_gap_and_card_execute_as_told(reach_run, tmp_path, capsys):
    """Late chunks are another policy: other returns; films, pages and documents say that they were late."""
    given = ["--env", REACH, "--policy", str(reach_run), "--episodes", "2"]
    target, late = ["--target", "factors:payload=0.4", "--factors", "payload"], ["--delay", "3"]
    documents = []
    for more in ([], [*late, "--copies", "2"], late):
        assert main(["gap", *given, *target, *more, "--out", str(tmp_path / "gap"), "--overwrite", "--json"]) == 0
        documents.append(json.loads(capsys.readouterr().out))
    plain, copied, told = documents
    assert plain["execution"] == {} and told["execution"] == copied["execution"] == {"delay": 3}
    returns = [one["policies"][0]["sim"]["return_mean"] for one in documents]
    assert returns[2] != returns[0] and returns[1] == pytest.approx(returns[2], rel=1e-3)
    assert "receding_horizon, delay 3" in shown(tmp_path / "gap")
    assert main(["card", *given, *late, "--out", str(tmp_path / "card")]) == 0
    assert "execution    receding_horizon, delay 3" in capsys.readouterr().out
    assert "receding_horizon, delay 3" in (tmp_path / "card" / "card.html").read_text()


def test_a_comparison_whose_expert_fails_costs_no_more_than_itself(reach_run, tmp_path, capsys, monkeypatch):
    def failing(env_id, episodes, seed, out, **options):
        if out.name == "wide":
            raise RoboticsError("only 0 of 12 attempts succeeded; the successful ones are elsewhere")
        return collect(env_id, episodes, seed, out, **options)

    monkeypatch.setattr(loop, "collect", failing)
    assert main([*asked(reach_run, tmp_path / "loop", "--compare", "wide"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["arms"]) == ["before", "after"] and list(document["left_out"]) == ["wide"]
    assert document["verdict"][-1] == "'wide' is not compared with: only 0 of 12 attempts succeeded"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--target", "sim"], "no gap to close"),
        (["--target", "twin:nowhere.json"], "no such file"),
        (["--policy", "expert"], "learns nothing"),
        (["--env", "robotics/PickPlace-v0"], "was trained on robotics/Reach-v0"),
        (["--env", "robotics/MobileServe-v0"], "neither stands fast on position servos nor can be hung up"),
        (["--parameters", "offset"], "training can draw"),
        (["--compare", "wid"], "wide"),
        (["--rest", "medum"], "medium"),
        (["--demonstrations", "0"], "at least 1"),
        (["--log-seconds", "3"], "give at least 16"),
        (["--log-seconds", "nan"], "give at least 16"),
        (["--starts", "-1"], "--starts -1"),
        (["--seed", "0"], "trained on"),
    ],
)
def test_what_can_not_be_asked(more, words, reach_run, tmp_path, capsys):
    assert main([*asked(reach_run, tmp_path / "loop"), *more]) in (1, 2)
    assert words in capsys.readouterr().err
