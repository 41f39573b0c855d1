"""Runs that were prepared by the manager, with results as the trainer writes them, made up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec

NUM_TRIALS, NUM_CHANNELS, NUM_BINS, BIN_MS = 25, 3, 10, 10.0
FACTORS, GENERATOR, IC = 2, 4, 5
KIND = "posterior_sample_and_average"


@dataclass
class Trained:
    """A collection, and what its runs hold: by dataset, arrays in the order of the trials."""

    collection: RunCollection
    truth: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    @property
    def run(self) -> Any:
        return self.collection.runs[-1]

    @property
    def path(self) -> Path:
        return self.collection.path


def write_results(
    trained: Trained, run: Any, *, gaussian: bool = False, controller: int = 0, seed: int = 0
) -> None:
    rng = np.random.default_rng(seed)
    run.paths.lfads_output.mkdir(exist_ok=True)
    for name in run.dataset_names:
        with h5py.File(run.paths.input_h5(name)) as stored:
            inds = {
                split: stored[f"{split}_inds"][()].astype(int) - 1 for split in ("train", "valid")
            }
        channels = NUM_CHANNELS * (2 if gaussian else 1)
        shapes = {
            "output_dist_params": (NUM_BINS, channels),
            "factors": (NUM_BINS, FACTORS),
            "gen_states": (NUM_BINS, GENERATOR),
            "gen_ics": (GENERATOR,),
            "post_g0_mean": (IC,),
            "post_g0_logvar": (IC,),
            "prior_g0_mean": (IC,),
            "prior_g0_logvar": (IC,),
            "costs": (),
            "nll_bound_vaes": (),
            "nll_bound_iwaes": (),
            "train_steps": (),
        }
        if controller:
            shapes["controller_outputs"] = (NUM_BINS, controller)
        whole = {key: rng.random((NUM_TRIALS, *shape)) for key, shape in shapes.items()}
        trained.truth[name] = whole
        for split, rows in inds.items():
            with h5py.File(run.paths.output.posterior_means(name, split, KIND), "w") as stored:
                for key, values in whole.items():
                    stored.create_dataset(key, data=values[rows], compression=1)
    write_params(run, rng, gaussian=gaussian)
    blanks = " " * 6
    run.paths.output.fit_log().write_text(
        "".join(
            f"epoch,{n}, step,{6 * n}, total,{9 - n}.50,{10 - n}.25, {blanks}recon,1.00,2.00, "
            f"kl,0.50,0.25, l2,0.12500, {blanks}klweight,{min(n / 3, 1):.2f}, l2weight,1.00\n"
            for n in range(1, 6)
        )
    )
    run.paths.output.hyperparameters(0).write_text('{"kind": "train"}')
    run.paths.output.provenance.write_text('{"host": "secret-host"}')
    (run.paths.lfads_output / "checkpoint").write_text("model")
    (run.paths.lfads_output / "lfads_vae.ckpt-30.index").write_text("weights")
    run.paths.output.log_dir.mkdir(exist_ok=True)
    (run.paths.output.log_dir / "events.out.tfevents.1").write_text("events")
    run.paths.done.touch()


def write_params(run: Any, rng: np.random.Generator, *, gaussian: bool) -> None:
    with h5py.File(run.paths.output.model_params, "w") as stored:

        def put(key: str, *shape: int) -> None:
            stored[f"LFADS_{key}:0"] = rng.random(shape, dtype=np.float32)

        put("gen_gen_2_fac_W", GENERATOR, FACTORS)
        put("z_prior_g0_mean", 1, IC)
        put("ic_enc_fwd_ic_enc_t0_fwd", 1, 7)
        stored["LFADS_global_step:0"] = 30
        for name in run.dataset_names:
            put(f"x_2_infac_{name}.h5_W", NUM_CHANNELS, FACTORS)
            put(f"x_2_infac_{name}.h5_b", 1, FACTORS)
            for what in ("means", "logvars") if gaussian else ("logrates",):
                put(f"glm_fac_2_{what}_{name}.h5_W", FACTORS, NUM_CHANNELS)
                put(f"glm_fac_2_{what}_{name}.h5_b", 1, NUM_CHANNELS)


@pytest.fixture
def make_trained(tmp_path):
    """Make a collection of one setting (or several), all of whose runs have results."""

    def make(
        names=("day 1",),
        *,
        conditions=None,
        gaussian=False,
        controller=0,
        params=None,
        name="reaches",
    ) -> Trained:
        rng = np.random.default_rng(3)
        recordings = tmp_path / "recordings"
        recordings.mkdir(exist_ok=True)
        datasets = DatasetCollection(recordings)
        for one in names:
            content = {
                "spikes": rng.poisson(0.3, (NUM_TRIALS, NUM_CHANNELS, NUM_BINS * 5)).astype("u1"),
                "timeMs": np.arange(NUM_BINS * 5) * 2.0 - 40.0,
                "true_rates": rng.random((NUM_TRIALS, NUM_CHANNELS, NUM_BINS * 5)),
            }
            if conditions is not None:
                content["conditionId"] = np.array(conditions, dtype=object)
            scipy.io.savemat(recordings / f"{one}.mat", content)
            Dataset(datasets, f"{one}.mat")
        collection = RunCollection(tmp_path / "runs", name, datasets)
        par = RunParams()
        par.spikeBinMs = BIN_MS
        par.c_batch_size = 4
        par.c_factors_dim = FACTORS
        par.useAlignmentMatrix = len(names) > 1 and conditions is not None
        if gaussian:
            par.c_output_dist = "gaussian"
        collection.add_params(par if params is None else par.generate_sweep(**params))
        for one in datasets:
            collection.add_run_spec(RunSpec(one.get_single_run_name(), datasets, [one.name]))
        if len(names) > 1:
            collection.add_run_spec(RunSpec("all", datasets, range(len(names))))
        collection.prepare_for_lfads()
        trained = Trained(collection)
        for number, run in enumerate(collection.runs):
            write_results(trained, run, gaussian=gaussian, controller=controller, seed=number)
        return trained

    return make
