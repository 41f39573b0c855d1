from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lfadsq.errors import StorageError
from lfadsq.queue.locks import Journal, RunLock, read_journal

HOLDER = """
import sys
from dataclasses import replace
from pathlib import Path
from lfadsq.queue.locks import RunLock
lock = RunLock.try_acquire(Path(sys.argv[1]))
print("got" if lock else "held", flush=True)
sys.stdin.read()
"""


def test_only_one_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lfads.lock"
    first = RunLock.try_acquire(path)
    assert first is not None
    assert RunLock.try_acquire(path) is None
    first.release()
    second = RunLock.try_acquire(path)
    assert second is not None
    second.release()


def test_another_process_sees_it_and_its_death_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "lfads.lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"got\n"
        assert RunLock.try_acquire(path) is None
        other.kill()
        other.wait()
    lock = RunLock.try_acquire(path)
    assert lock is not None
    lock.release()


def test_a_child_keeps_it_when_its_holder_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "lfads.lock"
    lock = RunLock.try_acquire(path)
    assert lock is not None
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor])
    import os

    os.close(lock.descriptor)  # as the kernel does when the queue is killed
    assert RunLock.try_acquire(path) is None
    child.communicate()
    again = RunLock.try_acquire(path)
    assert again is not None
    again.release()


def test_release_frees_it_even_from_processes_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "lfads.lock"
    lock = RunLock.try_acquire(path)
    assert lock is not None
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor])
    lock.release()
    again = RunLock.try_acquire(path)
    assert again is not None
    again.release()
    child.communicate()


def test_the_journal_joins_what_queue_and_supervisor_wrote(tmp_path: Path) -> None:
    path = tmp_path / "lfads.lock"
    lock = RunLock.try_acquire(path)
    assert lock is not None
    begun = Journal({"number": 3}, "t", "/r/lfads.done", "/r/lfads.out", "token")
    lock.begin(begun)
    subprocess.run(
        ["sh", "-c", "echo pid 12 >&0; echo exit 7 >&0"], stdin=lock.descriptor, check=True
    )
    assert read_journal(path) == replace(begun, pid=12, exit_status=7)
    lock.begin(replace(begun, attempt={"number": 4}))
    assert lock.journal() == replace(begun, attempt={"number": 4})
    subprocess.run(["sh", "-c", "echo exit 0 signalled >&0"], stdin=lock.descriptor, check=True)
    assert (lock.journal().exit_status, lock.journal().was_signalled) == (0, True)
    lock.clear()
    assert lock.journal() == Journal()
    lock.release()


@pytest.mark.parametrize(
    "text", ["", "garbage\npid 3\n", "[]\n", '{"version": 9, "attempt": {}}\n']
)
def test_a_damaged_journal_tells_nothing_wrong(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lfads.lock"
    path.write_text(text)
    journal = read_journal(path)
    assert journal.attempt == {}
    assert journal.donefile == ""
    assert journal.exit_status is None


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "none") == Journal()


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot lock .*lfads\.lock"):
        RunLock.try_acquire(tmp_path / "file" / "lfads.lock")
