"""What TensorBoard is given of a training: numbers, and pictures of the same trials throughout."""

from __future__ import annotations

import io
import logging
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lfadsq.errors import StorageError
from lfadsq.training import example_pictures
from lfadsq.training.data import read_inputs
from lfadsq.training.example_trials import ExampleTrial, read_example_trials
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.logs import EventLog
from lfadsq.training.program import run
from lfadsq.training.rendering import PictureRenderer
from lfadsq.training.session import open_session
from lfadsq.training.steps import ModelSteps

Write = Callable[..., Path]
TAGS = ["LFADS/Example_trial_train", "LFADS/Example_trial_valid"]


def read_events(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    return events


def png(width: int, height: int, shade: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 0, 0)).save(stream, "png")
    return stream.getvalue()


def trained(flags: dict[str, Any], **changes: Any) -> None:
    assert run({**flags, **changes}, lambda line: None) == 0


def test_events_are_on_disk_before_the_log_is_closed(tmp_path: Path) -> None:
    """So that a process which is killed loses none."""
    log = EventLog(tmp_path / "log", 0)
    log.scalars(3, {"a": 1.5, "b": -2.0})
    log.image(3, "trial", png(7, 5))
    events = read_events(tmp_path / "log")
    assert [(e.step, e.value) for e in events.Scalars("a")] == [(3, 1.5)]
    assert [(e.step, e.value) for e in events.Scalars("b")] == [(3, -2.0)]
    (image,) = events.Images("trial")
    assert (image.step, image.width, image.height) == (3, 7, 5)
    assert image.encoded_image_string == png(7, 5)
    log.close()
    log.image(4, "trial", png(7, 5))
    log.close()
    assert len(read_events(tmp_path / "log").Images("trial")) == 1


def test_a_resumed_training_replaces_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    before, after = EventLog(tmp_path, 0), EventLog(tmp_path, 20)
    for step in (10, 20, 30):
        before.scalars(step, {"a": step})
    after.scalars(25, {"a": -1.0})
    events = read_events(tmp_path).Scalars("a")
    assert [(e.step, e.value) for e in events] == [(10, 10.0), (25, -1.0)]


def test_threads_may_add_at_the_same_time(tmp_path: Path) -> None:
    log = EventLog(tmp_path, 0)
    with ThreadPoolExecutor(4) as pool:
        for step in range(100):
            pool.submit(log.image, step, "trial", png(step + 1, 1))
            pool.submit(log.scalars, step, {"a": step})
    events = read_events(tmp_path)
    assert sorted(e.step for e in events.Scalars("a")) == list(range(100))
    assert all(e.width == e.step + 1 for e in events.Images("trial"))
    assert len(events.Images("trial")) == 100


