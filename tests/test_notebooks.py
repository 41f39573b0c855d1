"""The notebooks run from their top to their end, one after the other, on little data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from lfadsq import RunCollection
from lfadsq.datasets.lorenz import generate_demo_datasets

from .standin_results import stand_in_for_training

NOTEBOOKS = sorted((Path(__file__).parent.parent / "examples" / "notebooks").glob("*.ipynb"))
SINGLE_SESSION = NOTEBOOKS[0]
TIMEOUT_S = 600

SMALL = """
sizes |= {"c_batch_size": 10, "c_ic_enc_dim": 12}
sweep = {"c_co_dim": [0], "c_gen_dim": [10, 12]}
schedule |= {"c_kl_increase_steps": 8, "c_l2_increase_steps": 8, "c_learning_rate_stop": 0.014}
"""
"""What stands in the first notebook after its settings, so that training takes seconds."""


def small(path: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "settings" in cell.metadata.get("tags", ()):
            cell.source += SMALL
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_what_it_gave(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].cell_type == "markdown"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert "/root" not in json.dumps(notebook)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebooks run. What is there is kept: little data, and one run of two is done."""
    folder = tmp_path_factory.mktemp("notebooks")
    generate_demo_datasets(
        folder / "lorenz_notebooks" / "datasets",
        num_datasets=1,
        num_conditions=10,
        num_trials_per_condition=(8, 8),
        num_channels=(12, 12),
        duration_ms=500,
    )
    known: dict[str, Any] = {"subprocess": None}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MPLBACKEND", "agg")
        for cell in small(SINGLE_SESSION).cells:
            if cell.cell_type == "code" and "subprocess.Popen" in cell.source:
                known["rc"].prepare_for_lfads()
                stand_in_for_training(known["rc"].runs[1])
                return folder
            if cell.cell_type == "code":
                exec(cell.source, known)
    raise AssertionError(f"{SINGLE_SESSION} does not start the queue")


@pytest.mark.slow
def test_all_notebooks_run_one_after_the_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for path in NOTEBOOKS:
        notebook = small(path)
        resources = {"metadata": {"path": str(folder)}}
        # An error in a cell is raised here.
        NotebookClient(notebook, timeout=TIMEOUT_S, resources=resources).execute()
        given = [one for cell in notebook.cells for one in cell.get("outputs", ())]
        assert any("image/png" in one.get("data", {}) for one in given), path.name
    runs = RunCollection.open(folder / "lorenz_notebooks" / "runs" / "sweep").runs
    assert [run.is_done for run in runs] == [True, True]
    assert "Stopping optimization" in runs[0].paths.log.read_text()
    assert not runs[1].paths.log.exists()
