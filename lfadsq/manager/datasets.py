"""`Dataset` and `DatasetCollection`: the recordings that models are trained on."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np

from lfadsq.datasets.layouts import as_recording, list_variables
from lfadsq.errors import DatasetError, RunNotFoundError
from lfadsq.manager.dataset_choices import has_minimum_trials, is_best_of_its_day
from lfadsq.manager.displays import attribute_lines, class_title, short_path
from lfadsq.manager.info_table import DatasetInfoTable
from lfadsq.manager.names import check_name
from lfadsq.manager.progress import showing_progress
from lfadsq.manager.recordings import load_recording
from lfadsq.manager.selection import select
from lfadsq.paths import dataset_name_of

if TYPE_CHECKING:
    from lfadsq.manager.params import RunParams

__all__ = ["Dataset", "DatasetCollection"]

_log = logging.getLogger(__name__)

_DATE_FORMATS = ("%d-%b-%Y %H:%M:%S", "%d-%b-%Y", "%Y%m%d")
_MATLAB_DATENUM_OF_1970 = 719529.0


class DatasetCollection:
    """Recordings in one folder.

    Parameters
    ----------
    path : str or Path
        The folder; ``~`` is the home folder.
    name : str, optional
        What you call the collection; by default the folder's name.
    comment : str, default ""
        For people.
    """

    def __init__(self, path: str | Path, *, name: str | None = None, comment: str = "") -> None:
        self.path = Path(path).expanduser()
        self.name = self.path.name if name is None else name
        self.comment = comment
        self._datasets: dict[str, Dataset] = {}

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The datasets, in the order in which they were added."""
        return tuple(self._datasets.values())

    @property
    def num_datasets(self) -> int:
        """Number of datasets."""
        return len(self._datasets)

    def __iter__(self) -> Iterator[Dataset]:
        return iter(self.datasets)

    def __len__(self) -> int:
        return self.num_datasets

    def add_dataset(self, dataset: Dataset) -> None:
        """Add a dataset, in place of one with the same name; a new `Dataset` does so by itself."""
        replaced = self._datasets.get(dataset.name)
        if replaced is not None and replaced.path != dataset.path:
            _log.warning(
                "dataset %r is now %s; before, it was %s",
                dataset.name,
                dataset.path,
                replaced.path,
            )
        self._datasets[dataset.name] = dataset

    def clear_datasets(self) -> None:
        """Leave out all datasets; their files stay."""
        self._datasets = {}

    def filter_datasets(self, mask: Iterable[object]) -> None:
        """Keep some datasets; files of the others stay.

        Parameters
        ----------
        mask : iterable of bool or int
            True for each dataset that is kept, False for the others; or the indices of those.

        Raises
        ------
        ConfigError, RunNotFoundError
            If it is neither, or does not fit.
        """
        kept = select(self.datasets, mask, "dataset")
        self._datasets = {dataset.name: dataset for dataset in kept}

    def filter_having_minimum_trials(self, min_trials: int) -> None:
        """Keep datasets of so many trials; what is not known yet is read first.

        Raises
        ------
        DatasetError
            If a dataset cannot be read; then all are kept.
        """
        self.load_info()
        self.filter_datasets(has_minimum_trials(self.datasets, min_trials))

    def filter_having_minimum_trials_for_batch_size(self, params: RunParams) -> None:
        """Keep datasets whose validation trials fill a batch (``c_batch_size``) of a setting.

        Raises
        ------
        DatasetError
            If a dataset cannot be read; then all are kept.
        """
        self.filter_having_minimum_trials(params.c_batch_size * (params.trainToTestRatio + 1))

    def filter_best_save_tag_each_date(self) -> None:
        """Keep, of each subject's datasets of one day, the one with the most trials.

        Where several parts of a recording (``saveTags``) overlap, only one of them may be trained
        on. What is not known yet is read first. Datasets without a date are kept.

        Raises
        ------
        DatasetError
            If a dataset cannot be read; then all are kept.
        """
        self.load_info()
        self.filter_datasets(is_best_of_its_day(self.datasets))

    @overload
    def match_datasets_by_name(self, names: str) -> Dataset: ...
    @overload
    def match_datasets_by_name(self, names: list[str] | tuple[str, ...]) -> list[Dataset]: ...
    def match_datasets_by_name(
        self, names: str | list[str] | tuple[str, ...]
    ) -> Dataset | list[Dataset]:
        """Find datasets by their names.

        Parameters
        ----------
        names : str, or list or tuple of str
            One name, or several.

        Returns
        -------
        Dataset or list of Dataset
            One for one name; a list, in the order of `names`, for several.

        Raises
        ------
        RunNotFoundError
            If there is no dataset of a name; the nearest one is offered.
        """
        if not isinstance(names, str):
            return [self.match_datasets_by_name(name) for name in names]
        found = self._datasets.get(names)
        if found is None:
            nearest = difflib.get_close_matches(names, self._datasets, n=1)
            remedy = f"did you mean {nearest[0]!r}?" if nearest else f"there are {self._listed()}"
            raise RunNotFoundError(f"no dataset is called {names!r}", remedy)
        return found

    def _listed(self) -> str:
        return ", ".join(map(repr, self._datasets)) or "none yet"

    def load_info(self, *, reload: bool = False) -> None:
        """Read what is known about each dataset.

        Parameters
        ----------
        reload : bool, default False
            Also of datasets where it is known already.

        Raises
        ------
        DatasetError
            If a dataset is missing, damaged, or without spikes.
        """
        waiting = [dataset for dataset in self if reload or not dataset.has_info]
        with showing_progress("Reading datasets", len(waiting)) as advance:
            for dataset in waiting:
                dataset.load_info()
                advance(dataset.name)

    def get_dataset_info_table(self) -> DatasetInfoTable:
        """Tabulate what is known about each dataset; what is not known yet is read first.

        Returns
        -------
        DatasetInfoTable
            A row for each dataset; print it to see it.
        """
        self.load_info()
        return DatasetInfoTable.of(self.datasets)

    def generate_display_text(self) -> str:
        """Describe the collection for people."""
        lines = [
            f'{class_title(type(self))} "{self.name}"',
            f"  {self.num_datasets} datasets in {short_path(self.path)}",
            *(f"  [{number:2d}] {dataset}" for number, dataset in enumerate(self, start=1)),
            "",
        ]
        dataset_class = class_title(type(self.datasets[0]) if self.datasets else Dataset)
        lines += attribute_lines(
            [
                ("name", f"'{self.name}'"),
                ("comment", f"'{self.comment}'"),
                ("path", f"'{short_path(self.path)}'"),
                ("datasets", f"[1x{self.num_datasets} {dataset_class}]"),
                ("num_datasets", str(self.num_datasets)),
            ]
        )
        return "\n".join(lines)

    __repr__ = generate_display_text

    def _repr_html_(self) -> str:
        from lfadsq.manager.html import dataset_collection_html

        return dataset_collection_html(self)


