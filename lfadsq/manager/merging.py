"""Adding to a run collection what may be there already, as a drive script does that is run again.

What is added replaces what it matches: a setting the one of its hash, a run specification the one
of its name. Only what contradicts itself is refused: two settings added together that would share
a folder, or different ones of one hash.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from lfadsq.errors import ConfigError, HashCollisionError, RunExistsError
from lfadsq.manager.datasets import DatasetCollection
from lfadsq.manager.hyperparams import HyperParam
from lfadsq.manager.param_values import DATA_PREFIX
from lfadsq.manager.params import RunParams
from lfadsq.manager.run_specs import RunSpec

__all__ = ["merge_params", "merge_run_specs"]

_log = logging.getLogger(__name__)

_NAME = "name"


def merge_params(
    known: Mapping[str, RunParams], added: RunParams | Iterable[RunParams], version: int
) -> dict[str, RunParams]:
    """Give settings by param hash, with some added.

    Parameters
    ----------
    known : mapping of str to RunParams
        Settings by param hash.
    added : RunParams, or an iterable of RunParams
        They are copied, and take the place of those of the same hash.
    version : int
        That the copies get.

    Raises
    ------
    RunExistsError
        If two of those added differ only in what no hash covers.
    HashCollisionError
        If two different settings have the same hash.
    ConfigError
        If one is no RunParams.
    """
    new: dict[str, RunParams] = {}
    for given in [added] if isinstance(added, RunParams) else added:
        if not isinstance(given, RunParams):
            raise ConfigError(
                f"add_params was given {given!r}", "give RunParams, one or a list of them"
            )
        setting = given.copy()
        setting.version = version
        first = new.setdefault(setting.param_hash, setting.frozen())
        _refuse_collision(first, setting)
        differing = _unhashed_differences(first, setting) - {_NAME}
        if differing:
            raise RunExistsError(
                f"two of the settings are {setting.param_hash_string}, with another "
                f"{', '.join(sorted(differing))}: runs of one hash lie in one folder",
                "add one of them only, or use two collections",
            )
    for param_hash, setting in new.items():
        if param_hash in known:
            _refuse_collision(known[param_hash], setting)
            _tell_replaced(known[param_hash], setting)
    merged = {**known, **new}
    _refuse_data_collisions(merged.values())
    return merged


def merge_run_specs(
    known: Mapping[str, RunSpec],
    added: RunSpec | Iterable[RunSpec],
    dataset_collection: DatasetCollection,
) -> dict[str, RunSpec]:
    """Give run specifications by name, with some added.

    Parameters
    ----------
    known : mapping of str to RunSpec
        Run specifications by name.
    added : RunSpec, or an iterable of RunSpec
        They take the place of those of the same name.
    dataset_collection : DatasetCollection
        Where their datasets must be.

    Raises
    ------
    RunExistsError
        If two of those added have one name, but other datasets.
    ConfigError
        If one is no RunSpec, or about datasets of another collection.
    """
    new: dict[str, RunSpec] = {}
    for spec in [added] if isinstance(added, RunSpec) else added:
        if not isinstance(spec, RunSpec):
            raise ConfigError(
                f"add_run_spec was given {spec!r}", "give a RunSpec or a list of them"
            )
        if spec.dataset_collection is not dataset_collection:
            raise ConfigError(
                f"{spec} is about datasets of another collection",
                "make it with the dataset collection of this run collection; if you made that "
                "anew, make the run collection anew, too",
            )
        first = new.setdefault(spec.name, spec)
        if first.dataset_names != spec.dataset_names:
            raise RunExistsError(
                f"two of the run specifications are called {spec.name!r}: one is on "
                f"{', '.join(first.dataset_names)}, one on {', '.join(spec.dataset_names)}",
                "give one of them another name",
            )
    for name, spec in new.items():
        if name in known and known[name].dataset_names != spec.dataset_names:
            _log.warning(
                "the run %r is now on %s; before, it was on %s",
                name,
                ", ".join(spec.dataset_names),
                ", ".join(known[name].dataset_names),
            )
    return {**known, **new}


def _refuse_collision(known: RunParams, added: RunParams) -> None:
    if _plain(known.param_hash_values()) != _plain(added.param_hash_values()):
        raise HashCollisionError(
            f"{added.generate_title()} ({added.get_diff_from_default()}) has the same hash "
            f"{added.param_hash_string} as {known.generate_title()} "
            f"({known.get_diff_from_default()})",
            "change a hyperparameter that does not matter to you, such as c_max_ckpt_to_keep",
        )


def _tell_replaced(known: RunParams, added: RunParams) -> None:
    differing = _unhashed_differences(known, added)
    if not differing - {_NAME}:
        _log.info("%s replaces one of the same values", added.param_hash_string)
        return
    changes = ", ".join(
        f"{name} {getattr(added, name, None)} (it was {getattr(known, name, None)})"
        for name in sorted(differing)
    )
    _log.warning("%s has now %s", added.param_hash_string, changes)


def _unhashed_differences(one: RunParams, other: RunParams) -> set[str]:
    names = {hyper.name for setting in (one, other) for hyper in setting.hyperparams()}
    return {name for name in names if getattr(one, name, None) != getattr(other, name, None)}


def _refuse_data_collisions(settings: Iterable[RunParams]) -> None:
    """Refuse settings that differ in their data, but not in their data hash."""
    known: dict[str, dict[str, Any]] = {}
    for setting in settings:
        values = _plain(setting.data_hash_values())
        if known.setdefault(setting.data_hash, values) != values:
            raise HashCollisionError(
                f"{setting.generate_title()} has the same hash {DATA_PREFIX}{setting.data_hash} as "
                "a setting with other data",
                "change a hyperparameter that does not matter to you, such as c_factors_dim by one",
            )


def _plain(values: Iterable[tuple[HyperParam, Any]]) -> dict[str, Any]:
    return {hyper.name: value for hyper, value in values}
