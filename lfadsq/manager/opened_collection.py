"""What stands in for a lab's own classes in a collection that was opened from disk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from lfadsq.errors import ConfigError, DatasetError
from lfadsq.manager.counts import DatasetCounts
from lfadsq.manager.datasets import Dataset, DatasetCollection
from lfadsq.manager.runs import Run
from lfadsq.paths import dataset_name_of

__all__ = ["UNKNOWN_FOLDER", "OpenedDataset", "OpenedRun", "add_datasets", "find_datasets_folder"]

UNKNOWN_FOLDER = Path("(unknown)")
"""The folder of recordings of which nothing on disk tells where they are."""

_USUAL_SUFFIX = ".mat"


class OpenedDataset(Dataset):
    """A recording of a collection that was opened from disk; it may be gone, or elsewhere."""

    def load_data(self) -> dict[str, Any]:
        """Read the recording.

        Raises
        ------
        DatasetError
            If it is not where the collection's summary says, or damaged.
        """
        if not self.path.is_file():
            where = (
                "nothing tells where it is"
                if self.collection.path == UNKNOWN_FOLDER
                else f"it is not at {self.path}"
            )
            raise DatasetError(
                f"the recording {self.name!r} is needed, and {where}",
                "set the path of the dataset collection to its folder: "
                "runs.dataset_collection.path = Path(...)",
            )
        return super().load_data()


class OpenedRun(Run):
    """A run of a collection that was opened from disk, without the code that prepared it."""

    def generate_counts_for_dataset(
        self, dataset: Dataset, mode: Literal["export", "alignment"] = "export"
    ) -> DatasetCounts:
        """Refuse: how recordings become counts is in the drive script, not on disk.

        Raises
        ------
        ConfigError
            Always.
        """
        raise ConfigError(
            f"{self.name} has no prepared data for {dataset.name} in {self.data_path}, and how "
            "its recording becomes counts is not on disk",
            "open the collection with your own class: RunCollection.open(path, run_class=MyRun), "
            "or run_class=lfadsq.Run where recordings hold spikes as (trial, channel, time)",
        )


def find_datasets_folder(said: str, collection_was: str, collection_is: Path) -> Path:
    """Find the folder of recordings, also after it was moved together with the collection.

    Parameters
    ----------
    said : str
        Where it was when the summary was written, by the summary; empty if that does not say.
    collection_was : str
        Where the collection was then; likewise.
    collection_is : Path
        Where it is now.

    Returns
    -------
    Path
        Where it was, if it is nowhere now. A relative path starts from where the drive script ran,
        which the two places of the collection tell.
    """
    if not said:
        return UNKNOWN_FOLDER
    was = Path(said)
    with suppress(RuntimeError):  # a home folder that cannot be found
        was = was.expanduser()
    before = Path(collection_was)
    with suppress(RuntimeError):
        before = before.expanduser()
    candidates = [was] if was.is_absolute() else []
    if was.is_absolute() == before.is_absolute() and collection_was:
        # The longest common way up, then down to the recordings.
        num_shared = 0
        for one, other in zip(before.parts, was.parts, strict=False):
            if one != other:
                break
            num_shared += 1
        num_up = len(before.parts) - num_shared
        if num_up <= len(collection_is.parents):
            top = collection_is if not num_up else collection_is.parents[num_up - 1]
            candidates.append(top.joinpath(*was.parts[num_shared:]))
    for candidate in candidates:
        with suppress(OSError):
            if candidate.is_dir():
                return candidate
    return candidates[-1] if candidates and not was.is_absolute() else was


def add_datasets(
    collection: DatasetCollection,
    names: list[str],
    files: Mapping[str, str],
    dataset_class: type[Dataset],
) -> None:
    """Make datasets of a collection.

    Parameters
    ----------
    collection : DatasetCollection
        Where they go.
    names : list of str
        Their names.
    files : dict of str to str
        Their files, from the collection's folder, where known. Others are looked for in that
        folder, and taken for ``<name>.mat`` if not found.
    dataset_class : type
        What is made.
    """
    found: dict[str, str] = {}
    if collection.path != UNKNOWN_FOLDER:
        with suppress(OSError):
            for path in sorted(collection.path.iterdir()):
                name = dataset_name_of(path)
                if name not in found or path.suffix == _USUAL_SUFFIX:
                    found[name] = path.name
    for name in names:
        usual = f"{name}{_USUAL_SUFFIX}"
        dataset_class(collection, files.get(name) or found.get(name) or usual)
