"""What README.md says can be typed works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lfadsq.datasets.lorenz import generate_demo_datasets

from .docs_pages import run_page, text_of
from .standin_results import stand_in_for_training

README = text_of("README.md")


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Datasets that are there are kept.
    generate_demo_datasets(
        "lorenz_example/datasets", 1, num_trials_per_condition=(30, 30), duration_ms=10
    )

    def train(known: dict[str, Any]) -> None:
        assert "5 runs total" in str(known["rc"])
        (queue_script,) = tmp_path.glob("lorenz_example/runs/exampleSingleRun/run_lfadsqueue.py")
        assert f"python {queue_script.relative_to(tmp_path)}" in README
        stand_in_for_training(known["rc"].runs[0])

    known = run_page(README, train)
    assert known["means"].rates.shape[0] == 1950
    assert known["params"].gen_to_factors_W.shape == (64, 8)


def test_every_verb_of_the_table_exists() -> None:
    from lfadsq.cli.main import lfadsq

    verbs = set(re.findall(r"\| `lfadsq (\w+)", README))
    assert verbs == set(lfadsq.list_commands(None))
