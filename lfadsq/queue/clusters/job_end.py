"""The end of the batch job that we run in: by the clock, and by the batch system's warnings."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from types import FrameType

from lfadsq.queue.records import Cause

__all__ = ["END_VARIABLE", "JobEnd", "end_of_job_s", "queue_margin_s"]

END_VARIABLE = "SLURM_JOB_END_TIME"
"""In which SLURM tells a job its end [s since 1970]; only newer versions do."""

# SIGUSR2 is Grid Engine's and LSF's, SIGXCPU that of limits on processor time.
_WARNINGS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
# SLURM sends its warning up to a minute too early.
_EARLY_S = 60.0


def end_of_job_s(walltime_s: float, environment: Mapping[str, str] = os.environ) -> float:
    """Tell when the job ends whose script became this process by ``exec`` [s since 1970].

    Parameters
    ----------
    walltime_s : float
        That was asked for [s].
    environment : dict of str to str, optional
        In which SLURM tells of a limit that its administrator made shorter.
    """
    import psutil

    # A process keeps its beginning through exec: modules that the job loaded first are counted in.
    began_s = min(time.time(), float(psutil.Process().create_time()))
    ends = [began_s + walltime_s]
    with contextlib.suppress(KeyError, ValueError):
        ends.append(float(environment[END_VARIABLE]))
    return min(ends)


def queue_margin_s(walltime_s: float) -> float:
    """Compute how long before its end the job of a queue ends its trainings [s].

    Five minutes, or a tenth of a short walltime, but hardly less than trainings need for that.

    >>> [queue_margin_s(walltime_s) for walltime_s in (60, 600, 86400)]
    [30.0, 60.0, 300.0]
    """
    return min(300.0, max(30.0, walltime_s / 10), walltime_s / 2)


class JobEnd:
    """Makes warnings of the batch system end the queue of this process, in a ``with`` block.

    A warning becomes SIGTERM, on which a queue ends in good order. The same signals announce that a
    job has to give way or was cancelled: only near its end they mean its end.

    Parameters
    ----------
    ends_at_s : float
        When the job ends [s since 1970].
    margin_s : float
        How long before that its queue ends by its own clock [s].

    Attributes
    ----------
    was_announced : bool
        Whether a warning came that meant the end of the job.
    """

    def __init__(self, ends_at_s: float, margin_s: float) -> None:
        self.ends_at_s = ends_at_s
        self.margin_s = margin_s
        self.was_announced = False
        self._was_warned = False
        self._old: dict[signal.Signals, object] = {}

    def __enter__(self) -> JobEnd:
        for number in _WARNINGS:
            self._old[number] = signal.signal(number, self._on_warning)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler or signal.SIG_DFL)  # type: ignore[arg-type]

    @property
    def deadline_s(self) -> float:
        """When the queue ends by its own clock [s since 1970]."""
        return self.ends_at_s - self.margin_s

    @property
    def seconds_left(self) -> float:
        """How long the job goes on [s]."""
        return self.ends_at_s - time.time()

    def cause(self) -> Cause:
        """Tell what a signal that ends the queue now means for its tasks."""
        if self.was_announced:
            return Cause.WALLTIME
        return Cause.PREEMPTED if self._was_warned else Cause.QUEUE_STOPPED

    def _on_warning(self, _number: int, _frame: FrameType | None) -> None:
        self._was_warned = True
        self.was_announced |= self.seconds_left <= 2 * self.margin_s + _EARLY_S
        os.kill(os.getpid(), signal.SIGTERM)
