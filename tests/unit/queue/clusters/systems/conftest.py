"""Batch systems for tests that need no real one."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pbs_standin import PbsStandIn, pbs_on_path


@pytest.fixture
def pbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PbsStandIn]:
    """Give a PBS of four GPUs and eight cores; its jobs are ended with the test."""
    with pbs_on_path(tmp_path / "pbs", monkeypatch.setenv) as standin:
        yield standin


class Sayings:
    """Programs on PATH that say what they were told to, and note how they were called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def __call__(self, program: str, out: str = "", err: str = "", status: int = 0) -> None:
        for suffix, text in ((".out", out), (".err", err), (".calls", "")):
            (self._folder / f"{program}{suffix}").write_text(text)
        path = self._folder / program
        base = shlex.quote(str(path))
        path.write_text(
            "#!/bin/sh\n"
            f'echo "$*" >>{base}.calls\n'
            f"[ -t 0 ] || cat >{base}.given\n"
            f"cat {base}.out\ncat {base}.err >&2\nexit {status}\n"
        )
        path.chmod(0o755)

    def calls(self, program: str) -> list[str]:
        """Give the arguments of each call."""
        return (self._folder / f"{program}.calls").read_text().rstrip("\n").split("\n")

    def given(self, program: str) -> str:
        """Give the standard input of the last call."""
        return (self._folder / f"{program}.given").read_text()


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sayings:
    """Put programs on PATH that answer what a test wants."""
    folder = tmp_path / "sayings"
    sayings = Sayings(folder)
    # The batch systems of the machine itself must not answer where a test says that one is missing.
    cat = shutil.which("cat")
    assert cat is not None
    (folder / "cat").symlink_to(cat)
    monkeypatch.setenv("PATH", str(folder))
    return sayings
