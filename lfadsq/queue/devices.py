"""Devices that tasks run on: GPUs as NVML sees them, or the processors where there is none.

GPUs are named by UUID, because NVML, CUDA and batch systems count them differently. Which of them
we may use is narrowed by an inherited ``CUDA_VISIBLE_DEVICES`` and by the user's list. A GPU that
is cut into MIG devices counts as those.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lfadsq.errors import ConfigError, NoGpuError
from lfadsq.queue.machine import usable_memory_mb

__all__ = ["CPU", "Cpus", "Device", "DeviceSource", "Gpus", "find_devices"]

CPU = "cpu"
"""Id of the device that stands for this machine's processors."""

_MB = 1024 * 1024
_MASK_VARIABLE = "CUDA_VISIBLE_DEVICES"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """A device as measured at one moment.

    Attributes
    ----------
    device_id : str
        UUID of a GPU or MIG device, or `CPU`.
    name : str
        For displays, such as ``GPU 0 (NVIDIA A100)``.
    memory_total_mb, memory_free_mb : float
        [MB]; free is what nobody, we or others, has taken.
    max_tasks : int
        How many of our tasks may run on it at once.
    taken_mb_by_session : dict of int to float
        Memory taken, by session id of the process on this machine, as far as it can be seen [MB].
    """

    device_id: str
    name: str
    memory_total_mb: float
    memory_free_mb: float
    max_tasks: int
    taken_mb_by_session: Mapping[int, float]

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU, whole or part."""
        return self.device_id != CPU


class DeviceSource(Protocol):
    """Where devices come from: measured again for every decision."""

    reason: str
    """Why these devices and no others, for people; empty if there is nothing to say."""

    def measure(self) -> list[Device]:
        """Measure all devices now; one that cannot be measured is left out this time."""

    def environment(self, device_id: str) -> dict[str, str]:
        """Give what a task on a device needs in its environment."""

    def close(self) -> None:
        """Let go of the driver."""


class Cpus:
    """The processors of this machine, as one device with several slots.

    Parameters
    ----------
    num_slots : int
        How many tasks may run at once.
    reason : str
        Why no GPU is used.
    """

    def __init__(self, num_slots: int, reason: str) -> None:
        self._num_slots = num_slots
        self.reason = reason

    def measure(self) -> list[Device]:
        """Measure the machine's memory."""
        total_mb, free_mb = usable_memory_mb()
        return [Device(CPU, CPU, total_mb, free_mb, self._num_slots, {})]

    def environment(self, device_id: str) -> dict[str, str]:
        """Hide all GPUs, also those that the user hid from us."""
        del device_id
        return {_MASK_VARIABLE: ""}

    def close(self) -> None:
        """Do nothing: nothing is held."""


@dataclass(frozen=True)
class _Gpu:
    uuid: str
    index: int
    model: str
    handle: Any
    parent_uuid: str = ""
    mig_index: int | None = None

    @property
    def label(self) -> str:
        part = "" if self.mig_index is None else f":{self.mig_index}"
        return f"GPU {self.index}{part} ({self.model})"

    def answers_to(self, word: str) -> bool:
        """Tell whether a word of a mask means this device: index, UUID or a beginning of it."""
        if word.isdecimal():
            return int(word) == self.index
        if word == f"{self.index}:{self.mig_index}":
            return True
        return len(word) > 4 and (
            self.uuid.startswith(word) or (bool(self.parent_uuid) and word == self.parent_uuid)
        )


