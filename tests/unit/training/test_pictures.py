"""Pictures of trials: what they show, and the process that draws them."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import psutil
import pytest
from PIL import Image

from lfadsq.training.pictures import TrialPicture, draw_png
from lfadsq.training.rendering import PictureRenderer

DEADLINE_S = 60.0
ORANGE, BLACK = (213, 94, 0), (0, 0, 0)


def picture(
    num_bins: int = 20, channels: int = 6, num_factors: int = 3, **changes: Any
) -> TrialPicture:
    stream = np.random.default_rng(0)
    rates = stream.uniform(0.2, 2.0, (num_bins, channels)).astype(np.float32)
    made = TrialPicture(
        "dataset001: training trial 2, epoch 10",
        data=stream.poisson(rates).astype(np.float32),
        rates=rates,
        factors=stream.standard_normal((num_bins, num_factors), dtype=np.float32),
        inferred_inputs=np.zeros((num_bins, 0), np.float32),
        truth=None,
        is_counts=True,
    )
    return made._replace(**changes)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def num_pixels(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Count pixels on the right, where lines are, that are of a colour."""
    half = image[:, image.shape[1] // 2 :]
    return int((np.abs(half - colour).max(axis=2) < 20).sum())


def test_a_row_appears_for_truth_and_for_inferred_inputs() -> None:
    plain = picture()
    inputs = np.ones((20, 2), np.float32)
    heights = [
        pixels(draw_png(one)).shape[0]
        for one in (
            plain,
            plain._replace(inferred_inputs=inputs),
            plain._replace(inferred_inputs=inputs, truth=plain.rates),
        )
    ]
    assert heights[0] < heights[1] < heights[2]
    assert heights[2] - heights[1] == heights[1] - heights[0]


def test_the_picture_fits_tensorboard_and_its_ground_is_white() -> None:
    png = draw_png(picture())
    image = pixels(png)
    assert image.shape[1] == 900
    assert len(png) < 100_000
    assert (image == 255).all(axis=2).mean() > 0.5


def test_inferred_and_true_rates_are_lines_where_their_values_are() -> None:
    """A rate that is inferred twice as high is drawn higher up; the truth is drawn where given."""
    flat = np.ones((20, 1), np.float32)
    data = np.arange(20, dtype=np.float32)[:, np.newaxis] % 5
    heights = []
    for rate in (1.0, 3.0):
        image = pixels(draw_png(picture(channels=1, data=data, rates=flat * rate)))
        rows = np.nonzero((np.abs(image[:, 560:880] - ORANGE).max(axis=2) < 20).sum(axis=1) > 200)
        heights.append(float(np.mean(rows)))
    assert heights[1] < heights[0] - 50
    without = pixels(draw_png(picture(channels=1, data=data, rates=flat)))
    truth = np.linspace(0, 4, 20, dtype=np.float32)[:, np.newaxis]
    drawn = pixels(draw_png(picture(channels=1, data=data, rates=flat, truth=truth)))
    assert num_pixels(drawn, BLACK) > num_pixels(without, BLACK) + 300


def test_the_highest_rate_has_the_colour_of_the_highest() -> None:
    """Rare as it is: a palette of the most frequent colours would lose it."""
    rates = np.full((200, 100), 0.1, np.float32)
    rates[100:104, 50:54] = 5.0
    image = pixels(draw_png(picture(data=rates, rates=rates, factors=rates[:, :3])))
    left = image[:, 70:430]
    assert (np.abs(left - (253, 231, 37)).max(axis=2) < 8).sum() >= 4


@pytest.mark.parametrize(("num_bins", "channels"), [(1, 1), (2, 200), (600, 9)])
def test_any_size_is_drawn(num_bins: int, channels: int) -> None:
    made = picture(num_bins, channels, num_factors=channels)
    assert draw_png(made._replace(truth=made.rates, inferred_inputs=made.factors))[1:4] == b"PNG"


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1e30])
@pytest.mark.parametrize("is_counts", [True, False])
def test_odd_values_are_drawn_too(value: float, is_counts: bool) -> None:
    odd = np.full((20, 6), value, np.float32)
    made = picture(rates=odd, truth=odd, factors=odd, inferred_inputs=odd, is_counts=is_counts)
    assert draw_png(made)[1:4] == b"PNG"


