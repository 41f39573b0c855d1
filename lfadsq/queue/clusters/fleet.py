"""The jobs of a queue: as many as its tasks can use, asked for and given back by our own count."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from lfadsq.errors import ClusterError, LfadsqError, StorageError
from lfadsq.queue.clusters import fleet_table as tables
from lfadsq.queue.clusters.fleet_jobs import Job, News, Table, What
from lfadsq.queue.clusters.fleet_plan import (
    Patience,
    Plan,
    WorkerView,
    num_missing,
    plan_of,
)
from lfadsq.queue.clusters.fleet_words import (
    asked_text,
    does_not_answer,
    give_up_error,
    lasting_text,
    news_note,
    one_line,
    pending_text,
)
from lfadsq.queue.clusters.job_files import JobsFile
from lfadsq.queue.clusters.jobs import JobState, JobStatus
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.systems.base import BatchSystem, Launch
from lfadsq.queue.events import Noted
from lfadsq.queue.records import Cause
from lfadsq.texts import count_text

__all__ = ["Fleet"]

_logger = logging.getLogger(__name__)

_LOOK_S = 2.0
_ASK_S = (5.0, 30.0)
_CAUSE_S = 5.0
_CURIOUS_S = 0.5
_LARGEST_GRACE_S = 30.0


class Fleet:
    """Keeps as many jobs as the tasks of a queue can use, from a thread of its own.

    All that is given is called from that thread, one after the other, and must not call back into
    the fleet, other than `want` and `look_again`.

    Parameters
    ----------
    system : BatchSystem
    options : ClusterOptions
    make_launch : callable
        Gives the launch of a worker, by its name.
    workers : callable
        Gives the workers that are connected now, by name.
    close_worker : callable
        Takes the name of a worker that is to get no more tasks and to end, and why.
    note : callable
        Takes what people should know.
    on_gave_up : callable
        Called once, when nothing is asked for any more; jobs that are there go on.
    queue_id : str
        Names of workers are made of its last characters.
    places_per_job : int, default 1
        How many tasks a job can run at once, until a worker tells.
    patience : Patience, optional
    look_s : float, default 2
        How often to look which workers are there [s].
    ask_s : tuple of float, default (5, 30)
        How often to ask the batch system while something is about to change, and else [s].
    """

    def __init__(
        self,
        system: BatchSystem,
        options: ClusterOptions,
        make_launch: Callable[[str], Launch],
        workers: Callable[[], Mapping[str, WorkerView]],
        close_worker: Callable[[str, str], None],
        note: Callable[[Noted], None],
        on_gave_up: Callable[[ClusterError], None],
        queue_id: str,
        *,
        places_per_job: int = 1,
        patience: Patience | None = None,
        look_s: float = _LOOK_S,
        ask_s: tuple[float, float] = _ASK_S,
    ) -> None:
        self._system = system
        self._options = options
        self._make_launch = make_launch
        self._workers = workers
        self._close_worker = close_worker
        self._note = note
        self._on_gave_up = on_gave_up
        self._queue_id = queue_id
        self._patience = patience or Patience()
        self._look_s = look_s
        self._ask_s = ask_s
        self._prefix = f"lfadsq-{re.sub('[^A-Za-z0-9]', '', queue_id)[-6:] or 'queue'}-"
        # Shared with those who call; the thread alone changes the table.
        self._changed = threading.Condition()
        self._num_tasks: int | None = None
        self._is_woken = False
        self._num_curious = 0
        self._end_by_s: float | None = None
        self._table = Table(places_per_job=places_per_job)
        # Of the thread.
        self._num_named = 0
        self._doubtful: set[str] = set()
        self._closed: set[str] = set()
        self._asked_s = float("-inf")
        self._num_asked = 0
        self._has_told_silence = False
        self._refusal_told = ""
        self._has_given_up = False
        self._pending_told: dict[str, int] = {}
        self._num_cancelled: Counter[str] = Counter()
        self._log_folder: Path | None = None
        self._file: JobsFile | None = None
        self._has_complained = False
        self._thread = threading.Thread(target=self._work, name="lfadsq-fleet", daemon=True)
        self._thread.start()

    def want(self, num_tasks: int) -> None:
        """Say how many tasks could use a place now, running ones among them; never blocks."""
        with self._changed:
            if num_tasks != self._num_tasks:
                self._num_tasks = num_tasks
                self._is_woken = True
                self._changed.notify_all()

    def look_again(self) -> None:
        """Look at once which workers are there; never blocks."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def jobs(self) -> tuple[JobStatus, ...]:
        """List the jobs, in the order of their submission, also some that have just ended."""
        table = self._table
        since_1970_s = time.time() - time.monotonic()
        return tuple(
            JobStatus(
                job_id=job.job_id,
                worker_name=job.worker_name,
                state=job.state,
                words=one_line(job.words),
                nodes=one_line(job.nodes),
                host=job.worker.host if job.worker else "",
                num_tasks=job.worker.num_tasks if job.worker else 0,
                since_s=since_1970_s + job.since_s,
            )
            for job in table.jobs
        )

    def cause_of(self, worker_name: str) -> Cause | None:
        """Ask why a worker was lost; takes up to 5 s.

        Returns
        -------
        Cause or None
            None if the batch system does not tell in time, or if the job ended by itself.
        """
        asked_s = time.monotonic()
        with self._changed:
            self._num_curious += 1
            self._changed.notify_all()
            try:
                while True:
                    job = self._table.find(worker_name)
                    left_s = asked_s + _CAUSE_S - time.monotonic()
                    if job is None or not job.is_alive:
                        return job.cause if job else None
                    if job.state is JobState.PENDING and job.heard_s >= asked_s:
                        return Cause.PREEMPTED  # it ran, and waits once more
                    if left_s <= 0 or not self._thread.is_alive():
                        return None
                    self._changed.wait(min(left_s, _CURIOUS_S))
            finally:
                self._num_curious -= 1

    def close(self, timeout_s: float) -> None:
        """Ask for nothing more, and see that no job is left.

        Pending jobs are cancelled at once; those that run have a moment to end by themselves.

        Parameters
        ----------
        timeout_s : float
            How long that may take [s]; longer only while a command of the batch system is under
            way: a job that is being submitted must not be left behind.
        """
        with self._changed:
            if self._end_by_s is None:
                self._end_by_s = time.monotonic() + timeout_s
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        try:
            while self._end_by_s is None:
                self._wait(self._round())
        except Exception as error:
            # Whoever waits for jobs must hear of it; and what was asked for is given back.
            _logger.exception("the fleet of jobs has a fault")
            self._give_up(
                ClusterError(
                    f"the fleet of jobs has a fault: {type(error).__name__}: {error}",
                    "start the queue again; if that repeats, report it",
                )
            )
        finally:
            with self._changed:
                self._changed.wait_for(lambda: self._end_by_s is not None)
            self._end(self._end_by_s or 0.0)
            if self._file is not None:
                self._file.close()

    def _round(self) -> float | None:
        """Look and act once; give how long there is nothing to do [s], None for ever."""
        with self._changed:
            self._is_woken = False
            num_tasks = self._num_tasks
        now_s = time.monotonic()
        workers = self._workers()
        table = self._adopt(self._table, workers, now_s)
        table, news = tables.see(table, workers, now_s, self._patience)
        self._keep(table)
        self._closed = {n for n in self._closed if n in workers and not workers[n].num_tasks}
        if table.alive and now_s >= self._asked_s + self._interval_s():
            news += self._ask()
        self._tell(news, workers, num_tasks)
        plan = plan_of(self._table, workers, num_tasks, self._options, now_s, self._patience)
        self._give_back(plan, now_s)
        self._cancel(plan.cancel)
        if self._table.why_gave_up and not self._has_given_up:
            self._give_up(give_up_error(self._table, self._system.title, self._log_folder))
        has_submitted = plan.num_jobs > 0 and self._submit()
        if self._num_asked and not (has_submitted and plan.num_jobs > 1):
            self._say(asked_text(self._system.title, self._num_asked, self._options))
            self._num_asked = 0
        self._tell_pending(now_s)
        self._write()
        if has_submitted:
            return 0.0
        if not self._table.alive and not num_tasks:
            return None
        until_next_s = self._table.not_before_s - time.monotonic()
        return min(self._look_s, until_next_s) if until_next_s > 0 else self._look_s

    def _wait(self, seconds: float | None) -> None:
        with self._changed:
            if self._num_curious and seconds is not None:
                seconds = min(seconds, _CURIOUS_S)
            self._changed.wait_for(
                lambda: (
                    self._is_woken
                    or self._end_by_s is not None
                    or (self._num_curious > 0 and self._asked_s < time.monotonic() - _CURIOUS_S)
                ),
                seconds,
            )

    def _interval_s(self) -> float:
        if self._num_curious:
            return min(_CURIOUS_S, *self._ask_s)
        return self._ask_s[0 if any(not job.is_settled for job in self._table.jobs) else 1]

    def _keep(self, table: Table) -> None:
        with self._changed:
            self._table = table
            self._changed.notify_all()

    def _adopt(self, table: Table, workers: Mapping[str, WorkerView], now_s: float) -> Table:
        """Add jobs whose submission seemed to fail, and whose workers are there all the same."""
        for name in sorted(self._doubtful & workers.keys()):
            if workers[name].job_id:
                self._doubtful.discard(name)
                table = tables.submitted(table, name, workers[name].job_id, now_s)
        return table

    def _ask(self) -> list[News]:
        self._asked_s = now_s = time.monotonic()
        try:
            reports = self._system.ask([job.job_id for job in self._table.alive])
        except LfadsqError as error:
            self._tell_silence(error)
            return []
        self._tell_answer()
        title = self._system.title
        table, news = tables.hear(self._table, reports, title, now_s, self._patience)
        self._keep(table)
        return news

    def _submit(self) -> bool:
        self._num_named += 1
        name = f"{self._prefix}{self._num_named}"
        table = self._table
        try:
            launch = self._make_launch(name)
            self._log_folder = launch.log_folder
            script = self._system.worker_script(self._options, launch)
            job_id = self._system.submit(script)
        except LfadsqError as error:
            now_s = time.monotonic()
            if does_not_answer(error):
                self._doubtful.add(name)
                self._tell_silence(error)
                self._keep(tables.unanswered(table, str(error), now_s, self._patience))
            else:
                self._refused(error, now_s)
            return False
        self._tell_answer()
        self._num_asked += 1
        if not table.alive:
            self._asked_s = time.monotonic()  # it takes a moment until it is known
        self._keep(tables.submitted(table, name, job_id, time.monotonic()))
        return True

    def _refused(self, error: LfadsqError, now_s: float) -> None:
        had_limit, title = self._table.limit, self._system.title
        table = tables.refused(self._table, str(error), now_s, self._patience)
        self._keep(table)
        words = one_line(str(error))
        if table.limit is not None and table.limit_until_s > now_s:
            if table.limit != had_limit:
                held = count_text(table.limit, "job")
                self._say(f"{title} allows no more than {held} for now: {words}")
        elif not table.why_gave_up and words != self._refusal_told:
            self._refusal_told = words
            self._say(f"{title} refused a job, and is asked again: {words}")

    def _give_back(self, plan: Plan, now_s: float) -> None:
        table = self._table
        if plan.give_back:
            pending = [job for job in table.jobs if job.worker_name in plan.give_back]
            table = tables.let_go(table, plan.give_back, "nothing waits", self._cancelled(pending))
        new = [name for name in plan.close if name not in self._closed]
        self._closed.update(new)
        for name in new:
            self._close_worker(name, plan.close[name])
        idle = [name for name in new if (job := table.find(name)) is None or not job.leaving]
        table = tables.let_go(table, idle, "nothing waits", now_s + self._patience.leave_s)
        if plan.num_spent:
            table = tables.taken_away(table, now_s, self._patience)
        self._keep(table)
        if num := len(plan.give_back) + len(idle):
            self._say(f"{count_text(num, 'job')} given back: nothing waits")

    def _cancel(self, jobs: Collection[Job]) -> None:
        if jobs:
            names = [job.worker_name for job in jobs]
            self._keep(tables.let_go(self._table, names, "", self._cancelled(jobs)))

    def _cancelled(self, jobs: Collection[Job]) -> float:
        """Cancel jobs, and tell when to do so again if they have not ended by then."""
        again_s = self._ask_s[0]
        if self._try_to_cancel(jobs):
            again_s = self._patience.cancel_again_s
            for job in jobs:
                self._num_cancelled[job.job_id] += 1
                if self._num_cancelled[job.job_id] == 2:
                    self._say(lasting_text(job, self._system.title), is_warning=True)
        return time.monotonic() + again_s

    def _try_to_cancel(self, jobs: Collection[Job]) -> bool:
        if jobs:
            try:
                self._system.cancel([job.job_id for job in jobs])
            except LfadsqError as error:
                self._tell_silence(error)
                return False
        return True

    def _end(self, end_by_s: float) -> None:
        """Cancel all that is left; errors become notes."""
        began_s = time.monotonic()
        grace_s = began_s + min(max(0.0, end_by_s - began_s) / 2, _LARGEST_GRACE_S)
        sent_s: dict[str, float] = {}
        while True:
            now_s = time.monotonic()
            self._look_a_last_time(now_s)
            is_last = now_s >= end_by_s
            due = [
                job
                for job in self._table.alive
                if (is_last or now_s >= grace_s or job.state is JobState.PENDING)
                and (is_last or now_s - sent_s.get(job.job_id, float("-inf")) > self._ask_s[0])
            ]
            if self._try_to_cancel(due):
                sent_s.update((job.job_id, now_s) for job in due)
            if is_last or not self._table.alive:
                break
            self._ask()
            self._write()
            if self._table.alive:
                pause_s = min(self._ask_s[0] / 5, max(0.0, end_by_s - time.monotonic()))
                with self._changed:
                    self._changed.wait(pause_s)
        left = [job.job_id for job in self._table.alive if job.job_id not in sent_s]
        if left:
            ids = ", ".join(left)
            text = f"jobs may be left in {self._system.title}: {ids}; cancel them by hand"
            self._say(text, is_warning=True)
        elif self._file is not None:
            with contextlib.suppress(StorageError):
                self._file.write({})

    def _look_a_last_time(self, now_s: float) -> None:
        try:
            workers = self._workers()
        except Exception:
            # Their scheduler may be closing; jobs are cancelled all the same.
            _logger.debug("workers are unknown", exc_info=True)
            return
        table = self._adopt(self._table, workers, now_s)
        self._keep(tables.see(table, workers, now_s, self._patience)[0])

    def _tell(
        self, news: Collection[News], workers: Mapping[str, WorkerView], num_tasks: int | None
    ) -> None:
        missing = num_missing(self._table, workers, num_tasks, self._options)
        for item in news:
            ends = item.what not in (What.STARTED, What.PUT_BACK)
            is_wanted = ends and missing > 0 and not self._table.why_gave_up
            missing -= is_wanted
            if noted := news_note(item, self._system.title, is_wanted=is_wanted):
                self._note(noted)

    def _tell_pending(self, now_s: float) -> None:
        pending = [j for j in self._table.jobs if j.is_expected and j.state is JobState.PENDING]
        *first_s, every_s = self._patience.pending_s
        # A job that is put back, and so is missing here for a while, waits anew.
        told = {job.job_id: self._pending_told.get(job.job_id, 0) for job in pending}
        for job in pending:
            waited_s = max(0.0, now_s - job.since_s)
            number = sum(waited_s >= after_s for after_s in first_s) + int(waited_s // every_s)
            if number > told[job.job_id]:
                # Those submitted a little later are told of along with it.
                along = [
                    other
                    for other in pending
                    if other.words == job.words and number - 1 <= told[other.job_id] < number
                ]
                told.update((other.job_id, number) for other in {*along, job})
                self._say(pending_text(along or [job], waited_s))
        self._pending_told = told

    def _tell_silence(self, error: LfadsqError) -> None:
        if not self._has_told_silence:
            words = one_line(str(error))
            text = f"{self._system.title} does not answer, and is asked again: {words}"
            self._say(text, is_warning=True)
        self._has_told_silence = True

    def _tell_answer(self) -> None:
        if self._has_told_silence:
            self._say(f"{self._system.title} answers again")
        self._has_told_silence = False

    def _give_up(self, error: ClusterError) -> None:
        if not self._has_given_up:
            self._has_given_up = True
            self._on_gave_up(error)

    def _say(self, text: str, *, is_warning: bool = False) -> None:
        self._note(Noted(text, is_warning=is_warning))

    def _write(self) -> None:
        """Keep the ids of jobs on disk; a full disk is told once, and harms nothing else."""
        if self._log_folder is None:
            return
        since_1970_s = time.time() - time.monotonic()
        jobs = {job.job_id: round(since_1970_s + job.submitted_s) for job in self._table.alive}
        try:
            if self._file is None:
                self._file = JobsFile(self._log_folder, self._queue_id, self._system.name)
            self._file.write(jobs)
        except LfadsqError as error:
            if not self._has_complained:
                self._say(f"if this queue dies, pending jobs may be left: {error}", is_warning=True)
            self._has_complained = True
