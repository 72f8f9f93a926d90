"""From an environment to a run folder by reward: `robotics train ppo|sac`."""

import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import VecNormalize

from robotics.environments import find_spec
from robotics.errors import DataError, UsageError
from robotics.outputs import prepare_folder, write_json
from robotics.progress import Progress, progress
from robotics.reinforcement.algorithms import make_model
from robotics.reinforcement.checkpoint import PolicyDocument, restore, save
from robotics.reinforcement.config import NEAR_SIGHTED, PRESETS, RLConfig
from robotics.reinforcement.copies import Copies, drawn_worlds, is_ours
from robotics.training.checkpoints import has_checkpoint
from robotics.training.evaluation import Evaluation
from robotics.training.interruption import interrupt_flag
from robotics.training.metrics import MetricsLog
from robotics.training.optimization import require_device
from robotics.training.run_folder import CONFIG, read_run, require_steps_ahead
from robotics.training.time_budget import on_top, used_up
from robotics.versions import versions

#: More than so many threads lose more by waiting for each other than they win, in networks this small.
THREADS = 2
#: Settings that a resumed run may change.
FREE_TO_CHANGE = ("steps", "time_budget_s", "save_every", "eval_every", "eval_episodes", "eval_workers", "device")


def train(
    kind: str, env_id: str, out: Path, *, options: dict[str, Any], resume: bool = False, overwrite: bool = False
) -> int:
    """Train `kind` (ppo, sac) in `env_id` into the run folder `out`; returns the steps done in all.

    `options` are fields of RLConfig that differ from the preset. Evaluation runs on seeds apart from the reported ones.
    Interrupted, by a Ctrl-C or a SIGTERM, it leaves a checkpoint of where it stood. A time budget ends it behind an
    update, the first one of a call at the earliest.

    Raises UsageError for settings or environments that do not fit, DataError for a damaged run.
    """
    env_id = find_spec(env_id).id if ":" not in env_id else env_id
    usual = {"gamma": NEAR_SIGHTED} if is_ours(env_id) else {}
    config = RLConfig(**{**PRESETS[kind], **usual, **options, "eval_env": env_id})
    resume = resume and (out / CONFIG).is_file()
    if resume:
        config = _resumed(out, kind, env_id, config, options)
    require_device(config.device)
    torch.set_num_threads(min(THREADS, torch.get_num_threads()))
    copies = Copies(env_id, config.copies, config.seed, config.env_kwargs, drawn_worlds(env_id, config))
    try:
        normalized = VecNormalize(copies, gamma=config.gamma)
        model = make_model(kind, normalized, config)
        prepare_folder(out, "training run", (CONFIG,), resume=resume, overwrite=overwrite)
        document = PolicyDocument(kind, copies.interface, config.layers, config.env_kwargs)
        begun_with = read_run(out) if resume else _document(document, env_id, config)
        write_json(out / CONFIG, {**begun_with, "training": asdict(config)})
        begun = resume and has_checkpoint(out)  # else it was interrupted before the first
        spent = restore(out, model, normalized) if begun else 0.0
        if model.num_timesteps >= config.steps:
            return int(model.num_timesteps)
        if config.time_budget_s is not None and spent >= config.time_budget_s:
            print(used_up(spent, config.time_budget_s), file=sys.stderr)
            return int(model.num_timesteps)
        if config.time_budget_s is not None:
            print(on_top(config.eval_episodes), file=sys.stderr)
        metrics = MetricsLog(out, model.num_timesteps)
        model.set_logger(Logger(None, [_Lines(metrics)]))
        keeper = _Keeper(out, document, config, normalized, spent)
        schedule = model.lr_schedule  # falls over the steps, or over the time where that is up before them
        model.lr_schedule = lambda left: schedule(min(left, keeper.time_left))
        with progress(f"train {kind}", config.steps, "steps") as bar:
            bar.advance(model.num_timesteps)
            keeper.bar, keeper.metrics = bar, metrics
            try:
                every = config.copies if kind == "sac" else 1  # sac counts episodes, which end all at once
                with interrupt_flag() as keeper.interrupted:
                    with suppress(_TimeIsUp):
                        left = config.steps - model.num_timesteps
                        model.learn(left, keeper, log_interval=every, reset_num_timesteps=False)
                    stopped = keeper.interrupted.is_set()
                    keeper.save(evaluate=not stopped)
            finally:
                metrics.close()
        if stopped:
            raise KeyboardInterrupt
    finally:
        copies.close()
    return int(model.num_timesteps)


