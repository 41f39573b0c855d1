"""Drawing pictures beside a training, which never waits for them.

Drawing takes most of a second of Python. A thread would hold the interpreter's lock meanwhile,
which the training needs for each of its steps. So a process of low priority draws; it is started
with the first picture and shares nothing with TensorFlow. A thread, which sleeps nearly always,
waits for it.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from lfadsq.training.pictures import TrialPicture

__all__ = ["PictureRenderer"]

logger = logging.getLogger(__name__)

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from lfadsq.training.rendering_process import serve; serve()"
)
_SECONDS_TO_END = 2.0


class _Order(NamedTuple):
    picture: TrialPicture
    deliver: Callable[[bytes], None]


class PictureRenderer:
    """Draws pictures in a process of its own.

    If that fails for any reason there is one warning, and no more pictures are drawn.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._orders: dict[str, _Order] = {}
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_drawing = False
        self._is_closed = False
        self._has_failed = False

    def submit(self, key: str, picture: TrialPicture, deliver: Callable[[bytes], None]) -> None:
        """Have a picture drawn; return at once.

        Parameters
        ----------
        key : str
            An earlier picture of the same key that is not begun yet is dropped.
        picture : TrialPicture
        deliver : callable
            Is given the PNG, in another thread.
        """
        with self._changed:
            if self._has_failed or self._is_closed:
                return
            self._orders[key] = _Order(picture, deliver)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="pictures", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, longest_s: float) -> None:
        """Wait until all that was submitted is delivered, but not longer [s]."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._orders or self._is_drawing), longest_s)

    def close(self) -> None:
        """End the process; nothing is delivered after this has returned.

        Ending it takes the system milliseconds, and is not waited for longer than two seconds.
        """
        with self._changed:
            self._is_closed = True
            self._orders.clear()
            if self._process is not None:
                self._process.kill()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_SECONDS_TO_END)

    def _work(self) -> None:
        try:
            while (order := self._next()) is not None:
                png = self._drawn(order.picture)
                with self._changed:
                    if not self._is_closed:
                        order.deliver(png)
        except Exception as error:
            self._fail(error)
        finally:
            self._end_process()

    def _next(self) -> _Order | None:
        with self._changed:
            self._is_drawing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._orders or self._is_closed)
            if self._is_closed:
                return None
            self._is_drawing = True
            return self._orders.pop(next(iter(self._orders)))

    def _drawn(self, picture: TrialPicture) -> bytes:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        pickle.dump(picture, process.stdin)
        process.stdin.flush()
        answer = pickle.load(process.stdout)
        if isinstance(answer, str):
            raise RuntimeError(answer)
        assert isinstance(answer, bytes)
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        with self._changed:
            if self._is_closed:
                raise EOFError
            if self._process is None:
                # One thread: the cores are the training's.
                alone = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        _PROGRAM,
                        json.dumps([str(entry) for entry in sys.path]),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, **alone, "MPLBACKEND": "agg"},
                )
            return self._process

    def _fail(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if isinstance(error, (EOFError, BrokenPipeError)):
            reason = "the process that draws them has ended"
        if not self._is_closed:
            logger.warning("TensorBoard gets no more pictures of example trials: %s", reason)
        with self._changed:
            self._has_failed = True
            self._is_drawing = False
            self._orders.clear()
            self._changed.notify_all()

    def _end_process(self) -> None:
        process = self._process
        if process is None:
            return
        with suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
