"""Files of posterior means and the journals they grow from, without TensorFlow."""

from __future__ import annotations

import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfadsq.errors import RunError, StorageError
from lfadsq.training.journal import TrialJournal
from lfadsq.training.posterior_file import PosteriorFile, fingerprint, is_complete

HEADER = {"fingerprint": "abc", "portions": [2, 1, 3]}
ARRAYS = {
    "costs": np.arange(6.0),
    "gen_ics": np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32),
    "factors": np.random.default_rng(1).normal(size=(6, 4, 2)).astype(np.float32),
}


def open_journal(target: Path, **changes: object) -> TrialJournal:
    return TrialJournal(target, {**HEADER, **changes}, compared=("fingerprint",))


def some(begin: int, end: int) -> dict[str, np.ndarray]:
    return {name: values[begin:end] for name, values in ARRAYS.items()}


def check(path: Path) -> None:
    with h5py.File(path) as file:
        assert set(file) == set(ARRAYS)
        for name, values in ARRAYS.items():
            assert file[name].dtype == np.float64
            assert file[name].compression == "gzip"
            np.testing.assert_array_equal(file[name][()], values.astype(np.float64))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=20), max_size=3), min_size=1, max_size=5), st.data())
def test_a_journal_that_ends_anywhere_or_is_damaged_keeps_the_records_before(
    tmp_path_factory: pytest.TempPathFactory, records: list[list[bytes]], data: st.DataObject
) -> None:
    target = tmp_path_factory.mktemp("journal") / "results"
    ends = []
    with open_journal(target) as journal:
        for record in records:
            journal.append(record)
            ends.append(journal.num_bytes)
        path = journal.path
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at]
    if data.draw(st.booleans()):
        damaged += bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
    path.write_bytes(damaged)
    num_whole = sum(end <= at for end in ends)
    with open_journal(target) as journal:
        assert journal.num_trials == num_whole
        journal.append([b"next"])
        assert list(journal.records()) == [*records[:num_whole], [b"next"]]


def test_a_journal_of_something_else_is_begun_anew(tmp_path: Path) -> None:
    with open_journal(tmp_path / "results") as journal:
        journal.append([b"a"])
    with open_journal(tmp_path / "results", portions=[9]) as journal:
        assert journal.num_trials == 1
        assert journal.header["portions"] == [2, 1, 3]
    with open_journal(tmp_path / "results", fingerprint="other") as journal:
        assert journal.num_trials == 0
    assert not list(tmp_path.iterdir())


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with open_journal(tmp_path / "results") as journal:
        journal.append([b"a"])
        with pytest.raises(RunError, match="another process"):
            open_journal(tmp_path / "results")
        assert journal.path.exists()


def test_a_long_name_has_a_journal_of_its_own(tmp_path: Path) -> None:
    names = ["x" * 250 + end for end in ("1", "2")]
    journals = [open_journal(tmp_path / name) for name in names]
    assert journals[0].path != journals[1].path
    for journal in journals:
        journal.close()


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_file_grows_over_several_processes(tmp_path: Path, stop: int) -> None:
    path = tmp_path / "means"
    (tmp_path / ".means.abc.tmp").write_bytes(b"left by a process that was killed")
    with PosteriorFile(path, "mine", [3, 1, 2]) as results:
        results.add(some(0, stop))
    assert not path.exists()
    with PosteriorFile(path, "mine", [5, 5, 5]) as results:
        assert (results.num_trials, results.portions) == (stop, (3, 1, 2))
        if stop < 6:
            results.add(some(stop, 6))
        results.finish()
    check(path)
    # Killed before it could remove its journal.
    (tmp_path / ".means.partial").write_bytes(b"anything")
    assert not is_complete(path, "other")
    assert (tmp_path / ".means.partial").exists()
    assert is_complete(path, "mine")
    assert [p.name for p in tmp_path.iterdir()] == ["means"]


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "means"
    with PosteriorFile(path, "mine", [1, 1, 1]) as results:
        results.add(ARRAYS)
    path.write_text("older")
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from lfadsq.errors import StorageError\n"
        "from lfadsq.training.posterior_file import PosteriorFile\n"
        "with PosteriorFile(Path(sys.argv[1]), 'mine', [1, 1, 1]) as results:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "    try:\n"
        "        results.finish()\n"
        "    except StorageError as error:\n"
        "        print(error)\n"
        "        sys.exit(7)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 7, (ended.returncode, -signal.SIGSEGV, ended.stderr)
    assert "ulimit -f" in ended.stdout
    assert path.read_text() == "older"
    with PosteriorFile(path, "mine", [1, 1, 1]) as results:
        assert results.num_trials == 6
        results.finish()
    check(path)


def test_a_journal_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        PosteriorFile(tmp_path / "nowhere" / "means", "mine", [1, 1, 1])


def test_memory_does_not_grow_with_the_number_of_trials(tmp_path: Path) -> None:
    row = {"factors": np.random.default_rng(0).normal(size=(1, 50, 40))}
    peaks = []
    for num_trials in (20, 200):
        tracemalloc.start()
        with PosteriorFile(tmp_path / f"means{num_trials}", "mine", [1, 1, 1]) as results:
            for _ in range(num_trials):
                results.add(row)
            results.finish()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 4 * row["factors"].nbytes


def test_fingerprints_differ_when_anything_does() -> None:
    array = np.arange(6.0)
    prints = {
        fingerprint("a", [array]),
        fingerprint("b", [array]),
        fingerprint("a", [array.reshape(2, 3)]),
        fingerprint("a", [array.astype(np.float32)]),
        fingerprint("a", [array + (array == 3)]),
        fingerprint("a", [array, array]),
        fingerprint("a", [np.zeros((0, 3))]),
    }
    assert len(prints) == 7
    assert fingerprint("a", [array]) == fingerprint("a", [array.copy()])
