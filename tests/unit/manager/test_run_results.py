"""What a run loads of its results: for one dataset, and for several by name."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from lfadsq import PosteriorMeans, RunSpec
from lfadsq.errors import ConfigError, ResultNotReadyError, RunNotFoundError

SIZES = {
    "output_dist_params": (5, 3),
    "factors": (5, 2),
    "gen_states": (5, 4),
    "gen_ics": (4,),
    "post_g0_mean": (4,),
    "post_g0_logvar": (4,),
    "costs": (),
    "nll_bound_vaes": (),
    "nll_bound_iwaes": (),
}


def sample(run, dataset_name, kind):
    """Write what a trainer would: the expected count of each bin is the trial's own number."""
    output = run.paths.output
    output.folder.mkdir(exist_ok=True)
    with h5py.File(run.paths.input_h5(dataset_name)) as stored:
        inds = {split: stored[f"{split}_inds"][()] for split in ("train", "valid")}
    for split, trials in inds.items():
        with h5py.File(output.posterior_means(dataset_name, split, kind), "w") as stored:
            for key, shape in SIZES.items():
                stored[key] = np.ones((len(trials), *shape)) * trials.reshape(-1, *[1] * len(shape))


def test_posterior_means_come_in_trial_order_and_in_spikes_per_second(lab, small_params):
    lab.record("a.mat")
    lab.record("b.mat")
    specs = [RunSpec("one", lab.datasets, "a"), RunSpec("both", lab.datasets, ["a", "b"])]
    kind = "posterior_push_mean"
    runs = lab.runs(small_params(spikeBinMs=4, posterior_mean_kind=kind), specs=specs)
    runs.prepare_for_lfads()
    for run in runs.runs:
        for name in run.dataset_names:
            sample(run, name, kind)
    single, several = runs.runs
    one = single.load_posterior_means()
    assert isinstance(one, PosteriorMeans)
    assert one.kind == kind
    assert one.rates[:, 0, 0] == pytest.approx(np.arange(1, 31) * 1000 / 4)
    assert several.load_posterior_means("b").dataset_name == "b"
    with pytest.raises(RunNotFoundError, match="no dataset was named; give one of a, b"):
        several.load_posterior_means()
    with pytest.raises(RunNotFoundError, match="not 'c'"):
        several.load_posterior_means("c")


def test_those_of_all_datasets_come_in_the_order_of_the_run(lab, small_params):
    for name in ("a.mat", "b.mat"):
        lab.record(name)
    kind = "posterior_push_mean"
    specs = [RunSpec("both", lab.datasets, ["b", "a"])]
    runs = lab.runs(small_params(spikeBinMs=4, posterior_mean_kind=kind), specs=specs)
    runs.prepare_for_lfads()
    (run,) = runs.runs
    sample(run, "b", kind)
    with pytest.raises(ResultNotReadyError, match="model_runs_a"):
        run.load_all_posterior_means()
    sample(run, "a", kind)
    several = run.load_all_posterior_means()
    assert list(several) == list(run.dataset_names)
    assert {name: means.dataset_name for name, means in several.items()} == {"a": "a", "b": "b"}
    joined = PosteriorMeans.concatenate(several.values())
    np.testing.assert_array_equal(joined.factors[:, 0, 0], [*range(1, 31)] * 2)
    assert joined.dataset.values.tolist() == [n for n in run.dataset_names for _ in range(30)]


