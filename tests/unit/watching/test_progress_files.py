"""The small reader of ``progress.json``: what the trainer writes, and what nobody should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lfadsq.training.status import StatusFile, TrainingState, TrainingStatus
from lfadsq.watching.progress_files import read_progress


def test_it_reads_what_the_trainer_writes(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    status = TrainingStatus(
        TrainingState.STOPPED, 7, 56, 0.004, (1.5, float("nan")), lowest_valid_total=2.5,
        steps_per_s=30.0, epoch_s=0.25, remaining_s=60.0, is_lower_bound=True,
    )  # fmt: skip
    StatusFile(path).write(status)
    found = read_progress(str(path))
    assert found is not None
    assert (found.state, found.num_epochs, found.learning_rate) == ("stopped", 7, 0.004)
    assert (found.train_cost, found.valid_cost, found.lowest_valid_cost) == (1.5, None, 2.5)
    assert (found.steps_per_s, found.epoch_s, found.remaining_s) == (30.0, 0.25, 60.0)
    assert found.is_lower_bound
    assert found.host
    assert found.updated


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"version": 2, "state": "training", "num_epochs": 1}',
     '{"version": 1, "state": "training", "num_epochs": "many"}',
     '{"version": 1, "state": "training", "num_epochs": 1, "total": 3}', "\xff{"],
)  # fmt: skip
def test_what_it_does_not_understand_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "progress.json"
    path.write_text(text, encoding="latin-1")
    assert read_progress(str(path)) is None


def test_what_is_no_number_is_none(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    told = {"version": 1, "state": "training", "num_epochs": 1, "learning_rate": True}
    path.write_text(json.dumps({**told, "epoch_s": "x", "total": [float("inf"), 1]}))
    found = read_progress(str(path))
    assert found is not None
    assert (found.learning_rate, found.epoch_s, found.train_cost, found.valid_cost) == (
        None, None, None, 1.0,
    )  # fmt: skip
