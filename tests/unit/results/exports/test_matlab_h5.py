"""HDF5 as MATLAB's ``exportResultsToH5`` writes it, read with h5py, against the trainer's files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from lfadsq import RunCollection
from lfadsq.errors import ConfigError, ResultNotReadyError, RunNotFoundError

NUM_TRIALS, NUM_CHANNELS, NUM_BINS, BIN_MS = 25, 3, 10, 10.0

# Every numeric property of the class PosteriorMeans; h5read gives these sizes reversed.
PROPERTIES = {
    "time": (1, NUM_BINS),
    "factors": (2, NUM_BINS, NUM_TRIALS),
    "post_g0_mean": (5, NUM_TRIALS),
    "post_g0_logvar": (5, NUM_TRIALS),
    "generator_ics": (4, NUM_TRIALS),
    "generator_states": (4, NUM_BINS, NUM_TRIALS),
    "rates": (NUM_CHANNELS, NUM_BINS, NUM_TRIALS),
    "costs": (1, NUM_TRIALS),
    "nll_bound_vaes": (1, NUM_TRIALS),
    "nll_bound_iwaes": (1, NUM_TRIALS),
    "validInds": (1, 5),
    "trainInds": (1, 20),
    "rawCounts": (NUM_CHANNELS, NUM_BINS * 5, NUM_TRIALS),
    "datasetIndexByTrial": (1, NUM_TRIALS),
    **dict.fromkeys(
        [
            "binWidthMs",
            "scaleFactorCountsToRates",
            "isValid",
            "nControllerOutputs",
            "nGeneratorUnits",
            "nFactors",
            "nNeurons",
            "T",
            "nTrials",
        ],
        (1, 1),
    ),
}


def read(path):
    with h5py.File(path) as stored:
        return {name: stored[name][()] for name in stored if isinstance(stored[name], h5py.Dataset)}


def test_posterior_means_have_the_names_axes_and_types_of_matlab(make_trained):
    trained = make_trained()
    written = trained.run.export_results_to_h5()
    assert [path.name for path in written] == ["modelTrainedParams.h5", "posteriorMeans_day 1.h5"]
    assert {path.parent for path in written} == {trained.run.path / "export"}
    found = read(written[1])
    assert {name: value.shape for name, value in found.items()} == PROPERTIES
    assert found["isValid"].dtype == np.uint8
    assert all(value.dtype == "<f8" for name, value in found.items() if name != "isValid")

    truth = trained.truth["day 1"]
    np.testing.assert_array_equal(
        found["rates"], (truth["output_dist_params"] * (1000 / BIN_MS)).transpose(2, 1, 0)
    )
    np.testing.assert_array_equal(found["factors"], truth["factors"].transpose(2, 1, 0))
    np.testing.assert_array_equal(found["generator_ics"], truth["gen_ics"].T)
    np.testing.assert_array_equal(found["costs"][0], truth["costs"])
    np.testing.assert_array_equal(found["validInds"][0], [1, 6, 11, 16, 21])
    np.testing.assert_array_equal(found["time"][0], np.arange(10) * 10.0 - 40)
    info = trained.run.load_input_info()
    np.testing.assert_array_equal(found["rawCounts"], info["counts"])
    numbers = ("binWidthMs", "scaleFactorCountsToRates", "nGeneratorUnits", "nFactors", "nNeurons")
    assert [float(found[name][0, 0]) for name in numbers] == [10, 100, 4, 2, 3]
    assert [float(found[name][0, 0]) for name in ("T", "nTrials", "isValid")] == [10, 25, 1]
    assert found["nControllerOutputs"] == 0
    with h5py.File(written[1]) as stored:
        assert stored["rates"].attrs["axes_in_matlab"] == "trial, time, unit"
        assert stored["rates"].attrs["units"] == "spikes/s"
        assert stored.attrs["param_hash"] == trained.run.param_hash


def test_trained_parameters_are_those_of_model_params(make_trained):
    trained = make_trained(("day 1", "day, 2"))
    (run,) = trained.collection.find_runs("all")
    path = run.export_results_to_h5()[0]
    with h5py.File(path) as stored, h5py.File(run.paths.output.model_params) as weights:
        key = "LFADS_glm_fac_2_logrates_{}.h5_{}:0"
        names = ["day 1", "day_ 2"]
        assert stored["dataset_names"].asstr()[()].tolist() == names
        for name in names:
            readout = stored[f"factors_to_logrates_W/{name}"]
            assert readout.dtype == np.float32
            np.testing.assert_array_equal(readout, weights[key.format(name, "W")])
            # MATLAB's row of biases is a vector, which is written as it is.
            bias = stored[f"factors_to_logrates_b/{name}"]
            np.testing.assert_array_equal(bias, weights[key.format(name, "b")][()].T)
            assert stored[f"x_to_infac_W/{name}"].shape == (NUM_CHANNELS, 2)
        np.testing.assert_array_equal(
            stored["gen_to_factors_W"], weights["LFADS_gen_gen_2_fac_W:0"]
        )
        assert stored["prior_g0_mean"].shape == (5, 1)
        joined = np.concatenate([weights[key.format(name, "W")] for name in names], axis=1)
        np.testing.assert_array_equal(stored["factors_to_logrates_W_concatenated"], joined)
        np.testing.assert_array_equal(stored["dataset_idx_concatenated"], [[1] * 3 + [2] * 3])
        np.testing.assert_array_equal(stored["num_channels_by_dataset"], [[3, 3]])
        assert stored["num_channels_all_datasets"][0, 0] == 6
        assert "con_co" not in stored


def test_conditions_are_numbers_or_text(make_trained):
    trained = make_trained(conditions=[float(n % 3) for n in range(NUM_TRIALS)], name="numbers")
    found = read(trained.run.export_results_to_h5()[1])
    np.testing.assert_array_equal(found["conditionIds"], [np.arange(NUM_TRIALS) % 3])
    texts = [["links", "猿", "it's"][n % 3] for n in range(NUM_TRIALS)]
    trained = make_trained(conditions=texts, name="texts")
    with h5py.File(trained.run.export_results_to_h5()[1]) as stored:
        assert stored["conditionIds"].asstr()[()].tolist() == texts


def test_inferred_inputs_and_gaussian_output(make_trained):
    trained = make_trained(gaussian=True, controller=1)
    path = trained.run.export_results_to_h5()[1]
    found, truth = read(path), trained.truth["day 1"]
    np.testing.assert_array_equal(
        found["controller_outputs"], truth["controller_outputs"].transpose(2, 1, 0)
    )
    assert found["nControllerOutputs"] == 1
    assert found["nNeurons"] == NUM_CHANNELS
    assert "rates" not in found
    both = np.concatenate([found["output_means"], found["output_variances"]])
    np.testing.assert_array_equal(both, truth["output_dist_params"].transpose(2, 1, 0))


def test_large_arrays_are_written_in_pieces_and_are_the_same(make_trained, monkeypatch):
    from lfadsq.results.exports import exported_run, matlab_h5

    monkeypatch.setattr(exported_run, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr(matlab_h5, "_SMALL_BYTES", 100)
    monkeypatch.setattr(matlab_h5, "_CHUNK_TRIALS", 4)
    trained = make_trained()
    path = trained.run.export_results_to_h5()[1]
    with h5py.File(path) as stored:
        assert stored["factors"].chunks == (2, NUM_BINS, 4)
    np.testing.assert_array_equal(
        read(path)["factors"], trained.truth["day 1"]["factors"].transpose(2, 1, 0)
    )


def test_what_older_files_lack_is_left_out(make_trained):
    trained = make_trained()
    for split in ("train", "valid"):
        path = trained.run.paths.output.posterior_means(
            "day 1", split, trained.run.params.posterior_mean_kind
        )
        with h5py.File(path, "a") as stored:
            del stored["gen_states"], stored["nll_bound_iwaes"]
    found = read(trained.run.export_results_to_h5()[1])
    assert not {"generator_states", "nll_bound_iwaes"} & set(found)
    assert found["nGeneratorUnits"] == 0


def test_a_collection_has_a_folder_for_each_run(make_trained):
    trained = make_trained(("a", "b"))
    written = trained.collection.export_results_to_h5()
    top = trained.path / "posterior_means_export"
    names = sorted(str(path.relative_to(top)) for path in written)
    assert names == sorted(
        [f"{run}/modelTrainedParams.h5" for run in ("all", "single_a", "single_b")]
        + ["all/posteriorMeans_a.h5", "all/posteriorMeans_b.h5"]
        + ["single_a/posteriorMeans_a.h5", "single_b/posteriorMeans_b.h5"]
    )
    assert read(top / "all" / "posteriorMeans_b.h5")["datasetIndexByTrial"][0, 0] == 2


def test_runs_of_several_settings_do_not_share_a_folder(make_trained):
    trained = make_trained(params={"c_gen_dim": [8, 16]})
    written = trained.collection.export_results_to_h5()
    folders = {str(path.parent.relative_to(trained.path)) for path in written}
    assert folders == {
        f"posterior_means_export/param_{run.param_hash}/{run.name}"
        for run in trained.collection.runs
    }
    # Also one alone lies where it does with the others.
    again = trained.collection.export_results_to_h5(runs=[trained.run], force=True)
    assert set(again) < set(written)


def test_files_are_replaced_only_when_asked(make_trained, tmp_path):
    run = make_trained().run
    written = run.export_results_to_h5(tmp_path / "new" / "folder")
    before = written[0].read_bytes()
    written[1].unlink()
    with pytest.raises(ConfigError, match=r"already there: .*modelTrainedParams\.h5; say --force"):
        run.export_results_to_h5(tmp_path / "new" / "folder")
    assert not written[1].exists()
    assert run.export_results_to_h5(tmp_path / "new" / "folder", force=True) == written
    assert written[0].read_bytes() == before


def test_nothing_is_written_unless_all_results_are_there(make_trained):
    trained = make_trained(("a", "b"))
    (run,) = trained.collection.find_runs("all")
    run.paths.output.posterior_means("b", "valid", run.params.posterior_mean_kind).unlink()
    with pytest.raises(ResultNotReadyError, match=r"b\.h5_valid"):
        run.export_results_to_h5()
    assert not (run.path / "export").exists()
    with pytest.raises(RunNotFoundError, match="has no dataset 'c'"):
        run.export("h5", dataset_names=["c"])
    assert len(run.export("h5", dataset_names=["a"])) == 2


@pytest.mark.parametrize("name", ["猿, it's [1] $HOME;rm -rf ~", "." * 5])
def test_hostile_names_of_datasets(make_trained, name):
    trained = make_trained((name,))
    opened = RunCollection.open(trained.path)
    weights, means = opened.runs[0].export_results_to_h5()
    assert means.parent == trained.run.path.resolve() / "export"
    (dataset_name,) = opened.runs[0].dataset_names
    with h5py.File(weights) as stored:
        assert list(stored["x_to_infac_W"]) == [dataset_name]
