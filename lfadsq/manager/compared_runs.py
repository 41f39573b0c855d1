"""`ComparedRuns`: the part of a run collection that compares what its runs came to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lfadsq.manager.run_grid import RunGrid
from lfadsq.manager.runs import Run

if TYPE_CHECKING:
    import numpy.typing as npt

    from lfadsq.results.comparison import SweepComparison

__all__ = ["ComparedRuns"]


class ComparedRuns(RunGrid):
    """A `RunGrid` whose runs lie in a folder, and can be compared."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """The folder of the collection."""

    @abstractmethod
    def _numbers_of(self, runs: Iterable[Run] | None) -> list[int]:
        """Give the numbers of runs, from 1, in the order given."""

    def compare(
        self,
        *,
        runs: Iterable[Run] | None = None,
        by: str | None = None,
        quick: bool = False,
        held_out: Mapping[str, npt.NDArray[Any]] | Literal["recordings"] | None = None,
        smoothing_ms: float = 0.0,
        on_scored: Callable[[int, int], None] | None = None,
    ) -> SweepComparison:
        """Compare the runs: one table of hyperparameters, costs, scores, time, memory and trouble.

        Parameters
        ----------
        runs : iterable of Run, optional
            Only these.
        by : str, optional
            What the best run is best by: ``valid_cost``, ``valid_bound``, ``co_bits_per_spike``,
            ``bits_per_spike``, ``psth_r2``, ``truth_r2``, ``truth_log_r2``. By default the lowest
            validation cost; or, where the weights of KL or L2 vary, so that costs do not compare,
            ``valid_bound``, reconstruction and KL without weights.
        quick : bool, default False
            Read costs only, not posterior means: without scores.
        held_out : dict of str to numpy.ndarray, shape (trial, time, channel), or "recordings"
            Counts of channels that the model never saw, by the name of the dataset, in the bins of
            the model, trials in the order of the recording; or to take the variable
            ``heldoutSpikes`` of the recordings (files of the Neural Latents Benchmark have it). For
            co-smoothing.
        smoothing_ms : float, default 0
            Standard deviation of the Gaussian that smooths spikes for PSTHs [ms]; 0 for none. Wider
            than what rates do, it puts blurred ones first.
        on_scored : callable, optional
            Told after each run how many are looked through, and of how many.

        Returns
        -------
        SweepComparison
            Its `best`, `to_dataframe`, `to_csv`, `plot` and `suspects`. What cannot be read of a
            run is told in its `notes`, and the others are compared.

        Raises
        ------
        ConfigError
            If there is no such rule, or `held_out` names no dataset.
        RunNotFoundError
            If one of `runs` is not of this collection, or there is none.
        QueueError, StorageError
            If the folder, or what queues said, cannot be read.
        """
        from lfadsq.watching.sweep_reading import read_sweep

        chosen = [self.runs[number - 1] for number in self._numbers_of(runs)]
        return read_sweep(
            self,
            runs=chosen,
            by=by,
            quick=quick,
            held_out=held_out,
            smoothing_ms=smoothing_ms,
            on_scored=on_scored,
        )
