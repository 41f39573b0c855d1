"""``lfadsq export``: which runs it means, what it says, and what it refuses."""

from __future__ import annotations

import json
import zipfile

import pytest
from click.testing import CliRunner

from lfadsq.cli.main import lfadsq
from lfadsq.errors import ConfigError, LfadsqError, ResultNotReadyError, RunNotFoundError


def call(*words):
    result = CliRunner().invoke(lfadsq, ["export", *map(str, words)])
    if isinstance(result.exception, LfadsqError):
        raise result.exception
    return result


def told(*words):
    result = call(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_run_by_its_folder(make_trained):
    trained = make_trained()
    result = call(trained.run.path, "--to", "h5")
    assert result.exit_code == 0
    export = trained.run.path / "export"
    assert "[1/2]" in result.stderr
    assert [line.split("  ")[0] for line in result.stdout.splitlines()] == [
        str(export / "modelTrainedParams.h5"),
        str(export / "posteriorMeans_day 1.h5"),
    ]
    with pytest.raises(ConfigError, match="--force"):
        call(trained.run.path, "--to", "h5")
    assert call(trained.run.path, "--to", "h5", "--force").exit_code == 0


def test_a_collection_without_runs_that_are_not_trained(make_trained):
    trained = make_trained(("a", "b"))
    (untrained,) = trained.collection.find_runs("single_b")
    for path in untrained.paths.lfads_output.glob("model_runs_*"):
        path.unlink()
    found = told(trained.path, "--to", "netcdf", "--dry-run")
    assert found["left_out"] == [f"param_{untrained.param_hash}/single_b"]
    assert found["is_dry_run"]
    assert not (trained.path / "posterior_means_export").exists()
    found = told("--collection", trained.path, "--to", "netcdf", "--dataset", "a")
    top = trained.path / "posterior_means_export"
    assert [one["path"] for one in found["files"]] == [
        str(top / "single_a" / "posteriorMeans_a.nc"),
        str(top / "all" / "posteriorMeans_a.nc"),
    ]
    assert all(one["num_bytes"] > 1000 for one in found["files"])
    with pytest.raises(ResultNotReadyError, match=r"b\.h5_"):
        call(untrained.path, "--to", "h5")


def test_runs_by_short_names_into_one_folder(make_trained, tmp_path):
    trained = make_trained(("a", "b"))
    trained.collection.write_run_queue_script()
    param = f"param_{trained.run.param_hash}"
    found = told(
        "-C", trained.path, f"{param}/single_a", "run003", "--to", "zip", "-o", tmp_path / "z"
    )
    assert [one["run"] for one in found["files"]] == [f"{param}/single_a", f"{param}/all"]
    assert {one["path"] for one in found["files"]} == {
        str(tmp_path / "z" / name / f"reaches_{param}_{name}.zip") for name in ("single_a", "all")
    }


def test_only_the_best_of_each_dataset(make_trained):
    trained = make_trained(("a", "b"), params={"c_gen_dim": [4, 5]})
    trained.collection.write_run_queue_script()
    for run in trained.collection.runs:
        log = run.paths.output.fit_log()
        if (run.params.c_gen_dim == 5) == (run.name == "single_a"):
            log.write_text(log.read_text().replace("5.25", "1.25"))
    found = told(trained.path, "*_single_*", "--best", "--to", "mat")
    better = {(run.name, run.params.c_gen_dim): run for run in trained.collection.runs}
    assert {(one["run"], one["path"].split("/export/")[0]) for one in found["files"]} == {
        (f"param_{run.param_hash}/{run.name}", str(run.path))
        for run in (better["single_a", 5], better["single_b", 4])
    }
    assert not found["left_out"]


def test_one_file_by_its_name(make_trained, tmp_path, monkeypatch):
    trained = make_trained()
    monkeypatch.chdir(trained.run.path)
    out = tmp_path / "for a friend.zip"
    assert (
        call(".", "--to", "zip", "-o", out, "--without-data", "--with-checkpoints").exit_code == 0
    )
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
    assert any(name.endswith("checkpoint") for name in names)
    assert not any(name.endswith(".h5") for name in names)


def test_an_unpacked_run_is_exported_again(make_trained, tmp_path):
    trained = make_trained()
    (path,) = trained.run.export("zip", tmp_path)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "elsewhere")
    found = told(tmp_path / "elsewhere" / "reaches", "--to", "mat", "-o", tmp_path / "out")
    assert len(found["files"]) == 3


def test_mistakes_are_refused(make_trained, tmp_path):
    trained = make_trained()
    for words, message in [
        (["--with-checkpoints", "--to", "h5"], "--with-checkpoints is for --to zip"),
        (["--without-data", "--to", "nwb"], "--without-data is for --to zip"),
        (["--event", "go", "--to", "mat"], "--event is for --to nwb"),
        (["--to", "csv"], "csv"),
        ([], "--to"),
    ]:
        result = call(trained.run.path, *words)
        assert result.exit_code == 2
        assert message in result.stderr
    with pytest.raises(RunNotFoundError):
        call(tmp_path / "recordings", "--to", "h5")
    with pytest.raises(RunNotFoundError, match="no dataset 'x'"):
        call(trained.run.path, "--to", "h5", "--dataset", "x")
    assert not (trained.run.path / "export").exists()


def test_its_help_has_examples():
    result = call("--help")
    assert "lfadsq export run003 --to zip" in result.output
