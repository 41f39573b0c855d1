"""What a hyperparameter is: its class on disk, its default, its place in hashes and displays.

The fields of `RunParams` carry this as metadata, and everything that needs to know about
hyperparameters (hashes, checks, displays, the flags of the trainer, its command line) reads it from
there.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lfadsq.errors import ConfigError

__all__ = ["FLAG_PREFIX", "HyperParam", "MatlabClass", "hyperparam", "hyperparams_of"]

MatlabClass = Literal["char", "logical", "double", "uint16", "uint32", "cell"]

FLAG_PREFIX = "c_"
"""Hyperparameters that begin with this are flags of the trainer, where they go without it."""

_METADATA_KEY = "lfadsq"
_LARGEST_DOUBLE = sys.float_info.max


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
    matlab_class : {"char", "logical", "double", "uint16", "uint32", "cell"}
        Its class in MATLAB, which decides how it is hashed and which values it can hold.
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

    @property
    def flag(self) -> str:
        """The trainer's name for it: without the prefix ``c_``."""
        return self.name.removeprefix(FLAG_PREFIX)

    def convert(self, value: Any) -> Any:
        """Give `value` in the Python type that stands for the MATLAB class.

        Parameters
        ----------
        value : object
            What the user gave: Python or NumPy scalars, text, or sequences.

        Returns
        -------
        object
            `bool`, `int`, `float`, `str`, a tuple of floats (a row of doubles, only where the
            default is one), or a tuple (cell).

        Raises
        ------
        ConfigError
            If the class cannot hold the value.
        """
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
            value = value.item()
        if self.matlab_class == "logical":
            return self._convert_logical(value)
        if self.matlab_class == "char":
            return self._convert_char(value)
        if self.matlab_class == "cell":
            return self._convert_cell(value)
        if self.matlab_class == "double":
            return self._convert_double(value)
        return self._convert_integer(value)

    def _wrong(self, value: Any, remedy: str) -> ConfigError:
        return ConfigError(f"{self.name} cannot be {value!r}", remedy)

    def _convert_logical(self, value: Any) -> bool:
        if isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1)):
            return bool(value)
        raise self._wrong(value, "give True or False")

    def _convert_char(self, value: Any) -> str:
        if not isinstance(value, str):
            raise self._wrong(value, "give text")
        if self.choices and value not in self.choices:
            raise self._wrong(value, f"give one of {', '.join(map(repr, self.choices))}")
        return self._convert_text(value)

    def _convert_text(self, value: str) -> str:
        if any(ord(character) < 32 for character in value):
            raise self._wrong(value, "give text without line breaks or control characters")
        if any(0xD800 <= ord(character) < 0xE000 for character in value):
            raise self._wrong(value, "give text that can be written as UTF-8")
        return value

    def _convert_cell(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise self._wrong(value, "give a list")
        elements: list[Any] = []
        for element in value:
            if isinstance(element, np.generic):
                element = element.item()
            if isinstance(element, list | tuple | np.ndarray):
                element = self._convert_cell(element)
            elif isinstance(element, str):
                element = self._convert_text(element)
            elif not isinstance(element, bool):
                element = self._finite(element)
            elements.append(element)
        return tuple(elements)

    def _convert_double(self, value: Any) -> float | tuple[float, ...]:
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(self.default, tuple):
            elements = value if isinstance(value, list | tuple) else [value]
            return tuple(self._finite(element) for element in elements)
        return self._finite(value)

    def _finite(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(value, "give a number")
        if not abs(value) <= _LARGEST_DOUBLE:
            raise self._wrong(value, "give a finite number")
        # -0.0 and 0.0 are equal, so they must be one value in the hash too.
        return float(value) + 0.0

    def _convert_integer(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
            raise self._wrong(value, "give a whole number")
        largest = int(np.iinfo(self.matlab_class).max)
        if not 0 <= value <= largest:
            raise self._wrong(value, f"give a whole number from 0 to {largest}")
        return int(value)


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
        The default value; never change it once runs exist.
    matlab_class : str, optional
        Class on disk. By default it follows from `default`: ``logical``, ``char``, ``double`` for
        numbers and lists of them, ``cell`` for other lists, as in MATLAB.
    group : str, default "Other"
        Title in displays.
    help : str
        One line for people.
    in_param_hash : bool, default True
        Whether it enters the param hash.
    in_data_hash : bool, optional
        Whether it enters the data hash: by default unless its name begins with ``c_``.
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

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from lfadsq import RunParams
    >>> @dataclass
    ... class MyRunParams(RunParams):
    ...     alignTo: str = hyperparam("GoCue", group="My experiment", help="event at time zero")
    >>> MyRunParams(alignTo="Target").data_hash != MyRunParams().data_hash
    True
    """
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
    return tuple(_describe(declared) for declared in dataclasses.fields(cls))


def _describe(declared: dataclasses.Field[Any]) -> HyperParam:
    default = declared.default
    if default is dataclasses.MISSING and declared.default_factory is not dataclasses.MISSING:
        default = declared.default_factory()
        default = tuple(default) if isinstance(default, list) else default
    if default is dataclasses.MISSING:
        raise ConfigError(
            f"the hyperparameter {declared.name} has no default",
            "give it one in the class definition: hashes cover only what differs from it",
        )
    metadata = dict(
        declared.metadata.get(_METADATA_KEY, hyperparam(default).metadata[_METADATA_KEY])
    )
    is_flag = declared.name.startswith(FLAG_PREFIX)
    if metadata["matlab_class"] is None:
        metadata["matlab_class"] = _matlab_class_of(default)
    if metadata["in_data_hash"] is None:
        metadata["in_data_hash"] = metadata["in_param_hash"] and not is_flag
    if metadata["passed_to_trainer"] is None:
        metadata["passed_to_trainer"] = is_flag
    if not declared.name.isascii():
        raise ConfigError(
            f"the hyperparameter {declared.name!r} cannot be hashed", "use only ASCII in its name"
        )
    described = HyperParam(name=declared.name, default=default, **metadata)
    return dataclasses.replace(described, default=described.convert(default))


def _matlab_class_of(default: Any) -> MatlabClass:
    if isinstance(default, bool):
        return "logical"
    if isinstance(default, str):
        return "char"
    if isinstance(default, tuple):
        is_row = default and all(type(element) in (int, float) for element in default)
        return "double" if is_row else "cell"
    return "double"
