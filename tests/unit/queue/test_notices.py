from __future__ import annotations

import contextlib
import json
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lfadsq.errors import ConfigError
from lfadsq.queue.couriers import CommandCourier, WebhookCourier
from lfadsq.queue.events import (
    Event,
    Failure,
    Noted,
    QueueEnded,
    QueueStarted,
    QueueSummary,
    TaskCancelled,
    TaskFailed,
    TaskFinished,
    TaskRetried,
)
from lfadsq.queue.mailbox import Mailbox
from lfadsq.queue.notices import KINDS, NoticeReporter
from lfadsq.queue.records import Attempt, Cause
from lfadsq.queue.tasks import Task

from .conftest import is_alive, wait_until

HOSTILE = "it's $(touch pwned) `touch pwned`; touch pwned #\u00fc"
SECRET = "T0KEN/s3cret"


class Hook(ThreadingHTTPServer):
    """A webhook on this machine, which answers as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.statuses: list[int] = []  # of the next answers; 200 once they are used up
        self.hangs = False
        self.end_of_hanging = threading.Event()
        super().__init__(("127.0.0.1", 0), Answer)
        self.address = f"http://localhost:{self.server_port}/{SECRET}"


class Answer(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(body))
        assert self.path == f"/{SECRET}"
        assert self.headers["Content-Type"] == "application/json"
        if self.server.hangs:
            self.server.end_of_hanging.wait(20)
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        with contextlib.suppress(OSError):
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"/{SECRET}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def do_GET(self) -> None:
        self.server.got.append({"text": "a redirection was followed"})
        self.send_error(500)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.end_of_hanging.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def notes() -> list[Noted]:
    return []


def task_in(folder: Path, name: str = "a") -> Task:
    return Task(name, "true", 1.0, folder / "lfads.out", folder / "lfads.done")


def events_of(folder: Path, name: str = "a") -> list[Event]:
    task = task_in(folder, name)
    failure = Failure(
        name, Cause.GPU_MEMORY, "exit status 1", "take less", "GPU 0", task.outfile, "the end", "by"
    )
    summary = QueueSummary("q", ("a", "b"), ("c",), (failure,), (), (), 75.0, cancelled=("d",))
    return [
        QueueStarted("q", 3, 1, ("GPU 0",), 1, ""),
        TaskRetried(task, failure, "alone on its GPU"),
        TaskFinished(task, Attempt(1, "true", "h", "GPU-y", "GPU 1", "2018", 0)),
        TaskFailed(task, failure),
        TaskCancelled(task),
        QueueEnded(summary),
    ]


def report_all(reporter: NoticeReporter, events: list[Event]) -> None:
    for event in events:
        reporter.report(event)
    reporter.close()


def to_file(path: Path) -> str:
    return f"cat >> {shlex.quote(str(path))}"


def test_a_command_gets_what_happened_and_no_text_of_it_is_run(
    tmp_path: Path, notes: list[Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = (
        'printf "%s|" "$LFADSQ_EVENT" "$LFADSQ_TASK" "$LFADSQ_CAUSE" "$LFADSQ_QUEUE" "$LFADSQ_LOG"'
        ' "$LFADSQ_NUM_FINISHED" "$LFADSQ_NUM_FAILED" "$LFADSQ_NUM_CANCELLED" > environment;'
        ' printf "%s" "$LFADSQ_MESSAGE" > message; cat > given'
    )
    reporter = NoticeReporter(command, on=["failed"], note=notes.append)
    report_all(reporter, events_of(tmp_path, HOSTILE))
    log = tmp_path / "lfads.out"
    assert (tmp_path / "environment").read_text() == (
        f"failed|{HOSTILE}|out of GPU memory|q|{log}|1|1|0|"
    )
    message = (tmp_path / "message").read_text()
    assert "take less" in message
    given = json.loads((tmp_path / "given").read_text())
    assert given["task"] == HOSTILE
    assert given["message"] == message
    assert given["text"].startswith("[q] FAILED")
    assert not (tmp_path / "pwned").exists()
    assert notes == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_told_by_command_and_webhook(tmp_path: Path, hook: Hook, kind: str) -> None:
    told = tmp_path / "told"
    report_all(NoticeReporter(to_file(told), hook.address, [kind]), events_of(tmp_path))
    (by_command,) = map(json.loads, told.read_text().splitlines())
    (by_webhook,) = hook.got
    assert by_command["event"] == by_webhook["event"] == kind
    assert by_webhook["content"] == by_webhook["text"]
    words = {
        "finished": "[q] finished: a",
        "failed": "[q] FAILED       a on GPU 0: out of GPU memory (exit status 1)",
        "retried": "alone on its GPU",
        "cancelled": "[q] cancelled: a",
        "done": "[q] queue q: 2 finished, 1 done before, 1 failed, 1 cancelled in 1 min 15 s",
    }
    assert words[kind] in by_webhook["text"]
    where = {"finished": "GPU 1", "failed": "GPU 0", "retried": "GPU 0"}
    assert by_webhook["device"] == where.get(kind, "")


def test_at_the_end_all_counts_are_there(tmp_path: Path, hook: Hook) -> None:
    report_all(NoticeReporter(webhook=hook.address), events_of(tmp_path))
    failed, done = hook.got
    assert failed["event"] == "failed"
    counts = {key: value for key, value in done.items() if key.startswith("num_")}
    assert counts == {
        "num_finished": 2,
        "num_skipped": 1,
        "num_failed": 1,
        "num_cancelled": 1,
        "num_interrupted": 0,
        "num_left": 0,
        "num_not_started": 0,
    }


def test_names_call_nobody_and_long_texts_are_cut(tmp_path: Path, hook: Hook) -> None:
    reporter = NoticeReporter(webhook=hook.address, on=["finished"])
    reporter.report(TaskFinished(task_in(tmp_path, "<!channel> @everyone" + "x" * 5000), None))
    reporter.close()
    (got,) = hook.got
    assert "<!" not in got["text"]
    assert "@everyone" not in got["text"]
    assert len(got["text"]) < 2000  # more is too much for Discord


def one_warning(notes: list[Noted]) -> str:
    (note,) = notes
    assert note.is_warning
    return note.text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo oh no >&2; exit 3", "it ended with exit status 3: oh no"),
        ("no_such_command_at_all", "exit status 127"),
        ("kill -9 $$", "it ended with signal 9"),
    ],
)
def test_a_command_that_fails_is_told_once(
    tmp_path: Path, notes: list[Noted], command: str, words: str
) -> None:
    reporter = NoticeReporter(command, on=KINDS, note=notes.append)
    report_all(reporter, events_of(tmp_path))
    assert words in one_warning(notes)


def test_a_command_that_is_given_much_and_reads_nothing_is_fine(
    tmp_path: Path, notes: list[Noted]
) -> None:
    reporter = NoticeReporter("head -c 1000000 /dev/zero", on=["finished"], note=notes.append)
    reporter.report(TaskFinished(task_in(tmp_path, "x" * 1_000_000 + "\udcff"), None))
    reporter.close()
    assert notes == []


def test_a_command_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = f"sleep 1000 & echo $! $$ > {shlex.quote(str(pids))}; wait"
    mailbox: Mailbox[object] = Mailbox(print, "unused")
    problem = CommandCourier(command, timeout_s=0.5).deliver({"text": "x"}, mailbox)
    assert "killed" in problem
    assert len(pids.read_text().split()) == 2
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not is_alive(int(pid)), "its end")


def test_a_queue_does_not_wait_for_what_hangs(
    tmp_path: Path, hook: Hook, notes: list[Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfadsq.queue.notices._CLOSE_S", 0.5)
    hook.hangs = True
    reporter = NoticeReporter("sleep 1000", hook.address, KINDS, note=notes.append)
    began_s = time.monotonic()
    for event in events_of(tmp_path) * 500:
        reporter.report(event)
    assert time.monotonic() - began_s < 2
    wait_until(lambda: hook.got, "the first")
    began_s = time.monotonic()
    reporter.close()
    assert time.monotonic() - began_s < 5
    texts = " ".join(note.text for note in notes)
    assert "some are left out" in texts
    assert "notices by the command were not sent in time" in texts
    assert "notices by the webhook at localhost were not sent in time" in texts


def deliver(hook: Hook, **options: Any) -> str:
    mailbox: Mailbox[object] = Mailbox(print, "unused")
    courier = WebhookCourier(hook.address, pauses_s=(0.01, 0.01), **options)
    return courier.deliver({"text": "x"}, mailbox)


@pytest.mark.parametrize(
    ("statuses", "num_tries", "words"),
    [
        ([500, 503], 3, ""),
        ([429], 2, ""),
        ([500, 500, 500], 3, "HTTP status 500"),
        ([404], 1, "HTTP status 404"),
        ([302], 1, "HTTP status 302"),
    ],
)
def test_only_what_may_help_is_tried_again(
    hook: Hook, statuses: list[int], num_tries: int, words: str
) -> None:
    hook.statuses = statuses
    problem = deliver(hook)
    assert (words in problem) if words else problem == ""
    assert len(hook.got) == num_tries


def test_a_webhook_that_hangs_is_given_up(hook: Hook) -> None:
    hook.hangs = True
    assert "did not answer" in deliver(hook, timeout_s=0.1)
    assert len(hook.got) == 3


def test_a_webhook_that_refuses_is_told_without_its_secret(
    tmp_path: Path, notes: list[Noted], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}/{SECRET}"
        reporter = NoticeReporter(webhook=address, on=KINDS, note=notes.append)
        report_all(reporter, events_of(tmp_path))
    assert "the webhook at 127.0.0.1: it cannot be reached: Connection refused" in one_warning(
        notes
    )
    assert "s3cret" not in notes[0].text + caplog.text


def test_a_proxy_is_not_asked_for_this_machine(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert deliver(hook) == ""
    assert len(hook.got) == 1


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/s3cret",
        "http://localhost.example.org/s3cret",
        "http://10.0.0.1/s3cret",
        "https://user:s3cret@example.org/x",
        "https:///s3cret",
        "https://example.org/s3cret\nHost: x",
        "https://example.org:port/s3cret",
        "ftp://example.org/s3cret",
        "file:///s3cret",
        "s3cret",
        "",
        7,
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        NoticeReporter(webhook=address)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["https://hooks.example.org/x", "http://127.0.0.1:1/x", "http://[::1]:1/x"]
)
def test_addresses_that_can_be_used(address: str) -> None:
    NoticeReporter(webhook=address).close()


@pytest.mark.parametrize(
    "make",
    [
        lambda: NoticeReporter("true", on=["faild"]),
        lambda: NoticeReporter("true", on="failed"),
        lambda: NoticeReporter("  "),
        lambda: NoticeReporter("a\0b"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError):
        make()
