"""Posterior means with labelled axes, read when they are used."""

from __future__ import annotations

import pickle
from contextlib import suppress

import h5py
import numpy as np
import pytest
import scipy.io
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lfadsq.errors import LfadsqError, ResultShapeError
from lfadsq.paths import DataPaths, RunPaths
from lfadsq.results.posterior_means import PosteriorMeans

KIND = "posterior_push_mean"
TRAIN, VALID = np.array([2, 3, 5, 6]), np.array([1, 4])  # 1-based, as on disk
NUM_BINS, NUM_CHANNELS = 5, 3
SHAPES = {
    "output_dist_params": (NUM_BINS, NUM_CHANNELS),
    "factors": (NUM_BINS, 2),
    "gen_states": (NUM_BINS, 4),
    "gen_ics": (4,),
    "controller_outputs": (NUM_BINS, 1),
    "post_g0_mean": (7,),
    "post_g0_logvar": (7,),
    "prior_g0_mean": (7,),
    "prior_g0_logvar": (7,),
    "costs": (),
    "nll_bound_vaes": (),
    "nll_bound_iwaes": (),
    "train_steps": (),
}
RNG = np.random.default_rng(3)
VALUES = {key: RNG.uniform(0.1, 2, (6, *shape)) for key, shape in SHAPES.items()}
COUNTS = RNG.poisson(2, (6, NUM_BINS, NUM_CHANNELS))
TRUTH = RNG.uniform(1, 50, (6, NUM_BINS, NUM_CHANNELS))
EXTERNAL = RNG.normal(size=(6, NUM_BINS, 2))
RAW_BINS = 10  # in a bin


@pytest.fixture
def run(tmp_path):
    """A run as it lies in a collection, with all that a recording may have."""
    paths = RunPaths(tmp_path / "lorenz" / "param_AbCdEf" / "single_d")
    data = DataPaths(tmp_path / "lorenz" / "data_GhIjKl" / "single_d")
    for folder in (paths.lfads_output, data.folder):
        folder.mkdir(parents=True)
    with h5py.File(data.input_h5("d"), "w") as stored:
        for split, numbers in (("train", TRAIN), ("valid", VALID)):
            stored[f"{split}_inds"] = numbers.astype(float)
            stored[f"{split}_data"] = COUNTS[numbers - 1]
            stored[f"{split}_truth"] = TRUTH[numbers - 1] * RAW_BINS
            stored[f"{split}_ext_input"] = EXTERNAL[numbers - 1] * RAW_BINS
        stored["conversion_factor"] = [1 / RAW_BINS]
    write_info(data, np.array([[1.0, 2, 2, 1, 3, 2]]).T)
    for split, numbers in (("train", TRAIN), ("valid", VALID)):
        path = paths.output.posterior_means("d", split, KIND)
        with h5py.File(path, "w") as stored:
            for key, values in VALUES.items():
                stored.create_dataset(key, data=values[numbers - 1], compression="gzip")
    return paths, data


def write_info(data, condition_id):
    variables = {
        "trainInds": TRAIN.astype(float),
        "validInds": VALID.astype(float),
        "seq_timeVector": np.arange(-100.0, -50.0).reshape(-1, 1),
        "conditionId": condition_id,
        "counts": np.zeros((NUM_CHANNELS, NUM_BINS * RAW_BINS, 6)),
    }
    scipy.io.savemat(data.input_info("d"), variables)


def load(run):
    paths, data = run
    return PosteriorMeans.load(paths, "d", KIND, 10.0, data)


