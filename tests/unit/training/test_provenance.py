"""``provenance.json``: with what a training was done."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from lfadsq.training.program import run
from lfadsq.training.provenance import ProvenanceRecord

Write = Callable[..., Path]


def starts(path: Path) -> list[dict[str, Any]]:
    stored = json.loads(path.read_text())
    assert stored["version"] == 1
    found: list[dict[str, Any]] = stored["starts"]
    return found


def record(path: Path, file: Path, step: int = 0) -> None:
    provenance = ProvenanceRecord(path)
    provenance.begin(step=step, device="CPU:0", flags={"seed": 3, "gen_dim": 4}, files=[file])
    provenance.end(completely=True)


@pytest.mark.slow
def test_a_training_records_itself(flags: dict[str, Any], tmp_path: Path) -> None:
    for _ in range(2):  # the second finds it finished, and begins nothing
        assert run({**flags, "seed": None}, lambda line: None) == 0
    (entry,) = starts(tmp_path / "out" / "provenance.json")
    for package in ("lfadsq", "numpy", "h5py"):
        assert entry["versions"][package] == version(package)
    assert {"python", "tensorflow"} <= set(entry["versions"])
    assert (entry["step"], entry["device"]) == (0, "CPU:0")
    recorded = json.loads((tmp_path / "out" / "hyperparameters-0.txt").read_text())
    assert entry["flags"] == recorded
    assert entry["seed"] == recorded["seed"]
    data = tmp_path / "in" / "lfads_dataset001.h5"
    assert entry["data"] == [
        {
            "file": data.name,
            "path": str(data),
            "bytes": data.stat().st_size,
            "sha256": hashlib.sha256(data.read_bytes()).hexdigest(),
        }
    ]


def test_every_start_adds_an_entry_and_other_data_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, file = tmp_path / "provenance.json", tmp_path / "lfads_a.h5"
    file.write_bytes(b"one")
    record(path, file)
    record(path, file, step=10)
    assert not caplog.records
    file.write_bytes(b"two")
    record(path, file, step=20)
    (warned,) = caplog.records
    assert warned.levelno == logging.WARNING
    assert "lfads_a.h5" in warned.getMessage()
    assert "--lfads_save_dir" in warned.getMessage()
    caplog.clear()
    # Of what it has been trained on since, nobody needs to be warned again.
    record(path, file, step=30)
    assert not caplog.records
    assert [entry["step"] for entry in starts(path)] == [0, 10, 20, 30]


def test_a_new_training_on_other_data_is_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, file = tmp_path / "provenance.json", tmp_path / "lfads_a.h5"
    for content in (b"one", b"two"):
        file.write_bytes(content)
        record(path, file, step=0)
    assert not caplog.records


def test_a_process_that_must_end_does_not_wait_for_the_hashes(tmp_path: Path) -> None:
    path, file = tmp_path / "provenance.json", tmp_path / "lfads_a.h5"
    with file.open("wb") as stream:
        stream.truncate(2**36)  # minutes to read
    provenance = ProvenanceRecord(path)
    provenance.begin(step=0, device="CPU:0", flags={"seed": 3}, files=[file])
    provenance.end(completely=False)
    (entry,) = starts(path)
    assert entry["data"][0]["sha256"] is None
    assert entry["data"][0]["bytes"] == 2**36


@pytest.mark.parametrize("text", ["{", '{"version": 2, "starts": []}', '{"version": 1}', "[]"])
def test_a_file_of_another_version_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    path, file = tmp_path / "provenance.json", tmp_path / "lfads_a.h5"
    file.write_bytes(b"one")
    path.write_text(text)
    record(path, file)
    assert path.read_text() == text
    assert "is left as it is" in caplog.text
