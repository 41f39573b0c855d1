"""Telling scripts that people edited from those that were written for an earlier setting.

No hash covers how posterior means are sampled, and on how many datasets a run is. A script that was
written before one of these changed is replaced; any other that differs is somebody's own.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from lfadsq.manager.params import RunParams

__all__ = ["is_of_earlier_setting"]

_NUMBER = re.compile(r"(?<![\w.])\d{1,9}(?![\w.])")
_DIGITS = re.compile(r"\d+")
_KIND = "posterior_mean_kind"
_MOST_NUMBERS = 8


def is_of_earlier_setting(
    existing: str,
    path: Path,
    params: RunParams,
    nums_datasets: Collection[int],
    render: Callable[[RunParams, int], dict[Path, str]],
) -> bool:
    """Tell whether a script is what would be written for another way of sampling.

    Parameters
    ----------
    existing : str
        Its text.
    path : Path
        The script.
    params : RunParams
        The setting of its run.
    nums_datasets : collection of int
        On how many datasets the run is, and then those on which it may have been.
    render : callable
        Gives the text of the run's scripts for a setting and a number of datasets.
    """
    (kind,) = (hyper for hyper in params.hyperparams() if hyper.name == _KIND)
    now = render(params, next(iter(nums_datasets)))[path]
    if _masked(existing, kind.choices) != _masked(now, kind.choices):
        return False  # most of what people edit is seen at once
    numbers = dict.fromkeys(_NUMBER.findall(existing))
    others = [number for number in numbers if number not in _NUMBER.findall(now)]
    nums_samples = [params.num_samples_posterior, *map(float, others[:_MOST_NUMBERS])]
    for kind_then, num_samples, num_datasets in itertools.product(
        kind.choices or (params.posterior_mean_kind,), nums_samples, nums_datasets
    ):
        then = params.copy()
        then.posterior_mean_kind = kind_then
        then.num_samples_posterior = num_samples
        if render(then, num_datasets)[path] == existing:
            return True
    return False


def _masked(text: str, kinds: Sequence[str]) -> str:
    for kind in kinds:
        text = text.replace(kind, "")
    return _DIGITS.sub("", text)
