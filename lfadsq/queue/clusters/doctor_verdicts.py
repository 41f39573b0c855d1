"""What the answers of a node mean."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lfadsq.queue.clusters.doctor_here import WITHOUT_LOCKS, tensorflow_finding, trainer_finding
from lfadsq.queue.clusters.doctor_report import Finding, ok, problem, warning
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.texts import count_text, duration_text

__all__ = [
    "clock_finding",
    "end_of_job_finding",
    "gpu_findings",
    "locks_findings",
    "machine_findings",
    "replacing_finding",
    "unreached_finding",
    "version_findings",
]

_SKEW_S = 2.0
_SHORT = 0.9
_MUST_EQUAL = ("lfadsq", "dask", "distributed")


def end_of_job_finding(
    options: ClusterOptions, words: str, log: str, *, has_log: bool, log_folder: str
) -> Finding:
    """Say why a job ended before it was asked everything.

    Parameters
    ----------
    options : ClusterOptions
    words : str
        The batch system's own.
    log : str
        The end of the job's log.
    has_log : bool
        Whether there is one.
    log_folder : str
        Where it should be.
    """
    if not has_log:
        return problem(
            "folder",
            f"the job ended at once ({words}) and left no log: the node does not see {log_folder},"
            " or may not write there",
            "the collection must lie where all nodes see it under the same path: ask which file"
            " system that is, and whether you may write to it from the nodes",
        )
    said = "".join(f"\n  | {line}" for line in log.splitlines())
    if re.search(r"No module named '?lfadsq|No module named '?click", log):
        return problem(
            "python",
            f"{options.python} on the node has no lfadsq: the job ended ({words}){said}",
            "name a Python that has it (--python, or `python` in cluster.toml), or install lfadsq"
            " there",
        )
    missing = r"(No such file or directory|not found|[Pp]ermission denied|cannot execute)"
    if re.search(rf"{re.escape(options.python)}['\"]?: .*{missing}", log):
        return problem(
            "python",
            f"{options.python} cannot be run on the node: the job ended ({words}){said}",
            "name a Python that the nodes see (--python, or `python` in cluster.toml); if a module"
            " brings it, load that by `setup`",
        )
    return problem(
        "job",
        f"the job ended too early ({words}){said or '; its log is empty'}",
        "mend what its log says; `setup` in cluster.toml may load modules that are missing",
    )


def version_findings(
    options: ClusterOptions, here: Mapping[str, Any], there: Mapping[str, Any]
) -> Iterator[Finding]:
    """Compare Python and packages of the node with those here."""
    remedy = (
        "let queue and jobs run by the same Python: start the queue with the one that --python"
        f" names ({options.python}), or install the same versions there"
    )
    yield ok("node", f"{there['host']} runs Python {there['python']}, {there['executable']}")
    pairs = [("Python", _minor(here["python"]), _minor(there["python"]))]
    pairs += [
        (name, here["versions"][name] or "none", there["versions"][name] or "none")
        for name in _MUST_EQUAL
    ]
    unequal = [f"{name} is {a} here and {b} there" for name, a, b in pairs if a != b]
    if unequal:
        yield problem("versions", "; ".join(unequal), remedy)
    else:
        same = ", ".join(f"{name} {version}" for name, version, _ in pairs)
        yield ok("versions", f"the same on both sides: {same}")


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def machine_findings(options: ClusterOptions, about: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare what the job has with what was asked for."""
    num, asked = about["num_cpus"], options.cores_per_job
    if num < asked:
        yield warning(
            "cores",
            f"the job may use {count_text(num, 'core')} of {asked} that were asked for",
            "ask what counts as a core there (hardware threads, nodes), or ask for fewer",
        )
    else:
        more = f" of {num} that it sees" if num > asked else ""
        yield ok("cores", f"{count_text(asked, 'core')}{more}")
    memory_mb, asked_mb = about["memory_mb"], options.memory_per_job_mb
    if memory_mb < 0.95 * asked_mb:
        yield warning(
            "memory",
            f"the job may use {memory_mb / 1000:.1f} GB of {asked_mb / 1000:g} GB asked for",
            "ask for what its nodes have, or give the directive with which they give it",
        )
    else:
        yield ok("memory", f"{asked_mb / 1000:g} GB asked for, {memory_mb / 1000:.1f} GB there")
    granted_s = about["granted_s"]
    asked_s = options.walltime_s
    if granted_s is None:
        yield ok(
            "walltime",
            f"{duration_text(asked_s)}, counted by the job's own clock: this batch system does not"
            " tell its jobs",
        )
    elif granted_s < _SHORT * asked_s:
        yield warning(
            "walltime",
            f"the job may run {duration_text(granted_s)} of {duration_text(asked_s)} asked for",
            "a limit of the partition or account: ask for that much",
        )
    else:
        yield ok(
            "walltime", f"the job knows that it ends {duration_text(granted_s)} after its start"
        )
    yield trainer_finding(dict(about))


