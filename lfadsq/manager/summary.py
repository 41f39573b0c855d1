"""The text that describes a run collection: on the screen, and in ``summary.txt``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfadsq.manager.displays import attribute_lines, class_title, format_paths, short_path
from lfadsq.manager.params import RunParams
from lfadsq.manager.runs import RunSpec
from lfadsq.manager.summary_notes import notes_of, write_notes

if TYPE_CHECKING:
    from lfadsq.manager.collection import RunCollection

__all__ = ["generate_display_text", "generate_summary_text"]

_RULE = "  " + "-" * 24


def generate_display_text(collection: RunCollection) -> str:
    """Describe a collection on the screen.

    Parameters
    ----------
    collection : RunCollection
        The collection.

    Returns
    -------
    str
        A line for each setting and run specification, then the attributes.
    """
    title, path, datasets = _heading(collection)
    lines = [title, datasets, path, "", f"  {collection.num_params} parameter settings"]
    lines += [f"  {_params_line(*each)}" for each in enumerate(collection.params, start=1)]
    lines += ["", f"  {collection.num_run_specs} run specifications"]
    lines += [f"  [{number:2d}] {one}" for number, one in enumerate(collection.run_specs, start=1)]
    lines.append("")
    lines += attribute_lines(_attributes(collection))
    return "\n".join(lines)


def generate_summary_text(collection: RunCollection) -> str:
    """Describe a collection for ``summary.txt``.

    Parameters
    ----------
    collection : RunCollection
        The collection.

    Returns
    -------
    str
        Every run specification with its datasets, and every setting with all its values; then,
        if that leaves anything open, notes for `RunCollection.open`.
    """
    title, path, datasets = _heading(collection)
    lines = [title, path, datasets, "", _RULE, ""]
    lines += [f"  {collection.num_run_specs} Run Specifications:", ""]
    for number, run_spec in enumerate(collection.run_specs, start=1):
        lines.append(f"    [runSpec {number}] {run_spec}")
        for dataset_number, dataset in enumerate(run_spec.datasets, start=1):
            lines.append(f"      [ds {dataset_number}] {dataset}")
        lines.append("")
    lines += [_RULE, "", f"  {collection.num_params} Parameter Settings:", ""]
    for number, params in enumerate(collection.params, start=1):
        lines += [f"    {_params_line(number, params)}", ""]
        # Not splitlines: text of some languages holds what that takes for line breaks.
        lines += [f"         {line}" for line in params.generate_summary_text().split("\n")]
        lines.append("")
    notes = write_notes(notes_of(collection))
    if notes:
        lines += [_RULE, "", *notes, ""]
    return "\n".join(lines)


def _heading(collection: RunCollection) -> tuple[str, str, str]:
    datasets = collection.dataset_collection
    return (
        f'{class_title(type(collection))} "{collection.name}" '
        f"({collection.num_runs_total} runs total)",
        f"  Path: {short_path(collection.path)}",
        f'  Dataset Collection "{datasets.name}" ({datasets.num_datasets} datasets) in '
        f"{short_path(datasets.path)}",
    )


def _params_line(number: int, params: RunParams) -> str:
    return (
        f"[{number} {params.param_hash_string} {params.data_hash_string}] "
        f"{params.generate_title()} {params.get_diff_from_default()}"
    )


def _attributes(collection: RunCollection) -> list[tuple[str, str]]:
    params_class = type(collection.params[0]) if collection.params else RunParams
    spec_class = type(collection.run_specs[0]) if collection.run_specs else RunSpec
    names = " ".join(f"'{name}'" for name in collection.dataset_names)
    return [
        ("name", f"'{collection.name}'"),
        ("comment", f"'{collection.comment}'"),
        ("root_path", f"'{short_path(collection.root_path)}'"),
        ("version", str(collection.version)),
        ("dataset_collection", f"[1x1 {class_title(type(collection.dataset_collection))}]"),
        ("runs", f"[1x{collection.num_runs_total} {class_title(collection.run_class)}]"),
        ("params", f"[1x{collection.num_params} {class_title(params_class)}]"),
        ("run_specs", f"[1x{collection.num_run_specs} {class_title(spec_class)}]"),
        ("num_params", str(collection.num_params)),
        ("num_run_specs", str(collection.num_run_specs)),
        ("num_runs_total", str(collection.num_runs_total)),
        ("num_datasets", str(collection.num_datasets)),
        ("dataset_names", f"{{{names}}}"),
        ("path", f"'{short_path(collection.path)}'"),
        ("paths_common_data_for_params", format_paths(collection.paths_common_data_for_params)),
        ("paths_for_params", format_paths(collection.paths_for_params)),
        (
            "file_shell_script_tensorboard",
            f"'{short_path(collection.file_shell_script_tensorboard)}'",
        ),
        ("file_summary_text", f"'{short_path(collection.file_summary_text)}'"),
        ("file_shell_script_run_queue", f"'{short_path(collection.file_shell_script_run_queue)}'"),
    ]
