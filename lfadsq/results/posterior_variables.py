"""The variables of posterior means, each read when it is first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ConfigError, ResultError, ResultShapeError, StorageError
from lfadsq.results.model_input import ModelInput
from lfadsq.results.trial_arrays import TrialArray, TrialValues
from lfadsq.results.variables import GIVEN, VARIABLES

__all__ = ["MS_PER_S", "PosteriorVariables"]

MS_PER_S = 1000.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorVariables:
    """What is known of every trial; see `lfadsq.results.posterior_means.PosteriorMeans`.

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
    find_input : callable
        Finds what the model was given, when that is first asked for.
    origin : mapping of str to str
        Where they come from, as far as it is known: ``collection``, ``run``, ``param_hash``,
        ``data_hash``.
    params : RunParams or None
        Hyperparameters of the run, if it was loaded by one.
    """

    dataset_name: str
    kind: str
    bin_ms: float
    train_inds: npt.NDArray[np.int64]
    valid_inds: npt.NDArray[np.int64]
    inferred: Mapping[str, TrialValues]
    find_input: Callable[[], ModelInput] = ModelInput
    origin: Mapping[str, str] = field(default_factory=dict)
    params: Any = None

    # --- of all trials ----------------------------------------------------------------------------

    @cached_property
    def trials(self) -> npt.NDArray[np.int64]:
        """All trials, in the order of the recording, from 0; shape (trial,), int64."""
        return np.sort(np.concatenate([self.train_inds, self.valid_inds]))

    @property
    def num_trials(self) -> int:
        """Number of trials, training and validation together."""
        return len(self.train_inds) + len(self.valid_inds)

    @cached_property
    def is_valid(self) -> npt.NDArray[np.bool_]:
        """Whether each trial validated, shape (trial,), bool."""
        return np.isin(self.trials, self.valid_inds)

    @property
    def num_bins(self) -> int:
        """Number of bins of a trial."""
        return self.inferred["output_means"].shape[1]

    @property
    def num_channels(self) -> int:
        """Number of channels of the dataset."""
        return self.inferred["output_means"].shape[2]

    @property
    def num_factors(self) -> int:
        """Number of factors."""
        return self.inferred["factors"].shape[2]

    @property
    def num_generator_units(self) -> int:
        """Number of units of the generator; 0 if neither its states nor its ICs are there."""
        return self._length("generator_states") or self._length("generator_ics")

    @property
    def num_controller_outputs(self) -> int:
        """Number of inferred inputs; 0 without a controller."""
        return self._length("controller_outputs")

    @property
    def is_gaussian(self) -> bool:
        """Whether the output is gaussian, and not counts of spikes."""
        return "output_variances" in self.inferred

    @cached_property
    def time_ms(self) -> Array:
        """Start of each bin, as the recording counts time; shape (time,), float64 [ms].

        From the start of the trial, where the recording's own times are not there.
        """
        return self._input.start_ms + np.arange(self.num_bins, dtype=np.float64) * self.bin_ms

    @property
    def condition_ids(self) -> npt.NDArray[Any] | None:
        """Condition of each trial, as the recording has it, shape (trial,).

        int64, float64 (NaN: none), text (``""``: none), or objects where these are mixed; None if
        the recording has no conditions.
        """
        return self._input.condition_ids

    # --- what the model infers --------------------------------------------------------------------

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
        if "output_means" in self.__dict__:
            self._check_has_rates()
            return self.output_means * (MS_PER_S / self.bin_ms)
        rates: Array = np.asarray(self.lazy("rates"))
        return rates

    @cached_property
    def output_means(self) -> Array:
        """Means of the output, shape (trial, time, channel), float64 [data unit/bin].

        Of spikes: expected counts of a bin. Of gaussian output: what is expected of the data as the
        model saw them, that is, summed over the raw bins of a bin; divide by their number
        (spikeBinMs / width of a raw bin) for the unit of the recording.
        """
        return np.asarray(self.inferred["output_means"])

    @cached_property
    def output_variances(self) -> Array | None:
        """Variances of gaussian output, shape (trial, time, channel), float64.

        Of the same sums: divide by the square of that number. None for spikes, whose variance is
        the mean.
        """
        return self._read("output_variances")

    @cached_property
    def factors(self) -> Array:
        """Factors, shape (trial, time, factor), float64."""
        return np.asarray(self.inferred["factors"])

    @cached_property
    def generator_states(self) -> Array | None:
        """States of the generator, shape (trial, time, generator_state), float64."""
        return self._read("generator_states")

    @cached_property
    def generator_ics(self) -> Array | None:
        """Initial states of the generator, shape (trial, generator_state), float64."""
        return self._read("generator_ics")

    @cached_property
    def controller_outputs(self) -> Array | None:
        """Inferred inputs, shape (trial, time, controller_output), float64.

        None without a controller.
        """
        return self._read("controller_outputs")

    @cached_property
    def post_g0_mean(self) -> Array | None:
        """Posterior of the initial condition: means, shape (trial, ic), float64."""
        return self._read("post_g0_mean")

    @cached_property
    def post_g0_logvar(self) -> Array | None:
        """Posterior of the initial condition: log variances, shape (trial, ic), float64."""
        return self._read("post_g0_logvar")

    @cached_property
    def prior_g0_mean(self) -> Array | None:
        """Prior of the initial condition: means, shape (trial, ic), float64; all trials alike."""
        return self._read("prior_g0_mean")

    @cached_property
    def prior_g0_logvar(self) -> Array | None:
        """Prior of the initial condition: log variances, shape (trial, ic), float64."""
        return self._read("prior_g0_logvar")

    @cached_property
    def costs(self) -> Array | None:
        """Cost of each trial, shape (trial,), float64 [nats]."""
        return self._read("costs")

    @cached_property
    def nll_bound_vaes(self) -> Array | None:
        """Bound on the negative log-likelihood by the VAE, shape (trial,), float64 [nats]."""
        return self._read("nll_bound_vaes")

    @cached_property
    def nll_bound_iwaes(self) -> Array | None:
        """The same, importance-weighted (IWAE), shape (trial,), float64 [nats]."""
        return self._read("nll_bound_iwaes")

    @cached_property
    def train_steps(self) -> Array | None:
        """Training steps that had been done, shape (trial,), float64; all trials alike."""
        return self._read("train_steps")

    # --- what the model was given -----------------------------------------------------------------

    @cached_property
    def counts(self) -> npt.NDArray[Any] | None:
        """Counts as the model saw them, shape (trial, time, channel), int64 [spikes/bin].

        float64 for gaussian output. None if the run's input is not there any more.
        """
        return self._read("counts")

    @cached_property
    def true_rates(self) -> Array | None:
        """True rates, where the recording is a simulation that has them.

        Shape (trial, time, channel), float64: mean over each bin, in the unit of the recording
        [spikes/s].
        """
        return self._read("true_rates")

    @cached_property
    def external_inputs(self) -> Array | None:
        """External inputs that the run was prepared with.

        Shape (trial, time, external_input), float64: mean over each bin.
        """
        return self._read("external_inputs")

    # --- without reading --------------------------------------------------------------------------

    @property
    def variable_names(self) -> tuple[str, ...]:
        """Names of the arrays that there are, as of the attributes."""
        return tuple(name for name in VARIABLES if self._is_there(name))

    def lazy(self, name: str) -> TrialValues | None:
        """Give an array without reading it: indexing it reads what is asked for.

        Parameters
        ----------
        name : str
            As of the attribute.

        Returns
        -------
        TrialArray, numpy.ndarray or None
            None if the data do not have it.

        Raises
        ------
        ConfigError
            If there is no such attribute.
        ResultShapeError
            If it is rates, and the output is gaussian.
        """
        if name not in VARIABLES:
            raise ConfigError(
                f"posterior means have no {name!r}", f"there are {', '.join(self.variable_names)}"
            )
        if name in GIVEN:
            given: TrialValues | None = getattr(self._input, name)
            return given
        if name != "rates":
            return self.inferred.get(name)
        self._check_has_rates()
        means, scale = self.inferred["output_means"], MS_PER_S / self.bin_ms
        if isinstance(means, TrialArray):
            return means.scaled(scale)
        return np.asarray(means) * scale

    def describe(self) -> tuple[list[tuple[str, TrialValues]], str]:
        """Give what a display shows: arrays by name, not read, and what cannot be read."""
        names, problem = list(self.inferred), ""
        try:
            names = list(self.variable_names)
        except (ResultError, StorageError) as error:
            problem = str(error)
        arrays = ((name, self.lazy(name)) for name in names)
        return [(name, array) for name, array in arrays if array is not None], problem

    @cached_property
    def _input(self) -> ModelInput:
        given, num_bins = self.find_input(), self.num_bins
        for name in GIVEN:
            array: TrialValues | None = getattr(given, name)
            if array is not None and array.shape[:2] != (self.num_trials, num_bins):
                raise ResultShapeError(
                    f"{name} of {self.dataset_name} are of {array.shape[0]} trials of "
                    f"{array.shape[1]} bins, what was inferred of {self.num_trials} of {num_bins}: "
                    "the run was prepared anew since",
                    "train and sample it again",
                )
        return given

    def _length(self, name: str) -> int:
        array = self.inferred.get(name)
        return 0 if array is None else array.shape[-1]

    def _read(self, name: str) -> npt.NDArray[Any] | None:
        array = self.lazy(name)
        return None if array is None else np.asarray(array)

    def _is_there(self, name: str) -> bool:
        if name == "rates":
            return not self.is_gaussian
        return self.lazy(name) is not None

    def _check_has_rates(self) -> None:
        if self.is_gaussian:
            raise ResultShapeError(
                f"the output of {self.dataset_name} is gaussian, so it has no firing rates",
                "take output_means and output_variances",
            )
