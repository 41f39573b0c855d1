"""Whatever happens to a run, in any order: its history is legal, and success is not repeated.

Real queues on real files, forked from one process (`crashing`), with commands that take some ms.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from lfadsq.queue.control import ControlFolder
from lfadsq.queue.status import Snapshot
from lfadsq.queue.wishes import LEAVE

from .crashing import kill, processes_of

PROGRAM = Path(__file__).with_name("crashing.py")

COMMAND = (
    "exec 8>>{notes}/alone; flock -n 8 || echo two >> {notes}/overlaps;"
    " echo start >> {notes}/starts; case $(cat {notes}/mode) in"
    " good) sleep 0.02; exit 0;; bad) exit 3;;"
    # Until it is let go, or told to end: then it saves, and its status says nothing.
    " long) trap 'echo saved >> {notes}/saves; exit 0' TERM;"
    " while ! test -e {notes}/go; do sleep 0.01; done; exit 0;;"
    ' nan) echo "the cost became NaN"; exit 1;; esac'
)
SPEC = {
    "name": "train",
    "command": COMMAND,
    "memory_req": 1,
    "outfile": "{run}/lfads.out",
    "donefile": "{run}/lfads.done",
}


class Server:
    """Starts queues quickly: a process that has loaded the libraries and forks."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Dask's folder of a queue that is killed stays behind.
            env={**os.environ, "TMPDIR": str(scratch)},
        )

    def run(self, **asked: Any) -> list[int]:
        """Run queues to their end; give their statuses, negative for a signal."""
        self.start(**asked)
        return self.finish()

    def start(self, **asked: Any) -> None:
        """Start queues; `finish` must follow."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()

    def finish(self) -> list[int]:
        """Wait until the queues have ended; give their statuses."""
        assert self._process.stdout is not None
        return list(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it."""
        try:
            self._process.communicate(timeout=30)
        finally:
            # Of a test that failed, tasks may be left; of the others there is no folder any more.
            self._process.kill()
            for folder in self.scratch.iterdir():
                kill(str(folder))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("states"))
    yield server
    server.close()


