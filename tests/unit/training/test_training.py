"""Training and evaluation of tiny models, in this process."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lfadsq.errors import (
    CheckpointError,
    ConfigError,
    DatasetError,
    NonFiniteCostError,
    RunError,
)
from lfadsq.training.checkpoints import load_newest
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.interruption import Interruption
from lfadsq.training.locks import training_lock
from lfadsq.training.program import run
from lfadsq.training.steps import ModelSteps
from lfadsq.training.trainer import STOP_LINE, train

Write = Callable[..., Path]

LINE = re.compile(
    r"epoch,\d+, step,\d+, total,-?\d+\.\d\d,-?\d+\.\d\d,       "
    r"recon,-?\d+\.\d\d,-?\d+\.\d\d, kl,-?\d+\.\d\d,-?\d+\.\d\d, l2,\d+\.\d{5},       "
    r"klweight,\d\.\d\d, l2weight,\d\.\d\d"
)


def trained(flags: dict[str, Any], **changes: Any) -> list[str]:
    """Train to the end and give the lines printed."""
    lines: list[str] = []
    assert run({**flags, **changes}, lines.append) == 0
    return lines


def fit_log(folder: Path) -> list[str]:
    return (folder / "fitlog.csv").read_text().splitlines()


def stopped_after(flags: dict[str, Any], num_batches: int, monkeypatch: Any) -> None:
    """Train, and ask for the end during a batch, as SIGTERM does."""
    interruption, original, done = Interruption(), ModelSteps.train, []

    def counted(self: ModelSteps, dataset: int, batch: Any) -> Any:
        done.append(1)
        if len(done) == num_batches:
            interruption.note(signal.SIGTERM)
        return original(self, dataset, batch)

    with monkeypatch.context() as patch:
        patch.setattr(ModelSteps, "train", counted)
        status = train(TrainerFlags.from_values(**flags), lambda line: None, interruption)
    assert status == 128 + signal.SIGTERM


def test_a_training_writes_everything(flags: dict[str, Any], tmp_path: Path) -> None:
    lines = trained(flags, co_dim=2)
    out = tmp_path / "out"
    assert lines[-1] == STOP_LINE
    assert re.match(r"Epoch:0, step:3 \(TRAIN, VALID\): total: ", lines[0])
    assert any(re.fullmatch(r"     Decreasing learning rate to 0\.003000\.", x) for x in lines)
    log = fit_log(out)
    assert all(LINE.fullmatch(line) for line in log)
    assert [line.split(",")[1] for line in log] == [str(e) for e in range(len(log))]
    assert [int(line.split(",")[3]) for line in log] == [3 * (e + 1) for e in range(len(log))]
    recorded = json.loads((out / "hyperparameters-0.txt").read_text())
    assert recorded["kind"] == "train"
    assert recorded["do_train_readin"] == "true"
    assert recorded["dataset_names"] == ["dataset001.h5"]
    assert recorded["dataset_dims"] == {"dataset001.h5": 5}
    assert (recorded["num_steps"], recorded["ndatasets"], recorded["_clip_value"]) == (8, 1, 80)
    assert recorded["seed"] == 7
    for pointer in ("checkpoint", "checkpoint_lve"):
        checkpoint = load_newest(out, pointer)
        assert checkpoint is not None
        assert np.isfinite(checkpoint.values["LFADS/gen/gen_2_fac/W"]).all()


def test_tensorboard_shows_the_original_tags(flags: dict[str, Any], tmp_path: Path) -> None:
    trained(flags, co_dim=2)
    events = EventAccumulator(str(tmp_path / "out" / "lfads_log"))
    events.Reload()
    pairs = {
        f"LFADS/{name}_cost__{split}_"
        for name in ("KL", "Reconstruction", "Total")
        for split in ("train", "valid")
    }
    single = {"L2_cost", "Learning_rate", "KL_weight", "L2_weight", "Corr_cost"}
    single |= {"Gradient_global_norm"}
    single |= {f"AR_{n}_{c}" for n in ("Autocorrelation_taus", "Variances") for c in (0, 1)}
    assert set(events.Tags()["scalars"]) == pairs | {f"LFADS/{name}" for name in single}
    log = fit_log(tmp_path / "out")
    total = events.Scalars("LFADS/Total_cost__train_")
    assert [e.step for e in total] == [int(line.split(",")[3]) for line in log]
    assert total[-1].value == pytest.approx(float(log[-1].split(",")[5]), abs=0.01)


@pytest.mark.slow
def test_lowest_validation_checkpoint_follows_from_the_log(
    flags: dict[str, Any], tmp_path: Path
) -> None:
    trained(flags)
    lowest, step = np.inf, None
    for line in fit_log(tmp_path / "out"):
        fields = line.replace(" ", "").split(",")
        epoch, valid = int(fields[1]), float(fields[6])
        warm = int(fields[3]) - 1 >= 9
        if epoch > 0 and warm and valid < lowest:
            lowest, step = valid, int(fields[3])
    checkpoint = load_newest(tmp_path / "out", "checkpoint_lve")
    assert checkpoint is not None
    assert checkpoint.step == step


def test_costs_fall(flags: dict[str, Any], tmp_path: Path) -> None:
    trained(flags, learning_rate_stop=0.0005, l2_gen_scale=1.0, keep_prob=1.0)
    recon = [float(line.replace(" ", "").split(",")[9]) for line in fit_log(tmp_path / "out")]
    assert min(recon) < recon[0] - 1.0


@pytest.fixture(scope="module")
def whole_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs it puts a training that was never stopped."""
    return tmp_path_factory.mktemp("never_stopped") / "out"


