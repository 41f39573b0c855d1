"""Pictures show what they should."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest

from lfadsq.errors import StorageError
from lfadsq.results.figures import plot_rates


def draw(path, inferred_hz):
    shape = (4, 20, 3)
    plot_rates(
        path,
        true_rates=np.full(shape, 10.0),
        inferred_rates=np.full(shape, inferred_hz),
        counts=np.zeros(shape),
        bin_ms=20.0,
        trials=[0, 3],
        channels=[1, 2],
        title="run",
    )


def test_the_inferred_rate_is_seen(tmp_path):
    """The red line moves up when the inferred rate does, and nothing else does."""
    rows = []
    for inferred_hz in (2.0, 9.0):
        draw(tmp_path / "rates.png", inferred_hz)
        pixels = matplotlib.image.imread(tmp_path / "rates.png")[..., :3]
        upper_half = pixels[: len(pixels) // 2]
        red = (upper_half[..., 0] > 0.7) & (upper_half[..., 1] < 0.3)
        rows.append(np.nonzero(red)[0].mean())
    assert rows[1] < rows[0] - 10
    assert [path.name for path in tmp_path.iterdir()] == ["rates.png"]


def test_an_unwritable_place_is_named(tmp_path):
    with pytest.raises(StorageError, match="nowhere"):
        draw(tmp_path / "nowhere" / "rates.png", 5.0)
