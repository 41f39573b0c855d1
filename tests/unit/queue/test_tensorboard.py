from __future__ import annotations

import getpass
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from lfadsq.manager.scripts import render_tensorboard_script
from lfadsq.queue.events import Noted
from lfadsq.queue.tensorboard import TensorBoard
from lfadsq.queue.tensorboard_claim import Address, Claim

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


def serves(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def address_of(board: TensorBoard) -> str:
    return str(wait_until(lambda: board.address, "its address"))


def test_it_serves_while_the_block_lasts(tmp_path: Path) -> None:
    script = tmp_path / "launch tensorboard.sh"
    script.write_text(SERVER)
    notes: list[Noted] = []
    with TensorBoard(script, notes.append) as board:
        address = address_of(board)
        assert serves(address)  # at once: it is not told before
        wait_until(lambda: notes, "the note")
        assert all(is_alive(pid) for pid in pids_in(tmp_path))
        assert len(pids_in(tmp_path)) == 2
    wait_until(lambda: not any(is_alive(pid) for pid in pids_in(tmp_path)), "its end")
    assert board.address == ""
    (note,) = notes
    port = address.removeprefix("http://localhost:")
    tunnel = re.search(r"ssh -N -L 6006:localhost:(\d+) (\S+)@(\S+)\n", note.text)
    assert f"TensorBoard: {address}\n" in note.text
    assert tunnel
    assert (tunnel[1], tunnel[2]) == (port, getpass.getuser())
    assert tunnel[3] in {socket.getfqdn(), socket.gethostname()}
    assert (tmp_path / "launch tensorboard.log").exists()


def test_its_address_is_told_only_once_it_answers(tmp_path: Path) -> None:
    script, go = tmp_path / "t.sh", tmp_path / "go"
    script.write_text(
        f"echo $$ > {shlex.quote(str(tmp_path / 'pids'))}\n"
        f"until [ -e {shlex.quote(str(go))} ]; do sleep 0.05; done\n" + SERVER
    )
    notes: list[Noted] = []
    with TensorBoard(script, notes.append) as board:
        wait_until(lambda: pids_in(tmp_path), "the script")
        time.sleep(0.3)
        assert (board.address, notes) == ("", [])
        go.touch()
        assert serves(address_of(board))


def test_a_second_queue_of_a_collection_takes_the_address_of_the_first(tmp_path: Path) -> None:
    script = tmp_path / "t.sh"
    script.write_text(SERVER)
    notes: list[Noted] = []
    with TensorBoard(script, lambda noted: None) as first:
        wait_until(lambda: pids_in(tmp_path), "the first, which still starts")
        with TensorBoard(script, notes.append) as second:
            assert address_of(second) == address_of(first)
            assert len(pids_in(tmp_path)) == 2
        assert "another queue" in notes[0].text
        assert all(is_alive(pid) for pid in pids_in(tmp_path))
        assert serves(first.address)
    other = tmp_path / "other"
    other.mkdir()
    script.rename(other / "t.sh")
    with (
        TensorBoard(other / "t.sh", notes.append) as third,
        TensorBoard(other / ".." / "other" / "t.sh", notes.append) as fourth,
    ):
        assert address_of(third) == address_of(fourth)


def test_one_that_waits_for_a_queue_that_dies_starts_its_own(tmp_path: Path) -> None:
    script = tmp_path / "t.sh"
    script.write_text(SERVER)
    claim = Claim.try_acquire(tmp_path)
    assert claim is not None
    notes: list[Noted] = []
    with TensorBoard(script, notes.append) as board:
        time.sleep(0.3)
        assert (board.address, pids_in(tmp_path)) == ("", [])
        claim.release()
        assert serves(address_of(board))
    assert "another queue" not in notes[0].text


def test_that_of_another_machine_is_told_with_the_way_there(tmp_path: Path) -> None:
    script = tmp_path / "t.sh"
    script.write_text(SERVER)
    claim = Claim.try_acquire(tmp_path)
    assert claim is not None
    claim.publish(Address("far.example.org", 4321, "o'neil"))
    notes: list[Noted] = []
    with TensorBoard(script, notes.append) as board:
        assert address_of(board) == "http://localhost:4321"
        wait_until(lambda: notes, "the note")
    claim.release()
    words = shlex.split(next(li for li in notes[0].text.splitlines() if "ssh" in li))
    assert words[-3:] == ["-L", "6006:localhost:4321", "o'neil@far.example.org"]
    assert pids_in(tmp_path) == []


def test_a_collection_that_cannot_be_shared_has_its_own(tmp_path: Path) -> None:
    (tmp_path / ".lfadsqueue").write_text("in the way")
    script = tmp_path / "t.sh"
    script.write_text(SERVER)
    with TensorBoard(script, lambda noted: None) as board:
        assert serves(address_of(board))


def test_another_port_is_tried_if_somebody_takes_the_first(tmp_path: Path) -> None:
    # The first time, a stranger has the port and answers, before the script finds that out.
    script, ports = tmp_path / "t.sh", tmp_path / "ports"
    stranger = 'setsid python -m http.server --bind 127.0.0.1 "$port" & echo $! > "$0.stranger"'
    script.write_text(
        'port=${1#--port=}; echo "$port" >> "$(dirname "$0")/ports"\n'
        f'if [ ! -e "$0.stranger" ]; then {stranger}\n'
        'until : < "/dev/tcp/127.0.0.1/$port"; do sleep 0.05; done 2> /dev/null; sleep 0.5\n'
        'echo "could not bind to port $port, it was already in use" >&2; exit 1; fi\n' + SERVER
    )
    notes: list[Noted] = []
    try:
        with TensorBoard(script, notes.append) as board:
            address = address_of(board)
            first, second = ports.read_text().split()
            assert address == f"http://localhost:{second}"
            assert serves(address)
            assert serves(f"http://localhost:{first}")  # the stranger
        assert [note.is_warning for note in notes] == [False]
        assert address in notes[0].text
    finally:
        os.kill(int(Path(f"{script}.stranger").read_text()), signal.SIGKILL)


def test_ports_are_not_tried_for_ever(tmp_path: Path) -> None:
    script = tmp_path / "t.sh"
    script.write_text('echo "$1" >> "$0.tries"; echo "already in use" >&2; exit 1\n')
    (note,) = one_note(script)
    assert "exit status 1: already in use" in note.text
    tries = Path(f"{script}.tries").read_text().split()
    assert len(set(tries)) == len(tries) == 5


# The environment need not be activated: the queue finds its programs all the same.
@pytest.mark.skipif(
    shutil.which("tensorboard", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") is None,
    reason="TensorBoard is not installed",
)
@pytest.mark.slow
def test_the_real_one_shows_a_collection(tmp_path: Path) -> None:
    script = tmp_path / "my runs" / "launch_tensorboard.sh"
    script.parent.mkdir()
    script.write_text(render_tensorboard_script())
    notes: list[Noted] = []
    with TensorBoard(script, notes.append) as board:
        wait_until(lambda: board.address or notes, "its address", 60)
        with urllib.request.urlopen(f"{board.address}/data/environment") as answer:
            assert json.load(answer)["data_location"] == str(script.parent)


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
