"""What a hyperparameter is: its class on disk, its default, its place in hashes and displays.

The fields of `RunParams` carry this as metadata, and everything that needs to know about
hyperparameters (hashes, checks, displays, the flags of the trainer, its command line) reads it from
there.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from lfadsq.errors import ConfigError
from lfadsq.manager.matlab_values import (
    MatlabClass,
    UnfitValueError,
    class_of,
    contains_nan,
    is_equal,
    is_finite,
    to_matlab,
    to_scalar,
)

__all__ = ["FLAG_PREFIX", "HyperParam", "MatlabClass", "hyperparam", "hyperparams_of"]

FLAG_PREFIX = "c_"
"""Hyperparameters that begin with this are flags of the trainer, where they go without it."""

_METADATA_KEY = "lfadsq"


@dataclass(frozen=True)
class HyperParam:
    """One hyperparameter, as it is declared.

    Attributes
    ----------
    name : str
        Published spelling, for example ``c_gen_dim``.
    default : object
        The default in the class definition. It is part of the on-disk format: a hash covers only
        what differs from it, so changing it would rename runs.
    matlab_class : str
        Its class in MATLAB, which decides how it is hashed and which values it can hold: ``char``,
        ``logical``, ``double``, ``single``, ``int8`` to ``uint64``, or ``cell``.
    group : str
        Title under which displays list it.
    help : str
        One line for people.
    in_param_hash, in_data_hash : bool
        Whether a value other than the default changes ``param_<HASH>`` and ``data_<HASH>``.
    passed_to_trainer : bool
        Whether it becomes a flag of the trainer.
    displayed : bool
        Whether displays list it even at its default.
    choices : tuple of str
        The only values allowed; empty if any are.
    is_published : bool
        Whether `lfadsq.RunParams` itself has it, not a class that a lab derived.
    """

    name: str
    default: Any
    matlab_class: MatlabClass
    group: str
    help: str
    in_param_hash: bool
    in_data_hash: bool
    passed_to_trainer: bool
    displayed: bool
    choices: tuple[str, ...]
    is_published: bool = False

    @property
    def flag(self) -> str:
        """The trainer's name for it: without the prefix ``c_``."""
        return self.name.removeprefix(FLAG_PREFIX)

    @cached_property
    def never_at_default(self) -> bool:
        """Whether every value counts as another: MATLAB takes no NaN for equal to a NaN."""
        return contains_nan(self.default)

    def is_at_default(self, value: Any) -> bool:
        """Tell whether a value, as `convert` gives it, is what hashes and displays leave out.

        Values are compared as by MATLAB's `isequal`: a default that is or holds a NaN is equal to
        no value, itself included, and so is hashed always.
        """
        if value is self.default:
            return not self.never_at_default
        return is_equal(self.default, value)

    def convert(self, value: Any) -> Any:
        """Give `value` in the Python type that stands for the MATLAB class.

        Parameters
        ----------
        value : object
            What the user gave: Python or NumPy scalars, text, sequences, arrays.

        Returns
        -------
        object
            As in the table of `lfadsq.manager.matlab_values`. Where the default is a row, so is a
            single number.

        Raises
        ------
        ConfigError
            If the class cannot hold the value, or LFADS cannot use it: `RunParams` itself has no
            arrays of numbers, and none that are infinite or NaN.
        """
        try:
            return self._convert(value)
        except UnfitValueError as unfit:
            raise ConfigError(
                f"{self.name} cannot be {reprlib.repr(value)}", unfit.remedy
            ) from None

    def _convert(self, value: Any) -> Any:
        is_cell = self.matlab_class == "cell"
        if not self.is_published or is_cell or isinstance(self.default, tuple):
            converted = to_matlab(value, self.matlab_class)
        else:
            converted = to_scalar(value, self.matlab_class)
        if self.is_published and not is_finite(converted):
            raise UnfitValueError("give a finite number")
        if self.choices and converted not in self.choices:
            raise UnfitValueError(f"give one of {', '.join(map(repr, self.choices))}")
        if isinstance(self.default, tuple) and not isinstance(converted, tuple):
            return (converted,)
        # -0.0 and 0.0 mean the same to LFADS, so they must be one value in the hash too.
        return converted + 0.0 if self.is_published and type(converted) is float else converted


