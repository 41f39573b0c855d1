"""``lfadsq gpus``: what it shows of GPUs, and how it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from lfadsq.queue.processes import JOURNAL_DESCRIPTOR, TOKEN_VARIABLE
from lfadsq.watching.gpu_processes import is_trainer, run_of_command
from lfadsq.watching.machine_gpus import GpuWatch

from ...nvml_standin.standin import ERRORS, StandInGpu, StandInGpus
from ..cli.verbs import said
from ..queue.conftest import QueueProcess, spec_of, wait_until

NO_SUCH_PROCESS = 2**22 + 1  # above the highest pid a kernel gives
ROOT = Path(__file__).parents[3]


@contextlib.contextmanager
def process(
    words: Sequence[str], gpus: StandInGpus, token: str = "", lock: Path | None = None
) -> Iterator[int]:
    """Run a process that has a GPU open, and perhaps what a queue's tasks inherit."""

    def inherit() -> None:
        os.open(gpus.device_node, os.O_RDONLY)
        if lock is not None:
            os.dup2(os.open(lock, os.O_RDWR), JOURNAL_DESCRIPTOR)

    environment = {**os.environ, **({TOKEN_VARIABLE: token} if token else {})}
    waits = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", *words]
    with subprocess.Popen(
        waits,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
        env=environment,
        preexec_fn=inherit,
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        try:
            yield started.pid
        finally:
            started.kill()


def rows(text: str) -> list[list[str]]:
    """Cut the lines of GPUs at two blanks and more."""
    return [re.split(r"\s{2,}", li.strip()) for li in text.splitlines() if re.match(r"\d", li)]


def test_numbers_of_gpus(gpus: StandInGpus) -> None:
    gpus.put(
        StandInGpu("GPU-a", util=97, total=40960, reserved=500, used=31245, power=411, temp=61),
        StandInGpu("GPU-b", "NVIDIA A100-SXM4-80GB with a name that is long", total=81920),
    )
    text = said("gpus")
    assert rows(text) == [
        ["0", "NVIDIA A100", "97 %", "31245/40460", "411/400", "61 C"],
        ["1", "NVIDIA A100-SXM4-80GB wi...", "0 %", "0/81920", "60/400", "35 C"],
    ]
    assert "2 GPUs, driver 0.0 (stand-in)" in text
    assert "GPU-a" not in text
    assert "GPU-a" in said("gpus", "--uuid")
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_not_told_is_a_dash(gpus: StandInGpus) -> None:
    part = StandInGpu("MIG-1", total=10000, used=2000, index=0, gi=1)
    gpus.put(
        StandInGpu("GPU-old", util=-1, power=-1, limit=-1, temp=-1, processes=[(7, -1)]),
        StandInGpu("GPU-cut", parts=[part]),
    )
    text = said("gpus")
    assert rows(text) == [
        ["0", "NVIDIA A100", "-", "0/40000", "-", "-"],
        ["1:0", "NVIDIA A100 MIG", "-", "2000/10000", "-", "-"],
    ]
    data = json.loads(said("gpus", "--json"))
    assert data["gpus"][0]["power_w"] is None
    assert data["gpus"][0]["processes"][0]["memory_mb"] is None
    assert data["gpus"][1]["mig_index"] == 0


def test_a_gpu_that_does_not_answer_hides_no_other(gpus: StandInGpus) -> None:
    gpus.put(StandInGpu("GPU-a", error=ERRORS["lost"]), StandInGpu("GPU-b", util=5))
    text = said("gpus")
    assert "0     GPU does not answer: " in text
    assert rows(text)[1][2] == "5 %"
    first, second = json.loads(said("gpus", "--json"))["gpus"]
    assert first["problem"]
    assert not second["problem"]


def test_hidden_gpus_are_shown_and_marked(
    gpus: StandInGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus.put_alike(3)
    assert "hidden" not in said("gpus")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    lines = said("gpus").splitlines()
    marked = [n for n, line in enumerate(lines) if "hidden" in line]
    assert [lines[n - 1][0] for n in marked] == ["0", "2"]
    visible = [gpu["is_visible"] for gpu in json.loads(said("gpus", "--json"))["gpus"]]
    assert visible == [False, True, False]


@pytest.mark.parametrize("error", ["not loaded", "mismatch", "no permission"])
def test_no_driver_is_an_answer_and_no_error(gpus: StandInGpus, error: str) -> None:
    gpus.init_error = ERRORS[error]
    gpus.write()
    for options in ([], ["--watch"], ["--watch", "5"]):
        text = said("gpus", *options)
        assert "no GPU can be seen" in text
        assert "what to do: " in text
        assert "/dev/nvidia0" in text
    data = json.loads(said("gpus", "--json"))
    assert data["gpus"] == []
    assert data["problem"]
    assert data["tried"]


def test_a_machine_without_the_drivers_library(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"")  # found first, and no library
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "lfadsq", "gpus"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "libnvidia-ml.so.1 is not found" in done.stdout
    assert not done.stderr


def test_a_driver_that_goes_and_comes_back_is_seen_again(gpus: StandInGpus) -> None:
    gpus.put(StandInGpu("GPU-a"))
    with contextlib.closing(GpuWatch({})) as watch:
        assert not watch.look().problem
        gpus.era, gpus.gpus[0].era = 1, 1  # the driver was loaded anew
        gpus.write()
        assert all(gpu.problem for gpu in watch.look().gpus)
        assert [gpu.uuid for gpu in watch.look().gpus] == ["GPU-a"]
        assert not watch.look().gpus[0].problem


# --- processes ------------------------------------------------------------------------------------


def test_whose_processes_are_on_a_gpu(gpus: StandInGpus, tmp_path: Path) -> None:
    run = tmp_path / "param_Yw0JcR" / "all"
    run.mkdir(parents=True)
    lock = run / "lfads.lock"
    lock.touch()
    hostile = "\x1b[31mred\nsecond line"
    with process([], gpus, "token", lock) as ours, process([hostile], gpus) as other:
        gpus.put(StandInGpu("GPU-a", processes=[(other, 300), (ours, 7000), (NO_SUCH_PROCESS, 12)]))
        text = said("gpus")
        first, second, third = json.loads(said("gpus", "--json"))["gpus"][0]["processes"]
    lines = text.splitlines()[-3:]
    assert re.search(rf"{ours} \w+ +7000 MB  run param_Yw0JcR/all$", lines[0])
    assert f"{other} " in lines[1]
    assert r"\x1b[31mred\nsecond line" in lines[1]
    assert "not to be seen from here" in lines[2]
    assert (first["is_lfadsq"], first["run"]) == (True, str(run))
    assert (second["is_lfadsq"], second["run"]) == (False, "")
    assert second["command"][-1] == hostile
    assert (third["user"], third["command"]) == ("", [])


def test_runs_of_a_queue_are_known(
    gpus: StandInGpus, tmp_path: Path, start_queue: Callable[..., QueueProcess]
) -> None:
    gpus.put(StandInGpu("GPU-a"))
    spec = spec_of(tmp_path / "param_x", "it's", gpus.training(5000, 30), 4000)
    queue = start_queue([spec], grace_s=1)
    with contextlib.closing(GpuWatch({})) as watch:
        (user,) = wait_until(lambda: watch.look().gpus[0].users, "it trains")
    assert (user.run_name, user.memory_mb) == ("param_x/it's", 5000)
    queue.send_signal(signal.SIGTERM)
    queue.wait()


def test_a_trainer_by_hand_is_known_by_its_command() -> None:
    run = "/runs/param_a/single day"
    for words in (
        ["python3", "-m", "lfadsq", "train", f"--lfads_save_dir={run}/lfadsOutput"],
        ["/env/bin/python", "/env/bin/run_lfads.py", "--lfads_save_dir", f"{run}/lfadsOutput/"],
        ["lfadsq", "train", "--lfads_save_dir", run],
    ):
        assert is_trainer(words)
        assert run_of_command(words) == run
    relative = ["lfadsq", "train", "--lfads_save_dir=lfadsOutput"]
    assert run_of_command(relative) == ""
    assert run_of_command(relative, "/runs/all") == "/runs/all"
    for words in (["vim", "lfadsq"], ["python", "train.py"], [], ["python", "-m", "other"]):
        assert not is_trainer(words)


# --- watching -------------------------------------------------------------------------------------


def watch_command(*words: str) -> list[str]:
    return [sys.executable, "-m", "lfadsq", "gpus", "--watch", "0.1", *words]


def test_watching_into_a_pipe_is_plain_text_again_and_again(gpus: StandInGpus) -> None:
    gpus.put(StandInGpu("GPU-a", util=41))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    for words, wanted in (([], "--- "), (["--json"], "{")):
        with subprocess.Popen(
            watch_command(*words), env=environment, stdout=subprocess.PIPE, text=True
        ) as watching:
            assert watching.stdout is not None
            seen: list[str] = []
            while sum(line.startswith(wanted) for line in seen) < 3:
                seen.append(watching.stdout.readline())
            watching.send_signal(signal.SIGTERM)
            watching.stdout.read()
            assert watching.wait(10) == 143
        assert "\x1b" not in "".join(seen)
        if words:
            assert json.loads(seen[0])["gpus"][0]["utilisation_percent"] == 41


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_watching_leaves_the_terminal_as_it_was(
    gpus: StandInGpus, number: signal.Signals, status: int
) -> None:
    gpus.put_alike(40)
    gpus.gpus[0].name = "\x1b[31m" * 9
    gpus.gpus[1].processes = [(os.getpid(), 5)]  # its command line is long
    gpus.write()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    environment.pop("LINES", None)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    watching = subprocess.Popen(
        watch_command(), env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    seen = ""
    deadline_s = time.monotonic() + 20
    while seen.count("Ctrl-C ends") < 3:
        assert time.monotonic() < deadline_s, seen
        seen += os.read(ours, 65536).decode()
    watching.send_signal(number)
    assert watching.wait(10) == status
    assert termios.tcgetattr(theirs) == before
    os.close(theirs)
    try:
        while more := os.read(ours, 65536).decode():
            seen += more
    except OSError as error:
        if error.errno != errno.EIO:  # nobody has it open any more
            raise
    os.close(ours)
    assert seen.count("\x1b[?1049h") == seen.count("\x1b[?1049l") == 1
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")  # the cursor is there again
    picture = seen.split("\x1b[H")[2]
    shown = [re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", line) for line in picture.splitlines()]
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 80
    assert "more lines need a higher terminal" in picture
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7])m", seen)  # no colour
