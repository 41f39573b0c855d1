"""Every flag of the trainer does something, and what its name says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf

from lfadsq.training.checkpoints import load_newest
from lfadsq.training.flags import KINDS, TrainerFlags, flag_specs
from lfadsq.training.program import run
from lfadsq.training.session import open_session
from lfadsq.training.steps import ModelSteps
from lfadsq.training.trainer import STOP_LINE

Write = Callable[..., Path]

_CONTROLLER = {"co_dim": 2}
_INPUTS = {"ext_input_dim": 2}
_PRIOR = {"ic_prior_var_min": 0.05, "ic_prior_var_max": 0.4}

EFFECTS: dict[str, tuple[dict[str, Any], Any]] = {
    "learning_rate_init": ({}, 0.02),
    "max_grad_norm": ({}, 0.01),
    "batch_size": ({}, 7),
    "cell_clip_value": ({}, 0.2),
    "keep_prob": ({}, 0.6),
    "l2_gen_scale": ({}, 100.0),
    "l2_con_scale": (_CONTROLLER, 100.0),
    "co_mean_corr_scale": (_CONTROLLER, 5.0),
    "kl_ic_weight": ({}, 0.5),
    "kl_co_weight": (_CONTROLLER, 0.5),
    "kl_start_step": ({}, 1),
    "kl_increase_steps": ({}, 2),
    "l2_start_step": ({}, 1),
    "l2_increase_steps": ({}, 2),
    "ext_input_dim": ({}, 2),
    "inject_ext_input_to_gen": (_INPUTS, True),
    "co_dim": ({}, 2),
    "prior_ar_atau": (_CONTROLLER, 3.0),
    "do_train_prior_ar_atau": (_CONTROLLER, False),
    "prior_ar_nvar": (_CONTROLLER, 0.3),
    "do_train_prior_ar_nvar": (_CONTROLLER, False),
    "do_causal_controller": (_CONTROLLER, True),
    "do_feed_factors_to_controller": (_CONTROLLER, False),
    "feedback_factors_or_rates": (_CONTROLLER, "rates"),
    "controller_input_lag": (_CONTROLLER, 2),
    "ci_enc_dim": (_CONTROLLER, 5),
    "con_dim": (_CONTROLLER, 5),
    "num_steps_for_gen_ic": ({}, 2),
    "ic_dim": ({}, 3),
    "ic_enc_dim": ({}, 4),
    "ic_prior_var_min": (_PRIOR, 0.1),
    "ic_prior_var_scale": (_PRIOR, 0.2),
    "ic_prior_var_max": (_PRIOR, 0.6),
    "ic_post_var_min": ({}, 0.5),
    "cell_weight_scale": ({}, 2.0),
    "gen_dim": ({}, 7),
    "gen_cell_input_weight_scale": (_CONTROLLER, 2.0),
    "gen_cell_rec_weight_scale": ({}, 2.0),
    "factors_dim": ({}, 2),
    "output_dist": ({}, "gaussian"),
    "do_train_readin": ({"aligned": True}, False),
    "do_train_io_only": ({}, True),
    "do_train_encoder_only": ({}, True),
    "seed": ({}, 8),
}
"""What the costs of the first steps depend on: other flags that are needed, and another value."""

WITHOUT_EFFECT = {"co_prior_var_scale"}
"""As in the original; the help says so."""

OF_THE_PROGRAM = {
    "kind": "test_every_kind_writes_its_files_under_the_stem",
    "data_dir": "test_every_kind_writes_its_files_under_the_stem",
    "lfads_save_dir": "test_every_kind_writes_its_files_under_the_stem",
    "data_filename_stem": "test_every_kind_writes_its_files_under_the_stem",
    "output_filename_stem": "test_every_kind_writes_its_files_under_the_stem",
    "ps_nexamples_to_process": "test_every_kind_writes_its_files_under_the_stem",
    "checkpoint_name": "test_names_and_numbers_of_what_training_keeps",
    "csv_log": "test_names_and_numbers_of_what_training_keeps",
    "max_ckpt_to_keep": "test_names_and_numbers_of_what_training_keeps",
    "max_ckpt_to_keep_lve": "test_names_and_numbers_of_what_training_keeps",
    "checkpoint_pb_load_name": "test_training_goes_on_from_the_pointer_that_is_named",
    "do_reset_learning_rate": "test_training_goes_on_from_the_pointer_that_is_named",
    "temporal_spike_jitter_width": "test_jitter_is_in_training_and_not_in_evaluation",
    "learning_rate_n_to_compare": "test_the_learning_rate_follows_its_flags",
    "learning_rate_decay_factor": "test_the_learning_rate_follows_its_flags",
    "learning_rate_stop": "test_the_learning_rate_follows_its_flags",
}
"""The test of each flag that decides something other than the first costs."""

ELSEWHERE = {
    "model_params": "tests/golden/test_model_params.py",
    "device": "tests/unit/training/test_training.py",
    "allow_gpu_growth": "only where there is a GPU",
}


def test_no_flag_is_forgotten() -> None:
    names = [*EFFECTS, *WITHOUT_EFFECT, *OF_THE_PROGRAM, *ELSEWHERE]
    assert sorted(names) == sorted(spec.name for spec in flag_specs())
    assert set(OF_THE_PROGRAM.values()) <= set(globals())


@pytest.fixture
def small(flags: dict[str, Any], tmp_path: Path, write_input: Write) -> dict[str, Any]:
    """Flags of a model without dropout, and data with external inputs."""
    stream = np.random.default_rng(3)
    inputs = {
        f"{split}_ext_input": stream.standard_normal((count, 3, 2))
        for split, count in (("train", 24), ("valid", 10))
    }
    data = {
        f"{split}_data": stream.poisson(1.0, (count, 3, 5))
        for split, count in (("train", 24), ("valid", 10))
    }
    write_input(tmp_path / "in", **data, **inputs)
    matrix = stream.standard_normal((5, 3))
    write_input(tmp_path / "aligned", **data, alignment_matrix_cxf=matrix)
    return flags | {"keep_prob": 1.0, "l2_gen_scale": 50.0, "l2_con_scale": 50.0}


@pytest.fixture(scope="module")
def base_costs() -> dict[str, list[float]]:
    """Costs without the change, by the flags that are needed; each is computed once."""
    return {}


@pytest.fixture
def _uncompiled() -> Iterator[None]:
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def first_costs(flags: dict[str, Any], tmp_path: Path) -> list[float]:
    """Give the costs of the first three updates."""
    chosen = dict(flags)
    if chosen.pop("aligned", False):
        chosen["data_dir"] = str(tmp_path / "aligned")
    session = open_session(TrainerFlags.from_values(**chosen), chosen["seed"])
    model = ModelSteps(session.config, session.variables, chosen["seed"])
    batch = session.inputs[0].train.batch(slice(chosen["batch_size"]))
    return [model.train(0, batch).total for _ in range(3)]


@pytest.mark.slow
@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize("name", [*EFFECTS, *sorted(WITHOUT_EFFECT)])
def test_the_costs_of_the_first_steps_depend_on_it(
    name: str, small: dict[str, Any], tmp_path: Path, base_costs: dict[str, list[float]]
) -> None:
    needed, other = EFFECTS.get(name, (_CONTROLLER, 0.5))
    base = small | needed
    if str(needed) not in base_costs:
        base_costs[str(needed)] = first_costs(base, tmp_path)
    usual = base_costs[str(needed)]
    changed = first_costs(base | {name: other}, tmp_path)
    assert np.isfinite([usual, changed]).all()
    differs = not np.allclose(usual, changed, rtol=1e-6)
    assert differs == (name not in WITHOUT_EFFECT)


def program(flags: dict[str, Any], **changes: Any) -> list[str]:
    lines: list[str] = []
    assert run({**flags, **changes}, lines.append) == 0
    return lines


@pytest.mark.slow
def test_every_kind_writes_its_files_under_the_stem(small: dict[str, Any], tmp_path: Path) -> None:
    for path in (tmp_path / "in").iterdir():
        path.rename(path.with_name(path.name.replace("lfads_", "mine_")))
    small |= {"data_filename_stem": "mine", "learning_rate_decay_factor": 0.1}
    out = tmp_path / "out"
    trained = {"checkpoint", "fitlog.csv", "hyperparameters-0.txt", "lfads_log"}
    written = {
        "train": trained,
        "posterior_sample_and_average": {
            f"new_model_runs_dataset001.h5_{split}_posterior_sample_and_average"
            for split in ("train", "valid")
        },
        "posterior_push_mean": {
            f"new_model_runs_dataset001.h5_{split}_posterior_push_mean"
            for split in ("train", "valid")
        },
        "prior_sample": {"new_model_runs_prior_sample"},
        "write_model_params": {"model_params"},
    }
    assert set(written) == set(KINDS)
    for kind, names in written.items():
        before = {path.name for path in out.iterdir()} if out.exists() else set()
        program(small, kind=kind, output_filename_stem="new", ps_nexamples_to_process=4)
        new = {path.name for path in out.iterdir()} - before
        assert names <= new
        if kind != "train":
            assert new == names
    for split in ("train", "valid"):
        path = out / f"new_model_runs_dataset001.h5_{split}_posterior_push_mean"
        with h5py.File(path) as file:
            assert {values.shape[0] for values in file.values()} == {4}


@pytest.mark.slow
def test_names_and_numbers_of_what_training_keeps(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lfadsq.training.schedule.EPOCHS_BETWEEN_CHECKPOINTS", 1)
    names = {"checkpoint_name": "mymodel", "csv_log": "costs"}
    kept = {"max_ckpt_to_keep": 3, "max_ckpt_to_keep_lve": 1}
    program(small, **names, **kept, kl_increase_steps=2, l2_increase_steps=2)
    out = tmp_path / "out"
    rows = (out / "costs.csv").read_text().splitlines()
    assert len(rows) > 4
    assert not (out / "fitlog.csv").exists()
    steps = [int(row.split(",")[3]) for row in rows]
    found = {path.name for path in out.glob("*.index")}
    rolling = {name for name in found if name.startswith("mymodel.ckpt-")}
    assert rolling == {f"mymodel.ckpt-{step}.index" for step in steps[-3:]}
    (lowest,) = found - rolling
    assert re.fullmatch(r"mymodel_lve\.ckpt-\d+\.index", lowest)


@pytest.mark.slow
def test_training_goes_on_from_the_pointer_that_is_named(
    small: dict[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    program(small, learning_rate_decay_factor=0.1)
    out = tmp_path / "out"
    lowest = load_newest(out, "checkpoint_lve")
    assert lowest is not None
    again = {"do_reset_learning_rate": True, "learning_rate_stop": 0.00999}
    again |= {"learning_rate_n_to_compare": 1, "learning_rate_decay_factor": 0.99}
    lines = program(small | again, checkpoint_pb_load_name="checkpoint_lve")
    assert lines[0] == f"Resuming from lfads_vae_lve.ckpt-{lowest.step}."
    begun = next(line for line in lines if line.startswith("Epoch:"))
    assert f"step:{lowest.step + 3} " in begun
    after = load_newest(out, "checkpoint")
    assert after is not None
    assert after.prefix.name.startswith("lfads_vae.ckpt-")
    assert float(after.values["LFADS/learning_rate"]) == pytest.approx(0.0099)

    (out / "checkpoint_lve").unlink()
    finished = program(small, checkpoint_pb_load_name="checkpoint_lve", learning_rate_stop=0.00999)
    assert finished == [STOP_LINE]
    assert "there is no" in caplog.text
    assert f"going on from {after.prefix}" in caplog.text


@pytest.mark.slow
def test_jitter_is_in_training_and_not_in_evaluation(small: dict[str, Any], tmp_path: Path) -> None:
    small |= {"learning_rate_decay_factor": 0.1}
    logs = []
    for width in (0, 2):
        folder = tmp_path / f"out{width}"
        program(small, lfads_save_dir=str(folder), temporal_spike_jitter_width=width)
        logs.append((folder / "fitlog.csv").read_text().splitlines()[0].split(","))
    # Both the training and the validation cost of the first epoch.
    assert logs[0][5] != logs[1][5]
    assert logs[0][6] != logs[1][6]
    means = []
    for width, stem in ((0, "still"), (2, "moved")):
        flags = small | {"lfads_save_dir": str(tmp_path / "out2"), "output_filename_stem": stem}
        program(flags, kind="posterior_push_mean", temporal_spike_jitter_width=width)
        name = f"{stem}_model_runs_dataset001.h5_valid_posterior_push_mean"
        with h5py.File(tmp_path / "out2" / name) as file:
            means.append(file["output_dist_params"][()])
    np.testing.assert_array_equal(*means)


@pytest.mark.slow
def test_the_learning_rate_follows_its_flags(small: dict[str, Any]) -> None:
    n_to_compare = 3
    rates = {"learning_rate_init": 0.02, "learning_rate_decay_factor": 0.5}
    compared = {"learning_rate_n_to_compare": n_to_compare}
    lines = program(small, **rates, **compared, learning_rate_stop=0.006)
    epoch, drops = -1, {}
    for line in lines:
        if found := re.match(r"Epoch:(\d+),", line):
            epoch = int(found[1])
        if found := re.fullmatch(r"     Decreasing learning rate to (.*)\.", line):
            drops[epoch] = float(found[1])
    assert list(drops.values()) == [0.01, 0.005]
    first, second = drops
    # As many epochs as are compared must have been stored, and one more.
    assert first > n_to_compare
    assert second - first > n_to_compare
    assert epoch == second
    assert lines[-1] == STOP_LINE
