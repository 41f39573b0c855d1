"""The demonstration data are what they claim to be."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.io
from scipy.stats import chi2

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec
from lfadsq.datasets import lorenz
from lfadsq.errors import ConfigError, StorageError

SMALL = {"num_conditions": 4, "num_trials_per_condition": (20, 30), "duration_ms": 200}


def test_trajectories_solve_the_lorenz_equations():
    """Central differences of the unscaled states agree with the equations."""
    fine = lorenz.lorenz_trajectories(3, 30001, np.random.default_rng(0))
    assert np.abs(fine).max(axis=(0, 2)) == pytest.approx([1, 1, 1])
    # Undo the scaling by fitting it: dx/dt = sigma (y - x) is linear in x, y and a constant.
    dt = lorenz._TRAJECTORY_TIME / 30000
    x, y, _ = fine.transpose(1, 0, 2)
    slope = (x[:, 2:] - x[:, :-2]) / (2 * dt)
    columns = np.stack([y[:, 1:-1].ravel(), x[:, 1:-1].ravel(), np.ones(slope.size)], axis=1)
    coefficients, residual, *_ = np.linalg.lstsq(columns, slope.ravel(), rcond=None)
    assert coefficients[1] == pytest.approx(-10.0, rel=1e-3)
    assert np.sqrt(residual[0] / slope.size) < 1e-3 * slope.std()


def test_full_size_demo_data_have_the_promised_numbers(tmp_path):
    path, other = lorenz.generate_demo_datasets(tmp_path, num_datasets=2)
    content = scipy.io.loadmat(path)
    num_trials, num_channels, num_ms = content["spikes"].shape
    assert num_ms == 1000
    assert 25 <= num_channels <= 35
    conditions, trials = np.unique(content["conditionId"], return_counts=True)
    np.testing.assert_array_equal(conditions, np.arange(1, 66))
    assert len(set(trials)) == 1
    assert 20 <= trials[0] <= 30
    assert num_trials == trials.sum()
    assert content["conditionRates"].shape == (65, num_channels, 1000)
    assert content["conditionRates"].max() < 500
    # Both datasets read the same three-dimensional trajectories out: the log rates of one are
    # linear functions of three principal components of the other's.
    log_rates = [
        np.log(scipy.io.loadmat(each)["conditionRates"].astype(float)).transpose(0, 2, 1)
        for each in (path, other)
    ]
    joined = np.concatenate([each.reshape(65 * 1000, -1) for each in log_rates], axis=1)
    singular_values = np.linalg.svd(joined - joined.mean(axis=0), compute_uv=False)
    assert singular_values[3] < 1e-4 * singular_values[2]


def test_spikes_are_poisson_with_the_true_rates(tmp_path):
    (path,) = lorenz.generate_demo_datasets(tmp_path, num_datasets=1, **SMALL)
    content = scipy.io.loadmat(path)
    expected = content["conditionRates"][content["conditionId"].ravel() - 1].sum(axis=2) / 1000
    counts = content["spikes"].sum(axis=2, dtype=float)
    statistic = ((counts - expected) ** 2 / expected).sum()
    low, high = chi2.ppf([1e-4, 1 - 1e-4], df=counts.size)
    assert low < statistic < high


def test_the_same_seed_gives_the_same_data_and_another_seed_others(tmp_path):
    def spikes_of(folder, seed):
        (path,) = lorenz.generate_demo_datasets(tmp_path / folder, 1, seed=seed, **SMALL)
        return scipy.io.loadmat(path)["spikes"]

    np.testing.assert_array_equal(spikes_of("a", 1), spikes_of("b", 1))
    assert (
        spikes_of("a", 1).shape != spikes_of("c", 2).shape
        or (spikes_of("a", 1) != spikes_of("c", 2)).any()
    )


def test_existing_files_are_kept(tmp_path):
    written = []
    (path,) = lorenz.generate_demo_datasets(tmp_path, 1, on_written=written.append, **SMALL)
    before = path.stat().st_mtime_ns
    lorenz.generate_demo_datasets(tmp_path, 1, on_written=written.append, **SMALL)
    assert path.stat().st_mtime_ns == before
    assert written == [path]


def test_true_rates_per_trial_average_over_bins(tmp_path):
    (path,) = lorenz.generate_demo_datasets(tmp_path, 1, **SMALL)
    content = scipy.io.loadmat(path)
    rates = lorenz.true_rates_per_trial(path, bin_ms=30.0)
    assert rates.shape == (len(content["spikes"]), 6, content["spikes"].shape[1])
    condition = content["conditionId"][0, 7] - 1
    expected = content["conditionRates"][condition, :, 30:60].mean(axis=1)
    np.testing.assert_allclose(rates[7, 1], expected, rtol=1e-5)


def test_runs_on_demo_data_know_the_truth(tmp_path):
    """The trainer's input has the sums of the true rates, in little space."""
    (path,) = lorenz.generate_demo_datasets(tmp_path / "datasets", 1, **SMALL)
    datasets = DatasetCollection(tmp_path / "datasets")
    Dataset(datasets, path.name)
    runs = RunCollection(tmp_path, "runs", datasets)
    runs.add_params(RunParams(spikeBinMs=20, c_batch_size=4))
    runs.add_run_spec(RunSpec("one", datasets, 0))
    runs.prepare_for_lfads()
    (run,) = runs.runs
    true_hz = lorenz.true_rates_per_trial(path, bin_ms=20.0)
    with h5py.File(run.paths.input_h5("dataset001")) as stored:
        factor = stored["conversion_factor"][0]
        for split in ("train", "valid"):
            trials = stored[f"{split}_inds"][()].astype(int) - 1
            mean_hz = stored[f"{split}_truth"][()] * factor
            np.testing.assert_allclose(mean_hz, true_hz[trials], rtol=1e-5)
    info = scipy.io.loadmat(run.paths.input_info("dataset001"))
    stored_hz = scipy.io.loadmat(path)["conditionRates"]
    np.testing.assert_array_equal(info["conditionTruth"].transpose(2, 0, 1), stored_hz)
    assert "truth" not in info


def test_bad_numbers_and_unusable_folders_are_refused(tmp_path):
    with pytest.raises(ConfigError):
        lorenz.generate_demo_datasets(tmp_path / "new", 0)
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        lorenz.generate_demo_datasets(tmp_path / "file", 1, **SMALL)
