from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

NUM_TRAIN, NUM_VALID, TIME, CHANNELS = 24, 10, 8, 5


@pytest.fixture
def write_input() -> Callable[..., Path]:
    """Write a tiny input file; keywords replace or, with None, leave out its arrays."""

    def write(folder: Path, name: str = "dataset001", seed: int = 0, **changes: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        stream = np.random.default_rng(seed)
        channels = changes.pop("channels", CHANNELS)
        phase = stream.uniform(0, 6, (NUM_TRAIN + NUM_VALID, 1, 1))
        time = np.linspace(0, 3, TIME)[np.newaxis, :, np.newaxis]
        rates = np.exp(np.sin(time + phase) + stream.normal(0, 0.3, channels))
        counts = stream.poisson(rates)
        arrays = {"train_data": counts[:NUM_TRAIN], "valid_data": counts[NUM_TRAIN:], **changes}
        path = folder / f"lfads_{name}.h5"
        with h5py.File(path, "w") as file:
            for key, values in arrays.items():
                if values is not None:
                    file[key] = values
        return path

    return write


@pytest.fixture
def flags(tmp_path: Path, write_input: Callable[..., Path]) -> dict[str, Any]:
    """Flags of a tiny run on one dataset; the save folder does not exist yet."""
    write_input(tmp_path / "in")
    return {
        "data_dir": str(tmp_path / "in"),
        "lfads_save_dir": str(tmp_path / "out"),
        "device": "/cpu:0",
        "batch_size": 8,
        "gen_dim": 6,
        "ic_dim": 4,
        "ic_enc_dim": 5,
        "factors_dim": 3,
        "ci_enc_dim": 4,
        "con_dim": 4,
        "co_dim": 0,
        "kl_increase_steps": 9,
        "l2_increase_steps": 9,
        "learning_rate_stop": 0.005,
        "learning_rate_n_to_compare": 2,
        "learning_rate_decay_factor": 0.3,
        "seed": 7,
    }
