"""What a run collection holds: values, merged and compared by hash."""

from __future__ import annotations

import logging
from datetime import date

import numpy as np
import pytest

from lfadsq import DatasetCollection, RunCollection, RunParams, RunSpec
from lfadsq.errors import (
    ConfigError,
    HashCollisionError,
    ResultNotReadyError,
    RunExistsError,
    RunNotFoundError,
    UnknownHyperParamError,
)

# Found by trying: settings of different values whose six characters are the same.
COLLISION = {"c_gen_dim": 786, "c_ic_dim": 330}, {"c_gen_dim": 921, "c_ic_dim": 79}
DATA_COLLISION = (
    {"c_factors_dim": 440, "trainToTestRatio": 286},
    {"c_factors_dim": 762, "trainToTestRatio": 162, "c_gen_dim": 64},
)


def test_adding_copies_so_a_setting_can_be_changed_and_added_again(lab, small_params):
    lab.record()
    par = small_params(c_gen_dim=64)
    runs = lab.runs(par)
    par.c_gen_dim = 96
    runs.add_params(par)
    assert [one.c_gen_dim for one in runs.params] == [64, 96]
    assert (runs.num_params, runs.num_run_specs, runs.num_runs_total) == (2, 1, 2)


def test_settings_in_a_collection_cannot_be_changed(lab):
    lab.record()
    runs = lab.runs()
    with pytest.raises(ConfigError, match="copy"):
        runs.params[0].c_gen_dim = 3
    twin = runs.params[0].copy()
    twin.c_gen_dim = 3
    with pytest.raises(ConfigError, match="copy"):
        runs.runs[0].params.name = "other"


def test_a_setting_of_a_hash_that_is_here_takes_its_place(lab, small_params, caplog):
    lab.record()
    runs = lab.runs(small_params(name="first"), small_params(c_gen_dim=7))
    with caplog.at_level(logging.INFO):
        runs.add_params([small_params(name="second"), small_params(c_gen_dim=9)])
    assert [(one.name, one.c_gen_dim) for one in runs.params] == [("second", 8), ("", 7), ("", 9)]
    assert "replaces one of the same values" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_what_no_hash_covers_is_replaced_and_told(lab, small_params, caplog):
    lab.record()
    runs = lab.runs(small_params(num_samples_posterior=7))
    runs.add_params(small_params(num_samples_posterior=3))
    assert [one.num_samples_posterior for one in runs.params] == [3]
    assert [run.params.num_samples_posterior for run in runs.runs] == [3]
    assert "num_samples_posterior 3.0 (it was 7.0)" in caplog.text


def test_what_no_hash_covers_must_not_differ_among_those_added_together(lab, small_params):
    lab.record()
    runs = lab.runs(small_params(c_gen_dim=9))
    with pytest.raises(RunExistsError, match=r"two of the settings.*num_samples_posterior"):
        runs.add_params(small_params().generate_sweep("num_samples_posterior", [3, 4]))
    with pytest.raises(RunExistsError, match="posterior_mean_kind"):
        runs.add_params([small_params(), small_params(posterior_mean_kind="posterior_push_mean")])
    assert [one.c_gen_dim for one in runs.params] == [9]
    runs.add_params([small_params(name="a"), small_params(name="b")])
    assert [one.name for one in runs.params] == ["", "a"]


def test_different_settings_of_one_hash_are_refused(lab):
    first, second = (RunParams(**values) for values in COLLISION)
    assert first.param_hash == second.param_hash
    lab.record()
    runs = lab.runs(first)
    with pytest.raises(HashCollisionError, match=first.param_hash_string):
        runs.add_params(second)
    assert runs.num_params == 1


def test_different_data_of_one_hash_are_refused(lab):
    first, second = (RunParams(**values) for values in DATA_COLLISION)
    assert first.data_hash == second.data_hash
    assert first.param_hash != second.param_hash
    lab.record()
    with pytest.raises(HashCollisionError, match=first.data_hash_string):
        lab.runs(first, second)


