"""``lfadsq submit``."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lfadsq.cli.main import lfadsq
from lfadsq.errors import ClusterError, ConfigError, LfadsqError, QueueError, RunNotFoundError
from lfadsq.queue.clusters.seats import Seat, seat_name
from lfadsq.queue.control import ControlFolder

SBATCH = """#!/bin/sh
cat > "{folder}/submitted.sh"
[ -e "{folder}/refuses" ] && { echo 'sbatch: error: invalid partition specified: x' >&2; exit 1; }
echo 4711
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of an sbatch that keeps what it was given, and runs nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "sbatch"
    program.write_text(SBATCH.replace("{folder}", str(folder)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


def call(*words: object) -> Any:
    result = CliRunner().invoke(lfadsq, ["submit", *map(str, words)])
    if isinstance(result.exception, LfadsqError):
        raise result.exception
    return result


def said(*words: object) -> str:
    result = call(*words)
    assert result.exit_code == 0, (result.output, result.exception)
    return str(result.output)


def last_words(text: str) -> list[str]:
    return shlex.split(text.rstrip("\n").splitlines()[-1])


def test_submit_writes_submits_and_tells_how_to_watch_and_end(collection: Any, slurm: Path) -> None:
    script = collection.write_script()
    text = said(collection.folder, "--cluster", "slurm", "--partition", "gpu")
    assert "job 4711 of SLURM" in text
    where = shlex.quote(str(collection.folder))
    assert f"lfadsq queue status -C {where}" in text
    assert f"lfadsq queue stop -C {where}" in text
    written = collection.folder / "submit_lfadsqueue.sh"
    assert (slurm / "submitted.sh").read_text() == written.read_text()
    assert os.access(written, os.X_OK)
    words = last_words(written.read_text())
    assert words[-1] == str(script)
    assert "--cluster=slurm" in words
    assert "--partition=gpu" in words


def test_options_reach_the_queue_as_they_were_given_and_no_others(
    collection: Any, slurm: Path
) -> None:
    collection.write_script()
    given = [
        "--cluster=SLURM",
        "--setup=export A='x y'; echo \"$A\"",
        "--setup=module load cuda",
        "--walltime=2:00:00",
        "--share-gpus",
        "--max-tasks-per-gpu=3",
        "--requeue",
        "--notify-on=done",
        "--notify-on=failed",
        "--grace-s=5",
    ]
    said(collection.folder, *given, "--walltime-of-queue", "12h")
    text = (slurm / "submitted.sh").read_text()
    words = last_words(text)
    first = words.index("lfadsq.queue.clusters.in_job")
    queue = [word for word in words[first + 1 : words.index("--")] if "--job-" not in word]
    expected = {
        word.replace("SLURM", "slurm").replace("grace-s=5", "grace-s=5.0") for word in given
    }
    assert set(queue) == expected
    assert len(queue) == len(given)
    assert "#SBATCH -t 12:00:00" in text
    # What is for the jobs that train is not for the queue's own.
    assert "gres" not in text


def test_account_and_setup_hold_for_the_queue_too_and_its_partition_is_its_own(
    collection: Any, slurm: Path
) -> None:
    collection.write_script()
    (collection.folder / "cluster.toml").write_text(
        'account = "lab"\npartition = "gpu"\nsetup = ["module load python"]\n'
        'directives = ["--constraint=a100"]\n'
    )
    text = said(collection.folder, "--cluster", "slurm", "--dry-run")
    assert "#SBATCH -A lab" in text
    assert "module load python" in text
    assert "#SBATCH -p" not in text
    assert "a100" not in text
    text = said(collection.folder, "--cluster=slurm", "--dry-run", "--partition-of-queue=cpu")
    assert "#SBATCH -p cpu" in text


def test_dry_run_shows_exactly_what_would_be_submitted_and_does_nothing(
    collection: Any, slurm: Path
) -> None:
    collection.write_script()
    before = sorted(collection.folder.rglob("*"))
    text = said(collection.folder, "--cluster", "slurm", "--dry-run")
    told = json.loads(said(collection.folder, "--cluster", "slurm", "--dry-run", "--json"))
    assert sorted(collection.folder.rglob("*")) == before
    assert not (slurm / "submitted.sh").exists()
    assert told["text"] == text
    assert told["job_id"] is None
    said(collection.folder, "--cluster", "slurm")
    assert (slurm / "submitted.sh").read_text() == text
    checked = subprocess.run(["bash", "-n"], input=text, text=True, check=False)
    assert checked.returncode == 0


def test_write_only_submits_nothing(collection: Any, slurm: Path) -> None:
    collection.write_script()
    text = said(collection.folder, "--cluster", "slurm", "--write-only")
    assert "`sbatch submit_lfadsqueue.sh` submits it" in text
    assert (collection.folder / "submit_lfadsqueue.sh").exists()
    assert not (slurm / "submitted.sh").exists()


def test_refused_submission_leaves_the_script_of_the_living_queue_as_it_is(
    collection: Any, slurm: Path
) -> None:
    """Its next job is submitted from that script."""
    script = collection.write_script()
    said(collection.folder, "--cluster", "slurm", "--account", "lab")
    written = collection.folder / "submit_lfadsqueue.sh"
    before, inode = written.read_bytes(), written.stat().st_ino
    (slurm / "submitted.sh").unlink()
    seat = Seat.take(ControlFolder.of(collection.folder).paths, seat_name("queue", script))
    assert seat is not None
    try:
        for further in ([], ["--write-only"]):
            with pytest.raises(QueueError, match="lives already"):
                said(collection.folder, "--cluster", "slurm", "--account", "other", *further)
    finally:
        seat.leave()
    assert written.read_bytes() == before
    assert written.stat().st_ino == inode
    assert not (slurm / "submitted.sh").exists()
    said(collection.folder, "--cluster", "slurm", "--account", "other")
    assert "#SBATCH -A other" in written.read_text()


def test_json_tells_job_and_places(collection: Any, slurm: Path) -> None:
    script = collection.write_script()
    told = json.loads(said(script, "--cluster", "slurm", "--json"))
    assert told["job_id"] == "4711"
    assert told["script"] == str(script)
    assert Path(told["job_script"]).read_text() == told["text"]
    assert Path(told["log_folder"]).is_dir()


def test_refusal_comes_in_the_words_of_the_batch_system(collection: Any, slurm: Path) -> None:
    collection.write_script()
    (slurm / "refuses").touch()
    with pytest.raises(ClusterError, match="invalid partition specified"):
        call(collection.folder, "--cluster", "slurm")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "batch system"),
        (["--cluster", "tls://10.0.0.1:8786"], "tls://10.0.0.1:8786 is none"),
        (["--cluster", "slrum"], "slrum"),
        (["--cluster", "slurm", "--no-dask"], "no-dask"),
        (["--cluster", "slurm", "--ignore-donefile"], "ignore-donefile"),
        (["--cluster", "slurm", "--walltime-of-queue", "soon"], "walltime-of-queue is 'soon'"),
        (["--cluster", "slurm", "--partition-of-queue", "a b"], "partition-of-queue is 'a b'"),
        (["--cluster", "slurm", "--walltime", "soon"], "walltime"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    collection: Any, slurm: Path, words: list[str], problem: str
) -> None:
    collection.write_script()
    before = sorted(collection.folder.rglob("*"))
    with pytest.raises(ConfigError, match=problem):
        call(collection.folder, *words)
    assert sorted(collection.folder.rglob("*")) == before
    assert not (slurm / "submitted.sh").exists()


def test_folder_without_a_queue_is_refused(tmp_path: Path, slurm: Path) -> None:
    with pytest.raises(RunNotFoundError):
        call(tmp_path, "--cluster", "slurm")
