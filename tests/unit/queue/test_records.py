from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.errors import QueueError, StorageError
from lfadsq.queue.records import (
    SCHEMA_VERSION,
    Attempt,
    AttemptState,
    Cause,
    Outcome,
    Record,
)

ATTEMPT = Attempt(1, "true", "host", "cpu", "cpu", "2018-01-31T00:00:00.000+00:00", 10)

attempts = st.builds(
    Attempt,
    number=st.integers(1, 1000),
    command=st.text(),
    host=st.text(),
    device=st.text(),
    device_name=st.text(),
    started_at=st.text(),
    log_offset=st.integers(0),
    state=st.sampled_from(AttemptState),
    pid=st.none() | st.integers(1, 2**22),
    pid_started_s=st.none() | st.floats(0, 1e10),
    ended_at=st.none() | st.text(),
    outcome=st.none() | st.sampled_from(Outcome),
    cause=st.none() | st.sampled_from(Cause),
    exit_status=st.none() | st.integers(0, 255),
    signal=st.none() | st.just("SIGKILL"),
)


@given(st.text(), st.lists(attempts, max_size=3, unique_by=lambda a: a.number))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, name: str, tried: list[Attempt]
) -> None:
    record = Record("ignored")
    for attempt in tried:
        record = record.with_attempt(attempt)
    record = Record(name, record.attempts)
    path = tmp_path_factory.mktemp("record") / "lfads.record.json"
    record.write(path, durable=False)
    assert Record.read(path, "other") == record
    assert [a.number for a in record.attempts] == sorted(a.number for a in tried)


def test_anybody_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    Record("a", (ATTEMPT,)).write(path)
    data = json.loads(path.read_text())
    assert data["schema_version"] == SCHEMA_VERSION == 2
    assert data["attempts"][0]["state"] == "running"
    assert data["attempts"][0]["command"] == "true"


def test_an_attempt_replaces_the_one_of_its_number() -> None:
    from dataclasses import replace

    second = replace(ATTEMPT, number=2)
    record = Record("a").with_attempt(ATTEMPT).with_attempt(second)
    ended = replace(second, state=AttemptState.ENDED, outcome=Outcome.FAILED)
    record = record.with_attempt(ended)
    assert record.attempts == (ATTEMPT, ended)
    assert record.last == ended
    assert ended.state.is_finished
    assert not ATTEMPT.state.is_finished


def test_there_is_none_at_first(tmp_path: Path) -> None:
    assert Record.read(tmp_path / "none.json", "a") == Record("a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"schema_version": 1}',
        '{"schema_version": 1, "name": "a", "attempts": [{}]}',
    ],
)
def test_a_damaged_one_is_moved_aside(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    assert Record.read(path, "a") == Record("a")
    assert not path.exists()
    assert (tmp_path / "r.json.damaged").read_text() == text


def test_one_of_a_newer_version_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"schema_version": 99, "jobs": []}')
    with pytest.raises(QueueError, match="newer lfadsq"):
        Record.read(path, "a")
    assert path.exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        Record("a").write(tmp_path / "missing" / "r.json")


def test_a_reader_never_sees_half_of_one(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    Record("a", (ATTEMPT,)).write(path)
    stop = threading.Event()
    seen: list[int] = []
    problems: list[Exception] = []

    def read() -> None:
        while not stop.is_set():
            try:
                seen.append(len(json.loads(path.read_text())["attempts"]))
            except Exception as error:
                problems.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    from dataclasses import replace

    record = Record("a", (ATTEMPT,))
    for number in range(2, 150):
        record = record.with_attempt(replace(ATTEMPT, number=number))
        record.write(path, durable=False)
    stop.set()
    reader.join()
    assert not problems
    assert seen == sorted(seen)
    assert len(seen) > 10
