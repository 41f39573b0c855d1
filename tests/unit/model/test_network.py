from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from lfadsq.errors import ConfigError
from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.network import (
    decode,
    draw_masks,
    draw_noise,
    encode,
    output_dist_params,
    sample_g0,
)
from lfadsq.model.parameters import (
    Alignment,
    describe_parameters,
    initial_parameters,
    trained_names,
)

TIME, BATCH, CHANNELS = 6, 4, 5


def config(num_datasets: int = 1, **settings: Any) -> ModelConfig:
    small = {"gen_dim": 4, "ic_dim": 3, "ic_enc_dim": 3, "ci_enc_dim": 3, "con_dim": 2}
    small |= {"factors_dim": 2, "co_dim": 2, "keep_prob": 1.0}
    datasets = tuple(DatasetConfig(f"d{i}.h5", CHANNELS + i) for i in range(num_datasets))
    return ModelConfig(
        **{"datasets": datasets, "num_steps": TIME, **small, **settings}  # type: ignore[arg-type]
    )


def counts(num_channels: int = CHANNELS) -> tf.Tensor:
    stream = np.random.default_rng(0)
    return tf.constant(stream.poisson(1.0, (TIME, BATCH, num_channels)).astype(np.float32))


def run(settings: ModelConfig, parameters: Any, dataset: int = 0, data: Any = None) -> Any:
    described = settings.datasets[dataset]
    data = counts(described.num_channels) if data is None else data
    ext_input = tf.ones([TIME, BATCH, settings.ext_input_dim])
    seed = tf.constant([1, 2], tf.int64)
    noise = draw_noise(settings, BATCH, seed)
    masks = draw_masks(settings, described, BATCH, seed)
    encoding = encode(settings, parameters, described, data, ext_input, masks)
    g0 = sample_g0(encoding.post_g0_mean, encoding.post_g0_logvar, noise.g0)
    generation = decode(
        settings, parameters, described, g0, encoding.ci, ext_input, noise.co, masks
    )
    return encoding, generation


