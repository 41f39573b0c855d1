"""A sweep in one table: every number against what is read and computed here in plain terms."""

from __future__ import annotations

import json
import math

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.stats

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec
from lfadsq.errors import ConfigError, RunNotFoundError

from .sweep_files import (
    inputs_of,
    make_sweep,
    write_all,
    write_costs,
    write_posterior,
    write_record,
)


def truth(true, counts):
    return true


def blurred(true, counts):
    return 0.5 * true + 0.5 * true.mean(axis=(0, 1))


def constant(true, counts):
    return np.broadcast_to(true.mean(axis=(0, 1)), true.shape)


@pytest.fixture
def sweep(tmp_path):
    """Three runs: truth, something between, and mean rates; the cost says otherwise."""
    collection = make_sweep(tmp_path, [{"c_gen_dim": dim} for dim in (16, 32, 64)])
    for run, cost, of in zip(
        collection.runs, (110.0, 100.0, 120.0), (truth, blurred, constant), strict=True
    ):
        write_all(run, cost, of)
    return collection


def bits_by_scipy(expected, counts):
    null = np.broadcast_to(counts.mean(axis=(0, 1)), counts.shape)
    nlls = [-scipy.stats.poisson.logpmf(counts, one).sum() for one in (null, expected)]
    return (nlls[0] - nlls[1]) / math.log(2) / counts.sum()


def test_scores_are_those_computed_from_the_files(sweep):
    table = sweep.compare().to_dataframe()
    for run, of in zip(sweep.runs, (truth, blurred, constant), strict=True):
        row = table.loc[f"{run.params.param_hash_string}/{run.name}"]
        given = inputs_of(run, "ds1")
        valid, train = given["valid"], given["train"]
        inferred = of(valid["true"], valid["counts"])
        bits = bits_by_scipy(inferred, valid["counts"])
        train_bits = bits_by_scipy(of(train["true"], None), train["counts"])
        assert row.bits_per_spike == pytest.approx(bits, abs=1e-6)
        assert row.bits_per_spike_gap == pytest.approx(train_bits - bits, abs=1e-6)
        unexplained = ((valid["true"] - inferred) ** 2).sum()
        total = ((valid["true"] - valid["true"].mean(axis=(0, 1))) ** 2).sum()
        assert row.truth_r2 == pytest.approx(1 - unexplained / total, abs=1e-6)
        assert row.c_gen_dim == run.params.c_gen_dim
    assert table.truth_r2.max() == pytest.approx(1)
    assert table.psth_r2.iloc[0] != table.psth_r2.iloc[1]
    assert math.isnan(table.co_bits_per_spike.iloc[0])


def test_costs_are_of_the_epoch_that_was_kept(sweep):
    run = sweep.runs[0]
    # Of the first epoch no model is kept, nor while weights rise.
    write_costs(run, [90.0, 104.0, 101.0, 107.0], train=[91.0, 103.0, 98.0, 97.0])
    row = sweep.compare(runs=[run]).rows[0]
    assert (row.best_epoch, row.num_epochs, row.valid_cost) == (2, 4, 101.0)
    assert (row.recon_valid, row.recon_train, row.kl_valid) == (92.5, 89.5, 8.0)
    assert row.valid_bound == 100.5


def test_the_best_run_depends_on_the_rule(sweep):
    names = [f"{run.params.param_hash_string}/{run.name}" for run in sweep.runs]
    by_cost = sweep.compare()
    assert by_cost.rule == "valid_cost"
    assert [row.name for row in by_cost.best] == [names[1]]
    assert [by_cost.ranks[name] for name in names] == [2, 1, 3]
    by_truth = sweep.compare(by="truth_r2")
    assert [row.name for row in by_truth.best] == [names[0]]
    with pytest.raises(ConfigError, match=r"no rule 'cost'.*give one of valid_cost, "):
        sweep.compare(by="cost")


def test_time_is_of_all_attempts_and_memory_the_highest_peak(sweep):
    run = sweep.runs[0]
    write_record(run, seconds=(60.0, 90.5), peak_mb=812.5)
    row = sweep.compare(runs=[run], quick=True).rows[0]
    assert (row.time_s, row.memory_mb, row.state) == (150.5, 812.5, "done")
    record = run.path / "lfads.record.json"
    record.write_text("{", encoding="ascii")
    row = sweep.compare(runs=[run], quick=True).rows[0]
    assert math.isnan(row.time_s)
    assert record.read_text(encoding="ascii") == "{"


def test_nothing_of_the_collection_is_changed(sweep, tmp_path):
    def tree():
        found = sweep.path.rglob("*")
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in found}

    before = tree()
    comparison = sweep.compare()
    comparison.to_csv(tmp_path / "out.csv")
    comparison.plot(tmp_path / "out.png")
    assert tree() == before


