"""Finding run specifications, settings and runs among those of a collection."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from lfadsq.errors import ConfigError, RunNotFoundError
from lfadsq.manager.param_values import PARAM_PREFIX
from lfadsq.manager.params import RunParams
from lfadsq.manager.run_specs import RunSpec
from lfadsq.manager.selection import index_in

__all__ = [
    "ParamsSearch",
    "RunSpecSearch",
    "find_params",
    "find_run_specs",
    "find_values",
    "listed",
]

RunSpecSearch: TypeAlias = "RunSpec | str | int | Iterable[RunSpec | str | int] | None"
"""A run specification itself, its name or a pattern, its index; several of these; None for all."""

ParamsSearch: TypeAlias = "RunParams | str | int | Iterable[RunParams | str | int] | None"
"""A setting itself, its param hash, its index; several of these; None for all."""

_MOST_LISTED = 8


def find_run_specs(run_specs: Sequence[RunSpec], search: RunSpecSearch) -> list[RunSpec]:
    """Find run specifications.

    Parameters
    ----------
    run_specs : sequence of RunSpec
        All there are.
    search : RunSpec, str or int, an iterable of these, or None
        A run specification stands for the one of its name; ``*`` in a name for anything.

    Returns
    -------
    list of RunSpec
        In the order of `search`, each once.

    Raises
    ------
    RunNotFoundError
        If one of them fits nothing.
    ConfigError
        If one of them is nothing that can be searched for.
    """
    if search is None:
        return list(run_specs)
    found: dict[str, RunSpec] = {}
    for one in _each(search, RunSpec):
        found.update((spec.name, spec) for spec in _fitting_specs(run_specs, one))
    return list(found.values())


def _fitting_specs(run_specs: Sequence[RunSpec], search: object) -> list[RunSpec]:
    if not isinstance(search, str | RunSpec):
        return [run_specs[index_in(run_specs, search, "run specification")]]
    name = search.name if isinstance(search, RunSpec) else search
    fitting = [spec for spec in run_specs if spec.name == name]
    if not fitting and isinstance(search, str):
        fitting = [spec for spec in run_specs if fnmatch.fnmatchcase(spec.name, search)]
    if not fitting:
        raise RunNotFoundError(
            f"no run specification is called {name!r}",
            f"there are {listed([repr(spec.name) for spec in run_specs])}",
        )
    return fitting


def find_params(settings: Sequence[RunParams], search: ParamsSearch) -> list[RunParams]:
    """Find settings of hyperparameters.

    Parameters
    ----------
    settings : sequence of RunParams
        All there are.
    search : RunParams, str or int, an iterable of these, or None
        A setting stands for the one of its hash; a hash may begin with ``param_``.

    Returns
    -------
    list of RunParams
        In the order of `search`, each once.

    Raises
    ------
    RunNotFoundError
        If one of them fits nothing.
    ConfigError
        If one of them is nothing that can be searched for.
    """
    if search is None:
        return list(settings)
    by_hash = {params.param_hash: params for params in settings}
    found: dict[str, RunParams] = {}
    for one in _each(search, RunParams):
        if not isinstance(one, str | RunParams):
            setting = settings[index_in(settings, one, "setting")]
            found[setting.param_hash] = setting
            continue
        wanted = one.param_hash if isinstance(one, RunParams) else one.removeprefix(PARAM_PREFIX)
        if wanted not in by_hash:
            hashes = [params.param_hash_string for params in settings]
            raise RunNotFoundError(
                f"no setting has the hash {PARAM_PREFIX}{wanted}", f"there are {listed(hashes)}"
            )
        found[wanted] = by_hash[wanted]
    return list(found.values())


def find_values(settings: Sequence[RunParams], values: Mapping[str, Any]) -> list[RunParams]:
    """Find settings by the values of hyperparameters.

    Parameters
    ----------
    settings : sequence of RunParams
        All there are.
    values : mapping of str to object
        What they shall have.

    Returns
    -------
    list of RunParams
        Possibly none.

    Raises
    ------
    UnknownHyperParamError, ConfigError
        If a hyperparameter does not exist in any of them, or cannot have the value.
    """
    known = {hyper.name: hyper for setting in settings for hyper in setting.hyperparams()}
    if not set(values) <= set(known):
        RunParams.from_dict(values)  # says which name is unknown
    wanted = {name: known[name].convert(value) for name, value in values.items() if name in known}
    return [
        setting
        for setting in settings
        if all(getattr(setting, name, None) == value for name, value in wanted.items())
    ]


def _each(search: object, kind: type) -> Iterable[object]:
    if isinstance(search, str | int | np.integer | kind):
        return [search]
    if not isinstance(search, Iterable):
        raise ConfigError(
            f"{search!r} stands for no {kind.__name__}", "give it, its name or hash, or its index"
        )
    return search


def listed(names: Sequence[str]) -> str:
    """List names in a message; of many, only the first.

    >>> listed(["a", "b"]), listed([]), listed("abcdefghij")
    ('a, b', 'none yet', 'a, b, c, d, e, f, g, h, and 2 more')
    """
    more = [f"and {len(names) - _MOST_LISTED} more"] if len(names) > _MOST_LISTED else []
    return ", ".join([*names[:_MOST_LISTED], *more]) or "none yet"
