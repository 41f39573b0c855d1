"""HTML displays of results; see `lfadsq.html`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lfadsq.html import Attribute, attributes, display, table

if TYPE_CHECKING:
    from lfadsq.results.fit_log import FitLog
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["fit_log_html", "posterior_means_html"]

_WIDTH, _HEIGHT = 320, 80
_MOST_POINTS = 160
_NUM_LAST = 5


def fit_log_html(log: FitLog) -> str:
    """Show how the costs of a training fell, and its last epochs."""
    about = [
        Attribute("epochs", str(log.num_epochs)),
        Attribute("steps", str(log.step[-1]) if log.num_epochs else "0"),
        Attribute("lowest validation cost", _lowest_text(log)),
    ]
    last = range(max(log.num_epochs - _NUM_LAST, 0), log.num_epochs)
    columns = ("total_train", "total_valid", "recon_valid", "kl_valid", "l2")
    rows = (
        (
            str(log.epoch[number]),
            str(log.step[number]),
            *(f"{getattr(log, column)[number]:.2f}" for column in columns),
        )
        for number in last
    )
    return display(
        type(log).__name__,
        attributes(about),
        _curves(log.total_train, log.total_valid),
        table(("epoch", "step", *columns), rows, len(last)),
    )


def _lowest_text(log: FitLog) -> str:
    lowest = log.lowest_valid
    return "none yet" if lowest is None else f"{lowest.total_valid:.2f}"


def _curves(train: npt.NDArray[np.float64], valid: npt.NDArray[np.float64]) -> str:
    """Draw two costs over the epochs: the training cost dashed, the validation cost solid."""
    both = np.concatenate([train, valid])
    finite = both[np.isfinite(both)]
    if len(train) < 2 or not finite.size:
        return ""
    lowest, highest = float(finite.min()), float(finite.max())
    lines = "".join(
        f'<polyline points="{points}"{dashes}/>'
        for costs, dashes in ((train, ' stroke-dasharray="4 3" opacity="0.6"'), (valid, ""))
        if (points := " ".join(_points(costs, lowest, highest)))
    )
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'fill="none" stroke="currentColor" stroke-width="1.5">'
        f"<title>total cost by epoch, from {highest:.2f} to {lowest:.2f}: training dashed, "
        f"validation solid</title>{lines}</svg>"
    )


def _points(costs: npt.NDArray[np.float64], lowest: float, highest: float) -> Iterator[str]:
    span = (highest - lowest) or 1.0
    last = len(costs) - 1
    for number in np.unique(np.linspace(0, last, min(len(costs), _MOST_POINTS)).astype(int)):
        if np.isfinite(costs[number]):
            height = (_HEIGHT - 6) * (highest - costs[number]) / span + 3
            yield f"{_WIDTH * number / last:.1f},{height:.1f}"


def posterior_means_html(means: PosteriorMeans) -> str:
    """Show what there is for how many trials, and the shapes of the arrays."""
    about = [
        Attribute("kind", means.kind),
        Attribute(
            "trials",
            str(means.num_trials),
            note=f"{len(means.train_inds)} of training, {len(means.valid_inds)} of validation",
        ),
    ]
    arrays, problem = means.describe()
    if problem:
        about.append(Attribute("cannot be read", problem))
    rows = [(name, " x ".join(map(str, array.shape)), str(array.dtype)) for name, array in arrays]
    return display(
        f'{type(means).__name__} "{means.dataset_name}"',
        attributes(about),
        table(("array", "shape", "type"), rows, len(rows)),
    )