EXPECTED = {
    "output_means": ("trial time channel", VALUES["output_dist_params"]),
    "rates": ("trial time channel", VALUES["output_dist_params"] * 100),
    "factors": ("trial time factor", VALUES["factors"]),
    "generator_states": ("trial time generator_state", VALUES["gen_states"]),
    "generator_ics": ("trial generator_state", VALUES["gen_ics"]),
    "controller_outputs": ("trial time controller_output", VALUES["controller_outputs"]),
    "post_g0_mean": ("trial ic", VALUES["post_g0_mean"]),
    "post_g0_logvar": ("trial ic", VALUES["post_g0_logvar"]),
    "prior_g0_mean": ("trial ic", VALUES["prior_g0_mean"]),
    "prior_g0_logvar": ("trial ic", VALUES["prior_g0_logvar"]),
    "costs": ("trial", VALUES["costs"]),
    "nll_bound_vaes": ("trial", VALUES["nll_bound_vaes"]),
    "nll_bound_iwaes": ("trial", VALUES["nll_bound_iwaes"]),
    "train_steps": ("trial", VALUES["train_steps"]),
    "counts": ("trial time channel", COUNTS),
    "true_rates": ("trial time channel", TRUTH),
    "external_inputs": ("trial time external_input", EXTERNAL),
}


def test_every_variable_has_its_axes_and_values(run):
    means = load(run)
    labelled = means.to_xarray()
    assert set(labelled.data_vars) == set(EXPECTED) == set(means.variable_names)
    for name, (dims, values) in EXPECTED.items():
        assert labelled[name].dims == tuple(dims.split())
        np.testing.assert_allclose(labelled[name], values, rtol=1e-12)
        np.testing.assert_allclose(getattr(means, name), values, rtol=1e-12)
        assert labelled[name].dtype == getattr(means, name).dtype == values.dtype
        assert labelled[name].attrs["long_name"]


def test_trials_and_times_are_labelled(run):
    means = load(run)
    labelled = means.to_xarray()
    assert labelled.trial.values.tolist() == [1, 2, 3, 4, 5, 6]
    assert labelled.split.values.tolist() == ["valid", "train", "train", "valid", "train", "train"]
    assert labelled.condition.values.tolist() == [1, 2, 2, 1, 3, 2]
    assert labelled.time.values.tolist() == [-100, -90, -80, -70, -60]
    assert means.is_valid.tolist() == [True, False, False, True, False, False]
    assert means.condition_ids.tolist() == [1, 2, 2, 1, 3, 2]
    assert means.time_ms.tolist() == labelled.time.values.tolist()


def test_sizes_are_told_without_reading(run):
    means = load(run)
    for path in (run[0].output.posterior_means("d", split, KIND) for split in ("train", "valid")):
        path.unlink()
    assert (means.num_trials, means.num_bins, means.num_channels) == (6, NUM_BINS, NUM_CHANNELS)
    assert (means.num_factors, means.num_generator_units, means.num_controller_outputs) == (2, 4, 1)
    small = PosteriorMeans.from_arrays(
        bin_ms=1.0, output_means=np.ones((2, 3, 4)), factors=np.ones((2, 3, 5))
    )
    assert (small.num_generator_units, small.num_controller_outputs) == (0, 0)
    for name, array in VALUES.items():
        if name in ("gen_ics", "factors"):
            assert str(array.shape[-1]) in repr(means)


def test_units_and_origin_are_told(run):
    labelled = load(run).to_xarray()
    units = {name: labelled[name].attrs.get("units") for name in ("rates", "counts", "costs")}
    assert units == {"rates": "spikes/s", "counts": "spikes/bin", "costs": "nats"}
    assert labelled.time.attrs["units"] == "ms"
    assert labelled.attrs == {
        "dataset": "d",
        "kind": KIND,
        "bin_ms": 10.0,
        "collection": "lorenz",
        "run": "single_d",
        "param_hash": "AbCdEf",
        "data_hash": "GhIjKl",
    }


def test_selections_read_what_they_say(run):
    labelled = load(run).to_xarray()
    rates = VALUES["output_dist_params"] * 100
    np.testing.assert_allclose(labelled.rates[3:5], rates[3:5])
    np.testing.assert_allclose(labelled.sel(trial=4, time=-80).rates, rates[3, 2])
    np.testing.assert_allclose(labelled.rates[labelled.split == "valid"], rates[VALID - 1])
    backwards = labelled.rates.isel(time=slice(None, None, -1), trial=[5, 0, 5])
    np.testing.assert_allclose(backwards, rates[[5, 0, 5], ::-1])
    pointwise = labelled.rates.isel(
        trial=xr.DataArray([1, 2], dims="p"), channel=xr.DataArray([0, 2], dims="p")
    )
    np.testing.assert_allclose(pointwise, rates[[1, 2], :, [0, 2]])
    grouped = labelled.factors.groupby("condition").mean()
    np.testing.assert_allclose(grouped.sel(condition=1), VALUES["factors"][[0, 3]].mean(axis=0))


