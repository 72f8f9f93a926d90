"""A robot as it stands at home: which of its links are feet, and what of them is lowest."""

from collections.abc import Sequence

import mujoco
import numpy as np

from robotics.controllers.rest import box_corners

Array = np.ndarray

#: Links whose lowest points are so little above the lowest of all stand on the ground, too (share of `height`).
ON_GROUND = 0.05


class Standing:
    """A robot at home, its base upright at the origin."""

    def __init__(
        self, scene: mujoco.MjSpec, name: str, base: str, joints: Sequence[str], home: Sequence[float]
    ) -> None:
        self.scene, self.name = scene, name
        self.model = model = scene.compile()
        #: What the description says of each geom and body: it numbers them anew whenever one is added.
        self.geoms, self.bodies = {g.id: g for g in scene.geoms}, {b.id: b for b in scene.bodies}
        self.data = data = mujoco.MjData(model)
        free = model.joint(base)
        at, root = int(free.qposadr[0]), int(model.jnt_bodyid[free.id])
        data.qpos[at : at + 7] = [0, 0, 0, 1, 0, 0, 0]
        for joint, position in zip(joints, home, strict=False):
            data.qpos[model.joint(joint).qposadr[0]] = position
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        links = [b for b in range(model.nbody) if model.body_rootid[b] == model.body_rootid[root]]
        ground = min(self.lowest(link) for link in links)
        #: Of the centre of mass above the lowest point of the robot [m].
        self.height = float(data.subtree_com[root, 2]) - ground if np.isfinite(ground) else 0.0

    def find_feet(self, last_links: Sequence[int]) -> list[int]:
        """Those of the `last_links` that are on the ground at home."""
        heights = {link: self.lowest(link) for link in last_links}
        ground = min(heights.values(), default=np.inf)
        return [link for link, height in heights.items() if height <= ground + ON_GROUND * self.height < np.inf]

    def place(self, body: int, point: Array) -> Array:
        """A point (3,) of a body's frame in the world."""
        return self.data.xpos[body] + self.data.xmat[body].reshape(3, 3) @ point

    def label(self, link: int) -> str:
        """The name of a link, or something to call it by."""
        return str(self.model.body(link).name) or f"body_{link}"

    def link_above(self, link: int) -> int:
        """The link that a link hangs on; 0, the world, above the base."""
        return int(self.model.body_weldid[self.model.body_parentid[link]])

    def geom(self, name: str) -> int | None:
        number = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_GEOM, name)
        return number if number >= 0 else None

    def link_of(self, name: str) -> int | None:
        """The link that a geom or body of that name belongs to; None where there is none."""
        if (geom := self.geom(name)) is not None:
            return self.body_of(geom)
        body = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_BODY, name)
        return int(self.model.body_weldid[body]) if body >= 0 else None

    def body_of(self, geom: int) -> int:
        """The link that the geom is fixed to: several bodies may be one link."""
        return int(self.model.body_weldid[self.model.geom_bodyid[geom]])

    def solids(self, link: int) -> list[int]:
        """Geoms of a link that touch other things."""
        touches = (self.model.geom_contype | self.model.geom_conaffinity) != 0
        return [g for g in range(self.model.ngeom) if touches[g] and self.body_of(g) == link]

    def in_link(self, link: int, points: Array) -> Array:
        """Points (n, 3) of the world in the frame of the link."""
        return (points - self.data.xpos[link]) @ self.data.xmat[link].reshape(3, 3)

    def lowest(self, link: int) -> float:
        """Height of the lowest point of a link [m], infinite for one that touches nothing."""
        down = np.array([0.0, 0.0, -1.0])
        return min((float(self.points(g, down)[:, 2].min()) for g in self.solids(link)), default=np.inf)

    def points(self, geom: int, down: Array) -> Array:
        """The points of a geom that can be lowest (n, 3) [m] in the world, where `down` (3,) is the way down."""
        kind, size = mujoco.mjtGeom(int(self.model.geom_type[geom])), self.model.geom_size[geom]
        R, centre = self.data.geom_xmat[geom].reshape(3, 3), self.data.geom_xpos[geom]
        if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
            return (centre + size[0] * down)[None]
        if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
            return centre + np.outer([-size[1], size[1]], R[:, 2]) + size[0] * down
        if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            scaled = size * (down @ R)
            return (centre + R @ (size * scaled / np.linalg.norm(scaled)))[None]
        return centre + _corners(self.model, geom, kind) @ R.T


def _corners(model: mujoco.MjModel, geom: int, kind: mujoco.mjtGeom) -> Array:
    """Points (n, 3) [m] around a geom in its own frame: vertices, rims or the corners of its box."""
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = int(model.geom_dataid[geom])
        first = int(model.mesh_vertadr[mesh])
        return model.mesh_vert[first : first + int(model.mesh_vertnum[mesh])].astype(float)
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        radius, half = model.geom_size[geom, :2]
        turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)  # with corners half way between the sides of a square
        rim = np.column_stack([radius * np.cos(turn), radius * np.sin(turn), np.full(20, half)])
        return np.concatenate([rim, rim * [1, 1, -1]])
    return box_corners(model, geom)
