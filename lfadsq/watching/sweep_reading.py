"""Reads what there is to compare of the runs of a collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy.typing as npt

from lfadsq.errors import ConfigError, DatasetError, LfadsqError, ResultError, StorageError
from lfadsq.manager.datasets import Dataset
from lfadsq.manager.held_out import HELD_OUT, HeldOutCounts
from lfadsq.manager.params import RunParams
from lfadsq.manager.runs import Run
from lfadsq.results.comparison import SweepComparison
from lfadsq.results.comparison_rows import COST_WEIGHTS, RunRow, check_rule
from lfadsq.results.fit_log import FitLog
from lfadsq.results.run_scores import RunScores, score_posterior_means
from lfadsq.results.run_signs import RunSign, signs_in_fit_log, signs_in_scores
from lfadsq.watching.collection_status import read_collection_status
from lfadsq.watching.run_costs import read_run_costs
from lfadsq.watching.run_status import RunState, RunStatus

if TYPE_CHECKING:
    from lfadsq.manager.collection_results import CollectionResults
    from lfadsq.results.posterior_means import PosteriorMeans

__all__ = ["HeldOut", "OnScored", "read_sweep", "varying_names"]

HeldOut: TypeAlias = "Mapping[str, npt.NDArray[Any]] | Literal['recordings'] | None"
OnScored: TypeAlias = Callable[[int, int], None]

_OF_DATA = frozenset({"spikeBinMs", "trainToTestRatio"})
"""Of the published hyperparameters, those that change counts or the split of trials."""
_POSTERIOR_FILES = "model_runs_*_posterior_*"
_NAMES_LEFT_OUT = frozenset({"name", "version"})
# A run in these states trains no more, or not before somebody starts it again.
_OVER = frozenset(
    {
        RunState.DONE,
        RunState.TRAINED,
        RunState.STOPPED,
        RunState.FAILED,
        RunState.CANCELLED,
    }
)


def read_sweep(
    collection: CollectionResults,
    *,
    runs: Iterable[Run] | None = None,
    by: str | None = None,
    quick: bool = False,
    held_out: HeldOut = None,
    smoothing_ms: float,
    on_scored: OnScored | None = None,
) -> SweepComparison:
    """Compare the runs of a collection; see `RunCollection.compare`.

    Parameters
    ----------
    collection : CollectionResults
    runs, by, quick, held_out, smoothing_ms
        As there.
    on_scored : callable, optional
        Told how many runs are looked through, and of how many.

    Raises
    ------
    ConfigError, RunNotFoundError, QueueError, StorageError
        As there.
    """
    chosen = list(collection.runs if runs is None else runs)
    check_rule(by)
    _check_held_out(held_out, chosen)
    statuses = {one.name: one for one in read_collection_status(collection.path).runs}
    varying = varying_names(chosen)
    labels = _data_labels(chosen, varying)
    reader = _RunReader(quick, held_out, smoothing_ms)
    rows = []
    for number, run in enumerate(chosen, start=1):
        params = run.params
        name = f"{params.param_hash_string}/{run.name}"
        rows.append(
            reader.read(
                run,
                statuses.get(name),
                name=name,
                data=_data_key(run),
                data_label=labels[_data_key(run)],
                settings={one: getattr(params, one) for one in varying if hasattr(params, one)},
                cost_weights=tuple(float(getattr(params, weight)) for weight in COST_WEIGHTS),
                kl_weights=_kl_weights(params),
            )
        )
        if on_scored is not None:
            on_scored(number, len(chosen))
    return SweepComparison(rows, by, title=collection.path.name)


def varying_names(runs: Sequence[Run]) -> tuple[str, ...]:
    """Name the hyperparameters in which runs differ, in the order in which they are declared."""
    values: dict[str, set[str]] = {}
    settings = {run.param_hash: run.params for run in runs}.values()
    for params in settings:
        for hyper in params.hyperparams():
            if hyper.displayed and hyper.name not in _NAMES_LEFT_OUT:
                values.setdefault(hyper.name, set()).add(repr(getattr(params, hyper.name)))
    return tuple(name for name, texts in values.items() if len(texts) > 1)


class _RunReader:
    """Reads one run after another."""

    def __init__(self, quick: bool, held_out: HeldOut, smoothing_ms: float) -> None:
        self._quick = quick
        self._held_out = held_out
        self._smoothing_ms = smoothing_ms
        self._recordings = HeldOutCounts()

    def read(self, run: Run, status: RunStatus | None, **known: Any) -> RunRow:
        name = known["name"]
        notes: list[str] = []
        known["state"] = (status.state if status else RunState.NOT_PREPARED).value
        known["num_epochs"] = status.num_epochs if status else 0
        signs: list[RunSign] = []
        log = _fit_log(run, name, notes)
        if log is not None:
            known.update(_cost_facts(log))
            signs += signs_in_fit_log(
                log,
                is_over=status is not None and status.state in _OVER,
                kl_weights=known["kl_weights"],
                learning_rate=status.learning_rate if status else None,
                learning_rate_init=run.params.c_learning_rate_init,
            )
        if status is not None and status.state is RunState.FAILED:
            signs += _failure(status, _kinds(signs))
        costs = read_run_costs(run.paths)
        if not self._quick:
            scores = self._scores(run, name, notes)
            known["scores"] = scores
            signs += [one for one in signs_in_scores(scores) if one.kind not in _kinds(signs)]
        return RunRow(
            time_s=costs.time_s,
            memory_mb=costs.memory_mb,
            signs=tuple(signs),
            notes=tuple(notes),
            **known,
        )

    def _scores(self, run: Run, name: str, notes: list[str]) -> RunScores:
        parts = []
        try:
            # Whatever they are called in older files; one that is missing beside others is told of.
            if not any(run.paths.lfads_output.glob(_POSTERIOR_FILES)):
                return RunScores()
            for dataset in run.datasets:
                means = run.load_posterior_means(dataset.name)
                held_out = self._held_out_of(run, dataset, means, notes)
                parts.append(
                    score_posterior_means(means, held_out=held_out, smoothing_ms=self._smoothing_ms)
                )
        except (ResultError, StorageError) as error:
            notes.append(f"{name} has no scores: {error}")
            return RunScores()
        return RunScores.together(parts)

    def _held_out_of(
        self, run: Run, dataset: Dataset, means: PosteriorMeans, notes: list[str]
    ) -> npt.NDArray[Any] | None:
        """Give the held-out counts, if there are some that fit; else say why not."""
        if self._held_out is None:
            return None
        if isinstance(self._held_out, Mapping):
            counts = self._held_out.get(dataset.name)
            missing = "is not in held_out"
        else:
            try:
                counts = self._recordings.of(run, dataset)
            except (DatasetError, ConfigError, StorageError) as error:
                notes.append(f"held-out channels of {dataset.name} cannot be read: {error}")
                return None
            missing = f"has no {HELD_OUT}: no channel was held out"
        if counts is None:
            notes.append(f"{dataset.name} {missing}")
            return None
        factors = means.inferred["factors"]
        if counts.ndim != 3 or counts.shape[:2] != tuple(factors.shape[:2]):
            notes.append(
                f"held-out counts of {dataset.name} have shape {counts.shape}, factors "
                f"{factors.shape}: give them (trial, time, channel) in the bins of the model"
            )
            return None
        return counts


def _fit_log(run: Run, name: str, notes: list[str]) -> FitLog | None:
    path = run.paths.output.fit_log()
    try:
        if not path.exists():
            return None
        return run.load_fit_log()
    except (LfadsqError, OSError, ValueError) as error:  # the latter of bytes that are no text
        notes.append(f"{name} has no costs: {error}")
        return None


def _cost_facts(log: FitLog) -> dict[str, Any]:
    lowest = log.lowest_valid
    facts: dict[str, Any] = {"num_epochs": log.num_epochs}
    if lowest is None:
        return facts
    return facts | {
        "best_epoch": lowest.epoch,
        "valid_cost": lowest.total_valid,
        "recon_train": lowest.recon_train,
        "recon_valid": lowest.recon_valid,
        "kl_valid": lowest.kl_valid,
    }


def _data_key(run: Run) -> tuple[str, ...]:
    """Give what is equal for runs on equal data.

    The data hash covers more: alignment, which only begins a training, and with it the number of
    factors.
    """
    values = [
        f"{hyper.name}={_text(value)}"
        for hyper, value in run.params.data_hash_values()
        if not hyper.is_published or hyper.name in _OF_DATA
    ]
    return (run.name, *values, str(run.params.c_output_dist))


def _data_labels(runs: Sequence[Run], varying: Sequence[str]) -> dict[tuple[str, ...], str]:
    """Name each kind of data: the run, and in what the data differ where they do."""
    found = {_data_key(run): run for run in runs}
    told = {hyper.name for run in found.values() for hyper, _ in run.params.data_hash_values()}
    changing = [name for name in varying if name in told and not name.startswith("c_")]
    labels = {}
    for key, run in found.items():
        values = [f"{name}={_text(getattr(run.params, name, '-'))}" for name in changing]
        labels[key] = ", ".join([run.name, *values])
    return labels


def _kl_weights(params: RunParams) -> tuple[float, ...]:
    weights = (params.c_kl_ic_weight, params.c_kl_co_weight)
    return weights if params.c_co_dim > 0 else weights[:1]


def _check_held_out(held_out: HeldOut, runs: Sequence[Run]) -> None:
    if held_out is None or held_out == "recordings":
        return
    if not isinstance(held_out, Mapping):
        raise ConfigError(
            f"held_out is {held_out!r}",
            "give counts (trial, time, channel) by the name of the dataset, or 'recordings'",
        )
    known = {name for run in runs for name in run.dataset_names}
    unknown = [name for name in held_out if name not in known]
    if unknown:
        raise ConfigError(
            f"held_out names {', '.join(map(repr, unknown))}, which no run has",
            f"the datasets are {', '.join(sorted(known))}",
        )


def _failure(status: RunStatus, known: set[str]) -> list[RunSign]:
    kind = status.cause or "failed"
    reason = status.reason or f"it failed after {status.num_epochs} epochs"
    return [] if kind in known else [RunSign(kind, reason, status.remedy or "see its log")]


def _kinds(signs: Sequence[RunSign]) -> set[str]:
    return {sign.kind for sign in signs}


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