def test_nothing_is_read_before_it_is_used(run):
    """Damage within the values does not show as long as nobody asks for them."""
    paths, _ = run
    path = paths.output.posterior_means("d", "train", KIND)
    with h5py.File(path) as stored:
        chunk = stored["gen_states"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)
    means = load(run)
    labelled = means.to_xarray()
    np.testing.assert_allclose(labelled.factors, VALUES["factors"])
    np.testing.assert_allclose(labelled.generator_states.sel(trial=4), VALUES["gen_states"][3])
    for read in (lambda: means.generator_states, lambda: labelled.generator_states.values):
        with pytest.raises(OSError, match=f"{path.name}.*damaged"):
            read()


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(which=st.integers(0, 2), where=st.floats(0, 1), change=st.integers(1, 255))
def test_damage_anywhere_gives_the_values_or_an_error_of_ours(run, which, where, change):
    """One byte is another: h5py raises errors of a dozen kinds."""
    paths, data = run
    output = paths.output
    path = [data.input_h5("d"), *(output.posterior_means("d", s, KIND) for s in ("train", "valid"))]
    sound = path[which].read_bytes()
    # Half of them at the beginning, where HDF5 keeps what the file is made of.
    at = int((where * 2 if where < 0.5 else where) * (2000 if where < 0.5 else len(sound) - 1))
    path[which].write_bytes(sound[:at] + bytes([sound[at] ^ change]) + sound[at + 1 :])
    try:
        with suppress(LfadsqError):
            load(run).to_xarray().load()
    finally:
        path[which].write_bytes(sound)


def test_pickles_and_files_keep_everything(run, tmp_path):
    means = load(run)
    labelled = means.to_xarray()
    copy = pickle.loads(pickle.dumps(labelled))
    xr.testing.assert_identical(copy, labelled)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(means)).factors, means.factors)
    labelled.to_netcdf(tmp_path / "all.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "all.nc", engine="h5netcdf") as stored:
        xr.testing.assert_equal(stored, labelled)


def test_dask_arrays_can_be_had(run):
    chunked = load(run).to_xarray().chunk(trial=2)
    assert chunked.rates.chunks is not None
    np.testing.assert_allclose(chunked.rates.mean("trial"), load(run).rates.mean(axis=0))


def test_what_is_changed_in_memory_does_not_show_elsewhere(run):
    means = load(run)
    labelled = means.to_xarray()
    labelled["factors"][0] = 7.0
    np.testing.assert_array_equal(means.to_xarray().factors, VALUES["factors"])
    np.testing.assert_array_equal(means.factors, VALUES["factors"])


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (np.array(["left", "right", "", "left", "up", "up"], dtype=object), None),
        (np.array([1.5, np.nan, 2, 2, 2, 1]), None),
        (np.empty((0, 0)), []),
    ],
)
def test_conditions_are_read_as_the_recording_has_them(run, written, expected):
    write_info(run[1], written)
    means = load(run)
    if expected == []:
        assert means.condition_ids is None
        assert "condition" not in means.to_xarray().coords
    else:
        np.testing.assert_array_equal(means.condition_ids, np.array(written.tolist()))
        np.testing.assert_array_equal(means.to_xarray().condition, np.array(written.tolist()))


def test_conditions_of_numbers_and_text_become_text_as_labels(run):
    cell = np.empty(6, dtype=object)
    cell[:] = [1.0, "left", 2.5, 1.0, np.empty((0, 0)), "left"]
    write_info(run[1], cell)
    means = load(run)
    assert means.condition_ids.tolist() == [1.0, "left", 2.5, 1.0, None, "left"]
    assert means.to_xarray().condition.values.tolist() == ["1", "left", "2.5", "1", "", "left"]


