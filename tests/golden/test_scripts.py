"""Generated scripts: their exact text, and that they run wherever the collection lies."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec

GOLDEN = Path(__file__).parent / "data" / "manager"
ODD_NAMES = {"root": "my runs'; touch x", "collection": 'a "b" $HOME', "dataset": "mon'key J.v2"}

FAKE_PROGRAM = """#!/usr/bin/env python3
import json, os, sys
name = os.path.basename(sys.argv[0])
with open(os.environ["CALLS"], "a", encoding="utf-8") as calls:
    calls.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
raise SystemExit(3 if os.environ.get("FAIL_AT", "never") in sys.argv else 0)
"""

FAKE_QUEUE = """
import json, os, types
def run_lfads_queue(*args, **kwargs):
    with open(os.environ["CALLS"], "w", encoding="utf-8") as calls:
        json.dump([args, kwargs], calls)
    return types.SimpleNamespace(exit_status=7)
"""


def walkthrough_params():
    return RunParams(
        name="first_attempt",
        c_co_dim=0,
        c_batch_size=150,
        c_factors_dim=8,
        c_gen_dim=64,
        c_ic_enc_dim=64,
        c_learning_rate_stop=1e-3,
    )


def make_collection(root, collection="exampleSingleSession", dataset="dataset001"):
    root.mkdir()
    spikes = np.zeros((760, 2, 10), np.uint8)
    np.savez(root / f"{dataset}.npz", spikes=spikes, timeMs=np.arange(10))
    datasets = DatasetCollection(root)
    Dataset(datasets, f"{dataset}.npz")
    runs = RunCollection(root, collection, datasets, version=20180131)
    runs.add_params([walkthrough_params(), RunParams(c_batch_size=150)])
    runs.add_run_spec(RunSpec(datasets.datasets[0].get_single_run_name(), datasets, 0))
    runs.prepare_for_lfads()
    runs.write_run_queue_script()
    runs.write_run_queue_script(
        gpu_list=[0, "GPU-1f"],
        one_task_per_gpu=False,
        max_tasks_simultaneously=4,
        ignore_donefile=True,
        posterior_mean_only=True,
    )
    return runs


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("plain") / "root")


@pytest.fixture
def moved(tmp_path):
    """A collection with odd names, prepared in one place and moved to another."""
    names = ODD_NAMES
    runs = make_collection(tmp_path / names["root"], names["collection"], names["dataset"])
    target = tmp_path / "elsewhere, \t& far"
    shutil.move(tmp_path / names["root"], target)
    return target / names["collection"], runs


def test_texts_are_exactly_these(plain):
    scripts = [
        plain.paths.tensorboard_script,
        plain.paths.queue_script,
        plain.paths.posterior_mean_queue_script,
        plain.runs[0].paths.train_script,
        plain.runs[0].paths.posterior_mean_script,
        plain.runs[0].paths.write_model_params_script,
    ]
    for script in scripts:
        assert script.read_text(encoding="utf-8") == (GOLDEN / f"{script.name}.txt").read_text(
            encoding="utf-8"
        ), script.name


def test_scripts_may_be_run_and_hold_no_path_of_this_machine(plain):
    scripts = [path for path in plain.path.rglob("*") if path.suffix in (".sh", ".py")]
    assert len(scripts) == 3 + 2 * 3
    for script in scripts:
        assert os.access(script, os.X_OK)
        assert str(plain.root_path) not in script.read_text(encoding="utf-8")


def test_shellcheck_finds_nothing(plain):
    scripts = [str(path) for path in plain.path.rglob("*.sh")]
    subprocess.run([Path(sys.executable).with_name("shellcheck"), *scripts], check=True)


def fake_programs(folder, *names):
    folder.mkdir()
    for name in names:
        program = folder / name
        program.write_text(FAKE_PROGRAM, encoding="utf-8")
        program.chmod(0o755)
    return f"{folder}:{Path(sys.executable).parent}:/usr/bin:/bin"


def run_script(script, tmp_path, *arguments, **environment):
    calls = tmp_path / "calls"
    calls.unlink(missing_ok=True)
    ended = subprocess.run(
        ["bash", str(script), *arguments],
        env={"CALLS": str(calls), "CDPATH": "/", **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    made = calls.read_text(encoding="utf-8").splitlines() if calls.exists() else []
    return ended, [json.loads(call) for call in made]


def flags_of(call):
    assert call[:2] == ["lfadsq", "train"]
    return dict(argument.removeprefix("--").split("=", 1) for argument in call[2:])


def test_a_moved_collection_trains_samples_and_writes(moved, tmp_path):
    folder, runs = moved
    path = fake_programs(tmp_path / "bin", "lfadsq")
    run_folder = folder / runs.runs[0].path.relative_to(runs.path)
    ended, calls = run_script(run_folder / "lfads_train.sh", tmp_path, PATH=path)
    assert ended.returncode == 0, ended.stderr
    train, sample, write = map(flags_of, calls)

    model = {
        hyper.flag: getattr(walkthrough_params(), hyper.name)
        for hyper in RunParams.hyperparams()
        if hyper.passed_to_trainer
    }
    for flags in (train, sample, write):
        assert flags["data_dir"] == str(run_folder / "lfadsInput")
        assert flags["lfads_save_dir"] == str(run_folder / "lfadsOutput")
        assert flags["data_filename_stem"] == "lfads"
        for flag, value in model.items():
            if flag != "batch_size":
                assert (
                    type(value)(
                        json.loads(flags[flag])
                        if isinstance(value, bool | int | float)
                        else flags[flag]
                    )
                    == value
                )
    (h5,) = Path(train["data_dir"]).glob("lfads_*")
    assert h5.name == f"lfads_{ODD_NAMES['dataset']}.h5"
    assert h5.stat().st_size > 0

    assert (train["kind"], train["batch_size"]) == ("train", "150")
    assert "checkpoint_pb_load_name" not in train
    assert (sample["kind"], sample["batch_size"]) == ("posterior_sample_and_average", "512")
    assert (write["kind"], write["batch_size"]) == ("write_model_params", "150")
    assert sample["checkpoint_pb_load_name"] == "checkpoint_lve"
    assert write["checkpoint_pb_load_name"] == "checkpoint_lve"

    _, (again,) = run_script(run_folder / "lfads_posterior_mean_sample.sh", tmp_path, PATH=path)
    assert flags_of(again) == sample
    _, (again,) = run_script(run_folder / "lfads_write_model_params.sh", tmp_path, PATH=path)
    assert flags_of(again) == write


def test_a_failed_training_is_not_sampled(plain, tmp_path):
    path = fake_programs(tmp_path / "bin", "lfadsq")
    script = plain.runs[0].paths.train_script
    ended, calls = run_script(script, tmp_path, PATH=path, FAIL_AT="--kind=train")
    assert ended.returncode == 3
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["lfadsq", "tensorboard"])
def test_a_missing_program_is_named_with_what_to_do(plain, tmp_path, name):
    paths = plain.paths
    script = paths.tensorboard_script if name == "tensorboard" else plain.runs[0].paths.train_script
    ended, _ = run_script(script, tmp_path, PATH="/usr/bin:/bin")
    assert ended.returncode == 127
    assert f"'{name}' is not on PATH" in ended.stderr
    assert "activate the environment" in ended.stderr


def test_tensorboard_shows_the_moved_collection_to_this_machine_only(moved, tmp_path):
    folder, _ = moved
    path = fake_programs(tmp_path / "bin", "tensorboard")
    script = folder / "launch_tensorboard.sh"
    _, calls = run_script(script, tmp_path, "--port=6007", "--reload_interval=5", PATH=path)
    expected = [f"--logdir={folder}", "--host=localhost", "--reload_interval=30"]
    expected += ["--port=6007", "--reload_interval=5"]  # the last one counts
    assert calls == [["tensorboard", *expected]]


def test_tensorboard_takes_a_port_as_its_first_argument_as_in_matlab(moved, tmp_path):
    folder, _ = moved
    path = fake_programs(tmp_path / "bin", "tensorboard")
    script = folder / "launch_tensorboard.sh"
    ended, calls = run_script(script, tmp_path, "7008", "--load_fast=false", PATH=path)
    expected = [f"--logdir={folder}", "--host=localhost", "--reload_interval=30"]
    assert calls == [["tensorboard", *expected, "--port=7008", "--load_fast=false"]]
    assert "TensorBoard: http://localhost:7008\n" in ended.stdout
    assert "ssh -N -L 6006:localhost:7008 " in ended.stdout
    ended, calls = run_script(script, tmp_path, PATH=path)
    assert (calls, ended.stdout) == ([["tensorboard", *expected]], "")


def call_of_queue(script, tmp_path):
    module = tmp_path / "fake"
    module.mkdir(exist_ok=True)
    (module / "lfadsqueue.py").write_text(FAKE_QUEUE, encoding="utf-8")
    calls = tmp_path / "queue_call"
    ended = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(module), "CALLS": str(calls)},
        cwd=tmp_path,
        check=False,
    )
    assert ended.returncode == 7  # that of the queue's summary
    return json.loads(calls.read_text(encoding="utf-8"))


def test_a_moved_collection_is_queued_where_it_lies(moved, tmp_path):
    folder, runs = moved
    (name, tensorboard_script, specs), options = call_of_queue(
        folder / "run_lfadsqueue.py", tmp_path
    )
    assert name == ODD_NAMES["collection"]
    assert tensorboard_script == str(folder / "launch_tensorboard.sh")
    assert options.pop("script") == str(folder / "run_lfadsqueue.py")
    assert options.pop("argv") == []
    hints = options.pop("hints")
    assert options == {"gpu_list": None, "one_task_per_gpu": True}
    assert len(specs) == 2
    for number, (spec, run) in enumerate(zip(specs, runs.runs, strict=True), start=1):
        run_folder = folder / run.path.relative_to(runs.path)
        assert spec["name"] == (
            f"lfads_param_{run.param_hash}_run{number:03d}_{run.name}".replace(".", "_")
        )
        assert shlex.split(spec["command"]) == ["bash", str(run_folder / "lfads_train.sh")]
        assert spec["outfile"] == str(run_folder / "lfads.out")
        assert spec["donefile"] == str(run_folder / "lfads.done")
        assert spec["memory_req"] > 0
        assert len(spec) == 5
        assert hints[spec["name"]].keys() == {"expected_s"}


def test_sampling_alone_has_markers_of_its_own(moved, tmp_path):
    folder, runs = moved
    (_, _, specs), options = call_of_queue(folder / "run_lfadsqueue_posteriorMeanOnly.py", tmp_path)
    del options["script"], options["hints"], options["argv"]
    assert options == {
        "gpu_list": [0, "GPU-1f"],
        "one_task_per_gpu": False,
        "max_tasks_simultaneously": 4,
        "ignore_donefile": True,
    }
    run_folder = folder / runs.runs[1].path.relative_to(runs.path)
    assert shlex.split(specs[1]["command"])[1] == str(run_folder / "lfads_posterior_mean_sample.sh")
    assert specs[1]["donefile"] == str(run_folder / "lfads.done.posteriorMeanOnly")
    assert specs[1]["outfile"].endswith(".posteriorMeanOnly")


def test_the_queue_gets_the_same_tasks_from_the_script_and_from_python(plain, tmp_path):
    (_, _, specs), options = call_of_queue(plain.paths.queue_script, tmp_path)
    assert specs == plain.get_task_specs()
    assert options["hints"] == plain.get_task_hints()
