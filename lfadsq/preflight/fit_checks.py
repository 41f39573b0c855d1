"""Findings about how the inputs of a run fit its flags, and each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lfadsq.preflight.findings import Finding, Severity
from lfadsq.preflight.input_files import SPLITS, InputHeader
from lfadsq.preflight.input_infos import InputInfo
from lfadsq.preflight.summaries import Setting

__all__ = ["check_fit"]

_SPLIT_NAMES = {"train": "training", "valid": "validation"}
_RELATIVE_WIDTH = 1e-6


def check_fit(
    run: str,
    flags: Mapping[str, Any],
    headers: Mapping[str, InputHeader],
    infos: Mapping[str, InputInfo],
    setting: Setting | None,
) -> Iterator[Finding]:
    """See that a model can be trained on the inputs of a run.

    Parameters
    ----------
    run : str
    flags : dict of str to object
        All flags of the trainer.
    headers : dict of str to InputHeader
        By dataset; only usable ones.
    infos : dict of str to InputInfo
        By dataset; only undamaged ones.
    setting : Setting or None
        What ``summary.txt`` says of its setting.
    """
    for dataset, header in headers.items():
        yield from _check_batches(run, flags["batch_size"], dataset, header)
        yield from _check_ext_inputs(run, flags["ext_input_dim"], dataset, header)
        matrix = header.arrays.get("alignment_matrix_cxf")
        expected = (header.num_channels, flags["factors_dim"])
        if matrix is not None and matrix.shape != expected:
            yield Finding(
                Severity.ERROR,
                "alignment_shape",
                "the alignment matrix does not fit the channels or the factors",
                "prepare the data of the run again: c_factors_dim is part of their hash",
                run,
                dataset,
                header.path,
                f"{matrix.shape[0]} channels and {matrix.shape[-1]} factors instead of "
                f"{expected[0]} and {expected[1]}",
            )
    if len(headers) > 1:
        yield from _check_stitching(run, headers, infos, setting)
    elif setting is not None and setting.is_true("useSingleDatasetAlignmentMatrix"):
        yield from _check_alignment(run, headers, "useSingleDatasetAlignmentMatrix")


def _check_batches(
    run: str, batch_size: int, dataset: str, header: InputHeader
) -> Iterator[Finding]:
    num_trials = {split: header.num_trials(split) for split in SPLITS}
    for split, count in num_trials.items():
        name = _SPLIT_NAMES[split]
        if not count:
            yield Finding(
                Severity.ERROR,
                f"no_{split}_trials",
                f"a dataset has no {name} trials"
                + ("" if split == "train" else ": no best model is kept, so none can be sampled"),
                "leave the dataset out, or give it more trials or another trainToTestRatio",
                run,
                dataset,
                header.path,
            )
        elif count < batch_size:
            largest = min(count for count in num_trials.values() if count)
            yield Finding(
                Severity.ERROR,
                "batch_size",
                f"a dataset has fewer {name} trials than c_batch_size",
                "give a smaller c_batch_size, or leave out datasets with few trials",
                run,
                dataset,
                header.path,
                f"{count} {name} trials, batches of {batch_size}; the largest that fits is "
                f"{largest}",
            )


def _check_ext_inputs(
    run: str, ext_input_dim: int, dataset: str, header: InputHeader
) -> Iterator[Finding]:
    for split in SPLITS:
        name, num_trials = f"{split}_ext_input", header.num_trials(split)
        shape = header.shapes.get(name)
        if not ext_input_dim:
            if shape is not None and split == "train":
                yield Finding(
                    Severity.NOTE,
                    "ext_input_unused",
                    "a dataset has external inputs, but c_ext_input_dim is 0: they are not used",
                    "set c_ext_input_dim if the model shall have them",
                    run,
                    dataset,
                    header.path,
                )
            continue
        expected = (num_trials, header.num_bins, ext_input_dim)
        if num_trials and shape != expected:
            there_is = "none" if shape is None else f"shape {shape}"
            yield Finding(
                Severity.ERROR,
                "ext_input_shape",
                "the external inputs of a dataset do not fit c_ext_input_dim or its trials",
                "correct c_ext_input_dim, or give the inputs in generate_counts_for_dataset",
                run,
                dataset,
                header.path,
                f"{name}: {there_is} instead of {expected} (trial, time, input)",
            )


def _check_stitching(
    run: str,
    headers: Mapping[str, InputHeader],
    infos: Mapping[str, InputInfo],
    setting: Setting | None,
) -> Iterator[Finding]:
    lengths = {dataset: header.num_bins for dataset, header in headers.items()}
    if len(set(lengths.values())) > 1:
        yield Finding(
            Severity.ERROR,
            "different_lengths",
            "datasets of one run have different numbers of time bins",
            "cut their trials to one length in generate_counts_for_dataset",
            run,
            detail=_listed(lengths),
        )
    widths = {dataset: info.raw_bin_ms for dataset, info in infos.items() if info.raw_bin_ms > 0}
    if widths and max(widths.values()) > min(widths.values()) * (1 + _RELATIVE_WIDTH):
        yield Finding(
            Severity.NOTE,
            "different_widths",
            "datasets of one run were recorded in bins of different widths",
            "see that seq_binSizeMs of each is right: counts of both are summed to spikeBinMs",
            run,
            detail=_listed(widths, " ms"),
        )
    without = [dataset for dataset, header in headers.items() if not header.has_alignment]
    if without and len(without) < len(headers):
        yield Finding(
            Severity.ERROR,
            "alignment_missing",
            "some datasets of one run have no alignment matrix, but others have",
            "prepare all of them again: prepare_for_lfads(regenerate=True)",
            run,
            detail=", ".join(without),
        )
    elif setting is not None and setting.is_true("useAlignmentMatrix"):
        yield from _check_alignment(run, headers, "useAlignmentMatrix")


def _check_alignment(run: str, headers: Mapping[str, InputHeader], name: str) -> Iterator[Finding]:
    without = [dataset for dataset, header in headers.items() if not header.has_alignment]
    if without:
        yield Finding(
            Severity.WARNING,
            "alignment_absent",
            f"{name} is true, but there are no alignment matrices: reading in starts at random",
            "prepare the data again: prepare_for_lfads(regenerate=True)",
            run,
            detail=", ".join(without),
        )


def _listed(values: Mapping[str, float], unit: str = "") -> str:
    # Datasets of the same value together, the rarest first: that is what is probably wrong.
    datasets: dict[float, list[str]] = {}
    for dataset, value in values.items():
        datasets.setdefault(value, []).append(dataset)
    ordered = sorted(datasets.items(), key=lambda item: len(item[1]))
    return "; ".join(f"{value:g}{unit}: {', '.join(names)}" for value, names in ordered)