def test_the_version_of_the_collection_decides_hashes_and_layout(lab, small_params):
    lab.record()
    runs = lab.runs(small_params(c_factors_dim=2))
    assert runs.runs[0].data_path == runs.path / "data_cq1HAe" / "single_dataset001"
    runs.version = 20171106
    assert runs.params[0].data_hash == RunParams().data_hash
    assert runs.runs[0].data_path == runs.path / runs.params[0].data_hash_string
    assert runs.params[0].version == 20171106


def test_changing_the_version_is_all_or_nothing(lab):
    first, second = (RunParams(**values) for values in DATA_COLLISION)
    lab.record()
    runs = lab.runs(first, version=20171106)
    runs.add_params(second)
    with pytest.raises(HashCollisionError):
        runs.version = 20171107
    assert (runs.version, runs.num_params) == (20171106, 2)
    assert {one.version for one in runs.params} == {20171106}


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (date.today().year * 10000 + 1_01_01, "lies in the future"),
        (99991231, "lies in the future"),
        (201801, "no date: it counts as before 20171107"),
    ],
)
def test_a_version_that_is_probably_a_mistake_is_warned_of(lab, caplog, version, words):
    runs = RunCollection(lab.root, "runs", lab.datasets, version=version)
    assert runs.version == version
    assert words in caplog.text


@pytest.mark.parametrize("version", [5, 20171106, 20171107, int(f"{date.today():%Y%m%d}")])
def test_a_version_of_the_past_is_not_warned_of(lab, caplog, version):
    RunCollection(lab.root, "runs", lab.datasets, version=version)
    assert not caplog.records


@pytest.mark.parametrize("version", [4, "20180131", True, None])
def test_a_version_that_is_none_is_refused(lab, version):
    with pytest.raises(ConfigError, match="YYYYMMDD"):
        RunCollection(lab.root, "runs", lab.datasets, version=version)


@pytest.mark.parametrize("name", ["", "..", "a/b", "-a", "a\nb", "a\0", "x" * 201, "\udc80", None])
def test_names_that_cannot_be_folders_are_refused(lab, name):
    lab.record()
    with pytest.raises(ConfigError, match="run collection"):
        RunCollection(lab.root, name, lab.datasets)
    with pytest.raises(ConfigError, match="run"):
        RunSpec(name, lab.datasets, 0)


@pytest.mark.parametrize(
    "chosen", [1, np.int64(1), "b", [1], ["b"], range(1, 2), lambda datasets: datasets.datasets[1]]
)
def test_datasets_of_a_run_by_index_name_or_themselves(lab, chosen):
    for name in ("a.mat", "b.mat"):
        lab.record(name)
    spec = RunSpec("one", lab.datasets, chosen(lab.datasets) if callable(chosen) else chosen)
    assert spec.dataset_names == ("b",)
    assert spec.datasets == (lab.datasets.datasets[1],)


@pytest.mark.parametrize(
    ("chosen", "error", "words"),
    [
        (2, RunNotFoundError, "index 2; indices go from 0 to 1"),
        (-1, RunNotFoundError, "index -1"),
        (True, RunNotFoundError, "index True"),
        ("c", RunNotFoundError, "no dataset is called 'c'"),
        ([], ConfigError, "no datasets"),
        (None, ConfigError, "None stands for no dataset"),
        ([0.5], ConfigError, "0.5 stands for no dataset"),
        ([0, 0], ConfigError, "a more than once"),
        ([0, "a"], ConfigError, "a more than once"),
    ],
)
def test_datasets_that_are_not_there_or_twice_are_refused(lab, chosen, error, words):
    for name in ("a.mat", "b.mat"):
        lab.record(name)
    with pytest.raises(error, match=words):
        RunSpec("one", lab.datasets, chosen)


def test_a_dataset_that_was_replaced_is_refused(lab):
    lab.record()
    old = lab.datasets.datasets[0]
    lab.record()
    with pytest.raises(RunNotFoundError, match="another of that name"):
        RunSpec("one", lab.datasets, old)


