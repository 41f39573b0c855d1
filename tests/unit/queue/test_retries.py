"""What fails, and what is tried again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lfadsq.queue.events import (
    TaskRetried,
)
from lfadsq.queue.records import Cause

from .conftest import attempts_of, spec_of
from .running import Listener, run

pytestmark = pytest.mark.usefixtures("no_delay")


def test_a_missing_module_stops_the_queue_at_once(tmp_path: Path) -> None:
    command = f"{sys.executable} -c 'import no_such_module'"
    specs = [spec_of(tmp_path, f"t{n}", command) for n in range(50)]
    summary = run(specs, max_tasks_simultaneously=1)
    assert [failure.name for failure in summary.failed] == ["t0"]
    assert len(summary.not_started) == 49
    assert summary.exit_status == 1
    assert not Path(specs[1]["outfile"]).exists()


def test_a_missing_script_of_one_run_stops_nobody(tmp_path: Path) -> None:
    bad = spec_of(tmp_path, "bad", f"bash {tmp_path}/bad/lfads_train.sh")
    summary = run([bad, spec_of(tmp_path, "good", "true")], max_tasks_simultaneously=1)
    assert summary.finished == ("good",)
    assert [failure.cause for failure in summary.failed] == [Cause.MISSING_SCRIPT]


def test_not_a_number_is_not_repeated_until_something_changes(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "t", "")
    script = tmp_path / "t/lfads_train.sh"
    script.write_text("echo 'error: NonFiniteCostError'; exit 1\n")
    spec["command"] = f"bash {script}"
    assert [f.cause for f in run([spec]).failed] == [Cause.NOT_A_NUMBER]
    (failure,) = run([spec]).failed
    assert failure.cause is Cause.NOT_A_NUMBER
    assert "the same" in failure.problem
    assert len(attempts_of(spec)) == 1
    script.write_text("true\n")
    assert run([spec]).finished == ("t",)


def test_a_crash_is_tried_again(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "t", f"mkdir {tmp_path}/once && kill -SEGV $$")
    listener = Listener()
    assert run([spec], listener).failed[0].cause is Cause.UNKNOWN  # mkdir fails the second time
    assert [a["signal"] for a in attempts_of(spec)] == ["SIGSEGV", None]
    assert len(listener.all_of(TaskRetried)) == 1
