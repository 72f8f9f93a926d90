"""How well a model with given parameters replays motions: in all, per signal, per motion, and over short horizons."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from robotics.evaluation.statistics import bootstrap_mean
from robotics.sim2real.identification.parameters import Parameter
from robotics.sim2real.identification.replay import Replay
from robotics.sim2real.identification.subject import Subject
from robotics.sim2real.logs import Log

Array = np.ndarray

#: Samples after which a prediction from a measured state is judged.
HORIZONS = (1, 5, 25, 100)
#: Predictions per horizon, spread over the motions.
PREDICTIONS = 150
#: Longest delay looked for [s].
LONGEST_DELAY = 0.3
#: A joint whose position goes so well with another one's command, and worse than this with its own, is taken for that;
#: if it moves by this part of the command at least: loads of another one's motion move a joint that rests, a little.
OF_ANOTHER, OF_ITS_OWN, PART = 0.95, 0.5, 0.5
#: And one that goes so well against its own command has another sign.
AGAINST = -0.9


@dataclass(frozen=True)
class Errors:
    """Open-loop replay of motions: squared error (W, signals) averaged over each motion, of positions [rad, m]."""

    names: list[str]
    signals: list[str]
    squared: Array
    mean_distance: Array
    """(W,) time average of the norm over the signals: the usual measure of a free body's path [m]."""
    motion: Array | None = None
    """(W,) which motion each of these is a piece of, counted from 0; each is one of its own when None."""

    @property
    def rmse(self) -> float:
        """Pooled over motions and signals."""
        return float(np.sqrt(self.squared.mean()))

    def rmse_of(self, joints: Sequence[str]) -> float:
        """As `rmse`, of the positions of these joints alone."""
        labels = {f"{joint}.position" for joint in joints}
        return float(np.sqrt(self.squared[:, [label in labels for label in self.signals]].mean()))

    @property
    def per_motion(self) -> Array:
        return np.sqrt(self.squared.mean(axis=1))

    def by_motion(self, values: Array) -> Array:
        """(M,) the means over the pieces of each motion of `values` (W,): pieces of one do not count as many."""
        if self.motion is None:
            return values
        return np.bincount(self.motion, values) / np.bincount(self.motion)

    def document(self) -> dict:
        distance = self.by_motion(self.mean_distance)
        return {
            "rmse": self.rmse,
            "per_signal": dict(zip(self.signals, np.sqrt(self.squared.mean(axis=0)).tolist(), strict=True)),
            "per_motion": dict(zip(self.names, self.per_motion.tolist(), strict=True)),
            "mean_distance_median": float(np.median(distance)),
            "mean_distance_median_ci95": _median_interval(distance),
        }


def _median_interval(values: Array) -> list[float] | None:
    """The exact 95 % interval of a median, whatever the distribution; None of too few values."""
    interval = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    return [float(interval.low), float(interval.high)] if np.isfinite([interval.low, interval.high]).all() else None


def replay_errors(
    subject: Subject,
    logs: Sequence[Log],
    parameters: Sequence[Parameter],
    values: Array,
    motion: Array | None = None,
) -> Errors:
    """Errors of the whole of each log, from its first measured state; `motion` says whose piece each is (`Errors`)."""
    replay = Replay(subject, logs)
    errors = [e[0] for e in replay.errors(parameters, values[None])]
    return Errors(
        [log.name for log in logs],
        [signal.label for signal in replay.observed],
        np.array([(e**2).mean(axis=0) for e in errors]),
        np.array([np.linalg.norm(e, axis=1).mean() for e in errors]),
        motion,
    )


def command_errors(logs: Sequence[Log], servos: Sequence[str]) -> float | None:
    """RMSE of the trivial model `joint = command` for position servos [rad]; None where there is none."""
    squares = [
        np.mean((log.joints["command"][joint] - log.joints["position"][joint]) ** 2)
        for log in logs
        for joint in servos
        if joint in log.joints.get("command", {})
    ]
    return float(np.sqrt(np.mean(squares))) if squares else None