def only_if(
    condition: Callable[[RunHistory], object],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a rule do nothing unless a condition holds.

    A precondition would make what is drawn depend on how far a real process has got.
    """

    def decorate(work: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(work)
        def guarded(self: RunHistory, **drawn: object) -> None:
            if condition(self):
                work(self, **drawn)

        return guarded

    return decorate


class RunHistory(RuleBasedStateMachine):
    """One run directory, and all that may happen to it."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.server.scratch))
        self.run, self.notes = self.folder / "run", self.folder / "notes"
        self.run.mkdir()
        self.notes.mkdir()
        self.marker = self.run / "lfads.done"
        self.record = self.run / "lfads.record.json"
        self.control = ControlFolder.of(self.folder)
        self.seen: list[dict[str, Any]] = []
        self.num_forgotten = 0
        self.is_made_by_hand = False
        self.is_undisturbed = True
        self.set_mode("good")

    def teardown(self) -> None:
        """Let one queue run undisturbed, then look at everything once more."""
        self.set_mode("good")
        last = self.seen[-1] if self.seen else None
        refuses = last is not None and last["cause"] == "not a number"
        (status,) = self.queues(num_queues=1, step=0, victims="queue")
        if not refuses:
            assert status == 0, status
            assert self.marker.exists()
        self.history_is_legal()
        left = processes_of(str(self.folder))
        assert not left, left
        if not self.is_made_by_hand:  # then no queue has looked at this run since
            assert [path.name for path in self.run.iterdir() if path.suffix == ".tmp"] == []
        shutil.rmtree(self.folder)

    def queues(self, **asked: Any) -> list[int]:
        asked = {"waits": False, "options": {}, **asked}
        self.is_undisturbed = asked["step"] == 0
        return self.server.run(folder=str(self.folder), specs=[SPEC], **asked)

    def start_long_task(self) -> int:
        """Start a queue whose task goes on until it is let go; give how many starts there were."""
        self.wait_until_quiet()
        self.set_mode("long")
        (self.notes / "go").unlink(missing_ok=True)
        before = self.num_starts()
        self.is_undisturbed = True
        asked = {"num_queues": 1, "step": 0, "victims": "queue", "waits": False, "options": {}}
        self.server.start(folder=str(self.folder), specs=[SPEC], **asked)
        self.wait_for(lambda: self.num_starts() > before and self.attempts(), "the start")
        return before

    def newest_end(self) -> tuple[str | None, str | None]:
        newest = self.attempts()[-1]
        return newest["outcome"], newest["cause"]

    def num_starts(self) -> int:
        path = self.notes / "starts"
        return len(path.read_text().split()) if path.exists() else 0

    def attempts(self) -> list[dict[str, Any]]:
        if not self.record.exists():
            return []
        return list(json.loads(self.record.read_text())["attempts"])

    def knows_success(self) -> bool:
        """Tell whether anything on the disk says that the newest attempt has succeeded."""
        lock = self.run / "lfads.lock"
        return self.marker.exists() or (lock.exists() and "\nexit 0\n" in lock.read_text())

    def set_mode(self, mode: str) -> None:
        """Choose what the command does next: ends well, fails, or meets NaN."""
        (self.notes / "mode").write_text(mode)

    @rule(
        mode=st.sampled_from(["good", "good", "good", "bad", "nan"]),
        num_queues=st.sampled_from([1, 1, 2]),
        step=st.just(0) | st.integers(8, 34) | st.integers(8, 34),
        victims=st.sampled_from(["queue", "queue", "all", "supervisor", "queue+supervisor"]),
        waits=st.booleans(),
    )
    def run_queues(self, mode: str, num_queues: int, step: int, victims: str, waits: bool) -> None:
        self.set_mode(mode)
        was_done = self.knows_success()
        before = self.num_starts()
        statuses = self.queues(num_queues=num_queues, step=step, victims=victims, waits=waits)
        assert all(status in (0, 1, -9) for status in statuses), statuses
        if was_done:
            assert self.num_starts() == before, "run again after it had succeeded"

    @rule()
    @only_if(lambda self: self.marker.exists())
    def run_again_what_is_done(self) -> None:
        before = self.num_starts()
        self.queues(num_queues=1, step=0, victims="queue", options={"ignore_donefile": True})
        assert self.num_starts() == before + 1
        self.is_made_by_hand = False

    @rule()
    @only_if(lambda self: self.marker.exists() and not processes_of(str(self.folder)))
    def remove_marker(self) -> None:
        before = self.num_starts()
        self.marker.unlink()
        self.is_made_by_hand = False
        self.set_mode("good")
        last = self.seen[-1] if self.seen else None
        if last is not None and last["outcome"] == "succeeded":
            # That is how a person asks for it once more.
            self.queues(num_queues=1, step=0, victims="queue")
            assert self.num_starts() == before + 1

    @rule()
    @only_if(lambda self: self.seen and not self.marker.exists())
    def make_marker(self) -> None:
        self.wait_until_quiet()
        self.marker.touch()
        self.is_made_by_hand = True

    @rule()
    @only_if(lambda self: self.record.exists())
    def damage_record(self) -> None:
        self.wait_until_quiet()
        if not self.knows_success():
            self.record.write_text('{"schema_version": 1, "att')
            self.queues(num_queues=1, step=0, victims="queue")
            self.num_forgotten += len(self.seen)
            self.seen = []
            assert (self.run / "lfads.record.json.damaged").exists()

    @rule()
    @only_if(lambda self: self.may_run())
    def cancel_and_retry(self) -> None:
        before = self.start_long_task()
        self.control.edit(lambda wishes: wishes.with_cancelled(["train"]))
        assert self.server.finish() in ([0], [1])
        assert self.newest_end() == ("cancelled", "cancelled by user")
        self.set_mode("good")
        self.queues(num_queues=1, step=0, victims="queue")
        assert self.num_starts() == before + 1, "run though it was cancelled"
        newest = {"train": self.attempts()[-1]["number"]}
        self.control.edit(lambda wishes: wishes.with_retried(newest))

    @rule()
    @only_if(lambda self: self.may_run())
    def pause_now_and_resume(self) -> None:
        before = self.start_long_task()
        self.control.edit(lambda wishes: wishes.with_paused(now=True))
        self.wait_for(lambda: self.newest_end()[0] is not None, "the pause")
        assert self.newest_end() == ("interrupted", "paused by user")
        self.set_mode("good")
        self.control.edit(lambda wishes: wishes.with_resumed())
        assert self.server.finish() == [0]
        assert self.num_starts() == before + 2

    @rule(dies=st.booleans())
    @only_if(lambda self: self.may_run())
    def leave_and_take_up(self, dies: bool) -> None:
        before = self.start_long_task()
        self.wait_for(lambda: len(self.live_queues()) == 1, "its snapshot")
        (snapshot,) = self.live_queues()
        self.control.edit(lambda wishes: wishes.with_stops([snapshot.queue_id], LEAVE))
        self.server.finish()
        assert self.newest_end() == (None, None)
        self.set_mode("good")
        if dies:
            (self.notes / "go").touch()
            self.wait_until_quiet()
            self.queues(num_queues=1, step=0, victims="queue")
        else:
            asked = {"num_queues": 2, "step": 0, "victims": "queue", "waits": False, "options": {}}
            self.server.start(folder=str(self.folder), specs=[SPEC], **asked)
            self.wait_for(lambda: len(self.live_queues()) == 2, "two queues")
            (self.notes / "go").touch()
            self.server.finish()
        assert self.num_starts() == before + 1, "run again though it had been left to itself"
        assert self.newest_end() == ("succeeded", None)

    def live_queues(self) -> list[Snapshot]:
        return [snapshot for snapshot, lives in self.control.queues() if lives]

    def may_run(self) -> bool:
        """Tell whether a queue would run the task."""
        last = self.seen[-1] if self.seen else None
        refuses = last is not None and last["cause"] == "not a number"
        return not (self.knows_success() or refuses)

    def wait_until_quiet(self) -> None:
        self.wait_for(lambda: not processes_of(str(self.folder)), "the end of all processes")

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        end_s = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end_s, f"did not happen: {what}; {self.attempts()}"
            time.sleep(0.002)

    @invariant()
    def history_is_legal(self) -> None:
        assert not (self.notes / "overlaps").exists(), "two commands at once"
        now = self.attempts()
        numbers = [attempt["number"] for attempt in now]
        assert numbers == list(range(numbers[0], numbers[0] + len(now))) if now else True
        assert len(now) >= len(self.seen)
        for old, new in zip(self.seen, now, strict=False):
            assert new == old or old["state"] == "running", (old, new)
            assert (new["number"], new["started_at"]) == (old["number"], old["started_at"])
        for attempt in now[:-1]:
            assert attempt["state"] == "ended", attempt
        for attempt in now:
            assert (attempt["state"] == "ended") == (attempt["outcome"] is not None), attempt
            assert (attempt["cause"] is None) == (attempt["outcome"] in (None, "succeeded"))
        if self.marker.exists() and not self.is_made_by_hand:
            # The marker comes first: the next queue mends a record that was never written.
            legal = ["succeeded"] if self.is_undisturbed else ["succeeded", None]
            assert now, "a marker without a record"
            assert now[-1]["outcome"] in legal, now
        self.seen = now

    @invariant()
    def every_start_is_known(self) -> None:
        lock = self.run / "lfads.lock"
        in_journal = int(lock.exists() and bool(lock.read_text()))
        assert self.num_starts() <= len(self.attempts()) + self.num_forgotten + in_journal


def check(server: Server, max_examples: int, num_steps: int) -> None:
    class Bound(RunHistory):
        pass

    Bound.server = server
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=num_steps,
            deadline=None,
            # To shrink what takes seconds each time would take minutes.
            phases=[Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_run_has_a_legal_history_whatever_happens(server: Server) -> None:
    check(server, max_examples=5, num_steps=9)


@pytest.mark.slow
def test_many_runs_have_a_legal_history(server: Server) -> None:
    check(server, max_examples=18, num_steps=14)
