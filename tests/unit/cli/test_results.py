"""`lfadsq results`: what runs have come to, and their figures, from files that a trainer writes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec
from lfadsq.errors import ResultNotReadyError, RunNotFoundError
from lfadsq.results.figures.canvas import FORMATS
from lfadsq.results.scores import r2_of_log_rates

from .verbs import call, said

NUM_TRIALS, NUM_BINS, NUM_CHANNELS = 20, 10, 3
NAMES = ("day_1$x$", "day_2")
OF_DATASETS = {
    "rasters",
    "single_trials",
    "factors",
    "trajectories_2d",
    "trajectories_3d",
    "initial_conditions",
}
OF_RUNS = {"learning_curves", "generator_weights", "readouts"}
KIND = "posterior_sample_and_average"


def make_collection(root):
    """Two settings, each on both recordings alone and on both together; prepared, not trained."""
    rng = np.random.default_rng(8)
    recordings = DatasetCollection(root / "datasets", name="lab")
    recordings.path.mkdir(parents=True)
    for name in NAMES:
        rates = rng.gamma(2.0, 10.0, (NUM_TRIALS, NUM_CHANNELS, NUM_BINS)) + 1
        np.savez(
            recordings.path / f"{name}.npz",
            spikes=rng.poisson(rates * 0.02),
            timeMs=np.arange(NUM_BINS) * 20.0,
            conditionId=np.arange(NUM_TRIALS) % 4 * 90,
            true_rates=rates,
        )
        Dataset(recordings, f"{name}.npz")
    collection = RunCollection(root, "runs", recordings)
    params = RunParams(spikeBinMs=20, c_batch_size=4, useAlignmentMatrix=False)
    collection.add_params(params.generate_sweep("c_gen_dim", [8, 9]))
    specs = [RunSpec(f"single_{number}", recordings, [name]) for number, name in enumerate(NAMES)]
    collection.add_run_spec([*specs, RunSpec("all", recordings, list(NAMES))])
    collection.prepare_for_lfads()
    collection.write_run_queue_script()
    return collection


def train(run, cost, *, co_dim=0):
    """Write what a trainer would leave."""
    rng = np.random.default_rng(2)
    output = run.paths.output
    output.folder.mkdir(exist_ok=True)
    write_log(run, [99.0, cost, cost + 1])
    gen_dim = run.params.c_gen_dim
    with h5py.File(output.model_params, "w") as stored:
        stored["LFADS_gen_gen_2_fac_W:0"] = rng.normal(size=(gen_dim, 4))
        stored["LFADS_gen_GenGRU_Gates_h_2_ru_W:0"] = rng.normal(size=(gen_dim, 2 * gen_dim))
        stored["LFADS_gen_GenGRU_Candidate_rh_2_c_W:0"] = rng.normal(size=(gen_dim, gen_dim))
        for name in run.dataset_names:
            key = f"LFADS_glm_fac_2_logrates_{name}.h5"
            stored[f"{key}_W:0"] = rng.normal(size=(4, NUM_CHANNELS))
            stored[f"{key}_b:0"] = np.zeros((1, NUM_CHANNELS))
    for name in run.dataset_names:
        with h5py.File(run.paths.input_h5(name)) as stored:
            truths = {split: stored[f"{split}_truth"][()] for split in ("train", "valid")}
            scale = float(stored["conversion_factor"][0])
        for split, truth in truths.items():
            shape = (len(truth), NUM_BINS)
            with h5py.File(output.posterior_means(name, split, KIND), "w") as stored:
                noise = np.exp(rng.normal(scale=0.1, size=truth.shape))
                stored["output_dist_params"] = truth * scale * 0.020 * noise
                stored["factors"] = rng.normal(size=(*shape, 4))
                stored["gen_states"] = rng.normal(size=(*shape, gen_dim))
                stored["gen_ics"] = rng.normal(size=(len(truth), gen_dim))
                stored["post_g0_mean"] = rng.normal(size=(len(truth), 4))
                if co_dim:
                    stored["controller_outputs"] = rng.normal(size=(*shape, co_dim))
    run.paths.done.touch()


def write_log(run, costs):
    run.paths.lfads_output.mkdir(exist_ok=True)
    run.paths.output.fit_log().write_text(
        "".join(
            f"epoch,{n}, step,{12 * n}, total,{cost:.2f},{cost:.2f}, recon,{cost - 9:.2f},"
            f"{cost - 8:.2f}, kl,7.00,8.00, l2,0.00000, klweight,{min(n / 2, 1):.2f}, "
            "l2weight,1.00\n"
            for n, cost in enumerate(costs, start=1)
        )
    )


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Trained: both settings on the first recording, the better one with a controller; the first on
    both. Begun: the second on both. Nothing: those on the second recording."""
    collection = make_collection(tmp_path_factory.mktemp("collection"))
    by_name = {(run.name, run.params.c_gen_dim): run for run in collection.runs}
    train(by_name["single_0", 8], 50.0)
    train(by_name["single_0", 9], 40.0, co_dim=2)
    train(by_name["all", 8], 70.0)
    write_log(by_name["all", 9], [88.0])
    return collection


