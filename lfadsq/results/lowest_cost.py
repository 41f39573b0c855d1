"""Which epoch has the lowest validation error: the one rule, of the trainer and of all who read.

It stands here without NumPy, because a status reads the logs of thousands of runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["epoch_counts", "lowest_row"]


def lowest_row(
    epochs: Iterable[int], valid_costs: Iterable[float], are_warm: Iterable[bool]
) -> int | None:
    """Find the row of the lowest validation cost among those that count.

    Parameters
    ----------
    epochs : iterable of int
        Numbers of the epochs, as they are logged.
    valid_costs : iterable of float
        Their validation costs. What is not finite does not count.
    are_warm : iterable of bool
        Of each, whether its weights were full (`epoch_counts`).

    Returns
    -------
    int or None
        From 0; the first, if several are as low. None if none counts.

    Notes
    -----
    The rule by which the original writes ``checkpoint_lve``: lower than any before, with full
    weights, and not epoch 0, the first of a process of the original, which numbers epochs anew when
    it continues a training. It then also forgets what was lowest before; here all rows are
    compared.

    Examples
    --------
    >>> lowest_row([0, 1, 2, 0, 1], [5.0, 9.0, 7.0, 1.0, 8.0], [True] * 5)
    2
    """
    lowest, found = math.inf, None
    for row, (epoch, cost, is_warm) in enumerate(zip(epochs, valid_costs, are_warm, strict=True)):
        if is_warm and epoch > 0 and cost < lowest and cost > -math.inf:
            lowest, found = cost, row
    return found


def epoch_counts(kl_weight: float, l2_weight: float, l2: float) -> bool:
    """Tell whether the weights of an epoch were full; that of L2 does not matter without L2 cost.

    While they rise, the cost lacks a part of itself, and is lower for that reason alone.

    >>> epoch_counts(1.0, 0.5, 0.0), epoch_counts(1.0, 0.5, 0.1), epoch_counts(0.99, 1.0, 0.1)
    (True, False, False)
    """
    return kl_weight >= 1 and (l2_weight >= 1 or l2 == 0)
