"""`ModelTrainedParams`: the weights of a trained model, by readable names.

The trainer writes them to ``model_params`` under the names of its variables (FORMATS.md 6). Names
here are those of the class in LFADS Run Manager, which has none for gaussian output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultNotReadyError, ResultShapeError
from lfadsq.results.weight_files import named_datasets, read_weights

__all__ = ["ModelTrainedParams"]

Array = npt.NDArray[np.floating[Any]]

_MS_PER_S = 1000.0
_CLIP_VALUE = 80.0  # as the trainer keeps log rates within, before it exponentiates them


# What stands beside each of these types is the key in the file, without its prefix.
_Weight: TypeAlias = "Array | None"
_OfDatasets: TypeAlias = Mapping[str, Array]


@dataclass(frozen=True, eq=False, repr=False)
class ModelTrainedParams:
    """The weights of a trained model.

    Every layer computes ``x @ W + b``. Axes are those of the files: (input, output), and a bias has
    a first axis of length one. What a model does not have is None; ``print`` lists what it has.

    Lengths: ``channel`` of a dataset, ``factor`` (c_factors_dim), ``gen`` (c_gen_dim), ``ic``
    (c_ic_dim), ``ic_enc`` (c_ic_enc_dim), ``ci_enc`` (c_ci_enc_dim), ``con`` (c_con_dim), ``co``
    (c_co_dim); ``infac`` is what encoders see, the read-in (or the channels themselves where it is
    the identity) and the external inputs behind; ``gen_in`` are the inferred inputs and then
    external ones that are injected, ``con_in`` the codes of the ci encoders and then what is fed
    back. ``ru`` are the reset gates and then the update gates, ``c`` the candidate states.

    Attributes
    ----------
    dataset_names : tuple of str
        The datasets, in the order of the run.
    x_to_infac_W, x_to_infac_b : dict of numpy.ndarray, shapes (channel, factor), (1, factor)
        Read-in of each dataset, by its name; empty where it is the identity.
    factors_to_logrates_W, factors_to_logrates_b : dict, shapes (factor, channel), (1, channel)
        Read-out of each dataset: log of the expected counts per bin. Empty for gaussian output, and
        where it is the identity.
    factors_to_means_W, factors_to_means_b : dict, shapes (factor, channel), (1, channel)
        Read-out of each dataset for gaussian output: means.
    factors_to_logvars_W, factors_to_logvars_b : dict, shapes (factor, channel), (1, channel)
        The same: log variances.
    ic_enc_fwd_t0, ic_enc_rev_t0 : numpy.ndarray, shape (1, ic_enc)
        Initial states of the encoders of the initial condition, forwards and backwards in time.
    ic_enc_fwd_gru_xh_to_gates_ru_W, ic_enc_rev_gru_xh_to_gates_ru_W : \
