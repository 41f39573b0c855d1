"""Alignment matrices: how the channels of each dataset are read into factors that all share.

Principal components regression. The conditions' averages of all datasets stand side by side, their
principal components are what the datasets have in common, and these are regressed on the channels
of each dataset alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ConfigError, DatasetError
from lfadsq.manager.condition_averages import Condition, ConditionAverages
from lfadsq.manager.counts import DatasetCounts
from lfadsq.manager.datasets import Dataset
from lfadsq.manager.params import RunParams
from lfadsq.manager.principal_components import principal_components
from lfadsq.manager.regression import regress, ridge_regress

if TYPE_CHECKING:
    from lfadsq.manager.runs import Run

__all__ = [
    "AlignmentOptions",
    "DatasetAlignment",
    "MultisessionAlignmentTool",
    "average_for_alignment",
]

_log = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]

_APPROACHES = {"regressGlobalPCs": False, "ridgeRegressGlobalPCs": True}
_POOR_R2 = 0.5
_MOST_LISTED = 5


@dataclass(frozen=True)
class AlignmentOptions:
    """How alignment matrices are computed.

    Attributes
    ----------
    num_factors : int
        Columns of a matrix.
    use_ridge_regression : bool
        Regress with an L2 penalty that cross-validation chooses.
    ridge_normalize_each : bool
        Scale each channel by its own standard deviation before it is penalised, not all by one.
    """

    num_factors: int
    use_ridge_regression: bool = False
    ridge_normalize_each: bool = False

    @classmethod
    def of_params(cls, params: RunParams) -> AlignmentOptions:
        """Read them from hyperparameters.

        ``alignmentExtraArgs`` are pairs of a name and a value, as in MATLAB:
        ``("ridgeNormalizeEach", True)``.

        Raises
        ------
        ConfigError
            If ``alignmentApproach`` or ``alignmentExtraArgs`` cannot be.
        """
        approach, extra = params.alignmentApproach, params.alignmentExtraArgs
        if approach not in _APPROACHES:
            raise ConfigError(
                f"alignmentApproach is {approach!r}", f"give one of {', '.join(_APPROACHES)}"
            )
        values = {"useridgeregression": _APPROACHES[approach], "ridgenormalizeeach": False}
        pairs = list(zip(extra[::2], extra[1::2], strict=False))
        if len(extra) % 2 or not all(
            isinstance(name, str) and name.lower() in values and value in (True, False)
            for name, value in pairs
        ):
            raise ConfigError(
                f"alignmentExtraArgs are {extra!r}",
                "give pairs of a name, ridgeNormalizeEach or useRidgeRegression, and True or False",
            )
        values.update((str(name).lower(), bool(value)) for name, value in pairs)
        return cls(params.c_factors_dim, values["useridgeregression"], values["ridgenormalizeeach"])


@dataclass(frozen=True, eq=False)
class DatasetAlignment:
    """How one dataset is read in.

    Attributes
    ----------
    dataset_name : str
        The dataset.
    matrix : numpy.ndarray, shape (channel, factor), float64
        Columns beyond the number of components are zero.
    bias : numpy.ndarray, shape (channel,), float64 [spikes/bin]
        Mean over the dataset's conditions and time, to be subtracted first.
    r2 : float
        Share of the variance of all global components that it reconstructs, 1 at best (and where
        there is but one dataset).
    r2_per_component : numpy.ndarray, shape (component,), float64
        The same for each.
    penalty : float or None
        L2 penalty that cross-validation chose.
    """

    dataset_name: str
    matrix: Array
    bias: Array
    r2: float
    r2_per_component: Array
    penalty: float | None


class MultisessionAlignmentTool:
    """Alignment matrices of the datasets of one run.

    Parameters
    ----------
    averages : sequence of ConditionAverages
        Of every dataset, in the order of the run.
    options : AlignmentOptions
        How they are computed.

    Attributes
    ----------
    conditions : tuple of float or str
        Conditions that all datasets have: the global components come from these alone.
    global_components : numpy.ndarray, shape (condition, time, component), float64
        What the datasets have in common.
    datasets : tuple of DatasetAlignment
        The result, for each dataset.

    Raises
    ------
    DatasetError
        If datasets differ in their number of time bins, have no condition in common, or do not
        change with time and condition.

    Notes
    -----
    A dataset may lack conditions of others, and have some of its own. A component is a sum over all
    channels of all datasets, so it is known only where every dataset was recorded: components and
    regressions use the conditions that all share, the biases all conditions of a dataset.

    With one dataset the matrix is the projection onto its principal components itself.
    """

    def __init__(self, averages: Sequence[ConditionAverages], options: AlignmentOptions) -> None:
        self.options = options
        self.conditions = _shared_conditions(averages)
        num_bins = averages[0].counts.shape[1]
        parts = _Rows(averages, self.conditions)
        loadings, scores = principal_components(parts, options.num_factors)
        if not scores.shape[1]:
            raise DatasetError(
                f"the averages of {_listed([one.dataset_name for one in averages])} are the same "
                "at all times in all conditions: nothing can be aligned by them",
                "see whether condition ids and counts are right",
            )
        self.global_components = scores.reshape(len(self.conditions), num_bins, -1)
        self._averages = tuple(averages)
        datasets = []
        for own, part, own_loadings in zip(averages, parts, loadings, strict=True):
            centred = part - part.mean(axis=0)
            penalty = None
            if len(averages) == 1:
                matrix = own_loadings
            elif options.use_ridge_regression:
                matrix, penalty = ridge_regress(
                    centred, scores, normalize_each=options.ridge_normalize_each
                )
            else:
                matrix = regress(centred, scores)
            missed = ((scores - centred @ matrix) ** 2).sum(axis=0)
            variance = (scores**2).sum(axis=0)
            datasets.append(
                DatasetAlignment(
                    dataset_name=own.dataset_name,
                    matrix=np.pad(matrix, ((0, 0), (0, options.num_factors - matrix.shape[1]))),
                    bias=own.counts.mean(axis=(0, 1)),
                    r2=float(1.0 - missed.sum() / variance.sum()),
                    r2_per_component=1.0 - missed / variance,
                    penalty=penalty,
                )
            )
        self.datasets = tuple(datasets)

    def reconstruct(self, number: int) -> Array:
        """Give the global components as one dataset gives them.

        Parameters
        ----------
        number : int
            The dataset, from 0.

        Returns
        -------
        numpy.ndarray, shape (condition, time, component), float64
            Of the same conditions as `global_components`.
        """
        part = self._averages[number].rows_of(self.conditions)
        num_components = self.global_components.shape[2]
        matrix = self.datasets[number].matrix[:, :num_components]
        reconstruction: Array = (part - part.mean(axis=0)) @ matrix
        return reconstruction.reshape(self.global_components.shape)

    @property
    def alignment_matrices(self) -> tuple[Array, ...]:
        """Of each dataset, shape (channel, factor)."""
        return tuple(one.matrix for one in self.datasets)

    @property
    def alignment_biases(self) -> tuple[Array, ...]:
        """Of each dataset, shape (channel,) [spikes/bin]."""
        return tuple(one.bias for one in self.datasets)

    def log_quality(self) -> None:
        """Log how well each dataset reconstructs the global components, and warn of poor ones."""
        num_rows = int(np.prod(self.global_components.shape[:2]))
        for one in self.datasets:
            _log.info("alignment of %s: R2 %.3f of the global components", one.dataset_name, one.r2)
            if one.r2 < _POOR_R2:
                _log.warning(
                    "%s reconstructs the components that all datasets share with an R2 of only "
                    "%.2f: see whether its condition ids mean the same as in the others, give "
                    "wider bins (spikeBinMs) or fewer factors (c_factors_dim), or leave it out; "
                    "run.do_multisession_alignment().plot_alignment_reconstruction(path) shows it",
                    one.dataset_name,
                    one.r2,
                )
            if len(self.datasets) > 1 and one.penalty is None and num_rows <= len(one.matrix):
                _log.warning(
                    "%s has %d channels, but only %d bins of condition averages to align them by: "
                    "its R2 of %.2f says nothing; set alignmentApproach='ridgeRegressGlobalPCs', "
                    "or give more conditions or narrower bins",
                    one.dataset_name,
                    len(one.matrix),
                    num_rows,
                    one.r2,
                )

    def plot_alignment_reconstruction(
        self, path: str | Path, *, num_factors: int = 3, num_conditions: int = 3
    ) -> Path:
        """Draw what each dataset reconstructs over the global components.

        Parameters
        ----------
        path : str or Path
            The picture (PNG, PDF or SVG, by its ending); an old one is replaced.
        num_factors, num_conditions : int, default 3
            How many to draw, from the first: components are the rows, conditions the columns.

        Returns
        -------
        Path
            The picture.

        Raises
        ------
        ConfigError
            If a number is below 1, or the ending is none of these.
        StorageError
            If it cannot be written; no half of one is left.
        """
        from lfadsq.results.figures.alignment import plot_alignment
        from lfadsq.results.figures.canvas import check_format, save_figure

        path = Path(path).expanduser()
        check_format(path)
        drawing = plot_alignment(self, num_factors=num_factors, num_conditions=num_conditions)
        return save_figure(drawing.figure, path)


@dataclass(frozen=True, eq=False)
class _Rows(Sequence[Array]):
    """Averages of some conditions, dataset by dataset: a copy of all may be larger than memory."""

    averages: Sequence[ConditionAverages]
    conditions: Sequence[Condition]

    def __len__(self) -> int:
        return len(self.averages)

    def __getitem__(self, number: Any) -> Any:
        return self.averages[number].rows_of(self.conditions)


def average_for_alignment(
    run: Run, dataset: Dataset, exported: DatasetCounts | None = None
) -> ConditionAverages:
    """Average those trials of a dataset that a run aligns it by.

    Parameters
    ----------
    run : Run
        The run.
    dataset : Dataset
        One of its datasets.
    exported : DatasetCounts, optional
        Counts for the trainer, `checked`: they are not generated again where they are the same.

    Raises
    ------
    ConfigError
        If the run aligns by other trials, but its ``generate_counts_for_dataset`` has no ``mode``.
    DatasetError
        If the counts are wrong, or no trial has a condition.
    """
    counts = exported
    if run.uses_different_data_for_alignment():
        counts = run.generate_checked_counts(dataset, "alignment")
        if exported is not None and counts.counts.shape[1] != exported.counts.shape[1]:
            raise DatasetError(
                f"{dataset.name} has {exported.counts.shape[1]} channels in mode 'export', but "
                f"{counts.counts.shape[1]} in mode 'alignment'",
                "give other trials, but the same channels",
            )
    elif counts is None:
        counts = run.generate_checked_counts(dataset)
    return ConditionAverages.of_counts(counts, run.params.spikeBinMs, dataset.name)


def _shared_conditions(averages: Sequence[ConditionAverages]) -> tuple[Condition, ...]:
    bins: dict[int, str] = {}
    for one in averages:
        bins.setdefault(one.counts.shape[1], one.dataset_name)
    if len(bins) > 1:
        (first, first_name), (second, second_name) = list(bins.items())[:2]
        raise DatasetError(
            f"{first_name} has {first} time bins, but {second_name} {second}: they cannot be "
            "aligned",
            "give trials of one length in generate_counts_for_dataset",
        )
    shared = set(averages[0].conditions).intersection(*(one.conditions for one in averages))
    if not shared:
        examples = "".join(
            f"\n  - {one.dataset_name}: {_listed([f'{value}' for value in one.conditions])}"
            for one in averages[:_MOST_LISTED]
        )
        raise DatasetError(
            f"no condition is in all {len(averages)} datasets that are to be aligned:{examples}",
            "give the same condition_id to the same condition, or leave out the dataset that has "
            "none of the others'",
        )
    every = set().union(*(one.conditions for one in averages))
    if len(shared) < len(every):
        _log.warning(
            "datasets are aligned by the %d conditions that all have, of %d in any: %s",
            len(shared),
            len(every),
            _listed(
                [
                    f"{one.dataset_name} lacks {len(every) - len(one.conditions)}"
                    for one in averages
                    if len(one.conditions) < len(every)
                ]
            ),
        )
    return tuple(condition for condition in averages[0].conditions if condition in shared)


def _listed(names: Sequence[str]) -> str:
    more = [f"and {len(names) - _MOST_LISTED} more"] if len(names) > _MOST_LISTED else []
    return ", ".join([*names[:_MOST_LISTED], *more])
