"""The variables of a model: names, shapes, initial values, and which are trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lfadsq.model.config import ModelConfig

__all__ = [
    "Alignment",
    "ParameterSpec",
    "cell_scopes",
    "describe_parameters",
    "initial_parameters",
    "readin_scope",
    "readout_scopes",
    "recurrent_names",
    "trained_names",
]


class Alignment(NamedTuple):
    """Read-in of one dataset, as its input file gives it.

    Attributes
    ----------
    matrix : ndarray, shape (channel, factor), float32
    bias : ndarray, shape (channel,), float32, optional
        Mean counts per bin.
    """

    matrix: NDArray[np.float32]
    bias: NDArray[np.float32] | None


class ParameterSpec(NamedTuple):
    """One variable.

    Attributes
    ----------
    name : str
        As in the original's graph, without the final ``:0``.
    shape : tuple of int
    scale : float
        Standard deviation of the normal initial values, times the square root of the fan-in;
        0 for a constant.
    constant : float
        Initial value where `scale` is 0.
    trainable : bool
        Whether the configuration's own switches let it be trained.
    """

    name: str
    shape: tuple[int, ...]
    scale: float = 0.0
    constant: float = 0.0
    trainable: bool = True


def readin_scope(dataset_name: str) -> str:
    """Give the scope of a dataset's read-in."""
    return f"LFADS/x_2_infac_{dataset_name}"


def readout_scopes(config: ModelConfig, dataset_name: str) -> tuple[str, ...]:
    """Give the scopes of a dataset's read-out: log rates, or means and log variances."""
    heads = ("logrates",) if config.is_poisson else ("means", "logvars")
    return tuple(f"LFADS/glm/fac_2_{head}_{dataset_name}" for head in heads)


def cell_scopes(config: ModelConfig) -> dict[str, str]:
    """Give the scopes of the GenGRU cells whose recurrent weights the L2 cost covers."""
    scopes = {"gen": "LFADS/gen/GenGRU"}
    if config.has_controller:
        scopes["con"] = "LFADS/con/GenGRU"
    return scopes


def recurrent_names(scope: str) -> tuple[str, ...]:
    """Give the recurrent matrices and biases of a GenGRU."""
    return tuple(f"{scope}/{part}/{v}" for part in _RECURRENT_PARTS for v in ("W", "b"))


_RECURRENT_PARTS = ("Gates/h_2_ru", "Candidate/rh_2_c")


def describe_parameters(config: ModelConfig) -> tuple[ParameterSpec, ...]:
    """List every variable of a model (NUMERICS.md 1).

    Parameters
    ----------
    config : ModelConfig

    Returns
    -------
    tuple of ParameterSpec
        In a fixed order.
    """
    return tuple(_io(config)) + tuple(_encoders(config)) + tuple(_latents(config))


def _linear(scope: str, num_in: int, num_out: int, scale: float = 1.0) -> Iterator[ParameterSpec]:
    yield ParameterSpec(f"{scope}/W", (num_in, num_out), scale)
    yield ParameterSpec(f"{scope}/b", (1, num_out))


def _io(config: ModelConfig) -> Iterator[ParameterSpec]:
    for dataset in config.datasets:
        if not config.readin_is_identity:
            scope = readin_scope(dataset.name)
            for spec in _linear(scope, dataset.num_channels, config.factors_dim):
                yield spec._replace(trainable=config.do_train_readin)
        if config.readout_is_identity:
            continue
        scopes = readout_scopes(config, dataset.name)
        yield from _linear(scopes[0], config.factors_dim, dataset.num_channels)
        for scope in scopes[1:]:
            # The original starts the variance at e, whatever the factors are.
            yield ParameterSpec(f"{scope}/W", (config.factors_dim, dataset.num_channels))
            yield ParameterSpec(f"{scope}/b", (1, dataset.num_channels), constant=1.0)


def _encoders(config: ModelConfig) -> Iterator[ParameterSpec]:
    sizes: dict[str, tuple[int, tuple[str, ...]]] = {"ic": (config.ic_enc_dim, ("fwd", "rev"))}
    if config.has_controller:
        causal = config.do_causal_controller
        sizes["ci"] = (config.ci_enc_dim, ("fwd",) if causal else ("fwd", "rev"))
    for kind, (size, directions) in sizes.items():
        num_in = config.encoder_input_dim + size
        for direction in directions:
            scope = f"LFADS/{kind}_enc_{direction}"
            yield ParameterSpec(f"{scope}/{kind}_enc_t0_{direction}", (1, size))
            yield from _linear(
                f"{scope}/GRU/Gates/xh_2_ru", num_in, 2 * size, config.cell_weight_scale
            )
            # In the original the candidate's weights ignore cell_weight_scale.
            yield from _linear(f"{scope}/GRU/Candidate/xrh_2_c", num_in, size)


