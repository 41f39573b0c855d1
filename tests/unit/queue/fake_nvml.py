"""A stand-in for the module ``pynvml``, at the outer edge: GPUs are what a test says."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

MB = 1024 * 1024


class NVMLError(Exception):
    pass


class NVMLError_FunctionNotFound(NVMLError):
    pass


class NVMLError_NotSupported(NVMLError):
    pass


@dataclass
class FakeGpu:
    uuid: str
    model: str = "NVIDIA A100"
    total_mb: float = 40000
    used_mb: float = 0
    processes: list[tuple[int, float]] = field(default_factory=list)
    parts: list[FakeGpu | None] = field(default_factory=list)
    is_lost: bool = False


class FakeNvml:
    """Has the names of ``pynvml`` that lfadsq uses."""

    NVMLError = NVMLError
    NVMLError_FunctionNotFound = NVMLError_FunctionNotFound
    NVMLError_NotSupported = NVMLError_NotSupported
    nvmlMemory_v2 = 0x02000028

    def __init__(self, gpus: list[FakeGpu], *, has_v2: bool = True, init_error: str = "") -> None:
        self.gpus = gpus
        self.has_v2 = has_v2
        self.init_error = init_error
        self.num_open = 0

    def nvmlInit(self) -> None:
        if self.init_error:
            raise NVMLError(self.init_error)
        self.num_open += 1

    def nvmlShutdown(self) -> None:
        self.num_open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self._present(self.gpus[index])

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> str:
        return gpu.uuid

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> bytes:
        return gpu.model.encode()

    def nvmlDeviceGetMigMode(self, gpu: FakeGpu) -> tuple[int, int]:
        if "A100" not in gpu.model:
            raise NVMLError_NotSupported("Not Supported")
        return int(bool(gpu.parts)), int(bool(gpu.parts))

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: FakeGpu) -> int:
        return len(gpu.parts)

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: FakeGpu, index: int) -> FakeGpu:
        part = gpu.parts[index]
        if part is None:
            raise NVMLError("Not Found")
        return part

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu, version: int | None = None) -> Any:
        self._present(gpu)
        if version is not None and not self.has_v2:
            raise NVMLError_FunctionNotFound("Function Not Found")
        free_mb = gpu.total_mb - gpu.used_mb
        return SimpleNamespace(total=gpu.total_mb * MB, free=free_mb * MB, used=gpu.used_mb * MB)

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: FakeGpu) -> list[Any]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=mb * MB) for pid, mb in gpu.processes]

    @staticmethod
    def _present(gpu: FakeGpu) -> FakeGpu:
        if gpu.is_lost:
            raise NVMLError("GPU is lost")
        return gpu
