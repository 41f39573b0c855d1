"""Job scripts by dask-jobqueue: all is quoted, and nothing is taken from its configuration."""

from __future__ import annotations

import abc
import contextlib
import re
import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from lfadsq.errors import ConfigError
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.systems.base import Launch, Program

__all__ = [
    "UMASK",
    "ScriptWriter",
    "from_dask_jobqueue",
    "gives",
    "job_name",
    "logs_of",
    "require",
    "walltime_text",
]

UMASK = "umask o-w"
"""Whatever a job writes, nothing of it may be changed by everyone."""

_CONFIG = "lfadsq"
_IMPORTING = threading.Lock()
_WORKER = "lfadsq.queue.clusters.worker"

_LISTS = (
    "worker-extra-args",
    "job-extra-directives",
    "job-script-prologue",
    "job-directives-skip",
    "submit-command-extra",
    "cancel-command-extra",
)
# fmt: off
_VALUES = (
    "account", "cores", "cpu", "death-timeout", "disk", "env-extra", "extra", "header-skip",
    "interface", "job-cpu", "job-extra", "job-mem", "local-directory", "log-directory",
    "lsf-units", "mem", "memory", "memory-per-core-property-name", "name", "ncpus", "processes",
    "project", "python", "queue", "resource-spec", "shebang", "use-stdin", "walltime",
    "worker-command",
)
# fmt: on

_WORD = re.compile(r"[A-Za-z0-9._:/@+=-]+")
_BREAKS = re.compile(r"[\n\r\0]")


class ScriptWriter(abc.ABC):
    """Writes the scripts of a batch system whose jobs are shell scripts with directives."""

    name: ClassVar[str]
    title: ClassVar[str]
    commands: ClassVar[Sequence[str]]
    prefix: ClassVar[str]
    """What a directive begins with in the script, such as ``#SBATCH``."""

    shebang: ClassVar[str] = "#!/bin/bash"
    warnings: ClassVar[Sequence[str]] = ("USR1", "USR2", "XCPU")
    """Signals before the end of a job; one that comes before the program can take it kills it."""

    def problems(self, options: ClusterOptions) -> list[str]:
        """Say what of some options this system cannot do, and what to give in its place."""
        found = []
        if options.end_margin_s >= options.walltime_s:
            found.append(
                f"jobs of {options.walltime_s} s cannot be warned {options.end_margin_s} s before "
                "their end: give a longer walltime, or a shorter end margin"
            )
        words = {"partition": options.partition, "account": options.account}
        words.update({f"node to avoid {node!r}": node for node in options.exclude_nodes})
        words["interface"] = options.interface
        found += [
            f"{what}: {word!r} has characters that {self.title} cannot take there"
            for what, word in words.items()
            if word and not _WORD.fullmatch(word)
        ]
        found += [
            f"the directive {line!r} is no single line: give each line by itself"
            for line in options.directives
            if _BREAKS.search(line) or not line.strip()
        ]
        found += [
            f"the directive {line!r} begins with {self.prefix}, which is added by itself"
            for line in options.directives
            if self.prefix and line.lstrip().startswith(self.prefix)
        ]
        return found

    def worker_script(self, options: ClusterOptions, launch: Launch) -> str:
        """Write the script of a job that runs a worker, by dask-jobqueue.

        Raises
        ------
        ConfigError
            If the options, an argument or the log folder cannot be given to this system.
        """
        self._check(options, launch, (launch.scheduler, *launch.worker_arguments))
        script: str = self._job(options, launch, self._worker(options, launch)).job_script()
        return script

    def program_script(self, options: ClusterOptions, program: Program) -> str:
        """Write the script of a job, or of an array of jobs, that runs a program.

        Raises
        ------
        ConfigError
            If the options, an argument or the log folder cannot be given to this system.
        """
        self._check(options, program, program.argv)
        job = self._job(options, program, self._common(options, program))
        lines = [self.shebang, "", job.job_header, *self._lines_before(options, program)]
        lines.append("exec " + " ".join(map(self._quote, program.argv)))
        return "\n".join(lines) + "\n"

    def cancel_words(self, job_id: str) -> Sequence[str]:
        """Give the command by which a person cancels a job, or a job array."""
        return self.commands[-1], job_id

    @abc.abstractmethod
    def _job(self, options: ClusterOptions, job: Launch | Program, common: dict[str, Any]) -> Any:
        """Make dask-jobqueue's job, with its header."""

    @abc.abstractmethod
    def _check_log_folder(self, folder: Path) -> None:
        """Refuse a folder that no directive of this system can name."""

    def _prologue(self, options: ClusterOptions, job: Launch | Program) -> list[str]:
        """Give the lines of the script that run first."""
        return list(options.setup)

    def _lines_before(self, options: ClusterOptions, job: Launch | Program) -> list[str]:
        until_ready = "trap '' " + " ".join(self.warnings)
        return [UMASK, *self._prologue(options, job), until_ready]

    def _quote(self, text: str) -> str:
        return shlex.quote(text)

    def _check(
        self, options: ClusterOptions, job: Launch | Program, arguments: Sequence[str]
    ) -> None:
        found = self.problems(options)
        # Some batch systems look for directives in every line of a script, quoted or not.
        found += [
            f"{text!r} holds a line break, which a job script cannot take"
            for text in (*arguments, job.name, str(job.log_folder), options.python)
            if _BREAKS.search(text)
        ]
        if found:
            raise ConfigError(
                f"{self.title} cannot run the job {job.name!r} like this: " + "; ".join(found),
                "change the options of the cluster, or rename the folder",
            )
        self._check_log_folder(job.log_folder)

    def _worker(self, options: ClusterOptions, launch: Launch) -> dict[str, Any]:
        return {
            **self._common(options, launch),
            "scheduler": self._quote(launch.scheduler),
            "name": self._quote(launch.name),
            "interface": self._quote(options.interface) if options.interface else None,
            "worker_extra_args": [self._quote(text) for text in launch.worker_arguments],
        }

    def _common(self, options: ClusterOptions, job: Launch | Program) -> dict[str, Any]:
        import dask

        # Every key that dask-jobqueue may read, in a section that is ours alone: what a user wrote
        # for clusters of another kind changes no job of this queue.
        empty: dict[str, Any] = dict.fromkeys(_VALUES)
        empty.update({key: [] for key in _LISTS})
        dask.config.set({f"jobqueue.{_CONFIG}": empty})
        return {
            "config_name": _CONFIG,
            "name": job_name(job.name),
            "job_name": job_name(job.name),
            "cores": options.cores_per_job,
            "memory": f"{options.memory_per_job_mb}MiB",
            "processes": 1,
            "nanny": False,
            "worker_command": _WORKER,
            # The signals of the batch system must reach the worker, not a shell before it.
            "python": "exec " + self._quote(options.python),
            "shebang": self.shebang,
            "job_script_prologue": self._lines_before(options, job),
        }


