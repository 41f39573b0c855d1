"""What the folders of a collection tell: its settings, its runs and their datasets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lfadsq.files import storage_errors
from lfadsq.paths import (
    LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA,
    CollectionPaths,
    RunPaths,
    input_file_name,
    input_info_name,
)

__all__ = ["CollectionFolders", "RunFolder"]

_PARAM_FOLDER = re.compile(r"param_([\w-]{6})", re.ASCII)
_DATA_FOLDER = re.compile(r"data_([\w-]{6})", re.ASCII)
_TASK = re.compile(r"lfads_param_([\w-]{6})_run\d+_", re.ASCII)
_IN_LINK = re.compile(r"(?:^|/)data_([\w-]{6})/((?:[^/]+/)?)[^/]+$", re.ASCII)
_INPUT_FILE = re.compile(re.escape(input_file_name("\0")).replace("\0", "(.+)"), re.DOTALL)
_INPUT_INFO = re.compile(re.escape(input_info_name("\0")).replace("\0", "(.+)"), re.DOTALL)


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    Attributes
    ----------
    paths : RunPaths
        Its files.
    name : str
        Its name, which is that of its run specification.
    """

    paths: RunPaths
    name: str

    @property
    def is_run(self) -> bool:
        """Whether it holds anything of a run."""
        paths = self.paths
        places = (paths.lfads_input, paths.lfads_output, *paths.scripts)
        return any(os.path.lexists(path) for path in places)

    def dataset_names(self) -> list[str]:
        """List the datasets that its ``lfadsInput`` names, sorted, whether links lead on or not."""
        return _datasets_in(self.paths.lfads_input)

    def linked_data_hash(self) -> str:
        """Give the data hash to which its links lead; empty if it has none."""
        return next((found[1] for found in self._links()), "")

    def linked_without_run_name(self) -> bool | None:
        """Tell whether its links lead into ``data_<HASH>`` itself; None if it has none."""
        return next((not found[2] for found in self._links()), None)

    def _links(self) -> Iterator[re.Match[str]]:
        for path in _entries(self.paths.lfads_input):
            if path.is_symlink() and (found := _IN_LINK.search(str(path.readlink()))):
                yield found


class CollectionFolders:
    """The folders of a collection, each of which is listed once.

    Parameters
    ----------
    folder : Path
        ``<root>/<collection>``.

    Raises
    ------
    StorageError
        If it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with storage_errors(folder, "read"):
            names = sorted(path.name for path in folder.iterdir())
        found = [_PARAM_FOLDER.fullmatch(name) for name in names]
        param_hashes = [one[1] for one in found if one and (folder / one[0]).is_dir()]
        order = _order_in_queue(CollectionPaths(folder).queue_script)
        self.param_hashes = sorted(param_hashes, key=lambda one: order.get(one, len(order)))
        found = [_DATA_FOLDER.fullmatch(name) for name in names]
        self.data_hashes = [one[1] for one in found if one and (folder / one[0]).is_dir()]
        self._runs: dict[str, list[RunFolder]] = {}

    def runs(self, param_hash: str) -> list[RunFolder]:
        """List the folders in ``param_<HASH>``, sorted by name; none if that is missing."""
        if param_hash not in self._runs:
            paths = CollectionPaths(self.folder)
            self._runs[param_hash] = [
                RunFolder(paths.run(param_hash, path.name), path.name)
                for path in _entries(paths.params(param_hash))
                if path.is_dir()
            ]
        return self._runs[param_hash]

    def version(self) -> int:
        """Find the version from where data lie: the latest of those that lie so."""
        for data_hash in self.data_hashes:
            entries = _entries(CollectionPaths(self.folder).data_root(data_hash))
            if _datasets_in_entries(entries):
                return LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA
            if any(path.is_dir() for path in entries):
                return LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA + 1
        for param_hash in self.param_hashes:
            for run in self.runs(param_hash):
                is_old = run.linked_without_run_name()
                if is_old is not None:
                    return LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA + (not is_old)
        return LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA + 1

    def datasets_of_run(self, run_name: str, version: int) -> list[str]:
        """List the datasets of the runs of this name: from their input, or else their data."""
        for param_hash in self.param_hashes:
            for run in self.runs(param_hash):
                if run.name == run_name and (names := run.dataset_names()):
                    return names
        for data_hash in self.data_hashes:
            if version > LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA and (
                names := _datasets_in(
                    CollectionPaths(self.folder, version).data(data_hash, run_name)
                )
            ):
                return names
        return []


def _order_in_queue(script: Path) -> dict[str, int]:
    """Give each setting its place in a queue script, whose tasks have hashes in their names."""
    try:
        text = script.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    hashes = dict.fromkeys(_TASK.findall(text))
    return {param_hash: number for number, param_hash in enumerate(hashes)}


def _entries(folder: Path) -> list[Path]:
    """List a folder, sorted; one that is missing, or may not be read, has nothing."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _datasets_in(folder: Path) -> list[str]:
    return _datasets_in_entries(_entries(folder))


def _datasets_in_entries(entries: list[Path]) -> list[str]:
    found = [
        _INPUT_FILE.fullmatch(path.name) or _INPUT_INFO.fullmatch(path.name) for path in entries
    ]
    return sorted({one[1] for one in found if one})
