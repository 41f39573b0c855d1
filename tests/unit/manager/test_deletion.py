"""Deleting what training wrote: what goes, what stays, and what is refused."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from lfadsq import RunSpec
from lfadsq.errors import ConfigError, RunError, RunNotFoundError, StorageError
from lfadsq.manager import deletion
from lfadsq.queue.locks import Journal, RunLock, read_journal
from lfadsq.queue.tasks import TaskFiles

SEPARATORS = "a\nb"


@pytest.fixture
def runs(lab):
    lab.record()
    runs = lab.runs(*[lab_params(c_gen_dim=dim) for dim in (1, 2)], specs=None)
    runs.prepare_for_lfads()
    for run in runs.runs:
        train(run)
    return runs


def lab_params(**changes):
    from lfadsq import RunParams

    return RunParams(c_batch_size=5, **changes)


def train(run, state="finished", **told):
    """Leave what a queue and a training do."""
    output = run.paths.output
    output.log_dir.mkdir(parents=True)
    (output.log_dir / f"events {SEPARATORS}").write_text("events", encoding="utf-8")
    output.fit_log().write_text("x" * 3_000_000, encoding="utf-8")
    told = {"host": socket.gethostname(), "pid": 1, "updated": "2018-01-31T00:00:00+00:00"} | told
    output.progress.write_text(json.dumps({"state": state, **told}), encoding="utf-8")
    for marker in (run.paths.done, run.paths.posterior_mean_done):
        marker.touch()
        TaskFiles(marker).record.write_text("{}", encoding="utf-8")
    damaged = TaskFiles(run.paths.done).record
    damaged.with_name(f"{damaged.name}.damaged").write_text("", encoding="utf-8")
    run.paths.log.write_text("log", encoding="utf-8")
    run.paths.posterior_mean_log.write_text("log", encoding="utf-8")


def names_in(run):
    return {path.name for path in run.path.iterdir()}


PREPARED = {
    "lfadsInput",
    "lfads_train.sh",
    "lfads_posterior_mean_sample.sh",
    "lfads_write_model_params.sh",
}
LEFT = PREPARED | {"lfads.lock"}


def test_only_what_training_wrote_is_deleted(runs, tree):
    data = {path: text for path, text in tree(runs.path).items() if path.startswith("data_")}
    assert runs.delete_lfads_output(confirmed=True) == 2
    for run in runs.runs:
        assert names_in(run) == LEFT
        assert run.paths.input_h5("dataset001").exists()
    now = tree(runs.path)
    assert {path: now[path] for path in data} == data
    assert runs.delete_lfads_output(confirmed=True) == 0
    runs.prepare_for_lfads()
    assert len(runs.get_task_specs()) == 2


def test_single_runs_are_deleted(runs, lab):
    first, second = runs.runs
    assert first.delete_lfads_output(confirmed=True)
    assert not first.delete_lfads_output(confirmed=True)
    assert second.is_done
    train(first)
    assert runs.delete_lfads_output(runs.find_runs(c_gen_dim=2), confirmed=True) == 1
    assert (first.is_done, second.is_done) == (True, False)
    other = lab.runs(lab_params(), specs=[RunSpec("x", lab.datasets, 0)], name="other").runs
    with pytest.raises(RunNotFoundError, match="no run of runs"):
        runs.delete_lfads_output(other, confirmed=True)


def test_without_a_terminal_nothing_is_deleted_and_it_says_how(runs, tree, monkeypatch):
    before = tree(runs.path)
    words = r"(?s)what 2 runs wrote, 2 of them finished: 6\.0 MB.*confirmed=True"
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        with pytest.raises(ConfigError, match=words):
            runs.delete_lfads_output()
    assert tree(runs.path) == before


def test_on_a_terminal_it_asks_and_obeys(runs):
    """Twice in one process: first the answer is no, then yes."""
    code = f"""
