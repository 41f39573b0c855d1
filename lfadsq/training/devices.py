"""Which device TensorFlow computes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

import tensorflow as tf

from lfadsq.device_names import parse_device_name
from lfadsq.errors import NoGpuError

__all__ = ["choose_device", "num_towers", "share_threads"]


def choose_device(device: str, *, allow_gpu_growth: bool, say: Callable[[str], None]) -> str:
    """Prepare the device that a flag asks for.

    The default of the flag is the first GPU even on machines that have none, so without any GPU
    the CPU is taken.

    Parameters
    ----------
    device : str
        ``/gpu:0``, ``gpu:1``, ``/cpu:0``, ``/device:GPU:0``.
    allow_gpu_growth : bool
        Take GPU memory as it is needed, not all at the start.
    say : callable
        Is told when the CPU is taken in place of a GPU.

    Returns
    -------
    str
        For `tf.device`.

    Raises
    ------
    ConfigError
        If the text names no device.
    NoGpuError
        If the machine has GPUs, but not that one.
    """
    kind, index = parse_device_name(device)
    if kind == "cpu":
        tf.config.set_visible_devices([], "GPU")
        return "/cpu:0"
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        say(f"No GPU is visible to TensorFlow: using the CPU in place of {device}.")
        return "/cpu:0"
    if index >= len(gpus):
        raise NoGpuError(
            f"--device={device}, but TensorFlow sees {len(gpus)} GPU(s)",
            "choose a lower number, or see CUDA_VISIBLE_DEVICES",
        )
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, allow_gpu_growth)
    return f"/gpu:{index}"


def share_threads() -> None:
    """Let whole layers run side by side on a CPU, rather than split single operations.

    Training runs the two directions of the encoders at once, and its operations are small: on two
    cores, one thread an operation takes 23 ms a step where two threads take 33 ms. Whoever sets
    ``TF_NUM_INTRAOP_THREADS`` decides. Without effect once TensorFlow has computed anything.
    """
    if "TF_NUM_INTRAOP_THREADS" in os.environ:
        return
    cores = len(os.sched_getaffinity(0))
    # TensorFlow refuses when its threads run already.
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(max(1, cores // 2))


def num_towers(device: str) -> int:
    """Tell into how many parts of the batch to cut what only one core would compute.

    Parameters
    ----------
    device : str
        Of the variables, as TensorFlow names it.

    Returns
    -------
    int
        2 on a CPU of which this process may use several cores, else 1: for a GPU it would be twice
        as many operations.
    """
    cores = os.environ.get("OMP_NUM_THREADS", "") or str(len(os.sched_getaffinity(0)))
    return 2 if "GPU" not in device and cores != "1" else 1
