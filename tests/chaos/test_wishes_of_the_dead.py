"""What people want while no queue lives, or of one that dies before it obeys, is not lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lfadsq.queue.wishes import Wishes

from .monkey import Chaos, Plan
from .processes import Found, find_processes
from .test_chaos import wait_for
from .verdict import attempts_of


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    chaos = Chaos(
        tmp_path, Plan(seed=1, num_runs=1, kinds=("saves long",), num_steps_between=(9999, 9999))
    )
    yield chaos
    chaos.close()


def processes(chaos: Chaos, *roles: str) -> list[Found]:
    return [found for found in find_processes(chaos.chaos_id) if found.role in roles]


def leave_a_task(chaos: Chaos) -> None:
    queue = chaos.start_queue(detach=True)
    wait_for(lambda: chaos.runs[0].lines("steps"), "the first step")
    queue.send_signal(signal.SIGTERM)
    queue.wait(20)
    assert processes(chaos, "trainer")


def end_of_attempts(chaos: Chaos) -> list[tuple[str, str]]:
    return [(attempt["outcome"], attempt["cause"]) for attempt in attempts_of(chaos.runs[0])]


CHANGES: dict[str, Callable[[Wishes], Wishes]] = {
    "cancelled by user": lambda wishes: wishes.with_cancelled(["000 saves long train"]),
    "paused by user": lambda wishes: wishes.with_paused(now=True),
}


@pytest.mark.parametrize("cause", CHANGES)
def test_what_a_queue_left_behind_is_ended_by_the_next_if_nobody_wants_it_any_more(
    chaos: Chaos, cause: str
) -> None:
    leave_a_task(chaos)
    chaos.control.edit(CHANGES[cause])
    queue = chaos.start_queue()
    wait_for(lambda: not processes(chaos, "trainer"), "the end of the task", 15)
    wait_for(lambda: end_of_attempts(chaos)[-1][0], "the record", 15)
    assert end_of_attempts(chaos)[-1][1] == cause
    if "cancelled" in cause:
        assert queue.wait(20) in (0, 1)


@pytest.mark.parametrize("cause", CHANGES)
def test_a_wish_outlives_the_queue_that_was_to_obey(chaos: Chaos, cause: str) -> None:
    """The other queue has seen the wish, and left it to the one whose task it is."""
    owner = chaos.start_queue()
    wait_for(lambda: chaos.runs[0].lines("steps"), "the first step")
    chaos.start_queue()
    wait_for(lambda: len([1 for _, lives in chaos.control.queues() if lives]) == 2, "both queues")
    wait_for(
        lambda: any(
            task.state == "elsewhere"
            for snapshot, _ in chaos.control.queues()
            for task in snapshot.tasks
        ),
        "the other queue sees it",
    )
    owner.send_signal(signal.SIGSTOP)
    chaos.control.edit(CHANGES[cause])
    import time

    time.sleep(1.0)
    owner.kill()
    wait_for(lambda: not processes(chaos, "trainer"), "the end of the task", 15)
    wait_for(lambda: end_of_attempts(chaos)[-1][0], "the record", 15)
    assert end_of_attempts(chaos)[-1][1] == cause


def test_a_task_that_is_wanted_again_before_it_has_ended_goes_on(chaos: Chaos) -> None:
    queue = chaos.start_queue(grace_s=3.0)
    (run,) = chaos.runs
    wait_for(lambda: run.lines("steps"), "the first step")
    chaos.control.edit(lambda wishes: wishes.with_cancelled([run.name]))
    import time

    time.sleep(0.6)
    chaos.control.edit(lambda wishes: wishes.with_retried({run.name: 1}))
    time.sleep(0.6)
    wait_for(lambda: len(run.lines("starts")) == 2, "its second start", 15)
    assert queue.poll() is None
