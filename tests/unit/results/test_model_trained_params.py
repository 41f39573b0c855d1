"""Weights by readable names, of models that the original trained and of others."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from lfadsq import ModelTrainedParams
from lfadsq.errors import ResultNotReadyError, ResultShapeError, StorageError
from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.parameters import describe_parameters

GOLDEN = Path(__file__).parents[2] / "golden" / "data"


def write(path, values):
    with h5py.File(path, "w") as stored:
        for key, value in values.items():
            stored[f"LFADS_{key}:0"] = value
    return path


def as_file(path, case):
    """The variables of a model of the original, under the keys that it gives them in a file."""
    with np.load(GOLDEN / f"step_{case}.npz") as golden:
        names = [name for name in golden.files if name.startswith("p0/")]
        values = {name: golden[name] for name in names}
    with h5py.File(path, "w") as stored:
        for name, value in values.items():
            stored[f"{name.removeprefix('p0/').replace('/', '_').removesuffix(':0')}:0"] = value
    return {name: value for name, value in values.items() if value.ndim == 2}


def stitched(path):
    """Two datasets of 2 and 3 channels, one of them with an awkward name, and 4 factors."""
    rng = np.random.default_rng(3)
    values = {"gen_gen_2_fac_W": rng.normal(size=(6, 4)), "global_step": 70}
    for name, num_channels in (("b_logrates_1.x", 2), ("a", 3)):
        values[f"glm_fac_2_logrates_{name}.h5_W"] = rng.normal(size=(4, num_channels))
        values[f"glm_fac_2_logrates_{name}.h5_b"] = rng.normal(size=(1, num_channels))
        values[f"x_2_infac_{name}.h5_W"] = rng.normal(size=(num_channels, 4))
        values[f"x_2_infac_{name}.h5_b"] = np.zeros((1, 4))
    write(path, values)
    return values


def test_a_model_that_the_original_trained():
    params = ModelTrainedParams.load(GOLDEN / "legacy_model_params", ["dataset001"])
    assert params.global_step == 11_280
    assert params.num_channels_by_dataset == {"dataset001": 30}
    assert params.x_to_infac_W == {}
    assert params.con_co is None
    with h5py.File(GOLDEN / "legacy_model_params") as stored:
        np.testing.assert_array_equal(
            params.ic_enc_rev_gru_xrh_to_c_W,
            stored["LFADS_ic_enc_rev_GRU_Candidate_xrh_2_c_W:0"][()],
        )
        np.testing.assert_array_equal(
            params.factors_to_logrates_b["dataset001"],
            stored["LFADS_glm_fac_2_logrates_dataset001.h5_b:0"][()],
        )


def test_its_weights_give_its_rates():
    """From the factors that the original inferred follow the counts that it expected."""
    params = ModelTrainedParams.load(GOLDEN / "legacy_model_params")
    with h5py.File(GOLDEN / "legacy_push_mean.h5") as stored:
        factors, states = stored["factors"][()], stored["gen_states"][()]
        expected_hz = stored["output_dist_params"][()] / 0.020
    rates = params.impute_rates(factors, spike_bin_ms=20.0)
    np.testing.assert_allclose(rates, expected_hz, rtol=1e-4)
    np.testing.assert_allclose(states @ params.gen_to_factors_W_normalized, factors, atol=1e-5)


@pytest.mark.parametrize("case", ["co0", "co2", "gauss"])
def test_every_weight_of_the_original_has_a_name(tmp_path, case):
    """Each matrix in the file comes back once, whatever the model has."""
    values = as_file(tmp_path / "model_params", case)
    params = ModelTrainedParams.load(tmp_path / "model_params")
    found = []
    for value in vars(params).values():
        found += list(value.values()) if isinstance(value, dict) else [value]
    found = [value for value in found if isinstance(value, np.ndarray)]
    assert len(found) == len(values)
    for name, value in values.items():
        same = [one for one in found if one.shape == value.shape and (one == value).all()]
        assert same, name
    assert (params.con_co is None) == (case != "co2")
    for line in ("gen_to_factors_W", "ic_enc_to_posterior_g0_mean_b"):
        assert line in repr(params)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"co_dim": 2, "ext_input_dim": 3, "inject_ext_input_to_gen": True},
        {"co_dim": 1, "do_causal_controller": True},
        {"output_dist": "gaussian"},
        {"ic_dim": 7},
    ],
)
def test_every_weight_of_ours_has_a_name(tmp_path, changes):
    """Whatever the configuration, no variable is lost, and each is where its name says."""
    datasets = (DatasetConfig("a.h5", 5), DatasetConfig("b 2.x.h5", 6))
    sizes = {"num_steps": 4, "factors_dim": 3, "gen_dim": 8, "ic_enc_dim": 9, "ic_dim": 8}
    sizes["co_dim"] = 0
    config = ModelConfig(datasets, **(sizes | changes))
    specs = {spec.name: spec.shape for spec in describe_parameters(config)}
    with h5py.File(tmp_path / "model_params", "w") as stored:
        for number, (name, shape) in enumerate(specs.items(), start=1):
            stored[f"{name.replace('/', '_')}:0"] = np.full(shape, float(number))
    params = ModelTrainedParams.load(tmp_path / "model_params", ["a", "b 2.x"])
    found = []
    for value in vars(params).values():
        found += list(value.values()) if isinstance(value, dict) else [value]
    numbers = [int(value.flat[0]) for value in found if isinstance(value, np.ndarray)]
    assert sorted(numbers) == list(range(1, len(specs) + 1))
    assert params.num_channels_by_dataset == {"a": 5, "b 2.x": 6}
    assert params.gen_to_factors_W.shape == (8, 3)
    assert params.ic_enc_fwd_gru_xrh_to_c_b.shape == (1, 9)
    assert (params.g0_to_gen_ic_W is None) == ("ic_dim" not in changes)
    assert (params.gen_gengru_x_to_ru_W is None) == ("co_dim" not in changes)
    if "ext_input_dim" in changes:
        assert params.gen_gengru_x_to_c_W.shape == (2 + 3, 8)
    if "co_dim" in changes:
        assert (params.ci_enc_rev_t0 is None) == config.do_causal_controller


def test_gaussian_readouts_are_means_and_log_variances(tmp_path):
    as_file(tmp_path / "model_params", "gauss")
    params = ModelTrainedParams.load(tmp_path / "model_params")
    (name,) = params.dataset_names
    num_channels = params.num_channels_by_dataset[name]
    num_factors = params.gen_to_factors_W.shape[1]
    assert params.factors_to_means_W[name].shape == (num_factors, num_channels)
    assert params.factors_to_logvars_b[name].shape == (1, num_channels)
    with pytest.raises(ResultShapeError, match="gaussian output, so no log rates"):
        params.impute_rates(np.zeros((1, num_factors)), spike_bin_ms=20.0)


def test_channels_that_another_dataset_recorded_are_imputed(tmp_path):
    values = stitched(tmp_path / "model_params")
    names = ("b_logrates_1.x", "a")
    params = ModelTrainedParams.load(tmp_path / "model_params", names)
    assert params.dataset_names == names
    assert params.num_channels_all_datasets == 5
    np.testing.assert_array_equal(params.dataset_idx_concatenated, [0, 0, 1, 1, 1])
    factors = np.random.default_rng(0).normal(size=(7, 9, 4))
    rates = params.impute_rates(factors, spike_bin_ms=5.0)
    for name, channels in (("b_logrates_1.x", slice(0, 2)), ("a", slice(2, 5))):
        log_counts = np.einsum("etf,fn->etn", factors, values[f"glm_fac_2_logrates_{name}.h5_W"])
        log_counts += values[f"glm_fac_2_logrates_{name}.h5_b"][0]
        np.testing.assert_allclose(rates[:, :, channels], np.exp(log_counts) / 0.005)
    with pytest.raises(ResultShapeError, match="do not fit a model of 4 factors"):
        params.impute_rates(factors[..., :3], spike_bin_ms=5.0)


def test_all_weights_that_there_are_come_as_a_dict(tmp_path):
    path = tmp_path / "model_params"
    stitched(path)
    params = ModelTrainedParams.load(path)
    weights = params.to_dict()
    with h5py.File(path) as stored:
        num_stored = len(set(stored) - {"LFADS_global_step:0"})
    assert num_stored == sum(len(w) if isinstance(w, dict) else 1 for w in weights.values())
    for name, value in weights.items():
        assert value is not None
        if isinstance(value, dict):
            assert list(value) == list(params.dataset_names)
            value = np.concatenate([one.ravel() for one in value.values()])
            expected = np.concatenate([one.ravel() for one in getattr(params, name).values()])
        else:
            expected = getattr(params, name)
        np.testing.assert_array_equal(value, expected)
    assert "g0_to_gen_ic_W" not in weights


def test_datasets_are_found_where_none_is_named(tmp_path):
    stitched(tmp_path / "model_params")
    params = ModelTrainedParams.load(tmp_path / "model_params")
    assert params.dataset_names == ("a", "b_logrates_1.x")
    assert params.x_to_infac_W["a"].shape == (3, 4)
    with pytest.raises(ResultShapeError, match=r"no weights of c; it is of a model of a, b_log"):
        ModelTrainedParams.load(tmp_path / "model_params", ["a", "c"])


def test_what_adam_needs_is_left_out(tmp_path):
    values = stitched(tmp_path / "model_params")
    with h5py.File(tmp_path / "model_params", "a") as stored:
        for key in values:
            for slot in ("Adam", "Adam_1"):
                stored[f"LFADS_LFADS_{key}_{slot}:0"] = -1.0
                stored[f"LFADS_{key}_{slot}:0"] = -1.0
    params = ModelTrainedParams.load(tmp_path / "model_params")
    np.testing.assert_array_equal(params.gen_to_factors_W, values["gen_gen_2_fac_W"])
    assert params.num_channels_by_dataset == {"a": 3, "b_logrates_1.x": 2}


def test_a_readout_that_is_the_identity_is_said(tmp_path):
    write(tmp_path / "model_params", {"gen_gen_2_fac_W": np.eye(3)})
    params = ModelTrainedParams.load(tmp_path / "model_params", ["a"])
    assert params.num_channels_by_dataset == {}
    assert params.global_step is None
    with pytest.raises(ResultShapeError, match="is the identity"):
        params.impute_rates(np.zeros(3), spike_bin_ms=5.0)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ResultNotReadyError, match="train the run first"):
        ModelTrainedParams.load(tmp_path / "model_params")
    with pytest.raises(ResultShapeError, match="no file of an LFADS model"):
        ModelTrainedParams.load(GOLDEN / "legacy_push_mean.h5")
    (tmp_path / "text").write_text("no HDF5")
    with pytest.raises(StorageError, match="text"):
        ModelTrainedParams.load(tmp_path / "text")
