"""Devices that tasks run on: GPUs as NVML sees them, or the processors where there is none.

GPUs are named by UUID, because NVML, CUDA and batch systems count them differently. Which of them
we may use is narrowed by an inherited ``CUDA_VISIBLE_DEVICES`` and by the user's list. A GPU that
is cut into MIG devices counts as those.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lfadsq.errors import NoGpuError
from lfadsq.queue.gpu_choice import MASK_VARIABLE, GpuChoice
from lfadsq.queue.machine import owner_of_gpu_process, session_of_gpu_process, usable_memory_mb
from lfadsq.queue.nvml import Activity, Driver, Gpu, Reading

__all__ = [
    "CPU",
    "UNKNOWN_ACTIVITY",
    "Cpus",
    "Device",
    "DeviceSource",
    "Gpus",
    "find_devices",
    "is_cpu",
]

CPU = "cpu"
"""Id of the device that stands for this machine's processors."""

UNKNOWN_ACTIVITY: Mapping[str, Any] = {
    "utilisation_percent": None,
    "power_w": None,
    "power_limit_w": None,
    "temperature_c": None,
    "other_users": (),
}
"""What a `Device` has for how hard it works, and for whom, where that is not known."""

_AT = "@"
"""Stands before the name of the machine, where there are several."""

_GROWTH_VARIABLE = "TF_FORCE_GPU_ALLOW_GROWTH"
_RETRY_S = 10.0
"""How often GPUs are looked for anew while one does not answer [s]."""

_PROHIBITED = "its compute mode is prohibited (an administrator's `nvidia-smi -c 0` would open it)"

_MEMORY_HOLDS_S = 0.05
_ACTIVITY_HOLDS_S = 4.0
"""Devices are measured at every decision; how hard they work is only wanted from time to time."""

_logger = logging.getLogger(__name__)


def is_cpu(device_id: str) -> bool:
    """Tell whether an id stands for the processors of a machine.

    >>> is_cpu("cpu"), is_cpu("cpu@node7"), is_cpu("GPU-5a1f@node7")
    (True, True, False)
    """
    return device_id.partition(_AT)[0] == CPU


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
        Memory taken by our own sessions, as far as it can be seen [MB]: a session that has a
        process here whose memory the driver does not tell is not among them.
    closed_because : str
        Why it can take no task now whatever its memory, in words; empty if it is open.
    num_others : int
        Processes that compute on it and are not known to be ours.
    utilisation_percent, power_w, power_limit_w, temperature_c : float or None
        How hard it works [%, W, W, degrees Celsius], seconds ago at most; None if it does not tell.
    other_users : tuple of str
        Whose those other processes are, as far as that is to be seen, seconds ago at most.
    host : str
        Of a machine of a cluster; empty for the queue's own.
    """

    device_id: str
    name: str
    memory_total_mb: float
    memory_free_mb: float
    max_tasks: int
    taken_mb_by_session: Mapping[int, float]
    closed_because: str = ""
    num_others: int = 0
    utilisation_percent: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    other_users: tuple[str, ...] = ()
    host: str = ""

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU, whole or part."""
        return not is_cpu(self.device_id)


class DeviceSource(Protocol):
    """Where devices come from: measured again for every decision."""

    @property
    def reason(self) -> str:
        """Why these devices and no others, for people; empty if there is nothing to say."""

    @property
    def num_missing(self) -> int:
        """How many devices were left out of the last measurement, and may be there in the next."""

    def measure(self, our_sessions: Collection[int] = ()) -> list[Device]:
        """Measure all devices now; one that does not answer is left out this time.

        Parameters
        ----------
        our_sessions : collection of int
            Sessions of our running tasks, told apart from everybody else's.
        """

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

    num_missing = 0

    def __init__(self, num_slots: int, reason: str) -> None:
        self._num_slots = num_slots
        self._memory_mb = 0.0, 0.0
        self._next_s = 0.0
        self.reason = reason

    def measure(self, our_sessions: Collection[int] = ()) -> list[Device]:
        """Measure the machine's memory, 20 times a second at most."""
        del our_sessions
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._memory_mb = usable_memory_mb()
            self._next_s = now_s + _MEMORY_HOLDS_S
        total_mb, free_mb = self._memory_mb
        return [Device(CPU, CPU, total_mb, free_mb, self._num_slots, {})]

    def environment(self, device_id: str) -> dict[str, str]:
        """Hide all GPUs, also those that the user hid from us."""
        del device_id
        return {MASK_VARIABLE: ""}

    def close(self) -> None:
        """Do nothing: nothing is held."""


