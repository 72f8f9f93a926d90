"""Before anything is measured: does the same seed give the same episode, bit for bit, here and on the target?"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from robotics.environments import observation_dict
from robotics.errors import RoboticsError
from robotics.evaluation.agents import Agent, AgentSource
from robotics.evaluation.bench import one_thread
from robotics.sim2real.world import World
from robotics.sim2real.world_stage import WorldStage


def require_determinism(
    env_id: str, env_kwargs: Mapping[str, Any], source: AgentSource, worlds: Sequence[World], seeds: Sequence[int]
) -> dict[str, Any]:
    """Run every world and seed twice, each time in a new environment with a new agent, other episodes in between.

    Returns what was compared, as JSON. RoboticsError when two runs differ: nothing paired could be believed.
    """
    runs = []
    for order in (1, -1):
        found = {}
        for world in worlds[::order]:
            stage = WorldStage(env_id, env_kwargs)
            env = stage.env(world)
            agent = source.agent(env)
            with one_thread():
                found.update({(world, seed): trace(env, agent, seed) for seed in seeds[::order]})
            stage.close()
        runs.append(found)
    for (world, seed), digest in runs[0].items():
        if runs[1][world, seed] != digest:
            where = "in the simulation" if world.nominal else "on the target"
            raise RoboticsError(
                f"seed {seed} gave two different episodes {where}: environment or policy is not deterministic, so no "
                "difference on paired seeds can be believed"
            )
    return {"seeds": len(seeds), "worlds": len(worlds), "identical": True}


def trace(env: gym.Env, agent: Agent, seed: int) -> str:
    """A digest of everything seen, done and rewarded in an episode."""
    digest = hashlib.sha256()
    observation, info = env.reset(seed=seed)
    agent.reset(env, seed)
    done = False
    while not done:
        for key, value in sorted(observation_dict(observation).items()):
            digest.update(key.encode() + np.ascontiguousarray(value).tobytes())
        action = agent.act(observation)
        digest.update(np.ascontiguousarray(action).tobytes())
        if not np.isfinite(action).all():
            break
        observation, reward, terminated, truncated, info = env.step(action)
        digest.update(repr((float(reward), terminated, truncated, info.get("success"))).encode())
        done = terminated or truncated
    return digest.hexdigest()
