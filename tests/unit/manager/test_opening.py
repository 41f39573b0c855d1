"""Opening collections that LFADS Run Manager wrote in MATLAB."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lfadsq import Dataset, RunCollection, RunParams, hyperparam
from lfadsq.errors import ConfigError, DatasetError, ResultNotReadyError, RunNotFoundError
from lfadsq.manager.runs import Run
from lfadsq.queue.task_lists import read_task_list

from .matlab_collection import MatlabCollection, Setting, matlab_hash

SUMMARY = Path(__file__).parents[2] / "golden" / "data" / "manager" / "summary.txt"
RUN = 'single_mon\'key J, "2".v3'
DATASET = 'mon\'key J_ "2".v3'


def first_attempt(**changes):
    values = {
        "name": "first_attempt",
        "c_co_dim": 0,
        "c_batch_size": 5,
        "c_factors_dim": 8,
        "c_gen_dim": 64,
        "c_learning_rate_stop": 1e-3,
    }
    return Setting(**(values | changes))


@pytest.fixture
def matlab(tmp_path):
    settings = [first_attempt(), first_attempt(c_gen_dim=96, spikeBinMs=4.0)]
    return MatlabCollection(tmp_path / "runs" / "my coll", settings, {RUN: [DATASET]})


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage() for record in caplog.records]


def hashes_of(opened):
    return [(params.param_hash, params.data_hash) for params in opened.params]


def hashes_on_disk(matlab):
    return [(setting.param_hash, setting.data_hash) for setting in matlab.settings]


def test_the_fixtures_hashes_are_those_published():
    assert (
        Setting(
            c_co_dim=0,
            c_batch_size=150,
            c_factors_dim=8,
            c_gen_dim=64,
            c_ic_enc_dim=64,
            c_learning_rate_stop=1e-3,
        ).param_hash
        == "YOs74u"
    )
    assert matlab_hash({"c_factors_dim": ("uint16", 8)}) == "4MaTKO"


def test_the_summary_of_the_walkthrough_alone_tells_all(tmp_path, warnings):
    folder = tmp_path / "exampleSingleSession"
    folder.mkdir()
    shutil.copy(SUMMARY, folder / "summary.txt")
    opened = RunCollection.open(folder)
    assert opened.params[0] == RunParams(
        name="first_attempt",
        c_co_dim=0,
        c_batch_size=150,
        c_factors_dim=8,
        c_gen_dim=64,
        c_ic_enc_dim=64,
        c_learning_rate_stop=1e-3,
    )
    (run,) = opened.runs
    assert (run.name, run.dataset_names) == ("single_dataset001", ("dataset001",))
    assert run.path == folder / "param_YOs74u" / "single_dataset001"
    assert run.data_path == folder / "data_4MaTKO" / "single_dataset001"
    assert opened.dataset_collection.name == "lorenz_example"
    assert opened.dataset_collection.path == Path("~/lorenz_example/datasets").expanduser()
    assert not warnings()


def test_everything_works_but_what_needs_recordings(matlab, tree, warnings):
    for setting in matlab.settings:
        matlab.write_results(setting, RUN, DATASET)
    before = tree(matlab.folder)
    opened = RunCollection.open(str(matlab.folder))
    assert hashes_of(opened) == hashes_on_disk(matlab)
    assert [params.c_gen_dim for params in opened.params] == [64, 96]
    assert opened.num_runs_total == 2
    assert "my coll" in repr(opened)
    assert opened.find_runs(c_gen_dim=96)[0].params.spikeBinMs == 4
    assert [run.path.is_dir() for run in opened.runs] == [True, True]
    specs = opened.get_task_specs()
    for run, spec in zip(opened.runs, specs, strict=True):
        assert spec["donefile"] == str(run.path / "lfads.done")
        means = run.load_posterior_means()
        np.testing.assert_array_equal(means.factors[:, 0, 0], np.arange(1, 31))
        labelled = means.to_xarray()
        assert labelled.sizes["trial"] == 30
        assert labelled.rates.shape == labelled.counts.shape == means.counts.shape
        assert labelled.attrs["param_hash"] == run.param_hash
        assert labelled.attrs["data_hash"] == run.data_hash
        assert run.list_results().posterior_means == run.dataset_names
        assert run.load_fit_log().kl_valid.tolist() == [1.5]
    assert tree(matlab.folder) == before
    assert not warnings()
    opened.write_run_queue_script()
    assert read_task_list(opened.paths.queue_script).specs[0]["name"] == specs[0]["name"]


def test_own_parameters_get_the_classes_that_the_hashes_prove(tmp_path, warnings):
    def own(align_to, lag_ms, uses_motor, num_skipped, weights, fraction):
        return {
            "alignTo": ("char", "GoCue", align_to),
            "lag_ms": ("double", 5.0, lag_ms),
            "usesMotor": ("logical", False, uses_motor),
            "numSkipped": ("int16", 0, num_skipped),
            "weights": ("double", [1.0, 2.0], weights),
            "c_fraction": ("double", 0.5, fraction),
            "untouched": ("double", 1.0, 1.0),
        }

    settings = [
        Setting(
            c_batch_size=5,
            own=own("Go cue=2 c_co_dim=4", 7.0, True, 3, [1.0, 2.5], 1 / 3),
            not_in_data=["numSkipped"],
        ),
        Setting(
            c_batch_size=5,
            own=own("GoCue", 5.0, False, 9, [1.0, 2.0], 0.5),
            not_in_data=["numSkipped"],
        ),
    ]
    matlab = MatlabCollection(tmp_path / "coll", settings, {"r": ["d"]})
    opened = RunCollection.open(matlab.folder)
    assert hashes_of(opened) == hashes_on_disk(matlab)
    assert not warnings()
    first, second = opened.params
    assert first.generate_title() == "LorenzExperiment.RunParams"
    assert (first.alignTo, first.lag_ms, first.usesMotor) == ("Go cue=2 c_co_dim=4", 7.0, True)
    assert (first.numSkipped, first.weights, first.c_fraction) == (3, (1.0, 2.5), 1 / 3)
    assert (second.alignTo, second.lag_ms, second.untouched) == ("GoCue", 5.0, 1.0)
    assert opened.find_runs(numSkipped=9)[0].params == second
    # A changed copy has the hashes that MATLAB would give it.
    changed = first.copy()
    changed.numSkipped = 4
    expected = Setting(
        c_batch_size=5,
        own=own("Go cue=2 c_co_dim=4", 7.0, True, 4, [1.0, 2.5], 1 / 3),
        not_in_data=["numSkipped"],
    )
    assert (changed.param_hash, changed.data_hash) == (expected.param_hash, expected.data_hash)


def test_folders_win_over_hashes_that_cannot_be_computed(tmp_path, warnings):
    """A text shows six digits of a number that nothing else tells."""
    own = {"angle": ("double", 0.0, 0.123456789)}
    settings = [
        Setting(c_gen_dim=32, own=own),
        Setting(c_gen_dim=64, own=own),
        Setting(c_gen_dim=64),
    ]
    matlab = MatlabCollection(tmp_path / "coll", settings, {"r": ["d"]})
    matlab.write_results(settings[1], "r", "d")
    opened = RunCollection.open(matlab.folder)
    assert hashes_of(opened) == hashes_on_disk(matlab)
    (warning,) = warnings()
    for setting in settings[:2]:
        assert setting.param_hash in warning
    assert settings[2].param_hash not in warning
    assert "params_class=" in warning
    assert opened.runs[1].load_posterior_means().num_trials == 30
    assert opened.find_runs(angle=0.123457, c_gen_dim=64) == [opened.runs[1]]
    # Copies keep them, changed copies do not; data stay shared as long as nothing changes them.
    assert opened.params[0].copy().param_hash == settings[0].param_hash
    changed = opened.params[0].copy()
    changed.c_keep_prob = 0.5
    assert changed.param_hash not in [setting.param_hash for setting in settings]
    assert changed.data_hash == settings[0].data_hash
    changed.spikeBinMs = 4
    assert changed.data_hash not in [setting.data_hash for setting in settings]
    opened.add_params(changed)
    assert opened.num_params == 4


def test_your_own_class_makes_such_hashes_right(tmp_path, warnings):
    @dataclass
    class LabParams(RunParams):
        angle: float = hyperparam(0.0)
        side: str = hyperparam("left", in_param_hash=False)

    own = {"angle": ("double", 0.0, 1 / 7), "side": ("char", "left", "left")}
    matlab = MatlabCollection(tmp_path / "coll", [Setting(c_gen_dim=32, own=own)], {"r": ["d"]})
    opened = RunCollection.open(matlab.folder, params_class=LabParams)
    assert type(opened.params[0]) is LabParams
    assert opened.params[0].angle == 1 / 7
    assert hashes_of(opened) == hashes_on_disk(matlab)
    assert not warnings()


@pytest.mark.parametrize(
    "value", [1 / 3, 10**-2.5, 0.1 + 0.2, 2**0.5, 1e-8, 5 / 7, 12345678.0, 1e-20]
)
def test_digits_that_a_summary_lacks_are_found(tmp_path, value, warnings):
    setting = Setting(c_l2_gen_scale=value, c_kl_ic_weight=1 / 9)
    matlab = MatlabCollection(tmp_path / "coll", [setting], {"r": ["d"]})
    (params,) = RunCollection.open(matlab.folder).params
    assert (params.c_l2_gen_scale, params.c_kl_ic_weight) == (value, 1 / 9)
    assert not warnings()


def test_digits_are_taken_from_what_the_trainer_recorded(tmp_path, warnings):
    value = 0.123456789012345
    setting = Setting(c_l2_gen_scale=value)
    matlab = MatlabCollection(tmp_path / "coll", [setting], {"r": ["d"]})
    output = matlab.run_folder(setting, "r") / "lfadsOutput"
    (output / "hyperparameters-0.txt").write_text(f'{{"kind": "train", "l2_gen_scale": {value}}}')
    assert RunCollection.open(matlab.folder).params[0].c_l2_gen_scale == value
    assert not warnings()


def test_long_arrays_and_old_encodings_are_read(tmp_path, warnings):
    """The line of differences shows no long arrays; summaries of Windows are not UTF-8."""
    own = {
        "times": ("double", [0.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.5]),
        "side": ("char", "links", "über x=1"),
    }
    matlab = MatlabCollection(tmp_path / "coll", [Setting(own=own)], {"Läufe": ["ü"]})
    text = matlab.summary.read_text(encoding="utf-8").replace(
        "times=[1 2 3 4 5 6.5]", "times=[...]"
    )
    assert "times=[...]" in text
    matlab.summary.write_bytes(text.replace("\n", "\r\n").encode("windows-1252"))
    opened = RunCollection.open(matlab.folder)
    assert hashes_of(opened) == hashes_on_disk(matlab)
    assert opened.params[0].times == (1.0, 2.0, 3.0, 4.0, 5.0, 6.5)
    assert (opened.runs[0].name, opened.runs[0].dataset_names) == ("Läufe", ("ü",))
    assert not warnings()


def test_a_property_that_counts_for_no_hash_differs_from_run_to_run(tmp_path, warnings):
    """MATLAB classes have properties that are computed, so all their values count as defaults."""
    settings = [
        Setting(c_gen_dim=dim, own={"description": ("char", text, text)})
        for dim, text in ((8, "small"), (9, "large"))
    ]
    matlab = MatlabCollection(tmp_path / "coll", settings, {"r": ["d"]})
    opened = RunCollection.open(matlab.folder)
    assert hashes_of(opened) == hashes_on_disk(matlab)
    assert [params.description for params in opened.params] == ["small", "large"]
    assert not warnings()


def test_a_default_that_the_lab_changed_keeps_the_folders(tmp_path, warnings):
    """A RunParams.m with another default: no hash covers the value, though it is not ours."""
    settings = [Setting(c_batch_size=5), Setting(c_batch_size=6)]
    matlab = MatlabCollection(tmp_path / "coll", settings, {"r": ["d"]})
    text = matlab.summary.read_text(encoding="utf-8")
    matlab.summary.write_text(text.replace("c_gen_dim: 100", "c_gen_dim: 64"), encoding="utf-8")
    opened = RunCollection.open(matlab.folder)
    assert hashes_of(opened) == hashes_on_disk(matlab)
    assert [params.c_gen_dim for params in opened.params] == [64, 64]
    assert len(warnings()) == 1


def test_an_opened_collection_with_kept_hashes_writes_a_summary_that_opens(tmp_path, warnings):
    setting = Setting(c_batch_size=5, own={"angle": ("double", 0.0, 0.123456789)})
    matlab = MatlabCollection(tmp_path / "coll", [setting], {"r": ["d"]})
    RunCollection.open(matlab.folder).prepare_for_lfads()
    opened = RunCollection.open(matlab.folder)
    assert hashes_of(opened) == hashes_on_disk(matlab)
    assert opened.params[0].angle == 0.123457
    assert len(warnings()) >= 2


def test_a_run_of_which_nothing_tells_the_datasets_is_left_out(matlab, warnings):
    folder = matlab.folder / f"param_{matlab.settings[0].param_hash}" / "mystery"
    (folder / "lfadsOutput").mkdir(parents=True)
    opened = RunCollection.open(matlab.folder)
    assert [spec.name for spec in opened.run_specs] == [RUN]
    (warning,) = warnings()
    assert "'mystery'" in warning


# --- without summary ------------------------------------------------------------------------------


def test_scripts_and_input_files_tell_what_a_summary_would(matlab, warnings):
    matlab.summary.unlink()
    opened = RunCollection.open(matlab.folder)
    assert hashes_of(opened) == hashes_on_disk(matlab)  # in the order of the queue script
    assert [params.spikeBinMs for params in opened.params] == [2, 4]
    assert opened.runs[0].dataset_names == (DATASET,)
    assert not warnings()


def test_scaled_steps_and_logicals_are_found_by_the_hash(tmp_path, warnings):
    settings = [
        Setting(c_kl_increase_steps=500, useAlignmentMatrix=True),
        Setting(c_gen_dim=12, num_samples_posterior=128.0),
    ]
    matlab = MatlabCollection(tmp_path / "coll", settings, {"all": ["a", "b"]})
    matlab.summary.unlink()
    opened = RunCollection.open(matlab.folder)
    assert sorted(hashes_of(opened)) == sorted(hashes_on_disk(matlab))
    first = opened.find_runs(c_kl_increase_steps=500)[0].params
    assert first.useAlignmentMatrix
    assert opened.find_runs(c_gen_dim=12)[0].params.num_samples_posterior == 128
    assert not warnings()


def test_a_setting_that_an_old_summary_lacks_is_found_in_its_folder(matlab, warnings):
    older = matlab.settings
    matlab.settings = older[:1]
    matlab.write_summary()
    opened = RunCollection.open(matlab.folder)
    assert hashes_of(opened) == [(one.param_hash, one.data_hash) for one in older]
    assert not warnings()


def test_settings_that_share_data_share_what_made_them(tmp_path, warnings):
    """Neither scripts nor links tell the width of bins, but another setting of these data does."""
    settings = [Setting(c_gen_dim=dim, spikeBinMs=5.0) for dim in (8, 9)]
    matlab = MatlabCollection(tmp_path / "coll", settings, {"r": ["d"]})
    shutil.rmtree(matlab.folder / f"data_{settings[0].data_hash}")
    matlab.settings = settings[:1]
    matlab.write_summary()
    opened = RunCollection.open(matlab.folder)
    assert hashes_of(opened) == [(one.param_hash, one.data_hash) for one in settings]
    assert [params.spikeBinMs for params in opened.params] == [5, 5]
    assert not warnings()


def test_a_run_that_an_old_summary_lacks_is_found_in_its_folder(tmp_path):
    runs = {"single_a": ["a"], "both": ["a", "b"]}
    matlab = MatlabCollection(tmp_path / "coll", [Setting(c_gen_dim=12)], runs)
    matlab.runs = {"single_a": ["a"]}
    matlab.write_summary()
    (matlab.folder / f"param_{matlab.settings[0].param_hash}" / "notes of mine").mkdir()
    opened = RunCollection.open(matlab.folder)
    assert {spec.name: list(spec.dataset_names) for spec in opened.run_specs} == runs


def test_recorded_flags_alone_tell_the_setting(matlab, warnings):
    matlab.summary.unlink()
    setting = matlab.settings[0]
    folder = matlab.run_folder(setting, RUN)
    (folder / "lfads_train.sh").unlink()
    (folder / "lfadsOutput" / "hyperparameters-40.txt").write_text(
        '{"kind": "posterior_sample_and_average", "batch_size": 512, "co_dim": 0, "gen_dim": 64, '
        '"factors_dim": 8, "learning_rate_stop": 0.001, "do_train_readin": "true"}'
    )
    (folder / "lfadsOutput" / "hyperparameters-0.txt").write_text(
        '{"kind": "train", "batch_size": 5, "co_dim": 0}'
    )
    opened = RunCollection.open(matlab.folder)
    found = {params.param_hash: params for params in opened.params}[setting.param_hash]
    assert (found.c_batch_size, found.c_gen_dim) == (5, 64)
    assert not warnings()


def test_without_any_trace_folders_still_open(matlab, warnings):
    matlab.summary.unlink()
    for script in matlab.folder.glob("param_*/*/lfads_train.sh"):
        script.unlink()
    opened = RunCollection.open(matlab.folder)
    assert sorted(hashes_of(opened)) == sorted(hashes_on_disk(matlab))
    assert len(warnings()) == 1
    matlab.write_results(matlab.settings[0], RUN, DATASET)
    run = next(run for run in opened.runs if run.param_hash == matlab.settings[0].param_hash)
    assert run.load_posterior_means().num_trials == 30


# --- layout of before 20171107 --------------------------------------------------------------------


@pytest.mark.parametrize("has_summary", [True, False])
@pytest.mark.parametrize("has_data", [True, False])
def test_old_collections_open(tmp_path, has_summary, has_data, warnings):
    settings = [Setting(c_factors_dim=8, version=20171106), Setting(version=20171106, c_gen_dim=9)]
    runs = {"single_a": ["a"], "single_b": ["b"]}
    matlab = MatlabCollection(tmp_path / "coll", settings, runs, old=True)
    if not has_summary:
        matlab.summary.unlink()
    if not has_data:
        shutil.rmtree(matlab.data_folder(settings[0], "single_a"))
    opened = RunCollection.open(matlab.folder)
    assert opened.version < 20171107
    assert hashes_of(opened) == hashes_on_disk(matlab)
    assert opened.runs[0].data_path == matlab.data_folder(settings[0], "single_a")
    assert not warnings()


# --- moved and copied -----------------------------------------------------------------------------


def test_absolute_links_to_where_it_was_do_not_matter(tmp_path, warnings):
    setting = first_attempt()
    matlab = MatlabCollection(tmp_path / "old", [setting], {RUN: [DATASET]}, links="absolute")
    matlab.write_results(setting, RUN, DATASET, kind="posterior_sample")
    moved = tmp_path / "elsewhere, $(x)" / "neue Läufe"
    moved.parent.mkdir()
    shutil.move(matlab.folder, moved)
    opened = RunCollection.open(moved)
    (run,) = opened.runs
    assert run.path == moved / f"param_{setting.param_hash}" / RUN
    means = run.load_posterior_means()
    np.testing.assert_array_equal(means.factors[:, 0, 0], np.arange(1, 31))
    assert run.load_input_info()["paramInputDataHash"] == setting.data_hash
    (warning,) = warnings()  # its scripts still train where it was
    assert str(matlab.folder) in warning
    assert "prepare_for_lfads(), which mends links, and write_run_scripts()" in warning
    # What to do is said, and works without recordings.
    opened.prepare_for_lfads()
    opened.write_run_scripts()
    assert str(matlab.folder) not in (run.path / "lfads_train.sh").read_text()
    assert (run.path / "lfadsInput" / f"lfads_{DATASET}.h5").exists()


def test_a_copy_does_not_look_at_the_place_it_was_copied_from(tmp_path):
    setting = first_attempt()
    matlab = MatlabCollection(tmp_path / "old", [setting], {"r": ["d"]}, links="absolute")
    matlab.write_results(setting, "r", "d")
    shutil.copytree(matlab.folder, tmp_path / "copy", symlinks=True)
    matlab.num_trials = 10
    matlab._write_data(setting, "r")
    (run,) = RunCollection.open(tmp_path / "copy").runs
    assert run.load_posterior_means().num_trials == 30


def test_links_may_have_become_files(matlab, tmp_path):
    matlab.write_results(matlab.settings[0], RUN, DATASET)
    shutil.copytree(matlab.folder, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / f"data_{matlab.settings[0].data_hash}")
    opened = RunCollection.open(tmp_path / "copy")
    assert hashes_of(opened) == hashes_on_disk(matlab)
    assert opened.runs[0].load_posterior_means().num_trials == 30


@pytest.mark.parametrize("is_v73", [False, True])
def test_input_info_alone_orders_the_trials(matlab, is_v73):
    setting = matlab.settings[0]
    matlab.write_results(setting, RUN, DATASET)
    folder = matlab.data_folder(setting, RUN)
    (folder / f"lfads_{DATASET}.h5").unlink()
    info = folder / f"inputInfo_{DATASET}.mat"
    if is_v73:
        import h5py

        train, valid = matlab.inds()
        info.unlink()
        with h5py.File(info, "w") as stored:
            stored["trainInds"], stored["validInds"] = train[:, None] * 1.0, valid[:, None] * 1.0
            stored["counts"] = np.zeros((30, 20, 3))
    run = RunCollection.open(matlab.folder).runs[0]
    means = run.load_posterior_means()
    np.testing.assert_array_equal(means.output_means[:, 0, 2], np.arange(1, 31))
    info.unlink()
    with pytest.raises(ResultNotReadyError, match="data_<HASH>"):
        run.load_posterior_means()


def test_recordings_are_found_where_they_moved_along(tmp_path):
    MatlabCollection(tmp_path / "lab" / "coll", [first_attempt()], {"r": ["a_b", "c.2"]})
    (tmp_path / "lab" / "data").mkdir()
    (tmp_path / "lab" / "data" / "a,b.npz").touch()
    shutil.move(tmp_path / "lab", tmp_path / "new")
    datasets = RunCollection.open(tmp_path / "new" / "coll").datasets
    assert [dataset.name for dataset in datasets] == ["a_b", "c.2"]
    assert datasets[0].path == tmp_path / "new" / "data" / "a,b.npz"
    assert datasets[1].path == tmp_path / "new" / "data" / "c.2.mat"


# --- what cannot be -------------------------------------------------------------------------------


def test_missing_recordings_are_named_with_what_to_do(matlab, tree):
    opened = RunCollection.open(matlab.folder)
    changed = opened.params[0].copy()
    changed.spikeBinMs = 5
    opened.add_params(changed)
    before = tree(matlab.folder)
    with pytest.raises(ConfigError, match=r"RunCollection.open\(path, run_class=MyRun\)"):
        opened.prepare_for_lfads()
    with pytest.raises(DatasetError, match="set the path of the dataset collection"):
        opened.datasets[0].load_data()
    assert tree(matlab.folder) == before


def test_with_your_classes_it_can_be_prepared_further(matlab):
    class LabDataset(Dataset):
        def load_data(self):
            counts = matlab.counts(self.name).transpose(0, 2, 1)
            return {"spikes": counts, "timeMs": np.arange(20.0)}

    opened = RunCollection.open(matlab.folder, run_class=Run, dataset_class=LabDataset)
    changed = opened.params[0].copy()
    changed.spikeBinMs = 5
    opened.add_params(changed)
    opened.prepare_for_lfads()
    assert (opened.runs[2].data_path / f"lfads_{DATASET}.h5").is_file()
    assert hashes_of(RunCollection.open(matlab.folder)) == hashes_of(opened)


def test_what_is_no_collection_is_refused_with_what_may_be_meant(matlab, tmp_path):
    run = matlab.run_folder(matlab.settings[0], RUN)
    for place in (run, run / "lfadsOutput", matlab.summary):
        with pytest.raises(RunNotFoundError, match=f"did you mean {matlab.folder}"):
            RunCollection.open(place)
    with pytest.raises(RunNotFoundError, match=f"did you mean {matlab.folder}"):
        RunCollection.open(matlab.folder.parent)
    with pytest.raises(RunNotFoundError, match="not there"):
        RunCollection.open(tmp_path / "nowhere" / "at all")


def test_a_read_only_collection_opens(matlab):
    matlab.write_results(matlab.settings[0], RUN, DATASET)
    folders = [matlab.folder, *(path for path in matlab.folder.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        opened = RunCollection.open(matlab.folder)
        assert opened.runs[0].load_posterior_means().num_trials == 30
        assert opened.get_task_specs()
    finally:
        for folder in folders:
            folder.chmod(0o755)