@dataclass(frozen=True)
class _Activity:
    asked_s: float
    activity: Activity
    other_users: tuple[str, ...]


class Gpus:
    """GPUs behind NVML.

    Parameters
    ----------
    driver : Driver
        Closed by `close`.
    choice : GpuChoice
        Which GPUs to use.
    max_tasks : int
        How many of our tasks may run on one of them at once.
    allow_growth : bool, default True
        Let TensorFlow take memory as it needs it, in place of all of a GPU at once.

    Attributes
    ----------
    mute : dict of str to str
        Why GPUs do not answer, by what displays call them.

    Raises
    ------
    NoGpuError
        If a wanted GPU is not there, or the driver does not answer.
    """

    reason = ""

    def __init__(
        self, driver: Driver, choice: GpuChoice, max_tasks: int, *, allow_growth: bool = True
    ) -> None:
        self._driver = driver
        self._choice = choice
        self._max_tasks = max_tasks
        self._allow_growth = allow_growth
        self._gpus = choice.of(driver.gpus())
        self.mute: dict[str, str] = {}
        self._last_look_s = time.monotonic()
        self._activities: dict[str, _Activity] = {}
        self.num_missing = 0

    def measure(self, our_sessions: Collection[int] = ()) -> list[Device]:
        """Measure all GPUs; one that fell off the bus is left out, with one warning, until back."""
        if self.num_missing and time.monotonic() - self._last_look_s >= _RETRY_S:
            self._look_again()
            self._last_look_s = time.monotonic()
        devices = []
        for gpu in self._gpus:
            try:
                reading = self._driver.read(gpu)
            except NoGpuError as error:
                if gpu.label not in self.mute:
                    _logger.warning("%s", error)
                self.mute[gpu.label] = error.problem
                continue
            if self.mute.pop(gpu.label, ""):
                _logger.warning("%s answers again", gpu.label)
            devices.append(self._device(gpu, reading, our_sessions))
        self.num_missing = len(self._gpus) - len(devices)
        return devices

    def _device(self, gpu: Gpu, reading: Reading, our_sessions: Collection[int]) -> Device:
        taken: dict[int, float] = {}
        untold: set[int] = set()
        others: list[int] = []
        for process in reading.processes:
            session = session_of_gpu_process(process.pid)
            if session is None or session not in our_sessions:
                others.append(process.pid)
            elif process.taken_mb is None:
                untold.add(session)
            else:
                taken[session] = taken.get(session, 0.0) + process.taken_mb
        activity, other_users = self._activity(gpu, others)
        return Device(
            device_id=gpu.uuid,
            name=gpu.label,
            memory_total_mb=reading.total_mb,
            memory_free_mb=reading.free_mb,
            max_tasks=1 if reading.is_exclusive else self._max_tasks,
            taken_mb_by_session={s: mb for s, mb in taken.items() if s not in untold},
            closed_because=_closed_because(reading, others),
            num_others=len(others),
            utilisation_percent=activity.utilisation_percent,
            power_w=activity.power_w,
            power_limit_w=activity.power_limit_w,
            temperature_c=activity.temperature_c,
            other_users=other_users,
        )

    def _activity(self, gpu: Gpu, others: Sequence[int]) -> tuple[Activity, tuple[str, ...]]:
        now_s = time.monotonic()
        known = self._activities.get(gpu.uuid)
        if known is None or now_s - known.asked_s >= _ACTIVITY_HOLDS_S:
            users = {owner for pid in others if (owner := owner_of_gpu_process(pid))}
            activity = self._driver.activity(gpu)
            known = self._activities[gpu.uuid] = _Activity(now_s, activity, tuple(sorted(users)))
        # Of those that have gone meanwhile nothing is to be told.
        return known.activity, known.other_users if others else ()

    def _look_again(self) -> None:
        """List the GPUs afresh: one that was reset does not answer to its old handle."""
        try:
            if self.num_missing == len(self._gpus):
                self._driver.reopen()
            present = self._driver.gpus()
        except NoGpuError as error:
            _logger.debug("%s", error)
            return
        found = [gpu for gpu in self._choice.of_those_there(present) if gpu.uuid]
        uuids = {gpu.uuid for gpu in found}
        answering = {gpu.index for gpu in present if gpu.uuid}
        missing = [
            gpu
            for gpu in self._gpus
            if (gpu.uuid not in uuids if gpu.uuid else gpu.index not in answering)
        ]
        self._gpus = found + missing
        labels = {gpu.label for gpu in self._gpus}  # a GPU that was mute from the start had no name
        self.mute = {label: why for label, why in self.mute.items() if label in labels}

    def environment(self, device_id: str) -> dict[str, str]:
        """Show a task its own GPU only, by UUID, and keep TensorFlow from taking all of it."""
        growth = {_GROWTH_VARIABLE: "true"} if self._allow_growth else {}
        return {MASK_VARIABLE: device_id, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", **growth}

    def close(self) -> None:
        """Let go of the driver."""
        self._driver.close()


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
        In place of this process's own, where ``CUDA_VISIBLE_DEVICES`` may narrow the choice, and
        what the user set for TensorFlow stays.

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
    environment = os.environ if environment is None else environment
    choice = GpuChoice(wanted, environment.get(MASK_VARIABLE))
    try:
        driver = Driver()
    except NoGpuError as error:
        return _cpus_unless_asked(choice, error.problem, error.remedy, num_cpu_slots)
    try:
        gpus = Gpus(
            driver, choice, max_tasks_on_gpu, allow_growth=_GROWTH_VARIABLE not in environment
        )
        problem = _unusable(gpus, choice)
        if problem:
            driver.close()
            return _cpus_unless_asked(choice, problem, "see `nvidia-smi`", num_cpu_slots)
    except BaseException:
        driver.close()
        raise
    return gpus


def _unusable(gpus: Gpus, choice: GpuChoice) -> str:
    """Say why not one of the chosen GPUs can be used; empty if one can."""
    devices = gpus.measure()
    if any(device.closed_because != _PROHIBITED for device in devices):
        return ""
    if not devices and not gpus.mute:
        return f"no GPU can be used: {choice.mask} hides all of them"
    closed = [f"{device.name} is closed: {device.closed_because}" for device in devices]
    return f"no GPU can be used: {'; '.join([*gpus.mute.values(), *closed])}"


def _cpus_unless_asked(choice: GpuChoice, problem: str, remedy: str, num_slots: int) -> Cpus:
    if choice.words:
        raise NoGpuError(
            f"gpu_list asks for {', '.join(choice.words)}, but {problem}",
            f"{remedy}; or leave gpu_list out to train on the processors",
        )
    return Cpus(num_slots, f"{problem}; {remedy}")


def _closed_because(reading: Reading, others: Sequence[int]) -> str:
    if reading.is_prohibited:
        return _PROHIBITED
    if reading.is_exclusive and others:
        pids = ", ".join(map(str, sorted(set(others))))
        return f"it is in exclusive mode, and process {pids} uses it"
    return ""
