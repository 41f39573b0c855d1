"""Files made for training, squeezed axes, axes in another order, and npz files as datasets."""

from __future__ import annotations

import logging
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from lfadsq import Dataset, DatasetCollection, DatasetCounts
from lfadsq.datasets.layouts import as_recording
from lfadsq.errors import DatasetError
from lfadsq.manager.inputs import write_input_h5
from lfadsq.manager.recordings import load_recording

RNG = np.random.default_rng(3)
SPIKES = RNG.poisson(0.7, (11, 3, 24)).astype(np.uint8)
LFP = RNG.standard_normal((11, 3, 24)).astype(np.float32)
NAME = "猿 Jürgen, 'Tag' 1.h5"


class BinnedDataset(Dataset):
    raw_bin_ms = 5.0


def dataset_of(tmp_path, dataset_class=BinnedDataset, name=NAME, **variables):
    path = tmp_path / name
    if path.suffix == ".npz":
        np.savez(path, **variables)
    elif path.suffix == ".mat":
        scipy.io.savemat(path, variables)
    else:
        with h5py.File(path, "w") as stored:
            stored.update(variables)
    return dataset_class(DatasetCollection(tmp_path), name)


def time_first(array):
    return array.transpose(0, 2, 1)


@pytest.mark.parametrize("ratio", [1, 4, 10])
@pytest.mark.parametrize("num_trials", [1, 2, 11])
def test_the_trainers_input_is_a_dataset_in_the_order_of_its_trials(tmp_path, ratio, num_trials):
    spikes = SPIKES[:num_trials].astype(np.int64)
    rates, inputs = RNG.random(spikes.shape), RNG.standard_normal((num_trials, 2, 24))
    counts = DatasetCounts(spikes, bin_ms=5.0, truth=rates, external_inputs=inputs).checked("a")
    write_input_h5(tmp_path / NAME, counts, 5.0, ratio, "a")
    dataset = BinnedDataset(DatasetCollection(tmp_path), NAME)
    data = dataset.load_data()
    np.testing.assert_array_equal(data["spikes"], spikes)
    np.testing.assert_array_equal(data["true_rates"], rates)
    np.testing.assert_array_equal(data["externalInputs"], inputs)
    np.testing.assert_array_equal(data["timeMs"], np.arange(24) * 5)
    dataset.load_info()
    assert (dataset.num_trials, dataset.num_channels) == (num_trials, 3)


def test_rates_and_inputs_summed_into_wider_bins_become_means_again(tmp_path):
    rates = np.full(SPIKES.shape, 40.0)
    inputs = np.full((11, 2, 24), -1.5)
    counts = DatasetCounts(SPIKES, bin_ms=1.0, truth=rates, external_inputs=inputs).checked("a")
    write_input_h5(tmp_path / NAME, counts, 4.0, 4, "a")
    data = BinnedDataset(DatasetCollection(tmp_path), NAME).load_data()
    np.testing.assert_array_equal(data["spikes"], SPIKES.reshape(11, 3, 6, 4).sum(axis=3))
    assert np.unique(data["true_rates"]).tolist() == [40.0]
    assert np.unique(data["externalInputs"]).tolist() == [-1.5]


@pytest.mark.parametrize("values", [SPIKES, LFP, LFP.astype(np.float64)])
def test_splits_without_trial_numbers_are_joined_and_keep_their_type(tmp_path, values):
    splits = {"train_data": time_first(values[:8]), "valid_data": time_first(values[8:])}
    data = dataset_of(tmp_path, **splits).load_data()
    np.testing.assert_array_equal(data["spikes"], values)
    assert data["spikes"].dtype == values.dtype
    assert not {"train_data", "valid_data"} & set(data)


@pytest.mark.parametrize("name", ["a.h5", "a.npz", "a.mat"])
def test_data_of_all_trials_with_inputs_and_the_width_of_bins(tmp_path, name):
    inputs = RNG.standard_normal((11, 2, 24))
    variables = {"data": time_first(SPIKES), "ext_input": time_first(inputs), "bin_ms": 2.0}
    data = dataset_of(tmp_path, Dataset, name, **variables).load_data()
    np.testing.assert_array_equal(data["spikes"], SPIKES)
    np.testing.assert_array_equal(data["externalInputs"], inputs)
    np.testing.assert_array_equal(data["timeMs"], np.arange(24) * 2)


def test_training_trials_alone_will_do(tmp_path):
    data = dataset_of(tmp_path, train_data=time_first(SPIKES)).load_data()
    np.testing.assert_array_equal(data["spikes"], SPIKES)


