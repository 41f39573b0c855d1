"""The examples run as they are, on little data."""

from __future__ import annotations

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
