"""The NVIDIA driver as NVML shows it: which GPUs there are, and what is on each of them now.

A GPU that is cut into MIG devices counts as those. Everything that can go wrong with a driver or a
GPU becomes a `NoGpuError` in words here; nothing above knows the bindings.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lfadsq.errors import NoGpuError

__all__ = ["Activity", "Driver", "Gpu", "GpuProcess", "Reading"]

_MB = 1024 * 1024
_TELLS_NOTHING = ("GPU-", "MIG-", "MIG-GPU-")
_NO_TASKS = "it gets no tasks until it does"


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG device of one.

    Attributes
    ----------
    index : int
        As ``nvidia-smi`` counts.
    uuid : str
        Empty if it did not answer when it was looked for.
    model : str
        Such as ``NVIDIA A100``.
    handle : object
        What the bindings call it; void once it was reset.
    parent_uuid : str
        Of the GPU that a MIG device is part of.
    mig_index : int or None
        Which part of it, as ``nvidia-smi`` counts.
    instances : str
        GPU instance and compute instance of a MIG device, such as ``1/0``.
    problem : str
        Why it did not answer.
    """

    index: int
    uuid: str = ""
    model: str = ""
    handle: Any = None
    parent_uuid: str = ""
    mig_index: int | None = None
    instances: str = ""
    problem: str = ""

    @property
    def label(self) -> str:
        """What displays call it, such as ``GPU 0:1 (NVIDIA A100 MIG)``."""
        part = "" if self.mig_index is None else f":{self.mig_index}"
        return f"GPU {self.index}{part}" + (f" ({self.model})" if self.model else "")

    def answers_to(self, word: str) -> bool:
        """Tell whether a word means this device.

        Such a word is an index, a UUID or a beginning of it, ``0:1`` for a MIG device, or what
        CUDA called that before it had UUIDs: ``MIG-GPU-<uuid>/<GPU instance>/<compute instance>``.
        The index or UUID of a GPU means all MIG devices of it.
        """
        if word.isdecimal():
            return int(word) == self.index
        if self.mig_index is not None and word == f"{self.index}:{self.mig_index}":
            return True
        if not self.uuid or len(word) <= len("GPU-") or word in _TELLS_NOTHING:
            return False
        return (
            self.uuid.startswith(word)
            or self.parent_uuid.startswith(word)
            or (bool(self.instances) and word == f"MIG-{self.parent_uuid}/{self.instances}")
        )


@dataclass(frozen=True)
class GpuProcess:
    """A process that computes on a GPU; one that only draws does not count.

    Attributes
    ----------
    pid : int
        As the driver counts: in a container it may name no process, or a wrong one.
    taken_mb : float or None
        Memory it has taken [MB]; None if the driver does not tell.
    """

    pid: int
    taken_mb: float | None


@dataclass(frozen=True)
class Reading:
    """A GPU as measured at one moment.

    Attributes
    ----------
    total_mb : float
        Memory that tasks could ever have: without what the driver keeps for itself [MB].
    free_mb : float
        Memory that nobody has taken [MB].
    processes : tuple of GpuProcess
        As far as the driver shows them.
    is_exclusive : bool
        Only one process at a time can use it.
    is_prohibited : bool
        No process can use it.
    """

    total_mb: float
    free_mb: float
    processes: tuple[GpuProcess, ...]
    is_exclusive: bool
    is_prohibited: bool


@dataclass(frozen=True)
class Activity:
    """How hard a GPU works, as far as it tells: None for what it does not.

    MIG devices tell none of it, and many cards leave something out.

    Attributes
    ----------
    utilisation_percent : float or None
        Share of the last moment (1/6 to 1 s, by model) in which anything computed on it [%].
    power_w, power_limit_w : float or None
        [W].
    temperature_c : float or None
        [degrees Celsius].
    """

    utilisation_percent: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None


