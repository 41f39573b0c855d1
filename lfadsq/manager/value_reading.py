"""Values of hyperparameters, read from the texts in which summaries and scripts hold them.

A text does not say everything: six digits of a double are shown, and nothing tells the class of a
parameter that a lab declared itself. So each function gives all values that a text may stand for,
the likeliest first; which of them is right, the hash in the name of the run's folder decides.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any, get_args

from lfadsq.errors import ConfigError
from lfadsq.manager.hashing import typed_stream
from lfadsq.manager.hyperparams import FLAG_PREFIX, HyperParam
from lfadsq.manager.matlab_values import MatlabArray, MatlabCell, MatlabClass

__all__ = ["declare_unknown", "options_of_unknown", "values_of_text"]

_LOGICAL_TEXTS = {"true": True, "false": False, "1": True, "0": False}
_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_SEPARATORS = re.compile(r"[\s,]+")
_BRACKETS = {"[": "]", "{": "}"}
# Integers of 16, 32 and 64 bits are hashed alike where they fit.
_NUMBER_CLASSES = ("double", "uint64", "int64", "uint8", "int8", "single", "logical", "char")
_LARGEST_DENOMINATORS = (12, 100, 1000)
_MOST_ROOTS = 12


def values_of_text(hyper: HyperParam, text: str) -> list[Any]:
    """List the values of a hyperparameter that a text may stand for.

    Parameters
    ----------
    hyper : HyperParam
        The hyperparameter.
    text : str
        As `lfadsq.manager.displays.format_general` or MATLAB writes it.

    Returns
    -------
    list
        As `HyperParam.convert` gives them, the likeliest first; empty if the text fits none.

    Examples
    --------
    >>> from lfadsq import RunParams
    >>> by_name = {hyper.name: hyper for hyper in RunParams.hyperparams()}
    >>> values_of_text(by_name["c_gen_dim"], "64")
    [64]
    >>> 1 / 3 in values_of_text(by_name["c_keep_prob"], "0.333333")
    True
    >>> values_of_text(by_name["c_gen_dim"], "many")
    []
    """
    found: dict[bytes, Any] = {}
    for raw in _raw_values(hyper, text):
        try:
            value = hyper.convert(raw)
        except ConfigError:
            continue
        # To the bit, as they are hashed: 0 and -0 are two values.
        found.setdefault(typed_stream(value, hyper.matlab_class), value)
    return list(found.values())


def options_of_unknown(name: str, text: str) -> list[tuple[HyperParam, Any]]:
    """List what a parameter may be that no class at hand declares.

    Parameters
    ----------
    name : str
        Its name.
    text : str
        Its value, as a summary shows it.

    Returns
    -------
    list of (HyperParam, value)
        The likeliest class first: MATLAB's numbers are doubles, unless declared otherwise.

    Examples
    --------
    >>> [hyper.matlab_class for hyper, _ in options_of_unknown("alignTo", "GoCue")]
    ['char']
    >>> options_of_unknown("numBins", "5")[0][1]
    5.0
    """
    return [
        (hyper, value)
        for hyper in (declare_unknown(name, matlab_class) for matlab_class in _classes_of(text))
        for value in values_of_text(hyper, text)
    ]


def declare_unknown(name: str, matlab_class: MatlabClass) -> HyperParam:
    """Describe a parameter as MATLAB treats one that a lab declared, with no default known."""
    return HyperParam(
        name=name,
        default=None,
        matlab_class=matlab_class,
        group="Other",
        help="found in summary.txt",
        in_param_hash=True,
        in_data_hash=True,
        passed_to_trainer=name.startswith(FLAG_PREFIX),
        displayed=True,
        choices=(),
    )


def _classes_of(text: str) -> list[MatlabClass]:
    shown = text.strip()
    if shown in ("true", "false"):
        likely: tuple[str, ...] = ("logical", "char")
    elif shown in ("", "[]", "{}"):
        # Empty ones are hashed with the class they have.
        first = {"": "char", "[]": "double", "{}": "cell"}[shown]
        likely = (first, *(one for one in get_args(MatlabClass) if one != first))
    elif shown.startswith("[") and shown.endswith("]"):
        likely = (*_NUMBER_CLASSES[:-1], "cell", "char")
    elif shown.startswith("{") and shown.endswith("}"):
        likely = ("cell", "char")
    elif _number_of(shown) is not None:
        likely = _NUMBER_CLASSES
    else:
        likely = ("char",)
    return [known for one in likely for known in get_args(MatlabClass) if known == one]


def _raw_values(hyper: HyperParam, text: str) -> Iterator[Any]:
    shown = text.strip()
    kind: str = hyper.matlab_class
    if kind == "char":
        # Blanks at its ends are part of a text; a script or an editor may have cut them off.
        yield from ("",) if text in ("''", '""') else (text, shown)
    elif kind == "logical":
        if shown in _LOGICAL_TEXTS:
            yield _LOGICAL_TEXTS[shown]
    elif _is_in_brackets(shown, "{") and kind == "cell":
        yield _cell(shown, ",")
        yield _cell(shown, " ")
    elif _is_in_brackets(shown, "["):
        yield _matrix(shown)
    elif kind == "cell":
        if not shown:
            yield ()
    elif kind in ("double", "single"):
        yield from _doubles(shown) if shown else ((),)
    elif (number := _number_of(shown)) is not None:
        yield int(shown) if shown.isdecimal() else number


def _number_of(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _doubles(text: str) -> Iterator[float]:
    """List doubles that ``%g`` shows so: decimals, fractions, steps of a logarithmic axis."""
    value = _number_of(text)
    if value is None:
        return
    yield value
    if not math.isfinite(value) or value == 0:
        return
    close: list[float] = []
    for largest in _LARGEST_DENOMINATORS:
        close.append(float(Fraction(value).limit_denominator(largest)))
    # Sums like 0.1 + 0.2 miss their decimal by a hair.
    for direction in (math.inf, -math.inf):
        one = math.nextafter(value, direction)
        close += [one, math.nextafter(one, direction)]
    if value > 0:
        for root in range(1, _MOST_ROOTS + 1):
            for base in (10.0, 2.0, math.e):
                with suppress(OverflowError):
                    close.append(base ** (round(math.log(value, base) * root) / root))
    yield from (one for one in close if f"{one:g}" == f"{value:g}")


def _is_in_brackets(text: str, opening: str) -> bool:
    return text.startswith(opening) and text.endswith(_BRACKETS[opening])


def _matrix(text: str) -> tuple[Any, ...]:
    """Read ``[1 2;3 4]``: rows of numbers; a single row is a tuple of its elements."""
    rows = [
        tuple(_element(word) for word in _SEPARATORS.split(row) if word)
        for row in text[1:-1].split(";")
    ]
    return rows[0] if len(rows) == 1 else tuple(rows)


def _cell(text: str, separator: str) -> tuple[Any, ...]:
    """Read ``{a, 2}``, or ``{a 2}``; what stands in brackets within it is one element."""
    elements: list[str] = [""]
    depth = 0
    for character in text[1:-1]:
        depth += (character in _BRACKETS) - (character in _BRACKETS.values())
        if character == separator and not depth:
            elements.append("")
        else:
            elements[-1] += character
    stripped = [element.removeprefix(" ") for element in elements]
    return tuple(map(_element, stripped if stripped != [""] else []))


def _element(text: str) -> Any:
    if _is_in_brackets(text, "["):
        return MatlabArray(_matrix(text))
    if _is_in_brackets(text, "{"):
        return MatlabCell(_cell(text, ","))
    if quoted := _QUOTED.fullmatch(text):
        return quoted[1].replace("''", "'")
    if text in ("true", "false"):
        return text == "true"
    number = _number_of(text)
    return text if number is None else number
