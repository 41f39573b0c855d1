"""A PBS for tests: qsub, qstat and qdel that really run what they are given.

As a program it is one of the three, or the keeper of a job. As OpenPBS does, it starts jobs in the
home folder, in a session and an environment of their own, writes their output into a folder when
they end, and ends them at their walltime by SIGTERM and, a while later, SIGKILL.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SERVER = "standin"
QUEUES = ("workq", "gpu")
_POLL_S = 0.05
_WITH_VALUE = set("NqAloejSrJWmMpPkuacChv")


class PbsStandIn:
    """A PBS whose state is in a folder.

    Parameters
    ----------
    folder : Path
    num_gpus, num_cpus : int
        What there is to share out; jobs wait for theirs.
    kill_delay_s : float
        From SIGTERM to SIGKILL [s].
    """

    def __init__(
        self, folder: Path, *, num_gpus: int = 4, num_cpus: int = 8, kill_delay_s: float = 2.0
    ) -> None:
        self.folder = folder
        (folder / "jobs").mkdir(parents=True, exist_ok=True)
        (folder / "bin").mkdir(exist_ok=True)
        settings = {"num_gpus": num_gpus, "num_cpus": num_cpus, "kill_delay_s": kill_delay_s}
        (folder / "settings.json").write_text(json.dumps(settings))
        for name in ("qsub", "qstat", "qdel"):
            program = folder / "bin" / name
            argv = shlex.join([sys.executable, str(Path(__file__).resolve()), str(folder), name])
            program.write_text(f'#!/bin/sh\nexec {argv} "$@"\n')
            program.chmod(0o755)

    @property
    def programs(self) -> Path:
        """The folder for PATH."""
        return self.folder / "bin"

    def be(self, mood: str) -> None:
        """Behave: "", "busy", "no history", or "first of json"."""
        (self.folder / "mood").write_text(mood)

    def job(self, job_id: str) -> dict[str, Any]:
        """Give what is known of a job."""
        return _read(self.folder / "jobs" / f"{job_id.partition('.')[0]}.json")

    def lose(self, job_id: str) -> None:
        """Forget a job, as after the end of the history."""
        (self.folder / "jobs" / f"{job_id.partition('.')[0]}.json").unlink()

    def end_all(self) -> None:
        """End all jobs at once, and wait for their keepers."""
        keys = [path.stem for path in (self.folder / "jobs").glob("*.json")]
        for key in keys:
            (self.folder / "jobs" / f"{key}.kill").touch()
        deadline_s = time.monotonic() + 20
        while any((self.folder / "jobs" / f"{key}.keeper").exists() for key in keys):
            assert time.monotonic() < deadline_s, "jobs of the stand-in did not end"
            time.sleep(_POLL_S)


@contextlib.contextmanager
def pbs_on_path(
    folder: Path, set_variable: Callable[[str, str], None], **settings: Any
) -> Iterator[PbsStandIn]:
    """Give a PBS whose commands are found by their names, and end its jobs afterwards."""
    standin = PbsStandIn(folder, **settings)
    set_variable("PATH", f"{standin.programs}{os.pathsep}{os.environ['PATH']}")
    try:
        yield standin
    finally:
        standin.end_all()


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _write(path: Path, job: dict[str, Any]) -> None:
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_text(json.dumps(job))
    aside.replace(path)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _refuse(words: str, status: int) -> int:
    sys.stderr.write(words + "\n")
    return status


def _directives(script: str) -> list[str]:
    """Read the options of a script, up to its first command."""
    words: list[str] = []
    for line in script.splitlines():
        if line.startswith("#PBS"):
            words += shlex.split(line[4:])
        elif line.strip() and not line.startswith("#"):
            break
    return words


def qsub(folder: Path, arguments: list[str]) -> int:
    """Submit the script on the standard input, or of a file."""
    words = list(arguments)
    script = Path(words.pop()).read_text() if words and words[-1][:1] != "-" else sys.stdin.read()
    options: dict[str, str] = {}
    resources: dict[str, str] = {}
    words = _directives(script) + words
    while words:
        option = words.pop(0)
        if len(option) != 2 or option[0] != "-" or option[1] not in _WITH_VALUE | {"V", "X", "z"}:
            return _refuse(f"qsub: invalid option -- '{option}'", 2)
        value = words.pop(0) if option[1] in _WITH_VALUE else ""
        if option == "-l":
            for part in value.split(","):
                key, _, amount = part.partition("=")
                if key in resources:
                    return _refuse(f'qsub: "-l" resource listed twice: {key}', 2)
                resources[key] = amount
        options[option[1]] = value
    queue = options.get("q", "workq")
    if queue not in QUEUES:
        return _refuse("qsub: Unknown queue", 170)
    if len(options.get("N", "x")) > 15 or not re.match(r"[A-Za-z]", options.get("N", "x")):
        return _refuse("qsub: illegal -N value", 2)
    chunk = dict(
        part.partition("=")[::2] for part in resources.get("select", "1:ncpus=1").split(":")[1:]
    )
    hours, minutes, seconds = map(int, resources.get("walltime", "01:00:00").split(":"))
    settings = _read(folder / "settings.json")
    if int(chunk.get("ngpus", 0)) > settings["num_gpus"]:
        return _refuse("qsub: Job exceeds queue and/or server resource limits", 188)
    members: list[str] = []
    with _locked(folder):
        counter = folder / "counter"
        number = int(counter.read_text()) + 1 if counter.exists() else 1
        counter.write_text(str(number))
        indices: list[int | None] = [None]
        if "J" in options:
            first, last = map(int, options["J"].split("-"))
            if last <= first:
                return _refuse("qsub: illegal -J value", 2)
            if options.get("r") == "n":
                # Of job arrays PBS says that they are always rerunnable.
                return _refuse("qsub: Illegal attribute or resource value", 133)
            indices = list(range(first, last + 1))
        (folder / "jobs" / f"{number}.sh").write_text(script)
        for index in indices:
            key = str(number) if index is None else f"{number}[{index}]"
            members.append(key)
            job = {
                "key": key, "number": number, "index": index, "job_state": "Q", "queue": queue,
                "name": options.get("N", "STDIN"), "account": options.get("A", ""),
                "output": options.get("o", ""), "rerunable": options.get("r", "y") == "y",
                "ngpus": int(chunk.get("ngpus", 0)), "ncpus": int(chunk.get("ncpus", 1)),
                "mem": chunk.get("mem", ""), "walltime_s": hours * 3600 + minutes * 60 + seconds,
                "workdir": str(Path.cwd()), "gpus": [], "used_s": 0, "comment": "", "substate": 10,
            }  # fmt: skip
            _write(folder / "jobs" / f"{key}.json", job)
            (folder / "jobs" / f"{key}.keeper").touch()
    for key in members:
        subprocess.Popen(
            [sys.executable, __file__, str(folder), "keep", key],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, cwd="/",
        )  # fmt: skip
    suffix = "[]" if "J" in options else ""
    sys.stdout.write(f"{number}{suffix}.{SERVER}\n")
    return 0


def keep(folder: Path, key: str) -> int:
    """Wait for room, run a job to its end, and write what became of it."""
    path, flag = folder / "jobs" / f"{key}.json", folder / "jobs" / key
    job = _read(path)
    try:
        while not _start(folder, path, job):
            if _told(flag):
                job.update(job_state="F", substate=91, comment=f"{job['comment']} and terminated")
                return 0
            time.sleep(_POLL_S)
        _run(folder, path, flag, job)
    finally:
        job["gpus"] = []
        if path.exists():
            _write(path, job)
        Path(f"{flag}.keeper").unlink(missing_ok=True)
    return 0


def _told(flag: Path) -> str:
    return next((word for word in ("kill", "delete") if Path(f"{flag}.{word}").exists()), "")


def _start(folder: Path, path: Path, job: dict[str, Any]) -> bool:
    settings = _read(folder / "settings.json")
    with _locked(folder):
        running = [_read(other) for other in (folder / "jobs").glob("*.json")]
        running = [other for other in running if other["job_state"] == "R"]
        free = set(range(settings["num_gpus"])) - {gpu for one in running for gpu in one["gpus"]}
        cpus = settings["num_cpus"] - sum(one["ncpus"] for one in running)
        if len(free) < job["ngpus"] or cpus < job["ncpus"]:
            missing = "ngpus" if len(free) < job["ngpus"] else "ncpus"
            job["comment"] = f"Not Running: Insufficient amount of resource: {missing}"
        else:
            job.update(gpus=sorted(free)[: job["ngpus"]], job_state="R", substate=42)
            job["comment"] = f"Job run at {time.strftime('%a %b %d at %H:%M')} on (node1)"
        _write(path, job)
    return bool(job["job_state"] == "R")


def _run(folder: Path, path: Path, flag: Path, job: dict[str, Any]) -> None:
    settings = _read(folder / "settings.json")
    user = pwd.getpwuid(os.getuid())
    environment = {
        "HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "SHELL": "/bin/bash",
        "PATH": "/usr/local/bin:/usr/bin:/bin", "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": f"{job['key']}.{SERVER}", "PBS_JOBNAME": job["name"],
        "PBS_O_WORKDIR": job["workdir"], "PBS_QUEUE": job["queue"],
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, job["gpus"])),
    }  # fmt: skip
    if job["index"] is not None:
        environment["PBS_ARRAY_INDEX"] = str(job["index"])
    spooled = Path(f"{flag}.spool")
    start_s, told, signalled_s = time.monotonic(), "", 0.0
    with spooled.open("wb") as spool:
        process = subprocess.Popen(
            ["/bin/bash", str(folder / "jobs" / f"{job['number']}.sh")],
            stdin=subprocess.DEVNULL, stdout=spool, stderr=spool, env=environment,
            cwd=user.pw_dir, start_new_session=True,
        )  # fmt: skip
        while process.poll() is None:
            now_s = time.monotonic()
            if not told:
                told = _told(flag) or ("walltime" if now_s - start_s > job["walltime_s"] else "")
                if told == "walltime":
                    limit = job["walltime_s"]
                    words = f"=>> PBS: job killed: walltime {limit + 1} exceeded limit {limit}\n"
                    spool.write(words.encode())
                if told:
                    signalled_s = now_s
                    os.killpg(process.pid, signal.SIGTERM)
            if _told(flag) == "kill" or (told and now_s - signalled_s > settings["kill_delay_s"]):
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(_POLL_S)
        # PBS kills whatever is left of a job's session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    status = process.returncode if process.returncode >= 0 else 256 - process.returncode
    ended = {0: "finished", 91: "terminated"}.get(91 if told in ("delete", "kill") else status)
    job.update(
        job_state="F", Exit_status=status, used_s=int(time.monotonic() - start_s + 0.5),
        substate=91 if told in ("delete", "kill") else (92 if status == 0 else 93),
        comment=f"{job['comment']} and {ended or 'failed'}",
    )  # fmt: skip
    if job["output"].endswith("/") and Path(job["output"]).is_dir():
        target = Path(job["output"]) / f"{job['key']}.{SERVER}.OU"
        target.write_bytes(spooled.read_bytes())


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _attributes(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Job_Name": job["name"],
        "Job_Owner": f"{pwd.getpwuid(os.getuid()).pw_name}@login",
        "job_state": job["job_state"],
        "queue": job["queue"],
        "server": SERVER,
        "Rerunable": "True" if job["rerunable"] else "False",
        "Resource_List": {"ncpus": job["ncpus"], "walltime": _clock(job["walltime_s"])},
        "substate": job["substate"],
        "comment": job["comment"],
        "Variable_List": {"PBS_O_WORKDIR": job["workdir"]},
    }
    if job["job_state"] in "RF" and job["substate"] != 10:
        found["exec_host"] = f"node1/{job['gpus'][0] if job['gpus'] else 0}*{job['ncpus']}"
        found["resources_used"] = {"walltime": _clock(job["used_s"])}
    if "Exit_status" in job:
        found["Exit_status"] = job["Exit_status"]
    return {key: value for key, value in found.items() if value != ""}


def _lookup(folder: Path, job_id: str) -> dict[str, Any] | None:
    key = job_id.partition(".")[0]
    if key.endswith("[]"):
        members = [_read(one) for one in (folder / "jobs").glob(f"{key[:-2]}[[]*.json")]
        if not members:
            return None
        states = {member["job_state"] for member in members}
        state = "F" if states == {"F"} else ("Q" if states == {"Q"} else "B")
        whole = {**members[0], "key": key, "job_state": state, "gpus": []}
        whole.pop("Exit_status", None)
        return whole
    path = folder / "jobs" / f"{key}.json"
    return _read(path) if path.exists() else None


def _text(job_id: str, attributes: dict[str, Any]) -> str:
    lines = [f"Job Id: {job_id}"]
    for key, value in attributes.items():
        if key == "Variable_List":
            flat = [(key, ",".join(f"{name}={one}" for name, one in value.items()))]
        elif isinstance(value, dict):
            flat = [(f"{key}.{name}", one) for name, one in value.items()]
        else:
            flat = [(key, value)]
        for name, one in flat:
            folded = textwrap.wrap(f"    {name} = {one}", 78, break_on_hyphens=False,
                                   drop_whitespace=False)  # fmt: skip
            lines.append("\n\t".join(folded))
    return "\n".join(lines) + "\n\n"


def qstat(folder: Path, arguments: list[str]) -> int:
    """Tell of jobs, in full, as text or JSON."""
    mood = (folder / "mood").read_text() if (folder / "mood").exists() else ""
    if mood == "busy":
        return _refuse(f"Connection refused\nqstat: cannot connect to server {SERVER}", 255)
    history, as_json = "-x" in arguments, "json" in arguments
    if history and mood == "no history":
        return _refuse("qstat: PBS is not configured to maintain job history", 2)
    ids = [one for one in arguments if one[0] != "-" and one != "json"]
    jobs, status, complaints = {}, 0, []
    for job_id in ids:
        full = f"{job_id.partition('.')[0]}.{SERVER}"
        job = _lookup(folder, job_id)
        if job is None:
            status, words = 153, f"qstat: Unknown Job Id {full}"
            complaints.append(words)
        elif job["job_state"] == "F" and not history:
            if mood == "no history":
                status, words = 153, f"qstat: Unknown Job Id {full}"
            else:
                status, words = 35, (f"qstat: {full} Job has finished, use -x or -H to obtain "
                                     "historical job information")  # fmt: skip
            complaints.append(words)
        else:
            jobs[full] = _attributes(job)
    if as_json:
        if mood == "first of json":
            jobs = dict(list(jobs.items())[:1])
        whole = {"timestamp": int(time.time()), "pbs_version": "23.06.06", "pbs_server": SERVER}
        answer = {**whole, "Jobs": jobs} if jobs else whole
        sys.stdout.write(json.dumps(answer, indent=4) + "\n")
    else:
        sys.stdout.write("".join(_text(job_id, one) for job_id, one in jobs.items()))
    return _refuse("\n".join(complaints), status) if complaints else 0


def qdel(folder: Path, arguments: list[str]) -> int:
    """End jobs."""
    status = 0
    for job_id in arguments:
        key = job_id.partition(".")[0]
        job = _lookup(folder, job_id)
        if job is None:
            status = _refuse(f"qdel: Unknown Job Id {key}.{SERVER}", 153)
        elif job["job_state"] == "F":
            status = _refuse(f"qdel: Job has finished {key}.{SERVER}", 35)
        elif key.endswith("[]"):
            for one in (folder / "jobs").glob(f"{key[:-2]}[[]*.json"):
                one.with_suffix(".delete").touch()
        else:
            (folder / "jobs" / f"{key}.delete").touch()
    return status


if __name__ == "__main__":
    _folder, _what = Path(sys.argv[1]), sys.argv[2]
    if _what == "keep":
        sys.exit(keep(_folder, sys.argv[3]))
    sys.exit({"qsub": qsub, "qstat": qstat, "qdel": qdel}[_what](_folder, sys.argv[3:]))
