"""The one training loop, for every policy: batches in, checkpoints out, exact to the bit when resumed on a CPU."""

import math
import sys
import time
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator

from robotics.errors import RoboticsError
from robotics.policies.base import Policy
from robotics.policies.checkpoint import CHECKPOINTS, LAST
from robotics.policies.ema import Ema
from robotics.progress import progress
from robotics.training.allocator import keep_freed_memory
from robotics.training.checkpoints import Counters, load_checkpoint, save_checkpoint
from robotics.training.config import TrainConfig
from robotics.training.data import Sampler, TrainingData
from robotics.training.finite import require_finite, require_finite_weights
from robotics.training.interruption import interrupt_flag
from robotics.training.memory import is_out_of_memory, largest_fitting, release, too_large
from robotics.training.metrics import MetricsLog
from robotics.training.optimization import learning_rate, make_accelerator, make_optimizer, require_compiler
from robotics.training.time_budget import LONG_S, takes_hours, used_up

#: Steps that are timed for what all of them will take.
_TIMED = 8


class Evaluate(Protocol):
    """What is done with every checkpoint that is due for evaluation."""

    def __call__(self, folder: Path, step: int) -> dict[str, float]:
        """Metrics to log."""

    def lacks(self, folder: Path) -> bool:
        """Whether this checkpoint still has to be evaluated."""


