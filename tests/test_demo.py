"""The demonstration, whole: it takes minutes, so it runs only when asked for (`-m slow`)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import matplotlib.image
import pytest

from lfadsq import RunCollection

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


def demo(root, *options):
    ended = subprocess.run(
        [sys.executable, "-m", "lfadsq", "demo", "--root", str(root), *options],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


def test_interrupted_it_leaves_nothing_running_and_no_run_done(root):
    process = subprocess.Popen(
        [sys.executable, "-m", "lfadsq", "demo", "--root", str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not list(root.glob("runs/*/*/*/lfadsOutput/fitlog.csv")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    left = subprocess.run(["pgrep", "-f", str(root)], capture_output=True, text=True, check=False)
    assert left.stdout == ""
    assert not list(root.rglob("lfads.done"))


def test_it_goes_on_and_infers_the_rates(root):
    result = json.loads(demo(root, "--json").stdout)
    assert len(result["runs"]) == 4
    for run in result["runs"]:
        assert run["r2_valid"] > 0.85, run
    assert matplotlib.image.imread(result["figure"]).shape[0] > 300

    # A comparison finds the same of the same files, and nothing wrong with healthy runs.
    comparison = RunCollection.open(root / "runs" / "lorenz").compare(by="truth_log_r2")
    compared = {row.name: row for row in comparison.rows}
    for run in result["runs"]:
        row = compared[run["run"]]
        assert row.scores.truth_log_r2.value == pytest.approx(run["r2_valid"], abs=1e-3)
        assert row.valid_cost == run["best_valid_cost"]
        assert 0.3 < row.scores.bits_per_spike.value < 0.6
    best = max(result["runs"], key=lambda run: run["r2_valid"])
    assert [row.name for row in comparison.best] == [best["run"]]
    assert not comparison.suspects


def test_again_it_finds_everything_done(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("lfads*")}
    ended = demo(root)
    assert "4 prepared, 4 already trained" in ended.stdout
    for name in ("epochs", "best valid cost", "R2", "Folder:", "Figure:"):
        assert name in ended.stdout
    assert {path: path.stat().st_mtime_ns for path in root.rglob("lfads*")} == before
