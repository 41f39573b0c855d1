"""HTML displays of what the run manager knows; see `lfadsq.html`. No recording is read for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lfadsq.html import Attribute, attributes, display, folded, line, table
from lfadsq.manager.displays import class_title, format_short, short_path
from lfadsq.manager.param_values import LABELS

if TYPE_CHECKING:
    from lfadsq.manager.collection import RunCollection
    from lfadsq.manager.datasets import Dataset, DatasetCollection
    from lfadsq.manager.info_table import DatasetInfoTable
    from lfadsq.manager.param_values import HyperParamValues
    from lfadsq.manager.runs import Run, RunSpec

__all__ = [
    "dataset_collection_html",
    "dataset_html",
    "dataset_info_table_html",
    "run_collection_html",
    "run_html",
    "run_params_html",
    "run_spec_html",
]

_MOST_OPEN = 10


def run_params_html(params: HyperParamValues) -> str:
    """Show a setting: what it changes, then all values in groups."""
    return display(params.generate_title(), *_params_parts(params))


def _params_parts(params: HyperParamValues) -> list[str]:
    hashes = (("param_hash", params.param_hash_string), ("data_hash", params.data_hash_string))
    rows = _param_rows(params)
    changed = [row for group in rows.values() for row in group if row.is_changed]
    parts = [attributes(Attribute(name, value) for name, value in hashes)]
    if changed:
        parts.append(
            folded(f"{len(changed)} changed from the default", attributes(changed), is_open=True)
        )
    else:
        parts.append(line("all values are the defaults"))
    for group, group_rows in rows.items():
        num_changed = sum(row.is_changed for row in group_rows)
        mark = f" ({num_changed} changed)" if num_changed else ""
        parts.append(folded(group + mark, attributes(group_rows)))
    return parts


def _param_rows(params: HyperParamValues) -> dict[str, list[Attribute]]:
    rows: dict[str, list[Attribute]] = {}
    for hyper in params.hyperparams():
        value = getattr(params, hyper.name)
        is_changed = not hyper.is_at_default(value) and hyper.name not in LABELS
        if not (hyper.displayed or is_changed):
            continue
        default = format_short(hyper.default, hyper.matlab_class)
        rows.setdefault(hyper.group, []).append(
            Attribute(
                name=hyper.name,
                value=format_short(value, hyper.matlab_class),
                is_changed=is_changed,
                note=f"default {default}" if is_changed else "",
                help=hyper.help,
            )
        )
    return rows


def run_collection_html(collection: RunCollection) -> str:
    """Show a collection: its settings, run specifications and runs."""
    datasets = collection.dataset_collection
    title = f'{class_title(type(collection))} "{collection.name}"'
    about = [
        Attribute("path", short_path(collection.path)),
        Attribute("version", str(collection.version)),
        Attribute(
            "datasets",
            f"{datasets.num_datasets} in {short_path(datasets.path)}",
            note=datasets.name,
        ),
    ]
    if collection.comment:
        about.append(Attribute("comment", collection.comment))
    settings = (
        (one.param_hash_string, one.data_hash_string, one.name, one.get_diff_from_default())
        for one in collection.params
    )
    return display(
        title,
        attributes(about),
        _list_of(
            "parameter settings",
            table(("runs", "data", "name", "changed"), settings, collection.num_params),
            collection.num_params,
        ),
        _list_of(
            "run specifications",
            table(
                ("name", "datasets"),
                ((one.name, _joined(one.dataset_names)) for one in collection.run_specs),
                collection.num_run_specs,
            ),
            collection.num_run_specs,
        ),
        _list_of(
            "runs",
            table(
                ("name", "setting", "state"),
                ((one.name, one.params.param_hash_string, _state(one)) for one in collection.runs),
                collection.num_runs_total,
            ),
            collection.num_runs_total,
            is_open=False,
        ),
    )


def _list_of(what: str, body: str, number: int, *, is_open: bool | None = None) -> str:
    if not number:
        return line(f"no {what} yet")
    return folded(
        f"{number} {what}", body, is_open=number <= _MOST_OPEN if is_open is None else is_open
    )


def _state(run: Run) -> str:
    return "done" if run.is_done else "not done"


def _joined(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_OPEN])
    rest = len(names) - _MOST_OPEN
    return f"{shown} and {rest} more" if rest > 0 else shown


def run_spec_html(run_spec: RunSpec) -> str:
    """Show which datasets a model is trained on."""
    title = f'{class_title(type(run_spec))} "{run_spec.name}"'
    return display(title, _datasets_list(run_spec.datasets))


def run_html(run: Run) -> str:
    """Show a run: where it lies, its datasets, its hyperparameters."""
    about = [
        Attribute("path", short_path(run.path)),
        Attribute("data_path", short_path(run.data_path)),
        Attribute("state", _state(run)),
    ]
    return display(
        f'{class_title(type(run))} "{run.name}"',
        attributes(about),
        _datasets_list(run.datasets),
        folded("hyperparameters", "".join(_params_parts(run.params)), is_open=True),
    )


def dataset_collection_html(collection: DatasetCollection) -> str:
    """Show the datasets of a collection."""
    about = [Attribute("path", short_path(collection.path))]
    if collection.comment:
        about.append(Attribute("comment", collection.comment))
    return display(
        f'{class_title(type(collection))} "{collection.name}"',
        attributes(about),
        _datasets_list(collection.datasets),
    )


def _datasets_list(datasets: Sequence[Dataset]) -> str:
    rows = ((one.name, str(one.relative_path), *_known(one)) for one in datasets)
    headings = ("name", "file", "subject", "date", "trials", "channels")
    return _list_of("datasets", table(headings, rows, len(datasets)), len(datasets))


def _known(dataset: Dataset) -> tuple[str, str, str, str]:
    if not dataset.has_info:
        return ("", "", "", "")
    date = f"{dataset.date:%d-%b-%Y %H:%M:%S}" if dataset.date else ""
    return (dataset.subject, date, str(dataset.num_trials), str(dataset.num_channels))


def dataset_html(dataset: Dataset) -> str:
    """Show what is known about a recording."""
    subject, date, num_trials, num_channels = _known(dataset)
    about: Iterable[tuple[str, str]] = [
        ("path", short_path(dataset.path)),
        ("comment", dataset.comment),
        ("subject", subject),
        ("date", date),
        ("save_tags", dataset.save_tags),
        ("num_trials", num_trials),
        ("num_channels", num_channels),
    ]
    parts = [attributes(Attribute(name, value) for name, value in about if value)]
    if not dataset.has_info:
        parts.append(line("load_info() reads how many trials and channels it has"))
    return display(f'{class_title(type(dataset))} "{dataset.name}"', *parts)


def dataset_info_table_html(info: DatasetInfoTable) -> str:
    """Show what is known about each dataset, as a table."""
    headings = ("dataset", "subject", "date", "saveTags", "nTrials", "nChannels")
    rows = ((row.name, *row.cells()) for row in info.rows)
    return display(f"{len(info.rows)} datasets", table(headings, rows, len(info.rows)))
