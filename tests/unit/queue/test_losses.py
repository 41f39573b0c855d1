"""Tasks whose machine is gone, or takes nothing more."""

from __future__ import annotations

import pytest

from lfadsq.queue.events import Noted, TaskFailed, TaskInterrupted
from lfadsq.queue.execution import Result
from lfadsq.queue.ledger import Ledger
from lfadsq.queue.peaks import PeakBook
from lfadsq.queue.places import Reservation
from lfadsq.queue.records import Cause
from lfadsq.queue.status import TaskState
from lfadsq.queue.tasks import Task

MACHINE = "GPU-1@lfadsq-1"


@pytest.fixture
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    folder = tmp_path_factory.mktemp("t")
    ledger = Ledger(PeakBook(), ignore_donefile=False)
    ledger.add([Task("t", "true", 10.0, folder / "lfads.out", folder / "lfads.done")])
    return ledger


def lose(ledger: Ledger, cause: Cause | None) -> list[object]:
    ledger.start("t", Reservation(MACHINE, 10.0))
    return list(ledger.ended("t", Result("lost", problem="node7 is gone", cause=cause)))


@pytest.mark.parametrize("cause", [Cause.PREEMPTED, Cause.WALLTIME])
def test_what_a_batch_system_takes_away_is_never_charged(ledger: Ledger, cause: Cause) -> None:
    for _ in range(20):
        interrupted, noted = lose(ledger, cause)
        assert isinstance(interrupted, TaskInterrupted)
        assert interrupted.will_go_on
        assert isinstance(noted, Noted)
        assert noted.text == f"t: node7 is gone ({cause.value}); it goes on elsewhere"
        assert ledger["t"].state is TaskState.WAITING
        assert "t" in ledger.line


def test_a_task_that_kills_one_machine_after_the_other_fails(ledger: Ledger) -> None:
    for _ in range(3):
        assert len(lose(ledger, None)) == 2
    (failed,) = lose(ledger, Cause.NODE_LOST)
    assert isinstance(failed, TaskFailed)
    assert failed.failure.cause is Cause.NODE_LOST
    assert "node7 is gone" in failed.failure.problem
    assert "--memory-per-job" in failed.failure.remedy
    assert "t" not in ledger.line


def test_what_was_not_begun_rests_a_moment(ledger: Ledger) -> None:
    ledger.start("t", Reservation(MACHINE, 10.0))
    assert ledger.ended("t", Result("returned", problem="node7 takes nothing more")) == []
    assert ledger["t"].state is TaskState.WAITING
    assert "t" not in ledger.line
    at_s = ledger.next_retry_s()
    assert at_s is not None
    assert ledger.wake(at_s + 0.1)
    assert not ledger["t"].failed