def test_a_full_disk_costs_only_what_came_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = EventLog(tmp_path, 0)
    log.scalars(1, {"a": 1.0})
    (path,) = tmp_path.iterdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # Room for a part of the next record.
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
        for step in (2, 3):
            log.image(step, "trial", png(9, 9))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.scalars(4, {"a": 4.0})
    events = read_events(tmp_path)
    assert [e.step for e in events.Scalars("a")] == [1, 4]
    assert not events.Tags()["images"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(path) in record.getMessage()


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file"):
        EventLog(tmp_path / "file" / "log", 0)


def examples_of(flags: dict[str, Any], **changes: Any) -> list[ExampleTrial]:
    made = TrainerFlags.from_values(**{**flags, **changes})
    return read_example_trials(made, read_inputs(made)[0])


def test_the_first_trials_are_taken_with_their_numbers_in_the_recording(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    indices = {"train_inds": np.arange(2.0, 26.0), "valid_inds": np.arange(1.0, 11.0)}
    path = write_input(tmp_path / "in", **indices)
    train, valid = examples_of(flags)
    assert [train.tag, valid.tag] == TAGS
    assert train.name == "dataset001: training trial 2"
    assert valid.name == "dataset001: validation trial 1"
    with h5py.File(path) as file:
        np.testing.assert_array_equal(train.trial.data, file["train_data"][:1])
        np.testing.assert_array_equal(valid.trial.data, file["valid_data"][:1])
    assert train.truth is None


@pytest.mark.parametrize("unit", [1.0, 40.0, 0.001])
def test_the_truth_comes_in_the_unit_of_the_counts(
    flags: dict[str, Any], tmp_path: Path, write_input: Write, unit: float
) -> None:
    """Whatever the unit of the file: spikes/s, or expected counts."""
    stream = np.random.default_rng(3)
    rates = stream.uniform(20.0, 60.0, (24, 8, 5))
    write_input(tmp_path / "in", train_data=stream.poisson(rates), train_truth=rates * unit)
    train, valid = examples_of(flags)
    assert train.truth is not None
    np.testing.assert_allclose(train.truth, rates[0], rtol=0.02)
    assert valid.truth is None


def test_the_truth_of_data_that_are_no_counts_is_taken_as_it_is(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    data = np.random.default_rng(3).normal(size=(24, 8, 5))
    write_input(tmp_path / "in", train_data=data, train_truth=data * 3)
    train = examples_of(flags, output_dist="gaussian")[0]
    assert train.truth is not None
    np.testing.assert_allclose(train.truth, data[0] * 3, rtol=1e-5)


@pytest.mark.parametrize(
    "truth", [np.ones((24, 8, 4)), np.full((24, 8, 5), b"x"), np.array(1.0)], ids=lambda t: t.shape
)
def test_an_unusable_truth_is_left_out_with_a_warning(
    flags: dict[str, Any],
    tmp_path: Path,
    write_input: Write,
    truth: np.ndarray,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_input(tmp_path / "in", train_truth=truth)
    train, _ = examples_of(flags)
    assert train.truth is None
    assert "lfads_dataset001.h5" in caplog.text


@pytest.mark.slow
def test_what_is_drawn_are_the_posterior_means(flags: dict[str, Any], tmp_path: Path) -> None:
    """Those that ``posterior_sample_and_average`` writes, up to the error of sampling."""
    flags |= {"co_dim": 2, "learning_rate_stop": 0.008}
    trained(flags)
    trained(flags, kind="posterior_sample_and_average", batch_size=4000)
    session = open_session(TrainerFlags.from_values(**flags), seed=0)
    steps = ModelSteps(session.config, session.variables, 0)
    means = steps.posterior_means(0, session.inputs[0].train.batch(slice(0, 1)), 4000)
    path = tmp_path / "out/model_runs_dataset001.h5_train_posterior_sample_and_average"
    with h5py.File(path) as file:
        for ours, name in zip(
            means, ("output_dist_params", "factors", "controller_outputs"), strict=True
        ):
            np.testing.assert_allclose(ours, file[name][0], atol=0.05)
            assert np.ptp(file[name][0]) > 0.01


@pytest.mark.slow
def test_a_training_shows_the_same_trials_again_and_again(
    flags: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first epoch, after later ones, and at the end; and trains as it would without."""
    monkeypatch.setattr(example_pictures, "_LONGEST_WAIT_S", 60.0)
    monkeypatch.setattr(example_pictures, "_SHARE_OF_TRAINING", 60.0)
    submitted: dict[str, list[Any]] = {tag: [] for tag in TAGS}
    original = PictureRenderer.submit

    def noted(self: PictureRenderer, key: str, picture: Any, deliver: Any) -> None:
        submitted[key].append(picture)
        original(self, key, picture, deliver)

    monkeypatch.setattr(PictureRenderer, "submit", noted)
    trained(flags, co_dim=2)
    num_epochs = len((tmp_path / "out" / "fitlog.csv").read_text().splitlines())
    for name, pictures in zip(("training", "validation"), submitted.values(), strict=True):
        epochs = sorted({*range(0, num_epochs, 10), num_epochs - 1})
        assert [p.title for p in pictures] == [
            f"dataset001: {name} trial 1, epoch {epoch}" for epoch in epochs
        ]
        for one in pictures:
            np.testing.assert_array_equal(one.data, pictures[0].data)
            assert one.rates.shape == one.data.shape == (8, 5)
            assert one.factors.shape == (8, 3)
            assert one.inferred_inputs.shape == (8, 2)
        assert not np.array_equal(pictures[0].rates, pictures[-1].rates)
    events = read_events(tmp_path / "out" / "lfads_log")
    assert sorted(events.Tags()["images"]) == TAGS
    for tag in TAGS:
        assert events.Images(tag)[-1].step == 3 * num_epochs
        assert events.Images(tag)[0].width == 900
    monkeypatch.setattr("lfadsq.training.trainer.read_example_trials", lambda *_: [])
    trained(flags, co_dim=2, lfads_save_dir=str(tmp_path / "without"))
    assert not read_events(tmp_path / "without" / "lfads_log").Tags()["images"]
    log = (tmp_path / "without" / "fitlog.csv").read_text()
    assert log == (tmp_path / "out" / "fitlog.csv").read_text()


@pytest.mark.slow
def test_gaussian_data_without_validation_trials_are_pictured(
    flags: dict[str, Any], tmp_path: Path, write_input: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example_pictures, "_SHARE_OF_TRAINING", 60.0)
    write_input(tmp_path / "in", valid_data=None)
    trained(flags, output_dist="gaussian", learning_rate_stop=0.008)
    assert read_events(tmp_path / "out" / "lfads_log").Tags()["images"] == TAGS[:1]