class Dataset:
    """One recording. It adds itself to its collection, in place of one with the same name.

    Override `load_data` for files of your own format, and `load_info_from_data` (or `load_info`, if
    that can be known without them) for what is known about them.

    Parameters
    ----------
    collection : DatasetCollection
        Where it belongs.
    relative_path : str or Path
        The file, from the collection's folder.

    Attributes
    ----------
    name : str
        The file's name without its ending, commas as underscores. It may hold dots.
    comment : str
        For people.
    subject, save_tags : str
        Who was recorded, and which parts of the recording these are; known after `load_info`.
    date : datetime.datetime or None
        When it was recorded.
    num_trials, num_channels : int
        Its size; 0 before `load_info`.
    raw_bin_ms : float or None [ms]
        Set it in your class where files do not tell how wide their bins are, neither as ``timeMs``
        nor as ``bin_ms``.

    Raises
    ------
    ConfigError
        If the name is empty or cannot be part of file names.
    """

    raw_bin_ms: ClassVar[float | None] = None

    def __init__(self, collection: DatasetCollection, relative_path: str | Path) -> None:
        self.collection = collection
        self.relative_path = Path(relative_path)
        self.name = check_name(dataset_name_of(self.relative_path), "dataset")
        self.comment = ""
        self.subject = ""
        self.date: datetime | None = None
        self.save_tags = ""
        self.num_trials = 0
        self.num_channels = 0
        collection.add_dataset(self)

    @property
    def path(self) -> Path:
        """The file."""
        return self.collection.path / self.relative_path

    @property
    def has_info(self) -> bool:
        """Whether `load_info` has run."""
        return self.num_trials > 0

    def load_data(self) -> dict[str, Any]:
        """Read the recording; override this for a format of your own.

        Returns
        -------
        dict of str to object
            Variables by name: MAT, HDF5 and npz files as `recordings.load_recording` reads them,
            files made for training as `lfadsq.datasets.layouts.as_recording` arranges them.

        Raises
        ------
        DatasetError
            If the file is missing or damaged, or its axes seem to be in another order.
        """
        return as_recording(load_recording(self.path), self.path, bin_ms=self.raw_bin_ms)

    def load_info(self) -> None:
        """Fill in what is known about the recording; override this if your files differ.

        Reads ``spikes`` (trial, channel, time), and ``subject``, ``saveTags``, ``date`` or
        ``datetime`` where they are given.

        Raises
        ------
        DatasetError
            If the file is missing or damaged, or has no ``spikes`` of three dimensions.
        """
        self.load_info_from_data(self.load_data())

    def load_info_from_data(self, data: dict[str, Any]) -> None:
        """Fill in what is known about the recording, once it is loaded; `load_info` calls this.

        Parameters
        ----------
        data : dict of str to object
            As `load_data` gives it.

        Raises
        ------
        DatasetError
            If it has no ``spikes`` of three dimensions.
        """
        spikes = np.asarray(data["spikes"]) if "spikes" in data else None
        if spikes is None or spikes.ndim != 3:
            found = (
                f"no spikes, but {list_variables(data) or 'nothing'}"
                if spikes is None
                else f"spikes of shape {spikes.shape}"
            )
            raise DatasetError(
                f"{self.path} has {found}",
                "let load_data give spikes as (trial, channel, time), or override "
                "load_info_from_data",
            )
        self.num_trials, self.num_channels = spikes.shape[:2]
        self.subject = _text(data.get("subject", ""))
        self.save_tags = _text(data.get("saveTags", ""))
        self.date = _date(data.get("date", data.get("datetime", "")))

    def get_single_run_name(self) -> str:
        """Name the run that trains on this dataset alone: ``single_<dataset>``."""
        return f"single_{self.name}"

    def __repr__(self) -> str:
        return f'{class_title(type(self))} "{self.name}"'

    def _repr_html_(self) -> str:
        from lfadsq.manager.html import dataset_html

        return dataset_html(self)


def _text(value: Any) -> str:
    return " ".join(str(element) for element in np.asarray(value).ravel())


def _date(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    text = _text(value)
    try:
        return datetime(1970, 1, 1) + timedelta(days=float(text) - _MATLAB_DATENUM_OF_1970)
    except (ValueError, OverflowError):
        pass
    for date_format in _DATE_FORMATS:
        try:
            return datetime.strptime(text, date_format)
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