class _Lines(KVWriter):
    """What Stable-Baselines3 logs, as lines of our learning curve."""

    def __init__(self, metrics: MetricsLog) -> None:
        self._metrics = metrics

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        numbers = {
            key.replace("/", "_"): float(value)
            for key, value in key_values.items()
            if isinstance(value, int | float) or getattr(value, "shape", None) == ()
        }
        self._metrics.write(int(step), **numbers)

    def close(self) -> None:
        pass


class _TimeIsUp(Exception):
    """Ends the learning between two updates, where Stable-Baselines3 can only be stopped within one."""


class _Keeper(BaseCallback):
    """Shows how far the training is, saves it, measures what was saved, and ends it when the time budget is up."""

    bar: Progress
    metrics: MetricsLog
    interrupted: threading.Event

    def __init__(
        self, run: Path, document: PolicyDocument, config: RLConfig, copies: VecNormalize, spent_s: float
    ) -> None:
        super().__init__()
        self._run, self._document, self._config, self._copies = run, document, config, copies
        self._evaluation = Evaluation(run, config)
        self._spent, self._started = spent_s, time.monotonic()
        self._shown = 0
        self._note = ""

    @property
    def elapsed_s(self) -> float:
        """Time of the training over all calls."""
        return self._spent + time.monotonic() - self._started

    @property
    def time_left(self) -> float:
        """The share of the time budget that is left; 1 without one."""
        budget = self._config.time_budget_s
        return 1.0 if budget is None else max(0.0, 1.0 - self.elapsed_s / budget)

    def _on_training_start(self) -> None:
        self._began = self._shown = self._saved = self._measured = self.num_timesteps

    def _on_step(self) -> bool:
        return not self.interrupted.is_set()

    def _on_rollout_start(self) -> None:  # after an update, for either algorithm
        if self.num_timesteps > self._began and not self.time_left:
            raise _TimeIsUp
        if self.num_timesteps - self._shown < self._config.copies * 8:
            return
        self._show()
        if self.num_timesteps - self._saved >= min(self._config.save_every, self._config.eval_every):
            self.save(evaluate=self.num_timesteps - self._measured >= self._config.eval_every)

    def save(self, evaluate: bool) -> None:
        """A checkpoint of now, measured if asked for; one that is there already is measured only."""
        elapsed = self.elapsed_s
        folder = save(self._run, self._document, self.model, self._copies, elapsed)
        self._saved = self.num_timesteps
        if not evaluate:
            return
        self._measured = self.num_timesteps
        scores = self._evaluation(folder, self.num_timesteps)
        self.metrics.write(self.num_timesteps, elapsed_s=elapsed, **scores)
        rate = scores.get("eval_success_rate")
        self._note = f"return {scores['eval_return']:.1f}" + ("" if rate is None else f", success {rate:.0%}")
        self._show()

    def _show(self) -> None:
        self.bar.advance(self.num_timesteps - self._shown, self._note)
        self._shown = self.num_timesteps


def _resumed(run: Path, kind: str, env_id: str, config: RLConfig, options: dict[str, Any]) -> RLConfig:
    """The settings that `run` was begun with, with what may change changed."""
    document = read_run(run)
    for name, before, now in (("algorithm", document["family"], kind), ("env", document["data"].get("env"), env_id)):
        if before != now:
            raise UsageError(f"--resume: {run / CONFIG} says {name} = {before!r}, not {now!r}; give a new --out")
    try:
        old = RLConfig(**{**document["training"], "layers": tuple(document["training"]["layers"])})
    except (TypeError, KeyError) as error:
        raise DataError(f"{run / CONFIG}: its settings are damaged ({error})") from None
    for name in options:
        if name not in FREE_TO_CHANGE and getattr(old, name) != getattr(config, name):
            before, now = getattr(old, name), getattr(config, name)
            raise UsageError(f"--resume: {run / CONFIG} says {name} = {before!r}, not {now!r}; leave it out")
    require_steps_ahead(run, options.get("steps", old.steps), old.steps)
    return replace(old, **{name: getattr(config, name) for name in options if name in FREE_TO_CHANGE})


def _document(policy: PolicyDocument, env_id: str, config: RLConfig) -> dict[str, Any]:
    return {
        "schema": 1,
        "family": policy.kind,
        "preset": "default",
        "data": {"path": None, "env": env_id, "env_kwargs": config.env_kwargs, "seeds": config.seeds},
        "policy": {"interface": policy.interface.document(), "layers": list(policy.layers)},
        "training": asdict(config),
        "versions": versions(),
    }
