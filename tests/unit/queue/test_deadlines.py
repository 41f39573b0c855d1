"""A queue in a batch job, which ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lfadsq.errors import ConfigError
from lfadsq.queue.events import StopRequested, TaskStarted
from lfadsq.queue.locks import Journal, RunLock
from lfadsq.queue.tasks import tasks_from_specs

from .conftest import attempts_of, spec_of
from .running import Listener, run

SAVES = "trap 'echo saved; exit 12' TERM; while :; do sleep 0.05; done"


def test_what_runs_at_the_deadline_is_ended_uncharged_and_waits(tmp_path: Path) -> None:
    specs = [spec_of(tmp_path, "long", SAVES), spec_of(tmp_path, "next", "true")]
    listener = Listener()
    began_s = time.time()
    summary = run(specs, listener, max_tasks_simultaneously=1, deadline_s=began_s + 2)
    assert 2 <= time.time() - began_s < 15
    assert summary.not_started == ("long", "next")
    assert (summary.failed, summary.interrupted) == ((), ())
    (attempt,) = attempts_of(specs[0])
    assert (attempt["outcome"], attempt["cause"]) == ("interrupted", "walltime")
    assert "saved" in Path(specs[0]["outfile"]).read_text()
    assert not Path(specs[1]["outfile"]).exists()
    assert len(listener.all_of(StopRequested)) == 1


def test_nothing_starts_after_its_time_and_what_runs_goes_on(tmp_path: Path) -> None:
    specs = [spec_of(tmp_path, "a", "sleep 2.5"), spec_of(tmp_path, "b", "true")]
    listener = Listener()
    summary = run(specs, listener, max_tasks_simultaneously=1, starts_until_s=time.time() + 1.5)
    assert (summary.finished, summary.not_started) == (("a",), ("b",))
    assert [event.task.name for event in listener.all_of(TaskStarted)] == ["a"]
    summary = run(specs, starts_until_s=time.time() - 1)
    assert (summary.finished, summary.not_started) == ((), ("b",))


def test_a_queue_need_not_wait_for_what_others_work_on(tmp_path: Path) -> None:
    specs = [spec_of(tmp_path, "held", "true"), spec_of(tmp_path, "free", "true")]
    (held, _) = tasks_from_specs(specs)
    lock = RunLock.try_acquire(held.files.lock)
    assert lock is not None
    attempt = {"number": 1, "host": "far", "command": "true", "device": "cpu", "queue_id": "q"}
    lock.begin(Journal(attempt, held.name, str(held.donefile), str(held.outfile), "token"))
    try:
        summary = run(specs, waits_for_others=False)
    finally:
        lock.release()
    assert (summary.finished, summary.left) == (("free",), ("held",))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"deadline_s": "noon"}, "deadline_s is 'noon'"),
        ({"starts_until_s": True}, "starts_until_s is True"),
        ({"waits_for_others": 2}, "waits_for_others is 2"),
        ({"dry_run": True}, "dry_run cannot be without a cluster"),
        ({"no_dask": True}, "no_dask cannot be without a cluster"),
        ({"cluster_options": {"walltime": "1h"}}, "options of a cluster cannot be without"),
        ({"cluster": 3}, "cluster is 3"),
        ({"cluster": "slurm", "cluster_options": ["x"]}, "give a dict"),
        ({"cluster": "slurm", "gpu_list": [0]}, "gpu_list is [0]"),
        ({"cluster": "slurm", "detach": True}, "`lfadsq submit`"),
        ({"cluster": "slrum"}, "slurm"),
        ({"cluster": "slurm", "cluster_options": {"wall": "1h"}}, "walltime"),
    ],
)
def test_what_cannot_be_is_told_before_anything_starts(
    tmp_path: Path, arguments: dict[str, object], words: str
) -> None:
    spec = spec_of(tmp_path, "t", "true")
    with pytest.raises(ConfigError) as caught:
        run([spec], **arguments)
    assert words in str(caught.value)
    assert not Path(spec["outfile"]).exists()
