"""A starter experiment runs as it is written, wherever it lies."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lfadsq import DatasetCollection, RunCollection, RunSpec
from lfadsq.datasets.lorenz import generate_demo_datasets

ROOT = Path(__file__).parent.parent
PLACE = 'l\'été "$HOME" & co'
NAME = "Bär 3's test"
PACKAGE = "bar_3_s_test"
SCRIPTS = ("drive_single", "drive_stitched", "look_at_results")
QUICK = {
    "params.c_learning_rate_stop = 5e-3  # and this": "params.c_learning_rate_stop = 0.0149",
    "params.c_learning_rate_decay_factor = 0.7": "params.c_learning_rate_decay_factor = 0.5",
    "params.num_samples_posterior = 32": "params.num_samples_posterior = 4",
    "params.c_gen_dim = 48": "params.c_gen_dim = 8",
    "params.c_ic_enc_dim = 48": "params.c_ic_enc_dim = 8",
    "for dataset in datasets:": "for dataset in datasets.datasets[:1]:",
}


def python(folder: Path, *words: str) -> str:
    """Run Python in a folder, and give what it prints."""
    ended = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


Here = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """Work in a folder within this process, as a notebook does, and forget what it imported."""

    @contextmanager
    def in_folder(folder: Path, package: str = PACKAGE) -> Iterator[None]:
        before = set(sys.modules)
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.syspath_prepend(str(folder))
            patch.setattr(sys, "dont_write_bytecode", True)
            yield
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in (package, *SCRIPTS):
                del sys.modules[name]

    return in_folder


def begin(root: Path, name: str = NAME) -> Path:
    place = root / PLACE
    place.mkdir()
    python(place, "-m", "lfadsq", "init", name)
    return place / name


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = begin(tmp_path_factory.mktemp("starter"))
    assert (folder / PACKAGE).is_dir()
    return folder


def test_ruff_finds_nothing(experiment: Path) -> None:
    ruff = str(Path(sys.executable).with_name("ruff"))
    sources = [*(f"{name}.py" for name in SCRIPTS), PACKAGE]
    for words in (
        ["check", "--isolated"],
        ["format", "--isolated", "--check"],
        ["check", "--config", str(ROOT / "ruff.toml"), "--ignore", "T20"],
    ):
        ended = subprocess.run(
            [ruff, *words, "--no-cache", *sources],
            cwd=experiment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout


def test_every_step_but_training_runs_as_it_is(
    experiment: Path, tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    # From another folder: nothing depends on where a script is started.
    printed = python(tmp_path, str(experiment / "drive_single.py"))
    queue_script = experiment / "runs" / "single" / "run_lfadsqueue.py"
    assert queue_script.is_file()
    train, on_slurm = re.findall(r"^  (python .*run_lfadsqueue\.py.*)$", printed, re.MULTILINE)
    assert shlex.split(train) == ["python", str(queue_script)]
    assert on_slurm == f"{train} --cluster slurm --partition gpu --walltime 12:00:00"
    assert len(list(experiment.glob("runs/single/param_*/single_dataset00?/lfads_train.sh"))) == 3

    printed = python(experiment, "drive_stitched.py")
    (run,) = experiment.glob("runs/stitched/param_*/all")
    assert (run / "alignment.png").stat().st_size > 1000
    assert len(list((run / "lfadsInput").glob("lfads_dataset00?.h5"))) == 3
    assert all(float(r2) > 0.8 for r2 in re.findall(r"R2 (\S+)", printed))
    assert printed.count("alignment of ") == 3
    with here(experiment):
        importlib.import_module("look_at_results").main()
    assert capsys.readouterr().out.count("not trained yet") == 4
    assert list(tmp_path.iterdir()) == []


def test_the_cells_of_its_readme_run(experiment: Path, here: Here) -> None:
    """As in a notebook, where there is no ``__file__``."""
    readme = (experiment / "README.md").read_text(encoding="utf-8")
    first, *_ = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    with here(experiment):
        cell: dict[str, Any] = {}
        exec(first, cell)
        assert experiment == cell["experiment"].ROOT
        assert cell["runs"].num_runs_total == 3
    assert (experiment / "runs" / "single" / "run_lfadsqueue.py").is_file()
    for name in re.findall(r"`([\w{}]+/?[\w]*\.py)`", readme):
        assert list(experiment.rglob(name)), name


def test_a_window_of_a_trial_is_a_hyperparameter(
    experiment: Path, here: Here, tmp_path: Path
) -> None:
    spikes = np.ones((20, 2, 60), int)
    np.savez(tmp_path / "small.npz", spikes=spikes, timeMs=np.arange(60) - 10.0)
    datasets = DatasetCollection(tmp_path)
    with here(experiment):
        package = importlib.import_module(PACKAGE)
        dataset = package.Dataset(datasets, "small.npz")
        runs = RunCollection(tmp_path, "x", datasets, run_class=package.Run)
        runs.add_params(package.RunParams(startMs=10, stopMs=40))
        runs.add_params(package.RunParams())
        runs.add_run_spec(RunSpec("one", datasets, 0))
        chosen, default = (run.generate_checked_counts(dataset) for run in runs.runs)
    assert chosen.time_ms.tolist() == list(range(10, 40))
    assert chosen.counts.shape == (20, 2, 30)
    assert default.time_ms.tolist() == list(range(50))
    assert len({run.data_hash for run in runs.runs}) == 2
    datasets.load_info()
    assert dataset.subject == "nobody"


def edit(path: Path, changes: dict[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def test_your_own_recordings_take_the_place_of_the_made_up_ones(tmp_path: Path, here: Here) -> None:
    experiment, folder = begin(tmp_path), tmp_path / "my own recordings"
    generate_demo_datasets(
        folder, 2, num_conditions=5, num_trials_per_condition=(30, 32), duration_ms=100
    )
    recordings = experiment / PACKAGE / "recordings.py"
    edit(recordings, {"DATA: Path | None = None": f"DATA: Path | None = Path({str(folder)!r})"})
    with here(experiment):
        importlib.import_module("drive_single").main()
    assert not (experiment / "demo_data").exists()
    assert len(list(experiment.glob("runs/single/param_*/single_dataset00?"))) == 2
    assert len(list(folder.iterdir())) == 2

    edit(recordings, {'PATTERN = "*.mat"': 'PATTERN = "*.nwb"'})
    ended = subprocess.run(
        [sys.executable, "drive_single.py"], cwd=experiment, capture_output=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.decode().startswith("error: no recordings: ")


@pytest.mark.slow
def test_a_run_of_it_is_trained_by_the_queue_and_looked_at(tmp_path: Path) -> None:
    experiment = begin(tmp_path)
    edit(experiment / "drive_single.py", QUICK)
    python(experiment, "drive_single.py")
    python(experiment, "runs/single/run_lfadsqueue.py")
    printed = python(tmp_path, str(experiment / "look_at_results.py"))
    assert printed.count("not trained yet") == 1  # the stitched one
    found = re.search(r"(\d+) epochs, lowest validation cost (\S+)", printed)
    assert found is not None
    assert int(found[1]) >= 1
    assert float(found[2]) > 0
    (picture,) = (experiment / "pictures").glob("*_single_dataset001_dataset001.png")
    assert picture.stat().st_size > 10_000
    assert re.search(r"rates \(\d+, 40, \d+\) -> ", printed)
