"""What people want while no queue lives, or of one that dies before it obeys, is not lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lfadsq.queue.control import ControlFolder
from lfadsq.queue.records import iso_time
from lfadsq.queue.status import Snapshot
from lfadsq.queue.wishes import Wishes

from .monkey import Chaos, Plan
from .processes import find_processes, wait_for
from .verdict import attempts_of

CHANGES: dict[str, Callable[[Wishes], Wishes]] = {
    "cancelled by user": lambda wishes: wishes.with_cancelled(["000 saves long train"]),
    "paused by user": lambda wishes: wishes.with_paused(now=True),
}

CAUSES = ["cancelled by user", pytest.param("paused by user", marks=pytest.mark.slow)]


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    """One run that does not end by itself, and takes its time to save when it is ended."""
    plan = Plan(seed=1, num_runs=1, kinds=("saves long",), num_steps_between=(9999, 9999))
    chaos = Chaos(tmp_path, plan)
    yield chaos
    chaos.close()


def wait_for_steps(chaos: Chaos) -> None:
    wait_for(lambda: chaos.runs[0].lines("steps"), "the first step")


def is_training(chaos: Chaos) -> bool:
    return any(found.role == "trainer" for found in find_processes(chaos.chaos_id))


def wait_for_end(chaos: Chaos, cause: str) -> None:
    wait_for(lambda: not is_training(chaos), "the end of the task")
    wait_for(lambda: attempts_of(chaos.runs[0])[-1]["outcome"], "its end in the record")
    assert attempts_of(chaos.runs[0])[-1]["cause"] == cause
    assert not chaos.runs[0].donefile.exists()


def snapshot_of(chaos: Chaos, pid: int) -> Snapshot | None:
    found = [snapshot for snapshot, _ in chaos.control.queues() if snapshot.pid == pid]
    return found[0] if found else None


def wait_until_seen(chaos: Chaos, pid: int, what: Callable[[Snapshot], bool]) -> None:
    def is_seen() -> bool:
        snapshot = snapshot_of(chaos, pid)
        return snapshot is not None and what(snapshot)

    wait_for(is_seen, "its news in a queue's own words")


@pytest.mark.parametrize("cause", CAUSES)
def test_the_next_queue_ends_a_task_that_is_not_wanted_any_more(chaos: Chaos, cause: str) -> None:
    first = chaos.start_queue(detach=True)
    wait_for_steps(chaos)
    first.send_signal(signal.SIGTERM)
    first.wait(20)
    assert is_training(chaos)
    chaos.control.edit(CHANGES[cause])
    second = chaos.start_queue()
    wait_for_end(chaos, cause)
    if cause == "cancelled by user":
        assert second.wait(20) in (0, 1)


def test_the_next_queue_closes_the_books_of_a_cancelled_task(chaos: Chaos) -> None:
    queue = chaos.start_queue()
    wait_for_steps(chaos)
    wait_for(lambda: attempts_of(chaos.runs[0]), "the record")
    chaos.cut_power()
    queue.wait()
    chaos.control.edit(CHANGES["cancelled by user"])
    assert chaos.start_queue().wait(20) in (0, 1)
    assert [attempt["outcome"] for attempt in attempts_of(chaos.runs[0])] == ["lost"]


@pytest.mark.parametrize("cause", CAUSES)
def test_a_wish_outlives_the_queue_that_was_to_obey_it(chaos: Chaos, cause: str) -> None:
    """The other queue has seen it, and left it to the one whose task it is."""
    owner = chaos.start_queue()
    wait_for_steps(chaos)
    other = chaos.start_queue()
    wait_until_seen(chaos, other.pid, lambda seen: seen.tasks[0].state == "elsewhere")
    owner.send_signal(signal.SIGSTOP)
    chaos.control.edit(CHANGES[cause])
    enough = iso_time(time.time() + 0.5)
    wait_until_seen(chaos, other.pid, lambda seen: seen.updated_at > enough)
    owner.kill()
    wait_for_end(chaos, cause)


@pytest.mark.slow
def test_a_task_of_a_queue_that_died_meanwhile_ends_with_the_other(chaos: Chaos) -> None:
    owner = chaos.start_queue()
    wait_for_steps(chaos)
    other = chaos.start_queue(detach=False, grace_s=10.0)
    wait_until_seen(chaos, other.pid, lambda seen: seen.tasks[0].state == "elsewhere")
    owner.kill()
    enough = iso_time(time.time() + 1.0)
    wait_until_seen(chaos, other.pid, lambda seen: seen.updated_at > enough)
    other.send_signal(signal.SIGTERM)
    other.wait(20)
    wait_for_end(chaos, "queue stopped")


def test_a_task_that_is_wanted_again_before_it_has_ended_goes_on(chaos: Chaos) -> None:
    queue = chaos.start_queue(grace_s=10.0)
    (run,) = chaos.runs
    wait_for_steps(chaos)
    chaos.control.edit(lambda wishes: wishes.with_cancelled([run.name]))
    wait_until_seen(chaos, queue.pid, lambda seen: "is being ended" in seen.tasks[0].reason)
    chaos.control.edit(lambda wishes: wishes.with_retried({run.name: 1}))
    wait_for(lambda: len(run.lines("starts")) == 2, "its second start")
    assert queue.poll() is None


def test_a_queue_elsewhere_in_the_collection_leaves_the_task_of_a_live_one_alone(
    chaos: Chaos, tmp_path: Path
) -> None:
    """It knows nothing of the other queue but that it holds the lock."""
    owner = chaos.start_queue()
    wait_for_steps(chaos)
    apart = ControlFolder.of(tmp_path / "apart")
    apart.paths.folder.parent.mkdir()
    other = chaos.start_queue(detach=False, collection=str(apart.paths.folder.parent))
    wait_for(
        lambda: any(seen.tasks[0].state == "elsewhere" for seen, _ in apart.queues()),
        "its news in the other queue's words",
    )
    other.send_signal(signal.SIGTERM)
    other.wait(20)
    assert is_training(chaos)
    assert [attempt["outcome"] for attempt in attempts_of(chaos.runs[0])] == [None]
    assert owner.poll() is None


def test_wishes_that_cannot_be_read_for_a_moment_are_read_afterwards(
    chaos: Chaos, tmp_path: Path
) -> None:
    queue = chaos.start_queue()
    wait_for_steps(chaos)
    folder, aside = chaos.control.paths.folder, tmp_path / "aside"
    folder.rename(aside)
    folder.touch()
    said = tmp_path / "queues/1/stderr"
    wait_for(lambda: "wishes.json" in said.read_text(), "its complaint")
    folder.unlink()
    aside.rename(folder)
    assert queue.poll() is None
    assert is_training(chaos)
    chaos.control.edit(CHANGES["cancelled by user"])
    wait_for_end(chaos, "cancelled by user")