def test_a_run_spec_of_a_name_that_is_here_takes_its_place(lab, caplog):
    lab.record("a.mat")
    lab.record("b.mat")
    runs = lab.runs()
    runs.add_run_spec(RunSpec("single_a", lab.datasets, "a"))
    assert "single_a" not in caplog.text
    runs.add_run_spec(RunSpec("single_a", lab.datasets, ["a", "b"]))
    assert [spec.dataset_names for spec in runs.run_specs] == [("a", "b"), ("b",)]
    assert [run.dataset_names for run in runs.runs] == [("a", "b"), ("b",)]
    assert "the run 'single_a' is now on a, b; before, it was on a" in caplog.text


def test_run_specs_that_contradict_themselves_or_the_collection_are_refused(lab):
    lab.record("a.mat")
    lab.record("b.mat")
    runs = lab.runs()
    both = [RunSpec("c", lab.datasets, "a"), RunSpec("c", lab.datasets, "b")]
    with pytest.raises(RunExistsError, match=r"called 'c'.*on a, one on b"):
        runs.add_run_spec(both)
    other = DatasetCollection(lab.recordings)
    other.add_dataset(lab.datasets.datasets[0])
    with pytest.raises(ConfigError, match="another collection"):
        runs.add_run_spec([RunSpec("d", lab.datasets, 0), RunSpec("c", other, 0)])
    assert [spec.name for spec in runs.run_specs] == ["single_a", "single_b"]


def test_settings_and_specs_are_filtered_and_cleared(lab, small_params):
    lab.record("a.mat")
    lab.record("b.mat")
    runs = lab.runs(*small_params().generate_sweep("c_gen_dim", [1, 2, 3]))
    runs.filter_params(np.array([one.c_gen_dim != 2 for one in runs.params]))
    assert [one.c_gen_dim for one in runs.params] == [1, 3]
    runs.filter_run_specs([1])
    assert [(run.name, run.params.c_gen_dim) for run in runs.runs] == [
        ("single_b", 1),
        ("single_b", 3),
    ]
    runs.clear_params()
    assert (runs.num_params, runs.num_run_specs, runs.runs) == (0, 1, ())
    runs.add_params(small_params())
    runs.clear_run_specs()
    assert (runs.num_params, runs.num_run_specs, runs.runs) == (1, 0, ())
    runs.clear_all()
    assert runs.num_params == 0


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        ([True], ConfigError, "1 values, but there are 2 settings"),
        ([True, True, False], ConfigError, "3 values"),
        ([0, 0], ConfigError, "more than once"),
        ([2], RunNotFoundError, "index 2; indices go from 0 to 1"),
        ([-1], RunNotFoundError, "index -1"),
        ([1, True], RunNotFoundError, "index True"),
        (["a"], ConfigError, "'a' stands for no setting"),
        ("01", ConfigError, "chooses no settings"),
        (1, ConfigError, "chooses no settings"),
    ],
)
def test_a_mask_that_does_not_fit_changes_nothing(lab, small_params, mask, error, words):
    lab.record()
    runs = lab.runs(*small_params().generate_sweep("c_gen_dim", [1, 2]))
    with pytest.raises(error, match=words):
        runs.filter_params(mask)
    assert runs.num_params == 2


def test_a_run_keeps_its_datasets_when_they_are_filtered_out(lab):
    lab.record("a.mat")
    lab.record("b.mat")
    runs = lab.runs(specs=[RunSpec("both", lab.datasets, [0, 1])])
    kept = lab.datasets.datasets
    lab.datasets.filter_datasets([1])
    assert runs.runs[0].datasets == kept
    lab.record("a.mat")
    assert runs.runs[0].datasets == (lab.datasets.datasets[1], kept[1])


