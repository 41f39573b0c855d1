"""How fast training goes, and how long it will still take.

Training ends when the learning rate has fallen below ``learning_rate_stop``. How many drops that
takes is known; how many epochs lie between drops is estimated from the drops so far.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Outlook", "Pace", "drops_left", "outlook", "pace_line"]

_TYPICAL_WAIT = 12.4 / 7
"""Epochs from drop to drop, as a multiple of the fewest possible: the mean of one training of the
original (NUMERICS.md 9)."""
_WEIGHT_OF_TYPICAL = 3
_RECENT_WAITS = 12
_RECENT_EPOCHS = 10


class Outlook(NamedTuple):
    """What is left of a training.

    Attributes
    ----------
    drops : int
        Times the learning rate must still fall.
    epochs : float
        Epochs until then.
    is_lower_bound : bool
        Whether `epochs` is only the least it can take, as too few drops have been seen.
    """

    drops: int
    epochs: float
    is_lower_bound: bool


def drops_left(learning_rate: float, stop: float, decay_factor: float) -> int:
    """Count the drops until the learning rate lies below `stop`.

    >>> drops_left(0.01, 0.001, 0.1), drops_left(0.0099, 0.001, 0.1), drops_left(0.0009, 0.001, 0.1)
    (2, 1, 0)
    """
    if learning_rate < stop:
        return 0
    # The rate is a float32 that was multiplied many times: at an exact power it may lie on
    # either side, which is one drop in a hundred and not worth more care than this.
    exact = math.log(stop / learning_rate) / math.log(decay_factor)
    return math.floor(exact + 1e-5) + 1


def outlook(
    history: Sequence[float],
    learning_rate: float,
    *,
    n_to_compare: int,
    decay_factor: float,
    stop: float,
) -> Outlook:
    """Estimate what is left of a training from its history.

    Parameters
    ----------
    history : sequence of float
        `TrainingProgress.history`: infinity stands where the rate fell.
    learning_rate : float
        Now.
    n_to_compare, decay_factor, stop
        The hyperparameters ``learning_rate_...``.

    Returns
    -------
    Outlook

    Notes
    -----
    Waits from drop to drop vary much and change slowly, so the mean of the last dozen is taken,
    beside a few waits of a length that is typical. The wait for the first drop counts only once
    there is another: as long as the cost falls steeply it tells nothing of later ones.
    """
    drops = drops_left(learning_rate, stop, decay_factor)
    fewest = n_to_compare + 1
    at_epochs = [epoch for epoch, cost in enumerate(history) if math.isinf(cost)]
    since = len(history) - (at_epochs[-1] + 1 if at_epochs else 0)
    if not drops:
        return Outlook(0, 0.0, is_lower_bound=False)
    soonest = max(fewest - since, 1)
    if len(at_epochs) < 2:
        return Outlook(drops, float(soonest + (drops - 1) * fewest), is_lower_bound=True)
    waits = [b - a for a, b in pairwise(at_epochs)][-_RECENT_WAITS:]
    # A wait that has become longer than the others is news already.
    if since > max(waits):
        waits = [*waits, since][-_RECENT_WAITS:]
    typical = _WEIGHT_OF_TYPICAL * _TYPICAL_WAIT * fewest
    wait = (typical + sum(waits)) / (_WEIGHT_OF_TYPICAL + len(waits))
    first = max(wait - since, wait - fewest, float(soonest))
    return Outlook(drops, first + (drops - 1) * wait, is_lower_bound=False)


class Pace:
    """Measures how long batches and epochs take in this process.

    The first batch of each kind, for which a graph is built, does not count.

    Parameters
    ----------
    clock : callable, optional
        Gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._kinds: set[object] = set()
        self._batch_s: deque[float] = deque(maxlen=100)
        self._epoch_s: deque[float] = deque(maxlen=_RECENT_EPOCHS)
        self._began = clock()
        self._building_s = 0.0
        self._num_timed = self._num_built = 0

    def begin_epoch(self) -> None:
        """Note that an epoch begins now."""
        self._began = self._clock()
        self._building_s = 0.0
        self._num_timed = self._num_built = 0

    def time_batch(self, kind: object, seconds: float, *, trains: bool) -> None:
        """Note how long a batch took.

        Parameters
        ----------
        kind : hashable
            Batches of one kind share a graph.
        seconds : float
        trains : bool
            Whether it was a training step.
        """
        if kind not in self._kinds:
            self._kinds.add(kind)
            self._building_s += seconds
            self._num_built += 1
            return
        self._num_timed += 1
        if trains:
            self._batch_s.append(seconds)

    def end_epoch(self, *, is_whole: bool) -> None:
        """Note that an epoch ends now.

        Parameters
        ----------
        is_whole : bool
            False if another process had done a part of it.
        """
        elapsed = self._clock() - self._began - self._building_s
        if is_whole and self._num_timed:
            # As if the batches that were built had taken as long as the others.
            scale = (self._num_timed + self._num_built) / self._num_timed
            self._epoch_s.append(elapsed * scale)

    @property
    def steps_per_s(self) -> float | None:
        """Training steps a second, without validation; None if not known yet."""
        typical = statistics.median(self._batch_s) if self._batch_s else 0.0
        return 1.0 / typical if typical > 0 else None

    @property
    def epoch_s(self) -> float | None:
        """How long an epoch takes with all that belongs to it [s]; None if not known yet."""
        return statistics.fmean(self._epoch_s) if self._epoch_s else None


def pace_line(
    num_epochs: int, learning_rate: float, left: Outlook, steps_per_s: float | None, epoch_s: float
) -> str:
    """Tell people how fast training goes and how long it will still take.

    Parameters
    ----------
    num_epochs : int
        Done so far.
    learning_rate : float
        Now.
    left : Outlook
    steps_per_s : float, optional
    epoch_s : float
        How long an epoch takes [s].

    Examples
    --------
    >>> pace_line(132, 0.0071, Outlook(12, 150.0, False), 9.83, 52.0)
    '     9.8 steps/s, 132 epochs done, about 2 h 10 min left (rate 0.0071, 12 drops to go)'
    >>> pace_line(1, 0.01, Outlook(135, 945.0, True), 120.0, 0.5)
    '     120 steps/s, 1 epoch done, at least 8 min left (rate 0.01, 135 drops to go)'
    """
    speed = "" if steps_per_s is None else f"{_three_digits(steps_per_s)} steps/s, "
    epochs = "1 epoch" if num_epochs == 1 else f"{num_epochs} epochs"
    how = "at least" if left.is_lower_bound else "about"
    drops = "1 drop" if left.drops == 1 else f"{left.drops} drops"
    return (
        f"     {speed}{epochs} done, {how} {_duration(left.epochs * epoch_s)} left "
        f"(rate {learning_rate:.3g}, {drops} to go)"
    )


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _duration(seconds: float) -> str:
    """Give a duration in its two largest units.

    >>> [_duration(s) for s in (3, 89, 3540, 7800, 200_000)]
    ['3 s', '1 min', '59 min', '2 h 10 min', '2 d 8 h']
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"
