"""Putting new trials through trained models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner

from lfadsq.cli.apply import apply
from lfadsq.errors import CheckpointError, ConfigError, DatasetError
from lfadsq.training.apply import apply_model
from lfadsq.training.evaluation import Averages
from lfadsq.training.new_trials import read_trials
from lfadsq.training.program import run
from lfadsq.training.sampling import SAMPLE

from .untrained import save_untrained

Write = Callable[..., Path]

NUM_SAMPLES = 6


def contents(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {key: file[key][()] for key in file}


def snapshot(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def assert_close(ours: Averages | dict[str, Any], theirs: dict[str, Any]) -> None:
    values = ours._asdict() if isinstance(ours, Averages) else ours
    for name in set(theirs) - {"train_steps"}:
        np.testing.assert_allclose(values[name], theirs[name], rtol=1e-5, atol=1e-6, err_msg=name)


def trained_once(
    home: Path, flags: dict[str, Any], folder: Path, **changes: Any
) -> dict[str, dict[str, Any]]:
    """Train and sample in `folder`, once for all tests of a `home`; give the run's own results."""
    if not home.exists():
        settings = {**flags, **changes}
        save_untrained(settings)
        evaluation = {**settings, "kind": SAMPLE, "checkpoint_pb_load_name": "checkpoint_lve"}
        assert run({**evaluation, "batch_size": NUM_SAMPLES}, lambda line: None) == 0
        shutil.copytree(folder, home)
    else:
        shutil.copytree(home, folder, dirs_exist_ok=True)
    names = {"model_runs_", f"_{SAMPLE}"}
    found = {}
    for path in (folder / "out").glob("model_runs_*"):
        key = path.name
        for part in names:
            key = key.replace(part, "")
        found[key] = contents(path)
    return found


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