def test_quick_reads_no_posterior_means(sweep):
    for path in sweep.path.rglob("model_runs_*"):
        path.write_bytes(b"damaged")
    comparison = sweep.compare(quick=True)
    assert [row.valid_cost for row in comparison.rows] == [100, 110, 120]
    assert not comparison.notes
    assert "bits_per_spike" not in {column.name for column in comparison.columns}


@pytest.mark.parametrize("harm", ["truncated", "lacks a variable", "other trials"])
def test_a_damaged_run_is_told_of_and_the_others_are_compared(sweep, harm):
    damaged = sweep.runs[0]
    path = damaged.paths.output.posterior_means("ds1", "valid", "posterior_sample_and_average")
    if harm == "truncated":
        path.write_bytes(path.read_bytes()[:2000])
    else:
        with h5py.File(path, "a") as stored:
            if harm == "lacks a variable":
                del stored["factors"]
            else:
                factors = stored["output_dist_params"][:-1]
                del stored["output_dist_params"]
                stored["output_dist_params"] = factors
    comparison = sweep.compare(by="bits_per_spike")
    assert len(comparison) == 3
    assert set(comparison.ranks.values()) == {1, 2}
    (note,) = [one for one in comparison.notes if "has no scores" in one]
    assert damaged.params.param_hash in note
    assert comparison.rows[-1].valid_cost == 110


def test_a_damaged_log_is_told_of(sweep):
    for damage, words in ((b"epoch,0, nothing\n", "line 1"), (b"\xff\xfe\n", "")):
        sweep.runs[0].paths.output.fit_log().write_bytes(damage)
        comparison = sweep.compare(quick=True)
        assert any("has no costs" in note and words in note for note in comparison.notes)
        assert len(comparison.ranks) == 2


def test_runs_that_are_not_trained_have_no_rank(sweep):
    run = sweep.runs[1]
    run.delete_lfads_output(confirmed=True)
    comparison = sweep.compare()
    assert comparison.rows[-1].state == "waiting"
    assert comparison.rows[-1].name not in comparison.ranks
    assert any(
        "without valid_cost, and so without a rank: 1 of 3" in note for note in comparison.notes
    )


def test_other_data_are_ranked_apart(tmp_path):
    settings = [{"spikeBinMs": width, "c_gen_dim": dim} for width in (10, 20) for dim in (16, 32)]
    collection = make_sweep(tmp_path, settings)
    for run, cost in zip(collection.runs, (10.0, 11.0, 5.0, 6.0), strict=True):
        write_costs(run, [cost + 9, cost])
    comparison = collection.compare(quick=True)
    assert [row.settings["spikeBinMs"] for row in comparison.best] == [10, 20]
    assert [row.valid_cost for row in comparison.best] == [10, 5]
    assert {row.data_label for row in comparison.rows} == {
        "single_ds1, spikeBinMs=10", "single_ds1, spikeBinMs=20"
    }  # fmt: skip
    assert any("different data" in note for note in comparison.notes)


def test_what_only_begins_a_training_leaves_data_comparable(tmp_path):
    """The number of factors enters the data hash, since alignment matrices depend on it."""
    collection = make_sweep(tmp_path, [{"c_factors_dim": dim} for dim in (2, 3)])
    assert len({run.data_hash for run in collection.runs}) == 2
    for run, cost in zip(collection.runs, (10.0, 11.0), strict=True):
        write_costs(run, [cost + 9, cost])
    assert sorted(collection.compare(quick=True).ranks.values()) == [1, 2]


def test_where_weights_vary_costs_do_not_compare(tmp_path):
    collection = make_sweep(tmp_path, [{"c_kl_ic_weight": weight} for weight in (1, 2, 0)])
    for run, kl in zip(collection.runs, (8.0, 10.0, 0.0), strict=True):
        write_costs(run, [119.0, 100.0 + kl + 0.5], kl=kl)  # the log holds KL times its weight
    comparison = collection.compare(quick=True)
    assert comparison.rule == "valid_bound"
    assert [row.valid_bound for row in comparison.rows[:2]] == [105, 108]
    assert math.isnan(comparison.rows[2].valid_bound)
    assert any("weights of KL or L2 vary" in note for note in comparison.notes)
    apart = collection.compare(quick=True, by="valid_cost")
    assert set(apart.ranks.values()) == {1}
    assert any("ranked apart" in note for note in apart.notes)