def hyperparam(
    default: Any,
    *,
    matlab_class: MatlabClass | None = None,
    group: str = "Other",
    help: str = "",
    in_param_hash: bool = True,
    in_data_hash: bool | None = None,
    passed_to_trainer: bool | None = None,
    displayed: bool = True,
    choices: Sequence[str] = (),
) -> Any:
    """Declare a field of a `RunParams` class.

    Parameters
    ----------
    default : object
        The default value; never change it once runs exist. Text, a number, a list, or a NumPy array
        of at most two dimensions; infinite numbers and NaN will do, and so does ``()`` for an empty
        value.
    matlab_class : str, optional
        Class on disk: ``char``, ``logical``, ``double``, ``single``, ``int8`` to ``uint64``, or
        ``cell``. All but ``char`` and ``cell`` hold scalars, rows and matrices. By default it
        follows from `default`, as in MATLAB: ``logical``, ``char``, ``double`` for numbers and
        lists of them, ``cell`` for other lists, and for an array the class of its dtype.
    group : str, default "Other"
        Title in displays.
    help : str
        One line for people.
    in_param_hash : bool, default True
        Whether it enters the param hash.
    in_data_hash : bool, optional
        Whether it enters the data hash: by default if it enters the param hash. In `RunParams`
        itself, flags of the trainer do not.
    passed_to_trainer : bool, optional
        Whether it is a flag of the trainer: by default if its name begins with ``c_``.
    displayed : bool, default True
        Whether displays list it even at its default.
    choices : sequence of str
        The only values allowed.

    Returns
    -------
    dataclasses.Field
        For use in a class body.

    Notes
    -----
    A value enters the hashes where MATLAB's `isequal` takes it for another than the default. A
    default that is or holds a NaN is equal to nothing, so it is hashed always, as in MATLAB.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from lfadsq import RunParams
    >>> @dataclass
    ... class MyRunParams(RunParams):
    ...     alignTo: str = hyperparam("GoCue", group="My experiment", help="event at time zero")
    ...     longest_ms: float = hyperparam(float("inf"), group="My experiment")
    ...     num_skipped: int = hyperparam(0, matlab_class="int16", in_data_hash=False)
    >>> MyRunParams(alignTo="Target").data_hash != MyRunParams().data_hash
    True
    >>> MyRunParams(num_skipped=3).data_hash != MyRunParams().data_hash
    False
    """
    try:
        matlab_class = matlab_class or class_of(default)
        if isinstance(default, np.ndarray):
            is_scalar = default.ndim == 0
            default = to_matlab(default, matlab_class)
            default = default if is_scalar or isinstance(default, tuple) else (default,)
    except UnfitValueError as unfit:
        raise ConfigError(f"no default can be {reprlib.repr(default)}", unfit.remedy) from None
    metadata = {
        "matlab_class": matlab_class,
        "group": group,
        "help": help,
        "in_param_hash": in_param_hash,
        "in_data_hash": in_data_hash,
        "passed_to_trainer": passed_to_trainer,
        "displayed": displayed,
        "choices": tuple(choices),
    }
    if isinstance(default, list):
        default = tuple(default)
    return field(default=default, metadata={_METADATA_KEY: metadata})


def hyperparams_of(cls: type) -> tuple[HyperParam, ...]:
    """List the hyperparameters of a `RunParams` class, in the order of their declaration.

    Parameters
    ----------
    cls : type
        `RunParams` or a subclass. Fields declared without `hyperparam` count as in MATLAB: a number
        is a ``double``, and all enter both hashes.

    Returns
    -------
    tuple of HyperParam
    """
    root = [base for base in cls.__mro__ if "__dataclass_fields__" in base.__dict__][-1]
    published = {declared.name for declared in dataclasses.fields(root)}
    return tuple(
        _describe(declared, is_published=declared.name in published)
        for declared in dataclasses.fields(cls)
    )


def _describe(declared: dataclasses.Field[Any], *, is_published: bool) -> HyperParam:
    default = declared.default
    if default is dataclasses.MISSING and declared.default_factory is not dataclasses.MISSING:
        default = declared.default_factory()
        default = tuple(default) if isinstance(default, list) else default
    if default is dataclasses.MISSING:
        raise ConfigError(
            f"the hyperparameter {declared.name} has no default",
            "give it one in the class definition: hashes cover only what differs from it",
        )
    if not declared.name.isascii():
        raise ConfigError(
            f"the hyperparameter {declared.name!r} cannot be hashed", "use only ASCII in its name"
        )
    metadata = dict(
        declared.metadata.get(_METADATA_KEY, hyperparam(default).metadata[_METADATA_KEY])
    )
    is_flag = declared.name.startswith(FLAG_PREFIX)
    if metadata["in_data_hash"] is None:
        # MATLAB leaves out names with the prefix only where its own class declares them.
        metadata["in_data_hash"] = metadata["in_param_hash"] and not (is_flag and is_published)
    elif metadata["in_data_hash"] and not metadata["in_param_hash"]:
        raise ConfigError(
            f"the hyperparameter {declared.name} enters the data hash and not the param hash",
            "leave in_param_hash true: models of other data belong into another folder",
        )
    if metadata["passed_to_trainer"] is None:
        metadata["passed_to_trainer"] = is_flag
    described = HyperParam(
        name=declared.name, default=default, is_published=is_published, **metadata
    )
    return dataclasses.replace(described, default=described.convert(default))
