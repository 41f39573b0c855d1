"""The GPUs of this machine as they are now, without any queue."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lfadsq.errors import NoGpuError
from lfadsq.queue.gpu_choice import MASK_VARIABLE, GpuChoice
from lfadsq.queue.nvml import Activity, Driver, Gpu
from lfadsq.queue.records import iso_time
from lfadsq.watching.gpu_processes import GpuUser, user_of

__all__ = ["GpuState", "GpuWatch", "MachineGpus"]


@dataclass(frozen=True)
class GpuState:
    """A GPU, or a MIG device of one, at one moment; None for what it does not tell.

    Attributes
    ----------
    index, mig_index : int, int or None
        As ``nvidia-smi`` counts.
    name, uuid : str
    is_visible : bool
        Whether ``CUDA_VISIBLE_DEVICES`` lets programs that are started here use it.
    memory_used_mb, memory_total_mb : float or None
        [MB]; the total is what programs could have.
    activity : Activity
    users : tuple of GpuUser
        Processes that compute on it, as far as the driver shows them, the largest first.
    problem : str
        Why it does not answer; empty if it does.
    """

    index: int
    mig_index: int | None
    name: str
    uuid: str
    is_visible: bool
    memory_used_mb: float | None = None
    memory_total_mb: float | None = None
    activity: Activity = field(default_factory=Activity)
    users: tuple[GpuUser, ...] = ()
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        data = {key: value for key, value in vars(self).items() if key not in ("activity", "users")}
        return {**data, **vars(self.activity), "processes": [one.to_dict() for one in self.users]}


@dataclass(frozen=True)
class MachineGpus:
    """All GPUs of this machine at one moment.

    Attributes
    ----------
    host, at : str
        Where, and when (ISO 8601).
    driver : str
        Its version; empty if there is none.
    mask : str or None
        Value of ``CUDA_VISIBLE_DEVICES``; None if it is not set.
    gpus : tuple of GpuState
    problem, remedy : str
        Why none can be seen, and what to do; empty if the driver answers.
    tried : tuple of str
        Where a GPU was looked for, and what was found, if none can be seen.
    """

    host: str
    at: str
    driver: str = ""
    mask: str | None = None
    gpus: tuple[GpuState, ...] = ()
    problem: str = ""
    remedy: str = ""
    tried: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        gpus = [gpu.to_dict() for gpu in self.gpus]
        return {**vars(self), "gpus": gpus, "tried": list(self.tried)}


class GpuWatch:
    """Looks at the GPUs of this machine, as often as wanted.

    A driver that is not there, or stops working, is no error: it is what is seen, and looked for
    again the next time.

    Parameters
    ----------
    environment : dict of str, optional
        In place of this process's own, where ``CUDA_VISIBLE_DEVICES`` may be.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._mask = (os.environ if environment is None else environment).get(MASK_VARIABLE)
        self._driver: Driver | None = None

    def look(self) -> MachineGpus:
        """Measure all GPUs now."""
        host, at = socket.gethostname(), iso_time(time.time())
        try:
            if self._driver is None:
                self._driver = Driver()
            present = self._driver.gpus()
        except NoGpuError as error:
            self.close()
            return MachineGpus(
                host, at, "", self._mask, (), error.problem, error.remedy, tuple(_traces())
            )
        visible = GpuChoice(None, self._mask).of_those_there(present)
        gpus = tuple(self._state(self._driver, gpu, gpu in visible) for gpu in present)
        version = self._driver.version
        if not gpus:
            return MachineGpus(
                host,
                at,
                version,
                self._mask,
                problem="the NVIDIA driver works, but knows of no GPU",
                remedy="if there is one, see `nvidia-smi` and `dmesg` on why it is left out",
                tried=tuple(_traces()),
            )
        if all(gpu.problem for gpu in gpus):
            self.close()  # after a reset they answer only to whoever opens the driver anew
        return MachineGpus(host, at, version, self._mask, gpus)

    def close(self) -> None:
        """Let go of the driver; more than once does no harm."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    @staticmethod
    def _state(driver: Driver, gpu: Gpu, is_visible: bool) -> GpuState:
        try:
            reading = driver.read(gpu)
        except NoGpuError as error:
            problem = gpu.problem or error.problem.partition("does not answer: ")[2]
            return GpuState(
                gpu.index, gpu.mig_index, gpu.model, gpu.uuid, is_visible, problem=problem
            )
        users = sorted(map(user_of, reading.processes), key=lambda one: -(one.memory_mb or 0.0))
        return GpuState(
            gpu.index,
            gpu.mig_index,
            gpu.model,
            gpu.uuid,
            is_visible,
            reading.total_mb - reading.free_mb,
            reading.total_mb,
            driver.activity(gpu),
            tuple(users),
        )


def _traces(root: Path = Path("/")) -> list[str]:
    """Say what else there is of a GPU, so that people see where it is lost."""
    nodes: list[str] = []
    with contextlib.suppress(OSError):
        nodes = sorted(str(node) for node in (root / "dev").glob("nvidia[0-9]*"))
    program = shutil.which("nvidia-smi")
    kernel_module = (root / "proc/driver/nvidia/version").exists()
    return [
        f"device files /dev/nvidia0 ...: {', '.join(nodes) or 'none'}",
        f"the driver's kernel module: {'loaded' if kernel_module else 'not loaded'}",
        f"nvidia-smi: {program or 'not on PATH'}",
    ]
