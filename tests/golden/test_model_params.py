"""A model that the original trained is evaluated and trained further by ``run_lfads.py``."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.special import gammaln

from lfadsq.cli.boundary import run_command
from lfadsq.cli.train import train as command
from lfadsq.training.checkpoints import load_newest
from lfadsq.training.steps import ModelSteps

DATA = Path(__file__).parent / "data"
NUM_BINS = 6
EPOCH_STEPS = 2
TRAINED_STEPS = 11_280
STOPPED = 128 + signal.SIGTERM

Run = Callable[..., list[str]]


def arguments(flags: dict[str, Any]) -> list[str]:
    texts = {True: "true", False: "false"}
    return [f"--{name}={texts.get(v, v) if type(v) is bool else v}" for name, v in flags.items()]


@pytest.fixture
def flags(tmp_path: Path) -> dict[str, Any]:
    """Flags the original was called with, its validation trials, and its file of parameters."""
    with h5py.File(DATA / "legacy_push_mean.h5") as file:
        recorded = json.loads(file.attrs["hyperparameters"])
        trials = file["valid_data"][()]
    (tmp_path / "in").mkdir()
    with h5py.File(tmp_path / "in" / "lfads_dataset001.h5", "w") as file:
        file["train_data"] = file["valid_data"] = trials
    shutil.copy(DATA / "legacy_model_params", tmp_path / "model_params")
    made = ("dataset_names", "dataset_dims", "num_steps", "ndatasets", "_clip_value", "kind")
    made += ("checkpoint_pb_load_name",)
    return {
        **{name: value for name, value in recorded.items() if name not in made},
        "data_dir": str(tmp_path / "in"),
        "lfads_save_dir": str(tmp_path / "out"),
        "model_params": str(tmp_path / "model_params"),
        "device": "/cpu:0",
        "batch_size": 10,
        "seed": 3,
    }


@pytest.fixture
def _short_trials(flags: dict[str, Any]) -> None:
    """Leave the first bins, as graphs of short trials are built sooner."""
    with h5py.File(Path(flags["data_dir"]) / "lfads_dataset001.h5", "a") as file:
        trials = file["train_data"][:, :NUM_BINS]
        for name in ("train_data", "valid_data"):
            del file[name]
            file[name] = trials


@pytest.fixture
def run_lfads(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the console script, in this process; give what it printed."""

    def run(flags: dict[str, Any], *, status: int = 0, **changes: Any) -> list[str]:
        with pytest.raises(SystemExit) as ended:
            run_command(command, arguments({**flags, **changes}))
        printed = capsys.readouterr()
        assert ended.value.code == status, printed.err
        return (printed.out + printed.err).splitlines()

    return run


def totals(folder: Path) -> list[float]:
    lines = (folder / "fitlog.csv").read_text().splitlines()
    return [float(line.split(",")[5]) for line in lines]


