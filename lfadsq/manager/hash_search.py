"""Finding values of hyperparameters by the hash they must give."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lfadsq.manager.hashing import hash_of
from lfadsq.manager.hyperparams import HyperParam

__all__ = ["Choice", "HashSearch"]

_MOST_TRIES = 10_000
_MOST_TRIES_EACH = 3_000


@dataclass(frozen=True)
class Choice:
    """One thing that a hyperparameter may be.

    Attributes
    ----------
    hyper : HyperParam
        How it is declared.
    value : object
        Its value, as `HyperParam.convert` gives it.
    is_hashed : bool
        Whether it enters the hash.
    """

    hyper: HyperParam
    value: Any
    is_hashed: bool


class HashSearch:
    """Tries combinations of choices, likely ones first, until a hash comes out.

    A hash of six characters has 36 bits, so what gives it is what was hashed: a wrong combination
    does so by chance once in seven million searches at most. A collection of many settings that
    fit nothing must still open soon, so vain tries are limited for all of them together.
    """

    def __init__(self, most_tries: int = _MOST_TRIES) -> None:
        self._tries_left = most_tries

    def find(
        self,
        choices: Sequence[Sequence[Choice]],
        wanted: str,
        most_tries: int = _MOST_TRIES_EACH,
    ) -> list[Choice] | None:
        """Choose so that the hash is the wanted one.

        Parameters
        ----------
        choices : sequence of sequence of Choice
            For each hyperparameter what it may be, the likeliest first.
        wanted : str
            The hash.
        most_tries : int, default 3000
            How many combinations are tried at most.

        Returns
        -------
        list of Choice or None
            One for each hyperparameter; None if no combination was found.
        """
        if not all(choices):
            return None
        # Even when all tries are used up: what leaves nothing open is soon told.
        tries = max(1, min(self._tries_left, most_tries))
        open_ones = [index for index, options in enumerate(choices) if len(options) > 1]
        chosen = [options[0] for options in choices]
        indices = _likeliest_first([len(choices[index]) for index in open_ones])
        tries_before = self._tries_left
        for picked in itertools.islice(indices, tries):
            self._tries_left -= 1
            for index, option in zip(open_ones, picked, strict=True):
                chosen[index] = choices[index][option]
            if hash_of((one.hyper, one.value) for one in chosen if one.is_hashed) == wanted:
                self._tries_left = tries_before
                return chosen
        return None


def _likeliest_first(sizes: Sequence[int]) -> Iterator[list[int]]:
    """List an index into each of several lists: first all 0, then those that sum to 1, 2, ...

    >>> [indices for indices in _likeliest_first([2, 2])]
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    for total in range(sum(sizes) - len(sizes) + 1):
        yield from _summing_to(total, sizes)


def _summing_to(total: int, sizes: Sequence[int]) -> Iterator[list[int]]:
    if not sizes:
        if total == 0:
            yield []
        return
    reachable = sum(sizes) - len(sizes)
    if total > reachable:
        return
    for first in range(min(total, sizes[0] - 1) + 1):
        for others in _summing_to(total - first, sizes[1:]):
            yield [first, *others]
