"""Runs trained together end as each does alone."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lfadsq.errors import ConfigError, NonFiniteCostError
from lfadsq.training.checkpoints import ROLLING, Checkpoint, load_newest
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.interruption import Interruption
from lfadsq.training.together import DIFFERING_FLAGS, Outcome, check_alike, train_together
from lfadsq.training.trainer import STOP_LINE, train

SWEEP: list[dict[str, Any]] = [
    {"seed": 1},
    {"seed": 2, "keep_prob": 0.8, "l2_gen_scale": 50.0, "learning_rate_init": 0.02},
    {"seed": 3, "keep_prob": 1.0, "kl_ic_weight": 0.5, "kl_increase_steps": 0},
    {"seed": 4, "max_grad_norm": 5.0, "learning_rate_stop": 0.0035, "l2_start_step": 4},
]


@pytest.fixture
def sweep(flags: dict[str, Any], tmp_path: Path) -> Callable[..., list[tuple[str, TrainerFlags]]]:
    """Give the runs of a small sweep in a folder of that name."""

    def describe(folder: str, num_runs: int = 2, co_dim: int = 0) -> list[tuple[str, TrainerFlags]]:
        few_epochs = {"learning_rate_stop": 0.002, "co_dim": co_dim}
        return [
            (
                f"run{index}",
                TrainerFlags.from_values(
                    **{
                        **flags,
                        **few_epochs,
                        **changes,
                        "lfads_save_dir": str(tmp_path / folder / str(index)),
                    }
                ),
            )
            for index, changes in enumerate(SWEEP[:num_runs])
        ]

    return describe


def together(
    runs: Sequence[tuple[str, TrainerFlags]],
    *,
    stacked: bool,
    interruption: Interruption | None = None,
    lines: list[str] | None = None,
) -> list[Outcome]:
    said = [] if lines is None else lines
    asked = interruption or Interruption()
    return train_together(runs, said.append, asked, device="/cpu:0", stacked=stacked)


def costs(flags: TrainerFlags) -> np.ndarray:
    lines = (flags.save_dir / "fitlog.csv").read_text().splitlines()
    numbers = [[float(x) for x in line.split(",") if _is_number(x)] for line in lines]
    return np.array(numbers)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def newest(flags: TrainerFlags) -> Checkpoint:
    checkpoint = load_newest(flags.save_dir, ROLLING)
    assert checkpoint is not None
    return checkpoint


def assert_the_same(ours: TrainerFlags, theirs: TrainerFlags) -> None:
    """Up to rounding of float32, which a product of stacked matrices does in another order."""
    np.testing.assert_allclose(costs(ours), costs(theirs), rtol=2e-3, atol=0.02)
    mine, expected = newest(ours), newest(theirs)
    assert mine.step == expected.step
    assert mine.values.keys() == expected.values.keys()
    for name, value in expected.values.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(
            mine.values[name], value, 1e-2, 1e-3 * scale + 1e-6, err_msg=name
        )


@pytest.mark.parametrize(
    ("stacked", "num_runs", "co_dim"),
    [
        (True, 3, 1),
        (False, 2, 0),
    ],
)
@pytest.mark.slow
def test_each_run_ends_as_alone(sweep: Any, stacked: bool, num_runs: int, co_dim: int) -> None:
    runs, by_themselves = (sweep(folder, num_runs, co_dim) for folder in ("together", "alone"))
    lines: list[str] = []
    outcomes = together(runs, stacked=stacked, lines=lines)
    assert [(o.status, o.error) for o in outcomes] == [(0, None)] * num_runs
    for (_, ours), (name, alone) in zip(runs, by_themselves, strict=True):
        assert f"[{name}] {STOP_LINE}" in lines
        assert train(alone, lambda line: None, Interruption()) == 0
        assert_the_same(ours, alone)
        names = {path.name for path in ours.save_dir.iterdir()}
        assert names == {path.name for path in alone.save_dir.iterdir()}
    epochs = {len(costs(flags)) for _, flags in runs}
    assert len(epochs) > 1, "the sweep should hold runs that end before others"


@pytest.mark.slow
def test_a_signal_stops_all_and_they_go_on(sweep: Any) -> None:
    class AfterSomeBatches(Interruption):
        asked = 0

        @property
        def signal_number(self) -> int | None:
            self.asked += 1
            return signal.SIGTERM if self.asked > 30 else None

    runs = sweep("together")
    outcomes = together(runs, stacked=True, interruption=AfterSomeBatches())
    assert [o.status for o in outcomes] == [128 + signal.SIGTERM] * len(runs)
    assert all(newest(flags).step > 0 for _, flags in runs)
    assert [o.status for o in together(runs, stacked=True)] == [0] * len(runs)
    for (_, ours), (_, alone) in zip(runs, sweep("alone"), strict=True):
        train(alone, lambda line: None, Interruption())
        assert_the_same(ours, alone)


@pytest.mark.slow
def test_a_run_that_fails_leaves_the_others_to_go_on(
    flags: dict[str, Any], tmp_path: Path, sweep: Any, write_input: Callable[..., Path]
) -> None:
    path = write_input(tmp_path / "bad")
    with h5py.File(path, "r+") as file:
        file["train_data"][...] = 2**20
    runs = sweep("together")
    hopeless = {
        **runs[0][1].values,
        "data_dir": str(tmp_path / "bad"),
        "learning_rate_init": 1e6,
        "max_grad_norm": 1e30,
        "lfads_save_dir": str(tmp_path / "together" / "bad"),
    }
    outcomes = together(
        [runs[0], ("bad", TrainerFlags.from_values(**hopeless)), runs[1]], stacked=True
    )
    assert [o.status for o in outcomes] == [0, 1, 0]
    assert isinstance(outcomes[1].error, NonFiniteCostError)
    for (_, ours), (_, alone) in zip(runs, sweep("alone"), strict=True):
        train(alone, lambda line: None, Interruption())
        assert_the_same(ours, alone)


@pytest.mark.slow
def test_several_datasets_meet_in_any_order(
    flags: dict[str, Any], tmp_path: Path, write_input: Callable[..., Path]
) -> None:
    write_input(tmp_path / "in", "dataset002", seed=1, channels=4)

    def runs(folder: str) -> list[tuple[str, TrainerFlags]]:
        changes = [{"seed": 5}, {"seed": 6}]
        given = {**flags, "learning_rate_stop": 0.008}
        return [
            (str(i), TrainerFlags.from_values(
                **{**given, **change, "lfads_save_dir": str(tmp_path / folder / str(i))}))
            for i, change in enumerate(changes)
        ]  # fmt: skip

    assert [o.status for o in together(runs("together"), stacked=True)] == [0, 0]
    for (_, ours), (_, alone) in zip(runs("together"), runs("alone"), strict=True):
        train(alone, lambda line: None, Interruption())
        assert_the_same(ours, alone)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"gen_dim": 7}, "gen_dim is 6 in a, but 7 in b"),
        ({"batch_size": 9}, "batch_size is 8 in a, but 9 in b"),
        ({"lfads_save_dir": None}, "given twice"),
    ],
)
def test_runs_that_differ_too_much_are_refused(
    flags: dict[str, Any], tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    other = {**flags, "lfads_save_dir": str(tmp_path / "other"), **changes}
    other["lfads_save_dir"] = other["lfads_save_dir"] or flags["lfads_save_dir"]
    runs = [("a", TrainerFlags.from_values(**flags)), ("b", TrainerFlags.from_values(**other))]
    with pytest.raises(ConfigError, match=named):
        check_alike(runs)


def test_data_of_another_shape_are_refused_before_anything_is_written(
    flags: dict[str, Any], tmp_path: Path, write_input: Callable[..., Path]
) -> None:
    write_input(tmp_path / "wide", channels=9)
    other = {**flags, "data_dir": str(tmp_path / "wide"), "lfads_save_dir": str(tmp_path / "b")}
    runs = [("a", TrainerFlags.from_values(**flags)), ("b", TrainerFlags.from_values(**other))]
    with pytest.raises(ConfigError, match="b has other datasets, channels or time bins than a"):
        together(runs, stacked=True)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "b").exists()


def test_every_flag_that_may_differ_exists(flags: dict[str, Any]) -> None:
    assert set(TrainerFlags.from_values(**flags).values) >= DIFFERING_FLAGS