def from_dask_jobqueue(module: str, name: str) -> Any:
    """Import from dask-jobqueue, which is slow to import, and has no types."""
    with _signals_kept():
        return getattr(import_module(f"dask_jobqueue.{module}"), name)


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Import dask-jobqueue 0.9 without its handler of SIGINT: it would take that from the queue."""
    # Two threads at once would leave the do-nothing in place for good.
    with _IMPORTING:
        set_handler = signal.signal
        signal.signal = lambda *_: None
        try:
            yield
        finally:
            signal.signal = set_handler


def job_name(name: str, longest: int = 64) -> str:
    """Give a name that every batch system takes: letters first, no spaces, not too long.

    Examples
    --------
    >>> job_name("my data/gpu job"), job_name("1st"), job_name("lfadsq-worker-12", 15)
    ('my_data_gpu_job', 'j1st', 'jadsq-worker-12')
    """
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    if len(safe) > longest:
        # The end of a name tells jobs apart.
        safe = safe[-(longest - 1) :]
        safe = f"j{safe}"
    return safe if safe[:1].isalpha() else f"j{safe}"[:longest]


def walltime_text(walltime_s: int) -> str:
    """Give a walltime in hours, minutes and seconds.

    Examples
    --------
    >>> walltime_text(90000), walltime_text(61)
    ('25:00:00', '00:01:01')
    """
    return f"{walltime_s // 3600:02d}:{walltime_s // 60 % 60:02d}:{walltime_s % 60:02d}"


def gives(options: ClusterOptions, pattern: str) -> bool:
    """Whether the user's own directives give something; then ours for the same are left out."""
    return any(re.match(pattern, line.strip()) for line in options.directives)


def require(folder: Path, safe: str, title: str) -> None:
    """Refuse a log folder with characters that a directive cannot hold.

    Parameters
    ----------
    folder : Path
    safe : str
        What a directive can hold, as a class of characters of a regular expression.
    title : str
        Of the batch system.

    Raises
    ------
    ConfigError
        Naming the characters.
    """
    wrong = sorted(set(re.sub(f"[{safe}]", "", str(folder), flags=re.ASCII)))
    if wrong or not folder.is_absolute():
        raise ConfigError(
            f"{title} cannot write logs of jobs to {str(folder)!r}"
            + (f": no directive can hold {' '.join(map(repr, wrong))}" if wrong else ""),
            "rename that folder, or move the collection to a path of letters, digits, '.', '_', "
            "'-' and '/'",
        )


def logs_of(log_folder: Path, job_id: str) -> list[Path]:
    """Find the logs of a job, or of all jobs of an array; oldest first.

    Parameters
    ----------
    log_folder : Path
        As it was launched with.
    job_id : str
        As the submit command gave it.
    """
    number = re.search(r"\d+", job_id)
    if number is None or not log_folder.is_dir():
        return []
    # Ours, and those that PBS writes itself: its words about a job that it ended are there alone.
    of_job = re.compile(rf"(.*-)?{number.group()}(?![0-9])[^-]*\.(log|OU|ER)")
    found = [path for path in log_folder.iterdir() if of_job.fullmatch(path.name)]
    return sorted(found, key=lambda path: path.stat().st_mtime)
