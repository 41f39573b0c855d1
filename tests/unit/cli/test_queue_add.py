"""``lfadsq queue add``."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from lfadsq.errors import ConfigError, RunExistsError
from lfadsq.queue.status import TaskState
from lfadsq.queue.wishes import Wishes

from .verbs import call, said, statuses


def test_add_takes_new_tasks_and_passes_over_those_that_are_there(
    collection: Any, tmp_path: Path
) -> None:
    collection.write_script()
    new = collection.spec("lfads_param_ABC_run009_single")
    file = tmp_path / "more.json"
    file.write_text(json.dumps([collection.specs[0], new]))
    output = said("queue", "add", file, "-C", collection.folder)
    assert "1 task added, 1 there already" in output
    assert collection.control.read().added == (new,)
    again = said("queue", "add", file, "-C", collection.folder)
    assert "0 tasks added, 2 there already" in again
    assert collection.control.read().added == (new,)


def test_add_reads_standard_input_and_makes_paths_whole(
    collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.write_script()
    monkeypatch.chdir(collection.folder)
    spec = {**collection.spec("lfads_p_ABC_run009"), "outfile": "o", "donefile": "d/lfads.done"}
    said("queue", "add", "-", answer=json.dumps([spec]))
    (added,) = collection.control.read().added
    assert added["outfile"] == str(collection.folder / "o")
    assert added["donefile"] == str(collection.folder / "d" / "lfads.done")


def test_add_refuses_others_of_the_same_name_and_then_adds_none(collection: Any) -> None:
    new = collection.spec("lfads_param_ABC_run009_single")
    other = {**collection.specs[0], "command": "rm -rf results"}
    for live in (True, False):
        collection.write_script()
        queue = collection.live_queue(*statuses(collection, TaskState.RUNNING))
        with queue if live else contextlib.nullcontext(), pytest.raises(RunExistsError) as caught:
            call("queue", "add", "-", "-C", collection.folder, answer=json.dumps([new, other]))
        assert "another command" in caught.value.problem
        assert collection.control.read().added == ()


def test_add_refuses_files_of_another_task(collection: Any) -> None:
    collection.write_script()
    thief = {**collection.specs[0], "name": "thief"}
    with pytest.raises(RunExistsError, match="belongs to task"):
        call("queue", "add", "-", "-C", collection.folder, answer=json.dumps([thief]))


@pytest.mark.parametrize("text", ["", "{}", "3", "[3]", '[{"name": "a"}]'])
def test_add_of_what_are_no_tasks_is_an_error(collection: Any, text: str) -> None:
    collection.write_script()
    with pytest.raises(ConfigError):
        call("queue", "add", "-", "-C", collection.folder, answer=text)
    assert collection.control.read() == Wishes()


def test_add_takes_the_tasks_of_a_script_beside_the_main_one(collection: Any) -> None:
    main = collection.write_script()
    new = collection.spec("lfads_param_ABC_run009_single")
    (collection.folder / "more.json").write_text(json.dumps([collection.specs[0], new]))
    script = collection.folder / "run_lfadsqueue_more.py"
    script.write_text(main.read_text().replace("specs.json", "more.json"))
    assert "1 task added" in said("queue", "add", "--script", script)
    assert collection.control.read().added == (new,)


def test_add_of_a_script_written_again_to_a_live_queue(collection: Any) -> None:
    script = collection.write_script()
    with collection.live_queue(*statuses(collection, TaskState.RUNNING, TaskState.DONE)):
        assert "2 tasks added" in said("queue", "add", "--script", script)
    assert [spec["name"] for spec in collection.control.read().added] == collection.names[2:]


def test_add_names_what_is_wrong_with_its_source(collection: Any, tmp_path: Path) -> None:
    collection.write_script()
    with pytest.raises(ConfigError, match=r"standard input: task 1.*; nothing was added"):
        call("queue", "add", "-", "-C", collection.folder, answer='[{"name": "x"}]')
    with pytest.raises(ConfigError, match="standard input is no JSON"):
        call("queue", "add", "-", "-C", collection.folder, answer="{")
    assert not collection.control.paths.wishes.exists()
