"""Set up and train single-session LFADS models, step by step.

    python examples/lorenz_single_session.py ~/lorenz_example [--train]

Made-up spikes of neurons that follow a Lorenz attractor stand for a recording. Replace the first
step by your own files, and go on from there. Run again, it keeps what is there.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec
from lfadsq.datasets.lorenz import generate_demo_datasets


def describe_runs(root: Path) -> RunCollection:
    # --- Datasets -----------------------------------------------------------------------------
    data_path = root / "datasets"
    generate_demo_datasets(data_path, num_datasets=3)

    dc = DatasetCollection(data_path)
    dc.name = "lorenz_example"

    # A new dataset adds itself to the collection.
    Dataset(dc, "dataset001.mat")
    print(dc, end="\n\n")

    # Datasets by index, from 0, or by name.
    assert dc.datasets[0] is dc.match_datasets_by_name("dataset001")

    dc.load_info()
    print(dc.get_dataset_info_table(), end="\n\n")

    # --- A collection of runs -----------------------------------------------------------------
    rc = RunCollection(root / "runs", "exampleSingleRun", dc)

    # The day this script was written: later versions of lfadsq then lay out files as on that day.
    rc.version = 20180131

    # --- Hyperparameters ----------------------------------------------------------------------
    par = RunParams()
    par.name = "first_attempt"  # for you; it changes nothing
    par.spikeBinMs = 2  # rebin the data at 2 ms
    par.c_co_dim = 0  # no controller, so no inputs to the generator
    par.c_batch_size = 150  # at most 1/5 of the trials of the smallest dataset
    par.c_factors_dim = 8
    par.c_gen_dim = 64  # units of the generator
    par.c_ic_enc_dim = 64  # units of the encoder
    par.c_learning_rate_stop = 1e-3  # for a demonstration, training may stop early
    print(par, end="\n\n")

    # Parameters are values: adding copies them, so `par` can be changed and added again ...
    rc.add_params(par)
    par.c_gen_dim = 96
    rc.add_params(par)

    # ... or varied over a grid. What is in the collection already is not added twice.
    par.c_gen_dim = 64
    rc.add_params(par.generate_sweep("c_gen_dim", [64, 96, 128]))
    rc.add_params(par.generate_sweep("c_gen_dim", [64, 128], "c_co_dim", range(0, 3, 2)))

    # --- Which datasets -----------------------------------------------------------------------
    ds_index = 0
    run_spec_name = dc.datasets[ds_index].get_single_run_name()
    rc.add_run_spec(RunSpec(run_spec_name, dc, ds_index))
    print(rc, end="\n\n")
    return rc


def main() -> None:
    parser = argparse.ArgumentParser(description="Set up single-session LFADS models.")
    parser.add_argument("root", type=Path, help="folder for datasets and runs")
    parser.add_argument("--train", action="store_true", help="then train them all (takes hours)")
    options = parser.parse_args()

    rc = describe_runs(options.root.expanduser())
    rc.prepare_for_lfads()  # files that are there are kept: prepare_for_lfads(regenerate=True)
    script = rc.write_run_queue_script(one_task_per_gpu=True)
    rc.write_tensorboard_script()

    print(f"Prepared {rc.num_runs_total} runs in {rc.path}. To train them:")
    print(f"    python {shlex.quote(str(script))}")
    print("and to watch:")
    print(f"    bash {shlex.quote(str(rc.file_shell_script_tensorboard))} --port=6006")

    if options.train:
        subprocess.run([sys.executable, str(script)], check=True)
        for run in rc.runs:
            fit_log = run.load_fit_log()
            print(f"{run.name} {run.params.get_diff_from_default()}:", end=" ")
            print(f"{fit_log.num_epochs} epochs, lowest cost {fit_log.lowest_total_valid:.2f}")
            means = run.load_posterior_means()
            print(f"  rates (trial, time, channel) [spikes/s]: {means.rates.shape}")


if __name__ == "__main__":
    main()
