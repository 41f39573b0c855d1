"""``progress.json``, for programs that watch many trainings."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from lfadsq.training.program import run
from lfadsq.training.status import StatusFile, TrainingState, TrainingStatus, read_status

STATUS = TrainingStatus(
    TrainingState.TRAINING,
    num_epochs=3,
    step=9,
    learning_rate=0.01,
    total=(9.5, math.nan),
    lowest_valid_total=math.inf,
    steps_per_s=12.5,
    remaining_s=60.0,
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    StatusFile(path).write(STATUS)
    found = read_status(path)
    assert found is not None
    assert (found.host, found.pid) == (os.uname().nodename, os.getpid())
    age = datetime.now(timezone.utc) - datetime.fromisoformat(found.updated)
    assert timedelta(seconds=-1) < age < timedelta(minutes=1)
    blank = replace(found, host="", pid=0, updated="")
    assert blank == replace(STATUS, total=(9.5, None), lowest_valid_total=None)


def test_every_json_reader_takes_it(tmp_path: Path) -> None:
    """NaN and Infinity are none of JSON's words."""
    path = tmp_path / "progress.json"
    StatusFile(path).write(STATUS)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    stored = json.loads(path.read_text(), parse_constant=refuse)
    assert stored["version"] == 1
    assert stored["state"] == "training"
    assert stored["total"] == [9.5, None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"version": 2}',
        '{"version": 1}',
        '{"version": 1, "state": "asleep"}',
        "\xff",
    ],
)
def test_what_cannot_be_understood_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "progress.json"
    path.write_text(text, encoding="latin-1")
    assert read_status(path) is None
    assert read_status(tmp_path / "missing.json") is None


def test_fields_of_later_versions_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    text = STATUS.to_json()
    path.write_text(text.replace('"version": 1', '"version": 1, "mood": "good"'))
    assert read_status(path) is not None


def test_quick_epochs_are_not_all_written_but_the_end_is(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "progress.json"
    file = StatusFile(path, lambda: now[0])
    seen = []
    for epoch in range(10):
        now[0] += 0.3
        file.write(replace(STATUS, num_epochs=epoch))
        found = read_status(path)
        assert found is not None
        seen.append(found.num_epochs)
    assert seen == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8]
    file.write(replace(STATUS, state=TrainingState.STOPPED, num_epochs=9))
    found = read_status(path)
    assert found is not None
    assert (found.state, found.num_epochs) == (TrainingState.STOPPED, 9)


def test_a_training_leaves_it_finished_and_says_how_fast_it_goes(
    flags: dict[str, Any], tmp_path: Path
) -> None:
    lines: list[str] = []
    assert run(flags, lines.append) == 0
    found = read_status(tmp_path / "out" / "progress.json")
    assert found is not None
    log = (tmp_path / "out" / "fitlog.csv").read_text().splitlines()
    assert found.state is TrainingState.FINISHED
    assert found.num_epochs == len(log)
    assert found.step == int(log[-1].split(",")[3])
    assert f"{found.total[1]:.2f}" == log[-1].replace(" ", "").split(",")[6]
    assert found.learning_rate < flags["learning_rate_stop"]
    assert (found.drops_left, found.epochs_left) == (0, 0.0)
    assert found.steps_per_s is not None
    paces = [line for line in lines if "steps/s" in line]
    # None after the last epoch: nothing is left then.
    assert len(paces) == len(log) - 1
    assert paces[0].endswith("left (rate 0.01, 1 drop to go)")
    assert "at least" in paces[0]
