"""What a run has come to, in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from lfadsq.texts import count_text, printable
from lfadsq.watching.run_results import DatasetResults, FileInfo, RunResults, TrainingResults

__all__ = ["results_lines"]

_INDENT = 15
_UNITS = ("B", "kB", "MB", "GB", "TB")


def results_lines(results: RunResults, width: int) -> Iterator[str]:
    """Write what a run has come to.

    Parameters
    ----------
    results : RunResults
    width : int
        Of the terminal, in characters.

    Yields
    ------
    str
        Lines that do nothing to a terminal but show.
    """
    yield printable(f"{results.name}: {results.state}")
    yield from _told("settings", results.settings or "as by default", width)
    yield from _training(results, width)
    for dataset in results.datasets:
        yield from _told("dataset", _dataset_text(dataset), width)
        if dataset.r2_valid is not None or dataset.r2_train is not None:
            yield from _told("R2 to truth", _r2_text(dataset), width)
        if dataset.arrays:
            shapes = (f"{one.name} {_shape(one.shape)}" for one in dataset.arrays)
            yield from _told("arrays", ", ".join(shapes), width)
        if dataset.problem:
            yield from _told("", f"no posterior means: {dataset.problem}", width)
    yield from _files(results.files, width)


def _training(results: RunResults, width: int) -> Iterator[str]:
    training = results.training
    if training is None:
        yield from _told("training", f"no costs: {results.training_problem}", width)
        return
    yield from _told(
        "training",
        f"{count_text(training.num_epochs, 'epoch')}, {count_text(training.num_steps, 'step')}",
        width,
    )
    yield from _told("lowest cost", _cost_text(training), width)


def _cost_text(training: TrainingResults) -> str:
    if training.lowest_valid_cost is None:
        return "there is no validation cost"
    parts = {"reconstruction": training.recon_valid, "KL": training.kl_valid}
    made_of = ", ".join(f"{name} {value:.2f}" for name, value in parts.items() if value is not None)
    return (
        f"{training.lowest_valid_cost:.2f} nats/trial of validation, in epoch "
        f"{training.lowest_epoch}{' (' if made_of else ''}{made_of}{')' if made_of else ''}"
    )


def _dataset_text(dataset: DatasetResults) -> str:
    if dataset.num_train is None or dataset.num_valid is None:
        return dataset.name
    conditions = dataset.num_conditions
    told = "no conditions" if not conditions else count_text(conditions, "condition")
    return (
        f"{dataset.name}: {count_text(dataset.num_train + dataset.num_valid, 'trial')} "
        f"({dataset.num_train} train, {dataset.num_valid} valid) of "
        f"{count_text(dataset.num_bins or 0, 'bin')} of {dataset.bin_ms:g} ms, "
        f"{count_text(dataset.num_channels or 0, 'channel')}, {told}"
    )


def _r2_text(dataset: DatasetResults) -> str:
    values = {"validation": dataset.r2_valid, "training": dataset.r2_train}
    told = (f"{value:.4f} ({name})" for name, value in values.items() if value is not None)
    return f"{', '.join(told)}, of log rates"


def _files(files: tuple[FileInfo, ...], width: int) -> Iterator[str]:
    there = [f"{one.what} ({_size(one.size_bytes)})" for one in files if one.size_bytes is not None]
    missing = [one.what for one in files if one.size_bytes is None]
    if there:
        yield from _told("files", ", ".join(there), width)
    if missing:
        yield from _told("not there", ", ".join(missing), width)


def _told(what: str, text: str, width: int) -> Iterator[str]:
    """Write a heading and what is told, in lines that fit."""
    lines = textwrap.wrap(printable(text), max(width - _INDENT, 20)) or [""]
    for number, line in enumerate(lines):
        head = what if number == 0 else ""
        yield f"  {head:<{_INDENT - 2}}{line}".rstrip()


def _shape(shape: tuple[int, ...]) -> str:
    """Write a shape.

    >>> _shape((1950, 40, 33))
    '1950x40x33'
    """
    return "x".join(map(str, shape))


def _size(num_bytes: int) -> str:
    """Write the size of a file.

    >>> _size(0), _size(999), _size(20_600_000)
    ('0 B', '999 B', '20.6 MB')
    """
    size, unit = float(num_bytes), 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return (
        f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 99.95 else f"{size:.1f} {_UNITS[unit]}"
    )
