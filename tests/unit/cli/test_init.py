"""``lfadsq init``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lfadsq.cli.main import lfadsq
from lfadsq.errors import ConfigError
from lfadsq.queue.clusters.option_reading import read_cluster_options
from lfadsq.queue.clusters.options import ClusterOptions

from .verbs import call, said


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A collection's folder, on a machine with no batch system and a user without settings."""
    folder = tmp_path / "my runs"
    folder.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(folder)
    return folder


def add_sinfo(folder: Path) -> None:
    sinfo = folder.parent / "bin" / "sinfo"
    sinfo.write_text("#!/bin/sh\necho 'gpu*|2-00:00:00|gpu:a100:4'\n")
    sinfo.chmod(0o755)


def test_a_file_in_the_current_folder_changes_nothing_by_itself(folder: Path) -> None:
    output = said("init", "--cluster", "slurm")
    path = folder / "cluster.toml"
    assert f"wrote {path}" in output
    assert read_cluster_options("slurm", folder) == ClusterOptions("slurm")
    assert path.stat().st_mode & 0o002 == 0
    assert "walltime" in path.read_text()


def test_it_says_what_to_do_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = said("init", "--cluster", "SGE")
    assert "lfadsq doctor --cluster sge\n" in output
    assert "python run_lfadsqueue.py --cluster sge\n" in output
    assert "cd " not in output
    monkeypatch.chdir(folder.parent)
    assert f"cd '{folder}'\n" in said("init", folder, "--force")
    assert "--cluster NAME" in said("init", folder, "--force")


def test_what_is_given_is_set(folder: Path) -> None:
    words = ["--queue", "gpu", "--walltime", "90m", "--memory-per-job", "32GB", "--requeue"]
    words += ["--exclude-nodes", "n[1-2]", "--directive", '-l a="b"', "--setup", "module load x"]
    said("init", folder, "--cluster", "slurm", *words)
    assert read_cluster_options("slurm", folder) == ClusterOptions(
        "slurm",
        partition="gpu",
        walltime_s=5400,
        memory_per_job_mb=32_000,
        requeue=True,
        exclude_nodes=("n1", "n2"),
        directives=('-l a="b"',),
        setup=("module load x",),
        end_margin_s=120,
        min_time_left_s=540,
    )


def test_the_users_file_holds_for_all_collections(folder: Path) -> None:
    output = said("init", "--user", "--account", "my_lab")
    path = folder.parent / "config" / "lfadsq" / "cluster.toml"
    assert f"wrote {path}" in output
    assert read_cluster_options("pbs", folder).account == "my_lab"
    assert not (folder / "cluster.toml").exists()
    said("init")
    assert str(path) in (folder / "cluster.toml").read_text()


def test_a_file_that_is_there_is_not_replaced_unasked(folder: Path) -> None:
    path = folder / "cluster.toml"
    path.write_text("max_jobs = 3\n")
    with pytest.raises(ConfigError, match="--force"):
        call("init", answer="")
    with pytest.raises(ConfigError, match="left as it is"):
        call("init", answer="n\n")
    assert path.read_text() == "max_jobs = 3\n"
    assert call("init", answer="y\n").exit_code == 0
    assert "# max_jobs = 8\n" in path.read_text()
    said("init", "--force", "--max-jobs", "5")
    assert read_cluster_options("slurm", folder).max_jobs == 5


def test_wrong_options_write_nothing(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        call("init", "--walltime", "soon", "--partition", "a b")
    assert "--walltime is 'soon'" in str(caught.value)
    assert "--partition is 'a b'" in str(caught.value)
    with pytest.raises(ConfigError, match="leave nothing of the walltime"):
        call("init", "--walltime", "1m", "--end-margin", "1m")
    with pytest.raises(ConfigError, match="no cluster is called 'kubernetes'"):
        call("init", "--cluster", "kubernetes")
    with pytest.raises(ConfigError, match="already there"):
        call("init", "--cluster", "tls://h:8786")
    with pytest.raises(ConfigError, match="is no folder"):
        call("init", folder / "none", "--cluster", "slurm")
    result = CliRunner().invoke(lfadsq, ["init", str(folder), "--user"])
    assert result.exit_code == 2
    assert list(folder.iterdir()) == []
    assert not (folder.parent / "config").exists()


def test_partitions_that_are_found_are_offered(folder: Path) -> None:
    add_sinfo(folder)
    output = said("init")
    line = "gpu (default), at most 2-00:00:00, GPUs a100:4"
    assert "found slurm here" in output
    assert line in output
    assert f"#   {line}\n" in (folder / "cluster.toml").read_text()
    assert "--cluster slurm" in output
    assert read_cluster_options("slurm", folder) == ClusterOptions("slurm")


def test_json(folder: Path) -> None:
    add_sinfo(folder)
    assert json.loads(said("init", "--json", "--partition", "gpu")) == {
        "file": str(folder / "cluster.toml"),
        "cluster": "slurm",
        "set": ["partition"],
        "partitions": ["gpu (default), at most 2-00:00:00, GPUs a100:4"],
        "next": ["lfadsq doctor --cluster slurm", "python run_lfadsqueue.py --cluster slurm"],
    }


def test_help_has_examples_and_every_option() -> None:
    output = said("init", "--help")
    assert "lfadsq init --user" in output.partition("Examples:")[2]
    assert "--memory-per-job SIZE" in output.partition("Jobs of a cluster:")[2]
    assert "init" in said("--help")


def test_reading_options_needs_nothing_heavy() -> None:
    code = (
        "import sys, lfadsq.cli.init, lfadsq.queue.clusters.option_reading;"
        "heavy = {'tensorflow', 'distributed', 'dask', 'rich', 'numpy', 'psutil', 'jinja2'};"
        "print(*(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == ""
