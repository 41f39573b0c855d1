"""What `lfadsq doctor` can tell of this machine alone."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfadsq.errors import ClusterError, LfadsqError
from lfadsq.queue.clusters.doctor_report import Finding, Tell, ok, problem, warning
from lfadsq.queue.clusters.probe import about_here, gpus_here, tensorflow_here
from lfadsq.queue.clusters.systems import SYSTEM_NAMES, system_of
from lfadsq.queue.clusters.systems.base import BatchSystem
from lfadsq.queue.clusters.systems.calls import call
from lfadsq.queue.locks import RunLock
from lfadsq.texts import count_text

__all__ = [
    "WITHOUT_LOCKS",
    "Mount",
    "commands_finding",
    "examine_here",
    "locks_finding",
    "mount_of",
    "space_finding",
    "tensorflow_finding",
]

WITHOUT_LOCKS = (
    "have the file system mounted with locks that hold on all machines (Lustre: option `flock`;"
    " NFS: `local_lock=none` and no `nolock`), or move the collection to one that has them. Until"
    " then run one queue of this collection at a time, and not with --no-dask: Dask still gives"
    " each run to one job alone, but nothing keeps a second queue, or a training that outlived its"
    " job, from writing to the same run"
)

_VERSIONS = {
    "slurm": ("sbatch", "--version"),
    "pbs": ("qstat", "--version"),
    "sge": ("qstat", "-help"),
    "lsf": ("bsub", "-V"),
    "htcondor": ("condor_version",),
    "oar": ("oarsub", "--version"),
    "moab": ("msub", "--version"),
}
_VERSION_S = 15.0
_TENSORFLOW_S = 180.0
_LITTLE_MB, _TOO_LITTLE_MB = 5000.0, 100.0
_ESCAPED = re.compile(r"\\([0-7]{3})")
_LOCAL_LOCKS = ("nolock", "local_lock=flock", "local_lock=all", "localflock", "noflock")


def examine_here(folder: Path, tell: Tell, say: Callable[[str], None]) -> None:
    """Look at this machine, without any batch system.

    Parameters
    ----------
    folder : Path
        Of the collection; a file is written there for a moment.
    tell : callable
        Takes findings.
    say : callable
        Takes what is being done.
    """
    about = about_here(folder)
    tell(ok("python", f"Python {about['python']}, {about['executable']}"))
    versions = about["versions"]
    said = ", ".join(f"{name} {versions[name]}" for name in ("lfadsq", "dask", "distributed"))
    tell(ok("versions", said))
    gpus = gpus_here()
    if gpus["names"]:
        tell(ok("gpus", f"{count_text(len(gpus['names']), 'GPU')}: {', '.join(gpus['names'])}"))
    else:
        tell(ok("gpus", f"none: trainings run on the processors ({gpus['reason']})"))
    say("loading TensorFlow")
    tell(tensorflow_finding(tensorflow_here(_TENSORFLOW_S), len(gpus["names"])))
    tell(trainer_finding(about))
    total_gb, free_gb = about["memory_mb"] / 1000, about["memory_free_mb"] / 1000
    memory = f"{total_gb:.1f} GB of memory, {free_gb:.1f} GB free"
    tell(ok("machine", f"{count_text(about['num_cpus'], 'core')}, {memory}"))
    found = [name for name in SYSTEM_NAMES if not _missing(system_of(name))]
    tell(ok("batch systems", ", ".join(found) if found else "no commands of one are on PATH"))
    tell(locks_finding(folder))
    tell(space_finding(about, folder, ""))


def commands_finding(system: BatchSystem) -> Finding:
    """Tell whether the commands of a batch system are here, and which version they are."""
    missing = _missing(system)
    if missing:
        return problem(
            "commands",
            f"{system.title} is not here: {', '.join(missing)} cannot be found",
            "run this on a login node of the cluster; there `module avail` may tell how its"
            " commands come to PATH",
        )
    places = ", ".join(f"{shutil.which(command)}" for command in system.commands)
    return ok("commands", f"{places}: {_version_of(system)}")


def _missing(system: BatchSystem) -> list[str]:
    return [command for command in system.commands if shutil.which(command) is None]


def _version_of(system: BatchSystem) -> str:
    try:
        answer = call(_VERSIONS[system.name], timeout_s=_VERSION_S)
    except ClusterError:
        return "version unknown"
    lines = [line.strip() for line in (answer.out + "\n" + answer.err).splitlines()]
    first = next((line for line in lines if re.search(r"\d", line)), "")
    return first[:80] if first and answer.status == 0 else "version unknown"


def tensorflow_finding(told: dict[str, Any], num_gpus: int) -> Finding:
    """Judge how TensorFlow loads.

    Parameters
    ----------
    told : dict
        By `lfadsq.queue.clusters.probe.tensorflow_here`.
    num_gpus : int
        That NVML sees.
    """
    from lfadsq.training.quiet import INSTALL_TENSORFLOW

    if "problem" in told:
        return problem(
            "tensorflow",
            f"TensorFlow does not load: {told['problem']}",
            f"{INSTALL_TENSORFLOW}; modules it needs belong into `setup` of cluster.toml",
        )
    said = f"TensorFlow {told['version']} loads in {told['took_s']:.1f} s"
    if told["num_gpus"] < num_gpus:
        return problem(
            "tensorflow",
            f"{said}, and sees {told['num_gpus']} of {count_text(num_gpus, 'GPU')}",
            "install what it needs for GPUs: pip install 'lfadsq[gpu]', or have the modules of CUDA"
            " and cuDNN loaded by `setup` of cluster.toml; its own words: python -c 'import"
            ' tensorflow as tf; tf.config.list_physical_devices("GPU")\'',
        )
    sees = f", and sees {count_text(told['num_gpus'], 'GPU')}" if num_gpus else ""
    return ok("tensorflow", said + sees)


def trainer_finding(about: dict[str, Any]) -> Finding:
    """Tell whether trainings find their program."""
    if about["trainer"]:
        return ok("trainer", f"run_lfads.py is {about['trainer']}")
    return problem(
        "trainer",
        "run_lfads.py is not found beside that Python, nor on PATH",
        "install lfadsq into that Python, or have the environment activated by `setup` of"
        " cluster.toml",
    )


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    Attributes
    ----------
    point : str
        Where it is mounted.
    kind : str
        Such as ``nfs4`` or ``lustre``.
    options : tuple of str
    """

    point: str
    kind: str
    options: tuple[str, ...]

    @property
    def local_lock(self) -> str:
        """The option by which locks hold on one machine alone; empty if there is none."""
        return next((option for option in self.options if option in _LOCAL_LOCKS), "")


