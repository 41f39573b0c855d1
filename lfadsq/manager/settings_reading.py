"""Reading all settings of a collection: from ``summary.txt``, scripts, and input files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lfadsq.manager.collection_folders import CollectionFolders, RunFolder
from lfadsq.manager.hash_search import HashSearch
from lfadsq.manager.hyperparams import FLAG_PREFIX
from lfadsq.manager.opened_params import declare_params_class
from lfadsq.manager.params import RunParams
from lfadsq.manager.params_recovery import ParamsRecovery
from lfadsq.manager.run_evidence import InputFacts, TrainerRecord
from lfadsq.manager.summary_notes import SummaryNotes, declared_in, decoded
from lfadsq.manager.summary_reading import SummaryText
from lfadsq.paths import CollectionPaths, DataPaths

__all__ = ["SettingsReading"]

_log = logging.getLogger(__name__)

_PUBLISHED_TITLE = "lfadsq.RunParams"
_MOST_LISTED = 5
_SCALED = ("kl_increase_steps", "l2_increase_steps", "kl_start_step", "l2_start_step")
_LOGICALS_OF_SCALING = ("scaleIncreaseStepsWithDatasets", "scaleStartStepWithDatasets")


class SettingsReading:
    """Reads the settings of a collection from its summary, and what that lacks from its folders.

    Parameters
    ----------
    paths : CollectionPaths
        Files of the collection.
    folders : CollectionFolders
        Its folders.
    summary : SummaryText
        Its summary; empty if there is none.
    run_specs : dict of str to sequence of str
        Names of the datasets of each run specification.
    params_class : type
        `RunParams`, or the lab's own class.
    """

    def __init__(
        self,
        paths: CollectionPaths,
        folders: CollectionFolders,
        summary: SummaryText,
        run_specs: Mapping[str, Sequence[str]],
        params_class: type[RunParams],
    ) -> None:
        self._paths = paths
        self._folders = folders
        self._summary = summary
        self._run_specs = run_specs
        self._base = params_class
        self._search = HashSearch()
        self._recoveries: dict[str, ParamsRecovery] = {}
        self._facts: dict[tuple[Path, Path], InputFacts] = {}

    def settings(self) -> list[RunParams]:
        """Give all settings, in the order of the summary, then of the hashes."""
        notes = self._summary.notes
        listed = {setting.param_hash: setting for setting in self._summary.settings}
        for setting in listed.values():
            recovery = self._recovery(setting.class_title, notes)
            exact = notes.exact_values.get(setting.param_hash, {})
            recovery.read_text(
                setting,
                {name: decoded(value) for name, value in exact.items()},
                partial(self._texts_in_scripts, setting.param_hash),
            )
        titles = [setting.class_title for setting in listed.values()]
        for param_hash in self._folders.param_hashes:
            if param_hash not in listed:
                recovery = self._recovery(titles[-1] if titles else _PUBLISHED_TITLE, notes)
                data_hash, values = self._evidence(param_hash)
                recovery.read_values(param_hash, data_hash, values)
        settings: list[RunParams] = []
        unconfirmed: list[str] = []
        for recovery in self._recoveries.values():
            made, lacking = recovery.finish()
            settings += made
            unconfirmed += lacking
        if unconfirmed:
            _warn(self._paths.folder, unconfirmed)
        order = {param_hash: number for number, param_hash in enumerate(listed)}
        settings.sort(key=lambda params: order.get(params.param_hash, len(order)))
        return settings

    def _recovery(self, title: str, notes: SummaryNotes) -> ParamsRecovery:
        if title not in self._recoveries:
            base = declare_params_class(title, self._base, declared_in(notes, title))
            self._recoveries[title] = ParamsRecovery(title, base, self._paths.version, self._search)
        return self._recoveries[title]

    # --- what other files tell --------------------------------------------------------------------

    def _runs(self, param_hash: str) -> list[RunFolder]:
        runs = self._folders.runs(param_hash)
        return [run for run in runs if run.name in self._run_specs]

    def _texts_in_scripts(self, param_hash: str) -> dict[str, tuple[str, ...]]:
        for run in self._runs(param_hash):
            record = TrainerRecord.of_run(run.paths)
            if record.flags:
                return {FLAG_PREFIX + flag: texts for flag, texts in record.flags.items()}
        return {}

    def _evidence(self, param_hash: str) -> tuple[str, dict[str, list[Any]]]:
        """Give the data hash of a setting, and what its hyperparameters may be."""
        values: dict[str, list[Any]] = {
            "alignmentApproach": ["regressGlobalPCs", "ridgeRegressGlobalPCs"],
            "setInFactorsMatchDataForSingleDataset": [False, True],
        }
        data_hash = ""
        for run in self._runs(param_hash):
            record = TrainerRecord.of_run(run.paths)
            num_datasets = len(self._run_specs[run.name])
            if record.flags:
                values.update(_values_of_record(record, num_datasets))
            facts, found = self._input_facts(run)
            data_hash = found or data_hash
            values.update(_values_of_facts(facts, num_datasets))
            if record.flags and data_hash:
                break
        if not data_hash and len(self._folders.data_hashes) == 1:
            data_hash = self._folders.data_hashes[0]
        return data_hash, values

    def _input_facts(self, run: RunFolder) -> tuple[InputFacts, str]:
        """Read what the prepared input of a run tells, and give its data hash."""
        dataset = self._run_specs[run.name][0]
        files = [(run.paths.input_h5(dataset), run.paths.input_info(dataset))]
        data_hash = run.linked_data_hash()
        if data_hash:
            data = DataPaths(self._paths.data(data_hash, run.name))
            files.insert(0, (data.input_h5(dataset), data.input_info(dataset)))
        there = [pair for pair in files if pair[0].exists() or pair[1].exists()]
        if not there:
            return InputFacts(), data_hash
        if there[0] not in self._facts:
            self._facts[there[0]] = InputFacts.of_files(*there[0])
        facts = self._facts[there[0]]
        return facts, data_hash or facts.data_hash


def _values_of_record(record: TrainerRecord, num_datasets: int) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {}
    for flag, texts in record.flags.items():
        options: list[Any] = list(texts)
        if flag in _SCALED and num_datasets > 1:
            options = [each for text in texts for each in _unscaled(text, num_datasets)]
        values[FLAG_PREFIX + flag] = options
    if num_datasets > 1:
        values |= {name: [True, False] for name in _LOGICALS_OF_SCALING}
    else:
        values |= {name: [True] for name in _LOGICALS_OF_SCALING}
    if record.posterior_mean_kind:
        values["posterior_mean_kind"] = [record.posterior_mean_kind]
    if record.num_samples_posterior:
        values["num_samples_posterior"] = [record.num_samples_posterior]
    return values


def _unscaled(text: str, num_datasets: int) -> list[str]:
    """Undo the multiplication by the number of datasets; it may not have been done."""
    if text.isdecimal() and int(text) % num_datasets == 0:
        return [str(int(text) // num_datasets), text]
    return [text]


def _values_of_facts(facts: InputFacts, num_datasets: int) -> dict[str, list[Any]]:
    used, other = "useAlignmentMatrix", "useSingleDatasetAlignmentMatrix"
    if num_datasets == 1:
        used, other = other, used
    values: dict[str, list[Any]] = {
        used: [facts.is_aligned, not facts.is_aligned],
        other: [False, True],
    }
    if facts.spike_bins_ms:
        values["spikeBinMs"] = list(facts.spike_bins_ms)
    if facts.train_to_test_ratio is not None:
        values["trainToTestRatio"] = [facts.train_to_test_ratio]
    return values


def _warn(folder: Path, unconfirmed: Sequence[str]) -> None:
    listed = ", ".join(f"param_{param_hash}" for param_hash in unconfirmed[:_MOST_LISTED])
    if len(unconfirmed) > _MOST_LISTED:
        listed += f" and {len(unconfirmed) - _MOST_LISTED} more"
    _log.warning(
        "%s: the hashes of %s cannot be computed from what is on disk. Their runs keep the names "
        "of their folders and everything loads, but some values shown are not exactly those that "
        "were hashed, and a changed copy gets another hash than the drive script would give it; if "
        "that matters, give your own class: RunCollection.open(path, params_class=MyRunParams)",
        folder,
        listed,
    )
