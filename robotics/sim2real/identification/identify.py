"""`robotics sysid`: from logs to a calibrated model, or to the reason why it is none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from robotics.errors import UsageError
from robotics.outputs import prepare_folder, write_json
from robotics.sim2real.dropout import measured_dropout, without_lost
from robotics.sim2real.identification import judgement
from robotics.sim2real.identification.calibration import FILE, calibration_document
from robotics.sim2real.identification.fit import CANDIDATES, Fit, fit
from robotics.sim2real.identification.parameters import Parameter, choose, motors_only
from robotics.sim2real.identification.plausible import driven, missing, moving, require_plausible
from robotics.sim2real.identification.replay import Replay
from robotics.sim2real.identification.speeds import with_speeds
from robotics.sim2real.identification.split import pieces, split, within_budget
from robotics.sim2real.identification.subject import Subject, load_subject
from robotics.sim2real.identification.uncertainty import Certainty, at_bound, certainty, keep_nominal
from robotics.sim2real.log_files import read_logs
from robotics.sim2real.logs import Log
from robotics.versions import versions

Array = np.ndarray

DOCUMENT, REPORT = "sysid.json", "report.html"
#: {parameter: values [SI]}: whole fits to resampled motions; the first values of all parameters are of one of them.
SAMPLES = "samples.json"
#: Starts are compared on this part of the motion that is fitted, in pieces of at most this length [s].
FEW_PART, FEW_WINDOW_S = 0.25, 5.0
#: A model that is better by less than this part of the nominal error is not worth having another model.
LEAST_GAIN = 0.01
#: Replay of torques drifts away from what was measured, however good the model: it starts anew after this long [s].
MOTOR_HORIZON_S = 0.25


@dataclass(frozen=True)
class Settings:
    """How an identification is made.

    Attributes:
        families: kinds of parameters; the usual ones of the robot when None.
        held_out: motions that only judge; drawn by `seed`, three in ten or more of few (`split`), when None.
        horizon_s: replay starts anew from the measured state after this long; when None, whole motions of what is held
            by position servos or by nothing, and `MOTOR_HORIZON_S` of what motors drive.
        window_s: length of the pieces that are fitted, without a horizon.
        fit_s: together at most this much motion is fitted.
        observe: channels that are compared.
        attribute: fit again without each family, to see what it is worth on the motions that judge.
        starts: random starts that are looked at.
    """

    families: tuple[str, ...] | None = None
    held_out: tuple[str, ...] | None = None
    horizon_s: float | None = None
    window_s: float = 20.0
    fit_s: float = 160.0
    observe: tuple[str, ...] = ("position",)
    attribute: bool = False
    starts: int = CANDIDATES
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("horizon_s", "window_s", "fit_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                option = {"fit_s": "fit-seconds"}.get(name, name.removesuffix("_s"))
                raise UsageError(f"--{option} is {value}: give a positive number of seconds")
        if self.starts < 0 or self.seed < 0:
            raise UsageError(f"--starts {self.starts} and --seed {self.seed}: neither may be negative")
        for channel in self.observe:
            if channel not in ("position", "velocity", "torque"):
                raise UsageError(f"--observe {channel}: position, velocity and torque can be compared")


def identify(
    robot: str,
    log: Path,
    out: Path,
    settings: Settings = Settings(),
    *,
    overwrite: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Fit the parameters of `robot` to the logs in `log`, write the folder `out`, and return its document.

    The model is promoted (`calibration.json`) only if it replays the motions that were held out better than the nominal
    one, by more than `LEAST_GAIN` and with the 95 % interval of the difference below zero, and better than commands
    that are taken for positions; if any of its parameters is identifiable at all; and if no joint moves with another
    one's command, against its own, or without one.

    Raises DataError or UsageError for logs that are not of this robot; nothing is written then.
    """
    subject = load_subject(robot)
    logs, dropout = _measured(subject, log, note)
    parameters = choose(subject, *moving(subject, logs), settings.families)
    if not parameters:
        raise UsageError(f"{robot}: nothing to identify in these logs; give --parameters")
    if settings.horizon_s is None and motors_only(subject, list(logs[0].joints.get("position", {}))):
        settings = replace(settings, horizon_s=MOTOR_HORIZON_S)
        note(f"motors hold no position: replay starts anew every {MOTOR_HORIZON_S} s (--horizon)")
    fitted_logs, held = split(logs, settings.seed, settings.held_out)
    prepare_folder(out, "identification", (DOCUMENT,), overwrite=overwrite)
    length = settings.horizon_s or settings.window_s
    windows = within_budget(fitted_logs, length, settings.fit_s)
    rng = np.random.default_rng(settings.seed)
    replay = Replay(subject, windows, settings.observe)
    few = Replay(subject, _few(fitted_logs, settings), settings.observe)
    found = fit(replay, parameters, rng, few=few, candidates=settings.starts, note=note)
    freed = [_freed(p, value) for p, value in zip(parameters, found.values, strict=True)]
    if freed != parameters:
        note("a bound is in the way: fitting beyond it")
        parameters = freed
        start = np.array([p.to_search(value) for p, value in zip(parameters, found.values, strict=True)])
        found = replace(fit(replay, parameters, rng, start=start, note=note), starts=found.starts)
    sure = certainty(found, parameters, rng)
    found = keep_nominal(found, parameters, sure)
    note("judging by the motions held out")
    judge = _Judge(subject, fitted_logs, held, settings.horizon_s, rng)
    document = {
        "schema": 1,
        "robot": robot,
        "log": str(log),
        "motions": {"train": [x.name for x in fitted_logs], "heldout": [x.name for x in held]},
        "dropout": dropout,
        "parameters": _parameters(parameters, found, sure),
        **judge.document(parameters, found.values, told=any(c.reason is None for c in sure)),
        "starts": found.starts,
        "settings": dict(vars(settings)),
        "versions": versions(),
    }
    if settings.attribute:
        document["leave_one_out"] = _leave_one_out(judge, replay, parameters, found, rng, note)
    write_json(out / SAMPLES, {p.name: _rounded(c.samples) for p, c in zip(parameters, sure, strict=True)})
    calibration = calibration_document(subject, document)
    write_json(out / FILE, calibration)
    document["calibration"] = str(out / FILE)
    note("report")
    from robotics.sim2real.identification.report import write_report

    write_report(out / REPORT, document, replay, found, parameters)
    document["report"] = str(out / REPORT)
    write_json(out / DOCUMENT, document)
    return document


