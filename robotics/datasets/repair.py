"""Mending a dataset: keep its sound episodes, rebuild what describes them, put everything else aside."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from robotics.datasets.check import check, frames_by_file
from robotics.datasets.durable import publish_json
from robotics.datasets.episode_check import inspect
from robotics.datasets.episodes import Episode, read_each_episode, read_episode_stats, read_episodes
from robotics.datasets.features import is_numbers, is_visual
from robotics.datasets.folder_lock import FolderLock
from robotics.datasets.info import Info, read_document, read_info, write_info
from robotics.datasets.layout import INFO, PROVENANCE, REJECTED_FOLDER, STATS, TASKS
from robotics.datasets.leftovers import leftovers
from robotics.datasets.reader import Dataset, read_provenance
from robotics.datasets.rebuild import rebuild_info, rebuild_tasks
from robotics.datasets.renumber import (
    is_one_file_each,
    put_in_place,
    require_replaceable,
    without_others,
    without_their_rows,
)
from robotics.datasets.statistics import MOMENTS, DatasetStats, column_stats, image_stats, merge, to_lists
from robotics.datasets.tables import publish_table, read_table
from robotics.datasets.tasks import read_tasks, write_tasks
from robotics.errors import DataError

#: As many rows as there are, where info.json can not tell.
ALL = 2**62


@dataclass
class Repair:
    """What a repair did: `kept` episodes, and every step in words."""

    root: Path
    kept: int = 0
    steps: list[str] = field(default_factory=list)

    def put_aside(self, path: Path, copy: bool = False) -> None:
        """Move (or copy) a file of the dataset into `rejected/`, beside what is already there."""
        relative = path.relative_to(self.root)
        target = self.root / REJECTED_FOLDER / relative
        while target.exists() or target.is_symlink():
            target = target.with_name(target.name + ".older")
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy:
            shutil.copy2(path, target)
        elif path.is_symlink():  # what it leads to stays where it is, and a relative link would lead elsewhere
            target.symlink_to(os.path.realpath(path))
            path.unlink()
        else:
            shutil.move(path, target)  # which may be on another disk, behind a linked folder
        self.steps.append(f"{'copied' if copy else 'moved'} {relative} to {target.relative_to(self.root)}")


def repair(root: Path) -> Repair:
    """Take the unsound episodes out of the dataset and rebuild its description; those behind them get new numbers.

    Nothing is deleted: what is taken out is in `rejected/`, as are the files of the old numbers and a copy of what is
    rewritten. Of DAgger's rounds only the sound beginning is kept. Of a sound dataset only those statistics are
    rebuilt that are not the data's.

    Raises DataError, and changes nothing, when no episode can be kept or its folders can not be replaced; UsageError
    while another process writes there.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    lock = FolderLock(root)
    lock.acquire()
    try:
        return _repaired(root)
    finally:
        lock.release()


def _repaired(root: Path) -> Repair:
    done = Repair(root)
    if put_in_place(root, done.put_aside):
        done.steps.append("went on with the repair that was interrupted")
    if _is_sound(root, done):
        return done
    (info, committed), provenance = _info(root, done), _readable_provenance(root, done)
    rows, defect = read_episodes(root, info, limit=committed)
    dataset = Dataset(root, info, rows, _tasks(root, info, rows), {}, provenance)
    kept, reason = _sound_beginning(dataset, defect)
    everything = replace(dataset, episodes=read_each_episode(root, info))
    behind = _sound_behind(everything, len(kept), committed)
    if not kept and not behind:
        raise DataError(f"{root}: no episode can be kept: {reason or 'meta/episodes lists none'}")
    if behind:
        require_replaceable(root)
    if not provenance and (root / PROVENANCE).exists():
        done.put_aside(root / PROVENANCE)
    if behind:
        there, end = {episode.index for episode in (*kept, *behind)}, max(info.episodes, behind[-1].index)
        missing = ", ".join(str(index) for index in range(end) if index not in there)
        done.steps.append(f"left out episode {missing}: {reason}")
        return _renumbered(everything, [*kept, *behind], done)
    if len(kept) < max(info.episodes, len(rows)):
        done.steps.append(f"kept episodes 0 … {len(kept) - 1} because {reason}")
    if dataset.tasks != _readable_tasks(root):
        done.steps.append(f"rebuilt {TASKS}")
    for path in (TASKS, STATS, PROVENANCE, INFO):
        if (root / path).exists():
            done.put_aside(root / path, copy=(root / path).is_file())
    dataset = replace(dataset, episodes=kept)
    _describe(dataset, kept, _foreign_stats(dataset))
    done.steps.append(f"rebuilt {STATS} and {INFO} for {len(kept)} episodes, {kept[-1].stop} frames")
    _trim_files(dataset, done)
    for path in leftovers(root, kept):
        done.put_aside(path)
    done.kept = len(kept)
    return done


