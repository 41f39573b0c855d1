"""The GPUs of all machines that matter to a collection, whoever measured them.

Those of this machine are measured here and now. Of other machines only queues know, which tell in
their snapshots. A GPU that both tell of is one.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lfadsq.queue.overview import parse_time_s
from lfadsq.queue.status import DeviceStatus, Snapshot
from lfadsq.texts import duration_text
from lfadsq.watching.gpu_processes import GpuUser
from lfadsq.watching.live.listing import short_name
from lfadsq.watching.machine_gpus import GpuState, MachineGpus

__all__ = ["LiveDevice", "Occupant", "live_devices"]

# Queues write a snapshot every 10 s at least; machines of a cluster tell every 5 s.
_OLD_S = 60.0


@dataclass(frozen=True)
class Occupant:
    """Who is on a device.

    Attributes
    ----------
    text : str
        A run, or who and what else.
    is_ours : bool
        Whether a queue or a trainer of ours is at work there.
    """

    text: str
    is_ours: bool = False


@dataclass(frozen=True)
class LiveDevice:
    """A device at one moment; None for what it does not tell.

    Attributes
    ----------
    host : str
    device_id : str
        UUID; or ``cpu`` for the processors of a queue that trains on them.
    label, model : str
        Such as ``GPU 0`` and ``NVIDIA A100``.
    is_gpu : bool
    utilisation_percent, power_w, power_limit_w, temperature_c : float or None
    used_mb, total_mb : float or None
    occupants : tuple of Occupant
        Ours first.
    max_tasks : int
        How many tasks a queue runs on it at once; 0 if none uses it.
    note : str
        Why a queue starts nothing on it, or why it does not answer, or how old all this is.
    """

    host: str
    device_id: str
    label: str
    model: str = ""
    is_gpu: bool = True
    utilisation_percent: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    used_mb: float | None = None
    total_mb: float | None = None
    occupants: tuple[Occupant, ...] = ()
    max_tasks: int = 0
    note: str = ""


def live_devices(
    queues: Sequence[Snapshot],
    here: MachineGpus | None,
    run_of_task: Mapping[str, str],
    now_s: float,
) -> tuple[LiveDevice, ...]:
    """Gather all devices, those of this machine first, then by machine.

    Parameters
    ----------
    queues : sequence of Snapshot
        Of live queues, newest first.
    here : MachineGpus or None
        This machine's GPUs, if they were measured.
    run_of_task : dict of str to str
        Names of runs by those of their tasks; a task that is not there is called by its own name.
    now_s : float
        The time [s since 1970].
    """
    this_host = here.host if here is not None else socket.gethostname()
    found: dict[tuple[str, str], LiveDevice] = {}
    for gpu in here.gpus if here is not None else ():
        # One that never answered has no UUID.
        found[this_host, gpu.uuid or f"GPU {gpu.index}"] = _measured_here(gpu, this_host)
    for queue in queues:
        age = _age_note(queue, now_s)
        for device in queue.devices:
            told = _told(device, queue, run_of_task, age)
            key = (told.host, told.device_id)
            found[key] = _merged(found[key], told) if key in found else told
    return tuple(sorted(found.values(), key=lambda one: (one.host != this_host, one.host)))


def _measured_here(gpu: GpuState, host: str) -> LiveDevice:
    part = "" if gpu.mig_index is None else f":{gpu.mig_index}"
    activity = gpu.activity
    return LiveDevice(
        host=host,
        device_id=gpu.uuid,
        label=f"GPU {gpu.index}{part}",
        model=gpu.name,
        utilisation_percent=activity.utilisation_percent,
        power_w=activity.power_w,
        power_limit_w=activity.power_limit_w,
        temperature_c=activity.temperature_c,
        used_mb=gpu.memory_used_mb,
        total_mb=gpu.memory_total_mb,
        occupants=_ours_first(map(_process, gpu.users)),
        note=f"does not answer: {gpu.problem}" if gpu.problem else "",
    )


def _process(user: GpuUser) -> Occupant:
    if user.run:
        return Occupant(short_name(user.run_name), True)
    program = user.command[0].rpartition("/")[2] if user.command else ""
    who = user.user or f"process {user.pid}"
    return Occupant(f"{who}: {program}" if program else who, user.is_lfadsq)


def _told(
    device: DeviceStatus, queue: Snapshot, run_of_task: Mapping[str, str], age: str
) -> LiveDevice:
    host = device.host or queue.host
    label, _, rest = device.name.removesuffix(f" of {host}").partition(" (")
    ours = [Occupant(short_name(run_of_task.get(name, name)), True) for name in device.tasks]
    notes = [device.closed_because, age]
    if device.kept_for:
        kept_for = short_name(run_of_task.get(device.kept_for, device.kept_for))
        notes.insert(0, f"kept for {kept_for}")
    return LiveDevice(
        host=host,
        device_id=device.device_id.partition("@")[0],
        label=label,
        model=rest.removesuffix(")"),
        is_gpu=device.is_gpu,
        utilisation_percent=device.utilisation_percent,
        power_w=device.power_w,
        power_limit_w=device.power_limit_w,
        temperature_c=device.temperature_c,
        used_mb=device.memory_total_mb - device.memory_free_mb,
        total_mb=device.memory_total_mb,
        occupants=(*ours, *_others(device)),
        max_tasks=device.max_tasks,
        note="; ".join(filter(None, notes)),
    )


def _others(device: DeviceStatus) -> tuple[Occupant, ...]:
    if not device.num_others:
        return ()
    what = f"{device.num_others} other process{'es' * (device.num_others != 1)}"
    whose = ", ".join(device.other_users)
    return (Occupant(f"{what} ({whose})" if whose else what),)


def _merged(known: LiveDevice, told: LiveDevice) -> LiveDevice:
    """Add what a queue says to what was measured, or to what another queue says."""
    ours = {one.text for one in known.occupants if one.is_ours}
    new = [one for one in told.occupants if one.is_ours and one.text not in ours]
    return replace(
        known,
        occupants=_ours_first((*known.occupants, *new)),
        max_tasks=max(known.max_tasks, told.max_tasks),
        note="; ".join(dict.fromkeys(filter(None, [known.note, told.note]))),
    )


def _ours_first(occupants: Iterable[Occupant]) -> tuple[Occupant, ...]:
    return tuple(sorted(dict.fromkeys(occupants), key=lambda one: not one.is_ours))


def _age_note(queue: Snapshot, now_s: float) -> str:
    said_s = parse_time_s(queue.updated_at)
    if said_s is None or now_s - said_s < _OLD_S:
        return ""
    return f"as its queue said {duration_text(now_s - said_s)} ago"
