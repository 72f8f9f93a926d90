"""Robots that the controllers were never tuned for: from files, with whatever names, frames and actuators they have."""

import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest

from robotics.control.legged import LeggedPlant, LeggedSession
from robotics.control.machine import load_machine
from robotics.control.run import run_trial
from robotics.control.trial import Conditions, Trial
from robotics.controllers.legged.locomotion import Twist
from robotics.controllers.legged.model import FloatingBaseModel
from robotics.controllers.motors import Motors
from robotics.controllers.robot_spec import torque_limits
from robotics.errors import UsageError

ROBOTS = Path(__file__).parent / "robots"
WALKER = (ROBOTS / "walker.xml").read_text()


def robot_file(folder: Path, model: str, toml: str = "") -> str:
    (folder / "robot.xml").write_text(model)
    (folder / "robot.toml").write_text('model = "robot.xml"\n' + toml)
    return str(folder / "robot.toml")


def motors_instead(model: str) -> str:
    return model.replace("<position ", "<motor ").replace('kp="120" kv="3" forcerange', 'gear="2" ctrlrange')


VARIANTS = {
    "as it is": WALKER,
    "motors with gears": motors_instead(WALKER).replace("-80 80", "-40 40"),
    "feet that are boxes": WALKER.replace('type="sphere" size="0.031"', 'type="box" size="0.03 0.02 0.03"'),
    "slippery feet": WALKER.replace('friction="0.7', 'friction="0.5'),
    "a third of the mass": WALKER.replace('mass="26"', 'mass="6"').replace('mass="3.0"', 'mass="1.0"'),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_any_quadruped_trots(tmp_path, variant):
    robot = robot_file(tmp_path, VARIANTS[variant])
    document = run_trial(Trial(robot, "trot", Twist(vx=0.5), seconds=4.0))
    assert not document["fell"]
    assert document["velocity_mean"] == pytest.approx([0.5, 0, 0], abs=0.05)
    assert document["limits_exceeded"] == 0
    assert document["faults"]["fallback_ticks"] == 0


def puppy() -> str:
    """4 kg on legs of 24 cm."""
    legs, motors = [], []
    for leg, x, y in (("FL", 0.12, 1), ("FR", 0.12, -1), ("RL", -0.12, 1), ("RR", -0.12, -1)):
        bone = 'fromto="0 0 0 0 0 -.12" contype="0" conaffinity="0"'
        legs.append(f"""
          <body pos="{x} {0.05 * y} 0"><joint name="{leg}_ab" axis="1 0 0" range="-.8 .8"/>
            <geom type="sphere" size=".025" mass=".15" contype="0" conaffinity="0"/>
            <body pos="0 {0.03 * y} 0"><joint name="{leg}_hip" axis="0 1 0" range="-1.5 2.5"/>
              <geom type="capsule" {bone} size=".014" mass=".2"/>
              <body pos="0 0 -.12"><joint name="{leg}_knee" axis="0 1 0" range="-2.6 -.3"/>
                <geom type="capsule" {bone} size=".009" mass=".06"/>
                <geom name="{leg}_foot" type="sphere" size=".016" pos="0 0 -.12" mass=".02"/>
              </body></body></body>""")
        motors += [f'<motor joint="{leg}_{joint}" ctrlrange="-6 6"/>' for joint in ("ab", "hip", "knee")]
    return f"""
    <mujoco model="puppy"><compiler angle="radian" autolimits="true"/><option timestep="0.002"/>
      <default><joint armature=".003" damping=".05"/></default>
      <worldbody><body name="torso"><freejoint name="root"/>
        <geom type="box" size=".12 .06 .03" mass="2.2"/>{"".join(legs)}</body></worldbody>
      <actuator>{"".join(motors)}</actuator>
    </mujoco>"""


def test_short_legs_walk_by_the_speeds_they_have_unless_told(tmp_path):
    """They swing faster than those of the robot that the gaits were made for: held to 20 rad/s they fall in 4 s."""
    robot = robot_file(tmp_path, puppy(), f"[robot]\nhome = {[0.0, 0.7, -1.4] * 4}\n")
    document = run_trial(Trial(robot, "walk", Twist(vx=0.2), seconds=5.0))
    assert not document["fell"]
    assert document["velocity_mean"] == pytest.approx([0.2, 0, 0], abs=0.04)
    assert document["limits_exceeded"] == 0


def test_what_the_model_says_need_not_be_said_again():
    spec = load_machine(str(ROBOTS / "walker.toml")).spec
    assert spec.feet == ("LF_SHANK_foot", "RF_SHANK_foot", "LH_SHANK_foot", "RH_SHANK_foot")
    assert spec.base == "floating_base"
    assert spec.joints[:3] == ("LF_HAA", "LF_HFE", "LF_KFE")
    assert spec.home[:3] == (0.0, 0.7, -1.4)


def test_fields_of_the_file_win_over_what_the_model_says(tmp_path):
    feet = ["RH_SHANK", "LH_SHANK", "RF_SHANK", "LF_SHANK"]
    spec = load_machine(robot_file(tmp_path, WALKER, f"[robot]\nvelocity_limits = 7.5\nfeet = {feet}\n")).spec
    assert spec.velocity_limits == (7.5,) * 12
    assert spec.feet[0] == "RH_SHANK_foot"


@pytest.mark.parametrize("friction", [0.05, None])
def test_friction_is_that_of_the_feet(friction):
    """At a friction of 0.05 nobody gets anywhere; the option acts on any robot's own feet."""
    conditions = Conditions() if friction is None else Conditions(friction=friction)
    document = run_trial(Trial("quadruped", "trot", Twist(vx=0.8), seconds=2.0, conditions=conditions))
    arrived = not document["fell"] and document["velocity_mean"][0] > 0.6
    assert arrived == (friction is None)


@pytest.mark.parametrize("friction", [None, 0.7, 0.8])
def test_friction_that_is_asked_for_is_had_whatever_others_have(friction, tmp_path):
    """0.8 is what robots of this repository have, and was not told from nothing asked."""
    machine = load_machine(robot_file(tmp_path, WALKER.replace('friction="0.7', 'friction="0.6')))
    model = LeggedPlant(Conditions(friction=friction), machine).model
    feet = [model.geom(foot).id for foot in machine.spec.feet]
    assert model.geom_friction[feet, 0].tolist() == [0.6 if friction is None else friction] * 4


def test_torques_are_late_by_the_nearest_number_of_ticks():
    ticks = {0: 0, 0.9: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 6: 3, 7: 4}
    assert {ms: Conditions(delay_s=ms / 1e3).late(0.002) for ms in ticks} == ticks


def on_a_mount(model: str) -> str:
    """The same robot with its legs on a body of their own that is bolted to the base."""
    root = ElementTree.fromstring(model)
    trunk = next(body for body in root.iter("body") if body.get("name") == "trunk")
    legs = [part for part in trunk if part.tag == "body"]
    mount = ElementTree.SubElement(trunk, "body", {"name": "mount"})
    for leg in legs:
        trunk.remove(leg)
        mount.append(leg)
    return ElementTree.tostring(root, encoding="unicode")


def test_legs_begin_at_their_first_joint(tmp_path):
    found = []
    for name, model in (("plain", WALKER), ("mount", on_a_mount(WALKER))):
        (tmp_path / name).mkdir()
        machine = load_machine(robot_file(tmp_path / name, model))
        found.append(FloatingBaseModel(machine.nominal(), machine.spec))
    np.testing.assert_allclose(found[0].shoulders, found[1].shoulders)
    assert found[0].leg_length == pytest.approx(found[1].leg_length)


def urdf_quadruped(foot: str) -> str:
    """Four legs of three joints each, whose last link is `foot` alone."""

    def link(name, mass, extra=""):
        inertia = '<inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/>'
        return f'<link name="{name}"><inertial><mass value="{mass}"/>{inertia}</inertial>{extra}</link>'

    def joint(name, parent, child, place, axis):
        limit = '<limit lower="-2.8" upper="3" effort="80" velocity="15"/>'
        return (
            f'<joint name="{name}" type="revolute"><parent link="{parent}"/><child link="{child}"/>'
            f'<origin xyz="{place}"/><axis xyz="{axis}"/>{limit}</joint>'
        )

    parts = [link("trunk", 20)]
    for leg, x, y in (("LF", 0.3, 0.1), ("RF", 0.3, -0.1), ("LH", -0.3, 0.1), ("RH", -0.3, -0.1)):
        parts += [link(f"{leg}_HIP", 1), joint(f"{leg}_HAA", "trunk", f"{leg}_HIP", f"{x} {y} 0", "1 0 0")]
        parts += [link(f"{leg}_TH", 2), joint(f"{leg}_HFE", f"{leg}_HIP", f"{leg}_TH", f"0 {0.8 * y} 0", "0 1 0")]
        parts += [link(f"{leg}_SH", 0.4, foot), joint(f"{leg}_KFE", f"{leg}_TH", f"{leg}_SH", "0 0 -0.28", "0 1 0")]
    return f'<robot name="q">{"".join(parts)}</robot>'


@pytest.mark.parametrize("shape", ['<sphere radius="0.03"/>', '<cylinder radius="0.02" length="0.28"/>'])
def test_marks_on_feet_stay_where_urdf_discards_what_collides_with_nothing(tmp_path, shape):
    foot = f'<collision><origin xyz="0 0 -0.15"/><geometry>{shape}</geometry></collision>'
    (tmp_path / "q.urdf").write_text(urdf_quadruped(foot))
    (tmp_path / "q.toml").write_text(f'model = "q.urdf"\nkind = "quadruped"\n[robot]\nhome = {[0.0, 0.7, -1.4] * 4}\n')
    machine = load_machine(str(tmp_path / "q.toml"))
    model = FloatingBaseModel(machine.nominal(), machine.spec)
    assert model.mass == pytest.approx(33.6)
    assert len(machine.spec.feet) == 4


@pytest.mark.parametrize("foot", ["belly", "crate"])
def test_a_foot_that_no_joint_moves(foot):
    machine = load_machine(str(ROBOTS / "walker.toml"))
    scene = machine.scene(None)
    for body, name in (("trunk", "belly"), ("crate", "crate")):
        ball = {"type": mujoco.mjtGeom.mjGEOM_SPHERE, "size": [0.01, 0, 0]}
        next(one for one in scene.bodies if one.name == body).add_geom(name=name, **ball)
    with pytest.raises(UsageError, match=f"foot '{foot}' hangs on no joint of its base"):
        FloatingBaseModel(scene.compile(), replace(machine.spec, feet=(foot, *machine.spec.feet[1:])))


def test_two_actuators_of_one_joint_are_refused(tmp_path):
    model = WALKER.replace("</actuator>", '<motor name="second" joint="LF_HAA" ctrlrange="-9 9"/></actuator>')
    with pytest.raises(UsageError, match=r"joint 'LF_HAA' has 2 actuators .*'second'.* keep one"):
        run_trial(Trial(robot_file(tmp_path, model), "stand", seconds=0.1))


@pytest.mark.parametrize(
    ("limits", "most"),
    [('gear="80" ctrlrange="-1 1" forcerange="-9 9"', 80), ('ctrlrange="-20 20" forcerange="-100 100"', 20)],
)
def test_a_motor_gives_what_both_its_ranges_allow(limits, most):
    raw = mujoco.MjModel.from_xml_string(f"""
    <mujoco>
      <compiler autolimits="true"/>
      <worldbody><body><joint name="a"/><geom size=".1"/></body></worldbody>
      <actuator><motor joint="a" {limits}/></actuator>
    </mujoco>
    """)
    assert torque_limits(raw, ["a"]).tolist() == [[-most], [most]]


def test_torque_limits_are_of_the_joints_as_they_are_named_and_only_where_there_are_none(tmp_path):
    model = motors_instead(WALKER).replace('gear="2" ctrlrange="-80 80"', "")
    names = [joint.name for joint in mujoco.MjSpec.from_string(model).joints if joint.name]
    own = model.replace(f'joint="{names[0]}"', f'joint="{names[0]}" forcerange="-7 7"')
    values = [float(number) for number in range(1, 13)]
    text = f"[robot]\njoints = {names[::-1]}\ntorque_limits = {values}\nhome = {[-1.4, 0.7, 0.0] * 4}\n"
    machine = load_machine(robot_file(tmp_path, own, text))
    upper = torque_limits(machine.nominal(), machine.spec.joints)[1]
    assert upper.tolist() == [*values[:-1], 7.0]


def test_friction_of_pairs_and_of_a_ground_that_comes_first(tmp_path):
    named = WALKER.replace('pos="0 0 -0.3" class="foot"/>', 'pos="0 0 -0.3" class="foot" name="foot"/>', 1)
    pair = named.replace("</worldbody>", '</worldbody><contact><pair geom1="ground" geom2="foot"/></contact>')
    first = named.replace('name="ground" type="plane"', 'name="ground" type="plane" priority="2"')
    for number, model in enumerate((pair, first)):
        (tmp_path / str(number)).mkdir()
        scene = load_machine(robot_file(tmp_path / str(number), model)).scene(0.15).compile()
        assert scene.npair == 0 or scene.pair_friction[0, :2].tolist() == [0.15, 0.15]
        foot = scene.geom("foot")
        assert foot.friction[0] == 0.15 and foot.priority[0] > scene.geom("ground").priority[0]


@pytest.mark.parametrize("model", [WALKER, motors_instead(WALKER)], ids=["servos", "motors"])
def test_actuators_give_the_torque_that_is_wanted(model):
    raw = mujoco.MjModel.from_xml_string(model)
    joints = [raw.joint(j).name for j in range(raw.njnt) if raw.jnt_type[j] == int(mujoco.mjtJoint.mjJNT_HINGE)]
    data, rng = mujoco.MjData(raw), np.random.default_rng(0)
    motors = Motors(raw, joints)
    q = np.array([raw.joint(j).qposadr[0] for j in joints])
    v = np.array([raw.joint(j).dofadr[0] for j in joints])
    data.qpos[q], data.qvel[v] = rng.normal(size=12), rng.normal(size=12)
    wanted = rng.uniform(-60, 60, 12)
    motors.apply(data, wanted, data.qpos[q], data.qvel[v])
    mujoco.mj_forward(raw, data)
    assert data.qfrc_actuator[v] == pytest.approx(wanted)


def test_torque_limits_of_joints_and_actuators():
    raw = mujoco.MjModel.from_xml_string(motors_instead(WALKER))
    lower, upper = torque_limits(raw, ["LF_HAA", "RH_KFE"])
    assert upper.tolist() == [160.0, 160.0]
    assert lower.tolist() == [-160.0, -160.0]


def test_switches_in_the_feet_feel_the_ground():
    session = LeggedSession(Trial(str(ROBOTS / "walker.toml"), "stand"))
    for _ in range(100):
        session.tick()
    plant = session.plant
    assert plant.touch().all()
    plant.data.joint("floating_base").qpos[2] += 1.0
    mujoco.mj_forward(plant.model, plant.data)
    assert not plant.touch().any()


THREE_LEGS = WALKER[: WALKER.index('<body name="RH_HIP"')] + WALKER[WALKER.index("    </body>\n  </worldbody>") :]
NO_RH = "\n".join(line for line in THREE_LEGS.splitlines() if "RH_" not in line)


@pytest.mark.parametrize(
    ("model", "toml", "message"),
    [
        (NO_RH.replace(" 0 0.7 -1.4 0 0.7 -1.4 0 0.7 -1.4 0 0.7 -1.4", " 0 0.7 -1.4" * 3), "", "end in 3 links"),
        (WALKER.replace(' forcerange="-80 80"', ""), "", "joints without torque limit: LF_HAA.*actuatorfrcrange"),
        (
            WALKER.replace('<key name="home"', '<key name="lying"').replace("</key", "</key"),
            "[robot]\nhome = [0]",
            "home has 1",
        ),
        (WALKER, '[robot]\nfeet = ["LF_SHNK", "RF_SHANK", "LH_SHANK", "RH_SHANK"]', "did you mean 'LF_SHANK'"),
        (WALKER, '[robot]\nbase = "trunc"', "unknown base joint.*did you mean 'trunk'"),
        (WALKER, "[robot]\njoint = []", "did you mean 'joints'"),
        (WALKER, 'kind = "arm"', "the model has a free base"),
        (WALKER, 'kind = "hexapod"', "unknown kind of robot"),
        (WALKER, "colour = 1", "unknown field"),
        (WALKER, "robot = 3", "robot is 3: give a table"),
        (WALKER, "[robot]\nfeet = 4", "feet is 4: give a list of names"),
        (WALKER, "[robot]\njoints = [1, 2]", "joints is .1, 2.: give a list of names"),
        (WALKER, '[robot]\nhome = "low"', "home is 'low': give a list"),
        (WALKER, f"[robot]\nhome = {[math.nan] * 12}", "home is .* not all numbers"),
        (WALKER, '[robot]\nvelocity_limits = "fast"', "velocity_limits is 'fast'"),
        (WALKER, "[robot]\nvelocity_limits = -1", "velocity_limits .* not all positive"),
        (WALKER, "[robot]\nvelocity_limits = nan", "velocity_limits .* not all positive"),
        (WALKER, "[robot]\ntorque_limits = nan", "torque_limits is nan: give a positive number"),
        (WALKER, '[robot]\ntorque_limits = "strong"', "torque_limits is 'strong'"),
        (WALKER, "[robot]\nvelocity_limits = true", "velocity_limits is True"),
        (WALKER, f"[robot]\nvelocity_limits = 1{'0' * 400}", "velocity_limits is 10*: give a number"),
        (WALKER, "[robot]\ntorque_limits = 1e308", "torque_limits is 1e.308: give a positive number"),
        (WALKER, f"[robot]\ntorque_limits = 1{'0' * 400}", "torque_limits is 10*: give a positive number"),
        (WALKER, "[robot]\njoints = []", "joints is .*: give a list of names"),
        (WALKER, '[robot]\nfeet = ["", "", "", ""]', "feet is .*: give a list of names"),
        (WALKER, '[robot]\nbase = ""', "base is '': give a name"),
        (WALKER, "[robot]\nname = 3", "name is 3: give a name"),
        (WALKER, "[robot]\ntorque_limit = 3", "did you mean 'torque_limits'"),
        (WALKER, "kind = [1]", "unknown kind of robot"),
        (WALKER, f"n = 1{'0' * 5000}", "is no TOML"),
        (WALKER, f"n = {'[' * 5000}", "is no TOML"),
        (WALKER, f"[robot]\njoints = {['LF_HAA'] * 12}", "joints has 'LF_HAA' more than once"),
        (WALKER, f"[robot]\nhome = {[9.0] * 12}", "home puts joint 'LF_HAA' at 9, its range is"),
        (WALKER.replace('pos="0 0 0.5"', 'pos="0 0 nan"'), "", "some of its qpos0 is no number"),
        (
            WALKER.replace('timestep="0.001"', 'timestep="1e-9"'),
            "",
            "timestep is 1e-09 s",
        ),
        (WALKER, "[robot]\ntop_speed = 3", 'top_speed is said of a car: give kind = "car"'),
        (WALKER, '[robot]\nend_effectors = "hand"', "end_effectors is 'hand': give a list"),
        (WALKER, '[robot]\nend_effectors = [{name = "hand", sit = "grip"}]', "end_effectors is .*sit"),
        ("<mujoco", "", "MuJoCo can not read it"),
    ],
)
def test_robot_files_that_can_not_be_meant(tmp_path, model, toml, message):
    with pytest.raises(UsageError, match=message):
        load_machine(robot_file(tmp_path, model, toml))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": -1}, "--seed -1"),
        ({"conditions": Conditions(delay_s=1e6)}, "--delay 1e.09: torques are at most 1000 ms late"),
        ({"conditions": Conditions(payload=1e308)}, "--payload 1e.308: it is at most 1e.06"),
        ({"task": "trot", "twist": Twist(vx=-1e308)}, "--vx -1e.308: it is at most 1e.06"),
        ({"conditions": Conditions(delay_s=float("nan"))}, "--delay nan is no number"),
        (
            {"robot": "arm", "task": "hold", "conditions": Conditions(friction=0.1)},
            "it has: --delay, --payload, --push",
        ),
    ],
)
def test_trials_that_can_not_be_meant(changed, message):
    with pytest.raises(UsageError, match=message):
        Trial(**{"robot": "quadruped", "task": "stand", **changed})


