"""Read-outs: how channels follow the factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ConfigError, ResultShapeError
from lfadsq.results.figures.canvas import (
    AnyFigure,
    Drawing,
    figure_or_new,
    plain_text,
    title,
    whole_figure,
)
from lfadsq.results.figures.conditions import evenly_spread

if TYPE_CHECKING:
    from lfadsq.results.model_trained_params import ModelTrainedParams

__all__ = ["plot_readouts", "sorted_channels"]

_MOST_DATASETS = 12
_MOST_COLUMNS = 4
_HIGH = 99.5


def sorted_channels(weights: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Sort channels by the factor that moves each most, then by that weight, largest first.

    Parameters
    ----------
    weights : numpy.ndarray, shape (factor, channel)
        A read-out.

    Returns
    -------
    numpy.ndarray, shape (channel,), int64

    Examples
    --------
    >>> sorted_channels(np.array([[0.1, -3.0, 2.0], [1.0, 0.5, 0.0]]))
    array([2, 1, 0])
    """
    factor = np.abs(weights).argmax(axis=0)
    weight = weights[factor, np.arange(weights.shape[1])]
    return np.lexsort((-weight, factor)).astype(np.int64)


def plot_readouts(
    params: ModelTrainedParams,
    *,
    dataset_names: Sequence[str] | None = None,
    figure: AnyFigure | None = None,
) -> Drawing:
    """Draw the read-out of each dataset: the weight of every factor on every channel.

    Channels are sorted by the factor that moves each most (see `sorted_channels`).

    Parameters
    ----------
    params : ModelTrainedParams
        The weights of a model. With gaussian output it is the read-out of the means.
    dataset_names : sequence of str, optional
        Which datasets; by default all, and of more than 12 so many, evenly spread.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Drawing
        The figure, and its axes: one for each dataset. Colours mean the same in all.

    Raises
    ------
    ConfigError
        If there is no such dataset.
    ResultShapeError
        If the read-out is the identity.
    """
    readouts: Mapping[str, Any] = params.factors_to_logrates_W or params.factors_to_means_W
    if not readouts:
        raise ResultShapeError(
            "the read-out of this model is the identity: channel n is factor n",
            "draw its factors instead",
        )
    every = list(readouts)
    note = ""
    names = every if dataset_names is None else list(dataset_names)
    strangers = [str(name) for name in names if name not in readouts]
    if strangers or not names:
        raise ConfigError(
            f"the model has no read-out of {', '.join(strangers) or 'no dataset at all'}",
            f"it has those of {', '.join(every)}",
        )
    if dataset_names is None and len(every) > _MOST_DATASETS:
        names = [every[one] for one in evenly_spread(len(every), _MOST_DATASETS)]
        note = f"{len(names)} of {len(every)} datasets, evenly spread; "
    num_columns = min(len(names), _MOST_COLUMNS)
    num_rows = -(-len(names) // num_columns)
    part = figure_or_new(figure, 3.4 * num_columns + 1.2, 3.6 * num_rows + 0.8)
    grid = part.subplots(num_rows, num_columns, squeeze=False)
    axes = grid.ravel()[: len(names)]
    for ax in grid.ravel()[len(names) :]:
        ax.remove()
    high = max(float(np.percentile(np.abs(readouts[name]), _HIGH)) for name in names) or 1.0
    for ax, name in zip(axes, names, strict=True):
        weights = readouts[name]
        num_factors, num_channels = weights.shape
        image = ax.imshow(
            weights[:, sorted_channels(weights)].T,
            aspect="auto",
            interpolation="none",
            cmap="RdBu_r",
            vmin=-high,
            vmax=high,
            extent=(0.5, num_factors + 0.5, num_channels + 0.5, 0.5),
        )
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.set_title(f"{plain_text(name)} ({num_channels} channels)", fontsize="medium")
        ax.set_xlabel("factor")
    for ax in axes[::num_columns]:
        ax.set_ylabel("channel, sorted")
    of_what = "log rate" if params.factors_to_logrates_W else "mean"
    part.colorbar(
        image,
        ax=axes.tolist(),
        label=f"weight on {of_what}",
        fraction=0.04,
        aspect=25,
        extend="both",
    )
    title(part, "Read-outs", f"{note}channels sorted by the factor that moves them most")
    return Drawing(whole_figure(part), np.asarray(axes))
