"""A collection that MATLAB prepared is trained by its own scripts, opened, and its results read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lfadsq import RunCollection
from lfadsq.queue.task_lists import read_task_list

from .matlab_collection import MatlabCollection, Setting

TINY = {
    "spikeBinMs": 4.0,
    "c_batch_size": 5,
    "c_gen_dim": 6,
    "c_ic_enc_dim": 6,
    "c_ic_dim": 4,
    "c_factors_dim": 3,
    "c_co_dim": 0,
    "c_kl_increase_steps": 4,
    "c_l2_increase_steps": 4,
    "c_learning_rate_decay_factor": 0.5,
    "c_learning_rate_stop": 6e-3,
    "num_samples_posterior": 4.0,
}


@pytest.fixture
def matlab(tmp_path):
    inferring = {"c_co_dim": 1, "c_con_dim": 5, "c_ci_enc_dim": 5}
    settings = [Setting(**TINY), Setting(**(TINY | inferring))]
    runs = {"single_mon'key J.v2": ["mon'key J.v2"]}
    return MatlabCollection(tmp_path / "a lab's runs" / "my coll", settings, runs)


def test_the_queue_reads_a_script_of_matlab(matlab):
    listed = read_task_list(matlab.folder / "run_lfadsqueue.py")
    assert listed.queue_name == "my coll"
    assert [spec["memory_req"] for spec in listed.specs] == [1500, 1500]
    opened = RunCollection.open(matlab.folder)
    assert [spec["donefile"] for spec in listed.specs] == [
        str(run.paths.done) for run in opened.runs
    ]
    assert [spec["name"] for spec in listed.specs] == [
        spec["name"] for spec in opened.get_task_specs()
    ]


@pytest.mark.slow
def test_matlabs_own_scripts_train_and_the_results_are_read(matlab):
    programs = Path(sys.executable).parent
    assert (programs / "run_lfads.py").is_file()
    ended = subprocess.run(
        [sys.executable, str(matlab.folder / "run_lfadsqueue.py")],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    opened = RunCollection.open(matlab.folder)
    for run, co_dim in zip(opened.runs, (0, 1), strict=True):
        assert run.is_done, run.paths.log.read_text(encoding="utf-8")
        assert "Stopping optimization" in run.paths.log.read_text(encoding="utf-8")
        log = run.load_fit_log()
        assert log.num_epochs > 5
        assert np.isfinite(log.total_valid).all()
        means = run.load_posterior_means()
        assert means.rates.shape == (30, 5, 3)
        assert (means.rates > 0).all()
        assert means.valid_inds.tolist() == [0, 5, 10, 15, 20, 25]
        assert (means.controller_outputs is None) == (co_dim == 0)
        weights = run.load_model_trained_params()
        assert weights is not None
    # Untouched by any summary, the same is found from what the trainer recorded.
    matlab.summary.unlink()
    for script in matlab.folder.glob("param_*/*/lfads_train.sh"):
        script.unlink()
    again = {
        params.param_hash: params.to_dict() for params in RunCollection.open(matlab.folder).params
    }
    for params in opened.params:
        unlabelled = params.to_dict() | {"name": "", "num_samples_posterior": 512.0}
        assert again[params.param_hash] == unlabelled