def test_threads_draw_the_same_and_leave_matplotlib_as_it_was() -> None:
    before = dict(matplotlib.rcParams)
    with ThreadPoolExecutor(2) as pool:
        drawn = set(pool.map(draw_png, [picture()] * 3))
    assert drawn == {draw_png(picture())}
    assert dict(matplotlib.rcParams) == before


@pytest.fixture
def renderer() -> Iterator[PictureRenderer]:
    made = PictureRenderer()
    yield made
    made.close()


def child(renderer: PictureRenderer) -> psutil.Process:
    wait_until(lambda: renderer._process is not None)
    assert renderer._process is not None
    return psutil.Process(renderer._process.pid)


def test_a_process_draws_what_this_one_would(
    renderer: PictureRenderer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever the user's own settings of matplotlib are; and without TensorFlow."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfigure.facecolor: black\n")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    got: list[bytes] = []
    renderer.submit("a", picture(), got.append)
    renderer.wait(DEADLINE_S)
    assert got == [draw_png(picture())]
    libraries = {Path(entry.path).name for entry in child(renderer).memory_maps()}
    assert not any("tensorflow" in name for name in libraries)


def test_only_the_latest_of_a_key_waits_and_submitting_never_does(
    renderer: PictureRenderer,
) -> None:
    got: list[str] = []
    began = time.monotonic()
    for number in range(50):
        for key in ("train", "valid"):
            text = f"{key}{number}"
            renderer.submit(key, picture(), lambda png, text=text: got.append(text))
    assert time.monotonic() - began < 0.5
    renderer.wait(DEADLINE_S)
    assert {"train49", "valid49"} <= set(got)
    assert len(got) <= 4
    for key in ("train", "valid"):
        numbers = [int(text.removeprefix(key)) for text in got if text.startswith(key)]
        assert numbers == sorted(numbers)


def test_waiting_is_bounded_and_closing_leaves_nothing(renderer: PictureRenderer) -> None:
    got: list[bytes] = []
    renderer.submit("a", picture(), got.append)
    process = child(renderer)
    process.suspend()
    began = time.monotonic()
    renderer.wait(0.2)
    renderer.close()
    assert time.monotonic() - began < 2.0
    assert not process.is_running()
    assert not got
    renderer.submit("a", picture(), got.append)
    renderer.close()
    assert not any(thread.name == "pictures" for thread in threading.enumerate())


def test_without_pictures_there_is_no_process(renderer: PictureRenderer) -> None:
    before = psutil.Process().children()
    renderer.wait(DEADLINE_S)
    renderer.close()
    assert psutil.Process().children() == before


@pytest.mark.parametrize("broken", [{"rates": "no array"}, {"title": threading.Lock()}])
def test_a_failure_is_warned_of_once(
    renderer: PictureRenderer, broken: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    got: list[bytes] = []
    for _ in range(3):
        renderer.submit("a", picture()._replace(**broken), got.append)
        renderer.wait(DEADLINE_S)
    renderer.submit("b", picture(), got.append)
    renderer.wait(DEADLINE_S)
    assert not got
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "no more pictures" in record.getMessage()


def test_a_process_that_was_killed_is_warned_of_once(
    renderer: PictureRenderer, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[bytes] = []
    for _ in range(3):
        renderer.submit("a", picture(), got.append)
        if not caplog.records:
            child(renderer).kill()
        renderer.wait(DEADLINE_S)
    assert not got
    (record,) = caplog.records
    assert "has ended" in record.getMessage()


def test_no_matplotlib_is_warned_of(
    renderer: PictureRenderer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError('a broken installation')\n")
    monkeypatch.syspath_prepend(tmp_path)
    renderer.submit("a", picture(), lambda png: None)
    renderer.wait(DEADLINE_S)
    assert "a broken installation" in caplog.text


PARENT = """
import sys, time
from tests.unit.training.test_pictures import picture
from lfadsq.training.rendering import PictureRenderer
renderer = PictureRenderer()
renderer.submit("a", picture(), lambda png: print(renderer._process.pid, flush=True))
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_process_ends_with_its_parent_and_not_before(number: int) -> None:
    """It outlives a signal to itself: what a job or Ctrl-C ends is decided by the training."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    try:
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        for ignored in (signal.SIGINT, signal.SIGTERM):
            process.send_signal(ignored)
        with pytest.raises(psutil.TimeoutExpired):
            process.wait(0.2)
    finally:
        parent.send_signal(number)
        parent.wait(DEADLINE_S)
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
