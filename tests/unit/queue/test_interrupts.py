from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import wait_until

PROGRAM = """
import os, sys
from lfadsq.queue.interrupts import Interrupts
if sys.argv[2] == "background":
    # As a shell does with a job that ends in `&`.
    if os.fork():
        os.wait()
        raise SystemExit
    os.setpgid(0, 0)
answer = Interrupts(lambda message: None).can_ask
with open(sys.argv[1], "w") as file:
    file.write(f"{answer} ")
"""


@pytest.mark.parametrize(("place", "can_ask"), [("foreground", True), ("background", False)])
def test_only_who_is_in_the_foreground_of_a_terminal_may_ask(
    tmp_path: Path, place: str, can_ask: bool
) -> None:
    told = tmp_path / "told"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM, str(told), place])
    try:
        wait_until(lambda: told.exists() and told.read_text().endswith(" "), "an answer")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    assert told.read_text() == f"{can_ask} "


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    told = tmp_path / "told"
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(told), "foreground"],
        stdin=subprocess.DEVNULL,
        check=True,
    )
    assert told.read_text() == "False "
