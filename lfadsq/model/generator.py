"""Controller and generator, which run together because factors are fed back (NUMERICS.md 3).

Without a controller the generator is a layer of its own (`cells.gru_layer`). With one, each bin
takes these steps::

    x_con = [ci, feedback] * mask         h_con = cell(x_con, h_con)
    [mean, logvar] = h_con W_post + b_post
    u = mean + exp(logvar / 2) * noise
    h_gen = cell([u, ext], h_gen)         factors = (h_gen * mask) W_fac
    feedback = factors, or the rates they give

Their derivative is written out by hand, so that gradients of weights are taken once for many bins.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from lfadsq.model.cells import (
    CellStep,
    Gates,
    GruWeights,
    cell_backward,
    cell_forward,
    column_sums,
    input_gradients,
    rows,
    weight_gradients,
)
from lfadsq.model.distributions import CLIP_VALUE
from lfadsq.model.recurrence import Finish, Tensors, scan, states_before

__all__ = ["Controlled", "ControllerInputs", "ControllerWeights", "run_with_controller"]


class ControllerWeights(NamedTuple):
    """Everything trained that acts within a bin.

    Attributes
    ----------
    con, gen : GruWeights
    w_post, b_post : tf.Tensor, shape (con, 2 co) and (1, 2 co)
        To mean and log variance of the inferred inputs.
    w_fac : tf.Tensor, shape (gen, factor)
        Columns normalised.
    w_out, b_out : tf.Tensor, shape (factor, channel) and (1, channel), optional
        Read-out to log rates or means, where those are fed back.
    """

    con: GruWeights
    gen: GruWeights
    w_post: tf.Tensor
    b_post: tf.Tensor
    w_fac: tf.Tensor
    w_out: tf.Tensor | None
    b_out: tf.Tensor | None


class ControllerInputs(NamedTuple):
    """What enters each bin; shapes are (time, batch, ...).

    Attributes
    ----------
    ci : tf.Tensor
        The controller's encoders, lagged.
    input_mask : tf.Tensor, shape (time, batch or 1, ci + feedback)
        Dropout of what enters the controller: `ci`, and what is fed back, if anything is.
    noise : tf.Tensor, shape (time, batch, co)
        Standard normal.
    ext : tf.Tensor
        Injected external inputs; the last axis may be 0 long.
    output_mask : tf.Tensor, shape (time, batch or 1, gen)
        Dropout of the generator's output.
    """

    ci: tf.Tensor
    input_mask: tf.Tensor
    noise: tf.Tensor
    ext: tf.Tensor
    output_mask: tf.Tensor


class Controlled(NamedTuple):
    """What controller and generator gave; shapes are (time, batch, ...)."""

    u: tf.Tensor
    post_mean: tf.Tensor
    post_logvar: tf.Tensor
    gen_states: tf.Tensor
    factors: tf.Tensor


class _Saved(NamedTuple):
    con: CellStep
    gen: CellStep
    x_gen: tf.Tensor
    post: tf.Tensor
    factors: tf.Tensor
    feedback: tf.Tensor


class _Derived(NamedTuple):
    """What the derivative of a bin is taken from: inputs, states, derivatives by the outputs."""

    ci: tf.Tensor
    x_gen: tf.Tensor
    logvar: tf.Tensor
    factors: tf.Tensor
    feedback: tf.Tensor
    fed_back: tf.Tensor
    con_before: tf.Tensor
    con_r: tf.Tensor
    con_u: tf.Tensor
    con_c: tf.Tensor
    con_h: tf.Tensor
    gen_before: tf.Tensor
    gen_r: tf.Tensor
    gen_u: tf.Tensor
    gen_c: tf.Tensor
    gen_h: tf.Tensor
    noise: tf.Tensor
    input_mask: tf.Tensor
    feedback_mask: tf.Tensor
    output_mask: tf.Tensor
    d_u: tf.Tensor
    d_mean: tf.Tensor
    d_logvar: tf.Tensor
    d_gen_states: tf.Tensor
    d_factors: tf.Tensor

    def x_con(self) -> tf.Tensor:
        """Give what entered the controller."""
        return tf.concat([self.ci * self.input_mask[..., : self.ci.shape[-1]], self.fed_back], -1)


def run_with_controller(
    inputs: ControllerInputs,
    con_initial: tf.Tensor,
    gen_initial: tf.Tensor,
    feedback_initial: tf.Tensor,
    weights: ControllerWeights,
    clip_value: float,
    *,
    rates_are_exp: bool,
) -> Controlled:
    """Run controller and generator over time.

    Parameters
    ----------
    inputs : ControllerInputs
        Gradients are taken by `ci` only; noise, masks and external inputs are data.
    con_initial, gen_initial : tf.Tensor, shape (batch, con) and (batch, gen)
    feedback_initial : tf.Tensor, shape (batch, feedback)
        Before dropout.
    weights : ControllerWeights
    clip_value : float
    rates_are_exp : bool
        Whether fed-back rates are exp of the read-out (poisson) or the read-out (gaussian).

    Returns
    -------
    Controlled
    """
    co_dim = int(inputs.noise.shape[-1])
    con_dim, gen_dim = weights.con.size, weights.gen.size
    ci_dim = int(inputs.ci.shape[-1])
    gen_input_dim = co_dim + int(inputs.ext.shape[-1])
    factors_dim, feedback_dim = int(weights.w_fac.shape[-1]), int(feedback_initial.shape[-1])
    feeds_rates = weights.w_out is not None
    readout = (weights.w_out, weights.b_out) if feeds_rates else ()
    _, input_mask, noise, ext, output_mask = inputs

    @tf.custom_gradient
    def run(ci, con_initial, gen_initial, feedback_initial, *tensors):  # type: ignore[no-untyped-def]
        con_weights, gen_weights = GruWeights(*tensors[:4]), GruWeights(*tensors[4:8])
        con, gen = con_weights.block(), gen_weights.block()
        w_post, b_post, w_fac, *w_rates = tensors[8:]

        def forward(state: Tensors, now: Tensors, is_edge: bool) -> tuple[Tensors, Tensors]:
            h_con, h_gen, feedback = state
            ci_t, input_mask_t, noise_t, ext_t, output_mask_t = now
            x_con = tf.concat([ci_t, feedback], -1) * input_mask_t
            con_step = cell_forward(x_con, h_con, con, clip_value, is_first=is_edge)
            post = tf.matmul(con_step.h, w_post) + b_post
            mean, logvar = tf.split(post, 2, -1)
            u = mean + tf.exp(0.5 * logvar) * noise_t
            x_gen = tf.concat([u, ext_t], -1)
            gen_step = cell_forward(x_gen, h_gen, gen, clip_value, is_first=is_edge)
            factors = tf.matmul(gen_step.h * output_mask_t, w_fac)
            feedback = _feedback(factors, feedback_dim, w_rates, rates_are_exp)
            return (
                (con_step.h, gen_step.h, feedback),
                (*con_step, *gen_step, x_gen, post, factors, feedback),
            )

        state = (con_initial, gen_initial, feedback_initial)
        dims = [con_dim] * 4 + [gen_dim] * 4
        dims += [gen_input_dim, 2 * co_dim, factors_dim, feedback_dim]
        saved = scan(forward, state, (ci, input_mask, noise, ext, output_mask), dims).outputs
        steps = _Saved(CellStep(*saved[:4]), CellStep(*saved[4:8]), *saved[8:])
        means, logvars = tf.split(steps.post, 2, -1)
        outputs = Controlled(steps.x_gen[..., :co_dim], means, logvars, steps.gen.h, steps.factors)

        def gradient(*d_outputs: tf.Tensor) -> Tensors:
            # Only what is fed back needs its derivative within the bin.
            con_fed_back = con_weights.block(ci_dim)
            feedback_mask = input_mask[..., ci_dim:]
            fed_back = states_before(steps.feedback, feedback_initial) * feedback_mask

            def backward(state: Tensors, now: Tensors, is_edge: bool) -> tuple[Tensors, Tensors]:
                d_con, d_gen, d_feedback = state
                given = _Derived(*now)
                d_u, d_factors = given.d_u, given.d_factors
                d_readout: Tensors = ()
                if feeds_rates:
                    d_rates = _by_readout(d_feedback, given.feedback, rates_are_exp)
                    d_readout = (d_rates,)
                    d_factors += tf.matmul(d_rates, w_rates[0], transpose_b=True)
                elif feedback_dim:
                    d_factors += d_feedback
                d_dropped = tf.matmul(d_factors, w_fac, transpose_b=True)
                by_gen = cell_backward(
                    given.x_gen,
                    given.gen_before,
                    Gates(given.gen_r, given.gen_u, given.gen_c),
                    d_gen + given.d_gen_states + d_dropped * given.output_mask,
                    gen,
                    clip_value,
                    is_first=is_edge,
                )
                d_u += by_gen.x[..., :co_dim]
                d_logvar = given.d_logvar + 0.5 * d_u * given.noise * tf.exp(0.5 * given.logvar)
                d_post = tf.concat([given.d_mean + d_u, d_logvar], -1)
                by_con = cell_backward(
                    given.fed_back,
                    given.con_before,
                    Gates(given.con_r, given.con_u, given.con_c),
                    d_con + tf.matmul(d_post, w_post, transpose_b=True),
                    con_fed_back,
                    clip_value,
                    is_first=is_edge,
                )
                return (
                    (by_con.h, by_gen.h, by_con.x * given.feedback_mask),
                    (
                        *(by_con.pre_ru, by_con.pre_c, by_gen.pre_ru, by_gen.pre_c),
                        *(d_post, d_factors, *d_readout),
                    ),
                )

            def finish(piece: Tensors, derivatives: Tensors) -> tuple[Tensors, Tensors]:
                given = _Derived(*piece)
                con_ru, con_c, gen_ru, gen_c, d_post, d_factors, *d_readout = derivatives
                terms = (
                    *weight_gradients(given.x_con(), given.con_before, given.con_r, con_ru, con_c),
                    *weight_gradients(given.x_gen, given.gen_before, given.gen_r, gen_ru, gen_c),
                    *_linear_gradients(given.con_h, d_post),
                    _linear_gradients(given.gen_h * given.output_mask, d_factors)[0],
                    *(_linear_gradients(given.factors, d_readout[0]) if feeds_rates else ()),
                )
                d_ci = input_gradients(con_weights, ci_dim, con_ru, con_c)
                return (d_ci * given.input_mask[..., :ci_dim],), terms

            d_state, (d_ci,), totals = scan(
                backward,
                tuple(tf.zeros_like(initial) for initial in state),
                _Derived(
                    *(ci, steps.x_gen, logvars, steps.factors, steps.feedback, fed_back),
                    *(states_before(steps.con.h, con_initial), *steps.con),
                    *(states_before(steps.gen.h, gen_initial), *steps.gen),
                    *(noise, input_mask, feedback_mask, output_mask),
                    *d_outputs,
                ),
                [ci_dim],
                finish=Finish(finish, tuple(tf.zeros_like(tensor) for tensor in tensors)),
                reverse=True,
                edge_is_last=True,
            )
            return (d_ci, *d_state, *totals)

        return tuple(outputs), gradient

    tensors = (*weights.con, *weights.gen, weights.w_post, weights.b_post, weights.w_fac, *readout)
    return Controlled(*run(inputs.ci, con_initial, gen_initial, feedback_initial, *tensors))


def _feedback(
    factors: tf.Tensor, feedback_dim: int, w_rates: list[tf.Tensor], rates_are_exp: bool
) -> tf.Tensor:
    if not feedback_dim:
        return factors[..., :0]
    if not w_rates:
        return factors
    rates = tf.matmul(factors, w_rates[0]) + w_rates[1]
    if rates_are_exp:
        rates = tf.exp(tf.clip_by_value(rates, -CLIP_VALUE, CLIP_VALUE))
    return rates


def _by_readout(d_rates: tf.Tensor, rates: tf.Tensor, rates_are_exp: bool) -> tf.Tensor:
    if not rates_are_exp:
        return d_rates
    # Where the log rate was clipped the rate does not depend on it.
    low, high = tf.exp(tf.constant(-CLIP_VALUE)), tf.exp(tf.constant(CLIP_VALUE))
    inside = tf.logical_and(rates > low, rates < high)
    return tf.where(inside, d_rates * rates, tf.zeros_like(rates))


def _linear_gradients(inputs: tf.Tensor, d_outputs: tf.Tensor) -> Tensors:
    d_rows = rows(d_outputs)
    return tf.matmul(rows(inputs), d_rows, transpose_a=True), column_sums(d_rows)
