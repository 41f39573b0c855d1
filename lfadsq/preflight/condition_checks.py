"""Findings about the conditions of trials, by which stitched datasets are aligned."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from lfadsq.preflight.findings import Finding, Severity
from lfadsq.preflight.input_infos import InputInfo

__all__ = ["check_conditions"]

_CORRECT = "correct condition_id in generate_counts_for_dataset, then prepare again"
_MOST_LISTED = 6

Condition = float | str


def check_conditions(
    run: str, infos: Mapping[str, InputInfo], *, is_aligned: bool
) -> Iterator[Finding]:
    """Look at the conditions of the datasets of a run.

    Parameters
    ----------
    run : str
        A name for it; may stand for all runs with the same data.
    infos : dict of str to InputInfo
        By dataset; only undamaged ones.
    is_aligned : bool
        Whether alignment matrices come from them. Else nothing in the training depends on them,
        and all is but a note.
    """
    severity = Severity.WARNING if is_aligned else Severity.NOTE
    there: dict[str, set[Condition]] = {}
    for dataset, info in infos.items():
        ids = info.condition_id
        if ids is None:
            yield Finding(
                severity,
                "conditions_missing",
                "the trials of a dataset have no condition ids",
                _CORRECT,
                run,
                dataset,
                info.path,
            )
            continue
        known = [one for one in ids if not _is_missing(one)]
        there[dataset] = set(known)
        if len(known) < len(ids):
            yield Finding(
                severity,
                "conditions_nan",
                "some trials have no condition (NaN or ''): they are left out of alignment",
                f"if that is not meant, {_CORRECT}",
                run,
                dataset,
                info.path,
                f"{len(ids) - len(known)} of {len(ids)} trials",
            )
        if len(set(known)) == 1 and len(known) > 1:
            yield Finding(
                severity,
                "conditions_same",
                "all trials of a dataset have the same condition: alignment has but one average",
                f"if trials differ, {_CORRECT}",
                run,
                dataset,
                info.path,
                f"condition {_shown(next(iter(known)))}",
            )
    if len(infos) > 1:
        yield from _check_together(run, there, severity)


def _check_together(
    run: str, there: Mapping[str, set[Condition]], severity: Severity
) -> Iterator[Finding]:
    kinds = {
        dataset: "text" if any(isinstance(one, str) for one in ids) else "numbers"
        for dataset, ids in there.items()
        if ids
    }
    if len(set(kinds.values())) > 1:
        text = [dataset for dataset, kind in kinds.items() if kind == "text"]
        yield Finding(
            severity,
            "conditions_types",
            "conditions are numbers in some datasets of a run and text in others: none is shared",
            _CORRECT,
            run,
            detail=f"text in {', '.join(text)}",
        )
        return
    every = set().union(*there.values())
    for dataset, ids in there.items():
        lacking = every - ids
        if ids and lacking:
            yield Finding(
                severity,
                "conditions_lacking",
                "a dataset lacks conditions that others of the run have: alignment leaves them out",
                f"if ids should mean the same in all, {_CORRECT}",
                run,
                dataset,
                detail=f"{len(lacking)} of {len(every)}: {_some(lacking)}",
            )


def _is_missing(condition: Condition) -> bool:
    return not condition.strip() if isinstance(condition, str) else math.isnan(condition)


def _some(conditions: set[Condition]) -> str:
    ordered = sorted(conditions, key=lambda one: (isinstance(one, str), one))
    shown = ", ".join(map(_shown, ordered[:_MOST_LISTED]))
    return shown if len(ordered) <= _MOST_LISTED else f"{shown}, ..."


def _shown(condition: Condition) -> str:
    return repr(condition) if isinstance(condition, str) else f"{condition:g}"
