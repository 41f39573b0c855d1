"""Collections with tasks and records, without anything that trains."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lfadsq.queue.control import ControlFolder
from lfadsq.queue.presence import Presence
from lfadsq.queue.records import Attempt, AttemptState, Cause, Outcome, Record
from lfadsq.queue.status import DeviceStatus, Snapshot, TaskState, TaskStatus
from lfadsq.queue.tasks import Task, tasks_from_specs

SCRIPT = """
import json
from pathlib import Path
import lfadsqueue as lq
here = Path(__file__).resolve().parent
specs = json.loads((here / "specs.json").read_text())
lq.run_lfads_queue("demo", None, specs)
"""


class FakeCollection:
    """A folder with run directories ``param_ABC/run<n>`` and a script that lists their tasks."""

    def __init__(self, folder: Path, num_tasks: int = 4) -> None:
        self.folder = folder
        self.control = ControlFolder.of(folder)
        self.names = [f"lfads_param_ABC_run{n:03d}_single" for n in range(1, num_tasks + 1)]
        self.specs = [self.spec(name) for name in self.names]
        self.tasks: dict[str, Task] = {t.name: t for t in tasks_from_specs(self.specs)}

    def spec(self, name: str) -> dict[str, Any]:
        run = self.folder / "param_ABC" / name.split("_")[3]
        run.mkdir(parents=True, exist_ok=True)
        return {
            "name": name,
            "command": f"bash {run}/lfads_train.sh",
            "memory_req": 1000,
            "outfile": str(run / "lfads.out"),
            "donefile": str(run / "lfads.done"),
        }

    def write_script(self) -> Path:
        (self.folder / "specs.json").write_text(json.dumps(self.specs))
        script = self.folder / "run_lfadsqueue.py"
        script.write_text(SCRIPT)
        return script

    def run_of(self, name: str) -> Path:
        return self.tasks[name].donefile.parent

    def record(self, name: str, *attempts: Attempt) -> None:
        Record(name, attempts).write(self.tasks[name].files.record, durable=False)

    def attempt(self, name: str, number: int = 1, **changes: Any) -> Attempt:
        attempt = Attempt(
            number=number,
            command=self.tasks[name].command,
            host=socket.gethostname(),
            device="GPU-1",
            device_name="GPU 0 (A100)",
            started_at="2018-01-31T00:00:00.000+00:00",
            log_offset=0,
            memory_mb=1000.0,
        )
        return replace(attempt, **changes)

    def failed(self, name: str, number: int = 1, cause: Cause = Cause.UNKNOWN) -> Attempt:
        return self.attempt(
            name,
            number,
            state=AttemptState.ENDED,
            outcome=Outcome.FAILED,
            cause=cause,
            exit_status=1,
            ended_at="2018-01-31T00:01:15.000+00:00",
        )

    def snapshot(self, *tasks: TaskStatus, **changes: Any) -> Snapshot:
        device = DeviceStatus("GPU-1", "GPU 0 (A100)", 40000.0, 39000.0, 38000.0, 1)
        snapshot = Snapshot(
            "q1",
            "demo",
            "node1",
            4321,
            "2018-01-31T00:00:00.000+00:00",
            "2018-01-31T01:00:00.000+00:00",
            devices=(device,),
            tasks=tasks,
        )
        return replace(snapshot, **changes)

    def status(self, name: str, state: TaskState, **changes: Any) -> TaskStatus:
        task = self.tasks[name]
        return TaskStatus(
            name,
            state,
            memory_mb=task.memory_mb,
            outfile=str(task.outfile),
            donefile=str(task.donefile),
            command=task.command,
            **changes,
        )

    @contextmanager
    def live_queue(self, *tasks: TaskStatus, **changes: Any) -> Iterator[Presence]:
        snapshot = self.snapshot(*tasks, **changes)
        with self.control.join(snapshot.queue_id) as presence:
            presence.publish(snapshot)
            yield presence

    @contextmanager
    def left_task(self, name: str, program: str, host: str | None = None) -> Iterator[int]:
        """Start a task as a queue does that leaves it to itself; gives its process group."""
        from lfadsq.queue.execution import SUPERVISOR
        from lfadsq.queue.locks import Journal, RunLock

        task = self.tasks[name]
        lock = RunLock.try_acquire(task.files.lock)
        assert lock is not None
        attempt = self.attempt(name, host=host or os.uname().nodename)
        token = f"token of {task.donefile}"
        told = attempt.to_dict()
        lock.begin(Journal(told, name, str(task.donefile), str(task.outfile), token))
        process = subprocess.Popen(
            ["/bin/sh", "-c", SUPERVISOR, "task", "bash", "-c", f"echo begun; {program}"],
            stdin=lock.descriptor,
            stdout=task.outfile.open("ab"),
            env={**os.environ, "LFADSQ_TASK_TOKEN": token},
            start_new_session=True,
        )
        self.record(name, replace(attempt, pid=process.pid))
        lock.leave()
        deadline_s = time.monotonic() + 20
        while b"begun" not in task.outfile.read_bytes():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        try:
            yield process.pid
        finally:
            # Not collected before: the id of the group is still its own.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def collection(tmp_path: Path) -> FakeCollection:
    folder = tmp_path / "my collection"
    folder.mkdir()
    return FakeCollection(folder)
