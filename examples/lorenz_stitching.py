"""Stitch three sessions into one LFADS model, and see what that is good for.

    python examples/lorenz_stitching.py ~/lorenz_stitching

Three made-up recordings follow the same Lorenz attractor, but each has neurons of its own, as when
electrodes record other neurons every day. One model is trained on all three ("stitched"), and one
on each alone. It takes a few minutes on two cores. Run again, it keeps what is there.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from lfadsq import Dataset, DatasetCollection, Run, RunCollection, RunParams, RunSpec
from lfadsq.datasets.lorenz import generate_demo_datasets, true_rates_per_trial
from lfadsq.results.scores import r2_of_log_rates

Array = npt.NDArray[np.float64]

STITCHED = "all"


def describe_runs(root: Path) -> RunCollection:
    # --- Datasets -----------------------------------------------------------------------------
    data_path = root / "datasets"
    generate_demo_datasets(
        data_path,
        num_datasets=3,
        num_conditions=10,  # starts of the Lorenz system, the same in all datasets
        num_trials_per_condition=(18, 22),
        num_channels=(20, 30),  # other neurons in each dataset, read out at random
    )
    dc = DatasetCollection(data_path)
    dc.name = "lorenz_stitching"
    for path in sorted(data_path.glob("*.mat")):
        Dataset(dc, path.name)
    print(dc.get_dataset_info_table(), end="\n\n")

    # --- Hyperparameters ----------------------------------------------------------------------
    par = RunParams()
    par.name = "first_attempt_stitching"
    par.spikeBinMs = 25
    par.c_co_dim = 0  # no controller, so no inputs to the generator
    par.c_batch_size = 30  # at most 1/5 of the trials of the smallest dataset
    par.c_factors_dim = 6  # what the datasets share: fewer than the neurons of any
    par.c_gen_dim = 48
    par.c_ic_enc_dim = 48
    par.c_kl_increase_steps = 100  # soon at full weight, as this is a short demonstration ...
    par.c_l2_increase_steps = 100
    par.c_learning_rate_init = 0.02
    par.c_learning_rate_decay_factor = 0.6
    par.c_learning_rate_stop = 5e-3  # ... which may stop early
    par.num_samples_posterior = 16

    # Each dataset has a matrix that reads its neurons into factors. They start from a first guess
    # by which all datasets agree: a regression of what they have in common, in the averages of each
    # condition, on the neurons of each. So condition ids must mean the same in all datasets.
    par.useAlignmentMatrix = True

    # --- Which datasets -----------------------------------------------------------------------
    rc = RunCollection(root / "runs", "exampleStitching", dc, version=20180131)
    rc.add_params(par)
    rc.add_run_spec(RunSpec(STITCHED, dc, range(dc.num_datasets)))  # one model of all of them
    for dataset in dc:
        rc.add_run_spec(RunSpec(dataset.get_single_run_name(), dc, [dataset]))
    print(rc, end="\n\n")
    return rc


def run_called(rc: RunCollection, name: str) -> Run:
    return next(run for run in rc.runs if run.name == name)


def check_alignment(rc: RunCollection, picture: Path) -> None:
    """See, before training, whether the datasets have something in common."""
    tool = run_called(rc, STITCHED).do_multisession_alignment()
    for one in tool.datasets:
        print(f"alignment of {one.dataset_name}: R2 {one.r2:.2f} of what all have in common")
    # Coloured lines, of each dataset, should follow the black ones, of all together.
    print(f"Figure: {tool.plot_alignment_reconstruction(picture)}", end="\n\n")


def average_factors(run: Run, dataset: Dataset) -> Array:
    """Average the factors over the trials of each condition: (condition, time, factor)."""
    factors = run.load_posterior_means(dataset.name).factors
    condition_id = np.ravel(dataset.load_data()["conditionId"])
    return np.stack([factors[condition_id == one].mean(axis=0) for one in np.unique(condition_id)])


def r2_of_rates(run: Run, dataset: Dataset) -> float:
    """Compare inferred rates with the true ones, on trials that the model was not trained on."""
    means = run.load_posterior_means(dataset.name)
    truth = true_rates_per_trial(dataset.path, run.params.spikeBinMs)
    return r2_of_log_rates(truth[means.valid_inds], means.rates[means.valid_inds])


def correlation(one: Array, other: Array) -> float:
    """Correlate condition averages value by value, each factor less its mean."""
    return float(np.corrcoef(centred(one).ravel(), centred(other).ravel())[0, 1])


def correlation_after_mapping(one: Array, other: Array) -> float:
    """The same, once the factors of one are turned and stretched to resemble the other's."""
    rows, wanted = (centred(values).reshape(-1, values.shape[2]) for values in (one, other))
    mapped = rows @ np.linalg.lstsq(rows, wanted, rcond=None)[0]
    return correlation(mapped[:, np.newaxis], wanted[:, np.newaxis])


