"""Long lists of jobs, a few at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

__all__ = ["chunked"]

_NUM_AT_ONCE = 100


def chunked(job_ids: Collection[str], num_at_once: int = _NUM_AT_ONCE) -> Iterator[list[str]]:
    """Give ids in lists that fit a command line, each id once.

    Examples
    --------
    >>> list(chunked(["1", "2", "1", "3"], 2))
    [['1', '2'], ['3']]
    """
    distinct = iter(dict.fromkeys(job_ids))
    while some := list(islice(distinct, num_at_once)):
        yield some
