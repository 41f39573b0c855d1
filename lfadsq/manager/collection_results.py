"""`CollectionResults`: the part of a run collection that reads what its runs came to."""

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

__all__ = ["CollectionResults"]


class CollectionResults(RunGrid):
    """Compares and exports the runs of a `RunGrid` that lies in a folder."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """The folder of the collection."""

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

    def export_results_to_h5(
        self,
        folder: str | Path | None = None,
        *,
        runs: Iterable[Run] | None = None,
        force: bool = False,
    ) -> list[Path]:
        """Write results of all runs as ``exportResultsToH5`` of MATLAB does.

        Parameters
        ----------
        folder : str or Path, optional
            Where to; by default ``posterior_means_export`` in the folder of the collection.
        runs : iterable of Run, optional
            Only these.
        force : bool, default False
            Replace files that are there.

        Returns
        -------
        list of Path
            What was written: for each run, in a folder of its name, ``modelTrainedParams.h5`` and
            ``posteriorMeans_<dataset>.h5``.

        Raises
        ------
        ConfigError, RunNotFoundError, ResultError, StorageError
            As `export` does.
        """
        return self.export("h5", folder, runs=runs, force=force)

    def export(
        self,
        to: str,
        folder: str | Path | None = None,
        *,
        runs: Iterable[Run] | None = None,
        force: bool = False,
        **choices: Any,
    ) -> list[Path]:
        """Write results of runs in the format of another tool, as ``lfadsq export`` does.

        Parameters
        ----------
        to : {"h5", "mat", "netcdf", "nwb", "zip"}
            The format.
        folder : str or Path, optional
            Where to; by default ``posterior_means_export`` in the folder of the collection. Each
            run has a folder in it, ``<run name>``; ``param_<HASH>/<run name>`` where runs have
            several settings.
        runs : iterable of Run, optional
            Only these; all have to be trained.
        force : bool, default False
            Replace files that are there.
        **choices
            As in `Run.export`.

        Returns
        -------
        list of Path
            What was written, each file complete.

        Raises
        ------
        ConfigError
            If a file is there already, or a choice cannot be. Nothing was written.
        RunNotFoundError
            If one of `runs` is not of this collection, or has no such dataset.
        ResultError
            If a run is not trained, or results are damaged.
        StorageError
            If a file cannot be read or written. Those before are complete.
        """
        from lfadsq.manager.exporting import export_runs

        chosen = [self.runs[number - 1] for number in self._numbers_of(runs)]
        return export_runs(chosen, to, folder, of_collection=True, force=force, **choices)
