from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lfadsq.errors import StorageError
from lfadsq.watching.log_reading import LogFollower, begin_of_tail, read_range

from .processes import wait_until


def tail(path: Path, num_lines: int, begin: int = 0, end: int | None = None) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        at = begin_of_tail(descriptor, num_lines, begin, end)
        return b"".join(read_range(descriptor, at, end))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("text", [b"", b"\n", b"one", b"one\n", b"a\nb\n\nc", b"a\nb\n\nc\n\n"])
@pytest.mark.parametrize("num_lines", [0, 1, 2, 3, 9])
def test_the_last_lines_are_those_of_the_text(tmp_path: Path, text: bytes, num_lines: int) -> None:
    path = tmp_path / "log"
    path.write_bytes(text)
    expected = text.splitlines(keepends=True)[-num_lines:] if num_lines else []
    assert tail(path, num_lines) == b"".join(expected)


def test_lines_over_many_blocks_are_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = [f"{number} {'x' * (number * 37 % 5000)}\n".encode() for number in range(400)]
    path.write_bytes(b"".join(lines))
    for num_lines in (1, 17, 123, 400, 500):
        assert tail(path, num_lines) == b"".join(lines[-num_lines:])


def test_only_a_part_of_a_log_counts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first\nof one\nsecond\nof two\n")
    assert tail(path, 5, 0, 13) == b"first\nof one\n"
    assert tail(path, 1, 0, 13) == b"of one\n"
    assert tail(path, 5, 13) == b"second\nof two\n"


def test_the_end_of_a_huge_log_is_all_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # 1 TB of zeros without a line break, which takes no room
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast\n")
    assert tail(path, 1) == b"last\n"
    assert len(tail(path, 2)) < 2_000_000


def news(follower: LogFollower, now_s: float = 0.0) -> bytes:
    return b"".join(follower.news(now_s))


def test_growth_is_followed_from_the_last_lines_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\nc\n")
    with LogFollower(path, 2) as follower, path.open("ab") as log:
        assert news(follower) == b"b\nc\n"
        assert news(follower) == b""
        for piece in (b"d", b"e\n", b"\xc3", b"\xa4" * 200_000):
            log.write(piece)
            log.flush()
            assert news(follower) == piece


def test_a_log_that_comes_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with LogFollower(path, 1) as follower:
        assert not follower.exists
        assert news(follower) == b""
        path.write_bytes(b"a\nb\n")
        assert news(follower) == b"a\nb\n"
        assert follower.exists


def test_a_log_that_was_emptied_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\n")
    with LogFollower(path) as follower:
        assert news(follower) == b"a\nb\n"
        path.write_bytes(b"c\n")
        assert news(follower) == b"c\n"
        # It has grown past the place that was read before anybody looked.
        path.write_bytes(b"something longer than that\n")
        assert news(follower) == b"something longer than that\n"


def test_a_log_moved_aside_is_read_to_its_end_before_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("ab", buffering=0) as old:
        old.write(b"1\n")
        with LogFollower(path) as follower:
            assert news(follower) == b"1\n"
            old.write(b"2\n")
            path.rename(tmp_path / "log.1")
            old.write(b"3\n")
            assert news(follower) == b"2\n3\n"
            old.write(b"4\n")
            path.write_bytes(b"new\n")
            assert news(follower, 1.0) == b"4\nnew\n"
            old.write(b"5\n")
            assert news(follower, 2.0) == b"5\n"
            assert news(follower, 100.0) == b""
            old.write(b"too late\n")
            assert news(follower, 200.0) == b""


def test_nothing_is_lost_or_doubled_while_a_log_grows_and_rotates(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()

    def write() -> None:
        for part in range(5):
            with path.open("ab", buffering=0) as log:
                for number in range(300):
                    log.write(b"%d\n" % (part * 300 + number))
            # Two logs moved aside between two looks are more than anybody could follow.
            at = len(polls) + 1
            wait_until(lambda at=at: len(polls) > at, "a look")
            path.rename(tmp_path / f"log.{part}")

    polls: list[None] = []
    writer = threading.Thread(target=write)
    read = b""
    with LogFollower(path) as follower:
        writer.start()
        while writer.is_alive():
            read += news(follower)
            polls.append(None)
        writer.join()
        read += news(follower)
    assert read.split() == [b"%d" % number for number in range(1500)]


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Is a directory"):
        LogFollower(tmp_path)