def test_runs_are_every_setting_on_every_specification(lab, small_params):
    lab.record("a.mat")
    lab.record("b.mat")
    runs = lab.runs(*small_params().generate_sweep("c_gen_dim", [1, 2]))
    assert [(run.name, run.params.c_gen_dim) for run in runs.runs] == [
        ("single_a", 1),
        ("single_b", 1),
        ("single_a", 2),
        ("single_b", 2),
    ]
    run = runs.runs[0]
    assert run.path == runs.path / run.params.param_hash_string / "single_a"
    assert runs.runs[0] is run


def test_runs_are_found_by_name_setting_and_hyperparameters(lab, small_params):
    lab.record("a.mat")
    lab.record("b.mat")
    runs = lab.runs(*small_params().generate_sweep("c_gen_dim", [1, 2], "c_co_dim", [0, 4]))
    assert runs.find_runs() == list(runs.runs)
    assert {run.name for run in runs.find_runs("single_a")} == {"single_a"}
    assert len(runs.find_runs("single_*", c_gen_dim=2)) == 4
    (run,) = runs.find_runs("single_b", c_gen_dim=2.0, c_co_dim=0)
    setting = run.params
    for params in (setting, setting.copy(), setting.param_hash, setting.param_hash_string, 2):
        assert runs.find_runs("single_b", params) == [run]
    assert runs.find_runs(["single_b", 0], [0, 3]) == runs.find_runs(None, [3, 0])
    assert [run.params.c_gen_dim for run in runs.find_runs(runs.run_specs[1], np.int64(3))] == [2]
    for wrong, words in (
        ({"run_spec": "single_c"}, "'single_c'; there are 'single_a', 'single_b'"),
        ({"run_spec": ["single_a", "c*"]}, r"'c\*'"),
        ({"run_spec": 2}, "index 2"),
        ({"params": "xxxxxx"}, f"param_xxxxxx; there are .*{setting.param_hash}"),
        ({"params": [0, 9]}, "index 9"),
        ({"c_gen_dim": 3}, "'single_a', 'single_b'"),
    ):
        with pytest.raises(RunNotFoundError, match=words):
            runs.find_runs(**wrong)
    with pytest.raises(UnknownHyperParamError, match="did you mean"):
        runs.find_runs(c_gen_dims=3)
    with pytest.raises(ConfigError, match="whole number"):
        runs.find_runs(c_gen_dim="2")
    with pytest.raises(ConfigError, match=r"0\.5 stands for no RunSpec"):
        runs.find_runs(0.5)


def test_settings_and_specs_are_found_in_the_order_asked_for(lab, small_params):
    lab.record("a.mat")
    lab.record("b.mat")
    runs = lab.runs(*small_params().generate_sweep("c_gen_dim", [1, 2, 3]))
    first, second, third = runs.params
    assert runs.find_params([2, first.param_hash, third]) == [third, first]
    assert runs.find_params(second) == [second]
    assert runs.find_params(None) == list(runs.params)
    assert [spec.name for spec in runs.find_run_specs(["single_b", "single_*"])] == [
        "single_b",
        "single_a",
    ]


def test_results_that_are_not_there_yet_are_said_to_be(lab):
    lab.record()
    (run,) = lab.runs().runs
    assert not run.is_done
    with pytest.raises(ResultNotReadyError):
        run.load_posterior_means()
    with pytest.raises(ResultNotReadyError):
        run.load_fit_log()


