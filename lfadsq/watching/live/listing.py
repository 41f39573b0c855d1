"""Which runs are listed, and in which order."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lfadsq.watching.run_status import RunState, RunStatus

__all__ = ["Listing", "Order", "fraction_done", "short_name"]

# What a person looks for first: what moves, then what is wrong, then what is to come.
_RANKS = {
    state: rank
    for rank, state in enumerate(
        (
            RunState.TRAINING,
            RunState.FAILED,
            RunState.UNKNOWN,
            RunState.STOPPED,
            RunState.TRAINED,
            RunState.PAUSED,
            RunState.WAITING,
            RunState.NOT_PREPARED,
            RunState.CANCELLED,
            RunState.DONE,
        )
    )
}


class Order(str, enum.Enum):
    """By what runs are sorted."""

    STATE = "state"
    NAME = "name"
    COST = "cost"
    LEFT = "time left"
    EPOCH = "epoch"


@dataclass(frozen=True)
class Listing:
    """A choice of runs and their order.

    Attributes
    ----------
    order : Order
    is_reversed : bool
        Those that are without what it is ordered by stay at the end.
    state : RunState or None
        Only runs in this state; None for all.
    words : str
        Only runs in which each of these words occurs, whatever its case: in name, state, cause,
        reason, place, or as ``gen_dim=64`` in the hyperparameters that differ.
    """

    order: Order = Order.STATE
    is_reversed: bool = False
    state: RunState | None = None
    words: str = ""

    @property
    def is_filtered(self) -> bool:
        """Whether some runs may be left out."""
        return self.state is not None or bool(self.words.split())

    def with_next_order(self) -> Listing:
        """Sort by the next of all orders."""
        orders = list(Order)
        order = orders[(orders.index(self.order) + 1) % len(orders)]
        return replace(self, order=order, is_reversed=False)

    def with_next_state(self, counts: Mapping[RunState, int]) -> Listing:
        """Show only the next state that any run is in, and after the last of them all again."""
        present = sorted((state for state in counts if counts[state]), key=_RANKS.__getitem__)
        states = [None, *present]
        at = states.index(self.state) if self.state in states else 0
        return replace(self, state=states[(at + 1) % len(states)])

    def choose(
        self, runs: Sequence[RunStatus], settings_of: Callable[[RunStatus], Mapping[str, str]]
    ) -> list[RunStatus]:
        """List the runs that are wanted, in their order.

        Parameters
        ----------
        runs : sequence of RunStatus
        settings_of : callable
            Gives the hyperparameters in which runs differ; only called if there are words.
        """
        words = self.words.casefold().split()
        chosen = [
            run
            for run in runs
            if (self.state is None or run.state is self.state)
            and (not words or _has(run, words, settings_of))
        ]
        chosen.sort(key=lambda run: run.name)
        if self.order is Order.NAME:
            return chosen[::-1] if self.is_reversed else chosen
        # Sorted twice, so that equal ones stay in the order of their names.
        value_of = _VALUES[self.order]
        known = [run for run in chosen if value_of(run) is not None]
        unknown = [run for run in chosen if value_of(run) is None]
        known.sort(key=lambda run: value_of(run) or 0.0, reverse=self.is_reversed)
        return known + unknown

    def text(self) -> str:
        """Say in words what is shown, if that is not all."""
        told = [f"only {self.state.value}"] if self.state is not None else []
        if self.words.split():
            told.append(f"with '{' '.join(self.words.split())}'")
        return " ".join(told)


def _has(
    run: RunStatus, words: list[str], settings_of: Callable[[RunStatus], Mapping[str, str]]
) -> bool:
    settings = " ".join(
        f"{name.removeprefix('c_')}={value}" for name, value in settings_of(run).items()
    )
    told = (run.name, run.state.value, run.cause, run.reason, run.host, run.device, run.task)
    text = " ".join((*told, settings)).casefold()
    return all(word in text for word in words)


def _cost(run: RunStatus) -> float | None:
    cost = run.lowest_valid_cost if run.lowest_valid_cost is not None else run.valid_cost
    return cost if cost is not None and math.isfinite(cost) else None


_VALUES: Mapping[Order, Callable[[RunStatus], float | None]] = {
    Order.STATE: lambda run: float(_RANKS[run.state]),
    Order.COST: _cost,
    Order.LEFT: lambda run: None if run.remaining_s is None else -run.remaining_s,
    Order.EPOCH: lambda run: float(-run.num_epochs) if run.num_epochs else None,
}


def fraction_done(run: RunStatus) -> float | None:
    """Tell how far a training is, by the time it has taken and the time that is left.

    Nobody knows how many epochs there will be: a training ends when its learning rate has fallen
    far enough. So this is as good as the estimate of the time left, and too much where that is
    only the least it can be.

    Parameters
    ----------
    run : RunStatus

    Returns
    -------
    float or None
        From 0 to 1; None if there is no estimate.
    """
    if run.state in (RunState.DONE, RunState.TRAINED):
        return 1.0
    if run.remaining_s is None or not run.epoch_s or not run.num_epochs:
        return None
    taken_s = run.num_epochs * run.epoch_s
    return taken_s / (taken_s + max(0.0, run.remaining_s))


def short_name(name: str) -> str:
    """Give a run's name without what all have.

    >>> short_name("param_Yw0JcR/single_a")
    'Yw0JcR/single_a'
    """
    return name.removeprefix("param_")
