from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lfadsq.errors import QueueError
from lfadsq.queue import control
from lfadsq.queue.control import ControlFolder
from lfadsq.queue.wishes import Wishes

EDITOR = """
import sys
from pathlib import Path
from lfadsq.queue.control import ControlFolder
folder, who, number = sys.argv[1:]
control = ControlFolder(Path(folder))
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(number)):
    control.edit(lambda wishes: wishes.with_cancelled([f"{who}{n}"]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> ControlFolder:
    return ControlFolder.of(tmp_path)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_without_a_folder_nothing_is_wished_and_nothing_made(
    folder: ControlFolder, tmp_path: Path
) -> None:
    assert folder.read() == Wishes()
    assert folder.queues() == []
    assert folder.fingerprint() is None
    assert list(tmp_path.iterdir()) == []


def test_two_processes_that_edit_at_once_lose_nothing(folder: ControlFolder) -> None:
    number = 40
    editors = [
        subprocess.Popen(
            [sys.executable, "-c", EDITOR, str(folder.paths.folder), who, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in "ab"
    ]
    for editor in editors:
        assert editor.stdout is not None
        editor.stdout.readline()
    for editor in editors:
        editor.communicate("go\n", timeout=60)
        assert editor.returncode == 0
    assert folder.read().cancelled == {f"{who}{n}" for who in "ab" for n in range(number)}


def test_every_change_shows_in_the_fingerprint(folder: ControlFolder) -> None:
    seen = {folder.fingerprint()}
    for n in range(50):
        # Of the same size, and within one tick of the file system's clock.
        folder.edit(lambda wishes, n=n: Wishes(priorities={"a": 100 + n}))
        seen.add(folder.fingerprint())
    assert len(seen) == 51
    before = folder.fingerprint()
    folder.edit(lambda wishes: wishes)
    assert folder.fingerprint() == before


def test_a_change_that_raises_changes_nothing(folder: ControlFolder) -> None:
    folder.edit(lambda wishes: wishes.with_cancelled(["a"]))

    def fail(_wishes: Wishes) -> Wishes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        folder.edit(fail)
    assert folder.read().cancelled == {"a"}
    assert folder.edit(lambda wishes: wishes.with_cancelled(["b"])).cancelled == {"a", "b"}


def test_folder_and_files_are_for_the_owner_alone(folder: ControlFolder) -> None:
    old = os.umask(0o002)
    try:
        folder.edit(lambda wishes: wishes.with_paused())
    finally:
        os.umask(old)
    paths = folder.paths
    assert [mode_of(path) for path in (paths.folder, paths.queues)] == [0o700, 0o700]
    assert [mode_of(path) for path in (paths.wishes, paths.wishes_lock)] == [0o600, 0o600]


@pytest.mark.parametrize(
    ("opened", "files"), [(0o770, 0o660), (0o750, 0o640), (0o755, 0o644), (0o775, 0o664)]
)
def test_files_follow_a_folder_that_a_lab_has_opened(
    folder: ControlFolder, opened: int, files: int
) -> None:
    folder.paths.folder.mkdir()
    folder.paths.folder.chmod(opened)
    folder.edit(lambda wishes: wishes.with_paused())
    assert mode_of(folder.paths.folder) == opened
    assert mode_of(folder.paths.queues) == opened
    assert mode_of(folder.paths.wishes) == files
    assert mode_of(folder.paths.wishes_lock) == files


def test_a_folder_that_everybody_may_write_is_not_obeyed(folder: ControlFolder) -> None:
    folder.edit(lambda wishes: wishes.with_paused())
    folder.paths.folder.chmod(0o777)
    for use in (folder.read, folder.queues, lambda: folder.edit(lambda wishes: wishes)):
        with pytest.raises(QueueError, match="everybody may write") as caught:
            use()
        assert "chmod o-w" in caught.value.remedy


def test_a_link_is_not_obeyed(folder: ControlFolder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.paths.folder.symlink_to(elsewhere)
    with pytest.raises(QueueError, match="is a link"):
        folder.read()
    with pytest.raises(QueueError, match="is a link"):
        folder.edit(lambda wishes: wishes)
    assert list(elsewhere.iterdir()) == []


def test_a_folder_of_somebody_else_where_everybody_may_make_one_is_not_obeyed(
    folder: ControlFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.edit(lambda wishes: wishes.with_paused())
    tmp_path.chmod(0o1777)
    assert folder.read().is_paused
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(QueueError, match="belongs to somebody else"):
        folder.read()
    tmp_path.chmod(0o755)
    assert folder.read().is_paused


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema_version": 1, "paused": 3}'])
def test_damaged_wishes_are_moved_aside_with_a_warning(
    folder: ControlFolder, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder.edit(lambda wishes: wishes.with_paused())
    folder.paths.wishes.write_text(text)
    with caplog.at_level(logging.WARNING):
        assert folder.read() == Wishes()
    assert "was damaged" in caplog.text
    assert folder.paths.wishes.with_name("wishes.json.damaged").read_text() == text
    assert folder.edit(lambda wishes: wishes.with_cancelled(["a"])).cancelled == {"a"}


def test_wishes_of_a_newer_lfadsq_are_left_alone(folder: ControlFolder) -> None:
    folder.paths.make()
    text = json.dumps({"schema_version": 99})
    folder.paths.wishes.write_text(text)
    with pytest.raises(QueueError, match="newer lfadsq"):
        folder.read()
    with pytest.raises(QueueError, match="newer lfadsq"):
        folder.edit(lambda wishes: wishes.with_paused())
    assert folder.paths.wishes.read_text() == text


def test_a_lock_that_is_never_given_up_is_an_error(
    folder: ControlFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_LOCK_PATIENCE_S", 0.05)
    folder.edit(lambda wishes: wishes.with_paused())
    with folder.paths.wishes_lock.open("r") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(QueueError, match="somebody has held"):
            folder.edit(lambda wishes: wishes.with_resumed())
    assert folder.read().is_paused
