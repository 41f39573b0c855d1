"""A file appears whole or not at all."""

from __future__ import annotations

import errno
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lfadsq.errors import StorageError
from lfadsq.files import (
    check_readable,
    make_folder,
    storage_errors,
    write_text,
    written_aside,
)


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "summary.txt"
    write_text(path, "one")
    write_text(path, "zwei äöü")
    assert path.read_text(encoding="utf-8") == "zwei äöü"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127])
def test_the_longest_names_of_files_can_be_written(tmp_path, name):
    write_text(tmp_path / name, "one")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "data.h5"
    write_text(path, "old")

    def fail_half_way():
        with written_aside(path) as aside:
            aside.write_text("half of the n")
            raise KeyError("dies here")

    with pytest.raises(KeyError):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path):
    path = tmp_path / "data.h5"
    script = (
        "import os, signal, sys; from pathlib import Path; from lfadsq.files import written_aside\n"
        "with written_aside(Path(sys.argv[1])) as aside:\n"
        "    aside.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not path.exists()


def test_a_full_disk_is_named_with_a_remedy_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "data.h5"
    write_text(path, "old")
    script = (
        "import sys; from pathlib import Path; from lfadsq.files import write_text\n"
        "from lfadsq.errors import StorageError\n"
        "try: write_text(Path(sys.argv[1]), 'x' * 100_000)\n"
        "except StorageError as error: print(error); sys.exit(7)\n"
    )

    def limit_file_size():
        # Past this size a write fails as on a full disk, once the signal is ignored.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    ended = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        preexec_fn=limit_file_size,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 7, ended.stderr
    assert f"cannot write {path}: File too large" in ended.stdout
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_space_left_says_to_free_some(tmp_path):
    def write_to_full_device():
        with (
            storage_errors(tmp_path / "x", "write"),
            Path("/dev/full").open("w") as full,
        ):
            full.write("x" * 100_000)

    with pytest.raises(StorageError, match="No space left on device; free some space"):
        write_to_full_device()


def test_a_file_that_cannot_be_read_says_so_in_the_systems_words(tmp_path):
    with pytest.raises(StorageError, match=r"cannot read .*: Is a directory; a folder is where"):
        check_readable(tmp_path)
    with (
        pytest.raises(StorageError, match="Permission denied; ask its owner for permission"),
        storage_errors(tmp_path, "read"),
    ):
        raise PermissionError(errno.EACCES, "no")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot make the folder .*file"):
        make_folder(tmp_path / "file" / "below")


def test_permissions_follow_the_umask_and_are_never_open_to_all(tmp_path):
    script = (
        "import os, sys; os.umask(int(sys.argv[2], 8))\n"
        "from pathlib import Path; from lfadsq.files import write_text\n"
        "write_text(Path(sys.argv[1]), '', executable=True)\n"
    )
    for umask, expected in (("022", 0o755), ("077", 0o700), ("000", 0o775)):
        path = tmp_path / umask
        subprocess.run([sys.executable, "-c", script, str(path), umask], check=True)
        assert stat.S_IMODE(path.stat().st_mode) == expected