def centred(values: Array) -> Array:
    less_mean: Array = values - values.mean(axis=(0, 1))
    return less_mean


def compare(rc: RunCollection) -> dict[str, dict[str, Array]]:
    """Print what was learned, and give the condition averages of both kinds of model."""
    stitched = run_called(rc, STITCHED)
    averages: dict[str, dict[str, Array]] = {"stitched": {}, "separate": {}}
    print(f"{'rates, R2 against truth':<30}{'stitched':>10}{'separate':>10}")
    for dataset in stitched.datasets:
        alone = run_called(rc, dataset.get_single_run_name())
        print(f"  {dataset.name:<28}", end="")
        print(f"{r2_of_rates(stitched, dataset):10.2f}{r2_of_rates(alone, dataset):10.2f}")
        averages["stitched"][dataset.name] = average_factors(stitched, dataset)
        averages["separate"][dataset.name] = average_factors(alone, dataset)

    # In one model a factor means the same in every dataset. Models that know nothing of each other
    # name the same dynamics by other factors; only a linear map makes them alike.
    for title, measure in (
        ("factors of a condition, r", correlation),
        ("  after the best linear map, r", correlation_after_mapping),
    ):
        print(f"{title:<30}{'stitched':>10}{'separate':>10}")
        for first, second in itertools.combinations(stitched.dataset_names, 2):
            print(f"  {f'{first}, {second}':<28}", end="")
            print("".join(f"{measure(of[first], of[second]):10.2f}" for of in averages.values()))
    return averages


def draw(
    averages: dict[str, dict[str, Array]], bin_ms: float, path: Path, *, num_shown: int = 3
) -> None:
    """Draw the first factors of the first conditions: a colour a condition, a line a dataset."""
    figure = Figure(figsize=(9, 2.2 * num_shown), layout="constrained")
    axes = figure.subplots(num_shown, 2, squeeze=False, sharex=True)
    for column, (kind, of_datasets) in enumerate(averages.items()):
        axes[0, column].set_title(f"{kind} model{'s' if kind == 'separate' else ''}")
        for (name, values), style in zip(of_datasets.items(), ("-", "--", ":"), strict=True):
            time_ms = np.arange(values.shape[1]) * bin_ms
            for row, condition in itertools.product(range(num_shown), range(num_shown)):
                label = name if condition == 0 else None
                line = values[condition, :, row]
                axes[row, column].plot(time_ms, line, style, color=f"C{condition}", label=label)
                axes[row, column].set_ylabel(f"factor {row + 1}")
        axes[-1, column].set_xlabel("time [ms]")
    axes[0, 0].legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=120)
    print(f"\nFigure: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Stitch three sessions into one LFADS model.")
    parser.add_argument("root", type=Path, help="folder for datasets, runs and figures")
    root = parser.parse_args().root.expanduser()

    rc = describe_runs(root)
    check_alignment(rc, root / "alignment.png")
    rc.prepare_for_lfads()
    script = rc.write_run_queue_script()
    subprocess.run([sys.executable, str(script)], check=True)  # trains what is not yet done
    averages = compare(rc)
    draw(averages, rc.runs[0].params.spikeBinMs, root / "factors.png")


if __name__ == "__main__":
    main()
