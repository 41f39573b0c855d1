"""Figures of what a run learned and inferred, each one call.

Every function gives back a `Drawing`: the figure and its axes, which a notebook shows, and which
``figure, axes = plot_factors(means)`` takes apart. Figures need no display and leave no trace in
pyplot. Conditions have the same colours in all of them.

Examples
--------
>>> import numpy as np
>>> from lfadsq import PosteriorMeans
>>> from lfadsq.results import figures
>>> means = PosteriorMeans.from_arrays(  # or run.load_posterior_means()
...     bin_ms=10.0,
...     rates=np.full((4, 20, 5), 8.0),
...     factors=np.ones((4, 20, 2)),
...     condition_ids=["left", "right", "left", "right"],
... )
>>> figure, axes = figures.plot_factors(means)
>>> [ax.get_ylabel() for ax in axes]
['factor 1 [a.u.]', 'factor 2 [a.u.]']
>>> figure.savefig("factors.pdf")  # doctest: +SKIP
"""

from __future__ import annotations

from lfadsq.results.figures.alignment import plot_alignment as plot_alignment
from lfadsq.results.figures.canvas import Drawing as Drawing
from lfadsq.results.figures.canvas import save_figure as save_figure
from lfadsq.results.figures.colours import ConditionColours as ConditionColours
from lfadsq.results.figures.factors import plot_factors as plot_factors
from lfadsq.results.figures.generator import plot_generator_weights as plot_generator_weights
from lfadsq.results.figures.inferred_inputs import plot_inferred_inputs as plot_inferred_inputs
from lfadsq.results.figures.initial_conditions import (
    plot_initial_conditions as plot_initial_conditions,
)
from lfadsq.results.figures.learning_curves import plot_learning_curves as plot_learning_curves
from lfadsq.results.figures.rasters import plot_rasters as plot_rasters
from lfadsq.results.figures.rates import plot_rates as plot_rates
from lfadsq.results.figures.readouts import plot_readouts as plot_readouts
from lfadsq.results.figures.single_trials import plot_single_trials as plot_single_trials
from lfadsq.results.figures.smoothing import smooth_counts as smooth_counts
from lfadsq.results.figures.trajectories import plot_trajectories as plot_trajectories
