"""Choosing some of a list: by a mask or by indices, as MATLAB's ``filter...`` methods do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from lfadsq.errors import ConfigError, RunNotFoundError

__all__ = ["index_in", "select"]

_Item = TypeVar("_Item")


def select(items: Sequence[_Item], mask: Iterable[object], kind: str) -> list[_Item]:
    """Choose items by a mask or by indices.

    Parameters
    ----------
    items : sequence
        What there is.
    mask : iterable of bool or int
        True or False for each item; or the indices of the chosen ones, from 0, in the order that
        they shall have.
    kind : str
        What one of them is, for messages: "dataset".

    Returns
    -------
    list

    Raises
    ------
    ConfigError
        If it is neither, a mask of another length, or an index comes twice.
    RunNotFoundError
        If there is no item with an index.

    Examples
    --------
    >>> select("abc", [True, False, True], "letter"), select("abc", [2, 0], "letter")
    (['a', 'c'], ['c', 'a'])
    """
    if isinstance(mask, str) or not isinstance(mask, Iterable):
        raise ConfigError(f"{mask!r} chooses no {kind}s", "give a mask, or indices from 0")
    chosen = list(mask)
    if chosen and all(isinstance(one, bool | np.bool_) for one in chosen):
        if len(chosen) != len(items):
            raise ConfigError(
                f"the mask has {len(chosen)} values, but there are {len(items)} {kind}s",
                "give one for each",
            )
        return [item for item, is_chosen in zip(items, chosen, strict=True) if is_chosen]
    indices = [index_in(items, one, kind) for one in chosen]
    twice = {index for index in indices if indices.count(index) > 1}
    if twice:
        raise ConfigError(
            f"{kind} {', '.join(map(str, sorted(twice)))} was chosen more than once", "name it once"
        )
    return [items[index] for index in indices]


def index_in(items: Sequence[object], index: object, kind: str) -> int:
    """Check an index from 0.

    Raises
    ------
    ConfigError
        If it is none.
    RunNotFoundError
        If there is no item with it.
    """
    if not isinstance(index, int | np.integer):
        raise ConfigError(f"{index!r} stands for no {kind}", "give indices from 0")
    if isinstance(index, bool) or not 0 <= index < len(items):
        raise RunNotFoundError(
            f"there is no {kind} with index {index}",
            f"indices go from 0 to {len(items) - 1}" if items else f"add {kind}s first",
        )
    return int(index)
