"""Odd names of folders, collections, runs and datasets, all the way through a real shell."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec
from lfadsq.errors import ConfigError

# In POSIX sh, so that it starts quickly: what it was called with, each argument ended by a NUL.
STUB = """#!/bin/sh
printf '%s\\0' "$@" >> "$CALLS"
printf '\\n\\0' >> "$CALLS"
"""
ODD = "ab .,'\"$`\\()&;|<>*?[]{}~!#%=+^@-:_éßжλ中🐒\u2028\u00a0"
names = st.text(st.sampled_from(ODD), min_size=1, max_size=12)
TOUCH = "$(touch x)"


def collection_of(root, name, run, dataset):
    """Prepare a run on a made-up recording; names that are refused are none of ours."""
    try:
        datasets = DatasetCollection(root / "recordings")
        spikes = np.ones((4, 2, 4), np.uint8)
        Dataset(datasets, f"{dataset}.npz")
        runs = RunCollection(root, name, datasets)
        runs.add_run_spec(RunSpec(run, datasets, 0))
    except ConfigError:
        assume(False)
    assume(name != "recordings")
    datasets.path.mkdir(parents=True)
    np.savez(datasets.datasets[0].path, spikes=spikes, timeMs=np.arange(4))
    runs.add_params(RunParams(c_batch_size=1, trainToTestRatio=1))
    runs.prepare_for_lfads()
    return runs


def task_specs_of(script):
    """Run a queue script as Python does, up to where the queue would start."""
    given_specs = []

    def run_lfads_queue(queue_name, tensorboard_script, task_specs, **options):
        given_specs.extend(task_specs)
        return types.SimpleNamespace(exit_status=0)

    fake = types.ModuleType("lfadsqueue")
    fake.run_lfads_queue = run_lfads_queue
    fake.LfadsqError = Exception
    real = sys.modules.get("lfadsqueue")
    sys.modules["lfadsqueue"] = fake
    try:
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
    finally:
        del sys.modules["lfadsqueue"]
        if real is not None:
            sys.modules["lfadsqueue"] = real
    assert ended.value.code == 0
    return given_specs


@settings(max_examples=12)
@given(names, names, names, names)
@example("-rf", TOUCH, TOUCH, f"`touch x`,{TOUCH}.v2")
@example("my runs'", 'a "b" $HOME', "it's.1,2;*", "mon'key J.v2")
@example("--", "Affe & Ühu", "жук 中", "~.é,ß")
def test_whatever_the_names_the_trainer_gets_its_files(root_name, name, run_name, dataset):
    assume(root_name.strip(".") and not root_name.isspace())
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        here = scratch / "here"
        here.mkdir()
        stub = scratch / "bin" / "lfadsq"
        stub.parent.mkdir()
        stub.write_text(STUB, encoding="utf-8")
        stub.chmod(0o755)
        runs = collection_of(scratch / root_name, name, run_name, dataset)
        script = runs.write_run_queue_script()
        (run,) = runs.runs
        (task,) = task_specs_of(script)
        assert Path(task["donefile"]) == run.paths.done.resolve()
        calls = scratch / "calls"
        environment = {"PATH": f"{stub.parent}:/usr/bin:/bin", "CALLS": str(calls), "HOME": "/"}
        subprocess.run(task["command"], shell=True, check=True, cwd=here, env=environment)
        relative = os.path.relpath(run.paths.posterior_mean_script, run.path.parent)
        command = ["bash", "--", relative]
        subprocess.run(command, check=True, cwd=run.path.parent, env=environment)
        called = [
            dict(word.partition("=")[::2] for word in call.split("\0"))
            for call in calls.read_bytes().decode().removesuffix("\0\n\0").split("\0\n\0")
        ]
        kinds = [call["--kind"] for call in called]
        sampling = "posterior_sample_and_average"
        assert kinds == ["train", sampling, "write_model_params", sampling]
        for call in called:
            data = Path(call["--data_dir"]) / f"lfads_{dataset.replace(',', '_')}.h5"
            assert data.samefile(run.data_paths.input_h5(run.dataset_names[0]))
            assert Path(call["--lfads_save_dir"]).resolve() == run.paths.lfads_output.resolve()
        assert not list(here.iterdir())
        assert not list(scratch.rglob("x"))
        assert run.load_input_info()["counts"].shape == (2, 4, 4)