def benchmark(**variables):
    """Eight trials that train and three to evaluate; two channels held in, one held out."""
    given = {
        "train_spikes_heldin": SPIKES[:8, :2],
        "train_spikes_heldout": SPIKES[:8, 2:],
        "eval_spikes_heldin": SPIKES[8:, :2],
        "eval_spikes_heldout": SPIKES[8:, 2:],
    }
    return {name: time_first(values) for name, values in (given | variables).items()}


def test_of_the_benchmark_the_model_sees_the_channels_that_are_held_in(tmp_path):
    behavior = RNG.standard_normal((8, 24, 2))
    data = dataset_of(tmp_path, train_behavior=behavior, **benchmark()).load_data()
    np.testing.assert_array_equal(data["spikes"], SPIKES[:, :2])
    np.testing.assert_array_equal(data["heldoutSpikes"], SPIKES[:, 2:])
    np.testing.assert_array_equal(data["train_behavior"], behavior)
    np.testing.assert_array_equal(data["timeMs"], np.arange(24) * 5)
    assert not any(name.startswith(("train_spikes", "eval_spikes")) for name in data)


def test_held_out_channels_that_some_trials_lack_stay_as_they_are(tmp_path):
    variables = benchmark()
    del variables["eval_spikes_heldout"]
    data = dataset_of(tmp_path, **variables).load_data()
    np.testing.assert_array_equal(data["spikes"], SPIKES[:, :2])
    np.testing.assert_array_equal(data["train_spikes_heldout"], time_first(SPIKES[:8, 2:]))
    assert "heldoutSpikes" not in data


@pytest.mark.parametrize("split", ["train", "eval"])
def test_a_file_of_the_benchmark_may_hold_either_kind_of_trials(tmp_path, split):
    variables = {k: v for k, v in benchmark().items() if k.startswith(split)}
    data = dataset_of(tmp_path, **variables).load_data()
    expected = SPIKES[:8] if split == "train" else SPIKES[8:]
    np.testing.assert_array_equal(data["spikes"], expected[:, :2])
    np.testing.assert_array_equal(data["heldoutSpikes"], expected[:, 2:])


def test_trials_of_the_benchmark_with_other_channels_are_refused(tmp_path):
    variables = benchmark(eval_spikes_heldin=SPIKES[8:])
    with pytest.raises(DatasetError, match=r"eval_spikes_heldin differ in time or channels"):
        dataset_of(tmp_path, **variables).load_data()


def test_what_is_encoded_and_what_is_reconstructed_are_told_apart(tmp_path):
    order = RNG.permutation(11)
    train, valid = np.sort(order[:8]), np.sort(order[8:])
    variables = {"train_inds": train, "valid_inds": valid}
    for split, inds in (("train", train), ("valid", valid)):
        variables[f"{split}_encod_data"] = time_first(SPIKES[inds, :2, :20])
        variables[f"{split}_recon_data"] = time_first(SPIKES[inds])
    data = dataset_of(tmp_path, **variables).load_data()
    np.testing.assert_array_equal(data["spikes"], SPIKES[:, :2, :20])
    np.testing.assert_array_equal(data["reconSpikes"], SPIKES)
    assert len(data["timeMs"]) == 20


def test_bins_of_unknown_width_are_refused(tmp_path):
    dataset = dataset_of(tmp_path, Dataset, data=time_first(SPIKES))
    with pytest.raises(DatasetError, match=r"how wide its bins are; set raw_bin_ms"):
        dataset.load_data()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid_data": np.zeros((3, 20, 3))}, r"differ in time or channels: \(20, 3\) and"),
        ({"valid_data": np.zeros((3, 24))}, r"valid_data is of shape \(3, 24\)"),
        ({"train_truth": np.zeros((8, 24, 3))}, "no valid_truth, but has it for the other trials"),
        (
            {"train_ext_input": np.zeros((7, 24, 1)), "valid_ext_input": np.zeros((3, 24, 1))},
            "train_ext_input has 7 trials, train_data has 8",
        ),
        ({"train_inds": np.arange(8.0), "valid_inds": np.arange(3.0)}, "8 different trial numbers"),
    ],
)
def test_splits_that_do_not_fit_are_refused(tmp_path, changes, message):
    splits = {"train_data": time_first(SPIKES[:8]), "valid_data": time_first(SPIKES[8:])}
    with pytest.raises(DatasetError, match=message):
        dataset_of(tmp_path, **(splits | changes)).load_data()


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1), (2, 1, 0), (0, 2, 1), (1, 2, 0)])
def test_axes_in_another_order_are_refused_with_the_line_that_mends_it(tmp_path, order):
    variables = {"timeMs": np.arange(24.0), "conditionId": np.arange(11.0)}
    dataset = dataset_of(tmp_path, Dataset, spikes=SPIKES.transpose(order), **variables)
    with pytest.raises(DatasetError, match=r"put the axes in order") as raised:
        dataset.load_data()
    assert raised.value.remedy.split('data["spikes"]')[1].startswith(".transpose(")
    mended = eval(
        raised.value.remedy.split(": ", 1)[1], {"data": {"spikes": SPIKES.transpose(order)}}
    )
    np.testing.assert_array_equal(mended, SPIKES)