class Driver:
    """The driver, open until it is closed.

    Raises
    ------
    NoGpuError
        If there is none, or it does not work; nothing is left open.
    """

    def __init__(self) -> None:
        try:
            import pynvml
        except ImportError as error:
            raise NoGpuError(
                f"no GPU can be seen: {error}", "install it: pip install nvidia-ml-py"
            ) from error
        self._nvml: Any = pynvml
        self._is_open = False
        self._open()

    def _open(self) -> None:
        nvml = self._nvml
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            reason, remedy = {
                nvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
                    "no NVIDIA driver is installed (libnvidia-ml.so.1 is not found)",
                    "if there is a GPU, install its driver",
                ),
                nvml.NVML_ERROR_DRIVER_NOT_LOADED: (
                    "the NVIDIA driver is not loaded",
                    "see that `nvidia-smi` works; after an update restart the machine",
                ),
                nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
                    "the NVIDIA driver was updated while it was in use (version mismatch)",
                    "restart the machine",
                ),
                nvml.NVML_ERROR_NO_PERMISSION: (
                    "the NVIDIA driver may not be used (no permission)",
                    "ask for permission to read and write /dev/nvidia*",
                ),
            }.get(
                error.value,
                (f"the NVIDIA driver does not work ({error})", "see that `nvidia-smi` works"),
            )
            raise NoGpuError(f"no GPU can be seen: {reason}", remedy) from error
        self._is_open = True

    def close(self) -> None:
        """Let go of the driver; more than once does no harm."""
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()

    def reopen(self) -> None:
        """Start afresh, so that GPUs that were reset are found again; old handles are void.

        Raises
        ------
        NoGpuError
            If the driver does not work now; it is then closed.
        """
        self.close()
        self._open()

    def gpus(self) -> list[Gpu]:
        """List all GPUs, those that do not answer too.

        Raises
        ------
        NoGpuError
            If the driver itself does not answer.
        """
        nvml = self._nvml
        found: list[Gpu] = []
        try:
            num_gpus = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            raise NoGpuError(
                f"no GPU can be seen: the NVIDIA driver does not answer ({error})",
                "see that `nvidia-smi` works",
            ) from error
        for index in range(num_gpus):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                uuid, model = (
                    _text(nvml.nvmlDeviceGetUUID(handle)),
                    _text(nvml.nvmlDeviceGetName(handle)),
                )
            except nvml.NVMLError as error:
                found.append(Gpu(index, problem=str(error)))
                continue
            gpu = Gpu(index, uuid, model, handle)
            found += list(self._mig_devices(gpu)) or [gpu]
        return found

    def _mig_devices(self, gpu: Gpu) -> Iterator[Gpu]:
        nvml = self._nvml
        try:
            mode, _ = nvml.nvmlDeviceGetMigMode(gpu.handle)
            num_parts = nvml.nvmlDeviceGetMaxMigDeviceCount(gpu.handle) if mode else 0
        except nvml.NVMLError:
            return  # not a GPU that can be cut
        for part in range(num_parts):
            # Parts need not be numbered without gaps.
            with contextlib.suppress(nvml.NVMLError):
                handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu.handle, part)
                uuid = _text(nvml.nvmlDeviceGetUUID(handle))
                yield Gpu(
                    gpu.index,
                    uuid,
                    f"{gpu.model} MIG",
                    handle,
                    gpu.uuid,
                    part,
                    self._instances(handle),
                )

    def _instances(self, handle: Any) -> str:
        try:
            gpu_instance = self._nvml.nvmlDeviceGetGpuInstanceId(handle)
            return f"{gpu_instance}/{self._nvml.nvmlDeviceGetComputeInstanceId(handle)}"
        except self._nvml.NVMLError:
            return ""

    def read(self, gpu: Gpu) -> Reading:
        """Measure a GPU now.

        Raises
        ------
        NoGpuError
            If it does not answer.
        """
        nvml = self._nvml
        try:
            if gpu.handle is None:
                raise NoGpuError(f"{gpu.label} does not answer: {gpu.problem}", _NO_TASKS)
            total, free = self._memory(gpu.handle)
        except nvml.NVMLError as error:
            raise NoGpuError(f"{gpu.label} does not answer: {error}", _NO_TASKS) from error
        mode = self._compute_mode(gpu.handle)
        return Reading(
            total / _MB,
            free / _MB,
            self._processes(gpu.handle),
            mode
            in (nvml.NVML_COMPUTEMODE_EXCLUSIVE_THREAD, nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS),
            mode == nvml.NVML_COMPUTEMODE_PROHIBITED,
        )

    def activity(self, gpu: Gpu) -> Activity:
        """Tell how hard a GPU works now; one that does not answer tells nothing, and never fails.

        Parameters
        ----------
        gpu : Gpu
        """
        nvml, handle = self._nvml, gpu.handle
        if handle is None:
            return Activity()
        usage = self._told(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        power_mw = self._told(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        limit_mw = self._told(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
        temperature_c = self._told(
            lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        )
        return Activity(
            usage,
            None if power_mw is None else power_mw / 1000,
            None if limit_mw is None else limit_mw / 1000,
            temperature_c,
        )

    def _told(self, ask: Callable[[], Any]) -> float | None:
        try:
            return float(ask())
        except self._nvml.NVMLError:
            return None  # not on this card, or not by this driver

    @property
    def version(self) -> str:
        """Of the driver, such as ``550.54.14``; empty if it does not tell."""
        try:
            return _text(self._nvml.nvmlSystemGetDriverVersion())
        except self._nvml.NVMLError:
            return ""

    def _memory(self, handle: Any) -> tuple[float, float]:
        """Measure usable and free memory [bytes].

        The second version of the call tells what the driver keeps for itself.
        """
        nvml = self._nvml
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
            return float(memory.total - memory.reserved), float(memory.free)
        except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NotSupported):
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)  # drivers before 510
            return float(memory.total), float(memory.free)

    def _processes(self, handle: Any) -> tuple[GpuProcess, ...]:
        nvml = self._nvml
        # The call without a version raises what is no NVMLError where the driver is older.
        for ask in (
            nvml.nvmlDeviceGetComputeRunningProcesses_v3,
            nvml.nvmlDeviceGetComputeRunningProcesses_v2,
        ):
            try:
                return tuple(
                    GpuProcess(
                        process.pid,
                        None if process.usedGpuMemory is None else process.usedGpuMemory / _MB,
                    )
                    for process in ask(handle)
                )
            except nvml.NVMLError_FunctionNotFound:
                continue
            except nvml.NVMLError:
                break  # the memory is known: without its owners it is still of use
        return ()

    def _compute_mode(self, handle: Any) -> int:
        try:
            return int(self._nvml.nvmlDeviceGetComputeMode(handle))
        except self._nvml.NVMLError:
            return int(self._nvml.NVML_COMPUTEMODE_DEFAULT)  # MIG devices have none


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
