"""Preparing runs: the tree on disk, what is kept, and that bad input changes nothing."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from lfadsq import Dataset, Run, RunParams, RunSpec, hyperparam
from lfadsq.errors import ConfigError, DatasetError, StorageError


def test_the_tree_on_disk(lab, small_params):
    lab.record()
    lab.record("dataset002.mat")
    runs = lab.runs(
        small_params(c_gen_dim=7),
        small_params(spikeBinMs=4),
        specs=[
            RunSpec("single_dataset001", lab.datasets, 0),
            RunSpec("both", lab.datasets, [0, 1]),
        ],
    )
    runs.prepare_for_lfads()
    names = {"single_dataset001": ["dataset001"], "both": ["dataset001", "dataset002"]}
    expected = {"summary.txt"}
    for run in runs.runs:
        for dataset in names[run.name]:
            for file in (f"inputInfo_{dataset}.mat", f"lfads_{dataset}.h5"):
                data = f"data_{run.data_hash}/{run.name}/{file}"
                link = f"param_{run.param_hash}/{run.name}/lfadsInput/{file}"
                assert str((runs.path / link).readlink()) == f"../../../{data}"
                expected |= {data, link}
        expected |= {
            f"param_{run.param_hash}/{run.name}/{script}.sh"
            for script in ("lfads_train", "lfads_posterior_mean_sample", "lfads_write_model_params")
        }
    found = {str(path.relative_to(runs.path)) for path in runs.path.rglob("*")}
    assert {path for path in found if not (runs.path / path).is_dir()} == expected
    assert not [path for path in found if "/." in f"/{path}"]
    assert runs.paths.summary.read_text(encoding="utf-8") == runs.generate_summary_text()


def test_before_20171107_runs_share_one_folder_of_data(lab, small_params):
    lab.record()
    specs = [RunSpec(name, lab.datasets, 0) for name in ("one", "two")]
    runs = lab.runs(small_params(), specs=specs, version=20171106)
    runs.prepare_for_lfads()
    for run in runs.runs:
        link = run.paths.input_h5("dataset001")
        assert str(link.readlink()) == f"../../../data_{run.data_hash}/lfads_dataset001.h5"
        assert link.exists()


def test_what_the_trainer_reads_is_what_was_recorded(lab, small_params):
    rng = np.random.default_rng(0)
    extra = {"true_rates": rng.random((30, 3, 20)), "externalInputs": rng.random((30, 2, 20))}
    content = lab.record(**extra)
    runs = lab.runs(small_params(c_ext_input_dim=2))
    runs.prepare_for_lfads()
    (run,) = runs.runs
    spikes = content["spikes"].astype(int)
    with h5py.File(run.paths.input_h5("dataset001")) as stored:
        binned = spikes[:, :, 0::2] + spikes[:, :, 1::2]
        np.testing.assert_array_equal(stored["valid_data"], binned[::5].transpose(0, 2, 1))
        truth = content["true_rates"][:, :, 0::2] + content["true_rates"][:, :, 1::2]
        np.testing.assert_allclose(stored["valid_truth"], truth[::5].transpose(0, 2, 1))
        assert stored["train_ext_input"].shape == (24, 10, 2)
    info = scipy.io.loadmat(run.paths.input_info("dataset001"))
    np.testing.assert_array_equal(info["counts"], spikes.transpose(1, 2, 0))
    assert info["paramInputDataHash"].item() == run.data_hash
    assert info["seq_timeVector"].ravel()[0] == -5


def test_numbers_for_gaussian_output_are_not_rounded(lab, small_params):
    field = np.random.default_rng(1).normal(-2.5, 3.0, (30, 3, 20))
    lab.record(spikes=field)
    runs = lab.runs(small_params(c_output_dist="gaussian", spikeBinMs=2))
    runs.prepare_for_lfads()
    (run,) = runs.runs
    summed = field.reshape(30, 3, 10, 2).sum(axis=3).transpose(0, 2, 1)
    with h5py.File(run.data_paths.input_h5("dataset001")) as stored:
        for split in ("train", "valid"):
            trials = stored[f"{split}_inds"][()].astype(int).ravel() - 1
            np.testing.assert_allclose(stored[f"{split}_data"][()], summed[trials], rtol=1e-12)
    info = scipy.io.loadmat(run.data_paths.input_info("dataset001"))
    np.testing.assert_array_equal(info["counts"], field.transpose(1, 2, 0))


def test_numbers_that_are_no_counts_are_refused_for_spikes(lab, small_params):
    lab.record(spikes=np.full((30, 3, 20), 0.25))
    runs = lab.runs(small_params())
    with pytest.raises(DatasetError, match="c_output_dist='gaussian'"):
        runs.prepare_for_lfads()
    second = lab.runs(small_params(c_output_dist="gaussian"), name="second")
    lab.record("dataset002.mat", spikes=np.full((30, 3, 20), np.nan))
    second.add_run_spec(RunSpec("nan", lab.datasets, 1))
    with pytest.raises(DatasetError, match="NaN or infinite values"):
        second.prepare_for_lfads()


def test_a_sweep_shares_data_that_are_loaded_and_written_once(lab, small_params):
    loads = []

    class CountingRun(Run):
        def generate_counts_for_dataset(self, dataset):
            loads.append(dataset.name)
            return super().generate_counts_for_dataset(dataset)

    lab.record()
    settings = small_params().generate_sweep("c_gen_dim", range(1, 21), "spikeBinMs", [2, 4])
    runs = lab.runs(*settings, run_class=CountingRun)
    runs.prepare_for_lfads()
    assert loads == ["dataset001"] * 2
    assert len([path for path in runs.path.rglob("*.h5") if not path.is_symlink()]) == 2
    runs.add_params(small_params(c_gen_dim=50))
    runs.prepare_for_lfads()
    assert len(loads) == 2
    assert runs.find_runs(c_gen_dim=50)[0].paths.input_h5("dataset001").exists()


def test_preparing_again_touches_nothing(lab, tree):
    lab.record()
    runs = lab.runs()
    runs.prepare_for_lfads()
    before = tree(runs.path)
    runs.prepare_for_lfads()
    assert tree(runs.path) == before


def test_regenerating_replaces_data_and_scripts(lab, tree):
    lab.record()
    runs = lab.runs()
    runs.prepare_for_lfads()
    before = tree(runs.path)
    (run,) = runs.runs
    for path in (run.paths.train_script, run.data_paths.input_h5("dataset001")):
        path.write_text("spoilt", encoding="utf-8")
    runs.prepare_for_lfads(regenerate=True)
    after = tree(runs.path)
    assert after.keys() == before.keys()
    script = str(run.paths.train_script.relative_to(runs.path))
    assert after[script][0] == before[script][0]
    assert os.access(run.paths.train_script, os.X_OK)
    with h5py.File(run.data_paths.input_h5("dataset001")) as stored:
        assert len(stored["train_data"]) == 24
    info = str(run.data_paths.input_info("dataset001").relative_to(runs.path))
    assert after[info][1] != before[info][1]


def test_scripts_that_differ_are_kept_and_spoken_of(lab, caplog):
    lab.record()
    runs = lab.runs()
    runs.prepare_for_lfads()
    script = runs.runs[0].paths.train_script
    script.write_text("# mine", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        runs.prepare_for_lfads()
    assert script.read_text(encoding="utf-8") == "# mine"
    assert "kept 1 scripts" in caplog.text


def test_a_broken_link_is_mended_and_a_copied_file_is_kept(lab):
    lab.record()
    runs = lab.runs()
    runs.prepare_for_lfads()
    h5 = runs.runs[0].paths.input_h5("dataset001")
    info = runs.runs[0].paths.input_info("dataset001")
    h5.unlink()
    h5.symlink_to("nowhere")
    info.unlink()
    info.write_bytes(b"a copy made without links")
    runs.prepare_for_lfads()
    assert h5.exists()
    assert not info.is_symlink()
    runs.prepare_for_lfads(regenerate=True)
    assert info.is_symlink()


def test_results_of_a_trained_run_are_left_alone(lab):
    lab.record()
    runs = lab.runs()
    runs.prepare_for_lfads()
    (run,) = runs.runs
    run.paths.lfads_output.mkdir()
    run.paths.output.fit_log().write_text("costs", encoding="utf-8")
    run.paths.done.touch()
    runs.prepare_for_lfads(regenerate=True)
    assert run.is_done
    assert run.paths.output.fit_log().read_text(encoding="utf-8") == "costs"


def test_own_hyperparameters_and_own_counts(lab):
    @dataclass
    class LabParams(RunParams):
        first_bin: int = hyperparam(0, matlab_class="uint16")

    class LabRun(Run):
        def generate_counts_for_dataset(self, dataset):
            spikes = dataset.load_data()["spikes"]
            return {"counts": spikes[:, :, self.params.first_bin :], "bin_ms": 1.0}

    lab.record()
    settings = LabParams(c_batch_size=5).generate_sweep("first_bin", [0, 10])
    runs = lab.runs(*settings, run_class=LabRun)
    runs.prepare_for_lfads()
    bins = []
    for run in runs.runs:
        with h5py.File(run.paths.input_h5("dataset001")) as stored:
            bins.append(stored["train_data"].shape[1])
    assert bins == [10, 5]


def test_a_recording_without_a_file_needs_none(lab):
    class Simulated(Dataset):
        def load_data(self):
            return {"spikes": np.ones((30, 2, 10)), "timeMs": np.arange(10)}

    Simulated(lab.datasets, "simulated")
    runs = lab.runs()
    runs.prepare_for_lfads()
    assert runs.runs[0].paths.input_h5("simulated").exists()


def test_memory_grows_with_batch_and_units(lab, small_params):
    lab.record()
    runs = lab.runs(
        small_params(),
        small_params(c_gen_dim=2000),
        small_params(c_co_dim=0),
        small_params(num_samples_posterior=100_000, c_keep_prob=0.9),
    )
    runs.prepare_for_lfads()
    small, wide, plain, sampled = [spec["memory_req"] for spec in runs.get_task_specs()]
    assert wide > small >= plain > 0
    assert sampled > small
    assert all(isinstance(memory, int) for memory in (small, wide, plain, sampled))


def test_memory_is_what_the_user_says_or_learned_by_shape(lab, small_params):
    lab.record()
    runs = lab.runs(small_params(), small_params(c_l2_gen_scale=3.0), small_params(c_gen_dim=300))
    runs.prepare_for_lfads()
    given = runs.get_task_specs(gpu_memory_required=1500.2)
    assert [spec["memory_req"] for spec in given] == [1501] * 3
    learned = runs.get_task_specs(gpu_memory_required="auto")
    assert [spec["memory_req"] for spec in learned] == ["auto"] * 3
    hints = list(runs.get_task_hints(gpu_memory_required="auto").values())
    assert hints[0]["shape"] == hints[1]["shape"] != hints[2]["shape"]
    estimates = [spec["memory_req"] for spec in runs.get_task_specs()]
    assert [hint["memory_estimate"] for hint in hints] == estimates


def test_long_trainings_are_expected_to_take_longer(lab, small_params):
    lab.record()
    runs = lab.runs(
        small_params(c_learning_rate_stop=1e-3),
        small_params(c_learning_rate_stop=1e-8),
        small_params(c_learning_rate_stop=1e-8, c_gen_dim=2000, c_keep_prob=0.9),
    )
    runs.prepare_for_lfads()
    short, long, wide = [hint["expected_s"] for hint in runs.get_task_hints().values()]
    assert 0 < short < long < wide


# --- bad input ------------------------------------------------------------------------------------


def bad_counts(value):
    spikes = np.ones((30, 3, 20))
    spikes[7, 1, 3] = value
    return {"spikes": spikes}


@pytest.mark.parametrize(
    ("recording", "params", "error", "words"),
    [
        ({}, {"c_batch_size": 7}, ConfigError, "24 trials train and 6 validate.*fits is 6"),
        ({}, {"c_batch_size": 7, "trainToTestRatio": 1}, None, ""),
        ({}, {"c_batch_size": 6}, None, ""),
        (bad_counts(np.nan), {}, DatasetError, "nan in trial 8, channel 2, bin 4"),
        (bad_counts(-1), {}, DatasetError, "-1.0 in trial 8"),
        (bad_counts(0.5), {}, DatasetError, "0.5 in trial 8"),
        ({"spikes": np.ones((30, 19))}, {}, DatasetError, "2 dimensions"),
        ({"spikes": np.ones((30, 3, 0))}, {}, DatasetError, "nothing in them"),
        (
            {"spikes": np.ones((1, 3, 20)), "conditionId": 1},
            {"c_batch_size": 1},
            DatasetError,
            "0 would train and 1 validate",
        ),
        ({}, {"spikeBinMs": 1.5}, DatasetError, "no whole multiple.*multiple of 1"),
        ({}, {"spikeBinMs": 21}, DatasetError, "lasts 20 ms"),
        ({"timeMs": np.zeros((0, 0))}, {}, DatasetError, "20 bins"),
        ({}, {"c_ext_input_dim": 2}, ConfigError, "0 external inputs"),
        (
            {"externalInputs": np.ones((30, 1, 20))},
            {"c_ext_input_dim": 2},
            ConfigError,
            "has 1 ext",
        ),
        ({"externalInputs": np.ones((30, 1, 20))}, {}, None, ""),
        ({"externalInputs": np.ones((30, 2, 20))}, {"c_ext_input_dim": 2}, None, ""),
        ({}, {"c_keep_prob": 0, "c_gen_dim": 0}, ConfigError, r"(?s)c_gen_dim.*c_keep_prob"),
        (
            {},
            {"useAlignmentMatrix": True, "alignmentApproach": "pca"},
            ConfigError,
            "alignmentApproach is 'pca'; give one of",
        ),
    ],
)
def test_bad_input_changes_nothing_on_disk(
    lab, small_params, tree, recording, params, error, words
):
    """The bad dataset is the last one: all before it were read, and would have been written."""
    lab.record("a.mat", externalInputs=np.ones((30, 2, 20)))
    lab.record("bad.mat", **recording)
    runs = lab.runs(small_params(**params))
    if error is None:
        runs.prepare_for_lfads()
        return
    before = tree(lab.root)
    with pytest.raises(error, match=words):
        runs.prepare_for_lfads()
    assert tree(lab.root) == before


def test_bad_input_for_new_runs_leaves_prepared_ones_alone(lab, small_params, tree):
    lab.record()
    runs = lab.runs()
    runs.prepare_for_lfads()
    before = tree(lab.root)
    runs.add_params([small_params(c_batch_size=8), small_params(c_batch_size=9)])
    with pytest.raises(ConfigError, match=r"(?s)c_batch_size 8.*c_batch_size 9.*fits is 6"):
        runs.prepare_for_lfads()
    assert tree(lab.root) == before


def test_many_misfits_are_not_all_listed(lab, small_params):
    lab.record()
    runs = lab.runs(*small_params().generate_sweep("c_batch_size", range(100, 200)))
    with pytest.raises(ConfigError, match="and 95 more like these") as caught:
        runs.prepare_for_lfads()
    assert str(caught.value).count("\n") == 5


def test_all_missing_datasets_are_named_before_any_is_read(lab):
    lab.record("a.mat")
    Dataset(lab.datasets, "b.mat")
    Dataset(lab.datasets, "c.mat")
    runs = lab.runs()
    with pytest.raises(
        DatasetError, match=r"there is no dataset .*b\.mat, .*c\.mat; check the path"
    ):
        runs.prepare_for_lfads()
    assert not runs.path.exists()


def test_prepared_runs_need_their_recordings_no_more(lab):
    lab.record()
    runs = lab.runs()
    runs.prepare_for_lfads()
    lab.datasets.datasets[0].path.unlink()
    runs.prepare_for_lfads()


@pytest.mark.parametrize("missing", [["timeMs"], ["spikes", "timeMs"]])
def test_a_recording_of_another_kind_says_what_to_override(lab, missing):
    class Odd(Dataset):
        def load_data(self):
            return {name: [0] for name in {"spikes", "timeMs"} - set(missing)}

    Odd(lab.datasets, "odd")
    with pytest.raises(DatasetError, match=f"no {' and no '.join(missing)}.*override"):
        lab.runs().prepare_for_lfads()


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_a_truncated_recording_is_refused(lab, kept):
    lab.record(spikes=np.random.default_rng(0).integers(0, 99, (30, 3, 20)))
    path = lab.datasets.datasets[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    runs = lab.runs()
    with pytest.raises(DatasetError, match=r"dataset001\.mat"):
        runs.prepare_for_lfads()
    assert not runs.path.exists()


def test_a_truncated_input_is_found_and_regenerated(lab, small_params):
    lab.record()
    runs = lab.runs()
    runs.prepare_for_lfads()
    path = runs.runs[0].data_paths.input_h5("dataset001")
    path.write_bytes(path.read_bytes()[:-100])
    runs.add_params(small_params(c_gen_dim=9))
    with pytest.raises(StorageError, match=r"lfads_dataset001\.h5.*regenerate=True"):
        runs.prepare_for_lfads()
    assert not runs.runs[1].path.exists()
    runs.prepare_for_lfads(regenerate=True)
    assert len(runs.get_task_specs()) == 2


@pytest.mark.parametrize(
    ("limit_bytes", "file"),
    [
        (100, "inputInfo_dataset001.mat"),
        (20_000, "inputInfo_dataset001.mat"),
        (40_000, "lfads_dataset001.h5"),
    ],
)
def test_a_full_disk_leaves_nothing_behind(lab, tree, limit_bytes, file):
    """A limit on the size of files stands for the disk."""
    lab.record(
        spikes=np.random.default_rng(0).integers(0, 200, (30, 30, 40)).astype(np.uint8),
        timeMs=np.arange(40.0),
    )
    before = tree(lab.root)
    code = f"""
