"""Mending a dataset: keep its sound episodes, rebuild what describes them, put everything else aside.

Of a dataset whose files hold several episodes each, only the sound beginning is kept.
"""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from robotics.datasets.check import check, frames_by_file
from robotics.datasets.durable import publish_json
from robotics.datasets.episode_check import episode_problems
from robotics.datasets.episodes import Episode, read_each_episode, read_episode_stats, read_episodes
from robotics.datasets.features import is_visual
from robotics.datasets.folder_lock import FolderLock
from robotics.datasets.info import Info, read_info, write_info
from robotics.datasets.layout import INFO, PROVENANCE, REJECTED_FOLDER, STATS, TASKS
from robotics.datasets.leftovers import leftovers
from robotics.datasets.reader import Dataset, read_provenance
from robotics.datasets.rebuild import rebuild_info, rebuild_tasks
from robotics.datasets.renumber import is_one_file_each, put_in_place, without_others
from robotics.datasets.statistics import merged, to_lists, vector_stats
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
        while target.exists():
            target = target.with_name(target.name + ".older")
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy:
            shutil.copy2(path, target)
        else:
            path.replace(target)
        self.steps.append(f"{'copied' if copy else 'moved'} {relative} to {target.relative_to(self.root)}")


def repair(root: Path) -> Repair:
    """Take the unsound episodes out of the dataset and rebuild its description; those behind them get new numbers.

    Nothing is deleted: what is taken out is in `rejected/`, as are the files of the old numbers. Where files hold
    several episodes, what follows the first unsound one is taken out too. A sound dataset is left as it is.

    Raises DataError, and changes nothing, when no episode can be kept; UsageError while another process writes there.
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
    (info, committed), provenance = _info(root, done), _provenance(root, done)
    rows, defect = read_episodes(root, info, limit=committed)
    dataset = Dataset(root, info, rows, _tasks(root, info, rows), {}, provenance)
    kept, reason = _sound_beginning(dataset, defect)
    behind = _sound_behind(dataset, len(kept), committed)
    if not kept and not behind:
        raise DataError(f"{root}: no episode can be kept: {reason or 'meta/episodes lists none'}")
    if behind:
        there, end = {episode.index for episode in (*kept, *behind)}, max(info.episodes, behind[-1].index)
        missing = ", ".join(str(index) for index in range(end) if index not in there)
        done.steps.append(f"left out episode {missing}: {reason}")
        return _renumbered(dataset, [*kept, *behind], done)
    if len(kept) < max(info.episodes, len(rows)):
        done.steps.append(f"kept episodes 0 … {len(kept) - 1} because {reason}")
    if dataset.tasks != _readable_tasks(root):
        done.steps.append(f"rebuilt {TASKS}")
    dataset = replace(dataset, episodes=kept)
    _describe(dataset, kept)
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
    done.kept = report.episodes
    return not report.problems and not leftovers(root, Dataset.open(root).episodes)


def _info(root: Path, done: Repair) -> tuple[Info, int]:
    """What describes the dataset, and how many of its episodes were committed."""
    try:
        info = read_info(root)
        return info, info.episodes
    except DataError:
        info = rebuild_info(root)
    if (root / INFO).exists():
        done.put_aside(root / INFO, copy=True)
    done.steps.append(f"rebuilt {INFO} from the data files; the robot's type and the names of its joints are lost")
    return info, ALL


def _provenance(root: Path, done: Repair) -> dict:
    try:
        return read_provenance(root)
    except DataError as error:
        done.put_aside(root / PROVENANCE)
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
        problem = next(episode_problems(dataset, episode), None)
        if problem:
            return dataset.episodes[:position], problem
    return dataset.episodes, str(defect or "meta/episodes lists no more")


def _sound_behind(dataset: Dataset, first: int, committed: int) -> list[Episode]:
    """The sound episodes behind the number `first`, which is an unsound one's, or nobody's where all are sound.

    None where files hold several episodes, and none of DAgger's, which the journal of its rounds counts.
    """
    rows = read_each_episode(dataset.root, dataset.info)
    if not is_one_file_each(dataset.info, rows) or "rounds" in dataset.provenance:
        return []
    behind = replace(dataset, episodes=[episode for episode in rows if first <= episode.index < committed])
    return [episode for episode in behind.episodes if next(episode_problems(behind, episode), None) is None]


def _renumbered(dataset: Dataset, kept: list[Episode], done: Repair) -> Repair:
    """Make the dataset one of the `kept` episodes, of which some get new numbers."""
    without_others(replace(dataset, episodes=kept), lambda beginning: _describe(beginning, kept))
    put_in_place(dataset.root, done.put_aside)
    frames = sum(episode.length for episode in kept)
    done.steps.append(f"numbered the {len(kept)} sound episodes, {frames} frames, anew; rebuilt what describes them")
    done.kept = len(kept)
    return done


def _describe(dataset: Dataset, kept: list[Episode]) -> None:
    """Write tasks, statistics, origin and, last, info.json for the episodes of `dataset`; seeds are of all `kept`."""
    root, frames = dataset.root, sum(episode.length for episode in dataset.episodes)
    if dataset.tasks != _readable_tasks(root):
        write_tasks(root, dataset.tasks)
    stats = merged(read_episode_stats(root, dataset.episodes))
    for key, feature in dataset.features.items():
        if frames and key not in stats and not is_visual(feature) and feature["dtype"] != "string":
            stats[key] = vector_stats(dataset.column(key).reshape(frames, -1))
    publish_json(root / STATS, to_lists(stats))
    if dataset.provenance:
        seeds = dataset.provenance.get("seeds", [])
        seeds = [seeds[episode.index] for episode in kept if episode.index < len(seeds)]
        publish_json(root / PROVENANCE, {**dataset.provenance, "seeds": seeds})
    write_info(root, dataset.info.with_totals(len(dataset.episodes), frames, len(dataset.tasks)))


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