def _measured(subject: Subject, log: Path, note: Callable[[str], None]) -> tuple[list[Log], float]:
    """The logs with speeds, without measurements that were lost; and the share of those."""
    logs = read_logs(log, subject.joints, subject.only_body)
    require_plausible(subject, logs)
    for words in missing(subject, logs[0]):
        note(words)
    dropout, timestep = measured_dropout(logs)["value"], float(subject.model.opt.timestep)
    if dropout:
        note(f"{dropout:.1%} of the measurements were lost: the one before stands for them, and is not counted")
    return [with_speeds(without_lost(one), timestep) for one in driven(subject, logs)], dropout


def _freed(parameter: Parameter, value: float) -> Parameter:
    """In its family's wider bounds, if `value` is at a bound that those move away."""
    wider = parameter.wider()
    now, then = (at_bound(one, float(one.to_search(value))) for one in (parameter, wider))
    return wider if now and not then else parameter


def _few(logs: Sequence[Log], settings: Settings) -> list[Log]:
    """Enough motion to compare starts by, in short pieces, so that every joint has its turn."""
    length = min(settings.horizon_s or settings.window_s, FEW_WINDOW_S)
    return within_budget(logs, length, FEW_PART * settings.fit_s)


class _Judge:
    """Replay of the fitted and of the held-out motions by the nominal and by any other model."""

    def __init__(
        self,
        subject: Subject,
        fitted: Sequence[Log],
        held: Sequence[Log],
        horizon_s: float | None,
        rng: np.random.Generator,
    ) -> None:
        self._subject, self._rng, self._logs = subject, rng, [*fitted, *held]
        self._fitted = pieces(fitted, horizon_s) if horizon_s else list(fitted)
        cut = [pieces([log], horizon_s) if horizon_s else [log] for log in held]
        self._held, self._motions = [piece for motion in cut for piece in motion], len(held)
        self._motion = np.repeat(np.arange(len(held)), [len(motion) for motion in cut])
        self._nominal = self.held((), np.zeros(0))

    def held(self, parameters: Sequence[Parameter], values: Array) -> judgement.Errors:
        return judgement.replay_errors(self._subject, self._held, parameters, values, self._motion)

    def document(self, parameters: Sequence[Parameter], values: Array, told: bool) -> dict[str, Any]:
        """What the fitted model is worth; `told` is whether the logs tell any of its parameters."""
        subject, none = self._subject, np.zeros(0)
        position, command = (self._held[0].joints.get(channel, {}) for channel in ("position", "command"))
        measured = [joint for joint in subject.joints if joint in position and subject.is_servo(joint)]
        servos = [joint for joint in measured if joint in command]
        held = self.held(parameters, values)
        train = {
            "nominal": judgement.replay_errors(subject, self._fitted, (), none).rmse,
            "fitted": judgement.replay_errors(subject, self._fitted, parameters, values).rmse,
        }
        difference, interval = judgement.improvement(self._nominal, held, self._rng)
        enough = self._motions >= 2
        better = interval[1] < 0 and -difference > LEAST_GAIN * self._nominal.rmse
        trivial = judgement.command_errors(self._held, servos)
        useful = trivial is None or held.rmse_of(servos) < trivial
        doubts = judgement.mix_ups(self._logs, servos) + judgement.untold(self._logs, measured)
        promoted = bool(enough and better and useful and told and not doubts)
        verdict = _verdict(enough, better, useful, told, doubts, difference, interval)
        return {
            "replay_rmse": {"train": train, "heldout": {"nominal": self._nominal.rmse, "fitted": held.rmse}},
            "heldout": {"nominal": self._nominal.document(), "fitted": held.document()},
            "trivial_rmse": trivial,
            "prediction_rmse": {
                "nominal": judgement.prediction_errors(subject, self._held, (), none),
                "fitted": judgement.prediction_errors(subject, self._held, parameters, values),
            },
            "command_to_motion_lag_s": judgement.command_delay(self._held, servos),
            "improvement": {"difference": difference, "ci95": list(interval)},
            "promoted": promoted,
            "verdict": verdict,
        }

    def worse_by(self, full: judgement.Errors, parameters: Sequence[Parameter], values: Array) -> dict[str, Any]:
        """How much larger the held-out error is than `full`'s."""
        difference, interval = judgement.improvement(full, self.held(parameters, values), self._rng)
        return {"heldout_increase": difference, "ci95": list(interval)}


