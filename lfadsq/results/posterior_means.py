"""`PosteriorMeans`: what a trained model infers for every trial, in the order of the trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ConfigError
from lfadsq.paths import DataPaths, RunPaths
from lfadsq.results.condition_ids import condition_array
from lfadsq.results.model_input import ModelInput, load_model_input
from lfadsq.results.posterior_files import find_posterior_means
from lfadsq.results.posterior_variables import MS_PER_S, PosteriorVariables
from lfadsq.results.trial_split import TrialSplit
from lfadsq.results.variables import GIVEN, VARIABLES

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["PosteriorMeans"]


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorMeans(PosteriorVariables):
    """What a trained model infers for every trial of a dataset.

    Trials are in the order of the recording, training and validation trials together. Axes are
    those of the files: MATLAB shows the same arrays as (unit, time, trial). What older files lack,
    and what a model or a recording does not have, is None.

    Arrays are read when they are first used, each by itself, and kept from then on. `lazy` and
    `to_xarray` give them without reading; no file stays open.

    Attributes
    ----------
    dataset_name : str
        The dataset.
    kind : str
        ``posterior_sample_and_average`` or ``posterior_push_mean``.
    bin_ms : float [ms]
        Width of a bin.
    train_inds, valid_inds : numpy.ndarray, shape (n,), int64
        Which trials trained and which validated, from 0.
    inferred : mapping of str to TrialArray or numpy.ndarray
        What the files of posterior means hold, not read yet.
    origin : mapping of str to str
        Where they come from, as far as it is known: ``collection``, ``run``, ``param_hash``,
        ``data_hash``.
    params : RunParams or None
        Hyperparameters of the run, if it was loaded by one.
    """

    @classmethod
    def load(
        cls,
        paths: RunPaths,
        dataset_name: str,
        kind: str,
        spike_bin_ms: float,
        data_paths: DataPaths | None = None,
        params: Any = None,
    ) -> PosteriorMeans:
        """Find the posterior means of one dataset of a run.

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
        params : RunParams, optional
            Hyperparameters of the run, to be kept with its results.

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
            If a file cannot be read, or is damaged.
        """
        split = TrialSplit.load(paths, dataset_name, data_paths)
        return cls(
            dataset_name=dataset_name,
            kind=kind,
            bin_ms=spike_bin_ms,
            train_inds=split.inds["train"],
            valid_inds=split.inds["valid"],
            inferred=find_posterior_means(paths, dataset_name, kind, split),
            find_input=partial(load_model_input, paths, dataset_name, data_paths, split),
            origin=_origin(paths, data_paths),
            params=params,
        )

    @classmethod
    def from_arrays(
        cls,
        *,
        bin_ms: float,
        valid_inds: npt.ArrayLike = (),
        dataset_name: str = "dataset",
        kind: str = "posterior_sample_and_average",
        condition_ids: npt.ArrayLike | None = None,
        start_ms: float = 0.0,
        **arrays: npt.NDArray[Any] | None,
    ) -> PosteriorMeans:
        """Make posterior means of arrays: of another program's results, or to try things out.

        Parameters
        ----------
        bin_ms : float
            Width of a bin [ms].
        valid_inds : array_like of int, optional
            Which trials validated, from 0; the others trained.
        dataset_name, kind : str
            As in the attributes.
        condition_ids : array_like, shape (trial,), optional
            Condition of each trial.
        start_ms : float, default 0
            Time of the first bin [ms].
        **arrays : numpy.ndarray
            By the names of the attributes, with their axes: `output_means` (or `rates`) and
            `factors` at least.

        Raises
        ------
        ConfigError
            If an array is unknown, missing, or does not fit the others.
        """
        given = {name: np.asarray(one) for name, one in arrays.items() if one is not None}
        if "rates" in given:
            given["output_means"] = given.pop("rates") * (bin_ms / MS_PER_S)
        _check_arrays(given)
        num_trials = len(given["output_means"])
        conditions = None if condition_ids is None else condition_array(condition_ids)
        if conditions is not None and len(conditions) != num_trials:
            raise ConfigError(
                f"condition_ids has {len(conditions)} along trial, other arrays {num_trials}",
                "give one for each trial",
            )
        is_valid = np.isin(np.arange(num_trials), valid_inds)
        if is_valid.sum() != np.size(valid_inds):
            raise ConfigError(
                f"valid_inds {np.asarray(valid_inds).tolist()} are not some of {num_trials} trials",
                "give indices from 0, each once",
            )
        known = ModelInput(
            **{name: given.pop(name, None) for name in GIVEN},
            condition_ids=conditions,
            start_ms=start_ms,
        )
        return cls(
            dataset_name=dataset_name,
            kind=kind,
            bin_ms=bin_ms,
            train_inds=np.flatnonzero(~is_valid),
            valid_inds=np.flatnonzero(is_valid),
            inferred=given,
            find_input=partial(_same, known),
        )

    def to_xarray(self) -> xr.Dataset:
        """Give everything with labelled axes.

        Returns
        -------
        xarray.Dataset
            Variables by the names of the attributes; those that the data do not have are left out.
            Dimensions ``trial``, ``time``, ``channel``, ``factor``, ``generator_state``,
            ``controller_output``, ``ic``, ``external_input``; coordinates ``trial`` (from 1),
            ``time`` [ms], ``split`` ("train" or "valid") and ``condition``. Values are read when
            they are used, and only those asked for: ``ds.rates[3:5]``, ``ds.sel(trial=7)``,
            ``ds.rates.sel(trial=ds.split == "valid")``. ``ds.chunk("auto")`` makes dask arrays of
            them.

        Raises
        ------
        ResultShapeError, StorageError
            If the run's input is damaged.
        """
        from lfadsq.results.labelled import labelled_dataset

        return labelled_dataset(self)

    def condition_averages(
        self,
        variable: str = "rates",
        trials: Literal["all", "train", "valid"] = "all",
        conditions: npt.ArrayLike | None = None,
    ) -> xr.DataArray:
        """Average over the trials of each condition; trials without one are left out.

        Parameters
        ----------
        variable : str, default "rates"
            What to average, by its name.
        trials : {"all", "train", "valid"}
            Which trials.
        conditions : array_like, shape (trial,), optional
            Condition of each trial: numbers or text; by default those of the recording.

        Returns
        -------
        xarray.DataArray
            ``condition`` in place of ``trial``, in ascending order, with the coordinate
            ``num_trials``. An array that was not read before is read in pieces and not kept.

        Raises
        ------
        ConfigError
            If there is no such variable or choice, or no trial has a condition.
        """
        from lfadsq.results.averages import condition_averages

        return condition_averages(self, variable, trials, conditions)

    @staticmethod
    def concatenate(
        several: Iterable[PosteriorMeans], *, same_channels: bool | None = None
    ) -> xr.Dataset:
        """Put trials of several datasets or runs one after another, without reading them.

        Parameters
        ----------
        several : iterable of PosteriorMeans
            Of the same bins.
        same_channels : bool, optional
            Whether a channel of one is the same channel in all. By default it is so if all are of
            one dataset. If not, rates, counts and all else by channel are left out.

        Returns
        -------
        xarray.Dataset
            As `to_xarray` gives it, with the coordinate ``dataset`` along the trials, and ``run``
            if there are several. What is not in all of them, or has other units (factors of
            models of other size), is left out.

        Raises
        ------
        ConfigError
            If there is nothing, or bins or channels differ.
        """
        from lfadsq.results.concatenation import concatenate

        return concatenate(several, same_channels=same_channels)

    def _repr_html_(self) -> str:
        from lfadsq.results.html import posterior_means_html

        return posterior_means_html(self)

    def __repr__(self) -> str:
        arrays, problem = self.describe()
        lines = [
            f'{type(self).__name__} "{self.dataset_name}", {self.kind}: {self.num_trials} trials, '
            f"{len(self.train_inds)} of training and {len(self.valid_inds)} of validation",
            *(f"  {name:<19}{' x '.join(map(str, array.shape))}" for name, array in arrays),
        ]
        return "\n".join([*lines, problem] if problem else lines)


def _same(known: ModelInput) -> ModelInput:
    return known


def _origin(paths: RunPaths, data_paths: DataPaths | None) -> dict[str, str]:
    """Name the run by its folders: ``<collection>/param_<HASH>/<run name>`` (FORMATS.md 1)."""
    folder = paths.folder
    origin = {
        "run": folder.name,
        "param_hash": folder.parent.name.removeprefix("param_"),
        "collection": folder.parent.parent.name,
    }
    if data_paths is not None:
        names = [one.name for one in (data_paths.folder, data_paths.folder.parent)]
        data = next((name for name in names if name.startswith("data_")), "")
        origin["data_hash"] = data.removeprefix("data_")
    return origin


def _check_arrays(given: Mapping[str, npt.NDArray[Any]]) -> None:
    unknown = [name for name in given if name not in VARIABLES]
    missing = [name for name in ("output_means", "factors") if name not in given]
    if unknown or missing:
        problem = f"there is no {', '.join(unknown)}" if unknown else f"no {', '.join(missing)}"
        raise ConfigError(f"{problem} among the arrays", f"known are {', '.join(VARIABLES)}")
    lengths: dict[str, int] = {}
    for name, array in given.items():
        dims = VARIABLES[name].dims
        if array.ndim != len(dims):
            raise ConfigError(f"{name} has shape {array.shape}", f"give ({', '.join(dims)})")
        for dim, length in zip(dims, array.shape, strict=True):
            if lengths.setdefault(dim, length) != length:
                raise ConfigError(
                    f"{name} has {length} along {dim}, other arrays {lengths[dim]}",
                    "give arrays of the same trials, bins and units",
                )
