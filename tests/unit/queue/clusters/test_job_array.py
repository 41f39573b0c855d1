"""Collections as job arrays: how many jobs, what each does, and who goes on."""

from __future__ import annotations

import json
import os
import shlex
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lfadsq.errors import ClusterError, ConfigError, QueueError
from lfadsq.queue.clusters.job_array import JobArray, prepare_job_array, run_job_array
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.seats import Seat, seat_name
from lfadsq.queue.clusters.systems import system_of
from lfadsq.queue.control_paths import ControlPaths

from .standin_sbatch import StandInSbatch, write_collection

OPTIONS = ClusterOptions(
    "slurm",
    walltime_s=3600,
    max_jobs=2,
    gpus_per_job=0,
    cores_per_job=1,
    setup=(f"export PYTHONPATH={shlex.quote(os.environ.get('PYTHONPATH', ''))}",),
)


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInSbatch]:
    standin = StandInSbatch(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{standin.bin}:{os.environ['PATH']}")
    yield standin
    standin.kill()


def arguments(script: Path) -> dict[str, Any]:
    specs = json.loads((script.parent / "specs.json").read_text())
    return {"queue_name": "q", "tensorboard_script": None, "task_specs": specs, "script": script}


def start(script: Path, options: ClusterOptions = OPTIONS, **wanted: Any) -> JobArray:
    return run_job_array(arguments(script), wanted, options, system_of("slurm"))


def prepared(script: Path, options: ClusterOptions = OPTIONS, **wanted: Any) -> JobArray:
    return prepare_job_array(arguments(script), wanted, options, system_of("slurm"))


def record_of(run: Path) -> list[dict[str, Any]]:
    return list(json.loads((run / "lfads.record.json").read_text())["attempts"])


# --- how many -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_done", "changes", "wanted", "num_jobs", "per_job"),
    [
        (0, {"max_jobs": 20}, {}, 7, 1),
        (5, {"max_jobs": 20}, {}, 2, 1),
        (0, {"max_jobs": 3}, {}, 3, 1),
        (7, {"max_jobs": 3}, {}, 0, 1),
        (0, {"max_jobs": 20, "cores_per_job": 4}, {}, 2, 4),
        (0, {"max_jobs": 20, "cores_per_job": 4}, {"max_tasks_simultaneously": 2}, 4, 2),
        (0, {"max_jobs": 20, "cores_per_job": 8, "gpus_per_job": 2}, {}, 4, 2),
        (0, {"max_jobs": 20, "gpus_per_job": 1}, {"max_tasks_per_gpu": 3}, 3, 3),
    ],
)
def test_jobs_are_as_many_as_what_is_left_can_use(
    tmp_path: Path,
    num_done: int,
    changes: dict[str, Any],
    wanted: dict[str, Any],
    num_jobs: int,
    per_job: int,
) -> None:
    script = write_collection(tmp_path / "c", *["true"] * 7)
    for number in range(num_done):
        (script.parent / f"run{number}/lfads.done").touch()
    before = sorted(script.parent.rglob("*"))
    array = prepared(script, replace(OPTIONS, **changes), **wanted)
    assert (array.num_left, array.num_jobs) == (7 - num_done, num_jobs)
    words = shlex.split(array.text.splitlines()[-1])
    assert f"--max-tasks-simultaneously={per_job}" in words
    assert sorted(script.parent.rglob("*")) == before


def test_jobs_that_live_count(tmp_path: Path, sbatch: StandInSbatch) -> None:
    script = write_collection(tmp_path / "c", *["true"] * 3)
    paths = ControlPaths(script.parent / ".lfadsqueue")
    seats = [Seat.take(paths, seat_name("array", script), 2)]
    assert prepared(script).num_jobs == 1
    seats.append(Seat.take(paths, seat_name("array", script), 2))
    with pytest.raises(QueueError, match=r"2 jobs of .* live already"):
        start(script)
    assert not sbatch.pids
    for seat in seats:
        assert seat is not None
        seat.leave()
    assert prepared(script).num_jobs == 2


def test_options_of_the_local_queues_reach_the_jobs(tmp_path: Path) -> None:
    script = write_collection(tmp_path / "c", *["true"] * 3)
    given = {
        **arguments(script),
        "one_task_per_gpu": False,
        "notify_command": "mail $ME",
        "notify_on": ("done",),
        "grace_s": 7.5,
        "cluster": "slurm",
    }
    array = prepare_job_array(given, {}, OPTIONS, system_of("slurm"))
    words = shlex.split(array.text.splitlines()[-1])
    for word in ("--share-gpus", "--notify-command=mail $ME", "--notify-on=done", "--grace-s=7.5"):
        assert word in words
    assert not any(word.startswith("--cluster") for word in words)


@pytest.mark.parametrize(
    "wanted", [{"gpu_list": [0]}, {"tmux": True}, {"detach": True}, {"ignore_donefile": True}]
)
def test_what_no_job_can_do_is_refused_before_anything_is_written(
    tmp_path: Path, wanted: dict[str, Any]
) -> None:
    script = write_collection(tmp_path / "c", "true")
    with pytest.raises(ConfigError, match=next(iter(wanted))):
        start(script, **wanted)
    assert not (script.parent / ".lfadsqueue").exists()


