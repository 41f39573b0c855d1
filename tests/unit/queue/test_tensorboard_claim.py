from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lfadsq.errors import QueueError
from lfadsq.queue.tensorboard_claim import Address, Claim, read_address

ADDRESS = Address("h.example.org", 6007, "jane")


def claim_of(collection: Path) -> Claim:
    claim = Claim.try_acquire(collection)
    assert claim is not None
    return claim


def test_one_has_it_and_the_others_read_the_address(tmp_path: Path) -> None:
    claim = claim_of(tmp_path)
    assert read_address(tmp_path) is None
    assert Claim.try_acquire(tmp_path) is None
    claim.publish(ADDRESS)
    assert read_address(tmp_path) == ADDRESS
    claim.release()
    assert read_address(tmp_path) is None
    claim_of(tmp_path).release()


def test_the_folder_is_its_owners_alone(tmp_path: Path) -> None:
    claim_of(tmp_path).release()
    assert stat.S_IMODE((tmp_path / ".lfadsqueue").stat().st_mode) == 0o700


def test_a_folder_that_is_opened_to_the_group_is_shared_with_it(tmp_path: Path) -> None:
    (tmp_path / ".lfadsqueue").mkdir()
    (tmp_path / ".lfadsqueue").chmod(0o770)
    claim_of(tmp_path).release()
    (lock,) = (tmp_path / ".lfadsqueue").glob("*.lock")
    assert stat.S_IMODE(lock.stat().st_mode) == 0o660


def test_it_ends_with_a_process_that_is_killed_and_its_address_too(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from lfadsq.queue.tensorboard_claim import Address, Claim\n"
        "Claim.try_acquire(Path(sys.argv[1])).publish(Address('h', 1, 'u'))\n"
        "print('ready', flush=True); time.sleep(1000)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == b"ready\n"
    assert Claim.try_acquire(tmp_path) is None
    assert read_address(tmp_path) == Address("h", 1, "u")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    claim = claim_of(tmp_path)
    assert read_address(tmp_path) is None
    claim.release()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "host": "h", "port": 1, "user": "u"}',
        '{"version": 1, "host": "h", "port": "x", "user": "u"}',
        '{"version": 1, "host": "h\\u001b[2J", "port": 1, "user": "u"}',
        "\xff",
    ],
)
def test_what_cannot_be_read_is_no_address(tmp_path: Path, text: str) -> None:
    claim = claim_of(tmp_path)
    claim.publish(ADDRESS)
    (path,) = (tmp_path / ".lfadsqueue").glob("*.json")
    path.write_text(text, encoding="latin-1")
    assert read_address(tmp_path) is None
    claim.release()


def test_a_collection_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Claim.try_acquire(tmp_path / "none")
    (tmp_path / ".lfadsqueue").mkdir()
    (tmp_path / ".lfadsqueue").chmod(0o777)
    with pytest.raises(QueueError, match="everybody may write"):
        Claim.try_acquire(tmp_path)
