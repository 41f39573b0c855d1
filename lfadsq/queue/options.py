"""What a queue is asked to do, checked as a whole before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfadsq.errors import ConfigError
from lfadsq.queue.machine import num_usable_cpus
from lfadsq.queue.records import Cause

__all__ = ["GRACE_S", "QueueOptions"]

_SWITCHES = (
    "one_task_per_gpu",
    "ignore_donefile",
    "tmux",
    "dry_run",
    "no_dask",
    "waits_for_others",
    "check",
)

GRACE_S = 20.0
"""How long tasks may take to end by themselves when they are asked to [s]."""


def _queue_stopped() -> Cause:
    return Cause.QUEUE_STOPPED


@dataclass(frozen=True)
class QueueOptions:
    """Options of a queue; see `lfadsq.queue.run_lfads_queue`.

    Attributes
    ----------
    cause_of_stop : callable
        Asked when a signal stops the queue: what the end of its tasks is put down to. For a queue
        in a batch job, of which a signal may announce the end.

    Raises
    ------
    ConfigError
        If anything is wrong: every violation is named.
    """

    queue_name: str
    tensorboard_script: str | Path | None = None
    gpu_list: Sequence[int | str] | None = None
    one_task_per_gpu: bool = True
    max_tasks_simultaneously: int | None = None
    ignore_donefile: bool = False
    max_tasks_per_gpu: int | None = None
    detach: bool | None = None
    tmux: bool = False
    notify_command: str | None = None
    notify_webhook: str | None = None
    notify_on: Collection[str] = ("failed", "done")
    collection: str | Path | None = None
    script: str | Path | None = None
    grace_s: float = GRACE_S
    cluster: str | None = None
    cluster_options: Mapping[str, Any] | None = None
    dry_run: bool = False
    no_dask: bool = False
    starts_until_s: float | None = None
    deadline_s: float | None = None
    waits_for_others: bool = True
    check: bool = True
    cause_of_stop: Callable[[], Cause] = _queue_stopped
    has_cluster_words: bool = False

    def __post_init__(self) -> None:
        problems = []
        if not isinstance(self.queue_name, str):
            problems.append(f"queue_name is {self.queue_name!r}; give text")
        for key in _SWITCHES:
            if getattr(self, key) not in (True, False):
                problems.append(f"{key} is {getattr(self, key)!r}; give True or False")
        if self.detach not in (True, False, None):
            problems.append(f"detach is {self.detach!r}; give True, False or None")
        for key in ("max_tasks_simultaneously", "max_tasks_per_gpu"):
            problems += _count_problems(key, getattr(self, key))
        if isinstance(self.grace_s, bool) or not _is_amount(self.grace_s):
            problems.append(f"grace_s is {self.grace_s!r}; give a number of seconds, 0 or more")
        for key in ("tensorboard_script", "collection", "script"):
            value = getattr(self, key)
            if value is not None and not isinstance(value, (str, Path)):
                problems.append(f"{key} is {value!r}; give a path")
        for key in ("notify_command", "notify_webhook"):
            value = getattr(self, key)
            if value is not None and not (isinstance(value, str) and value.strip()):
                problems.append(f"{key} is {value!r}; give text")
        if self.one_task_per_gpu and (self.max_tasks_per_gpu or 1) > 1:
            problems.append(
                f"max_tasks_per_gpu is {self.max_tasks_per_gpu}, but one_task_per_gpu is true; set"
                " one_task_per_gpu to False"
            )
        for key in ("starts_until_s", "deadline_s"):
            value = getattr(self, key)
            if value is not None and (isinstance(value, bool) or not _is_amount(value)):
                problems.append(f"{key} is {value!r}; give seconds since 1970")
        problems += self._cluster_problems()
        if problems:
            raise ConfigError("; ".join(problems))

    def _cluster_problems(self) -> list[str]:
        if self.cluster is None:
            given = {
                "dry_run": self.dry_run,
                "no_dask": self.no_dask,
                "options of a cluster": self.cluster_options or self.has_cluster_words,
            }
            return [
                f"{what} cannot be without a cluster; name one (cluster, --cluster)"
                for what, is_given in given.items()
                if is_given
            ]
        problems = []
        if not isinstance(self.cluster, str):
            problems.append(f"cluster is {self.cluster!r}; give a name such as 'slurm'")
        if self.cluster_options is not None and not isinstance(self.cluster_options, Mapping):
            problems.append(f"cluster_options is {self.cluster_options!r}; give a dict")
        if self.gpu_list:
            problems.append(
                f"gpu_list is {self.gpu_list!r}, but on a cluster a job uses the GPUs that it is"
                " given; leave it out"
            )
        if self.detach and not self.no_dask:
            problems.append(
                "detach is True, but what runs on a cluster ends with its queue; `lfadsq submit`"
                " makes the queue a job that needs nobody logged in"
            )
        return problems

    @property
    def max_tasks(self) -> int:
        """How many tasks may run at once in all."""
        return self.max_tasks_simultaneously or max(1, num_usable_cpus() - 1)

    @property
    def max_tasks_on_gpu(self) -> int:
        """How many tasks may share a GPU."""
        return 1 if self.one_task_per_gpu else self.max_tasks_per_gpu or self.max_tasks


def _count_problems(key: str, value: Any) -> list[str]:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return []
    return [f"{key} is {value!r}; give a number of 1 or more"]


def _is_amount(value: object) -> bool:
    return isinstance(value, (int, float)) and value >= 0
