"""Settings of hyperparameters that no model can be trained with."""

from __future__ import annotations

from collections.abc import Iterator

from lfadsq.device_names import parse_device_name
from lfadsq.errors import ConfigError
from lfadsq.manager.alignment import AlignmentOptions
from lfadsq.manager.params import RunParams

__all__ = ["check_params", "list_violations"]

_AT_LEAST_ONE = (
    "trainToTestRatio",
    "num_samples_posterior",
    "c_learning_rate_n_to_compare",
    "c_batch_size",
    "c_ic_dim",
    "c_ic_enc_dim",
    "c_num_steps_for_gen_ic",
    "c_gen_dim",
    "c_factors_dim",
)
_AT_LEAST_ONE_WITH_CONTROLLER = ("c_ci_enc_dim", "c_con_dim")
_POSITIVE = (
    "spikeBinMs",
    "c_learning_rate_init",
    "c_learning_rate_stop",
    "c_max_grad_norm",
    "c_cell_clip_value",
    "c_prior_ar_atau",
    "c_prior_ar_nvar",
    "c_ic_prior_var_min",
    "c_ic_prior_var_scale",
    "c_ic_prior_var_max",
    "c_ic_post_var_min",
)
_NOT_NEGATIVE = (
    "c_l2_gen_scale",
    "c_l2_con_scale",
    "c_co_mean_corr_scale",
    "c_kl_ic_weight",
    "c_kl_co_weight",
    "c_cell_weight_scale",
    "c_gen_cell_input_weight_scale",
    "c_gen_cell_rec_weight_scale",
)


def check_params(params: RunParams) -> None:
    """Refuse a setting that no model can be trained with.

    Raises
    ------
    ConfigError
        With everything that is wrong in one message.
    """
    violations = list_violations(params)
    if violations:
        listed = "".join(f"\n  - {violation}" for violation in violations)
        raise ConfigError(
            f"{params.generate_title()} {params.param_hash_string} cannot be trained:{listed}"
        )


def list_violations(params: RunParams) -> list[str]:
    """List what is wrong with a setting.

    Parameters
    ----------
    params : RunParams
        The setting; each value by itself fits its class on disk.

    Returns
    -------
    list of str
        A line each: what is wrong and what to give instead. Empty if all is well.
    """
    return [*_range_violations(params), *_joint_violations(params)]


def _range_violations(params: RunParams) -> Iterator[str]:
    at_least_one = _AT_LEAST_ONE + (_AT_LEAST_ONE_WITH_CONTROLLER if params.c_co_dim else ())
    for name in at_least_one:
        if getattr(params, name) < 1:
            yield f"{name} is {getattr(params, name):g}: give 1 or more"
    for name in _POSITIVE:
        if getattr(params, name) <= 0:
            yield f"{name} is {getattr(params, name):g}: give a positive number"
    for name in _NOT_NEGATIVE:
        if getattr(params, name) < 0:
            yield f"{name} is {getattr(params, name):g}: give 0 or a positive number"
    for name in ("c_keep_prob", "c_learning_rate_decay_factor"):
        if not 0 < getattr(params, name) <= 1:
            yield f"{name} is {getattr(params, name):g}: give a number above 0 and up to 1"
    for name in ("c_kl_increase_steps", "c_l2_increase_steps"):
        if getattr(params, name) == 0:
            # The trainer divides by it: 0/0 at the start step makes every cost NaN.
            yield f"{name} is 0: give 1 for the full weight from the start"


def _joint_violations(params: RunParams) -> Iterator[str]:
    try:
        if params.c_device:  # left empty, it is the trainer's own choice
            parse_device_name(params.c_device)
    except ConfigError as error:
        yield f"c_device: {error}"
    if params.num_samples_posterior != int(params.num_samples_posterior):
        yield (
            f"num_samples_posterior is {params.num_samples_posterior:g}: it counts samples, give "
            "a whole number"
        )
    if params.c_learning_rate_stop >= params.c_learning_rate_init:
        yield (
            f"c_learning_rate_stop {params.c_learning_rate_stop:g} is not below "
            f"c_learning_rate_init {params.c_learning_rate_init:g}: training would not begin"
        )
    if params.c_learning_rate_decay_factor == 1:
        yield "c_learning_rate_decay_factor is 1: training would never end, give less"
    if params.c_temporal_spike_jitter_width and params.c_output_dist != "poisson":
        yield (
            f"c_temporal_spike_jitter_width is {params.c_temporal_spike_jitter_width}, but "
            f"c_output_dist is {params.c_output_dist}: only spikes can be moved, give 0"
        )
    if params.c_ic_prior_var_max < params.c_ic_prior_var_min:
        yield (
            f"c_ic_prior_var_max {params.c_ic_prior_var_max:g} is below c_ic_prior_var_min "
            f"{params.c_ic_prior_var_min:g}"
        )
    if params.c_inject_ext_input_to_gen and params.c_ext_input_dim == 0:
        yield "c_inject_ext_input_to_gen is true, but c_ext_input_dim is 0"
    if params.c_co_mean_corr_scale > 0 and params.c_co_dim < 2:
        yield (
            f"c_co_mean_corr_scale is {params.c_co_mean_corr_scale:g}, but c_co_dim is "
            f"{params.c_co_dim}: only two or more inferred inputs can correlate"
        )
    if params.useAlignmentMatrix or params.useSingleDatasetAlignmentMatrix:
        try:
            AlignmentOptions.of_params(params)
        except ConfigError as error:
            yield str(error)