def gpu_findings(
    options: ClusterOptions, gpus: Mapping[str, Any], tensorflow: Mapping[str, Any]
) -> Iterator[Finding]:
    """Compare the GPUs that the job sees with what was asked for."""
    names, asked = gpus["names"], options.gpus_per_job
    mask = f"CUDA_VISIBLE_DEVICES={gpus['mask']}" if gpus["mask"] is not None else "no mask"
    listed = f"{count_text(len(names), 'GPU')} ({mask})" + "".join(f", {name}" for name in names)
    if asked and len(names) < asked:
        yield problem(
            "gpus",
            f"the job sees {listed} of {asked} asked for"
            + (f": {gpus['reason']}" if gpus["reason"] else ""),
            "give a partition whose nodes have GPUs, and the directive that asks for them"
            " (--dry-run shows what is asked for now); on such a node `nvidia-smi` must work",
        )
    elif asked and len(names) > asked:
        yield warning(
            "gpus",
            f"the job asked for {asked} and sees {listed}: the batch system confines it to none,"
            " and trainings would use those of others",
            "give the directive that asks for GPUs; or ask the administrators to confine jobs to"
            " their GPUs; or ask for all GPUs of a node (--gpus-per-job)",
        )
    elif asked:
        yield ok("gpus", f"the job sees {listed}")
    else:
        yield ok("gpus", "none was asked for: trainings run on the processors")
    yield tensorflow_finding(dict(tensorflow), min(asked, len(names)))


def clock_finding(offset_s: float, uncertain_s: float) -> Finding:
    """Judge how far the clock of the node is ahead of ours [s], known so well [s].

    >>> clock_finding(0.01, 0.05).text
    'the clocks agree: the node is 0.01 s ahead of here, to within 0.05 s'
    """
    how = "ahead of" if offset_s >= 0 else "behind"
    text = f"the node is {abs(offset_s):.2f} s {how} here, to within {uncertain_s:.2f} s"
    if abs(offset_s) - uncertain_s > _SKEW_S:
        return warning(
            "clocks",
            text,
            "tell the administrators (NTP). Trainings are safe; times in records and displays, and"
            " the time that is left of a job, are wrong by that much",
        )
    if uncertain_s > _SKEW_S:
        return warning("clocks", text, "try again when the file system is less busy")
    return ok("clocks", f"the clocks agree: {text}")


