"""Findings about the prepared files of one dataset, whatever runs make of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lfadsq.manager.param_values import DATA_PREFIX
from lfadsq.preflight.findings import Finding, Severity
from lfadsq.preflight.input_files import SPLITS, InputHeader
from lfadsq.preflight.input_infos import InputInfo
from lfadsq.preflight.shared_files import SharedFile

__all__ = ["check_info", "check_input", "check_trials"]

_AGAIN = "write it again with prepare_for_lfads(regenerate=True)"
_NEEDED = ("train_data", "valid_data")
_INFO_KEYS = {"train": "trainInds", "valid": "validInds"}


def check_input(file: SharedFile, header: InputHeader) -> Iterator[Finding]:
    """Look at the header of an input."""
    if header.damage:
        yield file.finding(
            Severity.ERROR,
            "input_damaged",
            "the trainer's input cannot be read, is damaged or truncated",
            _AGAIN,
            header.damage,
        )
        return
    if header.not_numbers:
        yield file.finding(
            Severity.ERROR,
            "not_numbers",
            "an array of the input holds no numbers",
            _AGAIN,
            ", ".join(header.not_numbers),
        )
    missing = [
        name for name in _NEEDED if name not in header.shapes and name not in header.not_numbers
    ]
    if missing:
        yield file.finding(
            Severity.ERROR,
            "input_incomplete",
            "the input lacks an array",
            _AGAIN,
            ", ".join(missing),
        )
    for name in _NEEDED:
        shape = header.shapes.get(name)
        if shape is not None and (len(shape) != 3 or 0 in shape[1:]):
            yield file.finding(
                Severity.ERROR,
                "input_shape",
                "an array of the input has not the axes (trial, time, channel)",
                _AGAIN,
                f"{name} has shape {shape}",
            )
    train, valid = header.shapes.get("train_data", ()), header.shapes.get("valid_data", ())
    if len(train) == len(valid) == 3 and train[1:] != valid[1:]:
        yield file.finding(
            Severity.ERROR,
            "split_shapes",
            "training and validation trials differ in bins or channels",
            _AGAIN,
            f"train_data has (time, channel) {train[1:]}, valid_data {valid[1:]}",
        )
    for name in ("alignment_matrix_cxf", "alignment_bias_c"):
        values = header.arrays.get(name)
        if values is not None and not np.isfinite(values).all():
            yield file.finding(
                Severity.ERROR,
                "alignment_not_finite",
                "an alignment matrix or its bias holds NaN or infinite values: every cost would be"
                " NaN",
                f"see the data and conditions it was computed from, then {_AGAIN}",
                f"{name}: {int((~np.isfinite(values)).sum())} of {values.size} values",
            )
    matrix = header.arrays.get("alignment_matrix_cxf")
    if matrix is not None and matrix.size and not matrix.any():
        yield file.finding(
            Severity.WARNING,
            "alignment_zero",
            "an alignment matrix is zero: nothing of the dataset is read in at the start",
            f"see the data and conditions it was computed from, then {_AGAIN}",
        )
    bias = header.arrays.get("alignment_bias_c")
    if bias is not None and header.is_usable and bias.size != header.num_channels:
        yield file.finding(
            Severity.ERROR,
            "alignment_shape",
            "the alignment matrix does not fit the channels or the factors",
            _AGAIN,
            f"alignment_bias_c has {bias.size} values for {header.num_channels} channels",
        )


def check_info(file: SharedFile, info: InputInfo, collection: Path) -> Iterator[Finding]:
    """Look at an ``inputInfo`` file.

    Parameters
    ----------
    file : SharedFile
        Its path tells the hash of the folder it lies in.
    info : InputInfo
    collection : Path
    """
    if info.damage:
        yield file.finding(
            Severity.WARNING,
            "info_damaged",
            "an inputInfo file cannot be read, is damaged or truncated",
            _AGAIN,
            info.damage,
        )
        return
    parts = file.path.relative_to(collection).parts if file.path.is_relative_to(collection) else ()
    folder = parts[0] if parts else ""
    is_other = folder.startswith(DATA_PREFIX) and folder != f"{DATA_PREFIX}{info.data_hash}"
    if info.data_hash and is_other:
        yield file.finding(
            Severity.ERROR,
            "hash_mismatch",
            "inputInfo says that the data were prepared with other hyperparameters than those of"
            " the folder they lie in",
            f"remove the two files of the dataset there, then {_AGAIN}",
            f"paramInputDataHash is {info.data_hash}, in {folder}",
        )


def check_trials(
    file: SharedFile, header: InputHeader, info: InputInfo | None
) -> Iterator[Finding]:
    """See that the numbers of trials fit the data, and each other.

    Parameters
    ----------
    file : SharedFile
        The input.
    header : InputHeader
        A usable one.
    info : InputInfo or None
        None if there is none, or it is damaged.
    """
    known: list[npt.NDArray[np.float64]] = []
    for split in SPLITS:
        inds = header.inds(split)
        num_trials = header.num_trials(split)
        told = None if info is None else info.trials.get(split)
        if inds is None:
            yield file.finding(
                Severity.WARNING,
                "trial_numbers_missing",
                "the input does not tell which trials it holds: results cannot be put into trial"
                " order",
                _AGAIN,
                f"no {split}_inds",
            )
        else:
            known.append(inds)
            if len(inds) != num_trials:
                yield file.finding(
                    Severity.ERROR,
                    "trial_numbers",
                    "the numbers of trials do not fit the data",
                    _AGAIN,
                    f"{split}_inds has {len(inds)} for {num_trials} trials",
                )
        if inds is not None and told is not None and not np.array_equal(inds, told):
            yield file.finding(
                Severity.ERROR,
                "trial_numbers_differ",
                "the input and its inputInfo tell different trials: results would be taken for"
                " those of other trials",
                f"remove both files, then {_AGAIN}",
                f"{split}_inds and {_INFO_KEYS[split]}: {_difference(inds, told)}",
            )
    if len(known) == len(SPLITS):
        yield from _check_numbering(file, np.concatenate(known), info)


def _check_numbering(
    file: SharedFile, numbers: npt.NDArray[np.float64], info: InputInfo | None
) -> Iterator[Finding]:
    is_number = (numbers >= 1) & (numbers == np.floor(numbers))
    if not is_number.all() or len(np.unique(numbers)) != len(numbers):
        yield file.finding(
            Severity.ERROR,
            "trial_numbers",
            "the numbers of trials do not fit the data",
            _AGAIN,
            "some come twice, in both splits, or are no numbers from 1",
        )
    conditions = None if info is None else info.condition_id
    if conditions is not None and len(numbers) and is_number.all():
        num_trials = len(conditions)
        if numbers.max() > num_trials:
            yield file.finding(
                Severity.WARNING,
                "condition_number",
                "there are not as many condition ids as trials",
                "correct condition_id in generate_counts_for_dataset, then prepare again",
                f"{num_trials} ids, but a trial is number {int(numbers.max())}",
            )


def _difference(ours: npt.NDArray[np.float64], told: npt.NDArray[np.float64]) -> str:
    if len(ours) != len(told):
        return f"{len(ours)} and {len(told)} trials"
    first = int(np.flatnonzero(ours != told)[0])
    return f"the {first + 1}th is {ours[first]:g} in one and {told[first]:g} in the other"
