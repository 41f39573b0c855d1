"""``lfadsq delete`` on real folders."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest

from lfadsq.errors import ConfigError, RunError, RunNotFoundError
from lfadsq.queue.locks import RunLock

from .verbs import call, said


@pytest.fixture(name="trained")
def trained_fixture(collection: Any) -> Any:
    collection.write_script()
    for name in collection.names:
        run = collection.run_of(name)
        (run / "lfadsOutput").mkdir()
        (run / "lfadsOutput" / "fitlog.csv").write_bytes(b"x" * 1_500_000)
        collection.record(name)
        for file in ("lfads.done", "lfads.out", "lfads_train.sh"):
            (run / file).touch()
    return collection


def left(collection: Any) -> list[int]:
    """How many files each run has, besides its lock."""
    return [
        len([path for path in collection.run_of(name).iterdir() if path.suffix != ".lock"])
        for name in collection.names
    ]


def test_only_runs_that_are_named_are_deleted(trained: Any) -> None:
    output = said("delete", trained.folder, "run002", "*run004*", "--yes")
    assert "deleted what 2 runs wrote" in output
    assert left(trained) == [5, 1, 5, 1]
    assert "nothing to delete" in said("delete", "-C", trained.folder, "run002", "-y")
    assert "deleted what 2 runs wrote" in said("delete", trained.folder, "--all", "-y")
    assert left(trained) == [1, 1, 1, 1]


def test_it_asks_first_and_says_what_goes(trained: Any) -> None:
    with pytest.raises(ConfigError, match="nothing was deleted"):
        call("delete", trained.folder, "run001", answer="n\n")
    with pytest.raises(ConfigError, match="--yes"):
        call("delete", trained.folder, "run001", answer="")
    assert left(trained) == [5, 5, 5, 5]
    result = call("delete", trained.folder, "run001", "run003", answer="y\n")
    assert "what 2 runs wrote, 2 of them finished: 3.0 MB" in result.stderr
    assert str(trained.run_of(trained.names[2])) in result.stderr
    assert left(trained) == [1, 5, 1, 5]


def test_a_dry_run_only_tells(trained: Any) -> None:
    assert "what 4 runs wrote" in said("delete", trained.folder, "--all", "--dry-run")
    told = json.loads(said("delete", trained.folder, "run001", "--dry-run", "--json"))
    assert told["is_dry_run"]
    assert [run["folder"] for run in told["runs"]] == [str(trained.run_of(trained.names[0]))]
    assert told["runs"][0]["num_bytes"] >= 1_500_000
    assert left(trained) == [5, 5, 5, 5]


def test_json_tells_what_was_deleted(trained: Any) -> None:
    told = json.loads(said("delete", trained.folder, "--all", "--yes", "--json"))
    assert (told["verb"], told["is_dry_run"], len(told["runs"])) == ("delete", False, 4)
    assert told["collection"] == str(trained.folder)
    assert left(trained) == [1, 1, 1, 1]


def test_a_run_that_is_being_trained_is_refused(trained: Any) -> None:
    lock = RunLock.try_acquire(trained.tasks[trained.names[1]].files.lock)
    assert lock is not None
    try:
        with pytest.raises(RunError, match=r"being trained: .*run002"):
            call("delete", trained.folder, "--all", "--yes")
    finally:
        lock.release()
    assert left(trained) == [5, 5, 5, 5]


def test_runs_must_be_named(trained: Any) -> None:
    result = call("delete", trained.folder)
    assert result.exit_code == click.UsageError.exit_code
    assert "name the runs, or say --all" in result.stderr
    with pytest.raises(RunNotFoundError, match="run009"):
        call("delete", trained.folder, "run009", "--yes")
    assert left(trained) == [5, 5, 5, 5]
