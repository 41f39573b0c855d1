"""`RunParams`: one setting of all hyperparameters, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from lfadsq.manager.hyperparams import hyperparam
from lfadsq.manager.param_values import HyperParamValues

__all__ = ["RunParams"]

_LOGISTICS = "Run Manager logistics and data processing"
_TENSORFLOW = "TensorFlow Logistics"
_OPTIMIZATION = "Optimization"
_OVERFITTING = "Overfitting"
_UNDERFITTING = "Underfitting"
_EXTERNAL_INPUTS = "External inputs"
_CONTROLLER = "Controller and inferred inputs"
_ENCODER = "Encoder and initial conditions for generator"
_GENERATOR = "Generator network, factors, rates"
_STITCHING = "Stitching multi-session models"
_POSTERIOR = "Posterior sampling"
_RETIRED = "retired, kept for old hashes"


@dataclass(kw_only=True)
class RunParams(HyperParamValues):
    """One setting of all hyperparameters: a value that is compared, copied, hashed and shown.

    A subclass declares further fields with `hyperparam`; they enter the hashes too. Names,
    classes and defaults of the fields are published and part of the format on disk.

    Parameters
    ----------
    **values
        Hyperparameters other than the defaults, by name.

    Raises
    ------
    UnknownHyperParamError
        If a name does not exist; the nearest one is offered.
    ConfigError
        If a value does not fit its class on disk; all wrong values are reported at once.

    Examples
    --------
    >>> par = RunParams(name="first_attempt", c_co_dim=0, c_batch_size=150, c_factors_dim=8)
    >>> par.c_gen_dim = 64
    >>> par.param_hash_string, par.data_hash_string
    ('param_V3dGzy', 'data_4MaTKO')
    """

    name: str = hyperparam(
        "", group=_LOGISTICS, help="what you call this setting", in_param_hash=False
    )
    version: int = hyperparam(
        20171107,
        matlab_class="uint32",
        group=_LOGISTICS,
        help="version of hashes and layout, YYYYMMDD",
        in_param_hash=False,
    )
    spikeBinMs: float = hyperparam(
        2.0, group=_LOGISTICS, help="width of the time bins LFADS sees [ms]"
    )
    c_allow_gpu_growth: bool = hyperparam(
        True, group=_TENSORFLOW, help="take GPU memory as it is needed, not all at the start"
    )
    c_max_ckpt_to_keep: int = hyperparam(
        5, matlab_class="uint16", group=_TENSORFLOW, help="rolling checkpoints kept"
    )
    c_max_ckpt_to_keep_lve: int = hyperparam(
        5,
        matlab_class="uint16",
        group=_TENSORFLOW,
        help="checkpoints kept of lowest validation error",
    )
    c_device: str = hyperparam("/gpu:0", group=_TENSORFLOW, help="device that TensorFlow uses")
    c_learning_rate_init: float = hyperparam(
        0.01, group=_OPTIMIZATION, help="learning rate at the start"
    )
    c_learning_rate_decay_factor: float = hyperparam(
        0.98, group=_OPTIMIZATION, help="factor applied to the learning rate when training stalls"
    )
    c_learning_rate_n_to_compare: int = hyperparam(
        6,
        matlab_class="uint16",
        group=_OPTIMIZATION,
        help="epochs that the training cost must exceed to count as stalled",
    )
    c_learning_rate_stop: float = hyperparam(
        1e-05, group=_OPTIMIZATION, help="training ends when the learning rate falls below this"
    )
    c_max_grad_norm: float = hyperparam(
        200.0, group=_OPTIMIZATION, help="largest global norm of the gradient"
    )
    trainToTestRatio: int = hyperparam(
        4,
        matlab_class="uint16",
        group=_OPTIMIZATION,
        help="training trials for each validation trial",
    )
    c_batch_size: int = hyperparam(
        256, matlab_class="uint16", group=_OPTIMIZATION, help="trials in a batch"
    )
    c_cell_clip_value: float = hyperparam(
        5.0, group=_OPTIMIZATION, help="largest magnitude of a recurrent state"
    )
    c_temporal_spike_jitter_width: int = hyperparam(
        0,
        matlab_class="uint16",
        group=_OVERFITTING,
        help="spikes move by up to this many bins each time they are seen",
    )
    c_keep_prob: float = hyperparam(
        0.95, group=_OVERFITTING, help="probability that dropout keeps a value"
    )
    c_l2_gen_scale: float = hyperparam(
        500.0, group=_OVERFITTING, help="weight of the generator's L2 cost"
    )
    c_l2_con_scale: float = hyperparam(
        500.0, group=_OVERFITTING, help="weight of the controller's L2 cost"
    )
    c_co_mean_corr_scale: float = hyperparam(
        0.0, group=_OVERFITTING, help="weight of the cost on correlated inferred inputs"
    )
    c_kl_ic_weight: float = hyperparam(
        1.0, group=_UNDERFITTING, help="weight of the KL cost of the initial conditions"
    )
    c_kl_co_weight: float = hyperparam(
        1.0, group=_UNDERFITTING, help="weight of the KL cost of the inferred inputs"
    )
    c_kl_start_step: int = hyperparam(
        0,
        matlab_class="uint32",
        group=_UNDERFITTING,
        help="step at which the KL cost begins to rise",
    )
    c_kl_increase_steps: int = hyperparam(
        900,
        matlab_class="uint32",
        group=_UNDERFITTING,
        help="steps over which the KL cost rises to its full weight",
    )
    c_l2_start_step: int = hyperparam(
        0,
        matlab_class="uint32",
        group=_UNDERFITTING,
        help="step at which the L2 cost begins to rise",
    )
    c_l2_increase_steps: int = hyperparam(
        900,
        matlab_class="uint32",
        group=_UNDERFITTING,
        help="steps over which the L2 cost rises to its full weight",
    )
    scaleIncreaseStepsWithDatasets: bool = hyperparam(
        True, group=_UNDERFITTING, help="multiply the increase steps by the number of datasets"
    )
    scaleStartStepWithDatasets: bool = hyperparam(
        True,
        group=_UNDERFITTING,
        help="multiply the start steps by the number of datasets",
        displayed=False,
    )
    c_ext_input_dim: int = hyperparam(
        0, matlab_class="uint16", group=_EXTERNAL_INPUTS, help="number of measured external inputs"
    )
    c_inject_ext_input_to_gen: bool = hyperparam(
        False,
        group=_EXTERNAL_INPUTS,
        help="give external inputs to the generator rather than to the encoders",
    )
    c_co_dim: int = hyperparam(
        4,
        matlab_class="uint16",
        group=_CONTROLLER,
        help="number of inferred inputs; 0 means no controller",
    )
    c_prior_ar_atau: float = hyperparam(
        10.0, group=_CONTROLLER, help="initial autocorrelation time of the inferred inputs [bins]"
    )
    c_do_train_prior_ar_atau: bool = hyperparam(
        True, group=_CONTROLLER, help="train that autocorrelation time"
    )
    c_prior_ar_nvar: float = hyperparam(
        0.1, group=_CONTROLLER, help="initial noise variance of the inferred inputs"
    )
    c_do_train_prior_ar_nvar: bool = hyperparam(
        True, group=_CONTROLLER, help="train that noise variance"
    )
    c_do_causal_controller: bool = hyperparam(
        False, group=_CONTROLLER, help="let the controller see only the past"
    )
    c_do_feed_factors_to_controller: bool = hyperparam(
        True, group=_CONTROLLER, help="feed factors (or rates) back to the controller"
    )
    c_feedback_factors_or_rates: str = hyperparam(
        "factors", group=_CONTROLLER, help="what is fed back", choices=("factors", "rates")
    )
    c_controller_input_lag: int = hyperparam(
        1,
        matlab_class="uint16",
        group=_CONTROLLER,
        help="bins between the encoder and the controller",
    )
    c_ci_enc_dim: int = hyperparam(
        128, matlab_class="uint16", group=_CONTROLLER, help="units of the controller's encoder"
    )
    c_con_dim: int = hyperparam(
        128, matlab_class="uint16", group=_CONTROLLER, help="units of the controller"
    )
    c_co_prior_var_scale: float = hyperparam(
        0.1, group=_CONTROLLER, help="read and used nowhere, as in the original trainer"
    )
    c_num_steps_for_gen_ic: int = hyperparam(
        4_294_967_295,
        matlab_class="uint32",
        group=_ENCODER,
        help="bins that the encoder of initial conditions sees",
    )
    c_ic_dim: int = hyperparam(
        64, matlab_class="uint16", group=_ENCODER, help="dimensions of the initial condition"
    )
    c_ic_enc_dim: int = hyperparam(
        128,
        matlab_class="uint16",
        group=_ENCODER,
        help="units of the encoder of initial conditions",
    )
    c_ic_prior_var_min: float = hyperparam(
        0.1, group=_ENCODER, help="smallest prior variance of the initial conditions"
    )
    c_ic_prior_var_scale: float = hyperparam(
        0.1, group=_ENCODER, help="initial prior variance of the initial conditions"
    )
    c_ic_prior_var_max: float = hyperparam(
        0.1, group=_ENCODER, help="largest prior variance of the initial conditions"
    )
    c_ic_post_var_min: float = hyperparam(
        0.0001, group=_ENCODER, help="smallest posterior variance of the initial conditions"
    )
    c_cell_weight_scale: float = hyperparam(
        1.0, group=_GENERATOR, help="scale of initial weights of encoders and controller"
    )
    c_gen_dim: int = hyperparam(
        100, matlab_class="uint16", group=_GENERATOR, help="units of the generator"
    )
    c_gen_cell_input_weight_scale: float = hyperparam(
        1.0, group=_GENERATOR, help="scale of the generator's initial input weights"
    )
    c_gen_cell_rec_weight_scale: float = hyperparam(
        1.0, group=_GENERATOR, help="scale of the generator's initial recurrent weights"
    )
    c_factors_dim: int = hyperparam(
        50, matlab_class="uint16", group=_GENERATOR, help="number of factors", in_data_hash=True
    )
    c_output_dist: str = hyperparam(
        "poisson",
        group=_GENERATOR,
        help="distribution of the data given the factors",
        choices=("poisson", "gaussian"),
    )
    c_do_train_readin: bool = hyperparam(True, group=_STITCHING, help="train the read-in matrices")
    useAlignmentMatrix: bool = hyperparam(
        False, group=_STITCHING, help="read several datasets in through matrices that align them"
    )
    useSingleDatasetAlignmentMatrix: bool = hyperparam(
        False, group=_STITCHING, help="read a single dataset in through its principal components"
    )
    alignmentApproach: str = hyperparam(
        "regressGlobalPCs",
        group=_STITCHING,
        help="how alignment matrices are computed: regressGlobalPCs or ridgeRegressGlobalPCs",
        displayed=False,
    )
    alignmentExtraArgs: tuple[object, ...] = hyperparam(
        (),
        group=_STITCHING,
        help="names and values of its options: ridgeNormalizeEach, useRidgeRegression",
        displayed=False,
    )
    posterior_mean_kind: str = hyperparam(
        "posterior_sample_and_average",
        group=_POSTERIOR,
        help="how posterior means are computed",
        in_param_hash=False,
        choices=("posterior_sample_and_average", "posterior_push_mean"),
    )
    num_samples_posterior: float = hyperparam(
        512.0, group=_POSTERIOR, help="samples averaged for a posterior mean", in_param_hash=False
    )
    c_in_factors_dim: int = hyperparam(
        50,
        matlab_class="uint16",
        group=_RETIRED,
        help="retired",
        passed_to_trainer=False,
        displayed=False,
    )
    setInFactorsMatchDataForSingleDataset: bool = hyperparam(
        False, group=_RETIRED, help="retired", displayed=False
    )
