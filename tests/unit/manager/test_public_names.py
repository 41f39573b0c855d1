"""The names users write, and that importing them is quick."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lfadsq

NAMES = {
    "Dataset",
    "DatasetCollection",
    "DatasetCounts",
    "FitLog",
    "LfadsqError",
    "ModelTrainedParams",
    "PosteriorMeans",
    "Run",
    "RunCollection",
    "RunParams",
    "RunSpec",
    "TrainerCommands",
    "hyperparam",
    "run_lfads_queue",
}


def test_the_public_names_are_exactly_these():
    assert set(lfadsq.__all__) == NAMES
    assert set(dir(lfadsq)) >= NAMES
    for name in NAMES:
        assert getattr(lfadsq, name).__name__ == name


def test_another_name_is_refused():
    with pytest.raises(AttributeError, match="has no attribute 'RunParam'"):
        _ = lfadsq.RunParam


def test_importing_loads_nothing_heavy():
    code = "import lfadsq, sys; print(*{'numpy', 'scipy', 'h5py', 'dask', 'rich'} & {*sys.modules})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


def test_all_names_together_load_no_tensorflow():
    code = "\n".join(
        [
            "import sys",
            "from lfadsq import *",
            "assert RunCollection and RunParams().param_hash and PosteriorMeans",
            "print(*{'tensorflow', 'keras'} & {*sys.modules})",
        ]
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""
