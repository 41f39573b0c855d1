"""`lfadsq tensorboard`, as a process, with a program that stands in for TensorBoard."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lfadsq.paths import RunPaths

from .processes import ROOT, environment, lfadsq, wait_until

# It writes down what it was called with and what it was shown, then serves.
STAND_IN = """#!/bin/bash
for a in "$@"; do case $a in
    --port=*) port=${a#*=};; --host=*) host=${a#*=};; --logdir=*) folder=${a#*=};;
esac; done
printf '%s\\n' "$$" "$@" > "$CALLS.aside"; mv "$CALLS.aside" "$CALLS"
(cd "$folder" && find . -type l -printf '%P -> %l\\n' | sort) > "$CALLS.links"
if (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then
    echo first; echo "could not bind to port $port, it was already in use" >&2; exit 1
fi
exec "$REAL_PYTHON" -m http.server --bind "$host" "$port"
"""
LINE = (
    "epoch,{0}, step,4, total,12.00,{1}, recon,10.00,11.00, kl,1.00,1.50, "
    "l2,0.50000, klweight,1.0, l2weight,1.0\n"
)


class Calls:
    """An environment in which the stand-in is all there is, and what it was called with."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.file = folder / "calls"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        # Programs beside the interpreter come first, so it is to lie in a folder of its own.
        base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
        (self.programs / "python").symlink_to(base)
        self.stand_in = self.programs / "tensorboard"
        self.stand_in.write_text(STAND_IN)
        self.stand_in.chmod(0o755)

    def start(self, *words: object) -> subprocess.Popen[bytes]:
        self.file.unlink(missing_ok=True)
        return subprocess.Popen(
            [str(self.programs / "python"), "-m", "lfadsq", "tensorboard", *map(str, words)],
            env=environment(
                PYTHONPATH=f"{ROOT}:{sysconfig.get_path('purelib')}",
                PATH=f"{self.programs}:/usr/bin:/bin",
                CALLS=str(self.file),
                REAL_PYTHON=sys.executable,
                TMPDIR=str(self.temporary),
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def arguments(self) -> list[str]:
        return wait_until(self.file.exists, "the call") and self.file.read_text().splitlines()[1:]

    def is_alive(self) -> bool:
        return Path(f"/proc/{self.file.read_text().split()[0]}").exists()

    def links(self) -> list[str]:
        return Path(f"{self.file}.links").read_text().splitlines()

    def is_clean(self) -> bool:
        return not self.is_alive() and not list(self.temporary.iterdir())


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[Calls]:
    calls = Calls(tmp_path)
    yield calls
    wait_until(lambda: not calls.file.exists() or calls.is_clean(), "nothing to be left")


def address_told(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    first = process.stdout.readline().decode()
    assert first.startswith("TensorBoard: http://"), (first, process.stderr)
    tunnel = process.stdout.readline().decode()
    port = first.split()[1].rpartition(":")[2]
    assert re.search(rf"ssh -N -L 6006:\S+:{port} \S+@\S+\n", tunnel)
    assert process.stdout.readline() == b"  and there: http://localhost:6006\n"
    return first.split()[1]


def interrupted(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"\ninterrupted\n")


def trained(collection: Any, costs: list[float | None]) -> list[Path]:
    """Run directories as trainings leave them; None for one without a cost."""
    collection.write_script()
    folders = [collection.run_of(name) for name in collection.names]
    for folder, cost in zip(folders, costs, strict=True):
        train(folder, cost)
    return folders


def train(folder: Path, cost: float | None) -> None:
    run = RunPaths(folder)
    run.output.log_dir.mkdir(parents=True)
    run.train_script.write_text("true\n")
    if cost is not None:
        run.output.fit_log().write_text(LINE.format(1, 99.0) + LINE.format(2, cost))


def test_a_collection_is_shown_once_and_its_address_told_to_others(
    collection: Any, calls: Calls
) -> None:
    trained(collection, [None] * 4)
    process = calls.start(collection.folder)
    address = address_told(process)
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert answer.status == 200
    port = address.rpartition(":")[2]
    expected = [f"--logdir={collection.folder}", "--host=localhost", "--reload_interval=30"]
    assert calls.arguments() == [*expected, f"--port={port}"]
    other = lfadsq("tensorboard", "-C", collection.folder)
    out, err = other.communicate(timeout=30)
    assert (other.returncode, err) == (0, b"")
    assert out.decode().startswith(f"TensorBoard: {address} (that of another queue, or of another")
    assert process.poll() is None
    interrupted(process)
    wait_until(calls.is_clean, "its end")


def test_chosen_runs_are_links_that_go_even_if_we_are_killed(collection: Any, calls: Calls) -> None:
    folders = trained(collection, [None] * 4)
    shutil.rmtree(RunPaths(folders[3]).lfads_output)  # has not started; may yet
    process = calls.start(collection.folder, "run002", "*_run004_*", "ABC/run002")
    address_told(process)
    assert calls.links() == [
        f"runs/{name} -> {folder}/lfadsOutput/lfads_log".removeprefix("runs/")
        for name, folder in (("param_ABC/run002", folders[1]), ("param_ABC/run004", folders[3]))
    ]
    process.kill()
    process.communicate()
    wait_until(calls.is_clean, "its end, and that of the links")
    assert RunPaths(folders[1]).output.log_dir.is_dir()  # links go, and nothing behind them


def test_the_best_are_those_of_the_lowest_validation_cost_of_each_dataset(
    collection: Any, calls: Calls
) -> None:
    collection.write_script()
    settings = ("A", "B", "C", "D")
    for param_hash, cost in zip(settings, (30.0, 10.0, float("nan"), 20.5), strict=True):
        train(collection.folder / f"param_{param_hash}" / "day_1", cost)
    train(collection.folder / "param_C" / "day_2", 50.0)
    train(collection.folder / "param_D" / "day_2", None)
    best = {"param_B/day_1": "10", "param_D/day_1": "20.5", "param_C/day_2": "50"}
    for words, expected in (
        (["--best", 2], best),
        (["A/day_1", "B/day_1", "--best"], {"param_B/day_1": "10"}),
    ):
        process = calls.start("-C", collection.folder, *words)
        assert process.stdout is not None
        for name, cost in expected.items():
            assert process.stdout.readline().decode() == f"validation cost {cost}: {name}\n"
        address_told(process)
        assert [link.split()[0] for link in calls.links()] == sorted(expected)
        process.terminate()
        process.communicate()


def test_a_port_of_choice_and_other_addresses(collection: Any, calls: Calls) -> None:
    trained(collection, [None] * 4)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = calls.start(collection.folder, "--port", port, "--host", "0.0.0.0")
    assert address_told(process) == f"http://localhost:{port}"
    assert calls.arguments()[1:] == ["--host=0.0.0.0", "--reload_interval=30", f"--port={port}"]
    assert process.stderr is not None
    assert b"warning: whoever can reach 0.0.0.0 sees" in process.stderr.readline()
    interrupted(process)


def test_a_port_that_is_taken_is_told(collection: Any, calls: Calls) -> None:
    trained(collection, [None] * 4)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = calls.start(collection.folder, "--port", taken.getsockname()[1])
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, b"")
    lines = err.decode().splitlines()
    assert lines[0].endswith("already in use")
    assert lines[1:] == ["| first", f"| {lines[0].partition('1: ')[2]}"]


def test_a_missing_program_is_told(collection: Any, calls: Calls) -> None:
    trained(collection, [None] * 4)
    calls.stand_in.unlink()
    process = calls.start(collection.folder, "run001")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, b"")
    assert b"pip install tensorboard" in err
    wait_until(lambda: not list(calls.temporary.iterdir()), "the links to go")


@pytest.mark.slow
def test_the_real_one_shows_the_chosen_runs_also_if_their_names_are_odd(collection: Any) -> None:
    writer = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    folders = trained(collection, [None] * 4)
    odd = folders[1].with_name("a, b:c d")
    folders[1].rename(odd)
    for folder in (folders[0], odd, folders[2]):
        events = writer.EventFileWriter(str(RunPaths(folder).output.log_dir))
        summary = Summary(value=[Summary.Value(tag="LFADS/cost", simple_value=1.0)])
        events.add_event(Event(step=1, summary=summary))
        events.close()
    process = lfadsq("tensorboard", odd, folders[2])
    address = address_told(process)

    def runs() -> list[str]:
        with urllib.request.urlopen(f"{address}/data/runs", timeout=10) as answer:
            return sorted(json.load(answer))

    assert wait_until(runs, "the runs", 60) == ["param_ABC/a, b:c d", "param_ABC/run003"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