def _verdict(
    enough: bool,
    better: bool,
    useful: bool,
    told: bool,
    doubts: Sequence[str],
    difference: float,
    interval: tuple[float, float],
) -> str:
    size = f"by {abs(difference):.4g} [{-interval[1]:.4g}, {-interval[0]:.4g}] rad or m"
    on = "not promoted: on motions it never saw the fitted model is"
    if not enough:
        said = "not enough evidence: only one motion was held out; log more motions"
    elif not better:
        said = f"{on} not surely better than the nominal one ({size})"
    elif not useful:
        said = f"{on} better than the nominal one, {size}, but not than joint = command: doing nothing is better"
    elif not told:
        said = f"{on} better than the nominal one, {size}, but none of its parameters is identifiable from these logs"
    elif doubts:
        said = f"{on} better than the nominal one, {size}, but the logs are doubtful"
    else:
        said = f"promoted: the fitted model replays motions it never saw better than the nominal one, {size}"
    return f"{said}; {' '.join(doubts)}" if doubts else said


def _parameters(parameters: Sequence[Parameter], found: Fit, sure: Sequence[Certainty]) -> dict[str, Any]:
    return {
        p.name: {
            "value": float(value),
            "ci95": list(c.interval),
            "nominal": p.nominal,
            "identifiable": c.reason is None,
            "unit": p.unit,
            **({"reason": c.reason} if c.reason else {}),
        }
        for p, value, c in zip(parameters, found.values, sure, strict=True)
    }


def _rounded(values: Array) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _leave_one_out(
    judge: _Judge,
    replay: Replay,
    parameters: Sequence[Parameter],
    found: Fit,
    rng: np.random.Generator,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """What each family is worth: the held-out error after everything else was fitted again without it.

    Below zero: the family fits noise and should be dropped. Shares of a total would mislead here, since parameters of a
    log compensate each other.
    """
    full, shares = judge.held(parameters, found.values), {}
    for family in dict.fromkeys(p.family.name for p in parameters):
        rest = [i for i, p in enumerate(parameters) if p.family.name != family]
        if not rest:
            continue
        note(f"without {family}")
        others = [parameters[i] for i in rest]
        again = fit(replay, others, rng, start=found.search[rest], note=lambda text: None)
        shares[family] = judge.worse_by(full, others, again.values)
    return shares