def interrupt_after(num_batches: int, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let SIGTERM come in the training of a batch; give the variables before the first."""
    before: dict[str, Any] = {}
    done: list[int] = []
    original = ModelSteps.train

    def interrupted(self: ModelSteps, dataset: int, batch: Any) -> Any:
        if not done:
            variables = self._variables.on_disk()
            before.update({name: variable.numpy() for name, variable in variables.items()})
        done.append(1)
        costs = original(self, dataset, batch)
        if len(done) == num_batches:
            signal.raise_signal(signal.SIGTERM)
        return costs

    patch.setattr(ModelSteps, "train", interrupted)
    return before


def rewrite(path: Path, change: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "a") as file:
        change(file)


def test_it_gives_the_posterior_means_of_the_original(
    flags: dict[str, Any], tmp_path: Path, run_lfads: Run
) -> None:
    run_lfads(flags, kind="posterior_push_mean", checkpoint_pb_load_name="checkpoint_lve")
    path = tmp_path / "out" / "model_runs_dataset001.h5_valid_posterior_push_mean"
    with h5py.File(path) as ours, h5py.File(DATA / "legacy_push_mean.h5") as theirs:
        names = set(theirs) - {"valid_data"}
        assert len(names) == 6
        for name in names:
            expected = theirs[name][()]
            error = np.abs(ours[name][()] - expected).max() / np.abs(expected).max()
            assert error < 2e-5, f"{name}: {error:.1e}"
        assert (ours["train_steps"][()] == TRAINED_STEPS).all()


def test_every_kind_of_evaluation_takes_it(
    flags: dict[str, Any], tmp_path: Path, run_lfads: Run
) -> None:
    out = tmp_path / "out"
    run_lfads(flags, kind="posterior_sample_and_average", batch_size=200)
    with h5py.File(out / "model_runs_dataset001.h5_valid_posterior_sample_and_average") as file:
        sampled = file["output_dist_params"][()]
    with h5py.File(DATA / "legacy_push_mean.h5") as file:
        pushed = file["output_dist_params"][()]
    assert np.corrcoef(sampled.ravel(), pushed.ravel())[0, 1] > 0.98
    run_lfads(flags, kind="prior_sample")
    with h5py.File(out / "model_runs_prior_sample") as file:
        assert file["factors"].shape == (10, 50, 8)
    run_lfads(flags, kind="write_model_params")
    with h5py.File(out / "model_params") as ours, h5py.File(DATA / "legacy_model_params") as theirs:
        assert set(theirs) <= set(ours)
        for name in set(theirs) - {"LFADS_beta1_power:0", "LFADS_beta2_power:0"}:
            np.testing.assert_array_equal(ours[name][()], theirs[name][()], err_msg=name)


@pytest.mark.usefixtures("_short_trials")
@pytest.mark.slow
def test_it_is_trained_further_and_resumed(
    flags: dict[str, Any], tmp_path: Path, run_lfads: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Costs fall from where they were, and an interruption changes nothing."""
    flags |= {"learning_rate_stop": 4e-4, "learning_rate_decay_factor": 0.5, "keep_prob": 1.0}
    flags |= {"learning_rate_n_to_compare": 2}
    lines = run_lfads(flags, lfads_save_dir=str(tmp_path / "whole"))
    assert "Resuming from model_params." in lines
    assert f"Epoch:0, step:{TRAINED_STEPS + EPOCH_STEPS} " in "\n".join(lines)
    costs = totals(tmp_path / "whole")
    with h5py.File(tmp_path / "in" / "lfads_dataset001.h5") as file:
        counts = file["train_data"][()]
    of_rates_of_one = (1.0 + gammaln(counts + 1.0)).sum() / len(counts)
    assert costs[0] < 0.7 * of_rates_of_one
    assert np.mean(costs[-3:]) < np.mean(costs[:3]) - 1.0

    with monkeypatch.context() as patch:
        interrupt_after(5, patch)
        run_lfads(flags, status=STOPPED)
    lines = run_lfads(flags)
    assert any("model_params is not read" in line for line in lines)
    assert (tmp_path / "out" / "fitlog.csv").read_text() == (
        tmp_path / "whole" / "fitlog.csv"
    ).read_text()
    ours, theirs = (load_newest(tmp_path / name, "checkpoint") for name in ("out", "whole"))
    assert ours is not None
    assert theirs is not None
    for name, value in theirs.values.items():
        np.testing.assert_array_equal(ours.values[name], value, err_msg=name)


@pytest.mark.usefixtures("_short_trials")
@pytest.mark.slow
def test_our_own_file_goes_on_exactly(
    flags: dict[str, Any], tmp_path: Path, run_lfads: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds all of Adam: training goes on from what the checkpoint holds."""
    first, second = tmp_path / "first", tmp_path / "second"
    with monkeypatch.context() as patch:
        interrupt_after(3, patch)
        run_lfads(flags, model_params="", lfads_save_dir=str(first), status=STOPPED)
    run_lfads(flags, kind="write_model_params", lfads_save_dir=str(first))
    checkpoint = load_newest(first, "checkpoint")
    assert checkpoint is not None
    assert checkpoint.step == 3
    flags |= {"model_params": str(first / "model_params"), "lfads_save_dir": str(second)}
    (line,) = run_lfads(flags, learning_rate_stop=0.5, status=1)
    assert "trained to its end" in line
    assert not second.exists()
    with monkeypatch.context() as patch:
        restored = interrupt_after(1, patch)
        run_lfads(flags, status=STOPPED)
    assert set(restored) == set(checkpoint.values)
    for name, value in checkpoint.values.items():
        np.testing.assert_array_equal(restored[name], value, err_msg=name)


def test_the_originals_own_names_of_adams_variables(
    flags: dict[str, Any], tmp_path: Path, run_lfads: Run
) -> None:
    name = "LFADS_gen_gen_2_fac_W"

    def add(file: h5py.File) -> None:
        for slot, value in (("Adam", 2.0), ("Adam_1", 3.0)):
            file[f"LFADS_{name}_{slot}:0"] = np.full((64, 8), value, np.float32)
        file["LFADS_kl_weight_of_nobody:0"] = 1.0

    rewrite(tmp_path / "model_params", add)
    run_lfads(flags, kind="write_model_params")
    with h5py.File(tmp_path / "out" / "model_params") as file:
        assert (file[f"{name}_Adam:0"][()] == 2.0).all()
        assert (file[f"{name}_Adam_1:0"][()] == 3.0).all()
        # With what Adam remembers its powers are those of the file, else of a first step.
        assert file["LFADS_beta1_power:0"][()] == 0.0


def test_a_file_of_parameters_alone_begins_like_a_new_model(
    flags: dict[str, Any], tmp_path: Path, run_lfads: Run
) -> None:
    def strip(file: h5py.File) -> None:
        for scalar in ("global_step", "learning_rate", "beta1_power", "beta2_power"):
            del file[f"LFADS_{scalar}:0"]

    rewrite(tmp_path / "model_params", strip)
    run_lfads(flags, kind="write_model_params")
    with h5py.File(tmp_path / "out" / "model_params") as file:
        scalars = {n: file[f"LFADS_{n}:0"][()] for n in ("global_step", "learning_rate")}
        assert scalars == {"global_step": 0, "learning_rate": np.float32(0.01)}
        assert file["LFADS_beta1_power:0"][()] == np.float32(0.9)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"gen_dim": 65}, "gen_dim is 65, but the trained model has 64"),
        ({"co_dim": 2}, "co_dim is 2, but the trained model has 0"),
        ({"output_dist": "gaussian"}, "output_dist is gaussian, but the trained model has poisson"),
    ],
)
def test_flags_of_another_model_are_named(
    flags: dict[str, Any], run_lfads: Run, changes: dict[str, Any], named: str
) -> None:
    (line,) = run_lfads(flags, **changes, status=1)
    assert named in line
    assert line.endswith("choose another --model_params")


def test_a_controller_that_flags_leave_out_is_named(
    flags: dict[str, Any], tmp_path: Path, run_lfads: Run
) -> None:
    def add(file: h5py.File) -> None:
        file["LFADS_con_con_to_post_co_mean_W:0"] = np.zeros((4, 3), np.float32)

    rewrite(tmp_path / "model_params", add)
    (line,) = run_lfads(flags, status=1)
    assert "co_dim is 0, but the trained model has 3" in line


def test_another_dataset_is_named(flags: dict[str, Any], tmp_path: Path, run_lfads: Run) -> None:
    path = tmp_path / "in" / "lfads_dataset001.h5"
    path.rename(path.with_name("lfads_day_2.h5"))
    (line,) = run_lfads(flags, status=1)
    assert "lacks LFADS/glm/fac_2_logrates_day_2.h5/W" in line


def test_what_is_no_model_is_refused(flags: dict[str, Any], tmp_path: Path, run_lfads: Run) -> None:
    inputs = tmp_path / "in" / "lfads_dataset001.h5"
    text = tmp_path / "text"
    text.write_text("no HDF5")
    for path, named in [
        (inputs, "no file of an LFADS model"),
        (text, f"cannot read {text}"),
        (tmp_path / "nothing", "No such file"),
    ]:
        lines = run_lfads(flags, model_params=str(path), status=1)
        assert named in lines[-1]
    assert not (tmp_path / "out").exists()


def test_evaluation_does_not_take_it_for_a_checkpoint_that_is_not_there_yet(
    flags: dict[str, Any], tmp_path: Path, run_lfads: Run
) -> None:
    """The calls of a script bear the same flags: what was trained is evaluated, or nothing."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoint").write_text('model_checkpoint_path: "lfads_vae.ckpt-1"\n')
    (line,) = run_lfads(
        flags, kind="write_model_params", checkpoint_pb_load_name="checkpoint_lve", status=1
    )
    assert "there is no" in line
    assert "checkpoint_lve" in line
