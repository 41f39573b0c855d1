"""What a training would have left in the folder of a run, made up within milliseconds.

Files have the names, shapes and axes of real ones, for tests of what reads them. Rates follow the
data, so that what is computed of them is finite; weights are random.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from lfadsq import Run

NUM_EPOCHS = 12


def stand_in_for_training(run: Run) -> None:
    """Write outputs of a prepared run, and its done-marker."""
    rng = np.random.default_rng(0)
    run.paths.output.folder.mkdir(exist_ok=True)
    channels = {}
    for name in run.dataset_names:
        with h5py.File(run.data_paths.input_h5(name)) as stored:
            for split in ("train", "valid"):
                counts = stored[f"{split}_data"][()]
                path = run.paths.output.posterior_means(name, split, run.params.posterior_mean_kind)
                with h5py.File(path, "w") as made:
                    for key, values in inferred(counts, run.params, rng).items():
                        made[key] = values
            channels[name] = counts.shape[2]
    with h5py.File(run.paths.output.model_params, "w") as made:
        for key, shape in weights(run.params, channels, run.uses_alignment_matrix).items():
            made[f"LFADS_{key}:0"] = rng.normal(size=shape).astype(np.float32)
    run.paths.output.fit_log().write_text(fit_log(run.params.c_kl_increase_steps))
    run.paths.done.touch()


def inferred(counts: np.ndarray, params: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Give posterior means for counts of (trial, time, channel): each channel's mean, varied."""
    num_trials, num_bins, _ = counts.shape
    slow = np.cumsum(rng.normal(size=(num_trials, num_bins, params.c_factors_dim)), axis=1)
    factors = slow / (1 + np.abs(slow).max())
    gain = 1 + 0.5 * factors[:, :, :1]
    found = {
        "output_dist_params": (counts.mean(axis=(0, 1)) + 0.01) * gain,
        "factors": factors,
        "gen_states": rng.normal(size=(num_trials, num_bins, params.c_gen_dim)),
        "gen_ics": rng.normal(size=(num_trials, params.c_gen_dim)),
        "post_g0_mean": rng.normal(size=(num_trials, params.c_ic_dim)),
        "post_g0_logvar": rng.normal(-3, 0.1, size=(num_trials, params.c_ic_dim)),
        "prior_g0_mean": np.zeros((num_trials, params.c_ic_dim)),
        "prior_g0_logvar": np.full((num_trials, params.c_ic_dim), np.log(0.1)),
        "costs": rng.normal(300, 10, size=num_trials),
        "nll_bound_vaes": rng.normal(300, 10, size=num_trials),
        "nll_bound_iwaes": rng.normal(300, 10, size=num_trials),
        "train_steps": np.full(num_trials, 1000.0),
    }
    if params.c_co_dim:
        shape = (num_trials, num_bins, params.c_co_dim)
        found["controller_outputs"] = rng.normal(size=shape)
    return found


def weights(params: Any, channels: dict[str, int], is_aligned: bool) -> dict[str, tuple[int, ...]]:
    """Give the shapes of the weights of a model, by their keys in ``model_params``."""
    f, g, e, z = params.c_factors_dim, params.c_gen_dim, params.c_ic_enc_dim, params.c_ic_dim
    c, k, u = params.c_ci_enc_dim, params.c_con_dim, params.c_co_dim
    given = f if is_aligned or len(channels) > 1 else next(iter(channels.values()))
    shapes: dict[str, tuple[int, ...]] = {
        "z_prior_g0_mean": (1, z),
        "z_prior_g0_logvar": (1, z),
        "z_ic_enc_2_post_g0_mean_W": (2 * e, z),
        "z_ic_enc_2_post_g0_mean_b": (1, z),
        "z_ic_enc_2_post_g0_logvar_W": (2 * e, z),
        "z_ic_enc_2_post_g0_logvar_b": (1, z),
        "gen_GenGRU_Gates_h_2_ru_W": (g, 2 * g),
        "gen_GenGRU_Gates_h_2_ru_b": (1, 2 * g),
        "gen_GenGRU_Candidate_rh_2_c_W": (g, g),
        "gen_GenGRU_Candidate_rh_2_c_b": (1, g),
        "gen_gen_2_fac_W": (g, f),
    }
    if z != g:
        shapes |= {"gen_g0_2_gen_ic_W": (z, g), "gen_g0_2_gen_ic_b": (1, g)}
    for name, num in channels.items():
        shapes[f"glm_fac_2_logrates_{name}.h5_W"] = (f, num)
        shapes[f"glm_fac_2_logrates_{name}.h5_b"] = (1, num)
        if given == f:
            shapes[f"x_2_infac_{name}.h5_W"] = (num, f)
            shapes[f"x_2_infac_{name}.h5_b"] = (1, f)
    encoders = [("ic_enc", e)] + [("ci_enc", c)] * bool(u)
    for encoder, units in encoders:
        for way in ("fwd", "rev"):
            begin = f"{encoder}_{way}_"
            shapes[f"{begin}{encoder}_t0_{way}"] = (1, units)
            shapes[f"{begin}GRU_Gates_xh_2_ru_W"] = (given + units, 2 * units)
            shapes[f"{begin}GRU_Gates_xh_2_ru_b"] = (1, 2 * units)
            shapes[f"{begin}GRU_Candidate_xrh_2_c_W"] = (given + units, units)
            shapes[f"{begin}GRU_Candidate_xrh_2_c_b"] = (1, units)
    if u:
        seen = 2 * c + f
        shapes |= {
            "gen_GenGRU_Gates_x_2_ru_W": (u, 2 * g),
            "gen_GenGRU_Candidate_x_2_c_W": (u, g),
            "con_c0": (1, k),
            "con_GenGRU_Gates_x_2_ru_W": (seen, 2 * k),
            "con_GenGRU_Candidate_x_2_c_W": (seen, k),
            "con_GenGRU_Gates_h_2_ru_W": (k, 2 * k),
            "con_GenGRU_Gates_h_2_ru_b": (1, 2 * k),
            "con_GenGRU_Candidate_rh_2_c_W": (k, k),
            "con_GenGRU_Candidate_rh_2_c_b": (1, k),
            "con_con_to_post_co_mean_W": (k, u),
            "con_con_to_post_co_mean_b": (1, u),
            "con_con_to_post_co_logvar_W": (k, u),
            "con_con_to_post_co_logvar_b": (1, u),
            "z_u_prior_ar1_logevars": (1, u),
            "z_u_prior_ar1_logatau": (1, u),
        }
    return shapes


def fit_log(rises_for_steps: int) -> str:
    """Write a log of falling costs; the weights of KL and L2 are full from the middle on."""
    lines = []
    for epoch in range(NUM_EPOCHS):
        total = 300 + 200 / (epoch + 1)
        weight = min(1.0, 2 * epoch / NUM_EPOCHS)
        step = round(2 * (epoch + 1) / NUM_EPOCHS * max(rises_for_steps, NUM_EPOCHS))
        lines.append(
            f"epoch,{epoch:d}, step,{step:d}, total,{total:.2f},{total + 5:.2f},       "
            f"recon,{total - 20:.2f},{total - 15:.2f}, kl,{19:.2f},{19:.2f}, l2,{1:.5f},       "
            f"klweight,{weight:.2f}, l2weight,{weight:.2f}\n"
        )
    return "".join(lines)
