"""`HyperParamValues`: what a setting of hyperparameters can do, whichever fields it declares."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from lfadsq.errors import ConfigError, LfadsqError, UnknownHyperParamError
from lfadsq.manager.displays import attribute_lines, class_title, format_general, format_short
from lfadsq.manager.hashing import hash_of, typed_stream
from lfadsq.manager.hyperparams import HyperParam, hyperparams_of

__all__ = ["DATA_PREFIX", "LABELS", "PARAM_PREFIX", "HyperParamValues"]

PARAM_PREFIX = "param_"
"""What `HyperParamValues.param_hash_string` begins with: the name of the folder of runs."""

DATA_PREFIX = "data_"
"""What `HyperParamValues.data_hash_string` begins with: the name of the folder of prepared data."""

LABELS = ("name", "version")
"""Hyperparameters that enter no hash, and are not listed among what differs."""

_FIRST_VERSION_WITH_FACTORS_IN_DATA_HASH = 20171107
_LONGEST_ARRAY = 5  # of which the line of differences shows the elements, as in MATLAB
_Values = TypeVar("_Values", bound="HyperParamValues")


class HyperParamValues:
    """One setting of hyperparameters: a value that can be compared, copied, hashed and shown.

    The fields are those of the dataclass that derives from this. A value is converted to the class
    it has on disk, and checked, when it is assigned; an unknown name is refused.

    Parameters
    ----------
    **values
        Hyperparameters other than the defaults.

    Raises
    ------
    UnknownHyperParamError
        If a name does not exist; the nearest one is offered.
    ConfigError
        If a value does not fit its class on disk; all wrong values are reported at once.
    """

    _is_frozen: ClassVar[bool] = False
    _cached_table: ClassVar[dict[str, HyperParam]]
    _cached_names_outside_hashes: ClassVar[tuple[frozenset[str], frozenset[str]]]

    def __init__(self, **values: Any) -> None:
        self.__dict__.update((hyper.name, hyper.default) for hyper in self.hyperparams())
        self._assign(values)

    def _assign(self, values: Mapping[str, Any]) -> None:
        errors: list[LfadsqError] = []
        for name, value in values.items():
            try:
                setattr(self, name, value)
            except ConfigError as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            listed = "".join(f"\n  - {error}" for error in errors)
            raise ConfigError(f"{len(errors)} hyperparameters are wrong:{listed}")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__bases__:
            if issubclass(base, HyperParamValues) and base is not HyperParamValues:
                base._table()  # `@dataclass` below collects fields of bases that have them
        _refuse_misdeclared(cls)
        # `@dataclass` writes these methods only where the class body has none.
        for method in ("__init__", "__repr__", "__eq__"):
            if method not in cls.__dict__:
                setattr(cls, method, getattr(cls, method))

    @classmethod
    def hyperparams(cls) -> tuple[HyperParam, ...]:
        """List the hyperparameters, in the order of displays.

        Returns
        -------
        tuple of HyperParam
        """
        return tuple(cls._table().values())

    @classmethod
    def _table(cls) -> dict[str, HyperParam]:
        table: dict[str, HyperParam] | None = cls.__dict__.get("_cached_table")
        if table is None:
            if "__dataclass_fields__" not in cls.__dict__:
                dataclasses.dataclass(cls)  # the subclass came without its decorator
            table = {hyper.name: hyper for hyper in hyperparams_of(cls)}
            cls._cached_table = table
        return table

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_frozen:
            raise ConfigError(
                f"{name} cannot be changed: these parameters belong to a run collection",
                "change a copy() and add that with add_params",
            )
        hyper = self._table().get(name)
        if hyper is None:
            raise UnknownHyperParamError(name, list(self._table()))
        object.__setattr__(self, name, hyper.convert(value))

    def __delattr__(self, name: str) -> None:
        raise ConfigError(f"{name} cannot be deleted", "assign its default instead")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HyperParamValues) or type(other) is not type(self):
            return NotImplemented
        # To the bit: what is equal must have one hash, and MATLAB hashes 0 and -0 differently.
        return all(
            one is two
            or typed_stream(one, hyper.matlab_class) == typed_stream(two, hyper.matlab_class)
            for hyper in self.hyperparams()
            for one, two in [(self.__dict__[hyper.name], other.__dict__[hyper.name])]
        )

    def __repr__(self) -> str:
        return self.generate_display_text()

    def _repr_html_(self) -> str:
        from lfadsq.manager.html import run_params_html

        return run_params_html(self)

    # --- copies and dictionaries ------------------------------------------------------------------

    def copy(self: _Values) -> _Values:
        """Give an equal setting that can be changed on its own."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.to_dict())
        return copied

    def frozen(self: _Values) -> _Values:
        """Give an equal setting that refuses every change; itself if it does already."""
        if self._is_frozen:
            return self
        frozen = self.copy()
        object.__setattr__(frozen, "_is_frozen", True)
        return frozen

    def to_dict(self) -> dict[str, Any]:
        """Give all values by name, in the order of displays."""
        return {hyper.name: getattr(self, hyper.name) for hyper in self.hyperparams()}

    @classmethod
    def from_dict(cls: type[_Values], values: Mapping[str, Any]) -> _Values:
        """Make a setting from values by name; what is missing has its default.

        Raises
        ------
        UnknownHyperParamError, ConfigError
            As the constructor.
        """
        return cls(**values)

    def generate_sweep(self: _Values, *pairs: Any, **values: Iterable[Any]) -> list[_Values]:
        """Make a copy for every combination of values of one or several hyperparameters.

        Parameters
        ----------
        *pairs
            As in MATLAB: a name, its values, the next name, its values ...
        **values
            The same as keywords, after the pairs.

        Returns
        -------
        list
            In the order of nested loops: the values of the last hyperparameter change fastest.

        Raises
        ------
        ConfigError
            If names and values do not come in pairs, a name comes twice or has no values, or a
            value does not fit.
        UnknownHyperParamError
            If a name does not exist.

        Examples
        --------
        >>> from lfadsq import RunParams
        >>> sweep = RunParams().generate_sweep("c_gen_dim", [32, 64], "c_co_dim", range(0, 5, 2))
        >>> [(par.c_gen_dim, par.c_co_dim) for par in sweep]
        [(32, 0), (32, 2), (32, 4), (64, 0), (64, 2), (64, 4)]
        """
        if len(pairs) % 2:
            raise ConfigError(
                f"{len(pairs)} arguments do not make pairs of a name and its values",
                'for example generate_sweep("c_gen_dim", [32, 64], "c_co_dim", [0, 2])',
            )
        axes: dict[str, list[Any]] = {}
        for name, choices in [*zip(pairs[::2], pairs[1::2], strict=True), *values.items()]:
            if not isinstance(name, str):
                raise ConfigError(
                    f"{name!r} in generate_sweep is no name",
                    'for example generate_sweep("c_gen_dim", [32, 64], "c_co_dim", [0, 2])',
                )
            if name in axes:
                raise ConfigError(f"{name} comes twice in the sweep", "name it once")
            if isinstance(choices, str) or not isinstance(choices, Iterable):
                raise ConfigError(f"the values of {name} are {choices!r}", "give a list of values")
            axes[name] = list(choices)
            if not axes[name]:
                raise ConfigError(f"{name} has no values to sweep over", "give at least one")
        sweep = []
        for combination in itertools.product(*axes.values()):
            setting = self.copy()
            setting._assign(dict(zip(axes, combination, strict=True)))
            sweep.append(setting)
        return sweep

    # --- hashes -----------------------------------------------------------------------------------

    @property
    def param_hash(self) -> str:
        """Six characters that stand for all hashed values other than the defaults."""
        return hash_of(self.param_hash_values())

    @property
    def data_hash(self) -> str:
        """Six characters that stand for those values that change the trainer's input."""
        return hash_of(self.data_hash_values())

    @property
    def param_hash_string(self) -> str:
        """Name of the folder of the runs with these values."""
        return PARAM_PREFIX + self.param_hash

    @property
    def data_hash_string(self) -> str:
        """Name of the folder of the data prepared with these values."""
        return DATA_PREFIX + self.data_hash

    def param_hash_values(self) -> list[tuple[HyperParam, Any]]:
        """List what enters the param hash."""
        return self._differences_except("get_list_properties_not_affecting_hash")

    def data_hash_values(self) -> list[tuple[HyperParam, Any]]:
        """List what enters the data hash."""
        return self._differences_except("get_list_properties_not_affecting_input_data_hash")

    def get_list_properties_not_affecting_hash(self) -> list[str]:
        """List the hyperparameters that enter no hash.

        A subclass may override this and add names to it, as in MATLAB; ``in_param_hash=False`` in
        the declaration does the same. ``name`` and ``version`` enter no hash in any case.
        """
        return list(self._names_outside_hashes()[0])

    def get_list_properties_not_affecting_input_data_hash(self) -> list[str]:
        """List the hyperparameters that do not enter the data hash.

        A subclass may override this and add names to it, as in MATLAB; ``in_data_hash=False`` in
        the declaration does the same. It may depend on values, as the base does: before version
        20171107 not even ``c_factors_dim`` entered the data hash.

        Examples
        --------
        >>> from lfadsq import RunParams, hyperparam
        >>> class MyRunParams(RunParams):
        ...     repeat: int = hyperparam(1, matlab_class="uint16")
        ...
        ...     def get_list_properties_not_affecting_input_data_hash(self):
        ...         return [*super().get_list_properties_not_affecting_input_data_hash(), "repeat"]
        >>> MyRunParams(repeat=2).data_hash == MyRunParams().data_hash
        True
        """
        names = {*self._names_outside_hashes()[1], *self.get_list_properties_not_affecting_hash()}
        if getattr(self, "version", _FIRST_VERSION_WITH_FACTORS_IN_DATA_HASH) < (
            _FIRST_VERSION_WITH_FACTORS_IN_DATA_HASH
        ):
            names.add("c_factors_dim")
        return sorted(names)

    @classmethod
    def _names_outside_hashes(cls) -> tuple[frozenset[str], frozenset[str]]:
        names = cls.__dict__.get("_cached_names_outside_hashes")
        if names is None:
            table = cls.hyperparams()
            names = (
                frozenset(hyper.name for hyper in table if not hyper.in_param_hash),
                frozenset(hyper.name for hyper in table if not hyper.in_data_hash),
            )
            cls._cached_names_outside_hashes = names
        return names

    def _differences_except(self, hook: str) -> list[tuple[HyperParam, Any]]:
        excepted = {*getattr(self, hook)(), *LABELS}
        unknown = excepted - self._table().keys() - {*LABELS}
        if unknown:
            error = UnknownHyperParamError(min(unknown), list(self._table()))
            raise ConfigError(f"{class_title(type(self))}.{hook}: {error.problem}", error.remedy)
        return [pair for pair in self._differences() if pair[0].name not in excepted]

    def _differences(self) -> list[tuple[HyperParam, Any]]:
        values = self.__dict__
        # Every hash asks this, and nearly all values are the defaults themselves.
        return [
            (hyper, values[name])
            for name, hyper in self._table().items()
            if (values[name] is not hyper.default or hyper.never_at_default)
            and not hyper.is_at_default(values[name])
        ]

    # --- text -------------------------------------------------------------------------------------

    def get_diff_from_default(self) -> str:
        """Write what differs from the defaults in one line.

        >>> from lfadsq import RunParams
        >>> RunParams(name="small", c_gen_dim=64, c_learning_rate_stop=1e-3).get_diff_from_default()
        'c_learning_rate_stop=0.001 c_gen_dim=64'
        """
        return " ".join(
            f"{hyper.name}={format_general(value, hyper.matlab_class, longest=_LONGEST_ARRAY)}"
            for hyper, value in self._differences()
            if hyper.name not in LABELS
        )

    def generate_title(self) -> str:
        """Write class and name: ``lfadsq.RunParams "first_attempt"``."""
        name = getattr(self, "name", "")
        return class_title(type(self)) + (f' "{name}"' if name else "")

    def generate_display_text(self) -> str:
        """Write all values for people, in groups."""
        class_name = class_title(type(self))
        label = self.generate_title().removeprefix(class_name)
        lines = [f"{class_name} {self.param_hash_string} {self.data_hash_string}{label}"]
        lines += [self.get_diff_from_default(), "", "   Computed hashes"]
        hashes = ("param_hash", "param_hash_string", "data_hash", "data_hash_string")
        shown = self._shown()
        longest = max(len(name) for name in [*hashes, *(hyper.name for hyper in shown)])
        lines += attribute_lines(
            ((name, format_short(getattr(self, name))) for name in hashes), longest=longest
        )
        for group in dict.fromkeys(hyper.group for hyper in shown):
            lines += ["", f"   {group}"]
            lines += attribute_lines(
                (
                    (hyper.name, format_short(getattr(self, hyper.name), hyper.matlab_class))
                    for hyper in shown
                    if hyper.group == group
                ),
                longest=longest,
            )
        return "\n".join(lines)

    def generate_summary_text(self) -> str:
        """Write all values, a line each, as ``summary.txt`` lists them."""
        return "\n".join(
            f"{hyper.name}: {format_general(getattr(self, hyper.name), hyper.matlab_class)}"
            for hyper in self._shown()
            if hyper.name not in LABELS
        )

    def _shown(self) -> list[HyperParam]:
        return [
            hyper
            for hyper in self.hyperparams()
            if hyper.displayed or not hyper.is_at_default(getattr(self, hyper.name))
        ]