class Trainer:
    """Trains `policy` on `data` into the run folder `run`. One `Trainer` per training.

    With `resume` it continues from the last checkpoint. Every random number of a step is drawn from a generator that
    is seeded with (seed, step, process), so a resumed training takes the very steps that an uninterrupted one takes.
    """

    def __init__(
        self,
        policy: Policy,
        data: TrainingData,
        run: Path,
        config: TrainConfig,
        resume: bool = False,
        accelerator: Accelerator | None = None,
    ) -> None:
        keep_freed_memory()
        self.run_folder, self.config = run, config
        self.accelerator = accelerator or make_accelerator(config)
        if config.batch_size % self.accelerator.num_processes:
            raise RoboticsError(
                f"--batch-size {config.batch_size} does not divide among {self.accelerator.num_processes} processes"
            )
        self.policy = policy.to(self.accelerator.device).train()
        self.use(data)
        self.ema = Ema(self.policy, config.ema_decay)
        self.optimizer = make_optimizer(self.policy, config)
        self.counters = Counters()
        if resume:
            self.counters = load_checkpoint(run, self.ema.policy, self.policy, self.optimizer)
            self.ema.updates = self.counters.ema_updates
        self._model, self._optimizer = self.accelerator.prepare(self.policy, self.optimizer)
        if config.compile:
            require_compiler(self.accelerator.device)
            self._model = torch.compile(self._model)
        self.terms: dict[str, torch.Tensor] = {}  # of the last step's loss
        self._losses: list[torch.Tensor] = []  # since the last log line
        self._saved_step = self.counters.step if resume else -1  # what was loaded is on the disk: not to be replaced
        self._share = 1.0

    def use(self, data: TrainingData, begin: int = 0) -> None:
        """Learn from `data`, which are on the device already, from the step `begin` on."""
        self.data = data
        self.sampler = Sampler(len(data), self.config.batch_size, self.config.seed, begin)

    def train(self, evaluate: Evaluate | None = None, share: float = 1.0) -> Counters:
        """Take the steps that are left of a `share` of the training, within the time budget; returns where it stands.

        A Ctrl-C or a SIGTERM ends the step, saves a checkpoint and raises KeyboardInterrupt. RoboticsError when the
        loss or the gradient stops being finite, and when memory runs out: nothing is saved then.
        """
        config, counters = self.config, self.counters
        self._share = share
        if self.accelerator.is_main_process and counters.step < config.steps and self.done >= 1.0:
            assert config.time_budget_s is not None  # what else may have ended it before its last step
            print(used_up(counters.elapsed_s, config.time_budget_s), file=sys.stderr)
        log = MetricsLog(self.run_folder, counters.step) if self.accelerator.is_main_process else None
        session, before, stop = time.monotonic(), counters.elapsed_s, False
        first, warm_s = counters.step, 0.0
        try:
            with interrupt_flag() as interrupted, progress("train", self._steps_left(), "steps") as bar:
                self._evaluate(evaluate, log)  # what an interruption left out
                while not (stop or self._ended()):
                    rate = self.step()
                    elapsed_s = before + time.monotonic() - session
                    counters.elapsed_s, stop = self._agree(elapsed_s, interrupted.is_set())
                    bar.advance(note=self._log(log, rate))
                    if counters.step == first + 1:
                        warm_s = elapsed_s  # the first step of a session takes longer than others
                    elif counters.step == first + 1 + _TIMED:
                        self._warn_of_hours((elapsed_s - warm_s) / _TIMED)
                    if counters.step % config.save_every == 0 or self._evaluation_due(evaluate):
                        self._save(evaluate, log)
                self._save(None if stop else evaluate, log)
        finally:
            if log:
                log.close()
        if stop:
            raise KeyboardInterrupt
        return counters

    def step(self) -> float:
        """One update of the weights; returns its learning rate."""
        config, counters = self.config, self.counters
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        torch.manual_seed(_stream(config.seed, counters.step, process))
        rate = learning_rate(config, counters.step, counters.elapsed_s)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        frames = self.sampler.frames(counters.step)[process::processes]
        refused = False
        try:
            self._update(frames)
        except (MemoryError, RuntimeError) as error:
            refused = is_out_of_memory(error)
            if not refused:
                raise
        if refused:  # here, where nothing holds on to what `error` referred to
            fits = largest_fitting(self._fits, frames) * processes
            raise too_large(counters.step, config.batch_size, self.accelerator.device, fits, self.run_folder)
        self.ema.update(self.policy)
        counters.step, counters.ema_updates = counters.step + 1, self.ema.updates
        return rate

    def _update(self, frames: np.ndarray) -> None:
        """Loss, gradient and the step of the optimiser, for the windows at `frames`."""
        loss, self.terms = self._model(self._batch(frames))
        self._losses.append(loss.detach())
        on_cpu = loss.device.type == "cpu"
        if on_cpu:  # looking at a value on another device waits for it: there, when logging
            self._require_finite(self._losses[-1:], begin=self.counters.step)
        self.accelerator.backward(loss)
        if self.config.grad_clip:
            norm = self.accelerator.clip_grad_norm_(self._model.parameters(), self.config.grad_clip)
            if on_cpu:
                self._require_finite([norm], begin=self.counters.step, what="gradient")
        self._optimizer.step()
        self._optimizer.zero_grad()

    def _batch(self, frames: np.ndarray) -> dict[str, torch.Tensor]:
        return self.data.batch(frames, self.policy.config.chunk_size, self.policy.future_inputs)

    def _fits(self, frames: np.ndarray) -> None:
        """A whole step on fewer windows, by this process alone; its gradient and its moments are thrown away."""
        release(self.policy)
        with self.accelerator.autocast():
            loss, _ = self.policy.loss(self._batch(frames))
        loss.backward()
        moments = [torch.empty_like(p) for p in self.policy.parameters() if p not in self.optimizer.state]
        del loss, moments
        release(self.policy)

    def _log(self, log: MetricsLog | None, rate: float) -> str | None:
        """Log what is due; returns the note behind the progress bar."""
        counters, config = self.counters, self.config
        if counters.step % config.log_every and counters.step != 1:
            return None
        self._require_finite(self._losses)
        loss = float(self.accelerator.reduce(torch.stack(self._losses).float().mean(), "mean"))
        self._losses.clear()
        if log:
            terms = {name: float(value) for name, value in self.terms.items()}
            log.write(counters.step, loss=loss, lr=rate, elapsed_s=round(counters.elapsed_s, 3), **terms)
        if config.time_budget_s is None:
            return f"loss {loss:.4f}"
        return f"loss {loss:.4f}, time budget ends in {max(0.0, config.time_budget_s - counters.elapsed_s):.0f} s"

    def _require_finite(self, values: list[torch.Tensor], begin: int | None = None, what: str = "loss") -> None:
        """RoboticsError for the first step, from `begin` or of the latest ones, whose value is not finite."""
        begin = self.counters.step - len(values) if begin is None else begin
        require_finite(values, begin, what, self.sampler, self.run_folder)

    def _save(self, evaluate: Evaluate | None, log: MetricsLog | None) -> None:
        """A checkpoint, and its evaluation when one is due. Once per step."""
        self._require_finite(self._losses)
        require_finite_weights(self.policy, self.counters.step, self.run_folder)
        if self.accelerator.is_main_process and self._saved_step != self.counters.step:
            save_checkpoint(self.run_folder, self.ema.policy, self.policy, self.optimizer, self.counters)
            self._saved_step = self.counters.step
        self._evaluate(evaluate, log)
        self.accelerator.wait_for_everyone()

    def _evaluate(self, evaluate: Evaluate | None, log: MetricsLog | None) -> None:
        """The evaluation of the last checkpoint, where one is due and was not made."""
        step, folder = self.counters.step, self.run_folder / CHECKPOINTS / LAST
        if not (evaluate and log and self._saved_step == step and (self._evaluation_due(evaluate) or self._ended())):
            return
        if evaluate.lacks(folder):
            log.write(step, **evaluate(folder.resolve(), step))

    def _warn_of_hours(self, step_s: float) -> None:
        """Say early what a CPU will take long for, where it will, at `step_s` seconds a step."""
        left_s = step_s * (self.config.steps - self.counters.step)
        if self.config.time_budget_s is not None:
            left_s = min(left_s, self.config.time_budget_s - self.counters.elapsed_s)
        if self.accelerator.is_main_process and self.accelerator.device.type == "cpu" and left_s > LONG_S:
            print(takes_hours(left_s, step_s, bool(self.policy.config.image_shapes)), file=sys.stderr)

    def _evaluation_due(self, evaluate: Evaluate | None) -> bool:
        return evaluate is not None and self.counters.step % self.config.eval_every == 0

    def _ended(self) -> bool:
        return self.done >= self._share

    @property
    def done(self) -> float:
        """The share of the training that lies behind: of the steps, or of the time budget where that is more."""
        budget = self.config.time_budget_s
        share = self.counters.step / self.config.steps
        return share if budget is None else max(share, self.counters.elapsed_s / budget)

    def spend(self, seconds: float) -> None:
        """Count time that something else than steps took, in all processes alike."""
        self.counters.elapsed_s, _ = self._agree(self.counters.elapsed_s + seconds, False)

    def _steps_left(self) -> int:
        return max(0, math.ceil(self.config.steps * self._share) - self.counters.step)

    def _agree(self, elapsed_s: float, stop: bool) -> tuple[float, bool]:
        """The main process's clock and whether anybody was interrupted: all processes must stop at the same step."""
        if self.accelerator.num_processes == 1:
            return elapsed_s, stop
        everyone = self.accelerator.gather(torch.tensor([[elapsed_s, stop]], device=self.accelerator.device))
        return float(everyone[0, 0]), bool(everyone[:, 1].any())


def _stream(seed: int, step: int, process: int) -> int:
    """The torch seed of one step in one process."""
    return int(np.random.SeedSequence((seed, step, process)).generate_state(1, np.uint64)[0] >> np.uint64(1))
