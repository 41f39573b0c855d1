from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

from lfadsq.queue.events import Noted
from lfadsq.queue.tensorboard import TensorBoard

from .conftest import QueueProcess, is_alive, spec_of, wait_until

# Stands in for TensorBoard: serves on the port it is given, with a helper process.
SERVER = """
for a in "$@"; do case $a in --port=*) port=${a#--port=};; esac; done
echo $$ > "$(dirname "$0")/pids"; sleep 1000 & echo $! >> "$(dirname "$0")/pids"
exec python -m http.server --bind 127.0.0.1 $port
"""


def pids_in(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def serves(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_it_serves_while_the_block_lasts(tmp_path: Path) -> None:
    script = tmp_path / "launch tensorboard.sh"
    script.write_text(SERVER)
    notes: list[Noted] = []
    with TensorBoard(script, notes.append):
        found = re.search(r"http://localhost:(\d+)", notes[0].text)
        assert found
        wait_until(lambda: serves(found[1]), "its answer")
        assert all(is_alive(pid) for pid in pids_in(tmp_path))
        assert len(pids_in(tmp_path)) == 2
    wait_until(lambda: not any(is_alive(pid) for pid in pids_in(tmp_path)), "its end")
    assert len(notes) == 1
    assert (tmp_path / "launch tensorboard.log").exists()


def test_it_ends_with_a_queue_that_is_killed(
    tmp_path: Path, start_queue: Callable[..., QueueProcess]
) -> None:
    script = tmp_path / "launch_tensorboard.sh"
    script.write_text(SERVER)
    spec = spec_of(tmp_path, "t", "sleep 1000")
    queue = start_queue([spec], tensorboard_script=str(script))
    wait_until(lambda: len(pids_in(tmp_path)) == 2, "the server")
    lock = Path(spec["donefile"]).with_name("lfads.lock")
    wait_until(lambda: lock.exists() and "pid" in lock.read_text(), "the task")
    queue.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in pids_in(tmp_path)), "its end")


def one_note(script: Path | None) -> list[Noted]:
    notes: list[Noted] = []
    with TensorBoard(script, notes.append):
        wait_until(lambda: any(note.is_warning for note in notes), "a warning")
    return [note for note in notes if note.is_warning]


def test_a_script_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    (note,) = one_note(tmp_path / "none.sh")
    assert "does not exist" in note.text


def test_a_missing_program_is_a_warning(tmp_path: Path) -> None:
    script = tmp_path / "t.sh"
    script.write_text('no_such_tensorboard --logdir=x "$@"\n')
    (note,) = one_note(script)
    assert "pip install tensorboard" in note.text


def test_a_program_that_fails_is_a_warning_with_its_words(tmp_path: Path) -> None:
    script = tmp_path / "t.sh"
    script.write_text("echo 'port in use' >&2; exit 2\n")
    (note,) = one_note(script)
    assert "exit status 2: port in use" in note.text


def test_none_is_none() -> None:
    notes: list[Noted] = []
    with TensorBoard(None, notes.append):
        pass
    assert notes == []
