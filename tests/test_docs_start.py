"""What docs/start.md says can be typed, and is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from lfadsq import TrainerCommands
from lfadsq.manager.starter import render_starter
from lfadsq.manager.trainer_commands import PLACEHOLDERS

from .docs_pages import blocks, shell_lines
from .test_starter import Here, begin
from .test_starter import here as here

PAGE = (Path(__file__).parent.parent / "docs" / "start.md").read_text(encoding="utf-8")
FILES = {str(path.relative_to("/x/reaching")) for path in render_starter(Path("/x/reaching"))}


def test_files_are_those_that_are_written() -> None:
    table = PAGE.partition("| file | what it is |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(\S+)` \|", table, re.MULTILINE)
    assert set(named) == FILES - {"README.md", "reaching/__init__.py"}
    for line in shell_lines(PAGE):
        words = shlex.split(line, comments=True)
        if words[0] == "python" and not words[1].endswith("run_lfadsqueue.py"):
            assert words[1] in FILES


def test_cells_run_in_the_experiment(tmp_path: Path, here: Here) -> None:
    table, drive, trainers = blocks("python", PAGE)
    experiment = begin(tmp_path, "reaching")
    with here(experiment, "reaching"):
        for cell in (table, drive):
            known: dict[str, object] = {}
            exec(cell, known)
        assert known["run"].name == "single_dataset001"
    known = {}
    exec(trainers, known)
    assert isinstance(known["original"], TrainerCommands)
    assert known["fork"].omitted_flags == ("co_mean_corr_scale",)


def test_every_placeholder_and_choice_is_explained() -> None:
    section = PAGE.partition("## Another trainer")[2]
    for name in PLACEHOLDERS:
        assert f"`{{{name}}}`" in section
    for name in ("in_conda", "in_venv", "with_modules", "with_setup", *vars(TrainerCommands())):
        assert f"{name}" in section
