"""Telling what differs between a checkpoint and the model that the flags describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lfadsq.errors import CheckpointError
from lfadsq.model.config import ModelConfig
from lfadsq.model.parameters import describe_parameters
from lfadsq.training.checkpoints import Checkpoint

__all__ = ["check_fits", "contradicting_flags"]

_ARCHITECTURE_FLAGS = (
    "output_dist",
    "factors_dim",
    "gen_dim",
    "ic_dim",
    "ic_enc_dim",
    "ci_enc_dim",
    "con_dim",
    "co_dim",
    "ext_input_dim",
    "inject_ext_input_to_gen",
    "do_causal_controller",
    "do_feed_factors_to_controller",
    "feedback_factors_or_rates",
    "controller_input_lag",
    "num_steps_for_gen_ic",
    "cell_clip_value",
    "ic_post_var_min",
    "ic_prior_var_min",
    "ic_prior_var_max",
)
"""What the flags say about which numbers a trained model gives."""

_ONLY_WITH_CONTROLLER = (
    "ci_enc_dim",
    "con_dim",
    "do_causal_controller",
    "do_feed_factors_to_controller",
    "feedback_factors_or_rates",
    "controller_input_lag",
)


def contradicting_flags(checkpoint: Checkpoint, flags: Mapping[str, Any]) -> list[str]:
    """List the architecture's flags whose value is not that of the checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
    flags : mapping of str to object
        As `TrainerFlags.recorded` gives them.

    Returns
    -------
    list of str
        For people, for example ``"gen_dim is 32, but the trained model has 64"``.
    """
    trained = {**_flags_of_shapes(checkpoint), **checkpoint.flags}
    differing = []
    for name in _ARCHITECTURE_FLAGS:
        if name in _ONLY_WITH_CONTROLLER and not (trained.get("co_dim") and flags["co_dim"]):
            continue
        if name in trained and trained[name] != flags[name]:
            differing.append(f"{name} is {flags[name]}, but the trained model has {trained[name]}")
    return differing


def check_fits(
    checkpoint: Checkpoint,
    config: ModelConfig,
    flags: Mapping[str, Any],
    chosen_by: str = "--lfads_save_dir",
) -> None:
    """See that a checkpoint is of the model that the flags describe.

    Parameters
    ----------
    checkpoint : Checkpoint
    config : ModelConfig
    flags : mapping of str to object
        As `TrainerFlags.recorded` gives them.
    chosen_by : str, default "--lfads_save_dir"
        The flag by which the user chose it.

    Raises
    ------
    CheckpointError
        Naming the flags that contradict it, or else the variables that differ.
    """
    differing = contradicting_flags(checkpoint, flags)
    if differing:
        raise CheckpointError(
            f"{checkpoint.prefix} is of another model: {'; '.join(differing)}",
            f"give the flags it was trained with, or choose another {chosen_by}",
        )
    faults = []
    for spec in describe_parameters(config):
        stored = checkpoint.values.get(spec.name)
        if stored is None:
            faults.append(f"it lacks {spec.name}")
        elif stored.shape != spec.shape:
            faults.append(f"{spec.name} has shape {stored.shape} rather than {spec.shape}")
    if faults:
        raise CheckpointError(
            f"{checkpoint.prefix} is of another model: {'; '.join(faults[:8])}"
            + (f" and {len(faults) - 8} more" if len(faults) > 8 else ""),
            f"give the datasets and flags it was trained with, or another {chosen_by}",
        )


def _flags_of_shapes(checkpoint: Checkpoint) -> dict[str, Any]:
    """Read from the shapes of variables what a checkpoint of the original does not say."""
    shapes = {name: value.shape for name, value in checkpoint.values.items()}
    known: dict[str, Any] = {"co_dim": 0}
    sources = {
        "gen_dim": ("LFADS/gen/gen_2_fac/W", 0),
        "factors_dim": ("LFADS/gen/gen_2_fac/W", 1),
        "ic_dim": ("LFADS/z/prior_g0/mean", 1),
        "ic_enc_dim": ("LFADS/ic_enc_fwd/ic_enc_t0_fwd", 1),
        "ci_enc_dim": ("LFADS/ci_enc_fwd/ci_enc_t0_fwd", 1),
        "con_dim": ("LFADS/con/c0", 1),
        "co_dim": ("LFADS/con/con_to_post_co/mean/W", 1),
    }
    for flag, (name, axis) in sources.items():
        if name in shapes:
            known[flag] = shapes[name][axis]
    if known["co_dim"]:
        known["do_causal_controller"] = str("LFADS/ci_enc_rev/ci_enc_t0_rev" not in shapes).lower()
    if any("/glm/fac_2_logrates_" in name for name in shapes):
        known["output_dist"] = "poisson"
    elif any("/glm/fac_2_means_" in name for name in shapes):
        known["output_dist"] = "gaussian"
    return known
