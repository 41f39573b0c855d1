from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from lfadsq.queue.events import Failure, QueueSummary, Usage
from lfadsq.queue.records import Cause
from lfadsq.queue.summary import summary_dict, summary_text, validation_costs

LINE = (
    "epoch,{n}, step,{n}, total,9.00,{cost}, recon,7.00,6.00, kl,1.00,2.00, l2,0.5,"
    " klweight,1.00, l2weight,1.00\n"
)
FAILURE = Failure(
    "bad",
    Cause.NOT_A_NUMBER,
    "exit status 1",
    "lower the rate",
    "GPU 0",
    Path("/x/lfads.out"),
    "cost is NaN",
    "bash x",
    tried=("attempt 1: not a number",),
)
USAGE = Usage({"a": 10.0, "b": 7380.0, "c": 75.0, "bad": 1.0}, 7200.0, 0.0, 0.034)
SUMMARY = QueueSummary(
    "q", ("a", "b", "c"), ("z",), (FAILURE,), (), ("w",), 7400.0, ("gone",), ("on",), USAGE
)


def run_with(folder: Path, costs: list[str]) -> Path:
    (folder / "lfadsOutput").mkdir(parents=True)
    text = "".join(LINE.format(n=n, cost=cost) for n, cost in enumerate(costs))
    (folder / "lfadsOutput" / "fitlog.csv").write_text(text)
    return folder / "lfads.done"


def test_a_summary_says_all_that_deserves_a_look() -> None:
    assert summary_text(SUMMARY, {"a": 3.5, "b": 2.25}).splitlines() == [
        "queue q: 3 finished, 1 done before, 1 failed, 1 cancelled, 1 left running, 1 not started"
        " in 2 h 03 min",
        "  devices: 2.0 GPU hours, idle 3.4% of the time",
        "  slowest: b (2 h 03 min), c (1 min 15 s), a (10.0 s)",
        "  lowest validation cost: b (2.25)",
        "  failed: bad: not a number, exit status 1 (log: /x/lfads.out)",
        "  cancelled: gone: cancelled by user",
    ]


def test_a_queue_that_did_nothing_has_one_line() -> None:
    assert summary_text(QueueSummary("q", (), ("a",), (), (), (), 0.0)) == (
        "queue q: 0 finished, 1 done before in 0.0 s"
    )


def test_processors_are_counted_apart() -> None:
    usage = Usage({"a": 36.0}, 0.0, 36.0, None)
    text = summary_text(QueueSummary("q", ("a",), (), (), (), (), 1.0, usage=usage))
    assert "  devices: 0.01 CPU hours\n" in text


def test_a_program_gets_the_same() -> None:
    data = json.loads(json.dumps(summary_dict(SUMMARY, {"a": 3.5, "b": 2.25})))
    assert data["finished"] == ["a", "b", "c"]
    assert data["exit_status"] == 1
    assert data["cancelled"] == ["gone"]
    assert data["left"] == ["on"]
    assert (data["gpu_hours"], data["idle_fraction"]) == (2.0, 0.034)
    assert data["slowest"][0] == {"name": "b", "run_s": 7380.0}
    assert data["best"] == {"name": "b", "validation_cost": 2.25}
    (failed,) = data["failed"]
    assert failed["cause"] == "not a number"
    assert failed["tried"] == ["attempt 1: not a number"]
    assert summary_dict(SUMMARY)["best"] is None


def test_costs_are_those_of_fit_logs_that_can_be_read(tmp_path: Path) -> None:
    donefiles = {
        "good": run_with(tmp_path / "good", ["5.00", "4.00", "4.50"]),
        "better": run_with(tmp_path / "better", ["9.00", "3.00"]),
        "no validation": run_with(tmp_path / "nan", ["nan"]),
        "empty": run_with(tmp_path / "empty", []),
        "none": tmp_path / "none" / "lfads.done",
    }
    damaged = run_with(tmp_path / "damaged", [])
    (damaged.parent / "lfadsOutput" / "fitlog.csv").write_bytes(b"\xff\xfe,\n")
    donefiles["damaged"] = damaged
    folder = tmp_path / "folder" / "lfadsOutput" / "fitlog.csv"
    folder.mkdir(parents=True)
    donefiles["folder"] = tmp_path / "folder" / "lfads.done"
    assert validation_costs(donefiles) == {"good": 4.0, "better": 3.0}


def test_long_lists_are_cut_short() -> None:
    names = tuple(f"run{number}" for number in range(1000))
    lines = summary_text(replace(SUMMARY, cancelled=names)).splitlines()
    assert len(lines) < 40
    assert any("cancelled: 980 more" in line for line in lines)
    assert len(summary_dict(replace(SUMMARY, cancelled=names))["cancelled"]) == 1000