def test_a_trial_shorter_than_a_tick_is_refused():
    with pytest.raises(UsageError, match=r"--seconds 0.0001: one tick of quadruped takes 0.002 s"):
        run_trial(Trial("quadruped", "stand", seconds=1e-4))


def test_files_that_are_not_there(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"nowhere.toml: No such file"):
        Trial("nowhere.toml", "trot")
    (tmp_path / "broken.toml").write_text("model =")
    with pytest.raises(UsageError, match="is no TOML"):
        Trial(str(tmp_path / "broken.toml"), "trot")
    (tmp_path / "empty.toml").write_text('model = "gone.xml"')
    with pytest.raises(UsageError, match=r"gone.xml does not exist"):
        Trial(str(tmp_path / "empty.toml"), "trot")
    for model, message in (
        ('"."', "is a folder"),
        (f'"{"x" * 300}"', "does not exist"),
        ("3", "model is 3: give model, the MJCF or URDF"),
        ('""', "model is '': give model"),
    ):
        (tmp_path / "odd.toml").write_text(f"model = {model}")
        with pytest.raises(UsageError, match=message):
            Trial(str(tmp_path / "odd.toml"), "trot")
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    (tmp_path / "walker").mkdir()
    (tmp_path / "walker" / "scene.xml").write_text(WALKER)
    with pytest.raises(UsageError, match="did you mean 'walker'"):
        Trial("menagerie:wlker", "trot")
    assert Trial("menagerie:walker", "stand").machine() is not None


@pytest.mark.parametrize(
    ("lights", "headlight", "ambient"),
    [
        ("", "", 0.3),
        ('<light pos="0 0 3"/>', "", 0.3),
        ('<light pos="0 0 3"/><light pos="1 0 3"/>', "", 0.1),
        ('<light pos="0 0 3"/>', '<headlight ambient="0.2 0.2 0.2"/>', 0.2),
    ],
)
def test_a_robot_is_filmed_in_enough_light(tmp_path, lights, headlight, ambient):
    """A single light leaves most of it dark; who thought of light is let be."""
    ground = f'<worldbody>{lights}<geom type="plane" size="2 2 .1"/>'
    model = WALKER.replace("<worldbody>", f"<visual>{headlight}</visual>{ground}")
    model = load_machine(robot_file(tmp_path, model)).nominal()
    assert model.vis.headlight.ambient == pytest.approx([ambient] * 3)
    assert (model.tex_type == int(mujoco.mjtTexture.mjTEXTURE_SKYBOX)).sum() == 1