def test_runs_that_tie_are_all_best(sweep):
    for run, cost in zip(sweep.runs, (100.0, 100.0, 101.0), strict=True):
        write_costs(run, [cost + 9, cost])
    comparison = sweep.compare(quick=True)
    assert sorted(comparison.ranks.values()) == [1, 1, 3]
    assert len(comparison.best) == 2


def test_held_out_channels_of_recordings(tmp_path):
    collection = make_sweep(tmp_path, [{"c_gen_dim": dim} for dim in (16, 32)], held_out=True)
    shuffled = {"factors": lambda num: np.random.default_rng(num).standard_normal((num, 20, 2))}
    write_posterior(collection.runs[0], truth)
    write_posterior(collection.runs[1], truth, **shuffled)
    comparison = collection.compare(held_out="recordings", by="co_bits_per_spike")
    best, worst = comparison.rows
    assert best.settings["c_gen_dim"] == 16
    assert best.scores.co_smoothing.value > 0.1 > 0.05 > worst.scores.co_smoothing.value
    # The same counts by hand, and of an opened collection.
    held_out = np.load(tmp_path / "datasets" / "ds1.npz")["heldoutSpikes"].transpose(0, 2, 1)
    opened = RunCollection.open(collection.path)
    by_hand = opened.compare(held_out={"ds1": held_out}, by="co_bits_per_spike")
    assert by_hand.rows[0].scores.co_smoothing == best.scores.co_smoothing
    with_wrong = collection.compare(held_out={"ds1": held_out[1:]})
    assert "held-out counts of ds1 have shape (29, 20, 3)" in with_wrong.notes[-1]
    assert with_wrong.rows[0].scores.bits_per_spike == best.scores.bits_per_spike
    with pytest.raises(ConfigError, match="'ds9', which no run has"):
        collection.compare(held_out={"ds9": held_out})
    with pytest.raises(ConfigError, match="held_out is 'all'"):
        collection.compare(held_out="all")


def test_without_held_out_channels_it_is_told(sweep):
    notes = sweep.compare(held_out="recordings").notes
    assert notes.count("ds1 has no heldoutSpikes: no channel was held out") == 1
    sweep.datasets[0].path.write_bytes(b"damaged")
    comparison = sweep.compare(held_out="recordings")
    assert any("held-out channels of ds1 cannot be read" in note for note in comparison.notes)
    assert comparison.rows[0].scores.bits_per_spike.value > 0


def test_datasets_of_a_run_are_scored_together(tmp_path):
    collection = make_sweep(tmp_path, [{"useAlignmentMatrix": False}], names=("a", "b"))
    collection.add_run_spec(RunSpec("all", collection.dataset_collection, ["a", "b"]))
    collection.prepare_for_lfads()
    run = next(run for run in collection.runs if run.name == "all")
    write_posterior(run, blurred)
    (row,) = collection.compare(runs=[run]).rows
    gained = spikes = 0.0
    for name in "ab":
        valid = inputs_of(run, name)["valid"]
        counts = valid["counts"]
        spikes += counts.sum()
        gained += bits_by_scipy(blurred(valid["true"], counts), counts) * counts.sum()
    assert row.scores.bits_per_spike.value == pytest.approx(gained / spikes, abs=1e-6)


def test_gaussian_output_has_costs_and_no_scores_of_spikes(tmp_path):
    collection = make_sweep(tmp_path, [{"c_output_dist": "gaussian"}])
    (run,) = collection.runs
    write_costs(run, [9.0, 8.0])
    write_posterior(run, lambda true, counts: np.concatenate([true, true], axis=2))
    (row,) = collection.compare().rows
    assert row.valid_cost == 8
    assert math.isnan(row.scores.bits_per_spike.value)
    assert row.scores.num_factors == 2
    assert not row.notes


def test_signs_of_a_broken_run_reach_the_table(sweep):
    spikes = sweep.runs[0]
    write_posterior(spikes, lambda true, counts: 0.3 * true + 0.7 * counts + 0.01)
    prior = {"post_g0_mean": lambda num: np.full((num, 3), 0.01)}
    write_posterior(sweep.runs[1], constant, **prior)
    kinds = {row.settings["c_gen_dim"]: {s.kind for s in row.signs} for row in sweep.compare().rows}
    assert kinds[16] == {"rates follow single spikes"}
    assert kinds[32] == {"posterior equals prior", "rates constant"}


def test_a_table_on_disk_is_the_table(sweep, tmp_path):
    comparison = sweep.compare()
    path = comparison.to_csv(tmp_path / "sweep.csv")
    read = pd.read_csv(path, index_col="run")
    frame = comparison.to_dataframe()
    assert list(read.columns) == list(frame.columns)
    np.testing.assert_allclose(read.valid_cost, frame.valid_cost)
    np.testing.assert_allclose(read.bits_per_spike, frame.bits_per_spike)
    assert frame.attrs["time_s"].endswith("[s]")
    assert frame["rank"].tolist() == [1, 2, 3]


