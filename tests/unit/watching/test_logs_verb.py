"""`lfadsq logs`, as a process, on logs that other processes write."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lfadsq.cli.main import lfadsq as cli
from lfadsq.errors import LfadsqError
from lfadsq.queue.status import TaskState

from .processes import environment, lfadsq


def said(*words: object, status: int = 0) -> str:
    """Call it within this process, and give what it writes; or how it complains."""
    result = CliRunner().invoke(cli, ["logs", *map(str, words)])
    if status == 1:
        assert isinstance(result.exception, LfadsqError), result.output
        return str(result.exception)
    assert result.exit_code == status, (result.output, result.exception)
    return result.stdout if status == 0 else result.output


def prepared(collection: Any, name: str) -> Path:
    """The log of a run that has a script."""
    run = collection.run_of(name)
    (run / "lfads_train.sh").write_text("true\n")
    return Path(run / "lfads.out")


def test_a_run_is_named_in_every_way_that_explain_knows_and_by_hash(collection: Any) -> None:
    collection.write_script()
    name = collection.names[1]
    log = prepared(collection, name)
    log.write_text("".join(f"line {number}\n" for number in range(300)))
    folder = collection.folder
    ways: list[list[object]] = [[log.parent], [log], ["-C", folder, "ABC/run002"]]
    ways += [["-C", folder, name], [folder, "run002"], [folder, "*002*"]]
    ways += [["-C", folder, "param_ABC/run002"]]
    for way in ways:
        assert said(*way, "-n", 2) == "line 298\nline 299\n", way
    assert said(log.parent).count("\n") == 100
    assert said(log.parent, "-n", "all") == log.read_text()
    assert said(log.parent, "-n", "0") == ""


def test_json_has_an_object_for_each_line_of_each_run(collection: Any) -> None:
    collection.write_script()
    logs = [prepared(collection, name) for name in collection.names[:2]]
    logs[0].write_bytes(b'first\r\n\x1b[31mred "quoted" \xff\n\nno end')
    logs[1].write_bytes(b"x" * 70_000 + b"\nlast\n")
    told = said(collection.folder, "run001", "run002", "--json", "-n", "all")
    assert told.isascii()
    lines = [json.loads(line) for line in told.splitlines()]
    first, second = collection.names[:2]
    assert [one["line"] for one in lines if one["run"] == first] == [
        "first", '\x1b[31mred "quoted" \ufffd', "", "no end"
    ]  # fmt: skip
    *pieces, last = [one["line"] for one in lines if one["run"] == second]
    assert ("".join(pieces), last) == ("x" * 70_000, "last")
    following = said(collection.folder, "run001", "--json", "--follow", "-n", 1)
    assert json.loads(following) == {"run": first, "line": "no end"}


def test_a_run_without_queue_script_or_collection_is_found_by_its_folder(collection: Any) -> None:
    log = prepared(collection, collection.names[0])
    log.write_bytes(b"\x1b[31m\xff\x00 as it is\n")
    process = lfadsq("logs", log.parent)
    assert process.communicate(timeout=60) == (log.read_bytes(), b"")


def test_where_no_queue_ever_was_runs_have_the_names_of_their_folders(collection: Any) -> None:
    for number, name in enumerate(collection.names[:2]):
        prepared(collection, name).write_text(f"line {number}\n")
    assert not list(collection.folder.glob("*.py"))
    for words in (["-C", collection.folder, "BC/run002"], [collection.folder, "*run002"]):
        process = lfadsq("logs", *words)
        assert process.communicate(timeout=60) == (b"line 1\n", b"")
    process = lfadsq("logs", collection.folder, "run")
    assert b"'run' is part of 2 names: param_ABC/run001," in process.communicate(timeout=60)[1]


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["run00"], 1, "is part of 4 names"),
        (["run009"], 1, "no task of"),
        (["run001"], 1, "no log yet"),
        (["*"], 1, "none of 4 runs has a log yet"),
        (["run001", "--attempt", "3"], 1, "has no attempt 3; its attempts are: none yet"),
        (["run001", "--attempt", "0"], 2, "counted from 1"),
        (["run001", "-n", "few"], 2, "neither a number of lines nor 'all'"),
        ([], 2, "name the runs"),
    ],
)
def test_what_cannot_be_shown_is_told(
    collection: Any, words: list[str], status: int, expected: str
) -> None:
    collection.write_script()
    assert expected in said(collection.folder, *words, status=status)


def test_attempts_are_told_apart(collection: Any) -> None:
    name = collection.names[0]
    log = prepared(collection, name)
    log.write_text("first\n1\nsecond\n2\n3\n")
    begins = log.read_text().index("second")
    collection.record(
        name,
        collection.failed(name, 1),
        replace(collection.failed(name, 2), log_offset=begins),
    )
    folder = log.parent
    assert said(folder, "--attempt", 1) == said(folder, "--attempt", -2) == "first\n1\n"
    assert said(folder, "--attempt", 2) == said(folder, "--attempt", -1) == "second\n2\n3\n"
    assert said(folder, "--attempt", 2, "-n", 1) == "3\n"
    assert said(folder, "--attempt", 1, "-f") == "first\n1\n"  # nothing can be added to it
    assert "its attempts are: 1, 2" in said(folder, "--attempt", 3, status=1)
    log.write_text("new\n")
    assert "no longer in" in said(folder, "--attempt", 2, status=1)


def test_lines_of_several_runs_begin_with_the_run(collection: Any) -> None:
    collection.write_script()
    for name in collection.names[:3]:
        prepared(collection, name).write_text(f"begin\nof {name[-13:-7]}")
    printed = said(collection.folder, "run001", "run003")
    assert printed == "run001 | begin\nrun001 | of run001\nrun003 | begin\nrun003 | of run003\n"


def test_a_run_is_followed_until_it_ends(collection: Any) -> None:
    name = collection.names[0]
    log = prepared(collection, name)
    go = collection.folder / "go"
    program = f"until [ -e {shlex.quote(str(go))} ]; do sleep 0.05; done; echo last; rm -f x"
    with collection.left_task(name, program):
        process = lfadsq("logs", "-f", log.parent)
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        with log.open("a") as file:
            file.write("more\n")
        assert process.stdout.readline() == b"more\n"
        assert process.poll() is None
        go.touch()
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, b"last\n")
        assert err.decode() == "-- param_ABC/run001: interrupted: nobody is at work on it\n"


def test_a_run_that_a_live_queue_will_start_is_waited_for(collection: Any) -> None:
    name = collection.names[0]
    log = prepared(collection, name)
    waits = collection.status(name, TaskState.WAITING)
    with collection.live_queue(waits) as presence:
        process = lfadsq("logs", "-f", log.parent)
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"no log yet: waiting" in process.stderr.readline()
        log.write_text("at last\n")
        assert process.stdout.readline() == b"at last\n"
        assert process.poll() is None
        (log.parent / "lfads.done").touch()
        done = replace(waits, state=TaskState.DONE)
        presence.publish(collection.snapshot(done), at_once=True)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, b"", b"-- param_ABC/run001: done\n")


def test_what_has_ended_is_followed_for_ever_only_on_request(collection: Any) -> None:
    log = prepared(collection, collection.names[0])
    log.write_text("old\n")
    log.with_name("lfads.done").touch()
    assert said(log.parent, "-f") == "old\n"
    process = lfadsq("logs", "--follow-forever", log.parent)
    assert process.stdout is not None
    assert process.stdout.readline() == b"old\n"
    log.rename(log.with_name("aside"))
    log.write_text("new\n")
    assert process.stdout.readline() == b"new\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"\ninterrupted\n")


def test_a_reader_that_leaves_is_no_failure(collection: Any) -> None:
    log = prepared(collection, collection.names[0])
    log.write_text("line\n" * 100_000)
    line = f"{shlex.quote(sys.executable)} -m lfadsq logs -n all {shlex.quote(str(log))} | head -1"
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"line\n", b"")


def on_terminal(*words: object) -> bytes:
    parent, child = pty.openpty()
    process = lfadsq("logs", *words, stdout=child, stderr=child)
    os.close(child)
    printed = b""
    while True:
        try:
            block = os.read(parent, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not block:
            break
        printed += block
    os.close(parent)
    assert process.wait(30) == 0
    return printed.replace(b"\r\n", b"\n")


def test_a_terminal_obeys_nothing_that_a_log_says(collection: Any) -> None:
    logs = [prepared(collection, name) for name in collection.names[:2]]
    evil = b"\x1b]0;title\x07\x1b[2J\x1bc\x9b31m\xc2\x9b31m\x07red\x1b[0m \xe2\x80\xae!\n10 %\r90 %"
    for log in logs:
        log.write_bytes(evil)
    shown = on_terminal(logs[0].parent)
    assert shown == "^[c\ufffd31m^Gred \\u202e!\n10 %\r90 %\n".encode()
    both = on_terminal(*[log.parent for log in logs])
    expected = "^[c\ufffd31m^Gred \\u202e!\n".encode()
    assert both.count(expected) == 2
    assert both.count(b" | 90 %\n") == 2
    for sign in (b"\x1b", b"\x07", b"\xc2\x9b"):
        assert sign not in shown + both


def test_a_log_that_is_no_file_is_told_also_while_following(collection: Any) -> None:
    log = prepared(collection, collection.names[0])
    log.mkdir()
    for words in ([log.parent], [log.parent, "-f"]):
        assert f"cannot read {log}: Is a directory" in said(*words, status=1)


def test_names_of_folders_are_harmless_too(collection: Any) -> None:
    log = prepared(collection, collection.names[0])
    odd = log.parent.with_name("\x1b[31mred\x1b[0m\x07")
    log.parent.rename(odd)
    (odd / "lfads.out").write_text("text\n")
    process = lfadsq("logs", odd, "-f")
    out, err = process.communicate(timeout=30)
    assert (out, err) == (b"text\n", b"-- param_ABC/red^G: not started, and no queue has it\n")


def test_only_the_end_of_a_huge_log_is_read(collection: Any) -> None:
    log = prepared(collection, collection.names[0])
    with log.open("wb") as file:
        file.truncate(1 << 38)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast line\n")
    assert said(log, "-n", 1) == "last line\n"
