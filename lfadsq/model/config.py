"""What a model is: dimensions, switches and scales, frozen."""

from __future__ import annotations

from dataclasses import dataclass

from lfadsq.errors import ConfigError

__all__ = ["DatasetConfig", "ModelConfig"]


@dataclass(frozen=True)
class DatasetConfig:
    """What the model knows of one dataset.

    Attributes
    ----------
    name : str
        The dataset's name as the variables carry it, with extension: ``dataset001.h5``.
    num_channels : int
        Channels of the data.
    has_alignment : bool
        Whether the input file holds a read-in matrix.
    """

    name: str
    num_channels: int
    has_alignment: bool = False


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides which numbers a model computes, and which variables it has.

    The attributes are the trainer's flags of the same name; defaults are those of LFADS Run
    Manager. `num_steps` is the number of time bins, and `num_steps_for_gen_ic` at most that.

    Raises
    ------
    ConfigError
        If a value cannot be, or two contradict each other; every fault is named.
    """

    datasets: tuple[DatasetConfig, ...]
    num_steps: int
    output_dist: str = "poisson"
    factors_dim: int = 50
    gen_dim: int = 100
    ic_dim: int = 64
    ic_enc_dim: int = 128
    ci_enc_dim: int = 128
    con_dim: int = 128
    co_dim: int = 4
    ext_input_dim: int = 0
    inject_ext_input_to_gen: bool = False
    num_steps_for_gen_ic: int = 4_294_967_295
    cell_clip_value: float = 5.0
    keep_prob: float = 0.95
    cell_weight_scale: float = 1.0
    gen_cell_input_weight_scale: float = 1.0
    gen_cell_rec_weight_scale: float = 1.0
    ic_prior_var_min: float = 0.1
    ic_prior_var_scale: float = 0.1
    ic_prior_var_max: float = 0.1
    ic_post_var_min: float = 0.0001
    prior_ar_atau: float = 10.0
    prior_ar_nvar: float = 0.1
    do_train_prior_ar_atau: bool = True
    do_train_prior_ar_nvar: bool = True
    do_causal_controller: bool = False
    controller_input_lag: int = 1
    do_feed_factors_to_controller: bool = True
    feedback_factors_or_rates: str = "factors"
    l2_gen_scale: float = 500.0
    l2_con_scale: float = 500.0
    l2_start_step: int = 0
    l2_increase_steps: int = 900
    kl_ic_weight: float = 1.0
    kl_co_weight: float = 1.0
    kl_start_step: int = 0
    kl_increase_steps: int = 900
    co_mean_corr_scale: float = 0.0
    max_grad_norm: float = 200.0
    do_train_readin: bool = True
    do_train_io_only: bool = False
    do_train_encoder_only: bool = False

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise ConfigError(
                "these settings cannot be: " + "; ".join(faults), "correct these flags"
            )
        object.__setattr__(
            self, "num_steps_for_gen_ic", min(self.num_steps_for_gen_ic, self.num_steps)
        )

    def _faults(self) -> list[str]:
        rules = [
            (bool(self.datasets), "there must be at least one dataset"),
            (
                self.output_dist in ("poisson", "gaussian"),
                f"output_dist is {self.output_dist!r}, but must be 'poisson' or 'gaussian'",
            ),
            (
                self.feedback_factors_or_rates in ("factors", "rates"),
                f"feedback_factors_or_rates is {self.feedback_factors_or_rates!r}, "
                "but must be 'factors' or 'rates'",
            ),
            (0 < self.keep_prob <= 1, f"keep_prob is {self.keep_prob}, but must be in (0, 1]"),
            (
                self.ic_prior_var_max >= self.ic_prior_var_min > 0,
                "ic_prior_var_min must be positive and at most ic_prior_var_max",
            ),
            (self.ic_prior_var_scale > 0, "ic_prior_var_scale must be positive"),
            (self.ic_post_var_min >= 0, "ic_post_var_min must not be negative"),
            (
                self.prior_ar_atau > 0 and self.prior_ar_nvar > 0,
                "prior_ar_atau and prior_ar_nvar must be positive",
            ),
            (
                not (self.do_train_io_only and self.do_train_encoder_only),
                "do_train_io_only and do_train_encoder_only exclude each other",
            ),
            (
                not (self.inject_ext_input_to_gen and self.ext_input_dim == 0),
                "inject_ext_input_to_gen needs ext_input_dim above 0",
            ),
            (
                not (self.rates_are_fed_back and len({d.num_channels for d in self.datasets}) > 1),
                "feedback_factors_or_rates=rates needs datasets with equal numbers of channels",
            ),
        ]
        faults = [text for holds, text in rules if not holds]
        for name in ("factors_dim", "gen_dim", "ic_dim", "ic_enc_dim", "num_steps_for_gen_ic"):
            if getattr(self, name) < 1:
                faults.append(f"{name} is {getattr(self, name)}, but must be at least 1")
        if self.has_controller:
            for name in ("ci_enc_dim", "con_dim"):
                if getattr(self, name) < 1:
                    faults.append(f"{name} is {getattr(self, name)}, but must be at least 1")
        for name in ("cell_clip_value", "max_grad_norm"):
            if getattr(self, name) <= 0:
                faults.append(f"{name} is {getattr(self, name)}, but must be positive")
        return faults

    @property
    def is_poisson(self) -> bool:
        """Whether the data are counts."""
        return self.output_dist == "poisson"

    @property
    def has_controller(self) -> bool:
        """Whether inputs are inferred."""
        return self.co_dim > 0

    @property
    def rates_are_fed_back(self) -> bool:
        """Whether the controller sees rates rather than factors."""
        return (
            self.has_controller
            and self.do_feed_factors_to_controller
            and self.feedback_factors_or_rates == "rates"
        )

    @property
    def readin_is_identity(self) -> bool:
        """Whether data enter the encoders as they are: one dataset without alignment matrix."""
        return len(self.datasets) == 1 and not self.datasets[0].has_alignment

    @property
    def readout_is_identity(self) -> bool:
        """Whether factors are log rates: one poisson dataset with as many factors as channels."""
        return (
            self.is_poisson
            and len(self.datasets) == 1
            and self.datasets[0].num_channels == self.factors_dim
        )

    @property
    def prior_g0_is_trained(self) -> bool:
        """Whether the variance of the prior of the initial conditions is trained."""
        return self.ic_prior_var_max > self.ic_prior_var_min

    @property
    def encoder_input_dim(self) -> int:
        """Inputs of the encoders."""
        data_dim = self.datasets[0].num_channels if self.readin_is_identity else self.factors_dim
        return data_dim + (0 if self.inject_ext_input_to_gen else self.ext_input_dim)

    @property
    def ci_code_dim(self) -> int:
        """What the controller's encoders tell the controller in one bin."""
        return self.ci_enc_dim * (1 if self.do_causal_controller else 2)

    @property
    def feedback_dim(self) -> int:
        """What is fed back to the controller."""
        if not self.do_feed_factors_to_controller:
            return 0
        return self.datasets[0].num_channels if self.rates_are_fed_back else self.factors_dim

    @property
    def gen_input_dim(self) -> int:
        """Inputs of the generator: inferred ones first, then injected external ones."""
        return self.co_dim + (self.ext_input_dim if self.inject_ext_input_to_gen else 0)
