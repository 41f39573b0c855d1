"""`PosteriorMeans`: what a trained model infers for every trial, in the order of the trials."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultNotReadyError, ResultShapeError
from lfadsq.files import storage_errors
from lfadsq.paths import DataPaths, RunPaths
from lfadsq.results.trial_split import TrialSplit

__all__ = ["PosteriorMeans"]

_log = logging.getLogger(__name__)

_MS_PER_S = 1000.0
_SPLITS = ("train", "valid")
_OLD_KINDS = {"posterior_sample_and_average": "posterior_sample"}
_REQUIRED = ("output_dist_params", "factors")
_OPTIONAL = {
    "generator_states": "gen_states",
    "generator_ics": "gen_ics",
    "controller_outputs": "controller_outputs",
    "post_g0_mean": "post_g0_mean",
    "post_g0_logvar": "post_g0_logvar",
    "costs": "costs",
    "nll_bound_vaes": "nll_bound_vaes",
    "nll_bound_iwaes": "nll_bound_iwaes",
}
"""Attributes of `PosteriorMeans`, and the keys of the files."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PosteriorMeans:
    """What a trained model infers for every trial of a dataset.

    Trials are in the order of the recording, training and validation trials together. Axes are
    those of the files: MATLAB shows the same arrays as (unit, time, trial). What older files lack
    is None.

    Attributes
    ----------
    dataset_name : str
        The dataset.
    kind : str
        ``posterior_sample_and_average`` or ``posterior_push_mean``.
    time_ms : numpy.ndarray, shape (time,), float64 [ms]
        Start of each bin, from the start of the trial.
    bin_ms : float [ms]
        Width of a bin.
    output_means : numpy.ndarray, shape (trial, time, channel), float64 [data unit/bin]
        Means of the output. Of spikes: expected counts of a bin. Of gaussian output: what is
        expected of the data as the model saw them, that is, summed over the raw bins of a bin;
        divide by their number (spikeBinMs / width of a raw bin) for the unit of the recording.
    output_variances : numpy.ndarray or None, shape (trial, time, channel), float64
        Variances of gaussian output, of the same sums: divide by the square of that number. None
        for spikes, whose variance is the mean.
    factors : numpy.ndarray, shape (trial, time, factor), float64
        Factors.
    generator_states : numpy.ndarray or None, shape (trial, time, gen_dim), float64
        States of the generator.
    generator_ics : numpy.ndarray or None, shape (trial, gen_dim), float64
        Initial states of the generator.
    controller_outputs : numpy.ndarray or None, shape (trial, time, co_dim), float64
        Inferred inputs; None without a controller.
    post_g0_mean, post_g0_logvar : numpy.ndarray or None, shape (trial, ic_dim), float64
        Posterior of the initial condition.
    costs, nll_bound_vaes, nll_bound_iwaes : numpy.ndarray or None, shape (trial,), float64
        Cost and bounds on the negative log-likelihood [nats].
    train_inds, valid_inds : numpy.ndarray, shape (n,), int64
        Which trials trained and which validated, from 0.
    """

    dataset_name: str
    kind: str
    time_ms: Array
    bin_ms: float
    output_means: Array
    output_variances: Array | None
    factors: Array
    generator_states: Array | None
    generator_ics: Array | None
    controller_outputs: Array | None
    post_g0_mean: Array | None
    post_g0_logvar: Array | None
    costs: Array | None
    nll_bound_vaes: Array | None
    nll_bound_iwaes: Array | None
    train_inds: npt.NDArray[np.int64]
    valid_inds: npt.NDArray[np.int64]

    def _repr_html_(self) -> str:
        from lfadsq.results.html import posterior_means_html

        return posterior_means_html(self)

    @property
    def num_trials(self) -> int:
        """Number of trials, training and validation together."""
        return len(self.output_means)

    @property
    def is_gaussian(self) -> bool:
        """Whether the output is gaussian, and not counts of spikes."""
        return self.output_variances is not None

    @cached_property
    def rates(self) -> Array:
        """Firing rates: the expected counts of a bin, divided by its width.

        Returns
        -------
        numpy.ndarray, shape (trial, time, channel), float64 [spikes/s]

        Raises
        ------
        ResultShapeError
            If the output is gaussian, so that there are none.
        """
        if self.is_gaussian:
            raise ResultShapeError(
                f"the output of {self.dataset_name} is gaussian, so it has no firing rates",
                "take output_means and output_variances",
            )
        return self.output_means * (_MS_PER_S / self.bin_ms)

    @classmethod
    def load(
        cls,
        paths: RunPaths,
        dataset_name: str,
        kind: str,
        spike_bin_ms: float,
        data_paths: DataPaths | None = None,
    ) -> PosteriorMeans:
        """Read the posterior means of one dataset of a run.

        Parameters
        ----------
        paths : RunPaths
            Files of the run.
        dataset_name : str
            The dataset, without extension.
        kind : {"posterior_sample_and_average", "posterior_push_mean"}
            How they were computed. Older files of the first kind are named ``posterior_sample``.
        spike_bin_ms : float
            Width of the bins that the model saw [ms].
        data_paths : DataPaths, optional
            Where its prepared data lie, for collections whose links lead elsewhere by now.

        Returns
        -------
        PosteriorMeans

        Raises
        ------
        ResultNotReadyError
            If the run has not written them.
        ResultShapeError
            If a file is damaged, or does not fit the run's input.
        StorageError
            If a file cannot be read.
        """
        trials = TrialSplit.load(paths, dataset_name, data_paths)
        inds, num_channels = trials.inds, trials.num_channels
        parts = {}
        for split in (split for split in _SPLITS if len(inds[split])):
            path = _path_of(paths, dataset_name, split, kind)
            parts[split] = _read(path, _REQUIRED, tuple(_OPTIONAL.values()))
            num_trials, *_, num_columns = parts[split]["output_dist_params"].shape
            if num_columns not in (num_channels, 2 * num_channels):
                raise ResultShapeError(
                    f"{path} has {num_columns} values in a bin, for {num_channels} channels",
                    f"sample again: bash {paths.posterior_mean_script}",
                )
            if num_trials != len(inds[split]):
                raise ResultShapeError(
                    f"{path} has {num_trials} trials, the run's input {len(inds[split])}",
                    f"sample again: bash {paths.posterior_mean_script}",
                )

        order = np.argsort(np.concatenate([inds[split] for split in parts]))

        missing = [key for key in _OPTIONAL.values() if any(key not in p for p in parts.values())]
        # Without a controller there is nothing to be missed.
        missed = [key for key in missing if key != "controller_outputs"]
        if missed:
            _log.warning(
                "posterior means of %s in %s have no %s: None stands in their place",
                dataset_name,
                paths.lfads_output,
                ", ".join(missed),
            )

        def in_trial_order(key: str) -> Array | None:
            if key in missing:
                return None
            joined: Array = np.concatenate([part.pop(key) for part in parts.values()])[order]
            return joined

        output, factors = in_trial_order("output_dist_params"), in_trial_order("factors")
        assert output is not None
        assert factors is not None
        return cls(
            dataset_name=dataset_name,
            kind=kind,
            time_ms=np.arange(output.shape[1], dtype=np.float64) * spike_bin_ms,
            bin_ms=spike_bin_ms,
            output_means=output[..., :num_channels],
            output_variances=output[..., num_channels:] if output.shape[2] > num_channels else None,
            factors=factors,
            **{attribute: in_trial_order(key) for attribute, key in _OPTIONAL.items()},
            train_inds=inds["train"],
            valid_inds=inds["valid"],
        )


def _path_of(paths: RunPaths, dataset_name: str, split: str, kind: str) -> Path:
    path = paths.output.posterior_means(dataset_name, split, kind)
    if not path.exists() and kind in _OLD_KINDS:
        older = paths.output.posterior_means(dataset_name, split, _OLD_KINDS[kind])
        return older if older.exists() else path
    return path


def _read(
    path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, Array]:
    if not path.exists():
        raise ResultNotReadyError(
            f"{path} is not there", "train the run first; it is written when training has ended"
        )
    with storage_errors(path, "read"), h5py.File(path) as stored:
        missing = set(required) - set(stored)
        if missing:
            raise ResultShapeError(f"{path} has no {', '.join(sorted(missing))}", "write it again")
        keys = (*required, *(key for key in optional if key in stored))
        return {key: stored[key][()] for key in keys}