@pytest.fixture
def simple(homes: Path, flags: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Results of a run on one dataset, without controller."""
    return trained_once(homes / "simple", flags, tmp_path)


@pytest.fixture
def rich(homes: Path, flags: dict[str, Any], tmp_path: Path, write_input: Write) -> dict[str, Any]:
    """Results of a run on two datasets, with a controller, external inputs and trial numbers."""
    for name, channels in (("dataset001", 5), ("dataset002", 7)):
        stream = np.random.default_rng(channels)
        write_input(
            tmp_path / "in",
            name,
            channels=channels,
            train_ext_input=stream.normal(size=(24, 8, 2)),
            valid_ext_input=stream.normal(size=(10, 8, 2)),
            valid_inds=np.arange(1.0, 35.0)[::3][:10],
            train_inds=np.setdiff1d(np.arange(1.0, 35.0), np.arange(1.0, 35.0)[::3][:10]),
        )
    return trained_once(homes / "rich", flags, tmp_path, co_dim=1, ext_input_dim=2)


def valid_counts(folder: Path) -> np.ndarray:
    return contents(folder / "in" / "lfads_dataset001.h5")["valid_data"]


def test_validation_trials_give_what_the_run_wrote(simple: dict[str, Any], tmp_path: Path) -> None:
    counts = valid_counts(tmp_path)
    ours = apply_model(tmp_path / "out", counts, num_samples=NUM_SAMPLES)
    assert_close(ours, simple["dataset001.h5_valid"])
    other = apply_model(tmp_path / "out", counts, num_samples=NUM_SAMPLES, seed=1)
    assert np.abs(other.gen_ics - ours.gen_ics).max() > 1e-4
    reordered = apply_model(
        tmp_path / "out", counts[::-1], num_samples=NUM_SAMPLES, trial_numbers=np.arange(10)[::-1]
    )
    np.testing.assert_allclose(reordered.factors, ours.factors[::-1], rtol=1e-4, atol=1e-6)


def test_the_command_on_a_run_that_was_moved(simple: dict[str, Any], tmp_path: Path) -> None:
    """As a process, from a run directory elsewhere, without the data the model was trained on."""
    np.save(tmp_path / "new trials.npy", valid_counts(tmp_path))
    moved = tmp_path / "moved"
    (tmp_path / "out").rename(tmp_path / "lfadsOutput")
    moved.mkdir()
    (tmp_path / "lfadsOutput").rename(moved / "lfadsOutput")
    shutil.rmtree(tmp_path / "in")
    before = snapshot(moved)
    ended = subprocess.run(
        [sys.executable, "-m", "lfadsq", "apply", str(moved), "new trials.npy"]
        + ["--samples", str(NUM_SAMPLES), "--json", "--device", "/cpu:0"],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["num_trials"] == 10
    assert told["dataset"] == "dataset001"
    written = contents(Path(told["out"]))
    assert Path(told["out"]) == tmp_path / f"new trials_{SAMPLE}.h5"
    assert_close(written, simple["dataset001.h5_valid"])
    np.testing.assert_array_equal(written["train_steps"], told["checkpoint_step"])
    assert snapshot(moved) == before


def invoke(*arguments: Any) -> str:
    return CliRunner().invoke(apply, [str(a) for a in arguments], catch_exceptions=False).output


def test_the_whole_input_of_one_dataset_of_several(rich: dict[str, Any], tmp_path: Path) -> None:
    """Training and validation trials together are in the order of their numbers."""
    data, out = tmp_path / "in" / "lfads_dataset002.h5", tmp_path / "new" / "means"
    before = snapshot(tmp_path / "out")
    options = ["--dataset", "dataset002", "--samples", NUM_SAMPLES, "--out", out]
    assert str(out) in invoke(tmp_path / "out", data, *options)
    stored, written = contents(data), contents(out)
    for split in ("train", "valid"):
        chosen = stored[f"{split}_inds"].astype(int) - 1
        theirs = rich[f"dataset002.h5_{split}"]
        assert set(written) == set(theirs)
        assert_close({name: values[chosen] for name, values in written.items()}, theirs)
    assert snapshot(tmp_path / "out") == before
    assert "Complete already" in invoke(tmp_path / "out", data, *options)
    with pytest.raises(DatasetError, match="dataset001, dataset002"):
        invoke(tmp_path / "out", data)
    with pytest.raises(DatasetError, match="no dataset nine: dataset001, dataset002"):
        invoke(tmp_path / "out", data, "--dataset", "nine")


def test_models_with_external_inputs_need_them(rich: dict[str, Any], tmp_path: Path) -> None:
    counts = valid_counts(tmp_path)
    for ext_input in (None, np.zeros((10, 8, 3)), np.zeros((10, 7, 2))):
        with pytest.raises(DatasetError, match="external inputs"):
            apply_model(tmp_path / "out", counts, dataset="dataset001", ext_input=ext_input)
    with pytest.raises(DatasetError, match="not finite"):
        apply_model(
            tmp_path / "out", counts, dataset="dataset001", ext_input=np.full((10, 8, 2), np.nan)
        )


def test_other_numbers_of_bins_are_allowed_with_a_word(
    simple: dict[str, Any], tmp_path: Path
) -> None:
    """A longer trial of which the encoder sees the same begins with the same states."""
    lines: list[str] = []
    recorded = tmp_path / "out" / "hyperparameters-0.txt"
    flags = json.loads(recorded.read_text())
    counts = valid_counts(tmp_path)
    longer = np.concatenate([counts, counts[:, :4]], axis=1)
    mean = {"kind": "mean", "checkpoint": "last"}
    made = apply_model(tmp_path / "out", longer, say=lines.append, **mean)
    assert any("12 time bins" in line and "trained on 8" in line for line in lines)
    assert made.factors.shape == (10, 12, 3)
    assert flags["num_steps"] == 8
    lines.clear()
    as_trained = apply_model(tmp_path / "out", counts, say=lines.append, **mean)
    assert not lines
    # The encoder has seen more, so the initial conditions are others, but not wild ones.
    assert 0 < np.abs(made.gen_ics - as_trained.gen_ics).max() < 3
    silent = np.concatenate([counts, np.zeros_like(counts)], axis=1)
    assert apply_model(tmp_path / "out", silent[:, :1], **mean).factors.shape == (10, 1, 3)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda counts: counts[:, :, :4], "4 channels, but dataset dataset001 .* has 5"),
        (lambda counts: counts.transpose(0, 2, 1), "exchange the last two"),
        (lambda counts: counts + 0.5, "no counts"),
        (lambda counts: counts - 9.0, "no counts"),
        (lambda counts: counts * np.nan, "not finite"),
        (lambda counts: counts[0], r"shape \(8, 5\)"),
        (lambda counts: counts[:0], "empty"),
        (lambda counts: counts.astype(str), "give numbers"),
    ],
)
def test_trials_that_the_model_cannot_be_given(
    simple: dict[str, Any], tmp_path: Path, change: Callable[..., Any], named: str
) -> None:
    with pytest.raises(DatasetError, match=named):
        apply_model(tmp_path / "out", change(valid_counts(tmp_path)))


def test_folders_that_hold_no_such_model(simple: dict[str, Any], tmp_path: Path) -> None:
    counts = valid_counts(tmp_path)
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="at least 1"):
        apply_model(out, counts, num_samples=0)
    with pytest.raises(CheckpointError, match="nowhere"):
        apply_model(tmp_path / "nowhere", counts)
    with pytest.raises(CheckpointError, match="name the lfadsOutput"):
        apply_model(tmp_path / "in", counts)
    (out / "checkpoint_lve").unlink()
    with pytest.raises(CheckpointError, match="--checkpoint last"):
        apply_model(out, counts)


def test_flags_come_from_the_record_where_the_checkpoint_has_none(
    simple: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with checkpoints of the original, which hold weights only."""
    monkeypatch.setattr("lfadsq.training.checkpoints.Checkpoint.flags", {})
    recorded = tmp_path / "out" / "hyperparameters-0.txt"
    # Of a process that began later than this checkpoint was written.
    (tmp_path / "out" / "hyperparameters-99999.txt").write_text('{"gen_dim": 3}')
    assert_close(
        apply_model(tmp_path / "out", valid_counts(tmp_path), num_samples=NUM_SAMPLES),
        simple["dataset001.h5_valid"],
    )
    (tmp_path / "out" / "hyperparameters-99999.txt").unlink()
    recorded.unlink()
    with pytest.raises(CheckpointError, match="hyperparameters-<step>"):
        apply_model(tmp_path / "out", valid_counts(tmp_path))


def test_nothing_is_written_into_the_model_unasked(
    simple: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "in" / "lfads_dataset001.h5"
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(ConfigError, match="--out"):
        invoke(tmp_path / "out", data)
    with pytest.raises(ConfigError, match="data themselves"):
        invoke(tmp_path / "out", data, "--out", data)


COUNTS = np.arange(24).reshape(3, 4, 2)


def write_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, COUNTS)


def write_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, data=COUNTS, other=COUNTS + 1, ext_input=COUNTS[..., :1])


