"""One file per task, always in the same order: constants, scene, observation, reward, success, expert."""
