"""Rollouts during training, on seeds that no reported number uses, and the best checkpoint by them."""

from pathlib import Path
from typing import Protocol

from robotics.evaluation.bench import bench
from robotics.outputs import read_json, write_json
from robotics.training.checkpoints import BEST, point

#: First seed of the rollouts: the far end of the development range, apart from 1 000 000 … where reports begin.
FIRST_SEED = 1_900_000
SCORE = "eval.json"
#: Score of what was never measured: lower than any.
UNMEASURED = (-1.0, float("-inf"))


class EvaluationSettings(Protocol):
    """Environment, number of episodes and processes."""

    @property
    def eval_env(self) -> str | None: ...
    @property
    def eval_episodes(self) -> int: ...
    @property
    def eval_workers(self) -> int: ...


class Evaluation:
    """Measures a checkpoint and lets `checkpoints/best` stand for the best one so far (the later one of equals), of
    those that were measured in the same environment."""

    def __init__(self, run: Path, config: EvaluationSettings) -> None:
        self._run, self._config = run, config

    def __call__(self, folder: Path, step: int) -> dict[str, float]:
        config = self._config
        assert config.eval_env is not None
        document = bench(config.eval_env, str(folder), config.eval_episodes, FIRST_SEED, workers=config.eval_workers)
        rate, returns = document["success_rate"], document["return_mean"]
        scores = {"eval_return": returns} | ({} if rate is None else {"eval_success_rate": rate})
        write_json(folder / SCORE, {"step": step, "env": config.eval_env, **scores})
        if self._score(folder) >= self._score(self._run / "checkpoints" / BEST):
            point(self._run, BEST, folder)
        return scores

    def lacks(self, folder: Path) -> bool:
        """Whether this checkpoint was not measured in this environment."""
        return self._score(folder) == UNMEASURED

    def _score(self, folder: Path) -> tuple[float, float]:
        """(success rate, return) of a checkpoint."""
        document = read_json(folder / SCORE) if (folder / SCORE).is_file() else {}
        if not document or document.get("env", self._config.eval_env) != self._config.eval_env:
            return UNMEASURED
        return document.get("eval_success_rate", 0.0), document["eval_return"]
