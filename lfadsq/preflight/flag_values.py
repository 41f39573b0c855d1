"""The values of the trainer's flags as a script gives them, checked like the trainer does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from lfadsq.errors import ConfigError
from lfadsq.manager.hyperparams import FLAG_PREFIX
from lfadsq.manager.param_checks import list_violations
from lfadsq.manager.params import RunParams
from lfadsq.training.flags import FlagSpec, flag_specs, without_retired_flags

__all__ = ["FlagValues", "read_flags", "unknown_flags"]

_TRUE, _FALSE = ("true", "1", "yes", "on", "t", "y"), ("false", "0", "no", "off", "f", "n")
_UNKNOWABLE = "$"


@dataclass(frozen=True)
class FlagValues:
    """What a call of the trainer is given.

    Attributes
    ----------
    values : dict of str to object
        Every flag of the trainer, of the right type: as given, or its default.
    wrong : tuple of str
        A line for each value that it would refuse.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()


def read_flags(texts: Mapping[str, str]) -> FlagValues:
    """Read flags.

    Parameters
    ----------
    texts : dict of str to str
        As a script gives them (`lfadsq.preflight.run_scripts.ScriptCall.flags`). What holds a shell
        variable, or is no flag of the trainer, is passed over.

    Returns
    -------
    FlagValues

    Examples
    --------
    >>> found = read_flags({"gen_dim": "64", "keep_prob": "0.950000"})
    >>> found.values["gen_dim"], found.values["co_dim"], found.wrong
    (64, 4, ())
    """
    specs = _specs()
    values = dict(_defaults())
    wrong = []
    given: dict[str, Any] = {}
    for name, text in texts.items():
        spec = specs.get(name)
        if spec is not None and (_UNKNOWABLE not in text or spec.type is str):
            try:
                given[name] = _read(spec, text)
            except ValueError as error:
                wrong.append(f"{name} is {text!r}: {error}")
    values.update(given)
    return FlagValues(values, (*wrong, *_violations(given)))


def unknown_flags(names: Iterable[str]) -> tuple[str, ...]:
    """List names that the trainer does not know; it ignores those that are retired.

    >>> unknown_flags(["gen_dim", "gen_dims", "tf_debug_cli", "in_factors_dim"])
    ('gen_dims',)
    """
    return tuple(name for name in names if name not in _specs() and not _is_retired(name))


def _violations(given: Mapping[str, Any]) -> list[str]:
    """List what no model can be trained with; settings and flags have the same rules."""
    hyper_flags = _hyper_flags()
    try:
        params = RunParams(
            **{hyper_flags[name]: value for name, value in given.items() if name in hyper_flags}
        )
    except ConfigError as error:
        return [" ".join(str(error).split())]
    return list_violations(params)


@cache
def _specs() -> dict[str, FlagSpec]:
    return {spec.name: spec for spec in flag_specs()}


@cache
def _defaults() -> dict[str, Any]:
    return {name: spec.default for name, spec in _specs().items()}


@cache
def _hyper_flags() -> dict[str, str]:
    names = {hyper.name for hyper in RunParams.hyperparams() if hyper.passed_to_trainer}
    return {name: FLAG_PREFIX + name for name in _specs() if FLAG_PREFIX + name in names}


@cache
def _is_retired(name: str) -> bool:
    return bool(without_retired_flags([f"--{name}="])[1])


def _read(spec: FlagSpec, text: str) -> Any:
    if spec.type is bool:
        if text.lower() not in (*_TRUE, *_FALSE):
            raise ValueError("give true or false")
        return text.lower() in _TRUE
    if spec.type is int:
        try:
            return int(text) if text.strip("+-").isdigit() else _whole(float(text))
        except (ValueError, OverflowError):
            raise ValueError("give a whole number") from None
    if spec.type is float:
        try:
            return float(text)
        except ValueError:
            raise ValueError("give a number") from None
    if spec.choices and text not in spec.choices:
        raise ValueError(f"give one of {', '.join(spec.choices)}")
    return text


def _whole(number: float) -> int:
    if number != int(number):
        raise ValueError
    return int(number)