def mount_of(folder: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> Mount | None:
    """Find the file system of a folder; None if the kernel does not tell."""
    try:
        lines = mountinfo.read_text(errors="replace").splitlines()
    except OSError:
        return None
    folder = folder.resolve()
    found = None
    for line in lines:
        left, _, right = line.partition(" - ")
        words, rest = left.split(" "), right.split(" ")
        if len(words) < 6 or len(rest) < 3:
            continue
        point = _ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), words[4])
        # Of two at the same place, the later one hides the earlier one.
        if folder.is_relative_to(point) and (found is None or len(point) >= len(found.point)):
            options = tuple(dict.fromkeys([*words[5].split(","), *rest[2].split(",")]))
            found = Mount(point, rest[0], options)
    return found


def locks_finding(folder: Path) -> Finding:
    """Try a lock of a file in a folder, on this machine alone."""
    mount = mount_of(folder)
    where = f"{folder} ({mount.kind}, mounted at {mount.point})" if mount else str(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".lfadsq-doctor-", dir=folder) as name:
            excludes = _lock_excludes(Path(name) / "lock")
    except (LfadsqError, OSError) as error:
        return problem("locks here", f"no file can be locked in {where}: {error}", WITHOUT_LOCKS)
    if not excludes:
        return problem("locks here", f"two can hold one lock at once in {where}", WITHOUT_LOCKS)
    if mount and mount.local_lock:
        return problem(
            "locks here",
            f"{where} is mounted with {mount.local_lock}: locks hold on each machine alone",
            WITHOUT_LOCKS,
        )
    return ok("locks here", f"files can be locked in {where}")


def _lock_excludes(path: Path) -> bool:
    first = RunLock.try_acquire(path)
    if first is None:
        return False
    try:
        second = RunLock.try_acquire(path)
        if second is not None:
            second.release()
        return second is None
    finally:
        first.release()


def space_finding(about: dict[str, Any], folder: Path, where: str) -> Finding:
    """Judge the free space of the collection and of the folder of temporary files.

    Parameters
    ----------
    about : dict
        By `lfadsq.queue.clusters.probe.about_here`.
    folder : Path
    where : str
        What to say of the machine.
    """
    free = {str(folder): about["free_mb"], about["temporary"]: about["temporary_free_mb"]}
    said = ", ".join(f"{mb / 1000:.1f} GB in {os.fspath(path)}" for path, mb in free.items())
    text = f"free{where}: {said}"
    remedy = "free some space, or name another folder: for temporary files, `setup` of cluster.toml"
    remedy += " may say `export TMPDIR=...`. What a quota leaves is not seen here"
    if min(free.values()) < _TOO_LITTLE_MB:
        return problem("space", text, remedy)
    if about["free_mb"] < _LITTLE_MB:
        return warning("space", text, remedy)
    return ok("space", text)