def write_mat(path: Path) -> None:
    scipy.io.savemat(path, {"spikes": COUNTS.astype(float), "note": "hello"}, appendmat=False)


def write_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["spikes"], file["time"] = COUNTS, np.arange(4.0)


def write_v73(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["spikes"] = COUNTS.T.astype(float)
        file["spikes"].attrs["MATLAB_class"] = np.bytes_("double")


@pytest.mark.parametrize("write", [write_npy, write_npz, write_mat, write_h5, write_v73])
def test_files_of_trials(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "trials"
    write(path)
    trials = read_trials(path)
    np.testing.assert_array_equal(trials.data, COUNTS)
    np.testing.assert_array_equal(trials.numbers, [0, 1, 2])
    assert (trials.ext_input is None) == (write is not write_npz)


def test_files_in_which_trials_are_not_found(tmp_path: Path) -> None:
    path = tmp_path / "trials.npz"
    np.savez(path, a=COUNTS, b=COUNTS + 1, c=np.arange(3))
    with pytest.raises(DatasetError, match=r"several arrays.*a \(3, 4, 2\).*--key"):
        read_trials(path)
    np.testing.assert_array_equal(read_trials(path, key="b").data, COUNTS + 1)
    with pytest.raises(DatasetError, match="has no d: it has a"):
        read_trials(path, key="d")
    with pytest.raises(DatasetError, match=r"c has shape \(3,\)"):
        read_trials(path, key="c")
    np.savez(path, c=np.arange(3))
    with pytest.raises(DatasetError, match="no array of three axes"):
        read_trials(path)
    (tmp_path / "half.npy").write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(DatasetError, match=r"half\.npy"):
        read_trials(tmp_path / "half.npy")
    with pytest.raises(DatasetError, match=r"missing\.h5"):
        read_trials(tmp_path / "missing.h5")


def test_trials_of_an_input_file(tmp_path: Path, write_input: Write) -> None:
    path = write_input(tmp_path)
    stored = contents(path)
    np.testing.assert_array_equal(read_trials(path, "valid").data, stored["valid_data"])
    np.testing.assert_array_equal(
        read_trials(path).data, np.concatenate([stored["train_data"], stored["valid_data"]])
    )
    # MATLAB drops the last axis of one channel.
    one = write_input(tmp_path, "one", train_data=np.ones((4, 8)), valid_data=None)
    assert read_trials(one).data.shape == (4, 8, 1)
    odd = write_input(tmp_path, "odd", train_data=np.ones((4, 9, 5)))
    with pytest.raises(DatasetError, match="--trials"):
        read_trials(odd)
    with pytest.raises(DatasetError, match="has no valid_data"):
        read_trials(one, "valid")


def test_help_has_examples_and_needs_no_tensorflow() -> None:
    code = (
        "import sys; from lfadsq.cli.main import lfadsq; "
        "lfadsq.main(['apply', '--help'], standalone_mode=False); "
        "assert 'tensorflow' not in sys.modules"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "lfadsq apply lfadsOutput day2.mat --dataset dataset002" in shown.stdout
