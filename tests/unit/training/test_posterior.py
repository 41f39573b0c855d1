"""Sampling of posteriors: draws, portions, and going on after an interruption."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.errors import TrainingError
from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.network import decode, encode, output_dist_params, sample_g0
from lfadsq.model.parameters import initial_parameters
from lfadsq.training.data import Split
from lfadsq.training.evaluation import Averages, Evaluator
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.interruption import Interruption
from lfadsq.training.noise import posterior_noise
from lfadsq.training.portions import Portions, choose_portions
from lfadsq.training.posterior import write_posterior_means
from lfadsq.training.posterior_file import PosteriorFile
from lfadsq.training.program import run
from lfadsq.training.sampling import SAMPLE, Posterior, Trials, compute

from .untrained import save_untrained

DEADLINE_S = 90.0

CONFIG = ModelConfig(
    datasets=(DatasetConfig("dataset001.h5", 5),),
    num_steps=4,
    factors_dim=3,
    gen_dim=6,
    ic_dim=4,
    ic_enc_dim=5,
    ci_enc_dim=4,
    con_dim=4,
    co_dim=2,
    keep_prob=1.0,
)


def tiny_posterior(**changes: Any) -> tuple[Posterior, Trials]:
    """Give an untrained model, with noise large enough to matter, and nine trials."""
    values = initial_parameters(CONFIG, 0)
    parameters = {name: tf.constant(value) for name, value in values.items()}
    counts = np.random.default_rng(0).poisson(1.0, (9, 4, 5)).astype(np.float32)
    split = Split.of(counts, np.zeros((9, 4, 0), np.float32), is_poisson=True)
    settings_ = {"step": 100, "seed": 3, "kind": SAMPLE, "batch_size": 10, **changes}
    return Posterior(CONFIG, parameters, **settings_), Trials(0, split, np.arange(9), "tiny")


@cache
def expected_averages() -> Averages:
    return compute(*tiny_posterior(), lambda line: None)


def use_portions(patch: pytest.MonkeyPatch, *portions: int) -> None:
    patch.setattr("lfadsq.training.sampling.choose_portions", lambda *_: Portions(*portions))


def file_contents(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {key: file[key][()] for key in file}


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert set(ours) == set(theirs)
    for name, values in theirs.items():
        np.testing.assert_array_equal(ours[name], values, err_msg=name)


@pytest.fixture(scope="module")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs it puts a trained model and its data."""
    return tmp_path_factory.mktemp("trained") / "run"


