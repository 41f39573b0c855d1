"""A stand-in for ``sbatch`` that really runs what it is given, and what its jobs did.

It is a program on ``PATH``, so that everything from the script to the successor is the real thing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PROGRAM = r"""#!{python} -IS
import os, re, subprocess, sys, time
from pathlib import Path
home = Path({home!r})
script = sys.stdin.read()
if (home / "refuses").exists():
    sys.exit("sbatch: error: Batch job submission failed: " + (home / "refuses").read_text())
while True:
    number = len(list(home.glob("*.sh"))) + 1
    try:
        descriptor = os.open(home / f"{{number}}.sh", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        break
    except FileExistsError:
        continue
os.write(descriptor, script.encode("utf-8", "surrogateescape"))
os.close(descriptor)
count = re.search(r"^#SBATCH (?:--array=|-a )(\d+)-(\d+)", script, re.M)
members = range(int(count[1]), int(count[2]) + 1) if count else [0]
for member in members:
    log = open(home / f"{{number}}_{{member}}.log", "wb")
    process = subprocess.Popen(["bash", home / f"{{number}}.sh"], stdin=subprocess.DEVNULL,
                               stdout=log, stderr=log, start_new_session=True, cwd="/")
    with (home / "pids").open("a") as stream:
        stream.write(f"{{process.pid}} {{time.time()}}\n")
print(number)
"""


class StandInSbatch:
    """The jobs that were submitted.

    Parameters
    ----------
    folder : Path
        Is made; its ``bin`` belongs on ``PATH``.
    """

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self._home = folder / "jobs"
        self.bin.mkdir(parents=True)
        self._home.mkdir()
        program = self.bin / "sbatch"
        program.write_text(_PROGRAM.format(python=sys.executable, home=str(self._home)))
        program.chmod(0o755)

    def refuse(self, words: str) -> None:
        (self._home / "refuses").write_text(words)

    @property
    def scripts(self) -> list[str]:
        """What was submitted, in order."""
        found = sorted(self._home.glob("*.sh"), key=lambda path: int(path.stem))
        return [path.read_text() for path in found]

    @property
    def said(self) -> str:
        """What all jobs printed."""
        return "\n".join(path.read_text() for path in sorted(self._home.glob("*.log")))

    @property
    def pids(self) -> list[int]:
        path = self._home / "pids"
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line.split()[0]) for line in lines]

    @property
    def live(self) -> list[int]:
        return [pid for pid in self.pids if _lives(pid)]

    def wait(self, num_jobs: int, deadline_s: float = 60.0) -> None:
        """Wait until so many jobs have been submitted, and all have ended."""
        self.wait_for(lambda: len(self.pids) >= num_jobs and not self.live, deadline_s)

    def wait_for(self, condition: Callable[[], Any], deadline_s: float = 60.0) -> Any:
        end_s = time.monotonic() + deadline_s
        while not (found := condition()):
            assert time.monotonic() < end_s, self.said
            time.sleep(0.02)
        return found

    def kill(self) -> None:
        for pid in self.live:
            os.kill(pid, signal.SIGKILL)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def write_collection(folder: Path, *commands: str, names: tuple[str, ...] = ()) -> Path:
    """Write a queue script with a task for each command, which finds its run folder in $PWD."""
    folder.mkdir(parents=True, exist_ok=True)
    specs = []
    for number, command in enumerate(commands):
        run = folder / f"run{number}"
        run.mkdir()
        specs.append(
            {
                "name": names[number] if names else f"run{number}",
                "command": command,
                "memory_req": 1,
                "outfile": str(run / "lfads.out"),
                "donefile": str(run / "lfads.done"),
            }
        )
    (folder / "specs.json").write_text(json.dumps(specs))
    script = folder / "run_lfadsqueue.py"
    script.write_text(
        "import json, sys\nfrom pathlib import Path\nimport lfadsqueue as lq\n"
        "here = Path(__file__).resolve().parent\n"
        'lq.run_lfads_queue("q", None, json.loads((here / "specs.json").read_text()),'
        " script=__file__, argv=sys.argv[1:])\n"
    )
    return script
