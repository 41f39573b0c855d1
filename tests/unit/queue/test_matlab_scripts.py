"""Tasks of scripts that LFADS Run Manager wrote in MATLAB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lfadsq.queue.events import (
    Noted,
)
from lfadsq.queue.records import Cause

from .conftest import spec_of
from .running import Listener, log_of, run

pytestmark = pytest.mark.usefixtures("no_delay")


PRINTS_SUCCESS = "echo Epoch:1; echo 'Stopping optimization based on learning rate criteria.'"


def matlab_spec(root: Path, body: str) -> dict[str, Any]:
    spec = spec_of(root, "t", "")
    script = root / "t" / "lfads_train.sh"
    script.write_text(body)
    spec["command"] = f"bash {script} 2>&1 | tee {spec['outfile']}"
    return spec


def test_matlab_success_is_the_line(tmp_path: Path) -> None:
    spec = matlab_spec(tmp_path, PRINTS_SUCCESS)
    assert run([spec]).finished == ("t",)
    assert log_of(spec).count("Epoch:1\n") == 1


def test_matlab_failure_is_told_though_tee_ends_well(tmp_path: Path) -> None:
    spec = matlab_spec(tmp_path, "echo Epoch:1; exit 4")
    (failure,) = run([spec]).failed
    assert failure.ending == "exit status 4"
    assert log_of(spec).count("Epoch:1\n") == 1


def test_matlab_end_without_the_line_is_no_success(tmp_path: Path) -> None:
    (failure,) = run([matlab_spec(tmp_path, "echo Epoch:1")]).failed
    assert failure.cause is Cause.NOT_CONVERGED


def test_matlab_line_of_an_earlier_attempt_does_not_count(tmp_path: Path) -> None:
    spec = matlab_spec(tmp_path, "echo Epoch:1")
    Path(spec["outfile"]).write_text("Stopping optimization based on learning rate criteria.\n")
    assert len(run([spec]).failed) == 1


def test_matlab_line_and_a_later_step_that_failed_is_done_with_a_warning(tmp_path: Path) -> None:
    listener = Listener()
    assert run([matlab_spec(tmp_path, f"{PRINTS_SUCCESS}; exit 5")], listener).finished == ("t",)
    (note,) = listener.all_of(Noted)
    assert note.is_warning
    assert "exit status 5" in note.text


def test_matlab_pipe_into_another_file_is_kept(tmp_path: Path) -> None:
    spec = matlab_spec(tmp_path, PRINTS_SUCCESS)
    spec["command"] = spec["command"].replace(spec["outfile"], f"{tmp_path}/other.out")
    assert run([spec]).finished == ("t",)
    assert "Epoch:1\n" in (tmp_path / "other.out").read_text()
