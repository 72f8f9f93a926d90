"""Masses and sizes written into a model are those of a model compiled with them."""

import mujoco
import numpy as np
import pytest

from robotics.envs.instances import SIZE, set_mass, set_size
from robotics.envs.state import SerialState, Simulation

SIZES = {"box": (0.05, 0.02, 0.09), "sphere": (0.06,), "capsule": (0.03, 0.07), "cylinder": (0.05, 0.02)}
SIZES["ellipsoid"] = (0.03, 0.05, 0.08)


def scene(kind, size, mass):
    return mujoco.MjModel.from_xml_string(
        f"""<mujoco><worldbody><geom type="plane" size="1 1 .1"/><body name="wall" pos=".2 0 .1">
        <geom type="box" size=".02 .2 .1"/><geom type="box" pos="0 0 .2" size=".02 .2 .1"/></body>
        <body name="thing" pos="0 0 .3" euler="20 30 0"><freejoint/>
        <geom name="thing" type="{kind}" size="{" ".join(map(str, size))}" mass="{mass}"/>
        </body></worldbody></mujoco>"""
    )


def fall(model):
    data = mujoco.MjData(model)
    data.qvel[0] = 1.0
    mujoco.mj_step(model, data, nstep=300)
    return data.qpos


def simulation(model, fields=SIZE):
    return Simulation(SerialState(model, mujoco.MjData(model), (), fields), 0)


@pytest.mark.parametrize("kind", SIZES)
def test_a_resized_solid_is_the_one_that_would_have_been_compiled(kind):
    model, wanted = scene(kind, np.array(SIZES[kind]) * 0.4, 0.3), scene(kind, SIZES[kind], 0.8)
    set_size(simulation(model), "thing", SIZES[kind], 0.8)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    for field in (*SIZE, "body_iquat", "dof_invweight0"):
        assert getattr(model, field) == pytest.approx(getattr(wanted, field), rel=1e-9, abs=1e-15), field
    assert fall(model) == pytest.approx(fall(wanted), abs=1e-6)
    assert fall(model) != pytest.approx(fall(scene(kind, np.array(SIZES[kind]) * 0.4, 0.3)), abs=1e-3)


def test_mass_brings_its_inertia():
    model = scene("box", SIZES["box"], 0.3)
    inertia = model.body("thing").inertia.copy()
    set_mass(simulation(model), "thing", 0.9)
    assert model.body("thing").mass[0] == 0.9
    assert model.body("thing").inertia == pytest.approx(3 * inertia)


def test_what_can_not_be_meant():
    one = simulation(scene("box", SIZES["box"], 0.3))
    with pytest.raises(ValueError, match="above 0"):
        set_mass(one, "thing", 0.0)
    one.model.geom("thing").pos[0] = 0.1
    with pytest.raises(ValueError, match="'thing' is no solid in the middle"):
        set_size(one, "thing", (1, 1, 1), 1.0)
    undeclared = simulation(scene("box", SIZES["box"], 0.3), fields=("body_mass",))
    with pytest.raises(AttributeError, match=r"body_inertia.*RANDOMISED"):
        set_mass(undeclared, "thing", 1.0)