def run_of(collection, name, gen_dim):
    return next(
        run for run in collection.runs if (run.name, run.params.c_gen_dim) == (name, gen_dim)
    )


def names_in(folder):
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_shown(collection):
    run = run_of(collection, "single_0", 9)
    told = said("results", run.path)
    first, *rest = told.splitlines()
    assert first == f"{run.params.param_hash_string}/single_0: done"
    means = run.load_posterior_means()
    r2 = r2_of_log_rates(means.true_rates[means.is_valid], means.rates[means.is_valid])
    text = " ".join(" ".join(rest).split())
    assert "c_gen_dim=9" in text
    assert "3 epochs, 36 steps" in text
    assert "40.00 nats/trial of validation, in epoch 2 (reconstruction 32.00, KL 8.00)" in text
    assert "day_1$x$: 20 trials (16 train, 4 valid) of 10 bins of 20 ms, 3 channels" in text
    assert "4 conditions" in text
    assert f"{r2:.4f} (validation)" in text
    assert 0.5 < r2 < 1.0
    assert "controller_outputs 20x10x2" in text
    assert re.search(r"parameters \([\d.]+ kB\)", text)


def test_json_tells_the_same(collection):
    run = run_of(collection, "single_0", 9)
    told = json.loads(said("results", run.path, "--json"))
    assert told["schema_version"] == 1
    (one,) = told["runs"]
    assert one["folder"] == str(run.path)
    assert one["training"]["lowest_valid_cost"] == 40.0
    assert one["training"]["kl_valid"] == 8.0
    (dataset,) = one["datasets"]
    arrays = {array["name"]: array["shape"] for array in dataset["arrays"]}
    assert arrays["rates"] == [NUM_TRIALS, NUM_BINS, NUM_CHANNELS]
    assert dataset["num_conditions"] == 4
    assert dataset["r2_valid"] > 0.5
    sizes = {Path(one["path"]).name: one["size_bytes"] for one in one["files"]}
    assert sizes["fitlog.csv"] == run.paths.output.fit_log().stat().st_size
    assert sizes["checkpoint_lve"] is None
    assert "figures" not in one


def test_the_best_of_each_set_come_first(collection, tmp_path):
    told = json.loads(said("results", collection.path, "--best", "--json"))
    assert [run["name"] for run in told["runs"]] == [
        f"{run_of(collection, 'all', 8).params.param_hash_string}/all",
        f"{run_of(collection, 'single_0', 9).params.param_hash_string}/single_0",
    ]
    told = json.loads(said("results", collection.path, "*single_0", "--best", "2", "--json"))
    assert [run["training"]["lowest_valid_cost"] for run in told["runs"]] == [40.0, 50.0]
    queueless = tmp_path / "no queue"
    shutil.copytree(collection.path, queueless, symlinks=True)
    (queueless / "run_lfadsqueue.py").unlink()
    told_of_copy = json.loads(said("results", queueless, "*single_0", "--best", "2", "--json"))
    assert [run["name"] for run in told_of_copy["runs"]] == [run["name"] for run in told["runs"]]
    untrained = run_of(collection, "single_1", 8)
    with pytest.raises(ResultNotReadyError, match="has a validation cost yet"):
        call("results", untrained.path, "--best")


