"""What `--target` can name: the place where a policy shall work, as opposed to where it was made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robotics.environments import accepted_options
from robotics.errors import UsageError, unknown_name
from robotics.sim2real.applicability import refuse_idle
from robotics.sim2real.twin import open_twin
from robotics.sim2real.world import World

#: What a target begins with.
KINDS = ("sim", "twin", "factors")
_WRITTEN = (
    "write sim (the simulation as it is), twin:FILE (a hidden twin made by `robotics twin make`) or "
    "factors:NAME=VALUE,… (a world with these values in the open)"
)


@dataclass(frozen=True)
class Target:
    """A world to evaluate in. `public` is what reports may say about it; a hidden twin's values are not in it."""

    text: str
    kind: str
    world: World
    public: dict[str, Any]

    @property
    def title(self) -> str:
        """What reports call it."""
        return {"hidden twin": "the hidden twin", "factors": "the target"}.get(self.kind, f"the {self.kind}")

    def env_kwargs(self) -> dict[str, Any]:
        """What the environment is made with; nothing for the simulation as it is."""
        return {} if self.world.nominal else {"world": self.world}


@dataclass(frozen=True)
class InTarget:
    """The target as the world of every demonstration. Noted by name: what a twin hides is not written down."""

    target: str

    def world(self, task: Any, seed: int) -> World:
        """The target's, whatever the seed."""
        return open_target(self.target).world


def open_target(text: str, env_id: str | None = None, key: str | None = None) -> Target:
    """The target that `text` names; with `env_id` also UsageError for a twin of another environment, and for factors
    that change nothing in it.

    UsageError for what names nothing, DataError for a file that can not be opened.
    """
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        if ":" not in text and text.endswith(".json"):
            raise UsageError(f"unknown target '{text}'; did you mean twin:{text}?")
        raise unknown_name("target", kind, KINDS, _WRITTEN)
    if (rest == "") != (kind == "sim"):
        raise UsageError(f"--target {text} is not whole; {_WRITTEN}")
    if env_id is not None and "world" not in (accepted_options(env_id) or ()):
        raise UsageError(f"environment '{env_id}' is no task of this project: it has one world only")
    if kind == "sim":
        return Target(text, "simulation", World(), {"kind": "simulation"})
    if kind == "factors":
        world = World.of(_values(rest))
        if env_id is not None and not world.nominal:
            refuse_idle(world.as_dict(), env_id)
        return Target(text, "factors", world, {"kind": "factors", "values": world.as_dict()})
    document, world = open_twin(Path(rest), key)
    if env_id is not None and _bare(document["env"]) != _bare(env_id):
        raise UsageError(f"{rest} is a hidden twin of {document['env']}, not of {env_id}")
    public = {name: document[name] for name in ("kind", "env", "severity", "seed")}
    return Target(text, document["kind"], world, {**public, "commitment": document["sealed"]["commitment"]})


def _bare(env_id: str) -> str:
    """`module:Id-v0` without its module, which is only what to import first."""
    return env_id.rpartition(":")[2]


def _values(text: str) -> dict[str, float]:
    values = {}
    for part in text.split(","):
        name, equals, number = part.partition("=")
        if name.strip() in values:
            raise UsageError(f"--target factors:{text}: '{name.strip()}' comes twice")
        try:
            values[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals:
            raise UsageError(f"--target factors:{text}: '{part}' is no NAME=VALUE")
    return values