numpy.ndarray, shape (infac + ic_enc, 2 * ic_enc)
        Input and state to gates.
    ic_enc_fwd_gru_xh_to_gates_ru_b, ic_enc_rev_gru_xh_to_gates_ru_b : shape (1, 2 * ic_enc)
        Their biases.
    ic_enc_fwd_gru_xrh_to_c_W, ic_enc_rev_gru_xrh_to_c_W : shape (infac + ic_enc, ic_enc)
        Input and reset state to candidates.
    ic_enc_fwd_gru_xrh_to_c_b, ic_enc_rev_gru_xrh_to_c_b : shape (1, ic_enc)
        Their biases.
    prior_g0_mean, prior_g0_logvar : numpy.ndarray, shape (1, ic)
        Prior of the initial condition g0, as parameters.
    ic_enc_to_posterior_g0_mean_W, ic_enc_to_posterior_g0_mean_b : shapes (2 * ic_enc, ic), (1, ic)
        Code to posterior mean of g0.
    ic_enc_to_posterior_g0_logvar_W, ic_enc_to_posterior_g0_logvar_b : the same shapes
        Code to posterior log variance of g0.
    g0_to_gen_ic_W, g0_to_gen_ic_b : numpy.ndarray, shapes (ic, gen), (1, gen)
        g0 to the generator's initial state; None where both are as large, and the same.
    ci_enc_fwd_t0, ci_enc_rev_t0 : numpy.ndarray, shape (1, ci_enc)
        Initial states of the controller's encoders; None without a controller, and ``rev`` also of
        a causal one.
    ci_enc_fwd_gru_xh_to_ru_W, ci_enc_rev_gru_xh_to_ru_W : shape (infac + ci_enc, 2 * ci_enc)
        Input and state to gates.
    ci_enc_fwd_gru_xh_to_ru_b, ci_enc_rev_gru_xh_to_ru_b : shape (1, 2 * ci_enc)
        Their biases.
    ci_enc_fwd_gru_xrh_to_c_W, ci_enc_rev_gru_xrh_to_c_W : shape (infac + ci_enc, ci_enc)
        Input and reset state to candidates.
    ci_enc_fwd_gru_xrh_to_c_b, ci_enc_rev_gru_xrh_to_c_b : shape (1, ci_enc)
        Their biases.
    con_co : numpy.ndarray, shape (1, con)
        Initial state of the controller; ``con_c0`` in the file.
    con_gengru_x_to_ru_W, con_gengru_x_to_c_W : shapes (con_in, 2 * con), (con_in, con)
        Input of the controller to gates and to candidates.
    con_gengru_h_to_ru_W, con_gengru_h_to_ru_b : shapes (con, 2 * con), (1, 2 * con)
        Its state to gates.
    con_gengru_rh_to_c_W, con_gengru_rh_to_c_b : shapes (con, con), (1, con)
        Its reset state to candidates.
    con_to_posterior_co_mean_W, con_to_posterior_co_mean_b : shapes (con, co), (1, co)
        Controller to posterior mean of the inferred inputs.
    con_to_posterior_co_logvar_W, con_to_posterior_co_logvar_b : shapes (con, co), (1, co)
        Controller to their posterior log variance.
    prior_ar1_logevars, prior_ar1_logatau : numpy.ndarray, shape (1, co)
        Autoregressive prior of the inferred inputs: logs of noise variance and of time constant
        [bins].
    gen_gengru_x_to_ru_W, gen_gengru_x_to_c_W : shapes (gen_in, 2 * gen), (gen_in, gen)
        Input of the generator to gates and to candidates; None if it has none.
    gen_gengru_h_to_ru_W, gen_gengru_h_to_ru_b : shapes (gen, 2 * gen), (1, 2 * gen)
        Its state to gates.
    gen_gengru_rh_to_c_W, gen_gengru_rh_to_c_b : shapes (gen, gen), (1, gen)
        Its reset state to candidates.
    gen_to_factors_W : numpy.ndarray, shape (gen, factor)
        Generator to factors, as stored: see `gen_to_factors_W_normalized`.
    global_step : int or None
        Updates the model was trained for; None if the file does not say.
    """

    dataset_names: tuple[str, ...]
    global_step: int | None = None

    x_to_infac_W: Annotated[_OfDatasets, "x_2_infac_{}.h5_W"] = field(default_factory=dict)
    x_to_infac_b: Annotated[_OfDatasets, "x_2_infac_{}.h5_b"] = field(default_factory=dict)
    factors_to_logrates_W: Annotated[_OfDatasets, "glm_fac_2_logrates_{}.h5_W"] = field(
        default_factory=dict
    )
    factors_to_logrates_b: Annotated[_OfDatasets, "glm_fac_2_logrates_{}.h5_b"] = field(
        default_factory=dict
    )
    factors_to_means_W: Annotated[_OfDatasets, "glm_fac_2_means_{}.h5_W"] = field(
        default_factory=dict
    )
    factors_to_means_b: Annotated[_OfDatasets, "glm_fac_2_means_{}.h5_b"] = field(
        default_factory=dict
    )
    factors_to_logvars_W: Annotated[_OfDatasets, "glm_fac_2_logvars_{}.h5_W"] = field(
        default_factory=dict
    )
    factors_to_logvars_b: Annotated[_OfDatasets, "glm_fac_2_logvars_{}.h5_b"] = field(
        default_factory=dict
    )

    ic_enc_fwd_t0: Annotated[_Weight, "ic_enc_fwd_ic_enc_t0_fwd"] = None
    ic_enc_fwd_gru_xh_to_gates_ru_W: Annotated[_Weight, "ic_enc_fwd_GRU_Gates_xh_2_ru_W"] = None
    ic_enc_fwd_gru_xh_to_gates_ru_b: Annotated[_Weight, "ic_enc_fwd_GRU_Gates_xh_2_ru_b"] = None
    ic_enc_fwd_gru_xrh_to_c_W: Annotated[_Weight, "ic_enc_fwd_GRU_Candidate_xrh_2_c_W"] = None
    ic_enc_fwd_gru_xrh_to_c_b: Annotated[_Weight, "ic_enc_fwd_GRU_Candidate_xrh_2_c_b"] = None
    ic_enc_rev_t0: Annotated[_Weight, "ic_enc_rev_ic_enc_t0_rev"] = None
    ic_enc_rev_gru_xh_to_gates_ru_W: Annotated[_Weight, "ic_enc_rev_GRU_Gates_xh_2_ru_W"] = None
    ic_enc_rev_gru_xh_to_gates_ru_b: Annotated[_Weight, "ic_enc_rev_GRU_Gates_xh_2_ru_b"] = None
    ic_enc_rev_gru_xrh_to_c_W: Annotated[_Weight, "ic_enc_rev_GRU_Candidate_xrh_2_c_W"] = None
    ic_enc_rev_gru_xrh_to_c_b: Annotated[_Weight, "ic_enc_rev_GRU_Candidate_xrh_2_c_b"] = None

    prior_g0_mean: Annotated[_Weight, "z_prior_g0_mean"] = None
    prior_g0_logvar: Annotated[_Weight, "z_prior_g0_logvar"] = None
    ic_enc_to_posterior_g0_mean_W: Annotated[_Weight, "z_ic_enc_2_post_g0_mean_W"] = None
    ic_enc_to_posterior_g0_mean_b: Annotated[_Weight, "z_ic_enc_2_post_g0_mean_b"] = None
    ic_enc_to_posterior_g0_logvar_W: Annotated[_Weight, "z_ic_enc_2_post_g0_logvar_W"] = None
    ic_enc_to_posterior_g0_logvar_b: Annotated[_Weight, "z_ic_enc_2_post_g0_logvar_b"] = None
    g0_to_gen_ic_W: Annotated[_Weight, "gen_g0_2_gen_ic_W"] = None
    g0_to_gen_ic_b: Annotated[_Weight, "gen_g0_2_gen_ic_b"] = None

    ci_enc_fwd_t0: Annotated[_Weight, "ci_enc_fwd_ci_enc_t0_fwd"] = None
    ci_enc_fwd_gru_xh_to_ru_W: Annotated[_Weight, "ci_enc_fwd_GRU_Gates_xh_2_ru_W"] = None
    ci_enc_fwd_gru_xh_to_ru_b: Annotated[_Weight, "ci_enc_fwd_GRU_Gates_xh_2_ru_b"] = None
    ci_enc_fwd_gru_xrh_to_c_W: Annotated[_Weight, "ci_enc_fwd_GRU_Candidate_xrh_2_c_W"] = None
    ci_enc_fwd_gru_xrh_to_c_b: Annotated[_Weight, "ci_enc_fwd_GRU_Candidate_xrh_2_c_b"] = None
    ci_enc_rev_t0: Annotated[_Weight, "ci_enc_rev_ci_enc_t0_rev"] = None
    ci_enc_rev_gru_xh_to_ru_W: Annotated[_Weight, "ci_enc_rev_GRU_Gates_xh_2_ru_W"] = None
    ci_enc_rev_gru_xh_to_ru_b: Annotated[_Weight, "ci_enc_rev_GRU_Gates_xh_2_ru_b"] = None
    ci_enc_rev_gru_xrh_to_c_W: Annotated[_Weight, "ci_enc_rev_GRU_Candidate_xrh_2_c_W"] = None
    ci_enc_rev_gru_xrh_to_c_b: Annotated[_Weight, "ci_enc_rev_GRU_Candidate_xrh_2_c_b"] = None

    con_co: Annotated[_Weight, "con_c0"] = None
    con_gengru_x_to_ru_W: Annotated[_Weight, "con_GenGRU_Gates_x_2_ru_W"] = None
    con_gengru_h_to_ru_W: Annotated[_Weight, "con_GenGRU_Gates_h_2_ru_W"] = None
    con_gengru_h_to_ru_b: Annotated[_Weight, "con_GenGRU_Gates_h_2_ru_b"] = None
    con_gengru_x_to_c_W: Annotated[_Weight, "con_GenGRU_Candidate_x_2_c_W"] = None
    con_gengru_rh_to_c_W: Annotated[_Weight, "con_GenGRU_Candidate_rh_2_c_W"] = None
    con_gengru_rh_to_c_b: Annotated[_Weight, "con_GenGRU_Candidate_rh_2_c_b"] = None
    con_to_posterior_co_mean_W: Annotated[_Weight, "con_con_to_post_co_mean_W"] = None
    con_to_posterior_co_mean_b: Annotated[_Weight, "con_con_to_post_co_mean_b"] = None
    con_to_posterior_co_logvar_W: Annotated[_Weight, "con_con_to_post_co_logvar_W"] = None
    con_to_posterior_co_logvar_b: Annotated[_Weight, "con_con_to_post_co_logvar_b"] = None
    prior_ar1_logevars: Annotated[_Weight, "z_u_prior_ar1_logevars"] = None
    prior_ar1_logatau: Annotated[_Weight, "z_u_prior_ar1_logatau"] = None

    gen_gengru_x_to_ru_W: Annotated[_Weight, "gen_GenGRU_Gates_x_2_ru_W"] = None
    gen_gengru_h_to_ru_W: Annotated[_Weight, "gen_GenGRU_Gates_h_2_ru_W"] = None
    gen_gengru_h_to_ru_b: Annotated[_Weight, "gen_GenGRU_Gates_h_2_ru_b"] = None
    gen_gengru_x_to_c_W: Annotated[_Weight, "gen_GenGRU_Candidate_x_2_c_W"] = None
    gen_gengru_rh_to_c_W: Annotated[_Weight, "gen_GenGRU_Candidate_rh_2_c_W"] = None
    gen_gengru_rh_to_c_b: Annotated[_Weight, "gen_GenGRU_Candidate_rh_2_c_b"] = None
    gen_to_factors_W: Annotated[_Weight, "gen_gen_2_fac_W"] = None

    @classmethod
    def load(
        cls, path: str | Path, dataset_names: Sequence[str] | None = None
    ) -> ModelTrainedParams:
        """Read a file ``model_params``, which the original or we have written.

        Parameters
        ----------
        path : str or Path
            The file, ``lfadsOutput/model_params`` of a run.
        dataset_names : sequence of str, optional
            The datasets, in the order wanted; by default all that the file names, sorted.

        Returns
        -------
        ModelTrainedParams
            What Adam needs to train on, which such files hold too, is left out.

        Raises
        ------
        ResultNotReadyError
            If there is no such file.
        ResultShapeError
            If it holds no model, or none of a dataset.
        StorageError
            If it cannot be read.
        """
        path = Path(path)
        if not path.exists():
            raise ResultNotReadyError(
                f"{path} is not there",
                "train the run first, or run its lfads_write_model_params.sh",
            )
        values = read_weights(path)
        if "gen_gen_2_fac_W" not in values:
            raise ResultShapeError(
                f"{path} holds no LFADS_gen_gen_2_fac_W:0, so it is no file of an LFADS model",
                "give the file model_params of a run",
            )
        known = named_datasets(values)
        names = tuple(known if dataset_names is None else dataset_names)
        strangers = [name for name in names if known and name not in known]
        if strangers:
            raise ResultShapeError(
                f"{path} holds no weights of {', '.join(strangers)}",
                f"it is of a model of {', '.join(known)}",
            )
        weights: dict[str, Any] = {}
        for attribute, key in _keys().items():
            if "{}" in key:
                keys = {name: key.format(name) for name in names}
                weights[attribute] = {name: values[k] for name, k in keys.items() if k in values}
            else:
                weights[attribute] = values.get(key)
        step = values.get("global_step")
        return cls(names, None if step is None else int(np.ravel(step)[0]), **weights)

    def to_dict(self) -> dict[str, Array | dict[str, Array]]:
        """Give the weights that the model has, by the names of the attributes.

        Returns
        -------
        dict of str to numpy.ndarray or dict
            Read-ins and read-outs are dicts by the name of the dataset. It is what
            ``scipy.io.savemat`` takes, if datasets have names that MATLAB takes for fields.
        """
        weights: dict[str, Array | dict[str, Array]] = {}
        for name in _keys():
            value = getattr(self, name)
            if isinstance(value, Mapping):
                if value:
                    weights[name] = dict(value)
            elif value is not None:
                weights[name] = value
        return weights

    @property
    def num_datasets(self) -> int:
        """Number of datasets."""
        return len(self.dataset_names)

    @property
    def num_channels_by_dataset(self) -> dict[str, int]:
        """Channels of each dataset; empty where read-in and read-out are identities."""
        readouts = self.factors_to_logrates_W or self.factors_to_means_W
        if readouts:
            return {name: matrix.shape[1] for name, matrix in readouts.items()}
        return {name: matrix.shape[0] for name, matrix in self.x_to_infac_W.items()}

    @property
    def num_channels_all_datasets(self) -> int:
        """Channels of all datasets together."""
        return sum(self.num_channels_by_dataset.values())

    @property
    def dataset_idx_concatenated(self) -> npt.NDArray[np.int64]:
        """Of which dataset each channel of the concatenated read-outs is, from 0."""
        counts = self.num_channels_by_dataset
        indices = [self.dataset_names.index(name) for name in counts]
        return np.repeat(np.array(indices, dtype=np.int64), list(counts.values()))

    @property
    def factors_to_logrates_W_concatenated(self) -> Array:
        """Read-outs of all datasets side by side, shape (factor, channel of any dataset).

        Raises
        ------
        ResultShapeError
            If the model has none (see `impute_rates`).
        """
        return self._side_by_side(self.factors_to_logrates_W)

    @property
    def factors_to_logrates_b_concatenated(self) -> Array:
        """Their biases, shape (1, channel of any dataset).

        Raises
        ------
        ResultShapeError
            If the model has none (see `impute_rates`).
        """
        return self._side_by_side(self.factors_to_logrates_b)

    @property
    def gen_to_factors_W_normalized(self) -> Array:
        """Generator to factors as the model uses it, shape (gen, factor): columns of length 1."""
        matrix = self.gen_to_factors_W
        assert matrix is not None
        squares = np.square(matrix, dtype=np.float64).sum(axis=0)
        normalized: Array = matrix / np.sqrt(np.maximum(squares, 1e-12)).astype(matrix.dtype)
        return normalized

    def impute_rates(self, factors: npt.NDArray[Any], spike_bin_ms: float) -> Array:
        """Give the rates that all channels of all datasets would have, by the factors of one.

        A stitched model knows how each channel follows the factors, also while another dataset is
        recorded that does not have it.

        Parameters
        ----------
        factors : numpy.ndarray, shape (..., factor)
            Factors of any dataset of the model.
        spike_bin_ms : float
            Width of the bins that the model saw [ms].

        Returns
        -------
        numpy.ndarray, shape (..., channel of any dataset) [spikes/s]
            Datasets in the order of `dataset_names`: see `dataset_idx_concatenated`. From averaged
            factors they differ a little from averaged rates, as the exponential is not linear.

        Raises
        ------
        ResultShapeError
            If the output is gaussian, the read-out is the identity, or the factors do not fit.
        """
        matrix = self.factors_to_logrates_W_concatenated
        if np.shape(factors)[-1:] != matrix.shape[:1]:
            raise ResultShapeError(
                f"factors of shape {np.shape(factors)} do not fit a model of {len(matrix)} factors",
                "give load_posterior_means(...).factors of a run with these weights",
            )
        log_counts = factors @ matrix + self.factors_to_logrates_b_concatenated[0]
        rates: Array = np.exp(np.clip(log_counts, -_CLIP_VALUE, _CLIP_VALUE))
        return rates * (_MS_PER_S / spike_bin_ms)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} of {', '.join(self.dataset_names) or 'one dataset'}"]
        for attribute in _keys():
            value = getattr(self, attribute)
            if isinstance(value, Mapping):
                lines += [f"  {attribute:<33}{w.shape}  {name}" for name, w in value.items()]
            elif value is not None:
                lines.append(f"  {attribute:<33}{value.shape}")
        return "\n".join(lines)

    def _side_by_side(self, of_datasets: Mapping[str, Array]) -> Array:
        if not of_datasets:
            is_gaussian = bool(self.factors_to_means_W)
            raise ResultShapeError(
                "the model has gaussian output, so no log rates"
                if is_gaussian
                else "the read-out of the model is the identity: its factors are the log rates",
                "take factors_to_means_W and factors_to_means_b"
                if is_gaussian
                else "take np.exp(factors) as counts per bin",
            )
        return np.concatenate([of_datasets[name] for name in self.dataset_names], axis=1)


@cache
def _keys() -> Mapping[str, str]:
    """Give the key of each weight, which may have a place for the name of a dataset."""
    hints = get_type_hints(ModelTrainedParams, include_extras=True)
    return {
        name: hint.__metadata__[0] for name, hint in hints.items() if get_origin(hint) is Annotated
    }
