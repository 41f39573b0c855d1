"""Three datasets in one model, whole: the example of it, on less data, through the real queue."""

from __future__ import annotations

import importlib.util
import itertools
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from lfadsq.datasets.lorenz import generate_demo_datasets

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent.parent / "examples" / "lorenz_stitching.py"
NAMES = ("dataset001", "dataset002", "dataset003")
PAIRS = list(itertools.combinations(NAMES, 2))


@dataclass(frozen=True)
class Stitched:
    """The example after its end: its folder, what it printed, and its runs by name."""

    root: Path
    printed: str
    runs: dict[str, Any]

    def averages(self, name: str, *, together: bool) -> np.ndarray:
        """Factors averaged over the trials of each condition, by a matrix: (condition, rest)."""
        run = self.runs["all" if together else f"single_{name}"]
        (dataset,) = (one for one in run.datasets if one.name == name)
        condition = np.ravel(dataset.load_data()["conditionId"]).astype(int) - 1
        factors = run.load_posterior_means(name).factors
        factors = factors - factors.mean(axis=(0, 1))
        membership = np.eye(condition.max() + 1)[condition]
        return (membership / membership.sum(axis=0)).T @ factors.reshape(len(factors), -1)


@pytest.fixture(scope="module")
def stitched(tmp_path_factory):
    root = tmp_path_factory.mktemp("three days")
    # Datasets that are there are kept, so small ones make the example quick.
    generate_demo_datasets(
        root / "datasets",
        num_datasets=3,
        num_conditions=10,
        num_trials_per_condition=(15, 15),
        num_channels=(14, 20),
    )
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), str(root)],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    spec = importlib.util.spec_from_file_location("lorenz_stitching", SCRIPT)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    runs = {run.name: run for run in example.describe_runs(root).runs}
    return Stitched(root, ended.stdout, runs)


def table(printed: str, title: str) -> np.ndarray:
    """The numbers below a title, up to the next."""
    below = printed.split(title)[1].splitlines()[1:]
    rows = itertools.takewhile(lambda line: line.startswith("  dataset"), below)
    return np.array([re.findall(r"-?\d\.\d\d", line) for line in rows], dtype=float)


def test_datasets_have_their_alignment_in_common(stitched):
    tool = stitched.runs["all"].do_multisession_alignment()
    assert [one.dataset_name for one in tool.datasets] == list(NAMES)
    for one in tool.datasets:
        assert one.r2 > 0.8
        assert f"alignment of {one.dataset_name}: R2 {one.r2:.2f}" in stitched.printed


@pytest.mark.parametrize("pair", PAIRS)
def test_factors_of_a_condition_are_the_same_in_every_dataset(stitched, pair):
    first, second = (stitched.averages(name, together=True) for name in pair)
    of_conditions = [
        np.corrcoef(one, other)[0, 1] for one, other in zip(first, second, strict=True)
    ]
    assert min(of_conditions) > 0.8
    # Those of other conditions are not.
    shifted = np.corrcoef(first.ravel(), np.roll(second, 1, axis=0).ravel())[0, 1]
    assert shifted < 0.5


def test_separate_models_have_factors_of_their_own(stitched):
    """They find the same dynamics, but only a linear map shows it."""
    found = []
    for pair in PAIRS:
        first, second = (stitched.averages(name, together=False) for name in pair)
        found.append(np.corrcoef(first.ravel(), second.ravel())[0, 1])
        rows, wanted = (one.reshape(-1, 6) for one in (first, second))
        mapped = rows @ np.linalg.pinv(rows) @ wanted
        # Seeds are drawn, and of three short trainings one may find less than the others.
        assert np.corrcoef(mapped.ravel(), wanted.ravel())[0, 1] > 0.5
    assert max(np.abs(found)) < 0.8
    assert np.mean(np.abs(found)) < 0.6


def test_the_example_tells_this_in_a_table_and_figures(stitched):
    together, separate = table(stitched.printed, "factors of a condition, r").T
    assert len(together) == 3
    assert together.min() > 0.8
    assert np.abs(separate).max() < 0.8
    for pair, shown in zip(PAIRS, together, strict=True):
        first, second = (stitched.averages(name, together=True) for name in pair)
        expected = np.corrcoef(first.ravel(), second.ravel())[0, 1]
        assert shown == pytest.approx(expected, abs=0.02)
    mapped_together, mapped_apart = table(stitched.printed, "after the best linear map, r").T
    assert mapped_together.min() > 0.8
    assert mapped_apart.min() > 0.5
    # What neurons of other days know of the dynamics makes the rates of each day better.
    together, separate = table(stitched.printed, "rates, R2 against truth").T
    assert together.min() > 0.8
    assert (together > separate).all()
    for name in ("alignment.png", "factors.png"):
        assert matplotlib.image.imread(stitched.root / name).shape[0] > 300


def test_weights_of_one_model_know_the_channels_of_all_datasets(stitched):
    """While one dataset is recorded, rates of the channels of another follow from its factors."""
    run = stitched.runs["all"]
    params = run.load_model_trained_params()
    assert params.dataset_names == NAMES
    means = run.load_posterior_means("dataset002")
    rates = params.impute_rates(means.factors, run.params.spikeBinMs)
    own = params.dataset_idx_concatenated == 1
    assert own.sum() == means.rates.shape[2]
    np.testing.assert_allclose(
        rates[:, :, own].mean(axis=(0, 1)), means.rates.mean(axis=(0, 1)), rtol=0.1
    )
    # Of a neuron that only the first dataset has: what was seen there in the same condition.
    first = run.load_posterior_means("dataset001")
    conditions = [np.ravel(one.load_data()["conditionId"]) for one in run.datasets]
    for condition in (1, 6):
        imputed = rates[conditions[1] == condition][:, :, params.dataset_idx_concatenated == 0]
        seen = first.rates[conditions[0] == condition]
        together = np.corrcoef(imputed.mean(axis=0).ravel(), seen.mean(axis=0).ravel())[0, 1]
        assert together > 0.8
