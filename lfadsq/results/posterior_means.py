"""`PosteriorMeans`: what a trained model infers for every trial, in the order of the trials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultNotReadyError, ResultShapeError
from lfadsq.files import storage_errors
from lfadsq.paths import RunPaths

__all__ = ["PosteriorMeans"]

_MS_PER_S = 1000.0
_SPLITS = ("train", "valid")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PosteriorMeans:
    """What a trained model infers for every trial of a dataset.

    Trials are in the order of the recording, training and validation trials together. Axes are
    those of the files: MATLAB shows the same arrays as (unit, time, trial).

    Attributes
    ----------
    dataset_name : str
        The dataset.
    kind : str
        ``posterior_sample_and_average`` or ``posterior_push_mean``.
    time_ms : numpy.ndarray, shape (time,), float64 [ms]
        Start of each bin, from the start of the trial.
    rates : numpy.ndarray, shape (trial, time, channel), float64 [spikes/s]
        Firing rates: the expected counts of a bin, divided by its width.
    factors : numpy.ndarray, shape (trial, time, factor), float64
        Factors.
    generator_states : numpy.ndarray, shape (trial, time, gen_dim), float64
        States of the generator.
    generator_ics : numpy.ndarray, shape (trial, gen_dim), float64
        Initial states of the generator.
    controller_outputs : numpy.ndarray or None, shape (trial, time, co_dim), float64
        Inferred inputs; None without a controller.
    post_g0_mean, post_g0_logvar : numpy.ndarray, shape (trial, ic_dim), float64
        Posterior of the initial condition.
    costs, nll_bound_vaes, nll_bound_iwaes : numpy.ndarray, shape (trial,), float64
        Cost and bounds on the negative log-likelihood [nats].
    train_inds, valid_inds : numpy.ndarray, shape (n,), int64
        Which trials trained and which validated, from 0.
    """

    dataset_name: str
    kind: str
    time_ms: Array
    rates: Array
    factors: Array
    generator_states: Array
    generator_ics: Array
    controller_outputs: Array | None
    post_g0_mean: Array
    post_g0_logvar: Array
    costs: Array
    nll_bound_vaes: Array
    nll_bound_iwaes: Array
    train_inds: npt.NDArray[np.int64]
    valid_inds: npt.NDArray[np.int64]

    @property
    def num_trials(self) -> int:
        """Number of trials, training and validation together."""
        return len(self.rates)

    @classmethod
    def load(
        cls, paths: RunPaths, dataset_name: str, kind: str, spike_bin_ms: float
    ) -> PosteriorMeans:
        """Read the posterior means of one dataset of a run.

        Parameters
        ----------
        paths : RunPaths
            Files of the run.
        dataset_name : str
            The dataset, without extension.
        kind : {"posterior_sample_and_average", "posterior_push_mean"}
            How they were computed.
        spike_bin_ms : float
            Width of the bins that the model saw [ms].

        Returns
        -------
        PosteriorMeans

        Raises
        ------
        ResultNotReadyError
            If the run has not written them.
        ResultShapeError
            If a file is damaged, does not fit the run's input, or holds no firing rates because
            the output is Gaussian.
        StorageError
            If a file cannot be read.
        """
        split_of_inds = _read(paths.input_h5(dataset_name), ["train_inds", "valid_inds"])
        inds = {
            split: split_of_inds[f"{split}_inds"].ravel().astype(np.int64) - 1 for split in _SPLITS
        }
        parts = {
            split: _read(paths.output.posterior_means(dataset_name, split, kind))
            for split in _SPLITS
            if len(inds[split])
        }
        num_channels = _num_channels(paths.input_h5(dataset_name))
        for split, part in parts.items():
            num_trials, *_, num_columns = part["output_dist_params"].shape
            if num_columns != num_channels:
                raise ResultShapeError(
                    f"{paths.output.posterior_means(dataset_name, split, kind)} has {num_columns} "
                    f"values in a bin, for {num_channels} channels: no firing rates",
                    "with Gaussian output it holds means, then variances: read its "
                    "output_dist_params with h5py",
                )
            if num_trials != len(inds[split]):
                raise ResultShapeError(
                    f"{paths.output.posterior_means(dataset_name, split, kind)} has {num_trials} "
                    f"trials, the run's input {len(inds[split])}",
                    f"sample again: bash {paths.posterior_mean_script}",
                )

        order = np.argsort(np.concatenate([inds[split] for split in parts]))

        def in_trial_order(key: str) -> Array:
            joined: Array = np.concatenate([part[key] for part in parts.values()])[order]
            return joined

        has_controller = all("controller_outputs" in part for part in parts.values())
        rates = in_trial_order("output_dist_params") * (_MS_PER_S / spike_bin_ms)
        return cls(
            dataset_name=dataset_name,
            kind=kind,
            time_ms=np.arange(rates.shape[1], dtype=np.float64) * spike_bin_ms,
            rates=rates,
            factors=in_trial_order("factors"),
            generator_states=in_trial_order("gen_states"),
            generator_ics=in_trial_order("gen_ics"),
            controller_outputs=in_trial_order("controller_outputs") if has_controller else None,
            post_g0_mean=in_trial_order("post_g0_mean"),
            post_g0_logvar=in_trial_order("post_g0_logvar"),
            costs=in_trial_order("costs"),
            nll_bound_vaes=in_trial_order("nll_bound_vaes"),
            nll_bound_iwaes=in_trial_order("nll_bound_iwaes"),
            train_inds=inds["train"],
            valid_inds=inds["valid"],
        )


def _num_channels(path: Path) -> int:
    with storage_errors(path, "read"), h5py.File(path) as stored:
        if "train_data" not in stored:
            raise ResultShapeError(f"{path} has no train_data", "prepare the run again")
        return int(stored["train_data"].shape[-1])


def _read(path: Path, keys: list[str] | None = None) -> dict[str, Array]:
    if not path.exists():
        raise ResultNotReadyError(
            f"{path} is not there", "train the run first; it is written when training has ended"
        )
    with storage_errors(path, "read"), h5py.File(path) as stored:
        missing = set(keys or ("output_dist_params",)) - set(stored)
        if missing:
            raise ResultShapeError(f"{path} has no {', '.join(sorted(missing))}", "write it again")
        return {key: stored[key][()] for key in (keys or stored)}
