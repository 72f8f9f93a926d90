"""Films for a gap report: the seeds that tell most, in simulation and on the target side by side."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robotics.evaluation.circumstances import target_in_words
from robotics.media.side_by_side import Side, record_side_by_side
from robotics.policies.schedule import Execution


def film_gap(
    document: Mapping[str, Any], target_kwargs: Mapping[str, Any], folder: Path, count: int, device: str = "cpu"
) -> list[Path]:
    """Film up to `count` telling seeds of every policy into `folder`/videos; returns the films.

    `document` is a gap with a target, `target_kwargs` what its environment is made with besides (`Target.env_kwargs`).
    About a minute each on two cores: both episodes are drawn.
    """
    own = dict(document["env_kwargs"])
    sides = Side("simulation", own), Side(target_in_words(document["target"]), {**own, **target_kwargs})
    how: dict[str, Any] = {"execution": Execution(**document["execution"]), "device": device}
    films = []
    for one in document["policies"]:
        name = re.sub(r"[^\w.-]+", "_", one["label"])
        for place in telling_places(one["sim"]["success"], one["target"]["success"], count):
            seed = int(document["seed"]) + place
            film = folder / "videos" / f"{name}-seed-{seed}.mp4"
            record_side_by_side(document["env"], one["policy"], seed, sides, film, **how, overwrite=True)
            films.append(film)
    return films


def telling_places(sim: list[bool], target: list[bool], count: int) -> list[int]:
    """Up to `count` places: one of each kind of outcome in turn, what only the simulation managed first."""
    kinds = ((True, False), (False, True), (True, True), (False, False))
    waiting = [[i for i, pair in enumerate(zip(sim, target, strict=True)) if pair == kind] for kind in kinds]
    found = list[int]()
    while len(found) < count and any(waiting):
        found += [places.pop(0) for places in waiting if places]
    return found[:count]