def test_of_a_run_that_has_not_ended_it_is_told_what_there_is(collection):
    begun, nothing = run_of(collection, "all", 9), run_of(collection, "single_1", 8)
    told = said("results", begun.path)
    assert "1 epoch, 12 steps" in told
    assert "there is no validation cost" in " ".join(told.split())
    assert told.count("no posterior means:") == 2
    told = said("results", nothing.path)
    assert "no costs: there is no fit log" in " ".join(told.split())
    assert "not there" in told


def test_a_damaged_file_is_told_and_hides_nothing_else(collection, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(collection.path, copy, symlinks=True)
    run = run_of(collection, "single_0", 8)
    place = copy / run.path.relative_to(collection.path)
    output = place / "lfadsOutput"
    name = run.paths.output.posterior_means(NAMES[0], "valid", KIND).name
    (output / name).write_bytes((output / name).read_bytes()[:500])
    told = " ".join(said("results", place).split())
    assert "no posterior means:" in told
    assert "50.00 nats/trial" in told


@pytest.mark.slow
def test_all_figures_of_a_run_are_drawn(collection, tmp_path):
    folder = tmp_path / "deep" / "figures"
    told = said("results", run_of(collection, "single_0", 8).path, "--figures", folder)
    assert names_in(folder) == {f"{one}.png" for one in OF_RUNS | OF_DATASETS}
    assert "left out inferred_inputs: the model of day_1$x$ has no controller" in told
    assert f"drew {folder / 'factors.png'}" in told


def test_of_a_run_without_posterior_means_some_figures_are_drawn(collection, tmp_path):
    told = said("results", run_of(collection, "all", 9).path, "-o", tmp_path, "--format", "svg")
    assert names_in(tmp_path) == {"learning_curves.svg"}
    assert "left out readouts: " in told
    assert "left out factors_day_2: " in told


@pytest.mark.slow
def test_figures_of_several_runs_and_datasets_have_places_of_their_own(collection, tmp_path):
    words = ["--best", "--format", "svg", "-o", tmp_path, "--json"]
    result = call("results", collection.path, *words)
    stitched, single = json.loads(result.stdout)["runs"]
    both = {f"{one}_{name}.svg" for one in OF_DATASETS for name in NAMES}
    assert names_in(tmp_path / stitched["name"].replace("/", "_")) == both | {
        f"{one}.svg" for one in OF_RUNS
    }
    own = names_in(tmp_path / single["name"].replace("/", "_"))
    assert own == {f"{one}.svg" for one in OF_RUNS | OF_DATASETS | {"inferred_inputs"}}
    assert (tmp_path / "learning_curves.svg").exists()
    left_out = {one["name"] for one in stitched["figures"] if one["path"] is None}
    assert left_out == {f"inferred_inputs_{name}" for name in NAMES}
    assert "drew" in result.stderr


def test_which_runs_are_meant_has_to_be_said(collection, tmp_path):
    result = call("results", collection.path)
    assert result.exit_code == 2
    assert "has 6 runs: name some, or say --best" in result.output
    with pytest.raises(RunNotFoundError):
        call("results", collection.path, "no_such_run")
    result = call("results", collection.path, "--best", "-o", tmp_path, "--format", "bmp")
    assert result.exit_code == 2
    assert all(f"'{kind}'" in result.output for kind in FORMATS)
    assert not list(tmp_path.iterdir())


def test_lines_fit_a_terminal_of_80_columns(collection):
    from lfadsq.watching.run_results import read_run_results
    from lfadsq.watching.run_results_text import results_lines

    for run in collection.runs:
        lines = list(results_lines(read_run_results(run, None), 80))
        long = [line for line in lines if len(line) > 80 and " " in line[15:]]
        assert not long
        assert all(line.isprintable() for line in lines)


def test_matplotlib_is_imported_only_to_draw(collection):
    run = run_of(collection, "single_0", 8)
    code = (
        "import sys; from click.testing import CliRunner; from lfadsq.cli.main import lfadsq\n"
        "import lfadsq.results.figures as _\n"
        f"result = CliRunner().invoke(lfadsq, ['results', {str(run.path)!r}])\n"
        "assert result.exit_code == 0, result\n"
        "print({'matplotlib', 'tensorflow', 'pandas', 'xarray'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"
