"""LFADS in plain NumPy: an independent answer for the model that is trained.

Written from the description of the original's numerics alone, one bin at a time and as plainly as
can be, and sharing no code with lfadsq: of a `ModelConfig` only the plain settings are read. All is
float64, or complex: everything but the decision whether to clip is analytic in the parameters, so a
parameter moved by a tiny imaginary step gives an exact derivative (see `derivative`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import gammaln

Array = np.ndarray
Values = Mapping[str, Array]

_IMAGINARY_STEP = 1e-30


@dataclass(frozen=True)
class Trials:
    """One batch and every random draw that it meets.

    Attributes
    ----------
    data : ndarray, shape (batch, time, channel)
    ext_input : ndarray, shape (batch, time, input)
    g0_noise : ndarray, shape (batch, ic)
    co_noise : ndarray, shape (time, batch, co)
    masks : dict of str to ndarray
        Of inverted dropout; empty without. ``data`` (time, batch, channel), ``ext_input`` (time,
        batch, input), ``ic_code`` (batch, 2 ic_enc), ``con_input`` (time, batch, code + feedback)
        and ``gen_output`` (time, batch, gen).
    """

    data: Array
    ext_input: Array
    g0_noise: Array
    co_noise: Array
    masks: Mapping[str, Array]

    def dropped(self, name: str, values: Array, t: int | None = None) -> Array:
        """Apply the mask of that name, or its bin `t`."""
        if name not in self.masks:
            return values
        mask = self.masks[name]
        return values * (mask if t is None else mask[t])


def sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))  # exp(-x) may overflow


def clip(x: Array, limit: float) -> Array:
    return np.where(x.real > limit, limit, np.where(x.real < -limit, -limit, x))


def linear(values: Values, scope: str, x: Array) -> Array:
    return x @ values[f"{scope}/W"] + values[f"{scope}/b"]


def encoder_states(
    values: Values, kind: str, direction: str, inputs: list[Array], limit: float
) -> list[Array]:
    """Give the state after each bin; inputs and states are (batch, ...) in order of time."""
    scope = f"LFADS/{kind}_enc_{direction}"
    num_trials = len(inputs[0])
    h = np.repeat(values[f"{scope}/{kind}_enc_t0_{direction}"], num_trials, axis=0)
    units = h.shape[1]
    order = range(len(inputs)) if direction == "fwd" else range(len(inputs) - 1, -1, -1)
    states: dict[int, Array] = {}
    for t in order:
        x = inputs[t]
        gates = linear(values, f"{scope}/GRU/Gates/xh_2_ru", np.concatenate([x, h], 1))
        r, u = sigmoid(gates[:, :units]), sigmoid(gates[:, units:] + 1.0)
        c = np.tanh(linear(values, f"{scope}/GRU/Candidate/xrh_2_c", np.concatenate([x, r * h], 1)))
        h = states[t] = clip(u * h + (1.0 - u) * c, limit)
    return [states[t] for t in range(len(inputs))]


def gen_gru(values: Values, scope: str, x: Array, h: Array, limit: float) -> Array:
    """Take one step of the cell whose weights of input and state are apart."""
    units = h.shape[1]
    gates = linear(values, f"{scope}/Gates/h_2_ru", h)
    if x.shape[1]:
        gates = gates + x @ values[f"{scope}/Gates/x_2_ru/W"]
    r, u = sigmoid(gates[:, :units]), sigmoid(gates[:, units:] + 1.0)
    candidate = linear(values, f"{scope}/Candidate/rh_2_c", r * h)
    if x.shape[1]:
        candidate = candidate + x @ values[f"{scope}/Candidate/x_2_c/W"]
    return clip(u * h + (1.0 - u) * np.tanh(candidate), limit)


def read_out(config: Any, values: Values, dataset: int, factors: Array) -> list[Array]:
    """Give log rates, or means and log variances."""
    described = config.datasets[dataset]
    if config.output_dist == "gaussian":
        heads = ("means", "logvars")
    elif len(config.datasets) == 1 and described.num_channels == config.factors_dim:
        return [factors]
    else:
        heads = ("logrates",)
    return [linear(values, f"LFADS/glm/fac_2_{h}_{described.name}", factors) for h in heads]


def prior_inputs(values: Values, noise: Array) -> Array:
    """Turn noise (time, batch, co) into samples of the AR(1) prior of the inferred inputs."""
    phi = np.exp(-1.0 / np.exp(values["LFADS/z/u_prior_ar1/logatau"]))
    variance = np.exp(values["LFADS/z/u_prior_ar1/logevars"])
    u = [np.sqrt(variance / (1.0 - phi**2)) * noise[0]]
    for row in noise[1:]:
        u.append(phi * u[-1] + np.sqrt(variance) * row)
    return np.stack(u)


def forward(
    config: Any, values: Values, dataset: int, trials: Trials, *, from_prior: bool = False
) -> dict[str, Any]:
    """Run the model, or with `from_prior` what comes after samples of g0 and of the inputs.

    Returns
    -------
    dict of str to ndarray
        By the names of result files; time first. Without a controller its entries are missing.
    """
    described = config.datasets[dataset]
    num_trials, num_steps = trials.data.shape[:2]
    limit = config.cell_clip_value
    ext = [trials.dropped("ext_input", trials.ext_input[:, t], t) for t in range(num_steps)]
    injected = config.inject_ext_input_to_gen

    inputs = []
    for t in range(num_steps):
        x = trials.dropped("data", trials.data[:, t], t)
        if len(config.datasets) > 1 or described.has_alignment:
            x = linear(values, f"LFADS/x_2_infac_{described.name}", x)
        inputs.append(x if injected else np.concatenate([x, ext[t]], 1))

    encoded = inputs[: config.num_steps_for_gen_ic]
    code = np.concatenate(
        [
            encoder_states(values, "ic", "fwd", encoded, limit)[-1],
            encoder_states(values, "ic", "rev", encoded, limit)[0],
        ],
        1,
    )
    code = trials.dropped("ic_code", code)
    post_mean = linear(values, "LFADS/z/ic_enc_2_post_g0/mean", code)
    raw = linear(values, "LFADS/z/ic_enc_2_post_g0/logvar", code)
    post_logvar = np.log(np.exp(raw) + config.ic_post_var_min)
    g0 = post_mean + np.exp(post_logvar / 2) * trials.g0_noise

    prior_logvar = values["LFADS/z/prior_g0/logvar"]
    low, high = config.ic_prior_var_min, config.ic_prior_var_max
    if high > low:
        prior_logvar = np.log(low + (high - low) * sigmoid(np.exp(prior_logvar)))

    if from_prior:
        g0 = values["LFADS/z/prior_g0/mean"] + np.exp(prior_logvar / 2) * trials.g0_noise
    gen = g0
    if config.ic_dim != config.gen_dim:
        gen = linear(values, "LFADS/gen/g0_2_gen_ic", g0)
    outputs: dict[str, Any] = {
        "prior_g0_mean": np.repeat(values["LFADS/z/prior_g0/mean"], num_trials, 0),
        "prior_g0_logvar": np.repeat(prior_logvar, num_trials, 0),
        "post_g0_mean": post_mean,
        "post_g0_logvar": post_logvar,
        "gen_ics": gen,
    }

    w = values["LFADS/gen/gen_2_fac/W"]
    squares = (w * w).sum(0)
    w_fac = w / np.sqrt(np.where(squares.real < 1e-12, 1e-12, squares))
    factors = gen @ w_fac
    has_controller = config.co_dim > 0 and not from_prior
    if from_prior and config.co_dim > 0:
        drawn = prior_inputs(values, trials.co_noise)
    if has_controller:
        lag = config.controller_input_lag
        codes = [(encoder_states(values, "ci", "fwd", inputs, limit), -lag)]
        if not config.do_causal_controller:
            codes.append((encoder_states(values, "ci", "rev", inputs, limit), lag))
        con = np.repeat(values["LFADS/con/c0"], num_trials, 0)

    rows: dict[str, list[Array]] = {"gen_states": [], "factors": []}
    if has_controller:
        rows |= {"controller_outputs": [], "post_co_mean": [], "post_co_logvar": []}
    heads: list[list[Array]] = []
    for t in range(num_steps):
        gen_input = []
        if has_controller:
            parts = []
            for states, shift in codes:
                inside = 0 <= t + shift < num_steps
                parts.append(states[t + shift] if inside else np.zeros_like(states[0]))
            if config.do_feed_factors_to_controller:
                fed_back = factors
                if config.feedback_factors_or_rates == "rates":
                    fed_back = read_out(config, values, dataset, factors)[0]
                    if config.output_dist == "poisson":
                        fed_back = np.exp(fed_back if t == 0 else clip(fed_back, 80.0))
                parts.append(fed_back)
            x = trials.dropped("con_input", np.concatenate(parts, 1), t)
            con = gen_gru(values, "LFADS/con/GenGRU", x, con, limit)
            mean = linear(values, "LFADS/con/con_to_post_co/mean", con)
            logvar = linear(values, "LFADS/con/con_to_post_co/logvar", con)
            u = mean + np.exp(logvar / 2) * trials.co_noise[t]
            rows["controller_outputs"].append(u)
            rows["post_co_mean"].append(mean)
            rows["post_co_logvar"].append(logvar)
            gen_input.append(u)
        elif config.co_dim > 0:
            gen_input.append(drawn[t])
        if injected:
            gen_input.append(ext[t])
        x = np.concatenate(gen_input, 1) if gen_input else np.zeros((num_trials, 0))
        gen = gen_gru(values, "LFADS/gen/GenGRU", x, gen, limit)
        factors = trials.dropped("gen_output", gen, t) @ w_fac
        rows["gen_states"].append(gen)
        rows["factors"].append(factors)
        heads.append(read_out(config, values, dataset, factors))
    outputs |= {name: np.stack(row) for name, row in rows.items()}
    outputs["heads"] = [np.stack(head) for head in zip(*heads, strict=True)]
    reported = np.exp(clip(outputs["heads"][-1], 80.0))
    if config.output_dist == "gaussian":
        reported = np.concatenate([outputs["heads"][0], reported], 2)
    outputs["output_dist_params"] = reported
    return outputs


def warmup(step: int, start_step: int, increase_steps: int) -> float:
    if increase_steps == 0:  # where the original gives not a number
        return 1.0 if step >= start_step else 0.0
    return min(max(step - start_step, 0) / increase_steps, 1.0)


def log_normal(x: Array, mean: Any, logvar: Array) -> Array:
    return -0.5 * (logvar + np.log(2 * np.pi) + (x - mean) ** 2 / np.exp(logvar))


def trial_terms(
    config: Any, values: Values, outputs: Mapping[str, Any], trials: Trials
) -> tuple[Array, Array, Array]:
    """Give log likelihood, divergence with its own weights, and correlation of each trial."""
    data = trials.data.transpose(1, 0, 2)
    heads = outputs["heads"]
    if config.output_dist == "poisson":
        density = data * heads[0] - np.exp(heads[0]) - gammaln(data + 1.0)
    else:
        density = log_normal(data, heads[0], heads[1])
    density = density.sum((0, 2))

    q_mean, q_logvar = outputs["post_g0_mean"], outputs["post_g0_logvar"]
    p_mean, p_logvar = outputs["prior_g0_mean"], outputs["prior_g0_logvar"]
    divergence = (
        p_logvar
        - q_logvar
        + np.exp(q_logvar - p_logvar)
        + (q_mean - p_mean) ** 2 / np.exp(p_logvar)
        - 1.0
    )
    kl = config.kl_ic_weight * 0.5 * divergence.sum(1)
    corr = np.zeros(len(kl))
    if config.co_dim == 0:
        return density, kl, corr

    u, mean = outputs["controller_outputs"], outputs["post_co_mean"]
    noise_logvar = values["LFADS/z/u_prior_ar1/logevars"]
    phi = np.exp(-1.0 / np.exp(values["LFADS/z/u_prior_ar1/logatau"]))
    log_ratio = np.zeros(len(kl))
    for t in range(len(u)):
        logvar, noise = outputs["post_co_logvar"][t], trials.co_noise[t]
        log_q = -0.5 * (logvar + np.log(2 * np.pi) + noise**2)
        if t == 0:
            log_p = log_normal(u[0], 0.0, noise_logvar - np.log(1.0 - phi**2))
        else:
            log_p = log_normal(u[t], phi * u[t - 1], noise_logvar)
        log_ratio = log_ratio + (log_q - log_p).sum(1)
    kl = kl + config.kl_co_weight * log_ratio

    pairs = list(combinations(range(config.co_dim), 2))
    if pairs:
        products = [0.5 * (mean[:, :, i] * mean[:, :, j]).sum(0) ** 2 for i, j in pairs]
        corr = sum(products) / len(pairs)
    return density, kl, corr


def l2_cost(config: Any, values: Values) -> Any:
    scales = {"gen": config.l2_gen_scale}
    if config.co_dim > 0:
        scales["con"] = config.l2_con_scale
    if not any(scales.values()):
        return 0.0
    total: Any = 0.0
    num_elements = 0
    for cell, scale in scales.items():
        for part in ("Gates/h_2_ru", "Candidate/rh_2_c"):
            for which in ("W", "b"):
                v = values[f"LFADS/{cell}/GenGRU/{part}/{which}"]
                total = total + 0.5 * scale * (v * v).sum()
                num_elements += v.size
    return total / num_elements


def costs_of(
    config: Any, values: Values, terms: tuple[Array, Array, Array], step: int
) -> dict[str, Any]:
    """Give the cost and its terms from those of the trials."""
    density, kl, corr = terms
    kl_weight = warmup(step, config.kl_start_step, config.kl_increase_steps)
    l2_weight = warmup(step, config.l2_start_step, config.l2_increase_steps)
    l2 = l2_cost(config, values)
    bound = density - kl
    largest = bound.real.max()
    return {
        "total": -density.mean()
        + kl_weight * kl.mean()
        + l2_weight * l2
        + config.co_mean_corr_scale * corr.mean(),
        "recon": -density.mean(),
        "kl": kl.mean(),
        "l2": l2,
        "corr": corr.mean(),
        "kl_weight": kl_weight,
        "l2_weight": l2_weight,
        "nll_bound_vae": -bound.mean(),
        "nll_bound_iwae": -(largest + np.log(np.exp(bound - largest).sum()) - np.log(len(density))),
    }


def costs(config: Any, values: Values, dataset: int, trials: Trials, step: int) -> dict[str, Any]:
    """Give the cost of a batch and its terms."""
    outputs = forward(config, values, dataset, trials)
    return costs_of(config, values, trial_terms(config, values, outputs, trials), step)


def derivative(
    config: Any,
    values: Values,
    dataset: int,
    trials: Trials,
    step: int,
    directions: Mapping[str, Array],
) -> float:
    """Give the derivative of the total cost as the named variables move in these directions."""
    moved = dict(values)
    for name, direction in directions.items():
        moved[name] = values[name] + 1j * _IMAGINARY_STEP * direction
    return float(costs(config, moved, dataset, trials, step)["total"].imag / _IMAGINARY_STEP)
