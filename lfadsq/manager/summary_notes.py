"""The end of ``summary.txt``, which only `RunCollection.open` reads.

LFADS Run Manager's summary is for people: it shows six digits of a number, and does not say how a
lab's own parameters are declared. Where this leaves something open, lines of JSON follow it. A
summary that says everything has no such lines and is MATLAB's to the letter.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lfadsq.errors import ConfigError
from lfadsq.manager.displays import class_title, format_general
from lfadsq.manager.hashing import typed_stream
from lfadsq.manager.hyperparams import HyperParam
from lfadsq.manager.matlab_values import MatlabArray, MatlabCell
from lfadsq.manager.opened_params import NAMES_ON_DISK
from lfadsq.manager.params import RunParams
from lfadsq.manager.value_reading import values_of_text
from lfadsq.manager.versions import DEFAULT_VERSION

if TYPE_CHECKING:
    from lfadsq.manager.collection import RunCollection

__all__ = ["SummaryNotes", "declared_in", "decoded", "notes_of", "read_notes", "write_notes"]

_TITLE = "  For RunCollection.open of lfadsq:"
_INDENT = "    "
# Versions from the default to this one mean the same for ever; later ones may come to differ, and
# earlier ones show in the layout only once data are prepared.
_LAST_VERSION_OF_MATLAB = 20180131

_ARRAY, _CELL, _CLASS = "array", "cell", "class"
_LABELS = ("name", "version")
_DECLARED = (
    "default",
    "matlab_class",
    "group",
    "help",
    "in_param_hash",
    "in_data_hash",
    "passed_to_trainer",
    "displayed",
    "choices",
)


@dataclass(frozen=True)
class SummaryNotes:
    """What else is known of a collection.

    Attributes
    ----------
    version : int or None
        Its version; None if there is no note of it.
    comment : str
        Its comment.
    trainer : dict of str to object
        What its scripts call, where that is not our trainer, as `TrainerCommands` takes it.
    dataset_files : dict of str to str
        Files of datasets, from the folder of the dataset collection, where not ``<name>.mat``.
    declared : dict of str to dict
        By title of the class, then by name: how a lab's own parameters are declared, as arguments
        of `lfadsq.manager.hyperparams.hyperparam`.
    exact_values : dict of str to dict
        By param hash, then by name: values of which the summary shows too little.

    Values of hyperparameters are as JSON holds them: see `decoded`.
    """

    version: int | None = None
    comment: str = ""
    trainer: dict[str, Any] = field(default_factory=dict)
    dataset_files: dict[str, str] = field(default_factory=dict)
    declared: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    exact_values: dict[str, dict[str, Any]] = field(default_factory=dict)


def notes_of(collection: RunCollection) -> SummaryNotes:
    """Find what the summary of a collection leaves open."""
    classes = {type(params) for params in collection.params}
    known = {hyper.name for hyper in RunParams.hyperparams()} | NAMES_ON_DISK
    declared = {
        class_title(cls): {
            hyper.name: {key: _encoded(getattr(hyper, key)) for key in _DECLARED}
            for hyper in cls.hyperparams()
            if hyper.name not in known
        }
        for cls in sorted(classes, key=class_title)
    }
    exact_values = {params.param_hash: _lossy_values(params) for params in collection.params}
    return SummaryNotes(
        version=collection.version,
        comment=collection.comment,
        trainer={} if collection.trainer.is_ours else dataclasses.asdict(collection.trainer),
        dataset_files={
            dataset.name: str(dataset.relative_path)
            for dataset in collection.dataset_collection
            if str(dataset.relative_path) != f"{dataset.name}.mat"
        },
        declared={title: names for title, names in declared.items() if names},
        exact_values={
            key: {name: _encoded(value) for name, value in values.items()}
            for key, values in exact_values.items()
            if values
        },
    )


def _lossy_values(params: RunParams) -> dict[str, Any]:
    lossy = {}
    for hyper in params.hyperparams():
        value = getattr(params, hyper.name)
        if hyper.is_at_default(value) or hyper.name in _LABELS:
            continue
        texts = values_of_text(hyper, format_general(value, hyper.matlab_class))[:1]
        streams = [typed_stream(one, hyper.matlab_class) for one in (*texts, value)]
        if streams[:-1] != streams[-1:]:
            lossy[hyper.name] = value
    return lossy


def write_notes(notes: SummaryNotes) -> list[str]:
    """Give the lines of notes: none if there is nothing to say."""
    said: dict[str, Any] = {
        "comment": notes.comment,
        "trainer": notes.trainer,
        "dataset_files": notes.dataset_files,
        "declared": notes.declared,
        "exact_values": notes.exact_values,
    }
    said = {key: value for key, value in said.items() if value}
    version = notes.version or DEFAULT_VERSION
    if not said and DEFAULT_VERSION <= version <= _LAST_VERSION_OF_MATLAB:
        return []
    said = {"version": notes.version, **said}
    return [_TITLE, "", *(f"{_INDENT}{key}: {json.dumps(value)}" for key, value in said.items())]


def _encoded(value: Any) -> Any:
    """Give a value of a hyperparameter as JSON can hold it without loss."""
    if isinstance(value, MatlabArray):
        return {_ARRAY: [_encoded(one) for one in value], _CLASS: value.matlab_class}
    if isinstance(value, MatlabCell):
        return {_CELL: [_encoded(one) for one in value]}
    return [_encoded(one) for one in value] if isinstance(value, tuple) else value


def decoded(value: Any) -> Any:
    """Give a value of a hyperparameter that notes hold, for `HyperParam.convert`."""
    if isinstance(value, list):
        return tuple(map(decoded, value))
    if isinstance(value, dict) and _ARRAY in value:
        return MatlabArray(map(decoded, value[_ARRAY]), value.get(_CLASS, "double"))
    if isinstance(value, dict):
        return MatlabCell(map(decoded, value.get(_CELL, ())))
    return value


def declared_in(notes: SummaryNotes, title: str) -> list[HyperParam]:
    """List the hyperparameters that a class declares by the notes; what is none is left out."""
    declared = []
    for name, given in notes.declared.get(title, {}).items():
        with suppress(TypeError, AttributeError, KeyError):
            hyper = HyperParam(
                name=name,
                **{key: decoded(given[key]) for key in _DECLARED if key != "default"},
                default=None,
            )
            with suppress(ConfigError):
                default = hyper.convert(decoded(given["default"]))
                declared.append(dataclasses.replace(hyper, default=default))
    return declared


def read_notes(lines: Sequence[str]) -> SummaryNotes:
    """Read the notes in the lines of a summary.

    Parameters
    ----------
    lines : sequence of str
        All lines of ``summary.txt``.

    Returns
    -------
    SummaryNotes
        Empty if there are none. What cannot be read (a summary that somebody edited, or that a
        later version wrote) is left out.
    """
    known = SummaryNotes.__dataclass_fields__
    found: dict[str, Any] = {}
    if _TITLE in lines:
        last = len(lines) - 1 - list(reversed(lines)).index(_TITLE)
        for line in lines[last + 1 :]:
            key, _, text = line.strip().partition(": ")
            if key in known:
                try:
                    value = json.loads(text)
                except ValueError:
                    continue
                expected = int if key == "version" else type(getattr(SummaryNotes(), key))
                if isinstance(value, expected):
                    found[key] = value
    return SummaryNotes(**found)