@pytest.mark.parametrize(
    "num_batches",
    [14, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 3))],
)
def test_a_stopped_training_goes_on_as_if_it_had_not(
    flags: dict[str, Any],
    tmp_path: Path,
    whole_folder: Path,
    num_batches: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the batch it was stopped at: the same log and the same parameters, bit for bit."""
    flags |= {"co_dim": 1, "temporal_spike_jitter_width": 2, "learning_rate_stop": 0.002}
    if not whole_folder.exists():
        trained(flags, lfads_save_dir=str(whole_folder))
    stopped_after(flags, num_batches, monkeypatch)
    trained({**flags, "seed": None})
    assert fit_log(tmp_path / "out") == fit_log(whole_folder)
    for pointer in ("checkpoint", "checkpoint_lve"):
        ours, theirs = (load_newest(f, pointer) for f in (tmp_path / "out", whole_folder))
        assert ours is not None
        assert theirs is not None
        assert ours.step == theirs.step
        for name, value in theirs.values.items():
            np.testing.assert_array_equal(ours.values[name], value, err_msg=name)


@pytest.mark.slow
def test_lines_after_the_checkpoint_are_dropped_on_resuming(
    flags: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process that was killed had logged after its last checkpoint, and half a line."""
    stopped_after(flags, 7, monkeypatch)
    with (tmp_path / "out" / "fitlog.csv").open("a") as file:
        line = fit_log(tmp_path / "out")[-1]
        file.write(line.replace("epoch,1, step,6", "epoch,2, step,9") + "\nepoch,3, st")
    trained(flags)
    epochs = [int(line.split(",")[1]) for line in fit_log(tmp_path / "out")]
    assert epochs == list(range(len(epochs)))


@pytest.mark.slow
def test_a_finished_training_ends_at_once(flags: dict[str, Any], tmp_path: Path) -> None:
    trained(flags)
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    assert trained(flags) == [STOP_LINE]
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()} == before


@pytest.mark.slow
def test_resetting_the_learning_rate_trains_on(flags: dict[str, Any], tmp_path: Path) -> None:
    trained(flags)
    epochs = len(fit_log(tmp_path / "out"))
    trained(flags, do_reset_learning_rate=True)
    assert len(fit_log(tmp_path / "out")) > epochs


@pytest.mark.slow
def test_different_seeds_differ_and_the_same_agrees(flags: dict[str, Any], tmp_path: Path) -> None:
    logs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trained(flags, lfads_save_dir=str(tmp_path / name), seed=seed)
        logs.append(fit_log(tmp_path / name))
    assert logs[0] == logs[1]
    assert logs[0] != logs[2]


@pytest.mark.slow
def test_without_a_seed_one_is_drawn_and_recorded(flags: dict[str, Any], tmp_path: Path) -> None:
    seeds = set()
    for name in ("a", "b"):
        trained(flags, lfads_save_dir=str(tmp_path / name), seed=None)
        seeds.add(json.loads((tmp_path / name / "hyperparameters-0.txt").read_text())["seed"])
    assert len(seeds) == 2
    assert all(isinstance(seed, int) for seed in seeds)


@pytest.mark.slow
def test_no_validation_trials(flags: dict[str, Any], tmp_path: Path, write_input: Write) -> None:
    write_input(tmp_path / "in", valid_data=None)
    trained(flags)
    assert ",nan," in fit_log(tmp_path / "out")[0]
    assert not (tmp_path / "out" / "checkpoint_lve").exists()