def _latents(config: ModelConfig) -> Iterator[ParameterSpec]:
    z_dim, gen_dim, co_dim = config.ic_dim, config.gen_dim, config.co_dim
    yield ParameterSpec("LFADS/z/prior_g0/mean", (1, z_dim))
    yield ParameterSpec(
        "LFADS/z/prior_g0/logvar",
        (1, z_dim),
        constant=float(np.log(config.ic_prior_var_scale)),
        trainable=config.prior_g0_is_trained,
    )
    for head in ("mean", "logvar"):
        yield from _linear(f"LFADS/z/ic_enc_2_post_g0/{head}", 2 * config.ic_enc_dim, z_dim)
    if z_dim != gen_dim:
        yield from _linear("LFADS/gen/g0_2_gen_ic", z_dim, gen_dim)
    yield ParameterSpec("LFADS/gen/gen_2_fac/W", (gen_dim, config.factors_dim), 1.0)
    yield from _gen_gru(
        "LFADS/gen/GenGRU",
        config.gen_input_dim,
        gen_dim,
        config.gen_cell_input_weight_scale,
        config.gen_cell_rec_weight_scale,
    )
    if not config.has_controller:
        return
    yield ParameterSpec(
        "LFADS/z/u_prior_ar1/logevars",
        (1, co_dim),
        constant=float(np.log(config.prior_ar_nvar)),
        trainable=config.do_train_prior_ar_nvar,
    )
    yield ParameterSpec(
        "LFADS/z/u_prior_ar1/logatau",
        (1, co_dim),
        constant=float(np.log(config.prior_ar_atau)),
        trainable=config.do_train_prior_ar_atau,
    )
    yield ParameterSpec("LFADS/con/c0", (1, config.con_dim))
    scale = config.cell_weight_scale
    con_input_dim = config.ci_code_dim + config.feedback_dim
    yield from _gen_gru("LFADS/con/GenGRU", con_input_dim, config.con_dim, scale, scale)
    for head in ("mean", "logvar"):
        yield from _linear(f"LFADS/con/con_to_post_co/{head}", config.con_dim, co_dim)


def _gen_gru(
    scope: str, num_in: int, size: int, input_scale: float, recurrent_scale: float
) -> Iterator[ParameterSpec]:
    if num_in:
        yield ParameterSpec(f"{scope}/Gates/x_2_ru/W", (num_in, 2 * size), input_scale)
        yield ParameterSpec(f"{scope}/Candidate/x_2_c/W", (num_in, size), input_scale)
    yield from _linear(f"{scope}/Gates/h_2_ru", size, 2 * size, recurrent_scale)
    yield from _linear(f"{scope}/Candidate/rh_2_c", size, size, recurrent_scale)


def initial_parameters(
    config: ModelConfig, seed: int, alignments: Mapping[str, Alignment] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Draw the initial values of every variable.

    Parameters
    ----------
    config : ModelConfig
    seed : int
        The same seed gives the same values; each variable has its own stream, so that adding a
        dataset does not change the others.
    alignments : mapping of str to Alignment, optional
        By dataset name. The read-in starts as ``(x - bias) @ matrix`` and the read-out as the
        transposed matrix with the bias, used unchanged in the space of log rates as in the
        original. Where the original gives a dataset without a bias that of another dataset, it
        starts here at 0.

    Returns
    -------
    dict of str to ndarray
        float32.
    """
    values: dict[str, NDArray[np.float32]] = {}
    for spec in describe_parameters(config):
        if spec.scale:
            stream = np.random.default_rng([seed, *spec.name.encode()])
            deviation = spec.scale / np.sqrt(spec.shape[0])
            values[spec.name] = np.asarray(
                stream.standard_normal(spec.shape) * deviation, dtype=np.float32
            )
        else:
            values[spec.name] = np.full(spec.shape, spec.constant, dtype=np.float32)
    for dataset in config.datasets:
        alignment = (alignments or {}).get(dataset.name)
        if alignment is not None:
            values.update(_aligned(config, dataset.name, alignment, values))
    return values


def _aligned(
    config: ModelConfig,
    dataset_name: str,
    alignment: Alignment,
    values: Mapping[str, NDArray[np.float32]],
) -> dict[str, NDArray[np.float32]]:
    matrix = np.asarray(alignment.matrix, dtype=np.float32)
    mean = np.zeros(len(matrix), np.float32) if alignment.bias is None else alignment.bias
    bias = np.asarray(mean, dtype=np.float32)[np.newaxis]
    readin, readout = readin_scope(dataset_name), readout_scopes(config, dataset_name)[0]
    aligned = {
        f"{readin}/W": matrix,
        f"{readin}/b": -bias @ matrix,
        f"{readout}/W": matrix.T.copy(),
        f"{readout}/b": bias,
    }
    return {name: value for name, value in aligned.items() if name in values}


def trained_names(config: ModelConfig) -> tuple[str, ...]:
    """List the variables that the optimiser changes (NUMERICS.md 8).

    With ``do_train_io_only`` those are read-in and read-out, with ``do_train_encoder_only`` the
    encoder of initial conditions and the posterior of g0.
    """
    names = [spec.name for spec in describe_parameters(config) if spec.trainable]
    prefixes: tuple[str, ...] = ("LFADS/",)
    if config.do_train_io_only:
        prefixes = ("LFADS/x_2_infac_", "LFADS/glm/")
    elif config.do_train_encoder_only:
        prefixes = ("LFADS/ic_enc_", "LFADS/z/ic_enc_2_post_g0/")
    return tuple(name for name in names if name.startswith(prefixes))
