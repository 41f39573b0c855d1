"""Collections that LFADS Run Manager has left on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lfadsq.preflight.examination import check_collection
from lfadsq.preflight.findings import Severity

from ..manager.matlab_collection import MatlabCollection, Setting

OF_ITS_DATA = {"high_counts", "empty_trials", "duplicate_channels", "silent_channels"}
OF_THIS_MACHINE = {"disk_space", "disk_space_tight", "program_missing"}


def write(folder: Path, **options: object) -> Path:
    settings = [Setting(c_batch_size=4, c_factors_dim=3), Setting(c_batch_size=5, c_factors_dim=3)]
    runs = {"single_a": ["a"], "all": ["a", "b"]}
    MatlabCollection(folder, settings, runs, **options)
    return folder


def codes(folder: Path, severity: Severity) -> set[str]:
    found = {group.code for group in check_collection(folder).of_severity(severity)}
    return found - OF_THIS_MACHINE


@pytest.mark.parametrize("options", [{}, {"links": "absolute"}, {"old": True}])
def test_nothing_is_wrong_with_them(tmp_path: Path, options: dict[str, object]) -> None:
    folder = write(tmp_path / "it's ours", **options)
    assert codes(folder, Severity.ERROR) == set()
    assert codes(folder, Severity.WARNING) <= OF_ITS_DATA
    assert check_collection(folder, quick=True).num_runs == 4


def test_after_a_move_scripts_and_links_lead_to_the_old_place(tmp_path: Path) -> None:
    old = write(tmp_path / "old", links="absolute")
    copied = tmp_path / "copied"
    shutil.copytree(old, copied, symlinks=True)
    assert codes(copied, Severity.ERROR) == {"script_elsewhere"}
    assert "link_outside" in codes(copied, Severity.WARNING)
    old.rename(tmp_path / "gone")
    assert codes(copied, Severity.ERROR) == {"script_elsewhere", "link_dangling"}


def test_batches_that_are_too_large_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "large"
    MatlabCollection(folder, [Setting(c_batch_size=9)], {"single_a": ["a"]})
    assert codes(folder, Severity.ERROR) == {"batch_size"}
