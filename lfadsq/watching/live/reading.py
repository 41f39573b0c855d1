"""Looking at a collection again and again, at little cost however many runs it has.

Each look takes in what has changed: runs at work, and those of which a live queue says something
new. All run folders are looked at anew only so often that it takes a small share of the time, which
finds what no queue tells of, such as a training that somebody started by hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lfadsq.queue.control import ControlFolder
from lfadsq.queue.presence import list_queues
from lfadsq.watching.collection_status import CollectionStatus, read_collection_status
from lfadsq.watching.queue_words import QueueWords
from lfadsq.watching.quick_reading import making_many_objects
from lfadsq.watching.run_states import read_run
from lfadsq.watching.run_status import RunState, RunStatus
from lfadsq.watching.signs import measure_disk

__all__ = ["CollectionReader"]

_SHARE_OF_FULL_LOOKS = 0.02
_SHARE_OF_WORDS = 0.05
_LEAST_FULL_S = 5.0


class CollectionReader:
    """Looks at a collection.

    Parameters
    ----------
    collection : Path
    clock_s : callable
        One that never goes back [s].

    Attributes
    ----------
    num_full : int
        How many looks were at all runs, for measurements.
    """

    def __init__(self, collection: Path, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._collection = collection
        self._control = ControlFolder.of(collection)
        self._clock_s = clock_s
        self._status: CollectionStatus | None = None
        self._words: QueueWords | None = None
        self._words_print: object = None
        self._next_full_s = self._next_words_s = float("-inf")
        self.num_full = 0

    def forget(self) -> None:
        """Look at all runs the next time."""
        self._next_full_s = self._next_words_s = float("-inf")

    def look(self) -> CollectionStatus:
        """Tell how the collection stands; nothing in it is changed.

        Returns
        -------
        CollectionStatus
            The very object of the last look, if nothing has changed.

        Raises
        ------
        QueueError, StorageError
            If the folder, or what queues and people said, cannot be read; the next look is then at
            all runs.
        """
        try:
            return self._look()
        except BaseException:
            self._status = self._words_print = None
            self.forget()
            raise

    def _look(self) -> CollectionStatus:
        before, words_before = self._status, self._words
        words = self._read_words()
        if (
            before is None
            or words_before is None
            or self._clock_s() >= self._next_full_s
            or _must_look_at_all(words, words_before)
        ):
            return self._look_at_all(words)
        if not self._collection.is_dir():
            return self._look_at_all(words)  # which says what is wrong
        suspects = words.differences(words_before) if words is not words_before else set()
        suspects |= {run.name for run in before.runs if run.state is RunState.TRAINING}
        now_s = time.time()
        news: dict[str, RunStatus] = {}
        for run in before.runs:
            if run.name in suspects:
                seen = read_run(self._collection, run.name, words, now_s)
                if seen is not None and seen != run:
                    news[run.name] = seen
        if not news and words is words_before:
            return before
        self._status = replace(
            before,
            at_s=now_s,
            runs=tuple(news.get(run.name, run) for run in before.runs) if news else before.runs,
            queues=words.live,
            last=words.last,
            is_paused=words.wishes.is_paused,
            disk=measure_disk(self._collection),
        )
        return self._status

    def _look_at_all(self, words: QueueWords) -> CollectionStatus:
        began_s = self._clock_s()
        with making_many_objects():
            self._status = read_collection_status(self._collection, words)
        self.num_full += 1
        took_s = self._clock_s() - began_s
        self._next_full_s = self._clock_s() + max(_LEAST_FULL_S, took_s / _SHARE_OF_FULL_LOOKS)
        return self._status

    def _read_words(self) -> QueueWords:
        """Read what queues and people say, if any of it has changed and it is time."""
        seen = self._fingerprint()
        known, now_s = self._words, self._clock_s()
        # Of thousands of tasks a snapshot takes a while to read, and a queue writes one a second.
        is_same = seen == self._words_print or now_s < self._next_words_s
        if known is not None and self._words_print is not None and is_same:
            return known
        with making_many_objects():
            words = QueueWords(self._collection)
        took_s = self._clock_s() - now_s
        self._next_words_s = now_s + took_s / _SHARE_OF_WORDS
        self._words, self._words_print = words, seen
        return words

    def _fingerprint(self) -> object:
        if not self._control.paths.exists():
            return ()
        queues = []
        for queue_id, lives in list_queues(self._control.paths):
            try:
                found = self._control.paths.snapshot(queue_id).stat()
            except FileNotFoundError:
                continue
            queues.append((queue_id, lives, found.st_ino, found.st_mtime_ns, found.st_size))
        return self._control.fingerprint(), tuple(queues)


def _must_look_at_all(words: QueueWords, before: QueueWords) -> bool:
    """Tell whether something was said that may concern any run."""
    if words is before:
        return False
    return words.wishes != before.wishes or [q.queue_id for q in words.live] != [
        q.queue_id for q in before.live
    ]
