from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lfadsq.errors import ConfigError
from lfadsq.queue.tasks import TaskFiles, tasks_from_specs

GOOD = {
    "name": "a",
    "command": "true",
    "memory_req": 2000,
    "outfile": "/r/lfads.out",
    "donefile": "/r/lfads.done",
}


def test_a_spec_becomes_a_task() -> None:
    (task,) = tasks_from_specs([GOOD])
    assert (task.name, task.command, task.memory_mb) == ("a", "true", 2000.0)
    assert task.outfile == Path("/r/lfads.out")
    assert task.files.record == Path("/r/lfads.record.json")
    assert task.files.lock == Path("/r/lfads.lock")


def test_relative_and_home_paths_become_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    spec = {**GOOD, "outfile": "~/x.out", "donefile": "here/x.done"}
    (task,) = tasks_from_specs([spec])
    assert task.outfile == Path("/home/ada/x.out")
    assert task.donefile == Path.cwd() / "here/x.done"


@pytest.mark.parametrize("name", ["a b", "it's", '"q"', "$(touch /tmp/x)", "ünï", "[red]", "a;b"])
def test_names_that_are_hostile_but_harmless_are_kept(name: str) -> None:
    spec = {**GOOD, "name": name, "donefile": f"/r/{name}/lfads.done"}
    (task,) = tasks_from_specs([spec])
    assert task.name == name
    assert task.donefile == Path(f"/r/{name}/lfads.done")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "name is empty"),
        ({"name": 3}, "name is a int"),
        ({"name": "a\nb"}, "line break"),
        ({"donefile": "/r/a\nb"}, "line break"),
        ({"outfile": "/r/a\0b"}, "control character"),
        ({"command": ""}, "command is empty"),
        ({"command": ["true"]}, "command is a list"),
        ({"command": "a\0b"}, "NUL"),
        ({"memory_req": "2000"}, "not a number"),
        ({"memory_req": True}, "not a number"),
        ({"memory_req": -1}, "0 MB or more"),
        ({"memory_req": float("nan")}, "0 MB or more"),
        ({"memory_req": float("inf")}, "0 MB or more"),
        ({"donefile": None}, "donefile is a NoneType"),
        ({"gpu": 0}, "unknown keys 'gpu'"),
    ],
)
def test_a_violation_names_its_task_and_itself(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        tasks_from_specs([{**GOOD, "name": "first", "donefile": "/q"}, {**GOOD, **change}])
    assert "task 2" in str(caught.value)


@pytest.mark.parametrize("key", ["name", "command", "memory_req", "outfile", "donefile"])
def test_every_key_is_required(key: str) -> None:
    spec = {k: v for k, v in GOOD.items() if k != key}
    with pytest.raises(ConfigError, match=f"lacks {key}"):
        tasks_from_specs([spec])


def test_all_violations_are_told_at_once() -> None:
    bad = [{**GOOD, "memory_req": -1, "command": ""}, "nonsense"]
    with pytest.raises(ConfigError) as caught:
        tasks_from_specs(bad)  # type: ignore[list-item]
    text = str(caught.value)
    assert "command is empty" in text
    assert "0 MB or more" in text
    assert "task 2: is a str" in text


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({}, {"outfile": "/o", "donefile": "/d"}, "two tasks are called 'a'"),
        ({}, {"name": "b", "outfile": "/o"}, "/r/lfads.done is the donefile of task 'a'"),
        ({}, {"name": "b", "donefile": "/d"}, "/r/lfads.out is the outfile of task 'a'"),
        ({}, {"name": "b", "donefile": "/d", "outfile": "/r/lfads.done"}, "and the outfile"),
        ({}, {"name": "b", "donefile": "/d", "outfile": "/r/lfads.record.json"}, "record"),
        ({}, {"name": "b", "donefile": "/d", "outfile": "/r/lfads.lock"}, "lock"),
        ({"donefile": "/r/x"}, {"name": "b", "outfile": "/o", "donefile": "/r/x.done"}, "record"),
    ],
)
def test_tasks_that_share_a_file_are_refused(
    first: dict[str, Any], second: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        tasks_from_specs([{**GOOD, **first}, {**GOOD, **second}])


def test_training_and_sampling_of_one_run_share_the_lock_only() -> None:
    train = TaskFiles(Path("/r/lfads.done"))
    sample = TaskFiles(Path("/r/lfads.done.posteriorMeanOnly"))
    assert train.lock == sample.lock == Path("/r/lfads.lock")
    assert sample.record == Path("/r/lfads.record.json.posteriorMeanOnly") != train.record


@pytest.mark.parametrize("specs", ["text", {"name": "a"}, 3])
def test_a_task_list_must_be_a_list(specs: Any) -> None:
    with pytest.raises(ConfigError, match="list of dicts"):
        tasks_from_specs(specs)
