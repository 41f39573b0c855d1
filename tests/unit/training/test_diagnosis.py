"""What is said of a cost that is not finite."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from lfadsq.errors import NonFiniteCostError
from lfadsq.model.costs import batch_costs, trial_terms
from lfadsq.model.network import decode, draw_masks, draw_noise, encode, sample_g0
from lfadsq.queue.failures import Ending, cause_of
from lfadsq.queue.records import Cause
from lfadsq.training.checkpoints import load_newest
from lfadsq.training.data import Batch
from lfadsq.training.diagnosis import Finding, first_bad_quantity
from lfadsq.training.failure import FailedBatch, not_finite_error
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.interruption import Interruption
from lfadsq.training.program import run
from lfadsq.training.seeds import training_seed, validation_seed
from lfadsq.training.session import Session, open_session
from lfadsq.training.steps import BatchCosts, ModelSteps
from lfadsq.training.trainer import train

Write = Callable[..., Path]
SEED, STEP = 7, 12


@pytest.fixture
def controlled(flags: dict[str, Any], tmp_path: Path, write_input: Write) -> Session:
    """A model with everything: a controller, a read-in, and inputs injected into the generator."""
    inputs = {
        "train_ext_input": np.ones((24, 8, 2)),
        "valid_ext_input": np.ones((10, 8, 2)),
        "alignment_matrix_cxf": np.eye(5, 3),
        "alignment_bias_c": np.zeros(5),
    }
    write_input(tmp_path / "in", **inputs)
    flags |= {"co_dim": 2, "ext_input_dim": 2, "inject_ext_input_to_gen": True}
    flags |= {"co_mean_corr_scale": 0.1}
    return open_session(TrainerFlags.from_values(**flags), SEED)


def found_in(
    session: Session, batch: Batch | None = None, *, trains: bool = True
) -> Finding | None:
    if batch is None:
        batch = session.inputs[0].train.batch(np.arange(8))
    return first_bad_quantity(
        session.config,
        session.variables.parameters,
        list(session.variables.trained),
        session.config.datasets[0],
        batch,
        training_seed(SEED, STEP),
        STEP,
        trains=trains,
    )


def fill(session: Session, name: str, value: float) -> None:
    variable = session.variables.parameters[f"LFADS/{name}"]
    variable.assign(np.full(variable.shape, value, np.float32))


READOUT = "glm/fac_2_logrates_dataset001.h5"


@pytest.mark.parametrize(
    ("parameter", "value", "expected", "remedy"),
    [
        ("gen/gen_2_fac/W", np.nan, "the parameter LFADS/gen/gen_2_fac/W", "older one"),
        ("ic_enc_rev/ic_enc_t0_rev", np.inf, "the parameter LFADS/ic_enc_rev", "older one"),
        ("z/ic_enc_2_post_g0/logvar/b", 100.0, "the posterior log variance of g0", "kl_ic_weight"),
        ("z/ic_enc_2_post_g0/logvar/b", 87.0, "the KL cost of g0", "c_kl_ic_weight"),
        (
            "con/con_to_post_co/logvar/b",
            200.0,
            "the inferred inputs, first in time bin 1 (counted from 1)",
            "c_kl_co_weight",
        ),
        (f"{READOUT}/W", 3e38, "the log rates, first in time bin 1 ", "c_max_grad_norm"),
        (f"{READOUT}/b", 100.0, "the reconstruction cost", "c_cell_clip_value"),
        ("z/u_prior_ar1/logatau", 30.0, "the KL cost of the inferred inputs", "prior_ar_atau"),
        ("gen/GenGRU/Gates/h_2_ru/b", 1e20, "the L2 cost", "c_l2_gen_scale"),
        (f"{READOUT}/b", 70.0, "the norm of the gradients", "c_cell_clip_value"),
    ],
)
def test_the_first_bad_quantity_is_named(
    controlled: Session, parameter: str, value: float, expected: str, remedy: str
) -> None:
    assert found_in(controlled) is None
    fill(controlled, parameter, value)
    finding = found_in(controlled)
    assert finding is not None
    assert finding.quantity.startswith(expected)
    assert remedy in finding.remedy


def test_bad_data_come_before_everything_that_follows_from_them(controlled: Session) -> None:
    batch = controlled.inputs[0].train.batch(np.arange(8))
    data = batch.data.copy()
    data[[2, 5], [4, 6], 1] = np.inf
    finding = found_in(controlled, batch._replace(data=data))
    assert finding is not None
    assert finding.quantity == "the data, first in time bin 5 (counted from 1)"
    assert finding.trials.tolist() == [2]


def test_the_time_bin_is_that_in_which_it_begins(controlled: Session) -> None:
    """Variances of inferred inputs that overflow in some trials, in some bin."""
    config, parameters = controlled.config, controlled.variables.parameters
    weight = parameters["LFADS/con/con_to_post_co/logvar/W"]
    weight.assign(np.random.default_rng(0).normal(0, 500, weight.shape).astype(np.float32))
    batch = controlled.inputs[0].train.batch(np.arange(24))
    noise = draw_noise(config, 24, training_seed(SEED, STEP))
    data, inputs = (np.swapaxes(values, 0, 1) for values in batch[:2])
    encoding = encode(config, parameters, config.datasets[0], data, inputs)
    g0 = sample_g0(encoding.post_g0_mean, encoding.post_g0_logvar, noise.g0)
    drawn = decode(config, parameters, config.datasets[0], g0, encoding.ci, inputs, noise.co)
    assert drawn.controller_outputs is not None
    bad = ~np.isfinite(drawn.controller_outputs.numpy()).all(-1)
    time_bin = int(np.flatnonzero(bad.any(1))[0])
    assert time_bin > 0
    finding = found_in(controlled, batch, trains=False)
    assert finding is not None
    expected = f"the inferred inputs, first in time bin {time_bin + 1} (counted from 1)"
    assert finding.quantity == expected
    assert finding.trials.tolist() == np.flatnonzero(bad[time_bin]).tolist()
    assert len(finding.trials) < 24


def test_the_parameter_of_a_bad_gradient_is_named(controlled: Session) -> None:
    """Rates do not depend on factors that are 0, but their derivative does on the weights."""
    for name in ("Gates/x_2_ru/W", "Candidate/x_2_c/W", "Candidate/rh_2_c/W", "Candidate/rh_2_c/b"):
        fill(controlled, f"gen/GenGRU/{name}", 0.0)
    for name in ("W", "b"):
        fill(controlled, f"gen/g0_2_gen_ic/{name}", 0.0)
    fill(controlled, f"{READOUT}/b", 70.0)
    fill(controlled, f"{READOUT}/W", 1e12)
    finding = found_in(controlled)
    assert finding is not None
    assert re.match(
        r"the gradient of the parameter LFADS/gen/gen_2_fac/W \(and of \d+ more\)", finding.quantity
    )


@pytest.mark.parametrize("trains", [True, False])
def test_a_step_computed_again_is_the_same_step(controlled: Session, trains: bool) -> None:
    """The noise and dropout of the compiled step, from the same seed."""
    config, parameters = controlled.config, controlled.variables.parameters
    batch = controlled.inputs[0].train.batch(np.arange(8))
    controlled.variables.global_step.assign(STEP)
    seed = training_seed(SEED, STEP) if trains else validation_seed(SEED, STEP, 3)
    noise = draw_noise(config, 8, seed)
    masks = draw_masks(config, config.datasets[0], 8, seed) if trains else None
    data, inputs = (np.swapaxes(values, 0, 1) for values in batch[:2])
    encoding = encode(config, parameters, config.datasets[0], data, inputs, masks)
    g0 = sample_g0(encoding.post_g0_mean, encoding.post_g0_logvar, noise.g0)
    generation = decode(
        config, parameters, config.datasets[0], g0, encoding.ci, inputs, noise.co, masks
    )
    terms = trial_terms(
        config, parameters, data, batch.log_factorials, encoding, generation, noise.co
    )
    costs = batch_costs(config, parameters, terms, tf.constant(STEP, tf.int64))
    steps = ModelSteps(config, controlled.variables, SEED)
    compiled = steps.train(0, batch) if trains else steps.validate(0, 3, batch)
    assert compiled.total == pytest.approx(float(costs.total), rel=1e-5)


@pytest.mark.slow
def test_a_bad_step_changes_nothing_on_disk_and_says_where_to_go_on(
    flags: dict[str, Any], tmp_path: Path
) -> None:
    """A learning rate so high that the model breaks, on a training that went well before."""
    interruption, lines = Interruption(), []

    def stop_after_two(line: str) -> None:
        lines.append(line)
        if line.startswith("Epoch:1,"):
            interruption.note(signal.SIGTERM)

    flags = {**flags, "co_dim": 1}
    status = train(TrainerFlags.from_values(**flags), stop_after_two, interruption)
    assert status == 128 + signal.SIGTERM
    good = load_newest(tmp_path / "out", "checkpoint")
    assert good is not None
    wild = {"learning_rate_init": 1e30, "do_reset_learning_rate": True}
    with pytest.raises(NonFiniteCostError) as raised:
        run({**flags, **wild}, lambda line: None)
    text = str(raised.value)
    assert re.search(
        r"the (cost|gradient) is not finite \((nan|inf)\) in epoch 2, training batch \d after "
        r"step \d: the first such quantity is the ",
        text,
    )
    file = tmp_path / "in" / "lfads_dataset001.h5"
    (batch,) = re.findall(rf"the batch is trials ([\d, -]+) of train_data in {file}", text)
    numbers = [int(n) for n in re.findall(r"\d+", batch)]
    assert 1 <= min(numbers) < max(numbers) <= 24
    assert good.prefix.name in text
    kept = load_newest(tmp_path / "out", "checkpoint")
    assert kept is not None
    assert kept.prefix == good.prefix
    assert run(flags, lines.append) == 0


def test_validation_that_is_not_finite_names_its_trials(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    valid = np.zeros((10, 8, 5))
    valid[6, 2, 3] = 1e30
    write_input(tmp_path / "in", train_data=np.zeros((24, 8, 5)), valid_data=valid)
    with pytest.raises(NonFiniteCostError) as raised:
        run({**flags, "output_dist": "gaussian", "batch_size": 10}, lambda line: None)
    text = str(raised.value)
    assert "in epoch 0, validation batch 1 after step 3: the first such quantity is the" in text
    assert ", in trial 7 of valid_data;" in text
    assert "there is no checkpoint yet" in text


COSTS = BatchCosts(1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "costs",
    [
        COSTS._replace(total=np.nan),
        COSTS._replace(total=np.inf),
        COSTS._replace(grad_norm=np.nan),
        COSTS._replace(grad_norm=np.inf),
    ],
)
def test_queues_know_the_cause_by_the_text(costs: BatchCosts) -> None:
    trials = np.array([0, 1, 2, 8, 30])
    failed = FailedBatch(17, 2, 53, True, Path("/a b/lfads_x.h5"), trials)
    finding = Finding(
        "the log rates, first in time bin 3 (counted from 1)", np.array([3, 4]), "try"
    )
    for found in (finding, None):
        text = str(not_finite_error(failed, costs, found, Path("out/lfads_vae.ckpt-44")))
        log = f"Epoch:16, step:51\nerror: {text}\n"
        assert cause_of(Ending(1, None), log, on_gpu=False) is Cause.NOT_A_NUMBER
        assert "trials 1-3, 9, 31 of train_data in /a b/lfads_x.h5" in text
        assert "lfads_vae.ckpt-44" in text
    assert "in trials 9, 31 of train_data;" in str(not_finite_error(failed, costs, finding, None))
