"""One zip of a run: what is in it, and that `RunCollection.open` takes it as it is."""

from __future__ import annotations

import os
import shutil
import zipfile

import numpy as np
import pytest

from lfadsq import RunCollection
from lfadsq.errors import ConfigError, ResultNotReadyError


def unpacked(path, folder):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return RunCollection.open(folder / "reaches")


def names_in(path):
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_a_colleague_opens_it_without_anything_else(make_trained, tmp_path):
    texts = [["left", "right"][n % 2] for n in range(25)]
    trained = make_trained(("a", "b"), conditions=texts, params={"c_gen_dim": [8, 16]})
    run = trained.collection.find_runs("all", 1)[0]
    (path,) = run.export("zip", tmp_path)
    assert path.name == f"reaches_param_{run.param_hash}_all.zip"
    opened = unpacked(path, tmp_path / "elsewhere")
    assert [one.generate_title() for one in opened.runs] == [
        run.generate_title().replace("lfadsq.Run", "lfadsq.OpenedRun")
    ]
    assert opened.runs[0].params.c_gen_dim == 16
    assert opened.runs[0].is_done
    for name in "ab":
        mine, theirs = run.load_posterior_means(name), opened.runs[0].load_posterior_means(name)
        np.testing.assert_array_equal(theirs.rates, trained.truth[name]["output_dist_params"] * 100)
        np.testing.assert_array_equal(theirs.counts, mine.counts)
        np.testing.assert_array_equal(theirs.true_rates, mine.true_rates)
        assert theirs.condition_ids.tolist() == texts
        np.testing.assert_array_equal(theirs.time_ms, mine.time_ms)
    assert opened.runs[0].load_fit_log().num_epochs == 5
    weights = opened.runs[0].load_model_trained_params()
    np.testing.assert_array_equal(
        weights.gen_to_factors_W, run.load_model_trained_params().gen_to_factors_W
    )
    readme = (tmp_path / "elsewhere" / "README.txt").read_text()
    assert 'RunCollection.open("reaches").runs[0]' in readme
    assert 'load_posterior_means("a")' in readme
    assert "provenance.json name folders" in readme


def test_what_is_in_it_by_default_and_by_choice(make_trained, tmp_path):
    run = make_trained().run
    (path,) = run.export("zip", tmp_path / "plain.zip")
    inner = {name.rpartition("/")[2] for name in names_in(path)}
    assert {"fitlog.csv", "hyperparameters-0.txt", "model_params", "provenance.json"} <= inner
    assert {"summary.txt", "README.txt", "lfads.done", "lfads_day 1.h5"} <= inner
    assert not [name for name in inner if "ckpt" in name or "tfevents" in name]
    (path,) = run.export(
        "zip",
        tmp_path / "all.zip",
        checkpoints=True,
        tensorboard=True,
        provenance=False,
    )
    inner = {name.rpartition("/")[2] for name in names_in(path)}
    assert {"checkpoint", "lfads_vae.ckpt-30.index", "events.out.tfevents.1"} <= inner
    assert "provenance.json" not in inner
    with zipfile.ZipFile(path) as archive:
        readme = archive.read("README.txt").decode()
    assert "Left out    provenance.json\n" in readme
    assert b"secret-host" not in path.read_bytes()
    for choice in ({"dataset_names": ["day 1"]}, {"kind": "posterior_push_mean"}):
        with pytest.raises(ConfigError, match="a zip holds the whole run"):
            run.export("zip", tmp_path / "b.zip", **choice)
    with pytest.raises(ConfigError, match="known are data, checkpoints"):
        run.export("zip", tmp_path / "b.zip", no_such_choice=True)


def test_without_data_results_can_be_looked_at(make_trained, tmp_path):
    trained = make_trained(conditions=[float(n % 3) for n in range(25)])
    (path,) = trained.run.export("zip", tmp_path / "small.zip", data=False)
    opened = unpacked(path, tmp_path / "elsewhere")
    means = opened.runs[0].load_posterior_means()
    np.testing.assert_array_equal(means.rates, trained.truth["day 1"]["output_dist_params"] * 100)
    np.testing.assert_array_equal(means.condition_ids, np.arange(25) % 3)
    assert means.counts is None
    assert means.time_ms[0] == -40
    assert not [name for name in names_in(path) if name.endswith("lfads_day 1.h5")]


def test_the_same_run_gives_the_same_bytes(make_trained, tmp_path):
    run = make_trained().run
    (one,) = run.export("zip", tmp_path / "1.zip")
    for path in run.paths.lfads_output.iterdir():
        os.utime(path, (1, 1))
    (other,) = run.export("zip", tmp_path / "2.zip")
    assert one.read_bytes() == other.read_bytes()
    (one,) = run.export("zip", tmp_path / "3.zip", data=False)
    (other,) = run.export("zip", tmp_path / "4.zip", data=False)
    assert one.read_bytes() == other.read_bytes()


def test_links_are_followed_to_files_and_nothing_else_is_packed(make_trained, tmp_path):
    trained = make_trained()
    output = trained.run.paths.lfads_output
    elsewhere = tmp_path / "big disk"
    elsewhere.mkdir()
    moved = elsewhere / "params"
    trained.run.paths.output.model_params.rename(moved)
    trained.run.paths.output.model_params.symlink_to(moved)
    (output / "model_runs_x_valid_posterior_push_mean").symlink_to("/dev/zero")
    loop = output / "model_runs_loop_posterior_push_mean"
    loop.symlink_to(loop)
    (output / "hyperparameters-9.txt").symlink_to(tmp_path)
    os.mkfifo(output / "model_runs_pipe_posterior_push_mean")
    (output / ".model_runs_a_posterior_push_mean.partial").write_text("unfinished")
    (output / "private notes.txt").write_text("secret")
    (path,) = trained.run.export("zip", tmp_path / "a.zip")
    inner = {name.rpartition("/")[2] for name in names_in(path)}
    assert not inner & {
        "model_runs_x_valid_posterior_push_mean",
        "model_runs_loop_posterior_push_mean",
        "model_runs_pipe_posterior_push_mean",
        "hyperparameters-9.txt",
        ".model_runs_a_posterior_push_mean.partial",
        "private notes.txt",
    }
    with zipfile.ZipFile(path) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith("/model_params")]
        assert archive.read(name) == moved.read_bytes()
        assert all(
            not one.is_dir() and one.external_attr >> 28 == 0o10 for one in archive.infolist()
        )


def test_a_run_without_results_is_refused(make_trained, tmp_path):
    run = make_trained().run
    for path in run.paths.lfads_output.glob("model_runs_*"):
        path.unlink()
    with pytest.raises(ResultNotReadyError, match="has no posterior means"):
        run.export("zip", tmp_path / "a.zip")
    shutil.rmtree(run.paths.lfads_output)
    with pytest.raises(ResultNotReadyError, match="has no posterior means"):
        run.export("zip", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
