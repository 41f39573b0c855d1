from __future__ import annotations

import signal
from pathlib import Path

import pytest

from lfadsq.queue.failures import (
    REMEDIES,
    Ending,
    cause_of,
    ending_of_status,
    last_lines,
    log_tail,
)
from lfadsq.queue.records import Cause

# The last lines of real failures, as TensorFlow, Python and bash print them.
OOM = """2026-01-01 00:00:00 W tensorflow/core/framework/op_kernel.cc:1840] OP_REQUIRES failed
tensorflow.python.framework.errors_impl.ResourceExhaustedError: {{function_node x}} OOM when \
allocating tensor with shape[150,64] and type float on /job:localhost/device:GPU:0 [Op:MatMul]
"""
DRIVER_OOM = "E cuda_driver.cc:1000] failed to alloc: CUDA_ERROR_OUT_OF_MEMORY: out of memory\n"
NAN = "lfadsq.errors.NonFiniteCostError: the total cost became NaN in epoch 17\n"
NUMERICS = "InvalidArgumentError: gradients/x : Tensor had NaN values [Op:CheckNumerics]\n"
NO_MODULE = (
    "Traceback (most recent call last):\nModuleNotFoundError: No module named 'tensorflow'\n"
)
RUN_MODULE = "/usr/bin/python: No module named lfadsq.train\n"
CANNOT_IMPORT = "ImportError: libcudart.so.12: cannot open shared object file\n"
NO_FOLDER = "error: cannot make the folder runs/lfadsOutput: File exists; rename it\n"
DAMAGED = "error: cannot read runs/lfads_a.h5: truncated file; prepare it again\n"
DISK = "OSError: [Errno 28] No space left on device: 'x'\n"
NO_DEVICE_NOTE = (
    "E cuda.cc:1] failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device\n"
)
CANNOT_ASSIGN = "InvalidArgumentError: Cannot assign a device for operation x: /gpu:0\n"


@pytest.mark.parametrize(
    ("status", "log", "on_gpu", "cause"),
    [
        (1, OOM, True, Cause.GPU_MEMORY),
        (1, DRIVER_OOM, True, Cause.GPU_MEMORY),
        (134, OOM, True, Cause.GPU_MEMORY),
        (1, OOM + NAN, True, Cause.GPU_MEMORY),
        (1, NAN, False, Cause.NOT_A_NUMBER),
        (1, NUMERICS, False, Cause.NOT_A_NUMBER),
        (1, NO_MODULE, False, Cause.IMPORT_ERROR),
        (1, RUN_MODULE, False, Cause.IMPORT_ERROR),
        (1, CANNOT_IMPORT, True, Cause.IMPORT_ERROR),
        (1, "error: TensorFlow cannot be imported: x; pip install\n", True, Cause.IMPORT_ERROR),
        (1, DISK, False, Cause.STORAGE),
        (1, NO_FOLDER, False, Cause.STORAGE),
        (1, DAMAGED, False, Cause.REFUSED),
        (137, DAMAGED, False, Cause.KILLED_BY_SIGNAL),
        (127, "bash: run_lfads.py: command not found\n", False, Cause.MISSING_PROGRAM),
        (126, "permission denied\n", False, Cause.MISSING_PROGRAM),
        (1, NO_DEVICE_NOTE, True, Cause.NO_GPU),
        (1, NO_DEVICE_NOTE, False, Cause.UNKNOWN),
        (1, CANNOT_ASSIGN, False, Cause.NO_GPU),
        (137, "", False, Cause.KILLED_BY_SIGNAL),
        (-9, "", False, Cause.KILLED_BY_SIGNAL),
        (139, "Segmentation fault\n", False, Cause.KILLED_BY_SIGNAL),
        (143, NAN, False, Cause.KILLED_BY_USER),
        (130, "", False, Cause.KILLED_BY_USER),
        (3, "what a pity\n", False, Cause.UNKNOWN),
        (1, "information about the loss of trials, no module\n", False, Cause.UNKNOWN),
    ],
)
def test_cause(status: int, log: str, on_gpu: bool, cause: Cause) -> None:
    assert cause_of(ending_of_status(status), log, on_gpu=on_gpu) is cause


def test_only_the_end_of_the_log_tells() -> None:
    log = NAN + "all is well\n" * 200
    assert cause_of(Ending(1, None), log, on_gpu=False) is Cause.UNKNOWN


def test_every_cause_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Cause)
    assert all(REMEDIES.values())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_signals_are_told_from_statuses(number: signal.Signals) -> None:
    assert ending_of_status(-number) == ending_of_status(128 + number) == Ending(None, number.name)


@pytest.mark.parametrize("status", [0, 1, 127, 128, 250, 255])
def test_statuses_are_no_signals(status: int) -> None:
    assert ending_of_status(status) == Ending(status, None)


def test_tail_begins_at_the_attempt_and_survives_a_log_that_shrank(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\nnew\n")
    assert log_tail(log, since=4) == "new\n"
    assert log_tail(log, max_bytes=2) == "w\n"
    assert log_tail(log, since=1000) == "old\nnew\n"
    assert log_tail(tmp_path / "none") == ""


def test_a_tail_cannot_command_the_terminal() -> None:
    assert last_lines("\x1b]0;title\x07a\x1b[2Jb\x07\x1b[1;31mc", 5) == ["abc"]
