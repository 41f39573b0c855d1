"""Starter experiments: names of packages, and which places are marked for editing."""

from __future__ import annotations

import keyword
import re
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfadsq.manager.starter import package_name, render_starter


@settings(max_examples=30)  # each looks for a module of that name
@given(st.text())
def test_any_name_gives_a_package_that_hides_no_other(name: str) -> None:
    package = package_name(name)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", package)
    assert not keyword.iskeyword(package)
    assert package not in sys.stdlib_module_names
    assert len(package) <= 60


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("random", "random_experiment"),
        ("lfadsq", "lfadsq_experiment"),
        ("H5py", "h5py_experiment"),
        ("class", "class_experiment"),
        ("runs", "runs_experiment"),
        ("Drive-Single", "drive_single_experiment"),
        ("a" * 99, "a" * 30),
        ("", "experiment"),
    ],
)
def test_names_that_are_taken_are_lengthened(name: str, package: str) -> None:
    assert package_name(name) == package


def test_a_folder_of_that_name_nearby_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reaching").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert package_name("reaching") == "reaching"


def test_marks_are_few_and_named_in_the_readme() -> None:
    texts = render_starter(Path("/x/Reaching"), today=date(2026, 3, 4))
    marked = {
        str(path.relative_to("/x/Reaching")): text.count("# EDIT: ")
        for path, text in texts.items()
        if "EDIT" in text and path.name != "README.md"
    }
    assert set(marked) == {
        "reaching/recordings.py",
        "reaching/dataset.py",
        "reaching/run.py",
        "reaching/run_params.py",
        "drive_single.py",
        "drive_stitched.py",
        "look_at_results.py",
    }
    assert 7 <= sum(marked.values()) <= 12
    assert all(marked.values())
    readme = texts[Path("/x/Reaching/README.md")]
    assert all(Path(name).name in readme for name in marked)
    assert "version=20260304," in texts[Path("/x/Reaching/drive_single.py")]
