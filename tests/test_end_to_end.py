"""From recordings to firing rates, with real processes, on data small enough for a test."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec
from lfadsq.datasets.lorenz import generate_demo_datasets
from lfadsq.queue.locks import RunLock
from lfadsq.queue.tasks import TaskFiles

SMALL_DATA = {
    "num_conditions": 5,
    "num_trials_per_condition": (10, 10),
    "num_channels": (6, 6),
    "duration_ms": 200,
}


def small_params(**changes):
    sizes = {"c_gen_dim": 8, "c_ic_enc_dim": 8, "c_factors_dim": 3, "c_ic_dim": 4, "c_co_dim": 0}
    schedule = {
        "c_batch_size": 10,
        "c_kl_increase_steps": 4,
        "c_l2_increase_steps": 4,
        "c_learning_rate_decay_factor": 0.5,
        "c_learning_rate_stop": 6e-3,
        "num_samples_posterior": 4,
    }
    return RunParams(spikeBinMs=20, **(sizes | schedule | changes))


def make_collection(root, params):
    generate_demo_datasets(root / "datasets", num_datasets=1, **SMALL_DATA)
    datasets = DatasetCollection(root / "datasets")
    Dataset(datasets, "dataset001.mat")
    collection = RunCollection(root / "runs", "tiny", datasets)
    collection.add_params(params)
    collection.add_run_spec(RunSpec("single_dataset001", datasets, [0]))
    collection.prepare_for_lfads()
    collection.write_run_queue_script()
    return collection


def run_queue(folder, **kwargs):
    return subprocess.run(
        [sys.executable, str(folder / "run_lfadsqueue.py")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **kwargs,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A collection of two runs, without and with inferred inputs, trained by its own script."""
    root = tmp_path_factory.mktemp("a lab's data")
    collection = make_collection(
        root, [small_params(), small_params(c_co_dim=2, c_con_dim=6, c_ci_enc_dim=6)]
    )
    ended = run_queue(collection.path, cwd=root)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return collection


def test_every_run_is_trained_and_its_rates_can_be_loaded(trained):
    assert len(trained.runs) == 2
    for run in trained.runs:
        assert run.paths.done.exists()
        assert "Stopping optimization based on learning rate criteria." in run.paths.log.read_text()
        assert run.paths.output.model_params.exists()
        log = run.load_fit_log()
        np.testing.assert_array_equal(log.epoch, np.arange(log.num_epochs))
        means = run.load_posterior_means()
        assert means.rates.shape == (50, 10, 6)
        assert (means.controller_outputs is None) == (run.params.c_co_dim == 0)


def test_rates_have_the_level_of_the_spikes(trained):
    """Expected counts per bin became spikes/s: the mean over everything fits the data."""
    content = trained.runs[0].datasets[0].load_data()
    measured_hz = np.asarray(content["spikes"]).mean() * 1000
    inferred_hz = trained.runs[0].load_posterior_means().rates.mean()
    assert inferred_hz == pytest.approx(measured_hz, rel=0.25)


def test_a_second_queue_finds_nothing_to_do(trained):
    before = {run.paths.log: run.paths.log.stat().st_mtime_ns for run in trained.runs}
    ended = run_queue(trained.path)
    assert ended.returncode == 0
    assert {log: log.stat().st_mtime_ns for log in before} == before


@pytest.mark.slow
def test_a_copied_collection_runs_where_it_is(trained, tmp_path):
    copy = tmp_path / "another machine" / "tiny"
    shutil.copytree(trained.path, copy, symlinks=True)
    (done,) = copy.glob(f"{trained.runs[0].params.param_hash_string}/*/lfads.done")
    shutil.rmtree(done.parent / "lfadsOutput")
    done.unlink()
    original = trained.runs[0].paths.log.stat().st_mtime_ns
    ended = run_queue(copy)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert done.exists()
    assert (done.parent / "lfadsOutput" / "model_params").exists()
    assert trained.runs[0].paths.log.stat().st_mtime_ns == original


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_running_and_the_next_queue_goes_on(tmp_path):
    # It would train for a long time; what is interrupted is in the middle.
    collection = make_collection(tmp_path, [small_params(c_learning_rate_decay_factor=0.999)])
    (run,) = collection.runs
    queue = subprocess.Popen(
        [sys.executable, str(collection.path / "run_lfadsqueue.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    fit_log = run.paths.output.fit_log()
    deadline = time.monotonic() + 120
    while not (fit_log.exists() and fit_log.read_text().count("\n") >= 12):
        assert queue.poll() is None, queue.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(queue.pid, signal.SIGINT)
    printed, _ = queue.communicate(timeout=60)
    assert queue.returncode == 130, printed
    mine = subprocess.run(
        ["pgrep", "-f", str(run.paths.folder)], capture_output=True, text=True, check=False
    )
    assert mine.stdout == ""
    assert not run.paths.done.exists()
    stopped_at = run.load_fit_log().num_epochs

    # Let the rest be short: the same run, stopping at once when it is resumed.
    script = run.paths.train_script
    text = script.read_text()
    assert "--learning_rate_stop=0.006" in text
    script.write_text(text.replace("--learning_rate_stop=0.006", "--learning_rate_stop=1"))
    ended = run_queue(collection.path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    log = run.load_fit_log()
    np.testing.assert_array_equal(log.epoch, np.arange(log.num_epochs))
    assert log.num_epochs >= stopped_at


def train_together(*folders, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "lfadsq", "train", "--together", *map(str, folders)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **kwargs,
    )


@pytest.mark.slow
def test_runs_of_a_sweep_are_trained_together_and_then_sampled_by_the_queue(tmp_path):
    root = tmp_path / "it's $HOME; a lab"
    sweep = [small_params(c_keep_prob=keep_prob) for keep_prob in (0.8, 1.0)]
    collection = make_collection(root, sweep)
    folders = [run.paths.folder.relative_to(root) for run in collection.runs]
    ended = train_together(*folders, cwd=root)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for run in collection.runs:
        assert f"[{run.params.param_hash_string}/{run.name}] Stopping optimization" in ended.stdout
        assert not run.paths.done.exists()
    trained = [run.load_fit_log().num_epochs for run in collection.runs]
    assert min(trained) > 4
    ended = run_queue(collection.path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [run.load_fit_log().num_epochs for run in collection.runs] == trained
    assert all(run.load_posterior_means().rates.shape == (50, 10, 6) for run in collection.runs)


def test_what_cannot_be_trained_together_is_refused(tmp_path):
    collection = make_collection(tmp_path, [small_params(), small_params(c_gen_dim=9)])
    first, second = (run.paths.folder for run in collection.runs)
    differing = train_together(first, second)
    assert differing.returncode == 1
    assert "gen_dim is" in differing.stderr
    lock = RunLock.try_acquire(TaskFiles(collection.runs[0].paths.done).lock)
    assert lock is not None
    taken = train_together(first, second)
    lock.release()
    assert (taken.returncode, "is being trained already" in taken.stderr) == (1, True)
    (first / "lfads_train.sh").write_text(
        f"#!/bin/bash\ntouch {shlex.quote(str(tmp_path / 'ran'))}\n"
    )
    foreign = train_together(first, second)
    assert foreign.returncode == 1
    assert "does not train by `lfadsq train`" in foreign.stderr
    assert not (tmp_path / "ran").exists()
    assert not any(run.paths.output.folder.exists() for run in collection.runs)
