"""A task of another package: a sled of unknown mass goes to a random place on its rail. See robotics/plugins.py."""

import gymnasium as gym
import mujoco
import numpy as np

import robotics
from robotics.envs import base, instances, rewards

SCENE = """<mujoco><option timestep="0.005" jacobian="dense"/><size nuserdata="1"/><worldbody>
<light pos="0 0 2"/><camera name="side" pos="0 -2 .5" xyaxes="1 0 0 0 .2 1"/><camera name="top" pos="0 0 2"/>
<body name="sled"><joint name="rail" type="slide" axis="1 0 0" range="-1 1" damping="20"/>
<geom type="box" size=".1 .05 .05" mass="1"/></body></worldbody>
<actuator><position joint="rail" kp="100" ctrlrange="-1 1"/></actuator></mujoco>"""


class Slide(base.MujocoTask):
    task, robot_type, camera_names, default_camera = "move the sled to the goal", "sled", ("side", "top"), "side"
    RANDOMISED = instances.MASS

    def build_scene(self, action_mode):
        return mujoco.MjSpec.from_string(SCENE)

    def make_action_space(self):
        return gym.spaces.Box(-1, 1, (1,))

    def state_spaces(self):
        return {"state": gym.spaces.Box(-2, 2, (2,)), "environment_state": gym.spaces.Box(-1, 1, (1,))}

    def place(self, simulation, rng, options):
        simulation.userdata[:] = rng.uniform(-0.8, 0.8)  # the goal
        instances.set_mass(simulation, "sled", rng.uniform(0.5, 2.0))

    def observe(self, state):  # n simulations at once, as everything that is handed a state
        return {"state": np.concatenate([state.qpos, state.qvel], axis=1), "environment_state": state.userdata}

    def reward_terms(self, state):
        return {"near": rewards.tolerance((state.qpos - state.userdata)[:, 0], within=0.01, margin=0.5)}

    def succeeds(self, state):
        return np.abs(state.qpos - state.userdata)[:, 0] < 0.01

    def expert(self):
        return SlideExpert()


class SlideExpert:
    def reset(self, env):
        pass

    def act(self, observation):
        return observation["environment_state"]


robotics.register_task("example/Slide-v0", "slide_task:Slide", max_episode_steps=200)
