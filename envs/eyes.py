"""Observation cameras: one renderer for a serial environment, one per core for a vector environment."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np

from robotics.envs.rendering import Camera, orphaned, refuse_orphans
from robotics.envs.state import State


class Eye:
    """Renders single simulations of a `State`, as they are at the end of the control step.

    Positions are computed in a scratch MjData of its own, so that looking changes nothing and an image does not depend
    on how the simulation is stepped. One thread must do all its work: OpenGL contexts belong to threads.
    """

    def __init__(self, model: mujoco.MjModel, size: tuple[int, int], fast: bool) -> None:
        self.model, self._data = model, mujoco.MjData(model)
        self._camera = Camera(model, size, fast)

    def look(self, state: State, index: int, cameras: Sequence[str]) -> list[np.ndarray]:
        """What each camera sees of simulation `index`: uint8 (h, w, 3), new arrays."""
        model, data = self.model, self._data
        for field in ("qpos", "mocap_pos", "mocap_quat"):
            getattr(data, field)[:] = getattr(state, field)[index]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        mujoco.mj_flex(model, data)
        mujoco.mj_tendon(model, data)
        return [self._camera.image(data, camera) for camera in cameras]

    def close(self) -> None:
        self._camera.close()


class EyePool:
    """Renders all simulations of a `State`, shared out over threads with an eye each.

    Args:
        models: gives a model to draw from; called once per thread.
        adapt: makes such a model that of one simulation, where simulations differ in masses and sizes.
    """

    def __init__(
        self,
        models: Callable[[], mujoco.MjModel],
        size: tuple[int, int],
        fast: bool,
        threads: int,
        adapt: Callable[[int, mujoco.MjModel], object] | None = None,
    ) -> None:
        self._size, self._adapt = size, adapt
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix="eye") for _ in range(threads)]
        self._eyes = [thread.submit(Eye, models(), size, fast).result() for thread in self._threads]

    def look(self, state: State, cameras: Sequence[str], watched: np.ndarray | None = None) -> list[np.ndarray]:
        """What each camera sees of every simulation: uint8 (n, h, w, 3), new arrays; black unless `watched` (n,)."""
        refuse_orphans()
        images = [np.zeros((state.size, *self._size, 3), np.uint8) for _ in cameras]
        chosen = np.arange(state.size) if watched is None else np.flatnonzero(watched)
        shares = np.array_split(chosen, len(self._eyes))
        jobs = [
            thread.submit(self._share, eye, share, state, cameras, images)
            for thread, eye, share in zip(self._threads, self._eyes, shares, strict=True)
        ]
        for job in jobs:
            job.result()
        return images

    def _share(
        self, eye: Eye, share: np.ndarray, state: State, cameras: Sequence[str], images: list[np.ndarray]
    ) -> None:
        for index in share.tolist():
            if self._adapt is not None:
                self._adapt(index, eye.model)
            for image, seen in zip(images, eye.look(state, index, cameras), strict=True):
                image[index] = seen

    def close(self) -> None:
        if orphaned():  # its threads are not here
            return
        for thread, eye in zip(self._threads, self._eyes, strict=True):
            thread.submit(eye.close).result()
            thread.shutdown()