OPTIONS = [
    {},
    {"co_dim": 0},
    {"ic_dim": 4},
    {"factors_dim": CHANNELS},
    {"factors_dim": CHANNELS, "feedback_factors_or_rates": "rates"},
    {"output_dist": "gaussian"},
    {"output_dist": "gaussian", "factors_dim": CHANNELS, "feedback_factors_or_rates": "rates"},
    {"do_causal_controller": True},
    {"controller_input_lag": 0},
    {"controller_input_lag": 99},
    {"do_feed_factors_to_controller": False},
    {"feedback_factors_or_rates": "rates"},
    {"ext_input_dim": 3},
    {"ext_input_dim": 3, "inject_ext_input_to_gen": True},
    {"ext_input_dim": 3, "inject_ext_input_to_gen": True, "co_dim": 0},
    {"num_steps_for_gen_ic": 2},
    {"keep_prob": 0.5},
    {"ic_prior_var_min": 0.05, "ic_prior_var_max": 0.4},
    {"num_datasets": 2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_gives_finite_outputs_of_the_right_shapes(options: dict[str, Any]) -> None:
    settings = config(**options)
    variables = {n: tf.Variable(v) for n, v in initial_parameters(settings, 0).items()}
    assert {n: tuple(v.shape) for n, v in variables.items()} == {
        spec.name: spec.shape for spec in describe_parameters(settings)
    }
    for index, dataset in enumerate(settings.datasets):
        _, generation = run(settings, variables, index)
        means = output_dist_params(settings, generation.heads)
        expected = {
            "gen_states": (TIME, BATCH, settings.gen_dim),
            "factors": (TIME, BATCH, settings.factors_dim),
        }
        if settings.has_controller:
            for name in ("controller_outputs", "post_co_mean", "post_co_logvar"):
                expected[name] = (TIME, BATCH, settings.co_dim)
        for name, shape in expected.items():
            assert getattr(generation, name).shape == shape
        per_channel = 1 if settings.is_poisson else 2
        assert means.shape == (TIME, BATCH, per_channel * dataset.num_channels)
        assert np.isfinite(means).all()


# With a lag beyond the trial the controller's encoders reach nothing.
@pytest.mark.parametrize(
    "options", [o for o in OPTIONS if o.get("controller_input_lag", 1) < TIME], ids=str
)
def test_every_trained_variable_of_the_dataset_has_a_gradient(options: dict[str, Any]) -> None:
    settings = config(**options)
    trained = trained_names(settings)
    variables = {n: tf.Variable(v) for n, v in initial_parameters(settings, 0).items()}
    with tf.GradientTape() as tape:
        encoding, generation = run(settings, variables)
        outputs = [*encoding, *generation.heads, generation.controller_outputs]
        cost = tf.add_n([tf.reduce_sum(tf.square(t)) for t in outputs if t is not None])
    gradients = tape.gradient(cost, {name: variables[name] for name in trained})
    missing = {name for name, gradient in gradients.items() if gradient is None}
    expected = {name for name in trained if "d1.h5" in name or "u_prior_ar1" in name}
    assert missing == expected


def test_only_the_first_bins_are_encoded_for_the_initial_condition() -> None:
    settings = config(num_steps_for_gen_ic=2, co_dim=0)
    parameters = initial_parameters(settings, 0)
    changed = tf.concat([counts()[:2], counts()[2:] + 5.0], 0)
    first, second = (run(settings, parameters, data=d)[0] for d in (counts(), changed))
    np.testing.assert_array_equal(first.post_g0_mean, second.post_g0_mean)


@pytest.mark.parametrize("lag", [1, 2])
def test_a_causal_controller_sees_only_bins_before(lag: int) -> None:
    """The inferred inputs at t depend on data up to t - lag only (given g0)."""
    settings = config(do_causal_controller=True, controller_input_lag=lag)
    parameters = initial_parameters(settings, 0)
    dataset, ext_input = settings.datasets[0], tf.zeros([TIME, BATCH, 0])
    changed = tf.concat([counts()[:3], counts()[3:] + 2.0], 0)
    u = []
    for data in (counts(), changed):
        ci = encode(settings, parameters, dataset, data, ext_input).ci
        noise = tf.zeros([TIME, BATCH, 2])
        g0 = tf.ones([BATCH, 3])
        u.append(decode(settings, parameters, dataset, g0, ci, ext_input, noise).post_co_mean)
    same = np.all(np.isclose(u[0], u[1], atol=1e-7), axis=(1, 2))
    np.testing.assert_array_equal(same, np.arange(TIME) < 3 + lag)


def test_controller_inputs_are_zero_outside_the_trial() -> None:
    settings = config(controller_input_lag=2)
    parameters = initial_parameters(settings, 0)
    ci = run(settings, parameters)[0].ci.numpy()
    assert (ci[:2, :, :3] == 0).all()
    assert (ci[-2:, :, 3:] == 0).all()
    assert (ci[2:, :, :3] != 0).any()


def test_factors_do_not_depend_on_the_length_of_their_columns() -> None:
    settings = config(co_dim=0)
    parameters = initial_parameters(settings, 0)
    scaled = {**parameters, "LFADS/gen/gen_2_fac/W": parameters["LFADS/gen/gen_2_fac/W"] * 7}
    factors = [run(settings, p)[1].factors for p in (parameters, scaled)]
    np.testing.assert_allclose(factors[0], factors[1], rtol=1e-5)


def test_rates_are_clipped_for_people_only() -> None:
    heads = (tf.constant([[[100.0, -100.0, 1.0]]]),)
    rates = output_dist_params(config(), heads)
    np.testing.assert_allclose(rates, np.exp([[[80.0, -80.0, 1.0]]]), rtol=1e-5)


def test_dropout_keeps_the_mean() -> None:
    settings = config(keep_prob=0.8, gen_dim=300, num_steps=200)
    masks = draw_masks(settings, settings.datasets[0], 50, tf.constant([3, 4], tf.int64))
    assert masks is not None
    values = masks.gen_output.numpy()
    np.testing.assert_allclose(np.unique(values), [0.0, 1.25])
    # 3 million draws: the standard error is 3e-4.
    assert values.mean() == pytest.approx(1.0, abs=2e-3)
    assert np.corrcoef(values[:, 0, 0], values[:, 1, 0])[0, 1] == pytest.approx(0, abs=0.3)


def test_draws_follow_from_the_seed() -> None:
    settings = config(keep_prob=0.8)
    seeds = [tf.constant(s, tf.int64) for s in ([1, 2], [1, 2], [1, 3])]
    same, again, other = (draw_noise(settings, 3, seed) for seed in seeds)
    np.testing.assert_array_equal(same.g0, again.g0)
    assert not np.array_equal(same.g0, other.g0)
    assert same.co.shape == (TIME, 3, 2)


def test_initial_weights_have_the_published_scale() -> None:
    settings = config(
        gen_dim=200, ic_enc_dim=200, gen_cell_rec_weight_scale=0.5, cell_weight_scale=2.0
    )
    values = initial_parameters(settings, 0)
    rows = CHANNELS + 200
    expected = {
        "LFADS/gen/GenGRU/Gates/h_2_ru/W": 0.5 / np.sqrt(200),
        "LFADS/ic_enc_fwd/GRU/Gates/xh_2_ru/W": 2.0 / np.sqrt(rows),
        "LFADS/ic_enc_fwd/GRU/Candidate/xrh_2_c/W": 1.0 / np.sqrt(rows),
    }
    for name, deviation in expected.items():
        assert values[name].std() == pytest.approx(deviation, rel=0.03), name
    assert not np.array_equal(
        values["LFADS/ic_enc_fwd/GRU/Gates/xh_2_ru/W"],
        values["LFADS/ic_enc_rev/GRU/Gates/xh_2_ru/W"],
    )


def test_gaussian_variance_starts_at_e() -> None:
    settings = config(output_dist="gaussian")
    _, generation = run(settings, initial_parameters(settings, 0))
    np.testing.assert_allclose(np.exp(generation.heads[1]), np.e, rtol=1e-6)


def test_alignment_reads_in_deviations_from_the_mean() -> None:
    dataset = DatasetConfig("d0.h5", CHANNELS, has_alignment=True)
    settings = config(datasets=(dataset,))
    matrix = np.random.default_rng(0).standard_normal((CHANNELS, 2)).astype(np.float32)
    mean = np.arange(CHANNELS, dtype=np.float32)
    values = initial_parameters(settings, 0, {"d0.h5": Alignment(matrix, mean)})
    x = np.ones((1, CHANNELS), np.float32)
    read_in = x @ values["LFADS/x_2_infac_d0.h5/W"] + values["LFADS/x_2_infac_d0.h5/b"]
    np.testing.assert_allclose(read_in, (x - mean) @ matrix, rtol=1e-4)
    np.testing.assert_array_equal(values["LFADS/glm/fac_2_logrates_d0.h5/W"], matrix.T)
    np.testing.assert_array_equal(values["LFADS/glm/fac_2_logrates_d0.h5/b"], [mean])


def test_switches_decide_what_is_trained() -> None:
    everything = set(trained_names(config(2)))
    assert {n for n in everything if "x_2_infac" in n}
    frozen = set(trained_names(config(2, do_train_readin=False)))
    assert everything - frozen == {n for n in everything if "x_2_infac" in n}
    io_only = trained_names(config(2, do_train_io_only=True))
    assert {n.split("/")[1].split("_")[0] for n in io_only} == {"x", "glm"}
    encoder_only = trained_names(config(2, do_train_encoder_only=True))
    assert all(n.startswith(("LFADS/ic_enc_", "LFADS/z/ic_enc_2_post_g0")) for n in encoder_only)
    priors = {"LFADS/z/u_prior_ar1/logatau", "LFADS/z/u_prior_ar1/logevars"}
    fixed = trained_names(config(do_train_prior_ar_atau=False, do_train_prior_ar_nvar=False))
    assert priors <= everything
    assert not priors & set(fixed)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"output_dist": "binomial"}, "output_dist"),
        ({"feedback_factors_or_rates": "states"}, "feedback_factors_or_rates"),
        ({"keep_prob": 0.0}, "keep_prob"),
        ({"gen_dim": 0}, "gen_dim"),
        ({"con_dim": 0}, "con_dim"),
        ({"cell_clip_value": 0.0}, "cell_clip_value"),
        ({"ic_prior_var_min": 0.5}, "ic_prior_var_min"),
        ({"prior_ar_atau": 0.0}, "prior_ar_atau"),
        ({"inject_ext_input_to_gen": True}, "ext_input_dim"),
        ({"do_train_io_only": True, "do_train_encoder_only": True}, "do_train_io_only"),
        ({"num_datasets": 2, "feedback_factors_or_rates": "rates"}, "channels"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        config(**settings)


def test_every_fault_is_reported_at_once() -> None:
    with pytest.raises(ConfigError, match=r"(?s)keep_prob.*gen_dim"):
        config(keep_prob=2.0, gen_dim=0)