def _refuse_misdeclared(cls: type[HyperParamValues]) -> None:
    declared = inspect.get_annotations(cls)
    inherited = {
        name for base in cls.__mro__[1:] for name in getattr(base, "__dataclass_fields__", ())
    }
    redefined = inherited & {*cls.__dict__, *declared}
    if redefined:
        raise ConfigError(
            f"{cls.__qualname__} redefines {', '.join(sorted(redefined))}, whose default is part "
            "of the names on disk",
            "set the value in each setting, or derive a function that makes your settings",
        )
    for name in declared:
        value = cls.__dict__.get(name)
        if isinstance(value, list | np.ndarray):
            raise ConfigError(
                f"{cls.__qualname__}.{name} has a default that could be changed by mistake",
                f"write for example {name}: ... = hyperparam({reprlib.repr(value)})",
            )
    for name, value in cls.__dict__.items():
        is_field = isinstance(value, dataclasses.Field)
        is_plain = isinstance(value, bool | int | float | str | list | tuple)
        if name not in declared and (is_field or (is_plain and not name.startswith("_"))):
            example = type(getattr(value, "default", value)).__name__
            raise ConfigError(
                f"{cls.__qualname__}.{name} has no type, so it is no hyperparameter",
                f"write for example {name}: {example} = ...",
            )
