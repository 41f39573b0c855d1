"""The process that draws pictures for a training (see `rendering`).

It reads pictures from standard input and answers each with a PNG, or with the text of an error. It
ends when its input does: however its parent ended, there is no such process left.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from contextlib import suppress
from typing import BinaryIO

__all__ = ["serve"]

# Behind every training, yet not so far that on a full machine a picture takes minutes.
_NICENESS = 5


def serve() -> None:
    """Answer until there is nothing more to read."""
    # Ctrl-C and the end of a job reach all processes of a group, but the parent decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICENESS)
    # Whatever libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(BrokenPipeError):
        _answer_all(sys.stdin.buffer, answers)


def _answer_all(pictures: BinaryIO, answers: BinaryIO) -> None:
    while True:
        try:
            # Both ends are one program, so that reading pickles is safe.
            picture = pickle.load(pictures)
        except EOFError:
            return
        try:
            answer: bytes | str = _drawn(picture)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        pickle.dump(answer, answers)
        answers.flush()


def _drawn(picture: object) -> bytes:
    import matplotlib

    from lfadsq.training.pictures import TrialPicture, draw_png

    assert isinstance(picture, TrialPicture)
    # A user's own settings may ask for LaTeX, or for white on black.
    matplotlib.rcdefaults()
    return draw_png(picture)
