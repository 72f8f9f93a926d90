"""Cameras: fast settings for what a policy sees, good ones for what people see. Software OpenGL without a GPU."""

import os
import platform
from collections.abc import Callable

import mujoco
import numpy as np

from robotics.errors import RoboticsError

#: What to run on Debian or Ubuntu when EGL is missing; scripts/setup uses the same line.
EGL_FIX = "apt-get install -y libegl1 libgl1-mesa-dri libgles2"

_checked = False
#: Whether this process has made a renderer; whether it was forked from one that had. OpenGL's threads do not live on in
#: such a child, which would wait for them for ever.
_rendered = _orphaned = False


def _forked() -> None:
    global _orphaned
    _orphaned = _orphaned or _rendered


os.register_at_fork(after_in_child=_forked)


class Camera:
    """Renders one model at one size. `fast` leaves out shadows, reflections and multisampling: 20 x faster on a CPU."""

    def __init__(self, model: mujoco.MjModel, size: tuple[int, int], fast: bool) -> None:
        height, width = size
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        model.vis.quality.offsamples = 0 if fast else 4
        model.vis.quality.shadowsize = 256 if fast else 2048
        self._renderer = _make_renderer(model, height, width)
        # MuJoCo centres an infinite plane below where the camera was when the scene was last updated
        endless = (model.geom_type == int(mujoco.mjtGeom.mjGEOM_PLANE)) & (model.geom_size[:, 0] == 0)
        self._updates = 2 if endless.any() and model.cam_bodyid.any() else 1
        if fast:
            self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
            self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False

    def image(
        self, data: mujoco.MjData, camera: str, draw: Callable[[mujoco.MjvScene], None] | None = None
    ) -> np.ndarray:
        """What `camera` sees now: uint8 (h, w, 3), a new array. `draw` may add geoms to the scene first."""
        refuse_orphans()
        for _ in range(self._updates):
            self._renderer.update_scene(data, camera=camera)
        if draw is not None:
            draw(self._renderer.scene)
        return self._renderer.render()

    def close(self) -> None:
        self._renderer.close()


def orphaned() -> bool:
    """Whether this process was forked from one that had rendered: its renderers are of no use."""
    return _orphaned


def refuse_orphans() -> None:
    """RoboticsError in such a process."""
    if _orphaned:
        raise RoboticsError(
            "no rendering in a process forked from one that has rendered: start a fresh one, as "
            'gymnasium.make_vec(…, vectorization_mode="async", vector_kwargs={"context": "spawn"}) does'
        )


def _make_renderer(model: mujoco.MjModel, height: int, width: int) -> mujoco.Renderer:
    global _rendered
    refuse_orphans()
    choose_backend()
    _rendered = True
    try:
        return mujoco.Renderer(model, height, width)
    except Exception as error:  # whatever the driver stack raises: ImportError, AttributeError, RuntimeError, GLError …
        backend = os.environ.get("MUJOCO_GL", "default")
        raise RoboticsError(
            f"no OpenGL for rendering (MUJOCO_GL={backend}: {error}); on Debian or Ubuntu run: {EGL_FIX}"
        ) from None


def choose_backend() -> None:
    """EGL on a Linux machine without a screen. Once, before the first renderer: a failed try poisons the process."""
    global _checked
    if _checked or "MUJOCO_GL" in os.environ or platform.system() != "Linux" or os.environ.get("DISPLAY"):
        _checked = True
        return
    _checked = True
    os.environ["MUJOCO_GL"] = "egl"  # read by child processes
    try:
        from mujoco.egl import GLContext
    except Exception as error:
        raise RoboticsError(f"no EGL for rendering ({error}); on Debian or Ubuntu run: {EGL_FIX}") from None
    # mujoco reads MUJOCO_GL at its own import, which is long past
    from mujoco.rendering.classic import gl_context

    gl_context.GLContext = GLContext
