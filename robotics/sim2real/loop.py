"""From a policy that loses on a target to one that loses less: log, identify, randomise, train anew, measure again.

`real2sim2real` writes `real2sim2real.json`. Its schema, 1; intervals are 95 %, success in [0, 1], all arms on the same
seeds:

    {"schema": 1, "kind": "real2sim2real", "env", "policy", "label", "seed", "episodes", "versions",
     "execution": {setting: value},                 of chunks, by all arms; what was asked, empty where nothing was
     "device": where networks acted in measuring,
     "target": as in gap.json,
     "logs": {"motions", "seconds", "dropout": {"value", "ci95", …}},     share of measurements that were lost
     "identification": {"promoted", "verdict", "parameters", "replay_rmse", "improvement"},    as in sysid.json
     "randomisation": {family: [low, high]},        what the worlds of training were drawn from, in factors' units;
     "joints": {family.joint: [low, high]},         those of single joints, in SI units,
     "rest": null | severity,                       and all other factors, from the registry's ranges
     "training": {"demonstrations", "steps": by arm},
     "arms": {"before" | "after" | "nominal" | "medium" | "wide" | "identified" | "oracle":
              {"what", "sim": A, "target": A,       A as "sim" in gap.json
               "gain": null | {"difference", "ci95", "mcnemar_mid_p"}}},     on the target, minus `before`
     "left_out": {arm: why},                        comparisons whose expert fails in the worlds that they learn in
     "closed_fraction": null | {"value": float | null, "ci95": [low, high] | null},    without an oracle: null
     "not_modelled": [text], "verdict": [text]}

Every stage leaves its result in a folder of its own, so an interrupted loop goes on where it stopped. The oracle is
trained in the target itself, which only a simulation allows: its demonstrations tell what a twin hides.
"""

import shutil
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import mujoco

from robotics.datasets.collect import collect
from robotics.errors import DataError, RoboticsError, UsageError, unknown_name
from robotics.evaluation.agents import BUILT_IN, AgentSource, open_policy
from robotics.evaluation.seeds import evaluation_seeds, refuse_training_seeds
from robotics.outputs import kept_json, prepare_folder, read_json, write_atomically, write_json
from robotics.policies.schedule import Execution, in_words
from robotics.sim2real.closing import closed_fraction, gain, verdict
from robotics.sim2real.drawing import TRAINING, Draw, Randomisation
from robotics.sim2real.dropout import measured_dropout
from robotics.sim2real.excited_logs import (
    FIRST_SEED,
    families_of,
    log_motions,
    logged_task,
    motions_in,
    nominal_model,
    require_servo_robot,
)
from robotics.sim2real.gap import arm
from robotics.sim2real.identification.identify import DOCUMENT as SYSID
from robotics.sim2real.identification.identify import SAMPLES, Settings, identify
from robotics.sim2real.identification.subject import load_subject
from robotics.sim2real.posterior import (
    MEASURED,
    Parameters,
    Posterior,
    identified_world,
    intervals,
    posterior,
    require_known,
)
from robotics.sim2real.targets import InTarget, open_target
from robotics.sim2real.trials import Trials
from robotics.sim2real.world import World
from robotics.training.retrain import origin_of, retrain
from robotics.training.run_folder import run_of
from robotics.versions import versions

SCHEMA = 1
DOCUMENT, REQUEST = "real2sim2real.json", "request.json"
#: Policies besides `before` and `after` -> where their demonstrations are made.
COMPARISONS = {
    "nominal": "trained anew in the simulation as it is",
    "medium": "trained anew in worlds of half the registry's ranges, nothing identified",
    "wide": "trained anew in worlds of the registry's whole ranges, nothing identified",
    "identified": "trained anew in the one world that was identified, without how far it may be wrong",
    "oracle": "trained anew in the target itself, which only a simulation allows",
}
AFTER = "trained anew in worlds around what was identified"
#: Seed of the first demonstration, behind those that runs and their rounds of DAgger usually begin with.
FIRST_DEMONSTRATION = 700_000
NOT_MODELLED = (
    "sensing: noise and bias of the target are not identified",
    "a delay of sensors is taken for one of commands: from joints alone they look the same",
    "contacts and objects: the logs are of free motion",
    "friction at rest and by load, and backlash: one value for all joints, however they differ",
)


@dataclass(frozen=True)
class Request:
    """What to close the gap of, and with how much effort; defaults as of `robotics real2sim2real`."""

    env: str
    policy: str
    target: str
    log_seconds: float = 120.0
    parameters: tuple[str, ...] | None = None
    fit_seconds: float = 60.0
    starts: int = 8
    demonstrations: int | None = None
    steps: int | None = None
    rest: str | None = None
    compare: tuple[str, ...] = ()
    episodes: int = 50
    seed: int = 1_000_000
    execution: Execution = field(default_factory=Execution)
    device: str = "cpu"
    workers: int = 1
    copies: int = 1