@pytest.mark.parametrize("name", ["a.h5", "a.npz", "a.mat"])
@pytest.mark.parametrize("kept", [np.s_[:1, :], np.s_[:, :1], np.s_[:, :, :1]])
def test_an_axis_of_one_that_was_squeezed_comes_back(tmp_path, name, kept):
    spikes = LFP[kept]
    inputs = np.ones((spikes.shape[0], 1, spikes.shape[2]), np.float32)
    dataset = dataset_of(
        tmp_path,
        Dataset,
        name,
        spikes=spikes.squeeze(),
        externalInputs=np.atleast_2d(inputs.squeeze(axis=1)),
        timeMs=np.arange(float(spikes.shape[2])),
        conditionId=np.arange(float(spikes.shape[0])),
    )
    data = dataset.load_data()
    np.testing.assert_array_equal(data["spikes"], spikes)
    assert data["spikes"].dtype == np.float32
    assert data["externalInputs"].shape == inputs.shape


def test_one_trial_or_one_channel_is_not_guessed(tmp_path):
    dataset = dataset_of(tmp_path, Dataset, spikes=SPIKES[0], timeMs=np.arange(24.0))
    with pytest.raises(DatasetError, match="one trial or one channel; add it in load_data"):
        dataset.load_data()


def cell(trials):
    elements = np.empty((len(trials), 1), object)
    elements[:, 0] = trials
    return elements


@pytest.mark.parametrize("convert", [np.asarray, scipy.sparse.csc_array])
def test_a_cell_with_a_matrix_for_each_trial_is_stacked(tmp_path, convert):
    trials = [convert(trial.astype(np.float64)) for trial in SPIKES]
    dataset = dataset_of(tmp_path, name="a.mat", spikes=cell(trials))
    np.testing.assert_array_equal(dataset.load_data()["spikes"], SPIKES)
    dataset.load_info()
    assert dataset.num_trials == 11


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        ([SPIKES[0], SPIKES[1][:, :20]], r"differ in shape, from \(3, 20\) to \(3, 24\)"),
        ([SPIKES[0], "lost"], "trial 2 of spikes is no matrix of numbers"),
    ],
)
def test_trials_that_make_no_array_are_refused(tmp_path, trials, message):
    with pytest.raises(DatasetError, match=message):
        dataset_of(tmp_path, name="a.mat", spikes=cell(trials)).load_data()


def test_what_the_file_holds_is_listed_where_spikes_are_missing(tmp_path):
    dataset = dataset_of(tmp_path, Dataset, counts=SPIKES, subject="J")
    with pytest.raises(DatasetError, match=r"no spikes, but counts \(11, 3, 24\), subject"):
        dataset.load_info()


def test_other_variables_pass_through():
    variables = {"spikes": SPIKES, "notes": ["a"], "data": {"x": 1}, "raw": None}
    data = as_recording(variables, None)
    assert data == variables
    assert data is not variables


# --- npz ------------------------------------------------------------------------------------------


def test_python_objects_in_npz_are_left_out_with_a_warning(tmp_path, caplog):
    objects = np.array([{"a": 1}, None], dtype=object)
    dataset = dataset_of(tmp_path, Dataset, "Tag 1, ü.npz", spikes=SPIKES, meta=objects)
    with caplog.at_level(logging.WARNING):
        assert set(dataset.load_data()) == {"spikes"}
    assert "left out meta, which are Python objects" in caplog.text


@pytest.mark.parametrize("member", ["word/document.xml", "archive/data.pkl"])
def test_another_zip_file_is_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(member, b"x" * 100)
    with pytest.raises(DatasetError, match="is a zip file, but holds no NumPy arrays"):
        load_recording(tmp_path / "a.npz")


def test_a_damaged_npz_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, spikes=SPIKES)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="damaged, truncated"):
        load_recording(path)
