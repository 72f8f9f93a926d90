"""What a gap report runs, and how sure it can then be: by default, or within a budget of time."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from robotics.errors import UsageError
from robotics.sim2real.blame import Method
from robotics.sim2real.curves import grid
from robotics.sim2real.factors import Factor
from robotics.wording import counted

#: Fewer seeds than this tell too little to be worth their time.
LEAST_SEEDS = 20
#: Share of the budget that is planned with; the rest is for what was not foreseen.
PLANNED = 0.85


@dataclass(frozen=True)
class Plan:
    """What follows the two arms of all seeds.

    Attributes:
        seeds: of curves and attribution: the first so many.
        levels: values of a factor to either side of its nominal one.
        groups: how the drop is shared out among groups; None: it is not.
        within: how the leading group's part is shared out among its factors; None: it is not.
        curves: whether factors' curves are measured.
        half_width: at worst, half the 95 % interval of a success rate or a paired difference on these seeds.
        notes: what the budget did not allow.
    """

    seeds: int
    levels: int
    groups: Method | None
    within: Method | None
    curves: bool
    episodes: int
    seconds: float | None
    half_width: float
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        texts = {"groups": self.groups and self.groups.text, "within": self.within and self.within.text}
        return {**asdict(self), **texts, "notes": list(self.notes)}


def parse_budget(text: str) -> float:
    """Seconds that `90s`, `20m`, `1.5h` spell; UsageError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)", text.strip())
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if seconds <= 0:
        raise UsageError(f"--budget {text}: give a time such as 90s, 20m or 1.5h")
    return seconds


def plan(
    episodes: int,
    groups: int,
    largest_group: int,
    curves: Sequence[Factor],
    full: bool,
    left_s: float | None,
    rate: float,
) -> Plan:
    """What to run on at most `episodes` seeds, with `left_s` of the budget left at `rate` episodes per second.

    Without a budget (`left_s` None) everything on all seeds. With one, on fewer seeds; then without curves; then
    without what is inside the leading group; then without attribution.
    """
    levels = 4 if full else 2
    by_group = Method.for_players(groups, full) if groups else None
    inside = Method.for_players(largest_group, full) if largest_group > 1 else None
    cells = sum(len(grid(one, levels)) for one in curves)
    notes: list[str] = []
    beyond = ""

    def per_seed() -> int:
        return (
            (by_group.episodes(groups, 1) if by_group else 0)
            + (inside.episodes(largest_group, 1) if inside else 0)
            + cells
        )

    seeds = episodes
    if left_s is not None:
        affordable = max(left_s, 0.0) * PLANNED * rate
        least = min(LEAST_SEEDS, episodes)
        if by_group and by_group.exact and affordable < episodes * per_seed():
            by_group = Method(exact=False)
        if cells and affordable < least * per_seed():
            cells = 0
            notes.append("the budget allows no curves")
        if inside and affordable < least * per_seed():
            inside, beyond = None, "attribution within the leading group"
        if by_group and affordable < least * per_seed():
            by_group, beyond = None, "attribution"
        if beyond:
            notes.append(f"the budget allows no {beyond}")
        seeds = min(episodes, int(affordable / per_seed())) if per_seed() else episodes
        if seeds < episodes:
            notes.append(f"the budget allows {seeds} of {counted(episodes, 'seed')} for what follows the two arms")
    total = seeds * per_seed()
    seconds = total / rate if rate > 0 else None
    return Plan(seeds, levels, by_group, inside, cells > 0, total, seconds, 0.98 / max(seeds, 1) ** 0.5, tuple(notes))