def test_as_many_trials_as_the_batch(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    write_input(tmp_path / "in", train_data=np.ones((10, 8, 5)))
    trained(flags, batch_size=10)
    assert fit_log(tmp_path / "out")[0].startswith("epoch,0, step,1,")


def test_too_large_a_batch_says_what_fits(flags: dict[str, Any], tmp_path: Path) -> None:
    # 24 trials train and 10 validate: both must fill a batch.
    for too_large in (11, 25):
        with pytest.raises(DatasetError, match="batch_size=10 or less"):
            trained(flags, batch_size=too_large)
    assert not (tmp_path / "out").exists()


def test_one_training_in_a_folder_at_a_time(flags: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with training_lock(out):
        with pytest.raises(RunError, match="another process is training"):
            trained(flags)
        assert not (out / "fitlog.csv").exists()
    assert not out.exists()
    trained(flags)
    assert fit_log(out)


def test_nothing_to_train_is_an_error(flags: dict[str, Any], tmp_path: Path) -> None:
    [data] = (tmp_path / "in").glob("*.h5")
    with h5py.File(data) as stored:
        num_channels = stored["train_data"].shape[2]
    with pytest.raises(ConfigError, match=r"nothing to train.*another --factors_dim"):
        trained(flags, do_train_io_only=True, factors_dim=num_channels)
    assert not (tmp_path / "out").exists()


def test_a_cost_that_is_not_finite_ends_training(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    write_input(tmp_path / "in", train_data=np.full((24, 8, 5), 1e38))
    with pytest.raises(NonFiniteCostError, match="epoch 0"):
        trained(flags, output_dist="gaussian")


def test_only_what_was_asked_for_is_trained(flags: dict[str, Any], tmp_path: Path) -> None:
    trained(flags, do_train_io_only=True)
    first = load_newest(tmp_path / "out", "checkpoint")
    trained(flags, do_train_io_only=True, do_reset_learning_rate=True)
    second = load_newest(tmp_path / "out", "checkpoint")
    assert first is not None
    assert second is not None
    changed = {
        name
        for name, value in first.values.items()
        if name.endswith(("/W", "/b")) and not np.array_equal(value, second.values[name])
    }
    assert changed == {f"LFADS/glm/fac_2_logrates_dataset001.h5/{v}" for v in ("W", "b")}


def test_several_datasets_in_one_model(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    write_input(tmp_path / "in", "dataset002", seed=1, channels=7)
    trained(flags)
    trained(flags, kind="posterior_push_mean", batch_size=4)
    trained(flags, kind="write_model_params")
    with h5py.File(tmp_path / "out" / "model_params") as file:
        assert file["LFADS_x_2_infac_dataset002.h5_W:0"].shape == (7, 3)
        assert file["LFADS_glm_fac_2_logrates_dataset002.h5_W:0"].shape == (3, 7)
    for name, channels in (("dataset001", 5), ("dataset002", 7)):
        path = tmp_path / "out" / f"model_runs_{name}.h5_valid_posterior_push_mean"
        with h5py.File(path) as file:
            assert file["output_dist_params"].shape == (10, 8, channels)


@pytest.mark.parametrize("co_dim", [0, 2])
@pytest.mark.slow
def test_posterior_files_have_every_key(flags: dict[str, Any], tmp_path: Path, co_dim: int) -> None:
    trained(flags, co_dim=co_dim)
    kinds = {"posterior_sample_and_average": 6, "posterior_push_mean": 4}
    for kind, batch_size in kinds.items():
        trained(flags, co_dim=co_dim, kind=kind, batch_size=batch_size)
        for split, trials in (("train", 24), ("valid", 10)):
            with h5py.File(tmp_path / "out" / f"model_runs_dataset001.h5_{split}_{kind}") as file:
                shapes = {key: file[key].shape for key in file}
                assert all(file[key].dtype == np.float64 for key in file)
                assert file["factors"].compression == "gzip"
            expected: dict[str, tuple[int, ...]] = {
                "prior_g0_mean": (trials, 4),
                "prior_g0_logvar": (trials, 4),
                "post_g0_mean": (trials, 4),
                "post_g0_logvar": (trials, 4),
                "gen_ics": (trials, 6),
                "gen_states": (trials, 8, 6),
                "factors": (trials, 8, 3),
                "output_dist_params": (trials, 8, 5),
                "costs": (trials,),
                "nll_bound_vaes": (trials,),
                "nll_bound_iwaes": (trials,),
                "train_steps": (trials,),
            }
            if co_dim:
                expected["controller_outputs"] = (trials, 8, co_dim)
            assert shapes == expected


@pytest.mark.slow
def test_prior_samples_have_every_key(flags: dict[str, Any], tmp_path: Path) -> None:
    trained(flags, co_dim=2)
    trained(flags, co_dim=2, kind="prior_sample", output_filename_stem="mine")
    with h5py.File(tmp_path / "out" / "mine_model_runs_prior_sample") as file:
        assert {key: file[key].shape for key in file} == {
            "gen_ics": (8, 6),
            "gen_states": (8, 8, 6),
            "factors": (8, 8, 3),
            "output_dist_params": (8, 8, 5),
            "costs": (1,),
            "prior_g0_mean": (8, 4),
            "prior_g0_logvar": (8, 4),
            "prior_zs_ar_con": (8, 8, 2),
        }


@pytest.mark.slow
def test_prior_samples_with_injected_inputs(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    """Where the original fails."""
    inputs = {"train_ext_input": np.ones((24, 8, 2)), "valid_ext_input": np.ones((10, 8, 2))}
    write_input(tmp_path / "in", **inputs)
    flags |= {"ext_input_dim": 2, "inject_ext_input_to_gen": True}
    trained(flags)
    trained(flags, kind="prior_sample")
    with h5py.File(tmp_path / "out" / "model_runs_prior_sample") as file:
        assert np.isfinite(file["factors"]).all()


@pytest.mark.slow
def test_model_params_hold_what_the_checkpoint_holds(flags: dict[str, Any], tmp_path: Path) -> None:
    trained(flags, co_dim=2)
    pointer = {"checkpoint_pb_load_name": "checkpoint_lve"}
    trained(flags, co_dim=2, kind="write_model_params", **pointer)
    checkpoint = load_newest(tmp_path / "out", "checkpoint_lve")
    assert checkpoint is not None
    with h5py.File(tmp_path / "out" / "model_params") as file:
        assert set(file) == {name.replace("/", "_") + ":0" for name in checkpoint.values}
        for name, value in checkpoint.values.items():
            np.testing.assert_array_equal(file[name.replace("/", "_") + ":0"], value)
        assert "LFADS_con_GenGRU_Gates_x_2_ru_W:0" in file
        assert "LFADS_gen_gen_2_fac_W_Adam_1:0" in file


@pytest.mark.slow
def test_costs_of_pushed_means_are_those_of_each_trial(
    flags: dict[str, Any], tmp_path: Path
) -> None:
    """They do not depend on which trials share a batch, unlike in the original."""
    trained(flags)
    path = tmp_path / "out" / "model_runs_dataset001.h5_valid_posterior_push_mean"
    costs = []
    for batch_size in (3, 10):
        trained(flags, kind="posterior_push_mean", batch_size=batch_size)
        with h5py.File(path) as file:
            costs.append(file["costs"][()])
    np.testing.assert_allclose(costs[0], costs[1], rtol=1e-5)
    assert np.unique(costs[0].round(4)).size > 1


def test_evaluation_needs_a_checkpoint(flags: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="train the model first"):
        trained(flags, kind="write_model_params")


@pytest.mark.slow
def test_flags_of_another_model_are_named(flags: dict[str, Any]) -> None:
    trained(flags, co_dim=2)
    for name, value, stored in [
        ("gen_dim", 7, 6),
        ("co_dim", 3, 2),
        ("co_dim", 0, 2),
        ("controller_input_lag", 2, 1),
        ("output_dist", "gaussian", "poisson"),
    ]:
        with pytest.raises(CheckpointError, match=f"{name} is {value}.* has {stored}"):
            trained({**flags, "co_dim": 2, name: value}, kind="write_model_params")


@pytest.mark.slow
def test_other_datasets_are_named(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    trained(flags)
    (tmp_path / "in" / "lfads_dataset001.h5").unlink()
    write_input(tmp_path / "in", "dataset009")
    with pytest.raises(CheckpointError, match=r"lacks .*dataset009"):
        trained(flags)


@pytest.mark.parametrize("device", ["tpu:0", "gpu", "nonsense/0"])
def test_device_is_understood_or_refused(flags: dict[str, Any], device: str) -> None:
    if device == "gpu":
        lines = trained(flags, device=device)
        assert tf.config.list_physical_devices("GPU") or "using the CPU" in lines[0]
        return
    with pytest.raises(ConfigError, match=device):
        trained(flags, device=device)