@pytest.fixture
def trained(trained_folder: Path, flags: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Flags that sample the posterior of a trained model, of which the test has a copy."""
    if not trained_folder.exists():
        save_untrained(flags)
        shutil.copytree(tmp_path, trained_folder)
    else:
        shutil.copytree(trained_folder, tmp_path, dirs_exist_ok=True)
    return {**flags, "kind": SAMPLE, "batch_size": 6}


def sampled(flags: dict[str, Any], folder: Path, split: str = "train") -> dict[str, Any]:
    assert run(flags, lambda line: None) == 0
    return file_contents(folder / "out" / f"model_runs_dataset001.h5_{split}_{SAMPLE}")


def test_draws_depend_on_trial_and_sample_alone() -> None:
    def draw(trials: list[int], first: int, size: int, seed: int = 1) -> list[np.ndarray]:
        drawn = posterior_noise(
            CONFIG,
            tf.constant([seed, 0], tf.int64),
            tf.constant(trials, tf.int64),
            tf.constant(first, tf.int64),
            size,
        )
        co = drawn.co.numpy().reshape(4, len(trials), size, 2).transpose(1, 2, 0, 3)
        return [drawn.g0.numpy().reshape(len(trials), size, 4), co]

    for whole, one, part in zip(
        draw([0, 1, 5], 0, 8), draw([5], 0, 8), draw([1, 0], 3, 5), strict=True
    ):
        np.testing.assert_array_equal(one[0], whole[2])
        np.testing.assert_array_equal(part[0], whole[1, 3:])
        np.testing.assert_array_equal(part[1], whole[0, 3:])
    for many, other in zip(draw([0, 1], 0, 2000), draw([0, 1], 0, 2000, seed=2), strict=True):
        assert np.unique(many).size > 0.99 * many.size
        assert abs(many.mean()) < 0.03
        assert abs(many.std() - 1) < 0.03
        assert abs(np.mean(many * other)) < 0.03


def test_averages_are_those_of_copied_trials() -> None:
    """The plain way: copy a trial, encode and decode every copy, average."""
    posterior, trials = tiny_posterior()
    ours = expected_averages()
    for trial in (0, 8):
        copies = np.repeat(trials.split.data[[trial]], 10, axis=0).transpose(1, 0, 2)
        nothing = np.zeros((4, 10, 0), np.float32)
        (dataset,) = CONFIG.datasets
        encoding = encode(CONFIG, posterior.parameters, dataset, copies, nothing)
        seed = tf.constant([3, 0], tf.int64)
        noise = posterior_noise(
            CONFIG, seed, tf.constant([trial], tf.int64), tf.constant(0, tf.int64), 10
        )
        g0 = sample_g0(encoding.post_g0_mean, encoding.post_g0_logvar, noise.g0)
        made = decode(CONFIG, posterior.parameters, dataset, g0, encoding.ci, nothing, noise.co)
        rates = output_dist_params(CONFIG, made.heads)
        for name, expected in [
            ("output_dist_params", rates),
            ("gen_states", made.gen_states),
            ("controller_outputs", made.controller_outputs),
        ]:
            assert np.ptp(expected, axis=1).max() > 0.01
            mean = np.mean(expected, axis=1)
            np.testing.assert_allclose(getattr(ours, name)[trial], mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(
            ours.gen_ics[trial], np.mean(made.gen_ics, 0), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("portions", [(4, 2, 3), (6, 3, 10), (9, 1, 4)])
def test_averages_do_not_depend_on_portions(
    portions: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    posterior, trials = tiny_posterior()
    expected = expected_averages()
    use_portions(monkeypatch, *portions)
    for ours, theirs in zip(compute(posterior, trials, lambda line: None), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


def test_some_of_the_trials_have_the_averages_they_have_among_all() -> None:
    posterior, trials = tiny_posterior()
    chosen = np.array([7, 2, 3])
    part = Trials(0, Split(*trials.split.batch(chosen)), chosen, "some")
    everything = expected_averages()
    for ours, theirs in zip(compute(posterior, part, lambda line: None), everything, strict=True):
        np.testing.assert_allclose(ours, theirs[chosen], rtol=2e-5, atol=2e-5)


def test_too_little_memory_is_met_with_smaller_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    posterior, trials = tiny_posterior()
    expected = expected_averages()
    original = Evaluator.sample_and_average
    refused = []
    most = 6

    def limited(self: Evaluator, *arguments: Any) -> Any:
        if len(arguments[3]) * arguments[5] > most:
            refused.append(1)
            raise tf.errors.ResourceExhaustedError(None, None, "OOM")
        return original(self, *arguments)

    monkeypatch.setattr(Evaluator, "sample_and_average", limited)
    for ours, theirs in zip(compute(posterior, trials, lambda line: None), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)
    assert 2 < len(refused) < 10
    most = 0
    with pytest.raises(TrainingError, match="one sample of one trial"):
        compute(posterior, trials, lambda line: None)


@given(st.integers(1, 300), st.integers(1, 3000), st.integers(1, 2**34))
def test_portions_fit_into_memory_and_can_be_halved_to_the_end(
    num_trials: int, num_samples: int, memory: int
) -> None:
    portions: Portions | None = choose_portions(CONFIG, num_trials, num_samples, memory)
    sizes = []
    while portions is not None:
        assert portions.encoded % portions.trials == 0
        assert min(portions) >= 1
        assert portions.encoded <= num_trials
        assert portions.samples <= num_samples
        sizes.append(portions.trials * portions.samples)
        portions = portions.halved()
    assert sizes[-1] == 1
    assert len(sizes) < 40
    # Twelve floats a unit and bin are many times more than the least that a sample needs.
    assert sizes[0] == 1 or sizes[0] * 4 * 6 * 4 <= memory


def stop_after(
    flags: dict[str, Any], num_parts: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, list[str]]:
    """Sample, and ask for the end while the results of some trials are added."""
    interruption, original, added = Interruption(), PosteriorFile.add, []
    lines: list[str] = []

    def counted(self: PosteriorFile, arrays: Any) -> None:
        original(self, arrays)
        added.append(1)
        if len(added) == num_parts:
            interruption.note(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(PosteriorFile, "add", counted)
        status = write_posterior_means(
            TrainerFlags.from_values(**flags), lines.append, interruption
        )
    return status, lines


@pytest.mark.parametrize("num_parts", [1, 4, 13])
def test_a_stopped_sampling_goes_on_to_the_same_files(
    trained: dict[str, Any], tmp_path: Path, num_parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_portions(monkeypatch, 6, 2, 3)
    whole = {**trained, "output_filename_stem": "whole"}
    assert run(whole, lambda line: None) == 0
    status, lines = stop_after(trained, num_parts, monkeypatch)
    assert status == 128 + signal.SIGTERM
    assert "goes on" in lines[-1]
    out = tmp_path / "out"
    name = f"model_runs_dataset001.h5_train_{SAMPLE}"
    # The training trials are twelve parts, the validation trials five.
    assert (out / name).exists() == (num_parts > 12)
    assert len(list(out.glob(".*.partial"))) == 1
    # Memory may differ the next time: the last digits must not.
    use_portions(monkeypatch, 4, 4, 6)
    lines = []
    assert run(trained, lines.append) == 0
    done = 2 * num_parts if num_parts <= 12 else 2 * (num_parts - 12)
    assert any(f"going on after {done} of" in line for line in lines)
    for split in ("train", "valid"):
        ours, theirs = (
            file_contents(out / f"{stem}model_runs_dataset001.h5_{split}_{SAMPLE}")
            for stem in ("", "whole_")
        )
        if num_parts <= 12 and split == "valid":
            for key, values in theirs.items():
                np.testing.assert_allclose(ours[key], values, rtol=1e-4, atol=1e-5)
        else:
            assert_same(ours, theirs)
    assert not list(out.glob(".*"))


def test_complete_files_are_left_alone_until_anything_changes(
    trained: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "out" / f"model_runs_dataset001.h5_valid_{SAMPLE}"
    trained["ps_nexamples_to_process"] = 10
    first = sampled(trained, tmp_path, "valid")
    before = path.stat().st_mtime_ns
    lines: list[str] = []
    assert run(trained, lines.append) == 0
    assert path.stat().st_mtime_ns == before
    assert sum("Complete already" in line for line in lines) == 2
    changed = sampled({**trained, "seed": 99}, tmp_path, "valid")
    assert not np.array_equal(changed["factors"], first["factors"])
    with h5py.File(tmp_path / "in" / "lfads_dataset001.h5", "r+") as file:
        file["valid_data"][3] += 1
    assert not np.array_equal(sampled(trained, tmp_path, "valid")["costs"], first["costs"])


def test_what_was_begun_with_other_settings_is_not_continued(
    trained: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = sampled({**trained, "seed": 99}, tmp_path)
    use_portions(monkeypatch, 4, 2, 6)
    stop_after(trained, 2, monkeypatch)
    monkeypatch.undo()
    assert_same(sampled({**trained, "seed": 99}, tmp_path), expected)


def test_fewer_trials_are_the_first_of_all(trained: dict[str, Any], tmp_path: Path) -> None:
    everything = sampled(trained, tmp_path)
    first = sampled({**trained, "ps_nexamples_to_process": 3}, tmp_path)
    assert first["factors"].shape == (3, 8, 3)
    for name, values in first.items():
        np.testing.assert_allclose(values, everything[name][:3], rtol=1e-4, atol=1e-5)


def test_trials_draw_by_their_numbers(trained: dict[str, Any], tmp_path: Path) -> None:
    """With the numbers of trials in the file, training and validation trials do not draw alike."""
    with h5py.File(tmp_path / "in" / "lfads_dataset001.h5", "r+") as file:
        file["valid_data"][:] = file["train_data"][:10]
    train, valid = sampled(trained, tmp_path), file_contents_of_valid(tmp_path)
    np.testing.assert_allclose(valid["factors"], train["factors"][:10], atol=1e-5)
    with h5py.File(tmp_path / "in" / "lfads_dataset001.h5", "r+") as file:
        file["train_inds"], file["valid_inds"] = np.arange(1.0, 25.0), np.arange(25.0, 35.0)
    assert_same(sampled(trained, tmp_path), train)
    valid = file_contents_of_valid(tmp_path)
    assert np.abs(valid["factors"] - train["factors"][:10]).min(axis=(1, 2)).max() > 1e-6


def file_contents_of_valid(folder: Path) -> dict[str, Any]:
    return file_contents(folder / "out" / f"model_runs_dataset001.h5_valid_{SAMPLE}")


@pytest.mark.slow
def test_a_killed_sampling_goes_on_to_the_same_files(
    trained: dict[str, Any], tmp_path: Path
) -> None:
    """A real process, killed without warning."""
    trained["batch_size"] = 10_000
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "lfadsq.cli.train"]
        + [f"--{name}={value}" for name, value in trained.items()],
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + DEADLINE_S

    def is_under_way() -> bool:
        return any(path.stat().st_size > 1000 for path in out.glob(".*.partial"))

    while not is_under_way():
        assert process.poll() is None, "sampling ended before the signal"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(DEADLINE_S) == -signal.SIGKILL
    assert not list(out.glob("model_runs_*"))
    lines: list[str] = []
    assert run(trained, lines.append) == 0
    assert any("going on after" in line for line in lines)
    ours = file_contents(out / f"model_runs_dataset001.h5_train_{SAMPLE}")
    trained["output_filename_stem"] = "whole"
    assert run(trained, lambda line: None) == 0
    theirs = file_contents(out / f"whole_model_runs_dataset001.h5_train_{SAMPLE}")
    # One process adds in another order of threads than the other.
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-5, atol=1e-6)
