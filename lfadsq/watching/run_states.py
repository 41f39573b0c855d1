"""What the files of each run folder tell, for collections of thousands.

A folder is listed once, and only what can say something new is opened: a run that is done costs
one look at its folder and one small file.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lfadsq.manager.trainings import process_that_trains
from lfadsq.paths import OutputPaths, RunPaths
from lfadsq.queue.failures import Ending, cause_of, log_tail, remedy_of
from lfadsq.queue.overview import parse_time_s
from lfadsq.queue.records import Attempt, Cause, iso_time
from lfadsq.queue.status import TaskState
from lfadsq.watching.cost_logs import LoggedCosts, read_costs
from lfadsq.watching.progress_files import Progress, read_progress
from lfadsq.watching.queue_words import QueueWords, RunWord
from lfadsq.watching.run_status import Phase, RunState, RunStatus

__all__ = ["read_run", "read_runs"]

_PARAM_PREFIX = "param_"
_FILES = RunPaths(Path())
_OUTPUT = _FILES.lfads_output.name
_PROGRESS = str(_FILES.output.progress)
_FIT_LOG = str(_FILES.output.fit_log())
_LOG = _FILES.log.name
_SIGNS = frozenset(
    path.name for path in (*_FILES.scripts, _FILES.lfads_input, _FILES.lfads_output, _FILES.log)
)
_PREPARED = frozenset((_FILES.train_script.name, _FILES.lfads_input.name))
# As `lfadsq.manager.trainings` has it: a process that wrote no word for so long is none.
_SILENT_AFTER_S = 900.0
_TAIL_BYTES = 8192


def read_runs(collection: Path, words: QueueWords, now_s: float | None = None) -> list[RunStatus]:
    """Find where every run of a collection stands that has a folder.

    Parameters
    ----------
    collection : Path
    words : QueueWords
        What queues and people say of them.
    now_s : float, optional
        The time [s since 1970]; by default the present.

    Returns
    -------
    list of RunStatus
        In the order of their names. Folders that hold nothing of a run are left out.

    Raises
    ------
    OSError
        If the collection itself cannot be listed.
    """
    now_s = time.time() if now_s is None else now_s
    return [
        status
        for hash_name, run_name, folder in _run_folders(str(collection))
        if (status := _read_run(hash_name, run_name, folder, words, now_s)) is not None
    ]


def read_run(
    collection: Path, name: str, words: QueueWords, now_s: float | None = None
) -> RunStatus | None:
    """Find where one run stands.

    Parameters
    ----------
    collection : Path
    name : str
        ``param_<HASH>/<run name>``.
    words : QueueWords
    now_s : float, optional
        The time [s since 1970]; by default the present.

    Returns
    -------
    RunStatus or None
        None if its folder holds nothing of a run.
    """
    hash_name, _, run_name = name.partition("/")
    now_s = time.time() if now_s is None else now_s
    return _read_run(hash_name, run_name, f"{collection}/{name}", words, now_s)


def _run_folders(collection: str) -> Iterator[tuple[str, str, str]]:
    for hash_name, path in _folders_in(collection):
        if hash_name.startswith(_PARAM_PREFIX):
            try:
                runs = _folders_in(path)
            except OSError:
                continue
            yield from ((hash_name, run_name, folder) for run_name, folder in runs)


def _folders_in(folder: str) -> list[tuple[str, str]]:
    with os.scandir(folder) as entries:
        return sorted((entry.name, entry.path) for entry in entries if entry.is_dir())


def _read_run(
    hash_name: str, run_name: str, folder: str, words: QueueWords, now_s: float
) -> RunStatus | None:
    name, param_hash = f"{hash_name}/{run_name}", hash_name.removeprefix(_PARAM_PREFIX)
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry for entry in entries}
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        return RunStatus(name, param_hash, run_name, RunState.UNKNOWN, reason=reason)
    word = words.of_run(param_hash, run_name, folder, found)
    if word.problem:
        return RunStatus(name, param_hash, run_name, RunState.UNKNOWN, reason=word.problem)
    if not word.is_known and _SIGNS.isdisjoint(found):
        return None
    progress = costs = None
    if _OUTPUT in found:
        progress = read_progress(f"{folder}/{_PROGRESS}")
        if progress is None:
            costs = read_costs(f"{folder}/{_FIT_LOG}")
    facts = _Facts(folder, frozenset(found), word, progress, costs, now_s)
    state, reason = _state_of(facts)
    cause = remedy = ""
    if state is RunState.FAILED:
        cause, remedy = words.cause_and_remedy(word)
        if word.state is not TaskState.FAILED:
            cause, remedy = _cause_by_hand(facts)
    is_at_work = state is RunState.TRAINING
    attempt = word.attempt
    host = attempt.host if attempt else word.host
    if is_at_work and progress is not None:
        host = progress.host or host
    costs_known = progress or costs
    return RunStatus(
        name,
        param_hash,
        run_name,
        state,
        _phase(facts) if is_at_work else None,
        reason if reason != cause else "",
        cause,
        remedy,
        word.task,
        host,
        "" if is_at_work and not word.is_at_work else word.device,
        word.since,
        costs_known.num_epochs if costs_known else 0,
        costs_known.train_cost if costs_known else None,
        costs_known.valid_cost if costs_known else None,
        progress.learning_rate if progress else None,
        costs_known.lowest_valid_cost if costs_known else None,
        progress.steps_per_s if progress and is_at_work else None,
        progress.epoch_s if progress else None,
        progress.remaining_s if progress and is_at_work else None,
        progress.is_lower_bound if progress and is_at_work else False,
        _updated(progress, costs),
    )


class _Facts(NamedTuple):
    folder: str
    names: frozenset[str]
    word: RunWord
    progress: Progress | None
    costs: LoggedCosts | None
    now_s: float


def _state_of(facts: _Facts) -> tuple[RunState, str]:
    """Tell where a run stands: what queues say, refined by what its own files say."""
    word = facts.word
    if word.is_at_work:
        return RunState.TRAINING, ""
    if word.state is TaskState.DONE:
        return RunState.DONE, ""
    by_hand = _at_work_by_hand(facts)
    if by_hand:
        return RunState.TRAINING, by_hand
    if word.state in _STATES:
        return _STATES[word.state], word.reason
    # It waits, as far as queues are concerned. What one has tried, or will take, needs no guess.
    if word.was_tried or word.is_in_queue:
        return RunState.WAITING, word.reason
    progress = facts.progress
    if progress is not None:
        state = _STATES_BY_HAND.get(progress.state, RunState.STOPPED)
        return state, "" if state is RunState.FAILED else f"by hand; {word.reason}"
    if _LOG in facts.names and _cause_by_hand(facts)[0] in _TOLD_BY_LOGS:
        return RunState.FAILED, ""
    if facts.costs is not None or _LOG in facts.names:
        return RunState.STOPPED, word.reason
    if facts.names.isdisjoint(_PREPARED) and not word.is_known:
        return RunState.NOT_PREPARED, ""
    return RunState.WAITING, word.reason


_STATES = {
    TaskState.PAUSED: RunState.PAUSED,
    TaskState.FAILED: RunState.FAILED,
    TaskState.CANCELLED: RunState.CANCELLED,
    TaskState.INTERRUPTED: RunState.STOPPED,
}
_STATES_BY_HAND = {"finished": RunState.TRAINED, "failed": RunState.FAILED}
# What only a failure prints; other words also stand in the logs of runs that are well.
_TOLD_BY_LOGS = frozenset(
    cause.value
    for cause in (Cause.GPU_MEMORY, Cause.NOT_A_NUMBER, Cause.STORAGE, Cause.IMPORT_ERROR)
)


def _at_work_by_hand(facts: _Facts) -> str:
    if facts.progress is not None:
        if facts.progress.state != "training" or _is_of_queue(facts.progress, facts.word.attempt):
            return ""
        who = process_that_trains(OutputPaths(Path(facts.folder) / _OUTPUT))
        return f"started by hand: {who}" if who else ""
    costs = facts.costs
    if costs is None or facts.word.was_tried:
        return ""
    is_fresh = facts.now_s - costs.changed_s < _SILENT_AFTER_S
    return "its log of costs still grows" if is_fresh else ""


def _is_of_queue(progress: Progress, attempt: Attempt | None) -> bool:
    """Tell whether the last word is of a queue's attempt, which holds its lock no more."""
    if attempt is None:
        return False
    ended_s, said_s = parse_time_s(attempt.ended_at or ""), parse_time_s(progress.updated)
    if ended_s is None or said_s is None:
        # Nobody saw it end. Of a process of this machine it can be seen whether it lives.
        return progress.host != socket.gethostname()
    return said_s <= ended_s + 1.0  # the trainer writes whole seconds


def _cause_by_hand(facts: _Facts) -> tuple[str, str]:
    """Find why a run failed that no queue tells of, from the end of its log."""
    tail = log_tail(Path(facts.folder) / _LOG, max_bytes=_TAIL_BYTES)
    cause = cause_of(Ending(1, None), tail, on_gpu=False)
    return cause.value, remedy_of(cause, None)


def _phase(facts: _Facts) -> Phase:
    progress, attempt = facts.progress, facts.word.attempt
    if progress is None:
        return Phase.TRAINING if facts.costs is not None else Phase.STARTING
    if progress.state == "finished":
        return Phase.SAMPLING
    return Phase.STARTING if _is_older(progress, attempt, facts.word) else Phase.TRAINING


def _is_older(progress: Progress, attempt: Attempt | None, word: RunWord) -> bool:
    """Tell whether the last word is of a process before the one that is at work."""
    began_s = parse_time_s(attempt.started_at if attempt else word.since)
    said_s = parse_time_s(progress.updated)
    return began_s is not None and said_s is not None and said_s < began_s


def _updated(progress: Progress | None, costs: LoggedCosts | None) -> str:
    if progress is not None:
        return progress.updated
    if costs is None or not costs.changed_s:
        return ""
    return iso_time(costs.changed_s)