def _is_sound(root: Path, done: Repair) -> bool:
    try:
        report = check(root)
    except DataError as error:
        done.steps.append(f"found {error}")
        return False
    dataset = Dataset.open(root)
    if report.problems or leftovers(root, dataset.episodes):
        return False
    if differing := report.stats_differences:
        if (root / STATS).exists():
            done.put_aside(root / STATS, copy=True)
        publish_json(root / STATS, to_lists({**dataset.stats, **_measured_stats(dataset, list(differing), {})}))
        done.steps.append(f"computed the statistics of {', '.join(differing)} from the data")
    done.kept = report.episodes
    return True


def _info(root: Path, done: Repair) -> tuple[Info, int]:
    """What describes the dataset, and how many of its episodes were committed."""
    try:
        info = read_info(root)
        return info, info.episodes
    except DataError:
        info = rebuild_info(root)
    done.steps.append(f"rebuilt {INFO} from the data files; the robot's type and the names of its joints are lost")
    return info, ALL


def _readable_provenance(root: Path, done: Repair) -> dict:
    try:
        return read_provenance(root)
    except DataError as error:
        done.steps.append(f"the origin of the episodes is lost ({error}): the dataset can not be continued")
        return {}


def _tasks(root: Path, info: Info, rows: list[Episode]) -> list[str]:
    """The texts of the table, and those that it lacks from the episodes."""
    found = _readable_tasks(root)
    if found and len(found) >= info.tasks:
        return found
    return [*found, *rebuild_tasks(Dataset(root, info, rows, [], {}, {}))[len(found) :]]


def _readable_tasks(root: Path) -> list[str]:
    try:
        return read_tasks(root)
    except DataError:
        return []


def _sound_beginning(dataset: Dataset, defect: DataError | None) -> tuple[list[Episode], str]:
    """The episodes before the first unsound one, and what is wrong with that one."""
    for position, episode in enumerate(dataset.episodes):
        if problems := inspect(dataset, episode).problems:
            return dataset.episodes[:position], problems[0]
    return dataset.episodes, str(defect or "meta/episodes lists no more")


def _sound_behind(everything: Dataset, first: int, committed: int) -> list[Episode]:
    """The sound episodes behind the number `first`, which is an unsound one's, or nobody's where all are sound.

    `everything` has all rows that can be read. None of DAgger's, which the journal of its rounds counts.
    """
    behind: list[Episode] = []
    if "rounds" in everything.provenance:
        return behind
    index, start = first, sum(episode.length for episode in everything.episodes if episode.index < first)
    for episode in everything.episodes:
        if not index <= episode.index < committed or episode.start < start:  # two rows claim it, or its frames
            continue
        if not inspect(everything, episode).problems:
            behind.append(episode)
            index, start = episode.index + 1, episode.stop
    return behind


