"""Settings no model can be trained with are refused, with everything that is wrong."""

from __future__ import annotations

import pytest

from lfadsq import RunParams
from lfadsq.errors import ConfigError
from lfadsq.manager.param_checks import check_params, list_violations


def test_the_defaults_are_fine():
    assert list_violations(RunParams()) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"spikeBinMs": 0}, "spikeBinMs"),
        ({"trainToTestRatio": 0}, "trainToTestRatio"),
        ({"num_samples_posterior": 0}, "num_samples_posterior"),
        ({"num_samples_posterior": 2.5}, "num_samples_posterior"),
        ({"c_batch_size": 0}, "c_batch_size"),
        ({"c_keep_prob": 0}, "c_keep_prob"),
        ({"c_keep_prob": 1.01}, "c_keep_prob"),
        ({"c_learning_rate_init": 0}, "c_learning_rate_init"),
        ({"c_learning_rate_stop": 0}, "c_learning_rate_stop"),
        ({"c_learning_rate_stop": 0.01}, "c_learning_rate_init"),
        ({"c_learning_rate_decay_factor": 1}, "c_learning_rate_decay_factor"),
        ({"c_learning_rate_decay_factor": 1.1}, "c_learning_rate_decay_factor"),
        ({"c_learning_rate_n_to_compare": 0}, "c_learning_rate_n_to_compare"),
        ({"c_max_grad_norm": -1}, "c_max_grad_norm"),
        ({"c_cell_clip_value": 0}, "c_cell_clip_value"),
        ({"c_kl_increase_steps": 0}, "c_kl_increase_steps"),
        ({"c_l2_increase_steps": 0}, "c_l2_increase_steps"),
        ({"c_l2_gen_scale": -1}, "c_l2_gen_scale"),
        ({"c_kl_co_weight": -0.5}, "c_kl_co_weight"),
        ({"c_cell_weight_scale": -1}, "c_cell_weight_scale"),
        ({"c_gen_dim": 0}, "c_gen_dim"),
        ({"c_device": "gpu0"}, "c_device"),
        ({"c_factors_dim": 0}, "c_factors_dim"),
        ({"c_ic_dim": 0}, "c_ic_dim"),
        ({"c_ic_enc_dim": 0}, "c_ic_enc_dim"),
        (
            {"c_temporal_spike_jitter_width": 2, "c_output_dist": "gaussian"},
            "c_temporal_spike_jitter_width",
        ),
        ({"c_ci_enc_dim": 0}, "c_ci_enc_dim"),
        ({"c_con_dim": 0}, "c_con_dim"),
        ({"c_num_steps_for_gen_ic": 0}, "c_num_steps_for_gen_ic"),
        ({"c_prior_ar_atau": 0}, "c_prior_ar_atau"),
        ({"c_ic_prior_var_max": 0.05}, "c_ic_prior_var_max"),
        ({"c_ic_post_var_min": 0}, "c_ic_post_var_min"),
        ({"c_inject_ext_input_to_gen": True}, "c_ext_input_dim"),
        ({"c_co_mean_corr_scale": 1, "c_co_dim": 1}, "c_co_mean_corr_scale"),
        ({"useAlignmentMatrix": True, "alignmentApproach": "PCA"}, "alignmentApproach"),
        (
            {"useSingleDatasetAlignmentMatrix": True, "alignmentExtraArgs": ("all",)},
            "alignmentExtraArgs",
        ),
    ],
)
def test_each_violation_is_found_and_named(changes, name):
    violations = list_violations(RunParams(**changes))
    assert any(name in violation for violation in violations)
    # A learning rate of 0 is both too small and below the rate at which training stops.
    assert len(violations) == (2 if changes == {"c_learning_rate_init": 0} else 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"c_co_dim": 0, "c_con_dim": 0, "c_ci_enc_dim": 0},
        {"c_keep_prob": 1},
        {"c_device": "/cpu:0"},
        {"c_device": ""},
        {"c_l2_gen_scale": 0, "c_l2_con_scale": 0},
        {"c_co_mean_corr_scale": 1, "c_co_dim": 2},
        {"c_inject_ext_input_to_gen": True, "c_ext_input_dim": 1},
        {"c_max_ckpt_to_keep": 0},
        {"useAlignmentMatrix": True, "useSingleDatasetAlignmentMatrix": True},
        {"alignmentApproach": "not used"},
    ],
)
def test_what_can_be_trained_is_let_through(changes):
    assert list_violations(RunParams(**changes)) == []


def test_all_violations_come_in_one_message():
    params = RunParams(name="mine", c_keep_prob=2, c_gen_dim=0, c_kl_increase_steps=0)
    with pytest.raises(ConfigError) as caught:
        check_params(params)
    message = str(caught.value)
    assert message.count("\n  - ") == 3
    assert '"mine"' in message
    assert params.param_hash_string in message
