"""The table of runs: its columns, with what is shown and what is sorted by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lfadsq.texts import duration_text, harmless
from lfadsq.watching.report.document import ReportRun, RunReport
from lfadsq.watching.report.hyperparameters import HyperParam

__all__ = ["NOTHING", "Column", "columns_of", "label_of"]

NOTHING = "\u2013"
"""Shown where there is no value."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes
    ----------
    key : str
    label, unit : str
        Of its heading; the unit may be empty.
    help : str
        What it means, if the label does not say.
    is_number : bool
        Whether it is sorted by size, and aligned at the right.
    values : tuple of (str, float or None)
        What it is sorted by, for each run.
    texts : tuple of str
        What is shown.
    """

    key: str
    label: str
    unit: str
    help: str
    is_number: bool
    values: tuple[str | float | None, ...]
    texts: tuple[str, ...]


def label_of(hyper_param: HyperParam) -> str:
    """Name a hyperparameter as all displays do: without what says that it is the trainer's."""
    return harmless(hyper_param.name.removeprefix("c_"))


def columns_of(report: RunReport) -> tuple[Column, ...]:
    """Give the columns: state, hyperparameters that vary, and scores."""
    runs = report.runs
    states = tuple(run.status.state.value for run in runs)
    return (
        Column("state", "state", "", "", False, states, states),
        *(_of_hyper_param(one) for one in report.hyper_params),
        _numbers("valid", "validation cost", _COST_UNIT, _BEST, runs, _of_best("valid"), _cost),
        _numbers("epoch", "at epoch", "", "the best epoch", runs, _of_best("epoch"), _whole),
        _numbers("recon", "reconstruction", _COST_UNIT, _AT_BEST, runs, _of_best("recon"), _cost),
        _numbers("kl", "KL", _COST_UNIT, _AT_BEST, runs, _of_best("kl"), _cost),
        _numbers("gap", "over-fitting", _COST_UNIT, _GAP, runs, _of_best("gap"), _cost),
        _numbers(
            "epochs",
            "epochs",
            "",
            "done so far",
            runs,
            lambda run: run.status.num_epochs or None,
            _whole,
        ),
        _numbers(
            "duration",
            "duration",
            "",
            "of all attempts together",
            runs,
            lambda run: run.duration_s,
            duration_text,
        ),
        _numbers(
            "memory",
            "peak memory",
            "MB",
            "the most device memory that a queue saw it take",
            runs,
            lambda run: run.records.peak_memory_mb,
            _whole,
        ),
    )


_COST_UNIT = "nats/trial"
_BEST = "lowest total cost of the validation trials after warm-up"
_AT_BEST = "of the validation trials, in the best epoch"
_GAP = "validation cost less training cost, in the best epoch"


def _of_best(name: str) -> Callable[[ReportRun], float | None]:
    return lambda run: None if run.scores is None else getattr(run.scores, name)


def _of_hyper_param(one: HyperParam) -> Column:
    values: tuple[str | float | None, ...] = one.numbers if one.is_numeric else one.texts
    texts = tuple(NOTHING if text is None else text for text in one.texts)
    return Column(f"hp:{one.name}", label_of(one), "", one.name, one.is_numeric, values, texts)


def _numbers(
    key: str,
    label: str,
    unit: str,
    help_text: str,
    runs: Sequence[ReportRun],
    value_of: Callable[[ReportRun], float | None],
    text_of: Callable[[float], str],
) -> Column:
    values = tuple(_finite(value_of(run)) for run in runs)
    texts = tuple(NOTHING if value is None else text_of(value) for value in values)
    return Column(key, label, unit, help_text, True, values, texts)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _cost(value: float) -> str:
    return f"{value:.2f}"


def _whole(value: float) -> str:
    return f"{value:.0f}"