def _renumbered(dataset: Dataset, kept: list[Episode], done: Repair) -> Repair:
    """Make the dataset, of which these are all rows, one of the `kept` episodes, of which some get new numbers."""
    foreign = _foreign_stats(dataset)
    make = without_others if is_one_file_each(dataset.info, dataset.episodes) else without_their_rows
    make(dataset, kept, lambda beginning: _describe(beginning, kept, foreign))
    put_in_place(dataset.root, done.put_aside)
    frames = sum(episode.length for episode in kept)
    done.steps.append(f"numbered the {len(kept)} sound episodes, {frames} frames, anew; rebuilt what describes them")
    done.kept = len(kept)
    return done


def _describe(dataset: Dataset, kept: list[Episode], foreign_stats: dict[str, Any]) -> None:
    """Write tasks, statistics, origin and, last, info.json for the episodes of `dataset`.

    Seeds and splits are those of all `kept` episodes, which have their old numbers there.
    """
    root, frames = dataset.root, sum(episode.length for episode in dataset.episodes)
    if dataset.tasks != _readable_tasks(root):
        write_tasks(root, dataset.tasks)
    rows = read_episode_stats(root, dataset.episodes)
    noted = {episode.index: row for episode, row in zip(dataset.episodes, rows, strict=True)}
    stats = _measured_stats(dataset, list(dataset.features), noted)
    publish_json(root / STATS, {**to_lists(stats), **foreign_stats})
    if dataset.provenance:
        seeds = dataset.provenance.get("seeds", [])
        seeds = [seeds[episode.index] for episode in kept if episode.index < len(seeds)]
        publish_json(root / PROVENANCE, {**dataset.provenance, "seeds": seeds})
    info = dataset.info.with_totals(len(dataset.episodes), frames, len(dataset.tasks))
    if "splits" in info.other:
        info = replace(info, other={**info.other, "splits": _splits(info.other["splits"], kept)})
    write_info(root, info)


def _measured_stats(dataset: Dataset, keys: Sequence[str], noted: Mapping[int, DatasetStats]) -> DatasetStats:
    """Statistics of the columns `keys` over all episodes; those of images from `noted` where it has the episode's."""
    stats: DatasetStats = {}
    for key in keys:
        feature = dataset.features[key]
        for episode in dataset.episodes:
            one = noted.get(episode.index, {}).get(key, {})
            if is_numbers(feature):
                one = column_stats(dataset.episode_column(episode, key))
            elif not is_visual(feature):
                continue
            elif not one.keys() >= {*MOMENTS}:
                one = image_stats(dataset.episode_images(episode, key))
            stats |= merge({key: stats[key]} if key in stats else {}, {key: one})
    return stats


def _foreign_stats(dataset: Dataset) -> dict[str, Any]:
    """What stats.json notes of things that are no columns."""
    try:
        noted = read_document(dataset.root / STATS)
    except DataError:
        return {}
    return {key: value for key, value in noted.items() if key not in dataset.features}


def _splits(splits: Any, kept: Sequence[Episode]) -> Any:
    """Splits such as {"train": "0:4", "val": "4:5"} without the episodes that are not `kept`."""
    try:
        ends = {name: [int(end) for end in text.split(":")] for name, text in splits.items()}
    except (AttributeError, ValueError):
        return splits
    return {name: ":".join(str(sum(e.index < end for e in kept)) for end in pair) for name, pair in ends.items()}


def _trim_files(dataset: Dataset, done: Repair) -> None:
    """Cut rows behind the kept episodes off files that hold kept ones too, as LeRobot's files do."""
    rows: dict[Path, int] = {}
    for episode in dataset.episodes:
        rows[episode.row_file] = rows.get(episode.row_file, 0) + 1
    for file, count in {**frames_by_file(dataset.episodes), **rows}.items():
        table = read_table(dataset.root / file)
        if table.num_rows > count:
            done.put_aside(dataset.root / file, copy=True)
            publish_table(dataset.root / file, table.slice(0, count))
            done.steps.append(f"cut {file} to {count} rows")