def test_what_was_prepared_is_at_hand_with_what_was_inferred(lab, small_params):
    content = lab.record("a.mat")
    runs = lab.runs(small_params(spikeBinMs=4))
    runs.prepare_for_lfads()
    (run,) = runs.runs
    sample(run, "a", run.params.posterior_mean_kind)
    means = run.load_posterior_means()
    spikes = content["spikes"]  # (trial, channel, time) in bins of 1 ms
    bins = spikes[:, :, : spikes.shape[2] // 4 * 4].reshape(*spikes.shape[:2], -1, 4).sum(axis=3)
    np.testing.assert_array_equal(means.counts, bins.transpose(0, 2, 1))
    assert means.condition_ids.tolist() == np.ravel(content["conditionId"]).tolist()
    assert means.time_ms.tolist() == np.ravel(content["timeMs"])[::4][: bins.shape[2]].tolist()
    assert means.valid_inds.tolist() == np.flatnonzero(means.is_valid).tolist()
    assert means.params == run.params
    labelled = means.to_xarray()
    assert labelled.attrs["param_hash"] == run.param_hash
    assert labelled.attrs["data_hash"] == run.data_hash
    assert labelled.attrs["run"] == run.name


def test_the_fit_log_is_read_from_the_run(lab):
    lab.record()
    runs = lab.runs()
    runs.prepare_for_lfads()
    (run,) = runs.runs
    run.paths.lfads_output.mkdir()
    blank = " " * 6
    run.paths.output.fit_log().write_text(
        f"epoch,1, step,12, total,3.00,4.00, {blank}recon,1.00,2.00, kl,0.10,0.20, l2,0.50000, "
        f"{blank}klweight,0.01, l2weight,0.02\n",
        encoding="utf-8",
    )
    assert run.load_fit_log().total_valid.tolist() == [4.0]


def test_whether_posterior_means_are_there_is_told_for_all_datasets(lab, small_params):
    lab.record("a.mat")
    lab.record("b.mat")
    kind = "posterior_push_mean"
    specs = [RunSpec("both", lab.datasets, ["a", "b"])]
    runs = lab.runs(small_params(posterior_mean_kind=kind), specs=specs)
    runs.prepare_for_lfads()
    (run,) = runs.runs
    for name, is_complete in (("a", False), ("b", True)):
        sample(run, name, kind)
        assert run.check_posterior_means_exist() == is_complete
    run.paths.output.posterior_means("a", "valid", kind).unlink()
    assert not run.check_posterior_means_exist()


def test_posterior_means_of_an_older_name_are_there(lab, small_params):
    lab.record("a.mat")
    runs = lab.runs(small_params(posterior_mean_kind="posterior_sample_and_average"))
    runs.prepare_for_lfads()
    (run,) = runs.runs
    sample(run, "a", "posterior_sample")
    assert run.check_posterior_means_exist()
    assert run.load_posterior_means().num_trials == 30


def test_what_is_known_about_the_input_is_loaded(lab, small_params):
    content = lab.record("a.mat")
    lab.record("b.mat")
    specs = [RunSpec("one", lab.datasets, "a"), RunSpec("both", lab.datasets, ["a", "b"])]
    runs = lab.runs(small_params(trainToTestRatio=4), specs=specs)
    with pytest.raises(ConfigError, match=r"no .*inputInfo_a\.mat; call prepare_for_lfads"):
        runs.runs[0].load_input_info()
    runs.prepare_for_lfads()
    info = runs.runs[0].load_input_info()
    assert info["validInds"].tolist() == [1, 6, 11, 16, 21, 26]
    assert info["conditionId"].tolist() == content["conditionId"].tolist()
    assert info["seq_timeVector"].tolist() == content["timeMs"].tolist()
    assert info["seq_binSizeMs"] == 1
    np.testing.assert_array_equal(info["counts"], content["spikes"].transpose(1, 2, 0))
    assert runs.runs[1].load_input_info("b")["paramInputDataHash"] == runs.runs[1].data_hash
    with pytest.raises(RunNotFoundError, match="no dataset was named; give one of a, b"):
        runs.runs[1].load_input_info()


def test_what_a_run_has_is_listed_without_opening_files(lab, small_params):
    lab.record("a.mat")
    lab.record("b.mat")
    specs = [RunSpec("both", lab.datasets, ["a", "b"])]
    runs = lab.runs(small_params(posterior_mean_kind="posterior_push_mean"), specs=specs)
    (run,) = runs.runs
    assert run.list_results() == (False, False, False, ())
    runs.prepare_for_lfads()
    sample(run, "b", "posterior_push_mean")
    assert run.list_results() == (False, False, False, ("b",))
    sample(run, "a", "posterior_sample_and_average")
    assert run.list_results().posterior_means == ("b",)
    sample(run, "a", "posterior_push_mean")
    run.paths.output.fit_log().touch()
    run.paths.output.model_params.write_bytes(b"damaged")
    run.paths.done.touch()
    assert run.list_results() == (True, True, True, ("a", "b"))
