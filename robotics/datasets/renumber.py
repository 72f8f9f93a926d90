"""Leaving episodes out of the middle of a dataset: those behind them get new numbers.

Numbers are in every file of an episode and in its name, so no order of changes in place would survive a kill between
any two of them. The dataset is made anew beside the old one, under a name that it only gets when it is complete; from
then on it takes the old one's place part by part, and who is killed over that leaves what `put_in_place` goes on with.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from robotics.datasets.durable import sync_folder
from robotics.datasets.encoding import EncodedColumns
from robotics.datasets.episodes import Episode, read_episode_stats
from robotics.datasets.features import (
    DEFAULT_FEATURES,
    EPISODE_INDEX,
    INDEX,
    Features,
    is_numbers,
    is_visual,
    schema_of,
)
from robotics.datasets.info import Info
from robotics.datasets.layout import (
    DATA_FOLDER,
    DATA_PATH,
    EPISODES_FOLDER,
    EPISODES_PATH,
    INFO,
    PROVENANCE,
    REPAIRED_FOLDER,
    STATS,
    TASKS,
    VIDEO_PATH,
    VIDEOS_FOLDER,
    chunk_and_file,
    fill,
)
from robotics.datasets.reader import Dataset
from robotics.datasets.statistics import image_stats, vector_stats
from robotics.datasets.tables import publish_table, read_table, row_count, to_arrow
from robotics.datasets.writer import DatasetWriter
from robotics.errors import DataError
from robotics.outputs import require_room

#: Where the new dataset is made.
_UNFINISHED = REPAIRED_FOLDER.with_name(f"{REPAIRED_FOLDER.name}.tmp")
#: In the order in which they take their places.
_PARTS = (DATA_FOLDER, VIDEOS_FOLDER, EPISODES_FOLDER, TASKS, STATS, PROVENANCE, INFO)


def is_one_file_each(info: Info, rows: Sequence[Episode]) -> bool:
    """Whether every episode has files and an instruction of its own, as our writer leaves them."""
    ours = info.data_path == DATA_PATH and info.video_path in (None, VIDEO_PATH)
    return ours and all(is_visual(f) or is_numbers(f) for f in info.features.values()) and all(map(_is_ours, rows))


def require_replaceable(root: Path) -> None:
    """DataError when a folder of the dataset can not give its place to another one."""
    for folder in (DATA_FOLDER, VIDEOS_FOLDER, INFO.parent):
        if (root / folder).is_mount() or (folder == INFO.parent and (root / folder).is_symlink()):
            kind = "link" if (root / folder).is_symlink() else "mount"
            raise DataError(f"{root / folder}: is a {kind}, which repair can not replace; repair a copy of the dataset")


def without_others(dataset: Dataset, kept: Sequence[Episode], describe: Callable[[Dataset], None]) -> None:
    """Make a dataset of the `kept` episodes, numbered anew, beside that in its folder, for `put_in_place`.

    `describe` writes what tells a reader of the episodes of a dataset: it is called for those that keep their numbers,
    whose files are not copied but get a second name.
    """
    root, new = dataset.root, _begun_anew(dataset.root)
    beginning: list[Episode] = []
    for number, episode in enumerate(kept):
        if episode.index != number or row_count(root / episode.data_file) != episode.length:
            break
        beginning.append(episode)
    moved = kept[len(beginning) :]
    sizes = ((root / file).stat().st_size for episode in moved for file in _files_of(episode))
    require_room(root, sum(sizes), "the episodes that get new numbers")
    for episode in beginning:
        for file in _files_of(episode):
            _give_second_name(root / file, new / file)
    describe(replace(dataset, root=new, episodes=beginning))
    writer = DatasetWriter.resume(new)
    for episode in moved:
        writer.commit(_encoded(dataset, episode), episode.tasks[0])
    _finish(root)


def without_their_rows(dataset: Dataset, kept: Sequence[Episode], describe: Callable[[Dataset], None]) -> None:
    """As `without_others`, where files hold several episodes: the tables lose the rows of those that are not `kept`.

    All columns stay as they are but for the numbers. Films stay whole: an episode finds its clip by its time.
    `dataset` has all episodes, since they tell where in a file the rows of one are.
    """
    root, new = dataset.root, _begun_anew(dataset.root)
    ends = np.cumsum([episode.length for episode in kept]).tolist()
    numbered = [
        replace(episode, index=number, start=end - episode.length, stop=end)
        for number, (episode, end) in enumerate(zip(kept, ends, strict=True))
    ]
    tables = {file for episode in kept for file in (episode.data_file, episode.row_file)}
    require_room(root, sum((root / file).stat().st_size for file in tables), "the rows that are kept")
    pairs = list(zip(kept, numbered, strict=True))
    for file in dict.fromkeys(episode.data_file for episode in kept):
        _copy_frames(dataset, new, [pair for pair in pairs if pair[0].data_file == file])
    for file in dict.fromkeys(episode.row_file for episode in kept):
        _copy_rows(root / file, new / file, [pair for pair in pairs if pair[0].row_file == file])
    for film in dict.fromkeys(clip.file for episode in kept for clip in episode.clips.values()):
        _give_second_name(root / film, new / film)
    describe(replace(dataset, root=new, episodes=numbered))
    _finish(root)


def _begun_anew(root: Path) -> Path:
    """Where the new dataset is made, without what an interrupted repair left there."""
    new = root / _UNFINISHED
    shutil.rmtree(new, ignore_errors=True)
    return new


def _finish(root: Path) -> None:
    """From now on the new dataset counts."""
    os.replace(root / _UNFINISHED, root / REPAIRED_FOLDER)
    sync_folder(root)


def _copy_frames(dataset: Dataset, new: Path, pairs: list[tuple[Episode, Episode]]) -> None:
    """The frames of episodes of one data file (before, now) under their new numbers."""
    file = pairs[0][0].data_file
    table, parts = read_table(dataset.root / file), []
    for before, now in pairs:
        rows = table.slice(before.start - dataset.first_frame[file], before.length)
        numbers = {EPISODE_INDEX: [now.index] * now.length, INDEX: range(now.start, now.stop)}
        parts.append(_with_columns(rows, numbers))
    publish_table(new / file, pa.concat_tables(parts))


def _copy_rows(path: Path, new: Path, pairs: list[tuple[Episode, Episode]]) -> None:
    """The rows of episodes (before, now) under their new numbers."""
    table = read_table(path)
    keys = zip(table["episode_index"].to_pylist(), table["dataset_from_index"].to_pylist(), strict=True)
    places = {key: place for place, key in enumerate(keys)}
    rows = table.take([places[before.index, before.start] for before, _ in pairs])
    numbers = {
        "episode_index": [now.index for _, now in pairs],
        "dataset_from_index": [now.start for _, now in pairs],
        "dataset_to_index": [now.stop for _, now in pairs],
    }
    publish_table(new, _with_columns(rows, numbers))


def _with_columns(table: pa.Table, columns: Mapping[str, Iterable[int]]) -> pa.Table:
    for name, values in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.column_names.index(name), field, pa.array(values, field.type))
    return table


def put_in_place(root: Path, put_aside: Callable[[Path], None]) -> bool:
    """Let the complete dataset that `without_others` made take the place of the old one, or go on with that.

    What both hold has two names until then; all else of the old one is `put_aside`. Its info.json goes first and the
    new one comes last: without one, nobody takes a mixture of both for a dataset. Returns whether there was any; one
    that was not complete is deleted.
    """
    shutil.rmtree(root / _UNFINISHED, ignore_errors=True)
    new = root / REPAIRED_FOLDER
    if not new.exists():
        return False
    if (new / INFO).exists() and (root / INFO).exists():
        put_aside(root / INFO)
    for part in _PARTS:
        if not (new / part).exists():  # it is in its place, or there never was one
            continue
        for path in _files_in(root / part):
            twin = new / path.relative_to(root)
            if twin.is_file() and path.samefile(twin):
                path.unlink()
            else:
                put_aside(path)
        if (root / part).is_dir():
            shutil.rmtree(root / part)  # what is left are empty folders
        (root / part).parent.mkdir(exist_ok=True)
        os.replace(new / part, root / part)
        sync_folder((root / part).parent)
    for folder in (new / INFO.parent, new):
        if folder.exists():
            folder.rmdir()
    return True


def _is_ours(episode: Episode) -> bool:
    chunk, file = chunk_and_file(episode.index)
    return (
        len(episode.tasks) == 1
        and episode.data_file == fill(DATA_PATH, chunk, file)
        and episode.row_file == fill(EPISODES_PATH, chunk, file)
        and all(clip.file == fill(VIDEO_PATH, chunk, file, key) for key, clip in episode.clips.items())
        and not any(clip.from_s for clip in episode.clips.values())
    )


def _files_of(episode: Episode) -> list[Path]:
    return [episode.data_file, episode.row_file, *(clip.file for clip in episode.clips.values())]


def _files_in(part: Path) -> list[Path]:
    """The files of a part that is a folder, or the part itself; a link to a folder counts as a file."""
    paths = part.rglob("*") if part.is_dir() and not part.is_symlink() else [part]
    return sorted(path for path in paths if path.is_file() or path.is_symlink())


def _give_second_name(file: Path, name: Path) -> None:
    name.parent.mkdir(parents=True, exist_ok=True)
    file = Path(os.path.realpath(file))  # a second name of a relative link would lead elsewhere
    try:
        os.link(file, name)
    except OSError:  # a file system without such names
        shutil.copy2(file, name)


def _encoded(dataset: Dataset, episode: Episode) -> EncodedColumns:
    """The episode as it was written; its images are not encoded again."""
    root, own = dataset.root, {k: f for k, f in dataset.features.items() if k not in DEFAULT_FEATURES}
    vectors: Features = {key: feature for key, feature in own.items() if key not in dataset.image_keys}
    values = {key: dataset.episode_column(episode, key) for key in vectors}
    table, schema = to_arrow(vectors, values), schema_of(own)
    stats = {key: vector_stats(value.reshape(episode.length, -1)) for key, value in values.items()}
    (noted,) = read_episode_stats(root, [episode])
    for key in dataset.image_keys:
        stats[key] = noted[key] if key in noted else image_stats(dataset.episode_images(episode, key))
        if key not in episode.clips:
            table[key] = dataset.episode_pictures(episode, key).cast(schema.field(key).type)
    videos = {key: (root / clip.file).read_bytes() for key, clip in episode.clips.items()}
    return EncodedColumns(episode.length, table, videos, stats)