def test_jobs_that_could_start_nothing_are_refused(tmp_path: Path) -> None:
    script = write_collection(tmp_path / "c", "true")
    with pytest.raises(ConfigError, match="start nothing"):
        start(script, replace(OPTIONS, walltime_s=600, min_time_left_s=600))


def test_refusal_comes_in_the_words_of_the_batch_system(
    tmp_path: Path, sbatch: StandInSbatch
) -> None:
    script = write_collection(tmp_path / "c", "true")
    sbatch.refuse("Invalid account or account/partition combination specified")
    with pytest.raises(ClusterError, match="Invalid account"):
        start(script)


# --- what jobs do -------------------------------------------------------------------------------


def test_each_run_is_done_once_by_one_of_the_jobs(tmp_path: Path, sbatch: StandInSbatch) -> None:
    folder = tmp_path / 'it\'s "mine" $(touch hacked); &'
    names = tuple(f"run{n} $(touch hacked); '\"" for n in range(6))
    runs = [shlex.quote(str(folder / f"run{n}")) for n in range(6)]
    script = write_collection(
        folder, *[f"sleep 0.5; echo $$ >> {run}/finishes" for run in runs], names=names
    )
    array = start(script)
    assert array.job_id == "1"
    sbatch.wait(2)
    assert len(sbatch.pids) == 2
    for number in range(6):
        assert len((folder / f"run{number}/finishes").read_text().split()) == 1
        assert [a["outcome"] for a in record_of(folder / f"run{number}")] == ["succeeded"]
    queues = {record_of(folder / f"run{number}")[0]["queue_id"] for number in range(6)}
    assert len(queues) == 2
    assert not list(tmp_path.rglob("hacked"))
    assert len(sbatch.scripts) == 1


def test_job_does_not_wait_for_what_another_works_on(tmp_path: Path, sbatch: StandInSbatch) -> None:
    folder = tmp_path / "c"
    script = write_collection(
        folder, f"touch {folder}/began; while [ ! -e {folder}/go ]; do sleep 0.05; done", "true"
    )
    start(script)
    sbatch.wait_for(lambda: len(sbatch.pids) == 2 and len(sbatch.live) == 1)
    assert (folder / "run1/lfads.done").exists()
    assert not (folder / "run0/lfads.done").exists()
    (folder / "go").touch()
    sbatch.wait(2)
    assert (folder / "run0/lfads.done").exists()
    assert len(sbatch.scripts) == 1


def test_training_longer_than_a_job_goes_on_in_one_more_at_a_time(
    tmp_path: Path, sbatch: StandInSbatch
) -> None:
    folder = tmp_path / "c"
    program = (
        "cd {run}; touch steps; trap 'exit 12' TERM; while [ $(wc -l < steps) -lt 80 ]; do"
        " sleep 0.1; echo step >> steps; done"
    )
    runs = [folder / f"run{n}" for n in range(2)]
    script = write_collection(folder, *[program.format(run=run) for run in runs])
    # Time for a busy machine to start, and not enough for all steps.
    options = replace(OPTIONS, walltime_s=12, end_margin_s=4, min_time_left_s=5)
    start(script, options)
    most = 0

    def are_done() -> bool:
        nonlocal most
        most = max(most, len(sbatch.live))
        return all((run / "lfads.done").exists() for run in runs) and not sbatch.live

    sbatch.wait_for(are_done)
    assert len(sbatch.scripts) > 1
    assert all("--array" not in text for text in sbatch.scripts[1:])
    for run in runs:
        assert (run / "steps").read_text().count("step") == 80
        *pieces, last = record_of(run)
        assert {piece["outcome"] for piece in pieces} == {"interrupted"}
        assert {piece["cause"] for piece in pieces} == {"walltime"}
        assert last["outcome"] == "succeeded"
    # Those that have submitted the next may not quite have ended.
    assert most <= 4
    assert sbatch.said.count("and work is left: job") == len(sbatch.scripts) - 1


def test_array_that_is_cancelled_leaves_everything_to_the_next(
    tmp_path: Path, sbatch: StandInSbatch
) -> None:
    folder = tmp_path / "c"
    runs = [folder / f"run{n}" for n in range(2)]
    script = write_collection(
        folder,
        *[
            f"cd {run}; trap 'exit 12' TERM; touch began; while [ ! -e {folder}/go ]; do"
            " sleep 0.05; done"
            for run in runs
        ],
    )
    start(script)
    sbatch.wait_for(lambda: all((run / "began").exists() for run in runs))
    for pid in sbatch.live:
        os.kill(pid, signal.SIGTERM)
    sbatch.wait(2)
    assert len(sbatch.scripts) == 1
    for run in runs:
        (piece,) = record_of(run)
        assert (piece["state"], piece["outcome"]) == ("ended", "interrupted")
    (folder / "go").touch()
    assert start(script).num_jobs == 2
    sbatch.wait(4)
    assert all((run / "lfads.done").exists() for run in runs)
