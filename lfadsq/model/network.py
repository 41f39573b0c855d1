"""The forward pass of LFADS (NUMERICS.md 3 and 4). Time is the first axis throughout.

Several runs are computed at once where every parameter has a leading ``run`` axis; what has shape
(time, batch, ...) then has shape (time, run, batch, ...), and (batch, ...) is (run, batch, ...).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from lfadsq.model.cells import GruWeights, gru_layer
from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.distributions import CLIP_VALUE, prior_g0_logvar
from lfadsq.model.generator import ControllerInputs, ControllerWeights, run_with_controller
from lfadsq.model.parameters import readin_scope, readout_scopes

__all__ = [
    "Encoding",
    "Generation",
    "Masks",
    "Noise",
    "Parameters",
    "decode",
    "draw_masks",
    "draw_noise",
    "encode",
    "output_dist_params",
    "sample_g0",
]

Parameters = Mapping[str, tf.Tensor]


class Noise(NamedTuple):
    """Standard normal draws.

    Attributes
    ----------
    g0 : tf.Tensor, shape (batch, ic), float32
    co : tf.Tensor, shape (time, batch, co), float32
    """

    g0: tf.Tensor
    co: tf.Tensor


class Masks(NamedTuple):
    """Factors of inverted dropout: 0, or 1 / keep_prob. One draw serves all encoders.

    Attributes
    ----------
    data, ext_input : tf.Tensor, shape (time, batch, channel) and (time, batch, input)
    ic_code : tf.Tensor, shape (batch, 2 ic_enc)
    con_input : tf.Tensor, shape (time, batch, con_input)
    gen_output : tf.Tensor, shape (time, batch, gen)
    """

    data: tf.Tensor
    ext_input: tf.Tensor
    ic_code: tf.Tensor
    con_input: tf.Tensor
    gen_output: tf.Tensor


class Encoding(NamedTuple):
    """What the encoders made of the data.

    Attributes
    ----------
    prior_g0_mean, prior_g0_logvar, post_g0_mean, post_g0_logvar : tf.Tensor, shape (batch, ic)
    ci : tf.Tensor, shape (time, batch, ci_code), optional
        What the controller will see, lagged, before its dropout.
    """

    prior_g0_mean: tf.Tensor
    prior_g0_logvar: tf.Tensor
    post_g0_mean: tf.Tensor
    post_g0_logvar: tf.Tensor
    ci: tf.Tensor | None


class Generation(NamedTuple):
    """What the generator made of the initial conditions and inputs.

    Attributes
    ----------
    gen_ics : tf.Tensor, shape (batch, gen)
    gen_states : tf.Tensor, shape (time, batch, gen)
    factors : tf.Tensor, shape (time, batch, factor)
    heads : tuple of tf.Tensor, each of shape (time, batch, channel)
        Log rates [log spikes/bin], unclipped; or means and log variances.
    controller_outputs, post_co_mean, post_co_logvar : tf.Tensor, shape (time, batch, co), optional
    """

    gen_ics: tf.Tensor
    gen_states: tf.Tensor
    factors: tf.Tensor
    heads: tuple[tf.Tensor, ...]
    controller_outputs: tf.Tensor | None
    post_co_mean: tf.Tensor | None
    post_co_logvar: tf.Tensor | None


def draw_noise(config: ModelConfig, batch_size: int, seed: tf.Tensor) -> Noise:
    """Draw the noise of one batch.

    Parameters
    ----------
    config : ModelConfig
    batch_size : int
    seed : tf.Tensor, shape (2,), int32 or int64
        The same seed gives the same noise.
    """
    return Noise(
        tf.random.stateless_normal([batch_size, config.ic_dim], _stream(seed, 0)),
        tf.random.stateless_normal([config.num_steps, batch_size, config.co_dim], _stream(seed, 1)),
    )


def draw_masks(
    config: ModelConfig, dataset: DatasetConfig, batch_size: int, seed: tf.Tensor
) -> Masks | None:
    """Draw the dropout of one batch; none if ``keep_prob`` is 1 (see `draw_noise`)."""
    if config.keep_prob == 1.0:
        return None
    time_batch = [config.num_steps, batch_size]
    con_input_dim = config.ci_code_dim + config.feedback_dim if config.has_controller else 0
    shapes = Masks(
        data=[*time_batch, dataset.num_channels],
        ext_input=[*time_batch, config.ext_input_dim],
        ic_code=[batch_size, 2 * config.ic_enc_dim],
        con_input=[*time_batch, con_input_dim],
        gen_output=[*time_batch, config.gen_dim],
    )
    masks = []
    for stream, shape in enumerate(shapes, start=2):
        masks.append(_mask(shape, _stream(seed, stream), config.keep_prob))
    return Masks(*masks)


def _mask(shape: list[int], seed: tf.Tensor, keep_prob: float) -> tf.Tensor:
    # Two draws from each random word, as drawing takes a good part of a step: the probability is
    # exact to 1 in 65536.
    words = tf.random.stateless_uniform(
        [(math.prod(shape) + 1) // 2], seed, minval=None, maxval=None, dtype=tf.uint32
    )
    halves = tf.cast(tf.reshape(tf.bitcast(words, tf.uint16), [-1]), tf.int32)
    kept = halves[: math.prod(shape)] < round(keep_prob * 2**16)
    return tf.reshape(tf.cast(kept, tf.float32) * (1.0 / keep_prob), shape)


def _stream(seed: tf.Tensor, stream: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, stream)


def encode(
    config: ModelConfig,
    parameters: Parameters,
    dataset: DatasetConfig,
    data: tf.Tensor,
    ext_input: tf.Tensor,
    masks: Masks | None = None,
) -> Encoding:
    """Encode trials into the posterior of g0 and the inputs of the controller.

    Parameters
    ----------
    config : ModelConfig
    parameters : mapping of str to tf.Tensor
    dataset : DatasetConfig
        Whose read-in to use.
    data : tf.Tensor, shape (time, batch, channel), float32 [spikes/bin]
    ext_input : tf.Tensor, shape (time, batch, input), float32
        The last axis may be 0 long.
    masks : Masks, optional
        Dropout; none in evaluation.

    Returns
    -------
    Encoding
    """
    if masks is not None:
        data = data * masks.data
        ext_input = ext_input * masks.ext_input
    inputs, inputs_are_trained = data, False
    if not config.readin_is_identity:
        inputs = _linear(parameters, readin_scope(dataset.name), data)
        inputs_are_trained = True
    if config.ext_input_dim and not config.inject_ext_input_to_gen:
        inputs = tf.concat([inputs, ext_input], -1)
    ic_inputs = inputs[: config.num_steps_for_gen_ic]
    forward = _encoder(config, parameters, "ic_enc", "fwd", ic_inputs, inputs_are_trained)
    backward = _encoder(config, parameters, "ic_enc", "rev", ic_inputs, inputs_are_trained)
    code = tf.concat([forward[-1], backward[0]], -1)
    if masks is not None:
        code = code * masks.ic_code
    post_mean = _linear(parameters, "LFADS/z/ic_enc_2_post_g0/mean", code)
    raw_logvar = _linear(parameters, "LFADS/z/ic_enc_2_post_g0/logvar", code)
    prior_mean, prior_logvar = prior_g0(config, parameters, tf.shape(data)[-2])
    return Encoding(
        prior_mean,
        prior_logvar,
        post_mean,
        tf.math.log(tf.exp(raw_logvar) + config.ic_post_var_min),
        _controller_code(config, parameters, inputs, inputs_are_trained),
    )


def prior_g0(
    config: ModelConfig, parameters: Parameters, batch_size: int | tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Give mean and log variance of the prior of g0, each of shape (batch, ic)."""
    logvar = prior_g0_logvar(
        parameters["LFADS/z/prior_g0/logvar"], config.ic_prior_var_min, config.ic_prior_var_max
    )
    mean = parameters["LFADS/z/prior_g0/mean"]
    return _of_each_trial(mean, batch_size), _of_each_trial(logvar, batch_size)


