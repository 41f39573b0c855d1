"""Which settings of hyperparameters may stand side by side in one run collection."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from lfadsq.errors import HashCollisionError, RunExistsError
from lfadsq.manager.hyperparams import HyperParam
from lfadsq.manager.param_values import DATA_PREFIX
from lfadsq.manager.params import RunParams

__all__ = ["check_data_hashes", "merge_setting"]

_log = logging.getLogger(__name__)


def merge_setting(settings: dict[str, RunParams], added: RunParams) -> None:
    """Add a setting to those by param hash, unless it is there already.

    Parameters
    ----------
    settings : dict of str to RunParams
        Settings by param hash; changed in place.
    added : RunParams
        The setting.

    Raises
    ------
    RunExistsError
        If one is there that differs only in what no hash covers.
    HashCollisionError
        If a different one has the same hash.
    """
    known = settings.setdefault(added.param_hash, added)
    if known is added:
        return
    if _plain(known.param_hash_values()) != _plain(added.param_hash_values()):
        raise HashCollisionError(
            f"{added.generate_title()} ({added.get_diff_from_default()}) has the same hash "
            f"{added.param_hash_string} as {known.generate_title()} "
            f"({known.get_diff_from_default()})",
            "change a hyperparameter that does not matter to you, such as c_max_ckpt_to_keep",
        )
    names = {hyper.name for setting in (known, added) for hyper in setting.hyperparams()}
    unhashed = {
        name for name in names if getattr(known, name, None) != getattr(added, name, None)
    } - {"name"}
    if unhashed:
        raise RunExistsError(
            f"{known.param_hash_string} is here already with another {', '.join(sorted(unhashed))}",
            "runs of one hash lie in one folder: change one of the two, or use two collections",
        )
    _log.info("%s %s is here already", known.generate_title(), known.param_hash_string)


def check_data_hashes(settings: Iterable[RunParams]) -> None:
    """Refuse settings that differ in their data, but not in their data hash.

    Raises
    ------
    HashCollisionError
        If there are such.
    """
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
