"""`AvailableResults`: what a run has written so far, from one look into its folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from lfadsq.files import storage_errors
from lfadsq.paths import RunPaths

__all__ = ["OLD_KINDS", "AvailableResults", "available_results"]

OLD_KINDS = {"posterior_sample_and_average": "posterior_sample"}
"""What older files call a kind of posterior means."""

_SPLITS = ("train", "valid")


class AvailableResults(NamedTuple):
    """What a run has written so far.

    Attributes
    ----------
    is_done : bool
        Whether its marker says so.
    has_fit_log : bool
        Whether `load_fit_log` finds a log; it may be empty still.
    has_model_trained_params : bool
        Whether `load_model_trained_params` finds the weights.
    posterior_means : tuple of str
        Datasets of which `load_posterior_means` finds the files of the run's kind, of training and
        validation trials.
    """

    is_done: bool
    has_fit_log: bool
    has_model_trained_params: bool
    posterior_means: tuple[str, ...]


def available_results(paths: RunPaths, dataset_names: Sequence[str], kind: str) -> AvailableResults:
    """Look what a run has written; no file is opened.

    Parameters
    ----------
    paths : RunPaths
        Files of the run.
    dataset_names : sequence of str
        Its datasets.
    kind : {"posterior_sample_and_average", "posterior_push_mean"}
        Of posterior means.

    Raises
    ------
    StorageError
        If the system does not let us look.
    """
    output = paths.output
    there: set[str] = set()
    with (
        storage_errors(output.folder, "read"),
        suppress(FileNotFoundError, NotADirectoryError),
        os.scandir(output.folder) as entries,
    ):
        there = {entry.name for entry in entries}
    kinds = {kind, OLD_KINDS.get(kind, kind)}
    sampled = [
        name
        for name in dataset_names
        if all(
            any(output.posterior_means(name, split, one).name in there for one in kinds)
            for split in _SPLITS
        )
    ]
    with storage_errors(paths.folder, "read"):
        is_done = paths.done.exists()
    return AvailableResults(
        is_done,
        output.fit_log().name in there,
        output.model_params.name in there,
        tuple(sampled),
    )