class Gpus:
    """GPUs behind NVML.

    Parameters
    ----------
    nvml : module
        ``pynvml``, already initialised; shut down by `close`.
    gpus : sequence
        Which of them to use.
    max_tasks : int
        How many of our tasks may run on one of them at once.
    """

    reason = ""

    def __init__(self, nvml: Any, gpus: Sequence[_Gpu], max_tasks: int) -> None:
        self._nvml = nvml
        self._gpus = list(gpus)
        self._max_tasks = max_tasks
        self._unmeasured: set[str] = set()

    def measure(self) -> list[Device]:
        """Measure the memory of all GPUs; one that fell off the bus is left out, with a warning."""
        devices = []
        for gpu in self._gpus:
            try:
                total, free = _memory(self._nvml, gpu.handle)
            except self._nvml.NVMLError as error:
                if gpu.uuid not in self._unmeasured:
                    _logger.warning("%s does not answer: %s; it gets no tasks", gpu.label, error)
                self._unmeasured.add(gpu.uuid)
                continue
            self._unmeasured.discard(gpu.uuid)
            taken = _taken_by_session(self._nvml, gpu.handle)
            devices.append(
                Device(gpu.uuid, gpu.label, total / _MB, free / _MB, self._max_tasks, taken)
            )
        return devices

    def environment(self, device_id: str) -> dict[str, str]:
        """Show a task its own GPU only, by UUID."""
        return {_MASK_VARIABLE: device_id, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

    def close(self) -> None:
        """Let go of the driver."""
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()


def find_devices(
    wanted: Sequence[int | str] | None,
    *,
    max_tasks_on_gpu: int,
    num_cpu_slots: int,
    environment: Mapping[str, str] | None = None,
) -> DeviceSource:
    """Find the devices to use.

    Parameters
    ----------
    wanted : sequence of int or str, or None
        GPUs by index (as ``nvidia-smi`` counts, MIG devices also as ``"0:1"``), UUID or a
        beginning of it, or name; None or empty for all that may be used.
    max_tasks_on_gpu, num_cpu_slots : int
        How many tasks may run at once on one GPU, or on the processors where there is no GPU.
    environment : dict of str, optional
        In place of this process's own, where ``CUDA_VISIBLE_DEVICES`` may narrow the choice.

    Returns
    -------
    DeviceSource
        GPUs, or the processors if there is none and none was asked for. Close it after use.

    Raises
    ------
    NoGpuError
        If a wanted GPU is not there, or hidden; those that are there are listed.
    ConfigError
        If `wanted` is no list of indices and names.
    """
    words = _words_of(wanted)
    mask = (os.environ if environment is None else environment).get(_MASK_VARIABLE)
    nvml, problem = _open_nvml()
    if nvml is None:
        if words:
            raise NoGpuError(
                f"gpu_list asks for {', '.join(words)}, but {problem}",
                "leave gpu_list out to train on the processors, or mend the driver",
            )
        return Cpus(num_cpu_slots, problem)
    try:
        present = list(_present_gpus(nvml))
        visible = _masked(present, mask)
        chosen = _chosen(visible, words, present, mask)
    except BaseException:
        nvml.nvmlShutdown()
        raise
    if not chosen:
        nvml.nvmlShutdown()
        hidden = (
            f"{_MASK_VARIABLE}={mask!r} hides all of them" if present else "the driver has none"
        )
        return Cpus(num_cpu_slots, f"no GPU can be used: {hidden}")
    return Gpus(nvml, chosen, max_tasks_on_gpu)


def _words_of(wanted: Sequence[int | str] | None) -> list[str]:
    if wanted is None:
        return []
    if isinstance(wanted, (str, bytes)) or not isinstance(wanted, Sequence):
        raise ConfigError(f"gpu_list is {wanted!r}", "give a list of indices, UUIDs or names")
    for word in wanted:
        is_index = isinstance(word, int) and not isinstance(word, bool) and word >= 0
        if not is_index and not (isinstance(word, str) and word.strip()):
            raise ConfigError(f"gpu_list holds {word!r}", "give indices, UUIDs or names")
    return [str(word).strip() for word in wanted]


def _open_nvml() -> tuple[Any, str]:
    """Start NVML; gives None and why, in words, where that cannot be."""
    try:
        import pynvml
    except ImportError as error:
        return None, f"no GPU can be seen: {error}"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return None, f"no GPU can be seen: {error}"
    return pynvml, ""


def _present_gpus(nvml: Any) -> Iterator[_Gpu]:
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            gpu = _Gpu(
                _text(nvml.nvmlDeviceGetUUID(handle)),
                index,
                _text(nvml.nvmlDeviceGetName(handle)),
                handle,
            )
        except nvml.NVMLError as error:
            _logger.warning("GPU %d does not answer: %s; it gets no tasks", index, error)
            continue
        parts = list(_mig_devices(nvml, gpu))
        yield from parts or [gpu]


def _mig_devices(nvml: Any, gpu: _Gpu) -> Iterator[_Gpu]:
    try:
        mode, _ = nvml.nvmlDeviceGetMigMode(gpu.handle)
        if not mode:
            return
        num_parts = nvml.nvmlDeviceGetMaxMigDeviceCount(gpu.handle)
    except nvml.NVMLError:
        return  # not a GPU that can be cut
    for part in range(num_parts):
        # Parts need not be numbered without gaps.
        with contextlib.suppress(nvml.NVMLError):
            handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu.handle, part)
            uuid = _text(nvml.nvmlDeviceGetUUID(handle))
            yield _Gpu(uuid, gpu.index, f"{gpu.model} MIG", handle, gpu.uuid, part)


def _masked(gpus: Sequence[_Gpu], mask: str | None) -> list[_Gpu]:
    """Narrow by CUDA's rule: in the order of the mask, and nothing after a word that fits none.

    Integers are read in the order of the bus, which is NVML's; CUDA's own default order, the
    fastest first, is the same wherever all GPUs are alike.
    """
    if mask is None:
        return list(gpus)
    visible: list[_Gpu] = []
    for word in mask.split(","):
        fitting = [gpu for gpu in gpus if gpu.answers_to(word.strip())]
        if not fitting:
            break
        visible += [gpu for gpu in fitting if gpu not in visible]
    return visible


def _chosen(
    visible: Sequence[_Gpu], words: Sequence[str], present: Sequence[_Gpu], mask: str | None
) -> list[_Gpu]:
    if not words:
        return list(visible)
    chosen: list[_Gpu] = []
    for word in words:
        fitting = [gpu for gpu in visible if gpu.answers_to(word) or gpu.model == word]
        if not fitting:
            there = ", ".join(f"{gpu.label} {gpu.uuid}" for gpu in visible) or "none"
            hidden = [g for g in present if g.answers_to(word) or g.model == word]
            why = f"is hidden by {_MASK_VARIABLE}={mask!r}" if hidden else "is not there"
            raise NoGpuError(
                f"gpu_list asks for GPU {word!r}, which {why}",
                f"GPUs that may be used: {there}",
            )
        chosen += [gpu for gpu in fitting if gpu not in chosen]
    return chosen


def _memory(nvml: Any, handle: Any) -> tuple[float, float]:
    """Measure total and free memory [bytes].

    The second version of the call does not count what the driver keeps for itself as free.
    """
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NotSupported):
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)  # drivers before 510
    return float(memory.total), float(memory.free)


def _taken_by_session(nvml: Any, handle: Any) -> dict[int, float]:
    """Sum the memory of processes by session [MB].

    NVML gives pids as the host counts them. In a container they may name no process, or a wrong
    one: whoever uses this must do without.
    """
    taken: dict[int, float] = {}
    try:
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:
        return taken
    for process in processes:
        with contextlib.suppress(OSError):
            session = os.getsid(process.pid)
            used_mb = (process.usedGpuMemory or 0) / _MB
            taken[session] = taken.get(session, 0.0) + used_mb
    return taken


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