def real2sim2real(request: Request, out: Path, *, resume: bool = False, overwrite: bool = False) -> dict[str, Any]:
    """Run all stages into `out`, write real2sim2real.json and return it; with `resume`, only what is not done.

    Raises UsageError for what can not be asked, RoboticsError when the logs tell nothing that training could draw.
    """
    return _Loop(request, out).run(resume, overwrite)


class _Loop:
    def __init__(self, request: Request, out: Path) -> None:
        self.request, self.out = request, out
        for name in ("demonstrations", "steps", "workers", "copies"):
            if (value := getattr(request, name)) is not None and value < 1:
                raise UsageError(f"--{name} {value}: must be at least 1")
        for name in request.compare:
            if name not in COMPARISONS:
                raise unknown_name("policy to compare with", name, COMPARISONS)
        if request.rest is not None and request.rest not in TRAINING:
            raise unknown_name("severity for the rest", request.rest, TRAINING)
        require_known(request.parameters)
        motions_in(request.log_seconds)
        self.target = open_target(request.target, request.env)
        if self.target.world.nominal:
            raise UsageError(f"--target {request.target} is the simulation itself: there is no gap to close")
        require_servo_robot(request.env)
        families = request.parameters or families_of(request.env)
        self.settings = Settings(families=families, fit_s=request.fit_seconds, starts=request.starts)
        self.source = open_policy(request.policy, request.execution, request.device)
        self.recipe = _run_behind(request.policy)
        self.origin = origin_of(self.recipe, request.env)
        self.demonstrations = request.demonstrations or self.origin.episodes
        if self.demonstrations < 1:
            raise UsageError(f"{self.recipe} does not say of how many demonstrations it learned: --demonstrations")
        self.seeds = evaluation_seeds(request.episodes, request.seed)
        refuse_training_seeds(self.seeds, self.source.trained_on, request.policy)

    def run(self, resume: bool, overwrite: bool) -> dict[str, Any]:
        prepare_folder(self.out, "real2sim2real", (REQUEST,), resume=resume, overwrite=overwrite)
        self._require_same_request()
        arms: dict[str, dict[str, Any]] = {
            "before": {"what": "the policy as it was given", **self._measured("before", self.source)}
        }
        logged = self._logs()
        identified = self._identified()
        counted = {name: logged[name] for name in MEASURED if name in logged}  # not in logs of an older version
        parameters = {**identified["parameters"], **counted}
        model = load_subject(str(self.out / "model.xml")).model  # what the identification started from
        samples = read_json(self.out / "identification" / SAMPLES)
        drawn = self._posterior(parameters, samples, model)
        draws: dict[str, tuple[str, Draw | None]] = {
            "after": (f"{AFTER}, all else up to '{drawn.rest}'" if drawn.rest else AFTER, drawn)
        }
        others: dict[str, Draw | None] = {
            "nominal": None,
            **{severity: Randomisation(severity) for severity in ("medium", "wide")},
            "identified": identified_world(parameters, samples, model),
            "oracle": InTarget(self.request.target),
        }
        draws |= {name: (COMPARISONS[name], others[name]) for name in self.request.compare}
        steps, left_out = {}, {}
        for name, (what, draw) in draws.items():
            try:
                run, steps[name] = self._trained(name, draw)
            except RoboticsError as error:  # a comparison that can not be made costs no more than itself
                if name not in self.request.compare or isinstance(error, UsageError | DataError):
                    raise
                left_out[name] = str(error)
                _say(f"{name} is left out: {error}")
                continue
            measured = self._measured(name, open_policy(str(run), self.request.execution, self.request.device))
            arms[name] = {"what": what, **measured, "gain": gain(measured["target"], arms["before"]["target"])}
        arms["before"]["gain"] = None
        closed = closed_fraction(arms)
        document = {
            "schema": SCHEMA,
            "kind": "real2sim2real",
            "env": self.request.env,
            "policy": self.request.policy,
            "label": self.source.label,
            "seed": self.request.seed,
            "episodes": self.request.episodes,
            "execution": self.source.told,
            "device": self.source.device_title,
            "target": self.target.public,
            "logs": logged,
            "identification": {
                key: identified[key] for key in ("promoted", "verdict", "parameters", "replay_rmse", "improvement")
            },
            "randomisation": intervals(drawn.families),
            "joints": intervals(drawn.joints),
            "rest": drawn.rest,
            "training": {"demonstrations": self.demonstrations, "steps": steps},
            "arms": arms,
            "left_out": left_out,
            "closed_fraction": closed,
            "versions": versions(),
            "not_modelled": list(NOT_MODELLED),
            "verdict": [*verdict(arms, identified, closed, self.target.title), *map(_on_left_out, left_out.items())],
        }
        write_json(self.out / DOCUMENT, document)
        return document

    # -- stages -------------------------------------------------------------------------------------------------------

    def _measured(self, name: str, source: AgentSource) -> dict[str, Any]:
        """Success of a policy in the simulation and on the target."""

        def measure() -> dict[str, Any]:
            refuse_training_seeds(self.seeds, source.trained_on, source.policy)
            copies = self.request.copies if source.execution is not None else 1
            trials = Trials(
                self.request.env, source.options(self.request.env, None), source, self.request.workers, copies
            )
            worlds = {"sim": World(), "target": self.target.world}
            return {
                place: arm(trials.run([(world, seed) for seed in self.seeds], f"{name}, {place}"))
                for place, world in worlds.items()
            }

        return kept_json(self.out / "measured" / f"{name}.json", measure)

    def _logs(self) -> dict[str, Any]:
        """Length [s] and number of the motions that were logged, and what was lost of them."""

        def log() -> dict[str, Any]:
            _say("the target is logged")
            shutil.rmtree(self.out / "logs", ignore_errors=True)  # of an interrupted call
            seed, seconds = self.request.seed % 10_000, self.request.log_seconds
            logs = log_motions(self.request.env, self.target.world, seconds, seed, self.out / "logs")
            duration = round(sum(one.duration_s for one in logs), 3)
            return {"motions": len(logs), "seconds": duration, "dropout": measured_dropout(logs)}

        return kept_json(self.out / "logs.json", log)

    def _identified(self) -> dict[str, Any]:
        """The document of `robotics sysid`."""
        folder, model = self.out / "identification", self.out / "model.xml"
        if (folder / SYSID).exists():
            return read_json(folder / SYSID)
        _say("the logs are identified")
        shutil.rmtree(folder, ignore_errors=True)
        task = logged_task(self.request.env)
        task.reset(seed=FIRST_SEED)
        write_atomically(model, nominal_model(task))
        task.close()
        return identify(str(model), self.out / "logs", folder, self.settings, note=_say)

    def _posterior(self, parameters: Parameters, samples: dict[str, list[float]], model: mujoco.MjModel) -> Posterior:
        found = posterior(parameters, samples, model)
        if not (found.joints or found.families.keys() - MEASURED):
            raise RoboticsError(
                f"nothing that training could draw is identifiable from {self.out / 'logs'}: give more --log-seconds "
                "or other --parameters"
            )
        return replace(found, rest=self.request.rest)

    def _trained(self, name: str, draw: Draw | None) -> tuple[Path, int]:
        """The run folder of the policy that learned from demonstrations in these worlds, and its steps."""
        data, run = self.out / "demonstrations" / name, self.out / "runs" / name
        _say(f"{name}: {self.demonstrations} demonstrations, then training")
        collect(
            self.request.env,
            self.demonstrations,
            FIRST_DEMONSTRATION,
            data,
            workers=self.request.workers,
            env_kwargs=self.origin.env_kwargs,
            noise=self.origin.noise,
            hardest_of=self.origin.hardest_of,
            randomisation=draw,
            resume=data.exists(),
        )
        return run, retrain(self.recipe, data, run, steps=self.request.steps, resume=run.exists())

    def _require_same_request(self) -> None:
        """UsageError when `out` was begun with other settings; how many processes run is free."""
        path, asked = self.out / REQUEST, {k: v for k, v in asdict(self.request).items() if k not in _FREE}
        asked = {name: list(value) if isinstance(value, tuple) else value for name, value in asked.items()}
        asked |= {"execution": self.request.execution.told(), "behind": self.target.public}
        asked |= {"device": self.source.device_title}
        # What folders of earlier versions do not say
        older = {"execution": {}, "behind": self.target.public, "device": "cpu"}
        before = {**older, **read_json(path)} if path.exists() else asked
        if changed := [name for name in asked if before.get(name) != asked[name]]:
            name, (then, now) = changed[0], (before.get(changed[0]), asked[changed[0]])
            told = f"{name} = {then!r}, not {now!r}"
            if name == "execution":
                told = f"{in_words(then)}, not {in_words(now)}"
            if name == "behind":
                told = f"another {self.target.kind} behind {self.request.target}"
            raise UsageError(f"--resume: {self.out} was begun with {told}; give the same settings, or another --out")
        write_json(path, asked)


_FREE = ("workers", "copies")


def _run_behind(policy: str) -> Path:
    """The run folder of `policy`; UsageError for a policy that nothing says how to train again."""
    if policy in BUILT_IN:
        raise UsageError(f"--policy {policy} learns nothing: give a run folder of `robotics train`")
    run = run_of(Path(policy))
    if run is None:
        raise UsageError(f"--policy {policy} is not inside a run folder of `robotics train`: its recipe is not known")
    return run


def _on_left_out(arm: tuple[str, str]) -> str:
    return f"'{arm[0]}' is not compared with: {arm[1].partition(';')[0]}"


def _say(text: str) -> None:
    print(f"real2sim2real: {text}", file=sys.stderr)