def prediction_errors(
    subject: Subject, logs: Sequence[Log], parameters: Sequence[Parameter], values: Array
) -> dict[str, float]:
    """Number of samples ahead -> RMSE of the position then, from measured states spread over the logs."""
    found = {}
    for horizon in HORIZONS:
        fitting = [log for log in logs if len(log.time) > horizon + 1]
        if not fitting:
            continue
        each = max(1, PREDICTIONS // len(fitting))
        windows = [
            log.between(int(start), int(start) + horizon + 1)
            for log in fitting
            for start in np.unique(np.linspace(0, len(log.time) - horizon - 1, each).astype(int))
        ]
        errors = Replay(subject, windows).errors(parameters, values[None])
        found[str(horizon)] = float(np.sqrt(np.mean([e[0, -1] ** 2 for e in errors])))
    return found


def improvement(nominal: Errors, fitted: Errors, rng: np.random.Generator) -> tuple[float, tuple[float, float]]:
    """Mean difference of RMSE over motions, fitted minus nominal, and its 95 % interval over motions.

    A motion that is replayed in pieces counts once: what one piece is wrong by, the next one mostly is too. The
    interval is the wider of the bootstrap's and Student's: of few motions the bootstrap makes too much.
    """
    before, after = (np.sqrt(errors.by_motion(errors.squared.mean(axis=1))) for errors in (nominal, fitted))
    difference = after - before
    mean, (low, high) = float(difference.mean()), bootstrap_mean(difference.tolist(), rng)
    if len(difference) > 1:
        half = stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
        low, high = min(low, mean - float(half)), max(high, mean + float(half))
    return mean, (low, high)


def command_delay(logs: Sequence[Log], servos: Sequence[str]) -> float | None:
    """Lag [s] at which the speeds of commands and joints correlate best; None without commands."""
    lags = []
    for log in logs:
        for joint in servos:
            command = log.joints.get("command", {}).get(joint)
            if command is None or len(command) < 3 or np.ptp(command) < 1e-3:
                continue
            lags.append(_lag(np.diff(command), np.diff(log.joints["position"][joint]), log.period_s))
    return float(np.median(lags)) if lags else None


def _lag(cause: Array, effect: Array, period_s: float) -> float:
    most = min(round(LONGEST_DELAY / period_s), len(cause) - 2)
    cause, effect = cause - cause.mean(), effect - effect.mean()
    scores = [float(cause[: len(cause) - lag] @ effect[lag:]) for lag in range(most + 1)]
    return int(np.argmax(scores)) * period_s


def mix_ups(logs: Sequence[Log], servos: Sequence[str]) -> list[str]:
    """Questions about joints that move with another one's command, or against their own."""
    moved = [joint for joint in servos if all(joint in log.joints.get("command", {}) for log in logs)]
    moved = [joint for joint in moved if all(np.ptp(_joined(logs, c, joint)) > 0 for c in ("command", "position"))]
    found = []
    for joint in moved:
        position = _joined(logs, "position", joint)
        alike = {other: float(np.corrcoef(_joined(logs, "command", other), position)[0, 1]) for other in moved}
        best = max(alike, key=lambda other: abs(alike[other]))
        if alike[joint] <= AGAINST:
            found.append(f"{joint} moves against its command: is its sign flipped?")
        elif (
            abs(alike[best]) >= OF_ANOTHER
            and abs(alike[joint]) < OF_ITS_OWN
            and np.std(position) >= PART * np.std(_joined(logs, "command", best))
        ):
            found.append(f"{joint} moves with {best}'s command: are columns swapped?")
    return found


def untold(logs: Sequence[Log], servos: Sequence[str]) -> list[str]:
    """Questions about servos that move as much as others do, and of which no command is known."""
    spread = {joint: float(np.std(_joined(logs, "position", joint))) for joint in servos}
    told = [joint for joint in servos if joint in logs[0].joints.get("command", {})]
    least = PART * max((spread[joint] for joint in told), default=0.0)
    return [
        f"{joint} moves, but no column holds its command: is one misnamed?"
        for joint in servos
        if joint not in told and 0 < spread[joint] >= least
    ]


def _joined(logs: Sequence[Log], channel: str, joint: str) -> Array:
    """Of all logs, each about its own mean: where a motion lies tells nothing of what it follows."""
    return np.concatenate([log.joints[channel][joint] - log.joints[channel][joint].mean() for log in logs])
