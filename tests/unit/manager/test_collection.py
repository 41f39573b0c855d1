"""What a run collection holds: values, merged and compared by hash."""

from __future__ import annotations

import logging

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


def test_a_setting_is_not_added_twice(lab, small_params, caplog):
    lab.record()
    runs = lab.runs(small_params(name="first"))
    with caplog.at_level(logging.INFO):
        runs.add_params([small_params(name="second"), small_params(c_gen_dim=9)])
    assert [one.name for one in runs.params] == ["first", ""]
    assert "here already" in caplog.text


def test_what_no_hash_covers_must_not_differ_in_one_folder(lab, small_params):
    lab.record()
    runs = lab.runs(small_params())
    with pytest.raises(RunExistsError, match="num_samples_posterior"):
        runs.add_params([small_params(c_gen_dim=9), small_params(num_samples_posterior=3)])
    assert runs.num_params == 1


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


def test_run_specs_of_one_name_must_be_the_same(lab):
    lab.record("a.mat")
    lab.record("b.mat")
    runs = lab.runs()
    runs.add_run_spec(RunSpec("single_a", lab.datasets, "a"))
    assert runs.num_run_specs == 2
    with pytest.raises(RunExistsError, match=r"'single_a'.*on a.*on b"):
        runs.add_run_spec(RunSpec("single_a", lab.datasets, "b"))
    other = DatasetCollection(lab.recordings)
    other.add(lab.datasets.datasets[0])
    with pytest.raises(ConfigError, match="another collection"):
        runs.add_run_spec(RunSpec("c", other, 0))
    assert runs.num_run_specs == 2


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
    for wrong in ({"run_name": "single_c"}, {"params": "xxxxxx"}, {"c_gen_dim": 3}):
        with pytest.raises(RunNotFoundError, match="'single_a', 'single_b'"):
            runs.find_runs(**wrong)
    with pytest.raises(RunNotFoundError, match="index 9"):
        runs.find_runs(params=9)
    with pytest.raises(UnknownHyperParamError, match="did you mean"):
        runs.find_runs(c_gen_dims=3)
    with pytest.raises(ConfigError, match="whole number"):
        runs.find_runs(c_gen_dim="2")


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


def test_gpus_from_numpy_are_plain_numbers_in_the_script(lab):
    lab.record()
    runs = lab.runs()
    runs.prepare_for_lfads()
    script = runs.write_run_queue_script(
        gpu_list=np.array([0, 2]), max_tasks_simultaneously=np.int64(3)
    ).read_text(encoding="utf-8")
    assert "gpu_list = [0, 2]\n" in script
    assert "max_tasks_simultaneously=3," in script


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