def test_without_the_runs_input_the_rest_can_be_read(run, caplog):
    run[1].input_h5("d").unlink()
    means = load(run)
    assert means.counts is means.true_rates is means.external_inputs is None
    np.testing.assert_array_equal(means.factors, VALUES["factors"])
    assert means.condition_ids.tolist() == [1, 2, 2, 1, 3, 2]
    assert "counts" not in means.to_xarray()
    (said,) = caplog.messages
    assert str(run[1].input_h5("d")) in said


def test_input_that_was_prepared_anew_is_told(run):
    with h5py.File(run[1].input_h5("d"), "a") as stored:
        for split, numbers in (("train", TRAIN), ("valid", VALID)):
            del stored[f"{split}_data"]
            stored[f"{split}_data"] = COUNTS[numbers - 1, :4]
    means = load(run)
    assert means.factors.shape == (6, 5, 2)
    for use in (lambda: means.counts, means.to_xarray):
        with pytest.raises(ResultShapeError, match="counts of d are of 6 trials of 4 bins"):
            use()
    # A display shows what there is, and says the rest.
    assert "6 x 5 x 2" in repr(means)
    for shown in (repr(means), means._repr_html_()):
        assert "counts of d are of 6 trials of 4 bins" in shown


@pytest.mark.parametrize("damage", ["cut", "few"])
def test_a_damaged_input_info_is_named(run, damage):
    path = run[1].input_info("d")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    else:
        write_info(run[1], np.ones((5, 1)))
    means = load(run)
    with pytest.raises(ResultShapeError, match=r"inputInfo_d\.mat (does not tell|has the cond)"):
        _ = means.condition_ids


def test_conditions_and_times_of_new_mat_files_are_read(run):
    """MATLAB's v7.3 is HDF5, axes reversed, text as code units behind references."""
    path = run[1].input_info("d")
    path.unlink()
    with h5py.File(path, "w", userblock_size=512) as stored:
        times = stored.create_dataset("seq_timeVector", data=np.arange(-100.0, -50.0)[None])
        times.attrs["MATLAB_class"] = np.bytes_("double")
        texts = []
        for number, text in enumerate(("go", "stop", "go", "go", "stop", "stop")):
            node = stored.create_dataset(
                f"#refs#/{number}", data=np.array([[ord(one)] for one in text], np.uint16)
            )
            node.attrs["MATLAB_class"] = np.bytes_("char")
            texts.append(node.ref)
        cell = stored.create_dataset("conditionId", (1, 6), dtype=h5py.ref_dtype)
        cell[0] = texts
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
        stored["counts"] = np.zeros((6, NUM_BINS * RAW_BINS, NUM_CHANNELS))
    means = load(run)
    assert means.condition_ids.tolist() == ["go", "stop", "go", "go", "stop", "stop"]
    assert means.time_ms.tolist() == [-100, -90, -80, -70, -60]


def test_recordings_without_truth_and_inputs_have_none(run):
    with h5py.File(run[1].input_h5("d"), "a") as stored:
        for split in ("train", "valid"):
            del stored[f"{split}_truth"], stored[f"{split}_ext_input"]
    means = load(run)
    assert means.true_rates is means.external_inputs is None
    np.testing.assert_array_equal(means.counts, COUNTS)


def test_gaussian_output_has_neither_rates_nor_their_units(run):
    paths, data = run
    for split, numbers in (("train", TRAIN), ("valid", VALID)):
        with h5py.File(paths.output.posterior_means("d", split, KIND), "a") as stored:
            del stored["output_dist_params"]
            means = VALUES["output_dist_params"][numbers - 1]
            stored["output_dist_params"] = np.concatenate([means, means**2], axis=2)
        with h5py.File(data.input_h5("d"), "a") as stored:
            del stored[f"{split}_data"]
            stored[f"{split}_data"] = COUNTS[numbers - 1] + 0.5
    labelled = load(run).to_xarray()
    assert "rates" not in labelled
    np.testing.assert_array_equal(labelled.output_variances, VALUES["output_dist_params"] ** 2)
    np.testing.assert_array_equal(labelled.counts, COUNTS + 0.5)
    assert "units" not in labelled.output_means.attrs
    assert "units" not in labelled.counts.attrs