def _of_each_trial(row: tf.Tensor, batch_size: int | tf.Tensor) -> tf.Tensor:
    """Turn shape (..., 1, dim) into (..., batch, dim)."""
    return tf.tile(row, [1] * (len(row.shape) - 2) + [batch_size, 1])


def sample_g0(mean: tf.Tensor, logvar: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Give mean + exp(logvar / 2) * noise."""
    return mean + tf.exp(0.5 * logvar) * noise


def _encoder(
    config: ModelConfig,
    parameters: Parameters,
    kind: str,
    direction: str,
    inputs: tf.Tensor,
    inputs_are_trained: bool,
) -> tf.Tensor:
    scope = f"LFADS/{kind}_{direction}"
    weights = GruWeights(
        *(parameters[f"{scope}/GRU/Gates/xh_2_ru/{v}"] for v in ("W", "b")),
        *(parameters[f"{scope}/GRU/Candidate/xrh_2_c/{v}"] for v in ("W", "b")),
    )
    initial = parameters[f"{scope}/{kind}_t0_{direction}"]
    return gru_layer(
        inputs,
        _of_each_trial(initial, tf.shape(inputs)[-2]),
        weights,
        config.cell_clip_value,
        reverse=direction == "rev",
        inputs_need_gradient=inputs_are_trained,
    )


def _controller_code(
    config: ModelConfig, parameters: Parameters, inputs: tf.Tensor, inputs_are_trained: bool
) -> tf.Tensor | None:
    if not config.has_controller:
        return None
    forward = _encoder(config, parameters, "ci_enc", "fwd", inputs, inputs_are_trained)
    codes = [_lagged(forward, config.controller_input_lag)]
    if not config.do_causal_controller:
        backward = _encoder(config, parameters, "ci_enc", "rev", inputs, inputs_are_trained)
        codes.append(_lagged(backward, -config.controller_input_lag))
    return tf.concat(codes, -1)


def _lagged(states: tf.Tensor, lag: int) -> tf.Tensor:
    """Give the state `lag` bins earlier, zeros where there is none."""
    num_steps = int(states.shape[0])
    if lag == 0:
        return states
    if abs(lag) >= num_steps:
        return tf.zeros_like(states)
    outside = tf.zeros_like(states[: abs(lag)])
    pieces = [outside, states[:-lag]] if lag > 0 else [states[-lag:], outside]
    return tf.concat(pieces, 0)


def decode(
    config: ModelConfig,
    parameters: Parameters,
    dataset: DatasetConfig,
    g0: tf.Tensor,
    ci: tf.Tensor | None,
    ext_input: tf.Tensor,
    co_noise: tf.Tensor,
    masks: Masks | None = None,
    inferred_inputs: tf.Tensor | None = None,
    num_towers: int = 1,
) -> Generation:
    """Generate trials from initial conditions.

    Parameters
    ----------
    config, parameters, dataset, masks
        As for `encode`; the read-out is that of `dataset`.
    g0 : tf.Tensor, shape (batch, ic), float32
    ci : tf.Tensor, optional
        `Encoding.ci`.
    ext_input : tf.Tensor, shape (time, batch, input)
        Before dropout.
    co_noise : tf.Tensor, shape (time, batch, co)
        Zeros push the means through.
    inferred_inputs : tf.Tensor, shape (time, batch, co), optional
        Run the generator on these rather than on a controller's.
    num_towers : int, default 1
        Parts of the batch for which a generator without controller runs side by side: nothing else
        can be computed meanwhile, so that it keeps one core busy where a CPU has several.

    Returns
    -------
    Generation
    """
    if masks is not None:
        ext_input = ext_input * masks.ext_input
    gen_ics = g0
    if config.ic_dim != config.gen_dim:
        gen_ics = _linear(parameters, "LFADS/gen/g0_2_gen_ic", g0)
    w_fac = _normalised_columns(parameters["LFADS/gen/gen_2_fac/W"])
    weights = _gen_gru(parameters, "LFADS/gen/GenGRU", config.gen_input_dim)
    injected = ext_input if config.inject_ext_input_to_gen else ext_input[..., :0]
    u = post_mean = post_logvar = None
    if config.has_controller and inferred_inputs is None:
        assert ci is not None
        if masks is None:
            con_input_dim = config.ci_code_dim + config.feedback_dim
            input_mask = _for_all_trials(config.num_steps, ci, con_input_dim)
            output_mask = _for_all_trials(config.num_steps, ci, config.gen_dim)
        else:
            input_mask, output_mask = masks.con_input, masks.gen_output
        ran = run_with_controller(
            ControllerInputs(ci, input_mask, co_noise, injected, output_mask),
            _of_each_trial(parameters["LFADS/con/c0"], tf.shape(g0)[-2]),
            gen_ics,
            _initial_feedback(config, parameters, dataset, tf.matmul(gen_ics, w_fac)),
            _controller_weights(config, parameters, dataset, weights, w_fac),
            config.cell_clip_value,
            rates_are_exp=config.is_poisson,
        )
        u, post_mean, post_logvar, states, factors = ran
    else:
        inputs = injected
        if inferred_inputs is not None:
            inputs = tf.concat([inferred_inputs, injected], -1)
            u = inferred_inputs
        states = _in_towers(
            num_towers,
            lambda inputs, gen_ics: gru_layer(
                inputs, gen_ics, weights, config.cell_clip_value, inputs_need_gradient=False
            ),
            inputs,
            gen_ics,
        )
        outputs = states if masks is None else states * masks.gen_output
        factors = _matmul(outputs, w_fac)
    heads = _heads(config, parameters, dataset, factors)
    return Generation(gen_ics, states, factors, heads, u, post_mean, post_logvar)


def _in_towers(
    num_towers: int,
    layer: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    inputs: tf.Tensor,
    initial: tf.Tensor,
) -> tf.Tensor:
    if num_towers == 1:
        return layer(inputs, initial)
    batch_size = int(initial.shape[-2])
    edges = [batch_size * tower // num_towers for tower in range(num_towers + 1)]
    pieces = [
        layer(inputs[..., begin:end, :], initial[..., begin:end, :])
        for begin, end in itertools.pairwise(edges)
        if begin < end
    ]
    return tf.concat(pieces, -2)


def _for_all_trials(num_steps: int, like: tf.Tensor, dim: int) -> tf.Tensor:
    """Give ones that serve every trial, of as many axes as `like`."""
    return tf.ones([num_steps] + [1] * (len(like.shape) - 2) + [dim])


def output_dist_params(config: ModelConfig, heads: tuple[tf.Tensor, ...]) -> tf.Tensor:
    """Give what people read: expected counts per bin, or means then variances.

    Returns
    -------
    tf.Tensor, shape (..., channel) or (..., 2 channel)
    """
    last = tf.exp(tf.clip_by_value(heads[-1], -CLIP_VALUE, CLIP_VALUE))
    return last if config.is_poisson else tf.concat([heads[0], last], -1)


def _heads(
    config: ModelConfig, parameters: Parameters, dataset: DatasetConfig, factors: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    if config.readout_is_identity:
        return (factors,)
    scopes = readout_scopes(config, dataset.name)
    return tuple(_linear(parameters, scope, factors) for scope in scopes)


def _initial_feedback(
    config: ModelConfig, parameters: Parameters, dataset: DatasetConfig, factors: tf.Tensor
) -> tf.Tensor:
    if not config.feedback_dim:
        return factors[..., :0]
    if not config.rates_are_fed_back:
        return factors
    head = _heads(config, parameters, dataset, factors)[0]
    # Unclipped, unlike in later bins: so it is in the original.
    return tf.exp(head) if config.is_poisson else head


def _controller_weights(
    config: ModelConfig,
    parameters: Parameters,
    dataset: DatasetConfig,
    gen: GruWeights,
    w_fac: tf.Tensor,
) -> ControllerWeights:
    heads = ("mean", "logvar")
    w_post, b_post = (
        tf.concat([parameters[f"LFADS/con/con_to_post_co/{head}/{v}"] for head in heads], -1)
        for v in ("W", "b")
    )
    w_out = b_out = None
    if config.rates_are_fed_back:
        if config.readout_is_identity:
            w_out, b_out = tf.eye(config.factors_dim), tf.zeros([1, config.factors_dim])
        else:
            scope = readout_scopes(config, dataset.name)[0]
            w_out, b_out = parameters[f"{scope}/W"], parameters[f"{scope}/b"]
    con = _gen_gru(parameters, "LFADS/con/GenGRU", config.ci_code_dim + config.feedback_dim)
    return ControllerWeights(con, gen, w_post, b_post, w_fac, w_out, b_out)


def _gen_gru(parameters: Parameters, scope: str, num_in: int) -> GruWeights:
    parts = []
    for from_input, from_state in (
        ("Gates/x_2_ru", "Gates/h_2_ru"),
        ("Candidate/x_2_c", "Candidate/rh_2_c"),
    ):
        weight = parameters[f"{scope}/{from_state}/W"]
        if num_in:
            weight = tf.concat([parameters[f"{scope}/{from_input}/W"], weight], -2)
        parts += [weight, parameters[f"{scope}/{from_state}/b"]]
    return GruWeights(*parts)


def _normalised_columns(weight: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(weight, axis=-2, epsilon=1e-12)


def _linear(parameters: Parameters, scope: str, inputs: tf.Tensor) -> tf.Tensor:
    return _matmul(inputs, parameters[f"{scope}/W"]) + parameters[f"{scope}/b"]


def _matmul(inputs: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Multiply the last axis; one product over all bins and trials."""
    if len(inputs.shape) == len(weight.shape):
        return tf.matmul(inputs, weight)
    if len(weight.shape) == 3:
        return tf.einsum("trbi,rio->trbo", inputs, weight)
    shape = tf.concat([tf.shape(inputs)[:-1], [weight.shape[1]]], 0)
    product = tf.matmul(tf.reshape(inputs, [-1, inputs.shape[-1]]), weight)
    result = tf.reshape(product, shape)
    result.set_shape([*inputs.shape[:-1], weight.shape[1]])
    return result
