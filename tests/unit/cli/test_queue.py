"""``lfadsq queue`` on real folders, with queues that publish snapshots."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lfadsq.cli.main import lfadsq
from lfadsq.errors import ConfigError, QueueError
from lfadsq.queue.records import Cause, Record
from lfadsq.queue.status import QueueState, Snapshot, TaskState
from lfadsq.queue.wishes import END, LEAVE, Wishes

from .verbs import call, obeying_queue, said, statuses, with_cancelled

# --- cancel --------------------------------------------------------------------------------------


def test_cancel_asks_first_and_names_what_it_will_end(collection: Any) -> None:
    a, b = collection.names[:2]
    with collection.live_queue(*statuses(collection, TaskState.RUNNING, TaskState.WAITING)):
        with pytest.raises(ConfigError, match="nothing was cancelled"):
            call("queue", "cancel", collection.folder, a, b, answer="n\n")
        assert collection.control.read().cancelled == frozenset()
        result = call("queue", "cancel", collection.folder, a, b, answer="y\n")
    assert "ends 1 task at work and keeps 1 from starting" in result.stderr
    assert a in result.stderr
    assert collection.control.read().cancelled == {a, b}


def test_cancel_with_nobody_to_ask_does_nothing_and_says_how(collection: Any) -> None:
    collection.write_script()
    with pytest.raises(ConfigError) as caught:
        call("queue", "cancel", collection.folder, "run001", answer="")
    assert "--yes" in str(caught.value)
    assert collection.control.read() == Wishes()


def test_cancel_tells_what_the_live_queue_made_of_it(collection: Any) -> None:
    name = collection.names[0]
    snapshot = collection.snapshot(*statuses(collection, TaskState.RUNNING))
    with obeying_queue(collection, snapshot, with_cancelled):
        output = said("queue", "cancel", "-C", collection.folder, name, "--yes")
    assert "1 task cancelled" in output
    assert "queue demo on node1 has ended and given them up" in output


def test_cancel_says_so_if_the_queue_is_slow(collection: Any) -> None:
    with collection.live_queue(*statuses(collection, TaskState.RUNNING)):
        output = said("queue", "cancel", "-C", collection.folder, "run001", "-y")
    assert "has not finished doing so" in output


def test_cancel_without_a_queue_is_kept_for_the_next(collection: Any) -> None:
    collection.write_script()
    collection.tasks[collection.names[0]].donefile.touch()
    output = said("queue", "cancel", collection.folder, "--all", "-y")
    assert "3 tasks cancelled" in output
    assert "no queue runs here now: this is kept for the next one" in output
    assert collection.control.read().cancelled == set(collection.names[1:])
    again = said("queue", "cancel", collection.folder, "--all", "-y")
    assert "nothing to cancel" in again
    assert "kept" not in again


def test_cancel_ends_what_goes_on_without_a_queue(collection: Any) -> None:
    name = collection.names[0]
    collection.write_script()
    program = "trap 'echo saved; exit 0' TERM; while :; do sleep 0.05; done"
    with collection.left_task(name, program):
        output = said("queue", "cancel", collection.folder, name, "-y")
        assert f"{name} ran without a queue, and has ended" in output
    task = collection.tasks[name]
    assert not task.donefile.exists()
    last = Record.read(task.files.record, name).last
    assert last is not None
    assert last.cause is Cause.CANCELLED


def test_cancel_says_where_something_runs_that_it_cannot_end(collection: Any) -> None:
    name = collection.names[0]
    collection.write_script()
    with collection.left_task(name, "sleep 600", host="node77"):
        output = said("queue", "cancel", collection.folder, name, "-y")
    assert "still runs on node77, without a queue" in output


def test_cancel_needs_runs_or_all_and_not_both(collection: Any) -> None:
    collection.write_script()
    for words in [(), ("run001", "--all")]:
        result = CliRunner().invoke(lfadsq, ["queue", "cancel", str(collection.folder), *words])
        assert result.exit_code == 2
        assert "one of the two" in result.output


# --- pause and resume ----------------------------------------------------------------------------


def with_pause(wishes: Wishes, snapshot: Snapshot) -> Snapshot:
    def obeying(task: Any) -> Any:
        if task.state is TaskState.RUNNING and wishes.ends(task.name):
            return replace(task, state=TaskState.PAUSED)
        if task.state is TaskState.WAITING and wishes.holds_back(task.name):
            return replace(task, state=TaskState.PAUSED)
        return task

    state = QueueState.PAUSED if wishes.is_paused else QueueState.RUNNING
    return replace(snapshot, state=state, tasks=tuple(map(obeying, snapshot.tasks)))


def test_pause_and_resume_of_all(collection: Any) -> None:
    both = statuses(collection, TaskState.RUNNING, TaskState.WAITING)
    with obeying_queue(collection, collection.snapshot(*both), with_pause):
        output = said("queue", "pause", collection.folder)
        assert "all is paused; what runs is finished" in output
        assert "has paused" in output
        assert not collection.control.read().ends(collection.names[0])
        assert "and what runs ends" in said("queue", "pause", collection.folder, "--now")
        assert collection.control.read().ends(collection.names[0])
        output = said("queue", "resume", collection.folder)
        assert "has gone on" in output
    assert collection.control.read() == Wishes()


def test_pause_of_single_runs(collection: Any) -> None:
    a, b = collection.names[:2]
    both = statuses(collection, TaskState.RUNNING, TaskState.WAITING)
    with obeying_queue(collection, collection.snapshot(*both), with_pause):
        assert "has held them back" in said("queue", "pause", collection.folder, a, b)
        wishes = collection.control.read()
        assert (wishes.is_paused, wishes.paused, wishes.ends(a)) == (False, {a, b}, False)
        assert "has held them back" in said("queue", "pause", collection.folder, a, "--now")
        assert collection.control.read().ends(a)
        said("queue", "resume", collection.folder, a)
    assert collection.control.read().paused == {b}


def test_resume_of_a_run_while_all_is_paused_says_that_it_will_not_go_on(collection: Any) -> None:
    collection.write_script()
    said("queue", "pause", collection.folder)
    said("queue", "cancel", collection.folder, "run001", "-y")
    assert "but all is paused" in said("queue", "resume", collection.folder, "run001")
    assert collection.control.read().cancelled == frozenset()


def test_pause_of_what_is_finished_is_nothing(collection: Any) -> None:
    collection.write_script()
    collection.tasks[collection.names[0]].donefile.touch()
    assert "nothing to hold back" in said("queue", "pause", collection.folder, "run001")
    assert collection.control.read() == Wishes()


# --- retry, priority, stop -----------------------------------------------------------------------


def test_retry_forgives_what_the_record_says_was_tried(collection: Any) -> None:
    collection.write_script()
    a, b, c, _ = collection.names
    for name in (a, b):
        collection.record(name, collection.failed(name, 3))
    said("queue", "cancel", collection.folder, c, "-y")
    output = said("queue", "retry", collection.folder, "--failed")
    assert "2 tasks to be tried again" in output
    assert collection.control.read().forgiven == {a: 3, b: 3}
    assert collection.control.read().cancelled == {c}
    said("queue", "retry", collection.folder, c)
    assert collection.control.read().cancelled == frozenset()
    assert "nothing to try again" in said("queue", "retry", collection.folder, "--failed")


def test_retry_knows_of_an_attempt_that_the_snapshot_does_not(collection: Any) -> None:
    name = collection.names[0]
    collection.record(name, collection.failed(name, 5))
    stale = collection.status(name, TaskState.FAILED, attempt=4)
    with collection.live_queue(stale):
        said("queue", "retry", collection.folder, name)
    assert collection.control.read().forgiven == {name: 5}


@pytest.mark.parametrize("words", [["10"], ["--priority", "10"], ["--priority", "-3"]])
def test_priority(collection: Any, words: list[str]) -> None:
    collection.write_script()
    said("queue", "priority", collection.folder, "*run00[12]*", *words)
    number = int(words[-1])
    assert collection.control.read().priorities == dict.fromkeys(collection.names[:2], number)


@pytest.mark.parametrize("words", [["high"], ["run001"], [], ["10"]])
def test_priority_without_runs_or_number_is_wrong_use(collection: Any, words: list[str]) -> None:
    collection.write_script()
    result = CliRunner().invoke(lfadsq, ["queue", "priority", str(collection.folder), *words])
    assert result.exit_code == 2


def test_stop_asks_the_live_queues_and_forgets_dead_ones(collection: Any) -> None:
    collection.control.edit(lambda wishes: wishes.with_stops(["dead"], END))
    with collection.live_queue(*statuses(collection, TaskState.RUNNING)):
        output = said("queue", "stop", collection.folder, "--leave")
        assert collection.control.read().stops == {"q1": LEAVE}
        said("queue", "stop", collection.folder)
        assert collection.control.read().stops == {"q1": END}
    assert "runs at work go on" in output


def test_stop_without_a_queue_is_an_error(collection: Any) -> None:
    collection.write_script()
    with pytest.raises(QueueError, match="no queue of"):
        call("queue", "stop", collection.folder)


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry", "priority", "add", "stop"])
def test_every_wish_can_be_answered_as_json(collection: Any, verb: str) -> None:
    collection.write_script()
    new = collection.spec("lfads_param_ABC_run009_single")
    words = {
        "cancel": ["run001", "-y"],
        "priority": ["run001", "3"],
        "add": ["-"],
        "stop": [],
    }.get(verb, ["run001"])
    with collection.live_queue(*statuses(collection, TaskState.FAILED)):
        text = said(
            "queue", verb, "-C", collection.folder, *words, "--json", answer=json.dumps([new])
        )
    data = json.loads(text)
    assert data["verb"] == verb
    assert data["collection"] == str(collection.folder)
    assert isinstance(data["queues"], list)


@pytest.mark.parametrize(
    "verb", ["", "status", "cancel", "pause", "resume", "retry", "priority", "add", "stop"]
)
def test_help_has_examples(verb: str) -> None:
    output = said("queue", *filter(None, [verb]), "--help")
    assert f"lfadsq queue {verb}".strip() in output.partition("Examples:")[2]


def test_names_that_no_terminal_can_show_are_shown_somehow(collection: Any) -> None:
    name = "odd\udc80 [red]name[/red]"
    task = replace(collection.status(collection.names[0], TaskState.FAILED), name=name)
    with collection.live_queue(task):
        shown = said("queue", "status", collection.folder)
        assert r"odd\udc80 [red]name[/red]" in shown
        assert r"odd\udc80" in said("queue", "cancel", collection.folder, "odd*", "-y")
    assert collection.control.read().cancelled == {name}


def test_help_of_all_is_quick_and_light() -> None:
    code = (
        "import sys, time; began = time.perf_counter()\n"
        "from lfadsq.cli.main import lfadsq\n"
        "for words in (['--help'], ['queue', '--help'], ['queue', 'status', '--help'],"
        " ['explain', '--help']):\n"
        "    lfadsq.main(words, standalone_mode=False)\n"
        "took = time.perf_counter() - began\n"
        "heavy = {'rich', 'dask', 'distributed', 'numpy', 'psutil', 'lfadsq.queue'}\n"
        "print('heavy:', *(heavy & {*sys.modules}), file=sys.stderr)\n"
        "print('took:', took, file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "heavy:\n" in ended.stderr
    assert float(ended.stderr.rpartition("took: ")[2]) < 0.5


def test_the_installed_command_reports_errors_in_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "lfadsq", "queue", "status", str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert len(ended.stderr.splitlines()) == 1


def test_retry_of_what_is_paused_says_that_it_will_not_start(collection: Any) -> None:
    collection.write_script()
    name = collection.names[0]
    collection.record(name, collection.failed(name))
    collection.control.edit(lambda wishes: wishes.with_paused([name]))
    assert "1 of them paused still: `lfadsq queue resume`" in said(
        "queue", "retry", collection.folder, name
    )


@pytest.mark.parametrize(
    ("state", "words"),
    [(TaskState.RUNNING, "has taken note"), (TaskState.WAITING, "has not finished")],
)
def test_priority_waits_for_no_sign_of_what_runs(
    collection: Any, state: TaskState, words: str
) -> None:
    with collection.live_queue(*statuses(collection, state)):
        assert words in said("queue", "priority", collection.folder, collection.names[0], 3)
