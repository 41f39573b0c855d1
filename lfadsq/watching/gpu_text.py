"""The GPUs of this machine in lines that fit a terminal of 80 columns, without colour too."""

from __future__ import annotations

from collections.abc import Iterator

from lfadsq.queue.gpu_choice import MASK_VARIABLE
from lfadsq.texts import StyledLine, count_text, printable
from lfadsq.watching.gpu_processes import GpuUser
from lfadsq.watching.machine_gpus import GpuState, MachineGpus

__all__ = ["gpu_lines"]

_UNKNOWN = "-"
_NAME_WIDTH = 27
_INDENT = " " * 6


def gpu_lines(machine: MachineGpus, *, with_uuids: bool = False) -> Iterator[StyledLine]:
    """Write what was seen of the GPUs of a machine.

    Parameters
    ----------
    machine : MachineGpus
    with_uuids : bool, default False
        Write the UUID of each below it.
    """
    if machine.problem:
        yield StyledLine(printable(f"{machine.host}: {machine.problem}"), "bold")
        for trace in machine.tried:
            yield StyledLine(printable(f"  {trace}"))
        yield StyledLine(printable(f"what to do: {machine.remedy}"))
        yield StyledLine("training and everything else works on the processors too, only slower")
        return
    driver = f", driver {machine.driver}" if machine.driver else ""
    head = f"{machine.host}: {count_text(len(machine.gpus), 'GPU')}{driver}"
    yield StyledLine(printable(head), "bold")
    yield StyledLine(
        f"{'GPU':<5} {'name':<{_NAME_WIDTH}} {'use':>5} {'memory MB':>15} {'power W':>11}"
        f" {'temp':>6}",
        "bold",
    )
    for gpu in machine.gpus:
        yield from _lines_of(gpu, machine, with_uuids)


def _lines_of(gpu: GpuState, machine: MachineGpus, with_uuids: bool) -> Iterator[StyledLine]:
    part = "" if gpu.mig_index is None else f":{gpu.mig_index}"
    label = f"{gpu.index}{part}"
    if gpu.problem:
        yield StyledLine(
            printable(f"{label:<5} {gpu.name or 'GPU'} does not answer: {gpu.problem}"), "red"
        )
    else:
        activity = gpu.activity
        name = gpu.name if len(gpu.name) <= _NAME_WIDTH else f"{gpu.name[: _NAME_WIDTH - 3]}..."
        memory = f"{_whole(gpu.memory_used_mb)}/{_whole(gpu.memory_total_mb)}"
        power = f"{_whole(activity.power_w)}/{_whole(activity.power_limit_w)}"
        yield StyledLine(
            printable(
                f"{label:<5} {name:<{_NAME_WIDTH}} {_whole(activity.utilisation_percent, ' %'):>5}"
                f" {memory:>15} {_or_unknown(power):>11}"
                f" {_whole(activity.temperature_c, ' C'):>6}"
            )
        )
    if with_uuids:
        yield StyledLine(printable(f"{_INDENT}{gpu.uuid or _UNKNOWN}"))
    if not gpu.is_visible:
        hidden = f"hidden from programs here by {MASK_VARIABLE}={machine.mask!r}"
        yield StyledLine(printable(f"{_INDENT}{hidden}"), "yellow")
    for user in gpu.users:
        yield StyledLine(
            printable(f"{_INDENT}{_user_text(user)}"), "green" if user.is_lfadsq else ""
        )


def _user_text(user: GpuUser) -> str:
    if user.is_lfadsq:
        what = f"run {user.run_name}" if user.run else "lfadsq: " + " ".join(user.command)
    elif user.command or user.user:
        what = " ".join(user.command) or "(its command is not to be seen)"
    else:
        what = "(not to be seen from here, as of another container)"
    return f"{user.pid:>7} {user.user or _UNKNOWN:<8} {_whole(user.memory_mb, ' MB'):>9}  {what}"


def _whole(value: float | None, unit: str = "") -> str:
    return _UNKNOWN if value is None else f"{value:.0f}{unit}"


def _or_unknown(text: str) -> str:
    return _UNKNOWN if text == f"{_UNKNOWN}/{_UNKNOWN}" else text