def test_only_runs_of_the_collection(sweep, tmp_path):
    other = make_sweep(tmp_path / "other", [{"c_gen_dim": 99}])
    with pytest.raises(RunNotFoundError):
        sweep.compare(runs=other.runs)
    seen = []
    sweep.compare(runs=sweep.runs[:2], quick=True, on_scored=lambda *both: seen.append(both))
    assert seen == [(1, 2), (2, 2)]


def test_a_run_that_failed_says_why(sweep):
    run = sweep.runs[0]
    run.paths.done.unlink()
    (run.path / "lfads.record.json").unlink()
    (run.path / "lfads.out").write_text(
        "error: the cost is not finite (nan) in epoch 0\n", encoding="ascii"
    )
    run.paths.output.fit_log().unlink()
    progress = {"version": 1, "state": "failed", "num_epochs": 0}
    run.paths.output.progress.write_text(json.dumps(progress), encoding="ascii")
    comparison = sweep.compare(quick=True)
    (failed,) = [row for row in comparison.rows if row.state == "failed"]
    (sign,) = failed.signs
    assert sign.kind == "not a number"
    assert sign.remedy


def test_older_names_of_posterior_means_are_scored_too(sweep):
    new = sweep.compare().to_dataframe()
    for path in sweep.path.rglob("model_runs_*"):
        path.rename(path.with_name(path.name.removesuffix("_and_average")))
    old = sweep.compare().to_dataframe()
    np.testing.assert_array_equal(old.bits_per_spike, new.bits_per_spike)


def test_one_missing_file_of_two_is_told_of(sweep):
    next(sweep.path.rglob("model_runs_*_valid_*")).unlink()
    (note,) = [note for note in sweep.compare().notes if "has no scores" in note]
    assert "_valid_" in note


class BenchmarkDataset(Dataset):
    raw_bin_ms = 5.0


def test_held_out_channels_of_a_file_of_the_benchmark(tmp_path):
    """Trials that train come first in such files; bins of 5 ms become bins of 10."""
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(40)[:, None] / 6 + np.arange(5)) + rng.standard_normal((24, 1, 5))
    rates = 0.3 * np.exp(0.8 * wave)
    spikes = rng.poisson(rates)
    folder = tmp_path / "datasets"
    folder.mkdir()
    with h5py.File(folder / "mc.h5", "w") as stored:
        for split, trials in (("train", slice(0, 18)), ("eval", slice(18, None))):
            stored[f"{split}_spikes_heldin"] = spikes[trials, :, :3].astype(float)
            stored[f"{split}_spikes_heldout"] = spikes[trials, :, 3:].astype(float)
    datasets = DatasetCollection(folder)
    BenchmarkDataset(datasets, "mc.h5")
    collection = RunCollection(tmp_path, "nlb", datasets)
    collection.add_params(RunParams(spikeBinMs=10, c_batch_size=4, c_co_dim=0))
    collection.add_run_spec(RunSpec("mc", datasets, ["mc"]))
    collection.prepare_for_lfads()
    (run,) = collection.runs
    run.paths.lfads_output.mkdir()
    binned = rates.reshape(24, 20, 2, 5).sum(axis=2)
    for split in ("train", "valid"):
        with h5py.File(run.data_paths.input_h5("mc")) as stored:
            trials = stored[f"{split}_inds"][()].astype(int) - 1
            counts = spikes.reshape(24, 20, 2, 5).sum(axis=2)[trials, :, :3]
            np.testing.assert_array_equal(stored[f"{split}_data"], counts)
        path = run.paths.output.posterior_means("mc", split, "posterior_sample_and_average")
        with h5py.File(path, "w") as stored:
            stored["output_dist_params"] = binned[trials, :, :3]
            stored["factors"] = np.log(binned[trials])
    (row,) = collection.compare(held_out="recordings").rows
    # Read-outs of the true log rates come close to what true rates score.
    valid = np.arange(0, 24, 5)
    held_out = spikes.reshape(24, 20, 2, 5).sum(axis=2)[valid, :, 3:]
    of_truth = bits_by_scipy(binned[valid, :, 3:], held_out)
    assert row.scores.co_smoothing.value == pytest.approx(of_truth, abs=0.05)
    assert of_truth > 0.3
    assert not row.notes
    # Opened from disk, nothing but the run's input tells how wide the bins of the file are.
    (opened,) = RunCollection.open(collection.path).compare(held_out="recordings").rows
    assert opened.scores.co_smoothing == row.scores.co_smoothing
