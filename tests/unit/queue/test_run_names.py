from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.errors import RunNotFoundError
from lfadsq.queue.run_names import find_tasks
from lfadsq.queue.status import TaskStatus


def found(wanted: list[str], collection: Any) -> list[str]:
    tasks = [TaskStatus(t.name, donefile=str(t.donefile)) for t in collection.tasks.values()]
    return [task.name for task in find_tasks(wanted, tasks, collection.folder)]


def test_a_name_a_part_a_pattern(collection: Any) -> None:
    names = collection.names
    assert found([names[1]], collection) == [names[1]]
    assert found(["run003"], collection) == [names[2]]
    assert found(["*_run00[12]_*"], collection) == names[:2]
    # Each once, in the order of the list.
    assert found(["run002", names[0], "*run00?*"], collection) == names


def test_a_run_directory_from_here_or_from_the_collection(
    collection: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = collection.names[2]
    run = collection.run_of(name)
    assert found([str(run)], collection) == [name]
    assert found([f"{run}/"], collection) == [name]
    assert found(["param_ABC/run003"], collection) == [name]
    monkeypatch.chdir(run.parent)
    assert found(["run003"], collection) == [name]
    assert found(["./run003"], collection) == [name]
    monkeypatch.chdir(run)
    assert found(["."], collection) == [name]
    link = tmp_path / "link"
    link.symlink_to(collection.folder)
    assert found([str(link / "param_ABC" / "run003")], collection) == [name]


def test_a_run_directory_of_a_collection_behind_a_link(collection: Any, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(collection.folder)
    tasks = [TaskStatus("a", donefile=str(link / "param_ABC" / "run001" / "lfads.done"))]
    run = collection.run_of(collection.names[0])
    assert find_tasks([str(run)], tasks, link) == tasks


def test_a_part_of_several_names_is_refused_with_the_names(collection: Any) -> None:
    with pytest.raises(RunNotFoundError, match="part of 4 names") as caught:
        found(["run00"], collection)
    assert collection.names[3] in caught.value.problem
    assert "'*run00*'" in caught.value.remedy


def test_an_unknown_name_is_refused_with_the_nearest(collection: Any) -> None:
    with pytest.raises(RunNotFoundError, match="no task of") as caught:
        found(["lfads_param_ABC_run002_singel"], collection)
    assert collection.names[1] in caught.value.remedy


@pytest.mark.parametrize("text", ["", " ", "nothing like it", "*zzz*", "[", "\0", "x" * 5000, "/"])
def test_what_fits_nothing_is_refused(collection: Any, text: str) -> None:
    with pytest.raises(RunNotFoundError):
        found([text], collection)


def test_the_names_of_many_are_cut_short(collection: Any) -> None:
    tasks = [TaskStatus(f"run{n:04d}") for n in range(5000)]
    with pytest.raises(RunNotFoundError) as caught:
        find_tasks(["run"], tasks, collection.folder)
    assert len(str(caught.value)) < 400
    assert "and 4992 more" in caught.value.problem


@given(st.text(min_size=1, max_size=30).filter(lambda text: not os.path.lexists(text)))
def test_an_exact_name_is_that_task_whatever_is_in_it(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    tasks = [TaskStatus(name), TaskStatus(f"{name}*"), TaskStatus(f"x{name}")]
    folder = tmp_path_factory.getbasetemp()
    assert [task.name for task in find_tasks([name], tasks, folder)] == [name]
