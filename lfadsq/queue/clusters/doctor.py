"""`lfadsq doctor --cluster`: one tiny job that shows whether a queue could work here.

The job runs `lfadsq.queue.clusters.probe`, which starts a worker as a job of a queue would, and
answers questions by files in a folder of the collection: so all but the network is known even where
no connection is possible.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from lfadsq.errors import ClusterError, LfadsqError
from lfadsq.files import make_folder, storage_errors
from lfadsq.queue.clusters.certificates import certificate_in
from lfadsq.queue.clusters.doctor_here import (
    commands_finding,
    locks_finding,
    space_finding,
)
from lfadsq.queue.clusters.doctor_letters import Letters, growing_s, is_there, name_of_answer
from lfadsq.queue.clusters.doctor_network import Listening, Network, listening
from lfadsq.queue.clusters.doctor_questions import Questions
from lfadsq.queue.clusters.doctor_report import Tell, ok, problem, warning
from lfadsq.queue.clusters.doctor_verdicts import (
    end_of_job_finding,
    machine_findings,
    version_findings,
)
from lfadsq.queue.clusters.jobs import JobReport, JobState
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.probe import about_here, interfaces_here
from lfadsq.queue.clusters.site import launch_of
from lfadsq.queue.clusters.systems.base import BatchSystem, Program
from lfadsq.queue.clusters.systems.scripts import logs_of
from lfadsq.queue.control_paths import ControlPaths
from lfadsq.queue.failures import last_lines, log_tail
from lfadsq.texts import duration_text

__all__ = ["ClusterDoctor", "probe_program"]

NAME = "lfadsq-doctor"
_ASK_S = 1.0
_FORGOTTEN_S = 30.0
_BEGINS_S = 180.0
_LOG_S = 5.0
_NUM_LOG_LINES = 12
_GONE_S = 90.0
_SETTLES_S = 10.0


class _Enough(Exception):
    """What was found makes it useless to go on."""


def probe_program(
    options: ClusterOptions, folder: Path, address: str, certificate: Path | None, connect_s: float
) -> Program:
    """Describe the job of a doctor.

    Parameters
    ----------
    options : ClusterOptions
    folder : Path
        Through which doctor and node speak.
    address : str
        Of the scheduler; empty for none.
    certificate : Path or None
        For TLS.
    connect_s : float
        How long the worker tries to reach the scheduler [s].
    """
    argv = [options.python, "-m", "lfadsq.queue.clusters.probe", str(folder)]
    launch = launch_of(NAME, address, certificate, options, ControlPaths(folder))
    if address:
        argv += ["-m", "lfadsq.queue.clusters.worker", address, "--name", NAME]
        argv += [*launch.worker_arguments, "--death-timeout", f"{connect_s:g}"]
        argv += ["--interface", options.interface] if options.interface else []
    return Program(NAME, tuple(argv), launch.log_folder)


class ClusterDoctor:
    """Looks at a batch system by means of one job.

    Parameters
    ----------
    system : BatchSystem
    options : ClusterOptions
        Of the job.
    folder : Path
        Of the collection. What is written there is removed again.
    tell : callable
        Takes findings.
    say : callable
        Takes what is being done or waited for, often.
    with_dask : bool, default True
        Whether connections are tried.
    start_s : float, default 600
        How long the job may wait to be started [s].
    connect_s : float, default 60
        How long its worker may take to reach us [s].

    Attributes
    ----------
    job_id : str
        Empty until it is submitted.
    times_s : dict of str to float
        How long things took since the submission [s]: ``started``, ``first_worker``.
    """

    def __init__(
        self,
        system: BatchSystem,
        options: ClusterOptions,
        folder: Path,
        *,
        tell: Tell,
        say: Callable[[str], None],
        with_dask: bool = True,
        start_s: float = 600.0,
        connect_s: float = 60.0,
    ) -> None:
        self._system = system
        self._options = options
        self._collection = folder
        self._tell = tell
        self._say = say
        self._with_dask = with_dask
        self._start_s = start_s
        self._connect_s = connect_s
        self._listening: Listening | None = None
        self._submitted_s = 0.0
        self._known_s = 0.0
        self._is_over = False
        self.job_id = ""
        self.times_s: dict[str, float] = {}

    def run(self) -> None:
        """Examine everything. Whatever happens, the job is cancelled, and no file is left.

        Raises
        ------
        StorageError
            If nothing can be written into the folder; no job was submitted.
        KeyboardInterrupt
            If it is interrupted; the job has then been cancelled.
        """
        commands = commands_finding(self._system)
        self._tell(commands)
        if commands.remedy:
            return
        self._tell(locks_finding(self._collection))
        with storage_errors(self._collection, "write to"):
            name = tempfile.mkdtemp(prefix=".lfadsq-doctor-", dir=self._collection)
        self._folder = Path(name)
        self._letters = Letters(self._folder, self._check_job)
        self._questions = Questions(
            self._letters, self._folder, self._options, self._tell, self._say
        )
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove_folder)
            try:
                certificate = self._listen(stack)
                self._submit(certificate)
                self._examine()
            except _Enough:
                pass
            finally:
                with _uninterrupted():
                    self._end_job()
            if self._is_over:
                self._questions.lock_of_the_dead()

    # --- the job ---------------------------------------------------------------------------------

    def _listen(self, stack: contextlib.ExitStack) -> Path | None:
        """Start a scheduler as a queue does; gives the certificate, if there is one to reach."""
        if not self._with_dask:
            self._tell(ok("address", "no connections are needed (--no-dask)"))
            return None
        self._say("starting a scheduler")
        certificate = certificate_in(self._folder)
        try:
            self._listening = stack.enter_context(
                listening(self._folder.name, certificate, self._options.interface)
            )
        except ClusterError as error:
            there = ", ".join(f"{name} {address}" for name, address, _ in interfaces_here())
            self._tell(problem("address", error.problem, f"{error.remedy}; here are {there}"))
            return None
        self._tell(self._listening.finding())
        return certificate

    def _submit(self, certificate: Path | None) -> None:
        address = self._listening.address if self._listening is not None else ""
        program = probe_program(self._options, self._folder, address, certificate, self._connect_s)
        make_folder(program.log_folder)
        self._log_folder = program.log_folder
        try:
            script = self._system.program_script(self._options, program)
            self._say(f"submitting a job to {self._system.title}")
            self._submit_uninterrupted(script)
        except LfadsqError as error:
            self._tell(problem("submission", error.problem, error.remedy))
            raise _Enough from None
        self._tell(ok("submission", f"{self._system.title} took the options: job {self.job_id}"))

    def _submit_uninterrupted(self, script: str) -> None:
        """Submit on another thread: Ctrl-C must not lose the id of a job that is there."""

        def submit() -> None:
            self.job_id = self._system.submit(script)
            self._submitted_s = self._known_s = time.monotonic()

        with ThreadPoolExecutor(1) as pool:
            submitting = pool.submit(submit)
            try:
                submitting.result()
            except KeyboardInterrupt:
                with _uninterrupted():
                    wait([submitting])
                raise

    def _ask_job(self) -> JobReport | None:
        """Ask how the job stands; None if the batch system does not tell now."""
        try:
            report = self._system.ask([self.job_id]).get(self.job_id)
        except ClusterError as error:
            self._say(f"{self._system.title} does not answer: {error.problem}")
            return None
        now_s = time.monotonic()
        if report is not None:
            self._known_s = now_s
        elif now_s - self._known_s > _FORGOTTEN_S:
            report = JobReport(self.job_id, JobState.ENDED, "the batch system has forgotten it")
        return report

    def _check_job(self) -> None:
        report = self._ask_job()
        if report is not None and report.state.is_finished:
            self._fail(report.words)

    def _fail(self, words: str) -> None:
        """Tell why the job has ended."""
        self._is_over = True
        log, has_log = self._log()
        finding = end_of_job_finding(
            self._options, words, log, has_log=has_log, log_folder=str(self._log_folder)
        )
        self._tell(finding)
        raise _Enough

    def _log(self) -> tuple[str, bool]:
        """Read the end of the job's log, which a network file system may show late."""
        deadline_s = time.monotonic() + _LOG_S
        while True:
            logs = logs_of(self._log_folder, self.job_id)
            texts = [last_lines(log_tail(log), _NUM_LOG_LINES) for log in logs]
            if any(texts) or time.monotonic() > deadline_s:
                return "\n".join(line for text in texts for line in text), bool(logs)
            time.sleep(_ASK_S / 4)

    def _end_job(self) -> None:
        if not self.job_id:
            return
        by_itself = self._is_over
        self._say(f"cancelling job {self.job_id}")
        started_s = time.monotonic()
        is_cancelled, words = by_itself, ""
        naps_s = growing_s(_ASK_S / 8, 2 * _ASK_S)
        while time.monotonic() < started_s + _GONE_S:
            try:
                if not is_cancelled:
                    self._system.cancel([self.job_id])
                    is_cancelled = True
                report = self._system.ask([self.job_id]).get(self.job_id)
            except LfadsqError as error:
                words = error.problem
            else:
                if report is None or report.state.is_finished:
                    took = duration_text(time.monotonic() - started_s)
                    how = "by itself" if by_itself else f"{took} after it was cancelled"
                    self._tell(ok("end", f"job {self.job_id} has ended, {how}"))
                    self._is_over = True
                    return
                words = report.words
            time.sleep(next(naps_s))
        by_hand = f"cancel it by hand: job {self.job_id} of {self._system.title}"
        self._tell(problem("end", f"job {self.job_id} may still be there: {words}", by_hand))

    def _remove_folder(self) -> None:
        # NFS keeps a file under another name while a process on a node has it open.
        deadline_s = time.monotonic() + _SETTLES_S
        with _uninterrupted():
            while self._folder.exists():
                shutil.rmtree(self._folder, ignore_errors=True)
                if time.monotonic() > deadline_s:
                    left = f"{self._folder} could not be removed"
                    self._tell(warning("files", left, "remove it later"))
                    return
                time.sleep(_ASK_S / 20)

    # --- what is looked at -----------------------------------------------------------------------

    def _examine(self) -> None:
        self._wait_for_start()
        self._say("waiting for the first words of the job")
        try:
            first = self._letters.first_words(_BEGINS_S)
        except ClusterError:
            self._tell_of_silence()
            raise _Enough from None
        self.times_s["started"] = round(time.monotonic() - self._submitted_s, 2)
        host = str(first["host"])
        took = duration_text(self.times_s["started"])
        self._tell(ok("start", f"job {self.job_id} runs on {host}, {took} after it was submitted"))
        here = about_here(self._collection)
        about = self._questions.ask("node", "about")
        if about is not None:
            for finding in version_findings(self._options, here, about):
                self._tell(finding)
        if self._listening is not None:
            network = Network(
                self._listening, self._questions, self._tell, self._say, self._connect_s
            )
            interfaces = (about or {}).get("interfaces", [])
            came_s = network.look(host, interfaces, self._submitted_s)
            if came_s is not None:
                self.times_s["first_worker"] = round(came_s, 2)
        if about is not None:
            for finding in machine_findings(self._options, about):
                self._tell(finding)
            self._tell(space_finding(about, self._collection, f" on {host}"))
        self._questions.gpus()
        self._questions.files()
        self._questions.locks()
        self._questions.replacing()
        # Held until the job is cancelled: a lock must end with whoever held it.
        self._questions.hold_lock()
        self._questions.ask("network", "worker_end")

    def _wait_for_start(self) -> None:
        first_words = name_of_answer(0)
        naps_s = growing_s(_ASK_S / 8, 2 * _ASK_S)
        while True:
            report = self._ask_job()
            if report is not None and report.state.is_finished:
                self._fail(report.words)
            is_running = report is not None and report.state is JobState.RUNNING
            if is_running or is_there(self._folder, first_words):
                return
            waited_s = time.monotonic() - self._submitted_s
            words = report.words if report is not None else "no answer"
            how_long = duration_text(waited_s)
            if report is not None and report.is_stuck:
                self._tell(
                    problem(
                        "start",
                        f"the job will not start by itself: {words}",
                        "change what is asked for (partition, account, walltime, GPUs, memory)",
                    )
                )
                raise _Enough
            if waited_s > self._start_s:
                self._tell(
                    problem(
                        "start",
                        f"the job still waits after {how_long}: {words}",
                        "give another partition, or ask for less; or wait longer (--timeout)",
                    )
                )
                raise _Enough
            self._say(f"job {self.job_id} waits: {words}")
            next_s = time.monotonic() + next(naps_s)
            while time.monotonic() < next_s and not is_there(self._folder, first_words):
                time.sleep(_ASK_S / 20)

    def _tell_of_silence(self) -> None:
        log, _ = self._log()
        said = "".join(f"\n  | {line}" for line in log.splitlines())
        self._tell(
            problem(
                "folder",
                f"the job runs, but within {_BEGINS_S:g} s nothing that it writes into"
                f" {self._folder} is seen here{said}",
                "the collection must lie where all nodes see it under the same path; or its Python"
                " is very slow to load there, or hangs in `setup`",
            )
        )


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Clean up without being interrupted a second time."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    old = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler or signal.SIG_DFL)