import resource, sys
from lfadsq import *
from lfadsq.errors import StorageError
datasets = DatasetCollection({str(lab.recordings)!r})
Dataset(datasets, "dataset001.mat")
runs = RunCollection({str(lab.root / "models")!r}, "runs", datasets)
runs.add_params(RunParams(c_batch_size=5, spikeBinMs=1))
runs.add_run_spec(RunSpec("one", datasets, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes}, {limit_bytes}))
try:
    runs.prepare_for_lfads()
except StorageError as error:
    sys.exit(f"refused: {{error}}")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "refused: cannot write" in ended.stderr, ended.stderr
    assert f"{file}: File too large; the limit on file sizes" in ended.stderr
    assert tree(lab.root) == before


def test_a_folder_that_cannot_be_written_is_named(lab, tree):
    lab.record()
    blocked = lab.root / "models"
    blocked.write_text("a file where the folder should be", encoding="utf-8")
    before = tree(lab.root)
    with pytest.raises(StorageError, match=r"cannot use as a folder .*models: Not a directory"):
        lab.runs().prepare_for_lfads()
    assert tree(lab.root) == before


@pytest.mark.parametrize(
    ("place", "blocked_by"),
    [
        (lambda run: run.path.parent, Path.touch),
        (lambda run: run.paths.lfads_input, Path.touch),
        (lambda run: run.paths.posterior_mean_script, Path.mkdir),
        (lambda run: run.data_path, Path.touch),
        (lambda run: run.data_paths.input_h5("dataset001"), Path.mkdir),
    ],
)
def test_what_is_in_the_way_is_found_before_data_are_written(lab, tree, place, blocked_by):
    lab.record()
    runs = lab.runs()
    blocked = place(runs.runs[0])
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked_by(blocked)
    before = tree(lab.root)
    with pytest.raises(StorageError, match=f"{re.escape(str(blocked))}: (Not|Is) a directory"):
        runs.prepare_for_lfads()
    assert tree(lab.root) == before


def test_what_a_killed_preparation_left_is_removed_after_a_day(lab):
    lab.record()
    runs = lab.runs()
    left = [runs.path / f".prepare_for_lfads.{age}" for age in ("old", "new")]
    for path in left:
        (path / "0").mkdir(parents=True)
    yesterday = time.time() - 25 * 3600
    os.utime(left[0], (yesterday, yesterday))
    runs.prepare_for_lfads()
    assert [path.exists() for path in left] == [False, True]


def test_two_processes_may_prepare_the_same_at_once(lab):
    lab.record()
    code = f"""
from lfadsq import *
datasets = DatasetCollection({str(lab.recordings)!r})
Dataset(datasets, "dataset001.mat")
runs = RunCollection({str(lab.root / "models")!r}, "runs", datasets)
runs.add_params(RunParams(c_batch_size=5).generate_sweep("c_gen_dim", range(1, 30)))
runs.add_run_spec(RunSpec("one", datasets, 0))
runs.prepare_for_lfads(regenerate=True)
"""
    both = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    folder = lab.root / "models" / "runs"
    assert len(list(folder.glob("param_*/one/lfadsInput/lfads_dataset001.h5"))) == 29
    assert not list(folder.rglob(".*"))
