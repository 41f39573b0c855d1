"""Classes of hyperparameters that nobody wrote: made from what a collection on disk says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from lfadsq.errors import ConfigError
from lfadsq.manager.hashing import hash_of
from lfadsq.manager.hyperparams import HyperParam, hyperparam
from lfadsq.manager.param_values import HyperParamValues
from lfadsq.manager.params import RunParams

__all__ = [
    "NAMES_ON_DISK",
    "HashesOnDisk",
    "declare_params_class",
    "derive_with_hashes",
    "other_than",
]

_DECLARED = (
    "matlab_class",
    "group",
    "help",
    "in_param_hash",
    "in_data_hash",
    "passed_to_trainer",
    "displayed",
    "choices",
)
_SCRIPT = "__main__"


class HashesOnDisk(HyperParamValues):
    """Settings whose folders have names that cannot be computed from what is known of them.

    They keep these names. A copy with another value has hashes of its own; its data hash is that on
    disk as long as nothing changes that enters it.
    """

    param_hash_on_disk: str = hyperparam(
        "",
        group="Run collection on disk",
        help="hash in the name of the folder of its runs, where it cannot be computed",
        in_data_hash=False,
        displayed=False,
    )
    data_hash_on_disk: str = hyperparam(
        "",
        group="Run collection on disk",
        help="hash in the name of the folder of its data, where it cannot be computed",
        displayed=False,
    )

    _param_hashes: ClassVar[dict[str, str]]
    _data_hashes: ClassVar[dict[str, str]]

    @property
    def param_hash(self) -> str:
        """Six characters that stand for all hashed values other than the defaults."""
        computed = super().param_hash
        return self._param_hashes.get(computed, computed)

    @property
    def data_hash(self) -> str:
        """Six characters that stand for those values that change the trainer's input."""
        computed = hash_of(super().data_hash_values())
        return self._data_hashes.get(computed, computed)

    def data_hash_values(self) -> list[tuple[HyperParam, Any]]:
        """List what enters the data hash: of a folder with an unknown past, only its name."""
        values = super().data_hash_values()
        on_disk = self._data_hashes.get(hash_of(values))
        if on_disk is None:
            return values
        return [(self._table()["data_hash_on_disk"], on_disk)]

    def keep_hashes(self, param_hash: str, data_hash: str) -> None:
        """Let settings equal to this one have these hashes, where they do not come out.

        Parameters
        ----------
        param_hash, data_hash : str
            Those in the names of the folders.
        """
        self.param_hash_on_disk = self.data_hash_on_disk = ""
        if self.data_hash != data_hash:
            self.data_hash_on_disk = data_hash
            self._data_hashes[hash_of(HyperParamValues.data_hash_values(self))] = data_hash
        if self.param_hash != param_hash:
            self.param_hash_on_disk = param_hash
            self._param_hashes[hash_of(self.param_hash_values())] = param_hash


NAMES_ON_DISK = frozenset(hyper.name for hyper in HashesOnDisk.hyperparams())
"""Hyperparameters that say nothing of a setting but its hashes."""


def declare_params_class(
    title: str, base: type[RunParams], declared: Iterable[HyperParam]
) -> type[RunParams]:
    """Make a subclass with further hyperparameters.

    Parameters
    ----------
    title : str
        What displays call it, such as ``LorenzExperiment.RunParams``.
    base : type
        `RunParams` or a subclass.
    declared : iterable of HyperParam
        What it declares. Those that `base` has are left out.

    Returns
    -------
    type
        `base` itself if nothing is left.

    Raises
    ------
    ConfigError
        If one cannot be declared so.
    """
    known = {hyper.name for hyper in base.hyperparams()}
    fields = {hyper.name: hyper for hyper in declared if hyper.name not in known}
    if not fields:
        return base
    return _derive(title, (base,), fields)


def derive_with_hashes(title: str, base: type[RunParams]) -> type[RunParams]:
    """Make a subclass of `HashesOnDisk` and of `base`."""
    derived = _derive(title, (HashesOnDisk, base), {})
    derived._param_hashes = {}  # type: ignore[attr-defined]
    derived._data_hashes = {}  # type: ignore[attr-defined]
    return derived


def _derive(
    title: str, bases: tuple[type, ...], declared: Mapping[str, HyperParam]
) -> type[RunParams]:
    package, has_package, name = title.partition(".")
    namespace: dict[str, Any] = {
        hyper.name: hyperparam(hyper.default, **{key: getattr(hyper, key) for key in _DECLARED})
        for hyper in declared.values()
    }
    namespace["__annotations__"] = dict.fromkeys(namespace, object)
    namespace["__module__"] = package if has_package else _SCRIPT
    namespace["__qualname__"] = name if has_package else title
    namespace["__doc__"] = "Hyperparameters of a collection that was opened from disk."
    derived = type(title.rpartition(".")[2], bases, namespace)
    derived.hyperparams()  # type: ignore[attr-defined]
    return derived


def other_than(values: Sequence[Any], hyper: HyperParam) -> Any:
    """Give a default for a hyperparameter of which only other values are known.

    A hash covers only values other than the default, so any default does that is not among them.

    Raises
    ------
    ConfigError
        If there is none: a logical cannot differ from a default and have both values.
    """
    candidates: Iterable[Any] = range(len(values) + 1)
    if hyper.matlab_class == "char":
        candidates = ["", *(f"default{number}" for number in range(len(values)))]
    elif hyper.matlab_class == "logical":
        candidates = [False, True]
    elif hyper.matlab_class == "cell":
        candidates = [(), *((float(number),) for number in range(len(values)))]
    for candidate in candidates:
        value = hyper.convert(candidate)
        if value not in values:
            return value
    raise ConfigError(f"{hyper.name} has no other value than {values}", "")
