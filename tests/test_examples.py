"""The examples run as they are, on little data."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from lfadsq.datasets.lorenz import generate_demo_datasets

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_lorenz_single_session(tmp_path):
    # Datasets that are there are kept, so small ones make the example quick.
    generate_demo_datasets(
        tmp_path / "datasets",
        num_datasets=3,
        num_conditions=30,
        num_trials_per_condition=(26, 26),
        num_channels=(3, 4),
        duration_ms=30,
    )
    script = EXAMPLES / "lorenz_single_session.py"
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=True
        )
        assert "RunParams param_YOs74u data_4MaTKO" in ended.stdout
        assert "780        " in ended.stdout
        assert "Prepared 5 runs" in ended.stdout
        assert ended.stderr == ""
    collection = tmp_path / "runs" / "exampleSingleRun"
    assert (collection / "run_lfadsqueue.py").is_file()
    assert len(list(collection.glob("param_*/single_dataset001/lfads_train.sh"))) == 5


def test_lorenz_stitching_before_it_trains(tmp_path, capsys):
    """The rest of it takes minutes: test_stitching_end_to_end.py runs it whole."""
    generate_demo_datasets(
        tmp_path / "datasets",
        num_datasets=3,
        num_conditions=6,
        num_trials_per_condition=(25, 25),
        num_channels=(8, 9),
        duration_ms=500,
    )
    spec = importlib.util.spec_from_file_location("stitching", EXAMPLES / "lorenz_stitching.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    runs = example.describe_runs(tmp_path)
    example.check_alignment(runs, tmp_path / "alignment.png")
    runs.prepare_for_lfads()
    printed = capsys.readouterr().out
    for number in (1, 2, 3):
        assert f"alignment of dataset00{number}: R2 0." in printed
    assert (tmp_path / "alignment.png").read_bytes().startswith(b"\x89PNG")
    assert {run.name: run.num_datasets for run in runs.runs} == {
        "all": 3,
        **{f"single_dataset00{number}": 1 for number in (1, 2, 3)},
    }
    assert all(run.paths.train_script.is_file() for run in runs.runs)
