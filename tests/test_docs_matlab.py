"""docs/matlab.md: its drive script runs, and every name and argument in its table exists."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

import lfadsq
from lfadsq import PosteriorMeans

PAGE = Path(__file__).parent.parent / "docs" / "matlab.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECOND_COLUMN = [
    row.split(" | ")[1].rstrip(" |")
    for row in TEXT.partition("## Names")[2].splitlines()
    if row.startswith("| ") and not row.startswith("| MATLAB")
]
EXPRESSIONS = [code for cell in SECOND_COLUMN for code in re.findall(r"`([^`]+)`", cell)]
MEANS = PosteriorMeans.from_arrays(
    bin_ms=1.0, output_means=np.ones((2, 3, 4)), factors=np.ones((2, 3, 2))
)
FREE_NAMES = {"mask", "n", "names", "data", "runs"}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Everything the drive script of the page defines, once it has run."""
    folder = tmp_path_factory.mktemp("matlab")
    (folder / "recordings").mkdir()
    for name in ("monday.mat", "tuesday.mat"):
        content = {"spikes": np.ones((30, 2, 40), np.uint8), "timeMs": np.arange(40.0)}
        scipy.io.savemat(folder / "recordings" / name, content)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    defined: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(code, str(PAGE), "exec"), defined)
    defined["folder"] = folder
    return defined


def test_the_drive_script_runs_and_makes_what_it_says(script: dict[str, Any]) -> None:
    rc, run = script["rc"], script["run"]
    assert (rc.num_params, rc.num_run_specs, rc.num_runs_total) == (2, 2, 4)
    assert (run.name, run.params.c_factors_dim, run.num_datasets) == ("all", 4, 2)
    assert (script["folder"] / rc.path / "run_lfadsqueue.py").is_file()
    # The second specification with the first setting is the second run, as in MATLAB.
    assert rc.find_runs(1, 0) == [run]
    assert rc.runs[1] is run


def test_the_table_is_read() -> None:
    assert len(EXPRESSIONS) > 100
    assert "dc.filter_datasets(mask)" in EXPRESSIONS


@pytest.mark.parametrize("expression", sorted(set(EXPRESSIONS)))
def test_every_name_and_argument_exists(script: dict[str, Any], expression: str) -> None:
    known = {
        **{name: getattr(lfadsq, name) for name in lfadsq.__all__},
        **{name: script[name] for name in ("dc", "par", "rc", "run")},
        "ds": script["dc"].datasets[0],
        "spec": script["rc"].run_specs[0],
        "means": MEANS,
    }
    for node in ast.walk(ast.parse(expression, mode="eval")):
        if isinstance(node, ast.Name):
            assert node.id in known or node.id in FREE_NAMES or hasattr(builtins, node.id)
        elif isinstance(node, ast.Attribute):
            value_of(node, known)
        elif isinstance(node, ast.Call):
            function = value_of(node.func, known)
            keywords = {word.arg: None for word in node.keywords if word.arg}
            inspect.signature(function).bind(*node.args, **keywords)


def value_of(node: ast.expr, known: dict[str, Any]) -> Any:
    """Follow names and attributes; a missing one raises."""
    if isinstance(node, ast.Name):
        return known[node.id] if node.id in known else getattr(builtins, node.id)
    assert isinstance(node, ast.Attribute)
    return getattr(value_of(node.value, known), node.attr)
