"""Whether a batch system is there, before anything is asked of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lfadsq.errors import ClusterError
from lfadsq.queue import run_lfads_queue
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.submitting import check_system

from .standin_sbatch import write_collection

ARRAYS = {
    "slurm": (("sbatch", "squeue", "scancel"), "94", "94", "scancel 94"),
    "pbs": (("qsub", "qstat", "qdel"), "94[].srv", "94[].srv", "qdel '94[].srv'"),
    "oar": (
        ("oarsub", "oarstat", "oardel"),
        "OAR_JOB_ID=95\nOAR_ARRAY_ID=94",
        "array:94",
        "oardel --array 94",
    ),
}
"""Commands, what the first of them says, the id that is made of that, and how it is cancelled."""


@pytest.fixture(params=list(ARRAYS))
def array(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str, str]:
    """Put a batch system on PATH that runs nothing."""
    commands, says, job_id, cancel = ARRAYS[request.param]
    for name in commands:
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{says}'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return request.param, job_id, cancel


def submit(script: Path, system: str, *argv: str) -> None:
    specs = json.loads((script.parent / "specs.json").read_text())
    words = ["--cluster", system, "--no-dask", "--max-jobs", "2", *argv]
    run_lfads_queue("q", None, specs, script=script, argv=words)


def test_an_array_says_what_to_do_next(
    array: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system, job_id, cancel = array
    script = write_collection(tmp_path / "collection", *["true"] * 3)
    submit(script, system)
    said = capsys.readouterr().err
    assert f"has 2 jobs for 3 tasks: {job_id}\n" in said
    for command in (
        f"lfadsq queue status -C {script.parent}",
        f"lfadsq queue stop -C {script.parent}",
        cancel,
    ):
        assert f" {command}\n" in said


def test_a_program_is_told_the_array_and_nothing_else(
    array: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system, job_id, _ = array
    script = write_collection(tmp_path / "collection", "true")
    submit(script, system, "--json", "--dry-run")
    assert json.loads(capsys.readouterr().out)["job_id"] is None
    submit(script, system, "--json")
    assert json.loads(capsys.readouterr().out)["job_id"] == job_id
    (script.parent / "run0/lfads.done").touch()
    submit(script, system, "--json")
    assert json.loads(capsys.readouterr().out)["job_id"] is None


@pytest.mark.parametrize(
    ("system", "beside", "words"),
    [
        ("pbs", ("qconf",), "the qsub of this machine belongs to Grid Engine"),
        ("sge", ("pbsnodes",), "the qsub of this machine belongs to PBS"),
        ("pbs", ("pbsnodes",), ""),
        ("sge", ("qconf",), ""),
        ("pbs", (), ""),
        ("pbs", ("qconf", "pbsnodes"), ""),
    ],
)
def test_the_qsub_of_another_batch_system_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    beside: tuple[str, ...],
    words: str,
) -> None:
    for name in ("qsub", "qstat", "qdel", *beside):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    options = ClusterOptions(system, cores_per_job=1)
    if not words:
        check_system(options, is_dry=False)
        return
    with pytest.raises(ClusterError) as caught:
        check_system(options, is_dry=False)
    assert words.lower() in str(caught.value).lower()
    check_system(options, is_dry=True)