def test_a_long_sweep_is_shown_without_a_list_of_its_folders(lab, small_params):
    lab.record()
    runs = lab.runs(*small_params().generate_sweep("c_gen_dim", range(1, 12)))
    assert "paths_for_params: {1x11 paths}" in str(runs)
    assert "runs: [1x11 lfadsq.Run]" in str(runs)
    assert runs.runs[0].param_hash in str(runs.runs[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_tasks_simultaneously": 0}, "1 or more"),
        ({"max_tasks_simultaneously": "2"}, "1 or more"),
        ({"max_tasks_simultaneously": True}, "1 or more"),
        ({"one_task_per_gpu": "no"}, "one_task_per_gpu.*True or False"),
        ({"ignore_donefile": 1}, "ignore_donefile.*True or False"),
        ({"max_tasks_per_gpu": 0, "one_task_per_gpu": False}, "1 or more"),
        ({"max_tasks_per_gpu": 2}, "set one_task_per_gpu to False"),
        ({"gpu_memory_required": "much"}, "a number of MB, or 'auto'"),
        ({"gpu_memory_required": -1}, "a number of MB, or 'auto'"),
        ({"gpu_memory_required": True}, "a number of MB, or 'auto'"),
        ({"gpu_list": 0}, "give a list"),
        ({"gpu_list": [1.5]}, "1.5; give a whole number"),
        ({"gpu_list": [-1]}, "-1; give a whole number"),
        ({"gpu_list": "0"}, "give a list"),
        ({"gpu_list": []}, "give a list"),
        ({}, "not prepared; call prepare_for_lfads first"),
    ],
)
def test_a_queue_script_that_cannot_run_is_refused(lab, options, words):
    lab.record()
    runs = lab.runs()
    with pytest.raises(ConfigError, match=words):
        runs.write_run_queue_script(**options)
    assert not runs.path.exists()


def test_a_queue_script_without_the_scripts_it_runs_is_refused(lab):
    lab.record()
    runs = lab.runs()
    runs.prepare_for_lfads()
    runs.runs[0].paths.train_script.unlink()
    with pytest.raises(ConfigError, match=r"no script to run: no .*lfads_train\.sh; prepare"):
        runs.write_run_queue_script()
    assert not runs.paths.queue_script.exists()
    runs.prepare_for_lfads()
    assert runs.write_run_queue_script().exists()


def test_gpus_from_numpy_are_plain_numbers_in_the_script(lab):
    lab.record()
    runs = lab.runs()
    runs.prepare_for_lfads()
    script = runs.write_run_queue_script(
        gpu_list=np.array([0, 2]), max_tasks_simultaneously=np.int64(3)
    ).read_text(encoding="utf-8")
    assert "gpu_list = [0, 2]\n" in script
    assert "max_tasks_simultaneously=3," in script


def test_a_queue_script_of_some_runs_keeps_their_names(lab, small_params):
    lab.record()
    runs = lab.runs(*small_params().generate_sweep("c_gen_dim", [1, 2, 3]))
    runs.prepare_for_lfads()
    names = [task["name"] for task in runs.get_task_specs()]
    chosen = [*runs.find_runs(c_gen_dim=3), runs.runs[0]]
    assert [task["name"] for task in runs.get_task_specs(runs=chosen)] == [names[2], names[0]]
    assert list(runs.get_task_hints(runs=chosen)) == [names[2], names[0]]
    script = runs.write_run_queue_script(runs=chosen).read_text(encoding="utf-8")
    assert script.index(names[2]) < script.index(names[0])
    assert names[1] not in script
    for wrong in (["single_dataset001"], lab.runs(name="other").runs):
        with pytest.raises(RunNotFoundError, match="is no run of runs"):
            runs.write_run_queue_script(runs=wrong)
    with pytest.raises(ConfigError, match="no runs were chosen"):
        runs.get_task_specs(runs=[])


@pytest.mark.parametrize("wrong", [3, {"c_gen_dim": 3}, "params"])
def test_only_params_and_specs_can_be_added(lab, wrong):
    lab.record()
    runs = lab.runs()
    given = [wrong] if isinstance(wrong, int) else wrong
    with pytest.raises(ConfigError, match="give RunParams"):
        runs.add_params(given)
    with pytest.raises(ConfigError, match="give a RunSpec"):
        runs.add_run_spec(given)
    assert (runs.num_params, runs.num_run_specs) == (1, 1)


def test_an_empty_collection_has_nothing_to_prepare(lab):
    runs = RunCollection(lab.root, "runs", lab.datasets)
    with pytest.raises(ConfigError, match="add_params"):
        runs.prepare_for_lfads()
    runs.add_params(RunParams())
    with pytest.raises(ConfigError, match="add_run_spec"):
        runs.get_task_specs()
