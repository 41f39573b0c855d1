"""What `RunCollection` wrote, `RunCollection.open` reads back."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec, hyperparam
from lfadsq.manager.trainer_commands import TrainerCommands

from .conftest import small_params

ODD = "aZ9 .,'\"`$()[]{}=:;&|<>*?!~#%@\\^-_+\x7e\x85\xa0äß日本\u2028🙂"
NAMES = st.text(ODD, min_size=1, max_size=12).filter(
    lambda name: bool(name.strip()) and name not in (".", "..") and not name.startswith("-")
)
CHARS = st.text(ODD, max_size=12)


class LabParams(RunParams):
    alignTo: str = hyperparam("Go cue", group="Lab", help="event at time zero")
    lag_ms: float = hyperparam(float("inf"), in_data_hash=False)
    step: int = hyperparam(-1, matlab_class="int16")
    window_ms: tuple = hyperparam((0.0, 100.0))
    parts: tuple = hyperparam(("a", 1.0))
    seen: bool = hyperparam(False, in_param_hash=False)
    c_blur: float = hyperparam(0.5)


def finite(low, high):
    return st.floats(low, high, allow_nan=False).map(lambda value: value + 0.0)


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "name": CHARS,
        "c_gen_dim": st.integers(1, 65535),
        "c_keep_prob": finite(0.01, 1),
        "c_l2_gen_scale": finite(0, 1e300),
        "c_kl_start_step": st.integers(0, 2**32 - 1),
        "c_do_train_readin": st.booleans(),
        "c_device": CHARS,
        "posterior_mean_kind": st.just("posterior_push_mean"),
        "alignmentExtraArgs": st.lists(CHARS | st.booleans() | finite(-9, 9), max_size=3),
        "alignTo": CHARS,
        "lag_ms": st.floats(),
        "step": st.integers(-(2**15), 2**15 - 1),
        "window_ms": st.lists(finite(-1e9, 1e9), max_size=7),
        "parts": st.lists(CHARS | st.booleans() | st.lists(finite(0, 9), max_size=3), max_size=3),
        "seen": st.booleans(),
        "c_blur": finite(0, 1),
    },
)


@pytest.fixture
def folder(tmp_path_factory):
    """Give a new folder to every example."""

    def make():
        return tmp_path_factory.mktemp("example")

    return make


def collection_of(root, params, *, name="coll", run_name="all", files=("a.mat", "b.mat"), **kwargs):
    datasets = DatasetCollection(root / "data")
    for file in files:
        Dataset(datasets, file)
    collection = RunCollection(root / "runs", name, datasets, **kwargs)
    collection.add_params(params)
    collection.add_run_spec(RunSpec(run_name, datasets, range(datasets.num_datasets)))
    return collection


def assert_same(opened, written):
    for one, other in zip(opened.params, written.params, strict=True):
        assert one.generate_display_text() == other.generate_display_text()
        assert (one.param_hash, one.data_hash) == (other.param_hash, other.data_hash)
        assert one.copy().param_hash == other.param_hash
        for hyper, same in zip(one.hyperparams(), other.hyperparams(), strict=True):
            assert repr(getattr(one, hyper.name)) == repr(getattr(other, same.name)), hyper.name
            assert repr(hyper) == repr(same)
    assert [(spec.name, spec.dataset_names) for spec in opened.run_specs] == [
        (spec.name, spec.dataset_names) for spec in written.run_specs
    ]
    assert [dataset.path for dataset in opened.datasets] == [
        dataset.path for dataset in written.datasets
    ]
    assert [run.paths for run in opened.runs] == [run.paths for run in written.runs]
    assert (opened.name, opened.path, opened.comment) == (
        written.name,
        written.path,
        written.comment,
    )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=NAMES, run_name=NAMES, files=st.lists(NAMES, min_size=1, max_size=3), comment=CHARS)
def test_every_name_survives(folder, caplog, name, run_name, files, comment):
    caplog.set_level(logging.WARNING)
    files = list({file.replace(",", "_"): f"{file}.npz" for file in files}.values())
    written = collection_of(
        folder(), small_params(), name=name, run_name=run_name, files=files, comment=comment
    )
    written.write_summary_text()
    assert_same(RunCollection.open(written.path), written)
    assert not caplog.records


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chosen=st.lists(VALUES, min_size=1, max_size=3))
def test_every_value_survives(folder, caplog, chosen):
    caplog.set_level(logging.WARNING)
    distinct = {(params := LabParams(**values)).param_hash: params for values in chosen}
    written = collection_of(folder(), list(distinct.values()))
    written.write_summary_text()
    opened = RunCollection.open(written.path)
    assert_same(opened, written)
    assert not caplog.records
    # What it would write is what it read.
    text = opened.generate_summary_text()
    assert text.replace("OpenedDataset", "Dataset") == written.paths.summary.read_text("utf-8")


def test_prepared_runs_open_and_go_on(lab, small_params, tree, caplog):
    lab.record("mon'key, J.v2.mat")
    lab.record("tuesday.mat")
    both = RunSpec("both of them", lab.datasets, [0, 1])
    written = lab.runs(
        small_params(),
        small_params(c_gen_dim=9, spikeBinMs=4.0),
        specs=[both, RunSpec("single", lab.datasets, 1)],
        version=20260101,
        comment="for the paper",
        trainer=TrainerCommands("python ~/fork/train.py", omitted_flags=["co_mean_corr_scale"]),
    )
    written.prepare_for_lfads()
    written.write_run_queue_script()
    before = tree(written.path)
    opened = RunCollection.open(written.path)
    assert_same(opened, written)
    assert (opened.version, opened.trainer) == (written.version, written.trainer)
    assert opened.get_task_specs() == written.get_task_specs()
    opened.prepare_for_lfads()  # nothing is missing, so nothing but the summary's words changes
    opened.write_run_queue_script()
    after = tree(written.path)
    assert {path for path in after if after[path] != before.get(path)} == {"summary.txt"}
    assert not caplog.records


def test_the_same_drive_script_takes_up_an_opened_collection(lab, small_params):
    lab.record("monday.mat")
    written = lab.runs()
    written.prepare_for_lfads()
    opened = RunCollection.open(written.path)
    opened.add_params([small_params(), small_params(c_gen_dim=20)])
    assert [params.c_gen_dim for params in opened.params] == [8, 20]
    opened.prepare_for_lfads()  # the same data, so no recording is needed
    assert opened.runs[1].paths.train_script.is_file()


def test_everything_but_the_summary_gives_the_same_runs(lab, small_params, caplog):
    lab.record("monday.mat")
    lab.record("tuesday.mat")
    written = lab.runs(
        small_params(c_learning_rate_init=1 / 700, c_kl_increase_steps=333),
        small_params(c_gen_dim=9, spikeBinMs=4.0, trainToTestRatio=3, useAlignmentMatrix=True),
        specs=[RunSpec("both", lab.datasets, [0, 1])],
    )
    written.prepare_for_lfads()
    written.write_run_queue_script()
    written.paths.summary.unlink()
    opened = RunCollection.open(written.path)
    assert [one.to_dict() for one in opened.params] == [one.to_dict() for one in written.params]
    assert [run.paths for run in opened.runs] == [run.paths for run in written.runs]
    assert not caplog.records


@pytest.mark.parametrize("version", [20170101, 20171107, 20250101])
def test_the_version_is_kept_before_anything_is_prepared(tmp_path, version, caplog):
    written = collection_of(tmp_path, small_params(c_factors_dim=7), version=version)
    written.write_summary_text()
    opened = RunCollection.open(written.path)
    assert opened.version == version
    assert_same(opened, written)
    assert not caplog.records


@pytest.mark.parametrize("start", ["relative", "home", "absolute"])
def test_recordings_are_found_from_where_the_drive_script_ran(tmp_path, monkeypatch, start):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    root = {"relative": Path("lab"), "home": Path("~/lab"), "absolute": tmp_path / "lab"}[start]
    (tmp_path / "lab" / "data").mkdir(parents=True)
    written = collection_of(root, small_params(), files=["a.npz"])
    written.write_summary_text()
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", str(tmp_path / "other"))
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "lab", moved)
    (moved / "data" / "a.npz").touch()
    assert RunCollection.open(moved / "runs" / "coll").datasets[0].path == moved / "data" / "a.npz"


def test_a_summary_that_somebody_edited_costs_at_most_the_hash(tmp_path, caplog):
    written = collection_of(tmp_path, LabParams(c_gen_dim=3, lag_ms=1 / 3, alignTo="x"))
    text = written.write_summary_text().read_text("utf-8")
    for changed in (
        text.replace("declared: {", "declared: {,"),
        text.replace('"matlab_class": "double"', '"matlab_class": "matrix"'),
        text.replace("exact_values: ", "exact_values: 5"),
        text.replace("         c_gen_dim: 3\n", "         c_gen_dim: many\n"),
        text[: len(text) // 2],
        text.replace("\n", "\r\n"),
    ):
        assert changed != text
        written.paths.summary.write_text(changed, encoding="utf-8", newline="")
        (run,) = RunCollection.open(written.path).runs
        assert run.path == written.runs[0].path
        assert run.data_path == written.runs[0].data_path


def test_a_thousand_runs_open_in_seconds(tmp_path):
    sweep = small_params().generate_sweep(
        "c_gen_dim", range(10, 60), "c_keep_prob", list(np.linspace(0.5, 0.97, 20))
    )
    written = collection_of(tmp_path, sweep)
    for run in written.runs:
        run.paths.lfads_input.mkdir(parents=True)
    written.write_summary_text()
    start_s = time.process_time()
    opened = RunCollection.open(written.path)
    assert len(opened.runs) == 1000
    assert time.process_time() - start_s < 5
    assert [params.param_hash for params in opened.params] == [
        params.param_hash for params in sweep
    ]
