"""Long work shows a bar on a terminal, and says what it does in the log elsewhere."""

from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys

from lfadsq.manager.progress import showing_progress

CODE = """
from lfadsq.manager.progress import showing_progress
with showing_progress("Reading datasets", 2) as advance:
    advance("dataset001")
    advance("dataset002")
import sys
assert "IPython" not in sys.modules
"""


def test_a_terminal_shows_a_bar_on_standard_error():
    ours, theirs = pty.openpty()
    ended = subprocess.run(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=theirs, check=True
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "Reading datasets: dataset002" in shown
    assert "100%" in shown
    assert ended.stdout == b""


def test_without_a_terminal_steps_are_logged(caplog):
    with caplog.at_level(logging.INFO), showing_progress("Reading datasets", 1) as advance:
        advance("dataset001")
    assert caplog.messages == ["Reading datasets: dataset001"]
