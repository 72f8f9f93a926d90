"""Masses and sizes of one instance: what `MujocoTask.place` has drawn, written into every model field concerned."""

from collections.abc import Callable, Sequence

import mujoco
import numpy as np

from robotics.envs.state import Simulation

#: What a task lists in `RANDOMISED` to use `set_mass`; `set_size`; `set_solid`.
MASS = ("body_mass", "body_inertia")
SIZE = (*MASS, "geom_size", "geom_rbound", "geom_aabb", "bvh_aabb")
SOLID = (*SIZE, "geom_contype", "geom_conaffinity", "geom_rgba")


def set_mass(simulation: Simulation, body: str, mass: float) -> None:
    """Give a body another mass [kg]; its inertia grows in proportion. Raises ValueError unless mass > 0."""
    if not mass > 0:
        raise ValueError(f"the mass of '{body}' must be above 0, not {mass}")
    index = simulation.model.body(body).id
    masses = simulation.parameter("body_mass")
    simulation.parameter("body_inertia")[index] *= mass / masses[index]
    masses[index] = mass


def set_size(simulation: Simulation, geom: str, size: Sequence[float], mass: float) -> None:
    """Give the one geom of a body another size (as in MJCF [m]) and mass [kg], and its body the inertia of that solid.

    For spheres, capsules, cylinders, ellipsoids and boxes in the middle of their body. Raises ValueError for others.
    """
    model = simulation.model
    if model.body_geomnum[model.geom_bodyid[model.geom(geom).id]] != 1:
        raise ValueError(f"geom '{geom}' is not the only solid of its body: its size stays")
    _write(simulation, geom, size, mass)


def set_solid(simulation: Simulation, geom: str, size: Sequence[float], mass: float) -> None:
    """As `set_size`, of a body whose geoms are alternatives: all but this one touch nothing and are not seen."""
    model = simulation.model
    body = model.geom_bodyid[model.geom(geom).id]
    first, count = model.body_geomadr[body], model.body_geomnum[body]
    for other in range(first, first + count):
        if other != model.geom(geom).id:
            simulation.parameter("geom_contype")[other] = simulation.parameter("geom_conaffinity")[other] = 0
            simulation.parameter("geom_rgba")[other, 3] = 0.0
    _write(simulation, geom, size, mass)


def _write(simulation: Simulation, geom: str, size: Sequence[float], mass: float) -> None:
    model = simulation.model
    index = model.geom(geom).id
    body, kind = int(model.geom_bodyid[index]), mujoco.mjtGeom(int(model.geom_type[index]))
    if model.geom_pos[index].any() or kind not in _SOLIDS:
        raise ValueError(f"geom '{geom}' is no solid in the middle of its body: its size stays")
    half, radius, inertia = _SOLIDS[kind](*np.asarray(size, float))
    given = simulation.parameter("geom_size")[index]
    given[:] = 0
    given[: len(size)] = size
    simulation.parameter("geom_rbound")[index] = radius
    bounds = [0, 0, 0, *half]
    simulation.parameter("geom_aabb")[index] = bounds
    first = model.body_bvhadr[body]
    simulation.parameter("bvh_aabb")[first : first + model.body_bvhnum[body]] = bounds
    simulation.parameter("body_mass")[body] = mass
    simulation.parameter("body_inertia")[body] = mass * np.asarray(inertia)


# Half extents, bounding radius, and inertia per mass about the centre, of each solid.


def _sphere(r: float) -> tuple:
    return (r, r, r), r, [0.4 * r * r] * 3


def _box(x: float, y: float, z: float) -> tuple:
    return (x, y, z), np.sqrt(x * x + y * y + z * z), [(y * y + z * z) / 3, (x * x + z * z) / 3, (x * x + y * y) / 3]


def _ellipsoid(x: float, y: float, z: float) -> tuple:
    return (x, y, z), max(x, y, z), [(y * y + z * z) / 5, (x * x + z * z) / 5, (x * x + y * y) / 5]


def _cylinder(r: float, h: float) -> tuple:
    across = (3 * r * r + 4 * h * h) / 12
    return (r, r, h), np.hypot(r, h), [across, across, r * r / 2]


def _capsule(r: float, h: float) -> tuple:
    ends, middle = 4 / 3 * r, 2 * h  # volumes over pi r^2
    whole = ends + middle
    along = (ends * 0.4 + middle * 0.5) * r * r
    across = ends * (0.4 * r * r + h * h + 0.75 * r * h) + middle * (3 * r * r + 4 * h * h) / 12
    return (r, r, r + h), r + h, [across / whole, across / whole, along / whole]


_SOLIDS: dict[mujoco.mjtGeom, Callable[..., tuple]] = {
    mujoco.mjtGeom.mjGEOM_SPHERE: _sphere,
    mujoco.mjtGeom.mjGEOM_BOX: _box,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: _ellipsoid,
    mujoco.mjtGeom.mjGEOM_CYLINDER: _cylinder,
    mujoco.mjtGeom.mjGEOM_CAPSULE: _capsule,
}
