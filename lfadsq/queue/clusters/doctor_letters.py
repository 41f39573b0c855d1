"""Questions and answers between two machines that share a folder, in files of it.

A file appears complete or not at all (`lfadsq.files`). Both sides list the folder in place of
asking for a name: network file systems look afresh when a folder is opened, but remember for up to
a minute that a name was not there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfadsq.errors import ClusterError
from lfadsq.files import write_text

__all__ = [
    "Letter",
    "Letters",
    "answer",
    "growing_s",
    "is_there",
    "name_of_answer",
    "next_question",
]

_FIRST_NAP_S, _LONGEST_NAP_S = 0.005, 0.1
_CHECK_S = 2.0
_BEGUN = 0


@dataclass(frozen=True)
class Letter:
    """A question.

    Attributes
    ----------
    number : int
        Questions count from 1.
    verb : str
    arguments : dict
    """

    number: int
    verb: str
    arguments: Mapping[str, Any]


class Letters:
    """The side that asks.

    Parameters
    ----------
    folder : Path
    check : callable
        Called every two seconds while an answer is waited for; raises if none will come.
    """

    def __init__(self, folder: Path, check: Callable[[], None]) -> None:
        self._folder = folder
        self._check = check
        self._number = _BEGUN

    def ask(self, verb: str, wait_s: float, /, **arguments: Any) -> dict[str, Any]:
        """Ask, and wait for the answer.

        Raises
        ------
        ClusterError
            If none comes in time, or the other side failed.
        """
        return self.answer_to(self.post(verb, **arguments), wait_s)

    def post(self, verb: str, /, **arguments: Any) -> int:
        """Ask without waiting; gives the number of the question."""
        self._number += 1
        asked = {"verb": verb, "arguments": arguments}
        _write(self._folder / _name("question", self._number), asked)
        return self._number

    def first_words(self, wait_s: float) -> dict[str, Any]:
        """Wait until the other side tells that it has begun; see `answer_to`."""
        return self.answer_to(_BEGUN, wait_s)

    def answer_to(self, number: int, wait_s: float) -> dict[str, Any]:
        """Wait for an answer.

        Raises
        ------
        ClusterError
            If none comes in time, or the other side failed.
        """
        name = name_of_answer(number)
        deadline_s = time.monotonic() + wait_s
        checked_s = time.monotonic()
        naps_s = growing_s(_FIRST_NAP_S, _LONGEST_NAP_S)
        while not is_there(self._folder, name):
            now_s = time.monotonic()
            if now_s > deadline_s:
                raise ClusterError(f"the node gave no answer within {wait_s:g} s")
            if now_s - checked_s > _CHECK_S:
                self._check()
                checked_s = time.monotonic()
            time.sleep(next(naps_s))
        told: dict[str, Any] = json.loads((self._folder / name).read_text(encoding="utf-8"))
        if "error" in told:
            raise ClusterError(f"the node could not tell: {told['error']}")
        return told


def next_question(folder: Path, number: int, patience_s: float) -> Letter | None:
    """Wait for a question on the side that answers; None if nobody asks any more."""
    name = _name("question", number)
    deadline_s = time.monotonic() + patience_s
    naps_s = growing_s(_FIRST_NAP_S, _LONGEST_NAP_S)
    while not is_there(folder, name):
        if time.monotonic() > deadline_s:
            return None
        time.sleep(next(naps_s))
    asked = json.loads((folder / name).read_text(encoding="utf-8"))
    return Letter(number, asked["verb"], asked["arguments"])


def answer(folder: Path, number: int, told: Mapping[str, Any]) -> None:
    """Answer a question; number 0 tells that the side that answers has begun."""
    _write(folder / name_of_answer(number), told)


def is_there(folder: Path, name: str) -> bool:
    """Tell whether a file is in a folder now, whatever was known of it before."""
    try:
        return any(path.name == name for path in folder.iterdir())
    except OSError:
        return False


def growing_s(first_s: float, longest_s: float) -> Iterator[float]:
    """Give times to sleep between looks [s]: what comes soon is seen soon, the rest costs little.

    >>> naps_s = growing_s(1, 4)
    >>> [next(naps_s) for _ in range(4)]
    [1, 2, 4, 4]
    """
    while True:
        yield first_s
        first_s = min(2 * first_s, longest_s)


def name_of_answer(number: int) -> str:
    """Give the name of the file that answers a question."""
    return _name("answer", number)


def _name(kind: str, number: int) -> str:
    return f"{kind}-{number:04d}.json"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content), durable=False)