def locks_findings(sees_ours: bool, gets_ours: bool, sees_its: bool, gets_its: bool) -> Finding:
    """Judge locks between two machines.

    Parameters
    ----------
    sees_ours, sees_its : bool
        Whether a lock held here could not be had there, and the reverse.
    gets_ours, gets_its : bool
        Whether it could be had when it was given up.
    """
    unseen = []
    if not sees_ours:
        unseen.append("a lock held here is not seen on the node")
    if not sees_its:
        unseen.append("a lock held on the node is not seen here")
    if unseen:
        return problem("locks", "; ".join(unseen) + ": two could train one run", WITHOUT_LOCKS)
    stuck = []
    if not gets_ours:
        stuck.append("a lock given up here cannot be had on the node")
    if not gets_its:
        stuck.append("a lock given up on the node cannot be had here")
    if stuck:
        return problem(
            "locks",
            "; ".join(stuck) + ": runs would never be taken up again",
            "tell the administrators that the lock service of the file system hangs, or use"
            " another one for the collection",
        )
    return ok("locks", "a lock held here is seen there, and the reverse; so is its end")


def replacing_finding(told: Mapping[str, Any]) -> Finding:
    """Judge what a node saw of a file that was replaced here again and again."""
    reads = f"{told['num_reads']} reads of a file that was replaced again and again"
    if told["num_missing"] or told["num_torn"]:
        return problem(
            "rename",
            f"{reads}: {told['num_missing']} found none, {told['num_torn']} found half of one",
            "this file system cannot replace a file in one step: move the collection to another",
        )
    if not told["is_last_seen"]:
        return problem(
            "rename",
            f"{reads}: the last one was never seen",
            "the node does not see what changes here: move the collection to another file system",
        )
    if told["num_stale"]:
        return warning(
            "rename",
            f"{reads}: {told['num_stale']} were refused as stale (ESTALE)",
            "known of NFS, and passing: displays may miss a look now and then",
        )
    return ok("rename", f"{reads}: all were whole")


def unreached_finding(
    address: str,
    host: str,
    said: str,
    connecting: str,
    here: Sequence[Sequence[str]],
    there: Sequence[Sequence[str]],
) -> Finding:
    """Say what to do about a job that runs, but whose worker does not reach the queue.

    Parameters
    ----------
    address : str
        Of our scheduler.
    host : str
        Name of the node.
    said : str
        By the worker.
    connecting : str
        What went wrong when the node tried a plain connection; empty if that worked.
    here, there : sequence of (str, str, str)
        Interfaces by name, address and mask.
    """
    others = shared_interfaces(here, there, address)
    names = ", ".join(f"--interface {name}" for name in others)
    lines = "".join(f"\n  | {line}" for line in said.splitlines())
    if connecting:
        text = f"the job runs on {host}, and cannot connect to {address}: {connecting}"
        remedy = "the queue listens where that node cannot come, or a firewall is between: try " + (
            names if names else "another interface (--interface; `ip address` lists them)"
        )
        remedy += "; or ask for TCP between this machine and the nodes; or run the queue as a job"
        remedy += " (`lfadsq submit`); --no-dask needs no connections at all"
    else:
        text = f"the job runs on {host} and can connect to {address}, but its worker does not work"
        remedy = "mend what it says; or use --no-dask, which needs no worker"
    on_node = ", ".join(f"{name} {address}" for name, address, _ in there)
    return problem("network", f"{text}; interfaces there: {on_node}{lines}", remedy)


def shared_interfaces(
    here: Sequence[Sequence[str]], there: Sequence[Sequence[str]], but: str
) -> list[str]:
    """Name the interfaces that lie in one network on both machines.

    >>> eth, ib = ["eth0", "10.0.0.1", "255.255.0.0"], ["ib0", "10.9.0.1", "255.255.0.0"]
    >>> shared_interfaces([eth, ib], [["ib0", "10.9.0.7", "255.255.0.0"]], "tls://10.0.0.1:1")
    ['ib0']
    """
    networks = {(name, _network(address, mask)) for name, address, mask in there}
    return [
        name
        for name, address, mask in here
        if (name, _network(address, mask)) in networks
        and not ipaddress.ip_address(address).is_loopback
        and f"//{address}:" not in but
    ]


def _network(address: str, mask: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(f"{address}/{mask}", strict=False)
