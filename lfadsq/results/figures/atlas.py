"""All figures of a run, drawn and written one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from lfadsq.errors import LfadsqError
from lfadsq.files import make_folder
from lfadsq.results.figures.canvas import Drawing, check_format, save_figure
from lfadsq.results.figures.colours import ConditionColours
from lfadsq.results.figures.factors import plot_factors
from lfadsq.results.figures.generator import plot_generator_weights
from lfadsq.results.figures.inferred_inputs import plot_inferred_inputs
from lfadsq.results.figures.initial_conditions import plot_initial_conditions
from lfadsq.results.figures.learning_curves import plot_learning_curves
from lfadsq.results.figures.rasters import plot_rasters
from lfadsq.results.figures.readouts import plot_readouts
from lfadsq.results.figures.single_trials import plot_single_trials
from lfadsq.results.figures.trajectories import plot_trajectories

if TYPE_CHECKING:
    from lfadsq.results.fit_log import FitLog
    from lfadsq.results.model_trained_params import ModelTrainedParams
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["DrawnFigure", "RunWithResults", "draw_all"]


class RunWithResults(Protocol):
    """What is asked of a `lfadsq.Run`."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def path(self) -> Path: ...  # noqa: D102

    @property
    def dataset_names(self) -> Sequence[str]: ...  # noqa: D102

    def load_fit_log(self) -> FitLog: ...  # noqa: D102

    def load_model_trained_params(self) -> ModelTrainedParams: ...  # noqa: D102

    def load_posterior_means(self, dataset_name: str | None = None) -> PosteriorMeans: ...  # noqa: D102


@dataclass(frozen=True)
class DrawnFigure:
    """What became of a figure.

    Attributes
    ----------
    name : str
        What it shows: ``factors``; with several datasets ``factors_<dataset>``.
    path : Path or None
        Where it is; None if it was left out.
    reason : str
        Why it was left out; empty if it was not.
    """

    name: str
    path: Path | None
    reason: str = ""


class _Shared(NamedTuple):
    """What the figures of all datasets of a run have in common."""

    colours: ConditionColours
    first: PosteriorMeans | None


_OF_DATASETS: dict[str, Callable[[PosteriorMeans, _Shared], Drawing]] = {
    "rasters": lambda means, _: plot_rasters(means),
    "single_trials": lambda means, _: plot_single_trials(means),
    "factors": lambda means, shared: plot_factors(means, colours=shared.colours),
    "trajectories_2d": lambda means, shared: plot_trajectories(
        means, like=shared.first, colours=shared.colours
    ),
    "trajectories_3d": lambda means, shared: plot_trajectories(
        means, dims=3, like=shared.first, colours=shared.colours
    ),
    "inferred_inputs": lambda means, shared: plot_inferred_inputs(means, colours=shared.colours),
    "initial_conditions": lambda means, shared: plot_initial_conditions(
        means, colours=shared.colours
    ),
}


def draw_all(run: RunWithResults, folder: Path, kind: str = "png") -> Iterator[DrawnFigure]:
    """Draw and write every figure that a run can have.

    Parameters
    ----------
    run : Run
        A run, finished or not.
    folder : Path
        Where the figures go; it is made. Files of the same names are replaced.
    kind : {"png", "pdf", "svg"}, default "png"
        Which files.

    Yields
    ------
    DrawnFigure
        Each figure when it is written, or once it is known that the run cannot have it. Conditions
        have the same colours in the figures of all its datasets, and trajectories lie in the space
        of the first.

    Raises
    ------
    ConfigError
        If there is no such kind of picture.
    StorageError
        If a figure cannot be written; those before it are there.
    """
    check_format(folder / f"figure.{kind}")
    make_folder(folder)
    label = f"{run.path.parent.name}/{run.path.name}"
    plans: Iterator[tuple[str, Callable[[], Drawing]]] = itertools.chain(
        [
            ("learning_curves", lambda: plot_learning_curves({label: run.load_fit_log()})),
            (
                "generator_weights",
                lambda: plot_generator_weights(run.load_model_trained_params()),
            ),
            ("readouts", lambda: plot_readouts(run.load_model_trained_params())),
        ],
        _plans_of_datasets(run),
    )
    for name, draw in plans:
        try:
            drawing = draw()
        except LfadsqError as error:
            yield DrawnFigure(name, None, error.problem)
            continue
        yield DrawnFigure(name, save_figure(drawing.figure, folder / f"{name}.{kind}"))


def _plans_of_datasets(run: RunWithResults) -> Iterator[tuple[str, Callable[[], Drawing]]]:
    """Plan the figures of one dataset after the other: only one is in memory at a time."""
    shared = _shared(run)
    for dataset_name in run.dataset_names:
        ending = f"_{dataset_name}" if len(run.dataset_names) > 1 else ""
        load = cache(partial(run.load_posterior_means, dataset_name))
        for what, plot in _OF_DATASETS.items():
            yield f"{what}{ending}", partial(_draw, plot, load, shared)


def _draw(
    plot: Callable[[PosteriorMeans, _Shared], Drawing],
    load: Callable[[], PosteriorMeans],
    shared: _Shared,
) -> Drawing:
    return plot(load(), shared)


def _shared(run: RunWithResults) -> _Shared:
    """Look at all datasets, as far as they are there; of the first only factors will be read."""
    conditions: list[object] = []
    first = None
    for dataset_name in run.dataset_names:
        try:
            means = run.load_posterior_means(dataset_name)
            ids = means.condition_ids
        except LfadsqError:
            continue
        first = means if first is None else first
        conditions += [] if ids is None else list(ids)
    return _Shared(ConditionColours.of(conditions), first)
