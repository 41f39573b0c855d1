"""The trainer as real processes: its command line, and faults from outside."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lfadsq.training.checkpoints import load_newest
from lfadsq.training.status import TrainingState, read_status

DEADLINE_S = 300


def command(flags: dict[str, Any], **changes: Any) -> list[str]:
    settings = {k: v for k, v in {**flags, **changes}.items() if v is not None}
    texts = {k: str(v).lower() if isinstance(v, bool) else v for k, v in settings.items()}
    return [
        sys.executable,
        *("-m", "lfadsq.cli.train"),
        *(f"--{name}={value}" for name, value in texts.items()),
    ]


def run(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        arguments, capture_output=True, text=True, timeout=DEADLINE_S, env=environment, **options
    )


def killed_when(flags: dict[str, Any], number: int, is_time: Callable[[], bool]) -> int:
    """Start a training, send it a signal once `is_time`, and give its exit status."""
    process = subprocess.Popen(command(flags), stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + DEADLINE_S
    while not is_time():
        assert process.poll() is None, "training ended before the signal"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=DEADLINE_S)
    return process.returncode


def num_epochs(folder: Path) -> int:
    path = folder / "fitlog.csv"
    return path.read_text().count("\n") if path.exists() else 0


@pytest.fixture
def long_flags(flags: dict[str, Any]) -> dict[str, Any]:
    """Flags of a run that takes tens of epochs."""
    return {**flags, "learning_rate_n_to_compare": 6, "learning_rate_stop": 0.002}


@pytest.fixture(scope="module")
def whole_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs it puts a training that was never killed."""
    return tmp_path_factory.mktemp("never_killed") / "out"


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_killed_training_ends_like_one_that_was_not(
    long_flags: dict[str, Any], tmp_path: Path, whole_folder: Path, number: int
) -> None:
    out, whole = tmp_path / "out", whole_folder
    status = killed_when(long_flags, number, lambda: num_epochs(out) >= 14)
    assert status == (-number if number == signal.SIGKILL else 128 + number)
    assert load_newest(out, "checkpoint") is not None
    assert run(command(long_flags)).returncode == 0
    if not whole.exists():
        assert run(command(long_flags, lfads_save_dir=whole)).returncode == 0
    assert (out / "fitlog.csv").read_text() == (whole / "fitlog.csv").read_text()
    ours, theirs = load_newest(out, "checkpoint"), load_newest(whole, "checkpoint")
    assert ours is not None
    assert theirs is not None
    for name, value in theirs.values.items():
        np.testing.assert_array_equal(ours.values[name], value, err_msg=name)


def test_a_warning_while_the_graph_is_built_is_heeded_at_once(
    flags: dict[str, Any], tmp_path: Path, write_input: Callable[..., Path]
) -> None:
    """SIGUSR1, as batch systems warn, in the first step of a long model, which takes seconds."""
    counts = np.ones((40, 300, 5), np.int64)
    write_input(tmp_path / "in", train_data=counts[:24], valid_data=counts[24:])
    out = tmp_path / "out"
    signalled = []

    def is_time() -> bool:
        if not (out / "provenance.json").exists():
            return False
        signalled.append(time.monotonic())
        return True

    status = killed_when({**flags, "co_dim": 2}, signal.SIGUSR1, is_time)
    assert status == 128 + signal.SIGUSR1
    assert time.monotonic() - signalled[0] < 10.0  # a second, but for a busy machine
    checkpoint = load_newest(out, "checkpoint")
    assert checkpoint is not None
    assert checkpoint.step == 0
    found = read_status(out / "progress.json")
    assert found is not None
    assert found.state is TrainingState.STOPPED


@pytest.mark.slow
def test_the_three_calls_of_a_generated_script(flags: dict[str, Any], tmp_path: Path) -> None:
    """With retired flags and numbers as MATLAB prints them; nothing but results on the screen."""
    retired = ["--tf_debug_cli=false", "--debug_verbose", "--in_factors_dim=50"]
    trained = run([*command(flags, batch_size="8.000000", seed=None), *retired])
    assert trained.returncode == 0, trained.stderr
    stop_line = "Stopping optimization based on learning rate criteria."
    assert trained.stdout.splitlines()[-1] == stop_line
    assert trained.stderr == ""
    pointer = {"checkpoint_pb_load_name": "checkpoint_lve"}
    kind = "posterior_sample_and_average"
    assert run(command(flags, kind=kind, batch_size=16, **pointer)).returncode == 0
    assert run(command(flags, kind="write_model_params", **pointer)).returncode == 0
    with h5py.File(tmp_path / "out" / "model_params") as file:
        assert file["LFADS_gen_gen_2_fac_W:0"].shape == (6, 3)
    assert (tmp_path / "out" / f"model_runs_dataset001.h5_valid_{kind}").exists()
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize(
    ("extra", "status", "named"),
    [
        (["--gen_dims=3"], 2, "--gen_dim"),
        (["--gen_dim=3.5"], 2, "whole number"),
        (["--kind=guess"], 2, "posterior_push_mean"),
        (["--keep_prob=2"], 1, "keep_prob"),
        (["--data_dir=/nowhere"], 1, "/nowhere"),
    ],
)
def test_wrong_flags_end_with_a_message(
    flags: dict[str, Any], extra: list[str], status: int, named: str
) -> None:
    ended = run([*command(flags), *extra])
    assert ended.returncode == status
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not Path(flags["lfads_save_dir"]).exists()


def test_missing_flags_are_named() -> None:
    ended = run(command({}))
    assert ended.returncode == 2
    assert "--data_dir" in ended.stderr


def test_help_lists_every_flag_without_tensorflow() -> None:
    code = (
        "import sys; from lfadsq.cli.train import train; "
        "status = train.main(['--help'], standalone_mode=False); "
        "assert 'tensorflow' not in sys.modules"
    )
    shown = run([sys.executable, "-c", code])
    assert shown.returncode == 0, shown.stderr
    for flag in ("--data_dir", "--gen_dim", "--kl_increase_steps", "--seed"):
        assert flag in shown.stdout


@pytest.mark.slow
def test_a_full_disk_keeps_the_checkpoint_before(
    long_flags: dict[str, Any], tmp_path: Path
) -> None:
    """The files of the process may not grow beyond a size that the next checkpoint exceeds."""
    out = tmp_path / "out"
    killed_when(long_flags, signal.SIGTERM, lambda: num_epochs(out) >= 2)
    before = load_newest(out, "checkpoint")
    assert before is not None
    limit = 6_000

    def with_limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    ended = run(command(long_flags), preexec_fn=with_limit)
    assert ended.returncode == 1
    assert "cannot write" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "{{" not in ended.stderr
    after = load_newest(out, "checkpoint")
    assert after is not None
    assert after.step == before.step
    assert not list(out.glob(".checkpoint-*"))