from pathlib import Path
from lfadsq.manager.deletion import delete_lfads_output
from lfadsq.paths import RunPaths
folder = Path({str(runs.path)!r})
runs = [RunPaths(path) for path in folder.glob("param_*/*")]
print(delete_lfads_output(runs, folder), len(list(folder.glob("param_*/*/lfads.done"))))
print(delete_lfads_output(runs, folder), len(list(folder.glob("param_*/*/lfads.done"))))
"""
    terminal, other_end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=other_end,
        stderr=other_end,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(other_end)
        shown = ""
        for answer in ("\n", "y\n"):
            shown += read_until(terminal, "[y/N]")
            os.write(terminal, answer.encode())
        printed, _ = process.communicate(timeout=60)
        os.close(terminal)
    assert printed.split() == ["0", "2", "2", "0"]
    assert "2 of them finished: 6.0 MB" in shown
    assert str(runs.runs[0].path) in shown


def read_until(terminal, words):
    shown = ""
    deadline_s = time.monotonic() + 60
    while words not in shown:
        assert time.monotonic() < deadline_s, shown
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 4096).decode()
    return shown


# --- links and other hostile things ---------------------------------------------------------------


def test_links_are_removed_and_never_followed(runs, lab, tree):
    outside = lab.root / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "kept").write_text("kept", encoding="utf-8")
    (outside / "deep").chmod(0o555)
    before = tree(outside)
    first, second = runs.runs
    for name in ("folder", "-rf", SEPARATORS, "$(touch x)"):
        (first.paths.lfads_output / name).symlink_to(outside / "deep")
    (first.paths.lfads_output / "file").symlink_to(outside / "deep" / "kept")
    for path in (second.paths.done, second.paths.log):
        path.unlink()
        path.symlink_to(outside / "deep" / "kept")
    remove(second.paths.lfads_output)
    second.paths.lfads_output.symlink_to(outside)
    assert runs.delete_lfads_output(confirmed=True) == 2
    assert tree(outside) == before
    assert (outside / "deep").stat().st_mode & 0o777 == 0o555
    assert names_in(first) == names_in(second) == LEFT


def remove(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()


def test_a_lock_that_is_a_link_is_not_written_through(runs, lab):
    kept = lab.root / "kept"
    kept.write_text("kept", encoding="utf-8")
    (run, _) = runs.runs
    TaskFiles(run.paths.done).lock.symlink_to(kept)
    with pytest.raises(StorageError, match=r"lfads\.lock"):
        run.delete_lfads_output(confirmed=True)
    assert kept.read_text(encoding="utf-8") == "kept"
    assert run.is_done


def test_a_run_behind_a_link_out_of_the_collection_is_refused(runs, lab):
    run, other = runs.runs
    outside = lab.root / "outside"
    run.path.rename(outside)
    run.path.symlink_to(outside)
    with pytest.raises(RunError, match=r"leads out of the collection, to .*outside; nothing"):
        runs.delete_lfads_output(confirmed=True)
    assert run.is_done
    assert other.is_done


def test_a_collection_reached_through_a_link_is_fine(runs, lab):
    real = lab.root / "real"
    runs.path.rename(real)
    runs.path.symlink_to(real)
    assert runs.delete_lfads_output(confirmed=True) == 2
    assert names_in(runs.runs[0]) == LEFT


def test_what_was_made_read_only_goes_too(runs):
    (run, _) = runs.runs
    run.paths.output.fit_log().chmod(0o400)
    run.paths.output.log_dir.chmod(0o500)
    run.paths.lfads_output.chmod(0o500)
    assert run.delete_lfads_output(confirmed=True)
    assert names_in(run) == LEFT


# --- trainings ------------------------------------------------------------------------------------


def test_a_run_that_a_queue_trains_is_refused_and_with_it_all(runs, tree):
    first, second = runs.runs
    lock = RunLock.try_acquire(TaskFiles(second.paths.done).lock)
    assert lock is not None
    try:
        before = tree(runs.path)
        with pytest.raises(RunError, match=f"being trained: .*{second.path.parent.name}"):
            runs.delete_lfads_output(confirmed=True)
        assert tree(runs.path) == before
    finally:
        lock.release()
    assert first.is_done
    assert runs.delete_lfads_output(confirmed=True) == 2


def test_a_training_that_begins_while_it_asks_is_not_disturbed(runs, monkeypatch):
    first, second = runs.runs
    locks = []

    def answer(outputs):
        locks.append(RunLock.try_acquire(TaskFiles(second.paths.done).lock))
        return True

    monkeypatch.setattr(deletion, "_ask", answer)
    with pytest.raises(RunError, match="being trained by now"):
        runs.delete_lfads_output()
    locks[0].release()
    assert first.is_done
    assert second.is_done
    assert runs.delete_lfads_output(confirmed=True) == 2  # no lock is left behind


@pytest.mark.parametrize(
    ("state", "host", "pid", "age", "is_refused"),
    [
        ("training", None, os.getpid(), timedelta(0), True),
        ("training", None, os.getpid(), timedelta(days=9999), False),  # another process had it
        ("training", None, 2**22 + 1, timedelta(0), False),
        ("stopped", None, os.getpid(), timedelta(0), False),
        ("training", "another", 1, timedelta(minutes=1), True),
        ("training", "another", 1, timedelta(hours=1), False),
    ],
    ids=["here", "reborn", "gone", "stopped", "elsewhere", "silent elsewhere"],
)
def test_a_training_by_hand_holds_no_lock_but_is_seen(runs, state, host, pid, age, is_refused):
    (run, _) = runs.runs
    told = {
        "state": state,
        "host": host or socket.gethostname(),
        "pid": pid,
        "updated": (datetime.now(timezone.utc) - age).isoformat(),
        "epoch_s": 1.5,
    }
    run.paths.output.progress.write_text(json.dumps(told), encoding="utf-8")
    if is_refused:
        with pytest.raises(RunError, match="being trained"):
            run.delete_lfads_output(confirmed=True)
    else:
        assert run.delete_lfads_output(confirmed=True)


@pytest.mark.parametrize("text", ["", "[]", '{"state": "training"}', '{"state": "training", "pid"'])
def test_a_damaged_progress_file_is_no_obstacle(runs, text):
    (run, _) = runs.runs
    run.paths.output.progress.write_text(text, encoding="utf-8")
    assert run.delete_lfads_output(confirmed=True)


def test_the_journal_of_a_killed_queue_is_not_judged_afterwards(runs):
    """Its task ended well, and the next queue would mark the run done, without its output."""
    (run, _) = runs.runs
    path = TaskFiles(run.paths.done).lock
    lock = RunLock.try_acquire(path)
    assert lock is not None
    lock.begin(Journal({"number": 1}, "task", str(run.paths.done), str(run.paths.log), "token"))
    os.write(lock.descriptor, b"pid 1\nexit 0\n")
    lock.release()
    assert read_journal(path).exit_status == 0
    run.delete_lfads_output(confirmed=True)
    assert read_journal(path) == Journal()


# --- failures and interruptions -------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(16, "Device or resource busy"), KeyboardInterrupt()])
def test_a_run_that_cannot_be_taken_apart_is_as_before(runs, tree, monkeypatch, error):
    (run, _) = runs.runs
    rename = Path.rename

    def failing(path, target):
        if path.name == "lfadsOutput" and target.parent.name.startswith(".delete"):
            raise error
        return rename(path, target)

    before = tree(run.path)
    monkeypatch.setattr(Path, "rename", failing)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else StorageError
    with pytest.raises(expected):
        run.delete_lfads_output(confirmed=True)
    now = tree(run.path)
    assert now.pop("lfads.lock")[0] == b""
    assert now == before


@pytest.mark.parametrize("num_steps", range(8))
def test_killed_at_any_moment_it_is_never_done_without_output(runs, monkeypatch, num_steps):
    (run, _) = runs.runs
    rename = Path.rename
    steps = []

    class Killed(BaseException):
        pass

    def counted(path, target):
        if len(steps) == num_steps:
            raise Killed
        steps.append(path)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", counted)
    with pytest.raises(Killed):
        run.delete_lfads_output(confirmed=True)
    assert not run.is_done or run.paths.output.fit_log().exists()
    monkeypatch.undo()
    assert run.delete_lfads_output(confirmed=True)
    assert names_in(run) == LEFT


def test_what_cannot_be_removed_is_named_and_removed_the_next_time(runs, monkeypatch):
    (run, _) = runs.runs

    def busy(folder):
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr(deletion.shutil, "rmtree", busy)
    with pytest.raises(StorageError, match=r"taken out of the run, but .*delete_lfads_output\..*"):
        run.delete_lfads_output(confirmed=True)
    assert not run.is_done
    assert not run.paths.lfads_output.exists()
    monkeypatch.undo()
    assert run.delete_lfads_output(confirmed=True)
    assert names_in(run) == LEFT
