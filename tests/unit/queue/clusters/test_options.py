"""The table of cluster options: how values are read, and what may never be in one."""

from __future__ import annotations

import datetime
import shlex
import string
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from lfadsq.errors import ConfigError
from lfadsq.queue.clusters.node_names import expand_nodes
from lfadsq.queue.clusters.option_flags import GroupedCommand, cluster_click_options
from lfadsq.queue.clusters.option_reading import read_cluster_options, read_given
from lfadsq.queue.clusters.option_table import OPTIONS, find_option, option_names
from lfadsq.queue.clusters.option_texts import options_markdown
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.system_names import SYSTEM_NAMES, is_address, read_system

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(autouse=True)
def no_files_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))


def read(name: str, raw: Any) -> Any:
    option = find_option(name)
    assert option is not None
    return option.kind.read(raw)


# --- the table -----------------------------------------------------------------------------------


def test_every_field_has_one_option_and_one_name_in_all_places() -> None:
    assert [option.field for option in OPTIONS] == [f.name for f in fields(ClusterOptions)][1:]
    names = option_names()
    assert len(names) == len(set(names)) == len(OPTIONS) + 1
    for option in OPTIONS:
        if option.name != "directives":
            assert option.flags[0].partition("/")[0] == "--" + option.name.replace("_", "-")


def test_nothing_said_gives_the_defaults_of_the_dataclass() -> None:
    assert read_cluster_options("slurm") == ClusterOptions("slurm")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_defaults_and_examples_can_be_read(option: Any) -> None:
    written = tomllib.loads(f"x = {option.kind.write(option.default)}")["x"]
    if option.default == "":
        assert written == ""
    else:
        assert option.kind.read(written) == option.default
    if option.default in ("", ()):
        assert option.kind.read(tomllib.loads(f"x = {option.example}")["x"]) not in ("", ())


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        ("12:00:00", 43_200),
        ("2-12:00:00", 216_000),
        ("2-12", 216_000),
        ("1-00:30", 88_200),
        ("100:00:01", 360_001),
        (datetime.time(12, 30, 5), 45_005),
        ("90m", 5400),
        ("90 min", 5400),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1.5H", 5400),
        ("1d", 86_400),
        ("45s", 45),
        ("3600", 3600),
        (3600, 3600),
    ],
)
def test_times(raw: Any, seconds: int) -> None:
    assert read("walltime", raw) == seconds


@pytest.mark.parametrize(
    "raw",
    ["", "12:00", "1:60:00", "1:0:0", "soon", "2 weeks", "-1h", "1h-", 1.5, True, None, 0, "0s"]
    + ["9" * 5000, "99999d", "\u0661h", [3600], "1-", "1:00:00\n2"],
)
def test_what_is_no_walltime(raw: Any) -> None:
    with pytest.raises(ValueError, match="give "):
        read("walltime", raw)


def test_margins_may_be_nothing() -> None:
    assert read("end_margin", 0) == read("min_time_left", "0s") == 0


@pytest.mark.parametrize(
    ("raw", "memory_mb"),
    [
        ("16GB", 16_000),
        ("16G", 16_000),
        ("16 gb", 16_000),
        ("16000MB", 16_000),
        ("0.5TB", 500_000),
        ("16GiB", 17_180),  # 17179.869184 MB, rounded up
        ("1048576KiB", 1074),
        ("16Gi", 17_180),
    ],
)
def test_memory_is_in_thousands_unless_it_says_otherwise(raw: str, memory_mb: int) -> None:
    assert read("memory_per_job", raw) == memory_mb


@pytest.mark.parametrize("raw", ["16", 16, 16000, "", "0GB", "-1GB", "1e3GB", "16 pigs", 1.5, True])
def test_what_is_no_memory(raw: Any) -> None:
    with pytest.raises(ValueError, match="with its unit"):
        read("memory_per_job", raw)


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("gpus_per_job", "0", 0),
        ("gpus_per_job", 4, 4),
        ("max_jobs", "1", 1),
        ("partition", "gpu,short", "gpu,short"),
        ("partition", "all.q@node1", "all.q@node1"),
        ("partition", "", ""),
        ("account", "group/sub-lab", "group/sub-lab"),
        ("interface", "eth0.100:1", "eth0.100:1"),
        ("requeue", True, True),
        ("directives", "--qos=high", ("--qos=high",)),
        ("directives", ["-l a='b c'", ""], ("-l a='b c'",)),
        ("setup", ("module load cuda; export A=$B",), ("module load cuda; export A=$B",)),
        ("python", "/opt/My Lab/bin/python", "/opt/My Lab/bin/python"),
        ("python", Path("/opt/python"), "/opt/python"),
        ("python", "python3.11", "python3.11"),
    ],
)
def test_other_values(name: str, raw: Any, value: Any) -> None:
    assert read(name, raw) == value


def test_the_home_folder_may_be_abbreviated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert read("python", "~/venv/bin/python") == "/home/ada/venv/bin/python"


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("gpus_per_job", -1),
        ("gpus_per_job", 1.0),
        ("gpus_per_job", True),
        ("gpus_per_job", "a100"),
        ("cores_per_job", 0),
        ("max_jobs", "0"),
        ("max_jobs", "²"),
        ("partition", 7),
        ("partition", "-p"),
        ("partition", "gpu short"),
        ("partition", "gpu/short"),
        ("account", "$USER"),
        ("account", "lab\n#SBATCH --uid=0"),
        ("account", "-A"),
        ("interface", "ib0;false"),
        ("interface", "-i"),
        ("exclude_nodes", "node1 node2"),
        ("exclude_nodes", ["node1", 2]),
        ("exclude_nodes", "node[01-"),
        ("exclude_nodes", "node[a-b]"),
        ("exclude_nodes", "-w"),
        ("directives", "#SBATCH --qos=high"),
        ("directives", "--qos=high\n--uid=0"),
        ("directives", {"qos": "high"}),
        ("setup", "module load a\rfalse"),
        ("setup", "module\u00a0load a"),
        ("setup", "tab\there"),
        ("python", "venv/bin/python"),
        ("python", ""),
        ("python", "-c"),
        ("python", "python3 -u"),
        ("python", "/opt/$USER/python"),
        ("python", "/opt/`id`/python"),
        ("requeue", "true"),
        ("requeue", 1),
    ],
)
def test_what_cannot_be(name: str, raw: Any) -> None:
    with pytest.raises(ValueError, match="give "):
        read(name, raw)


_HOSTILE = ["\n#SBATCH --uid=0", "a\nb", "$(false)", "`a`", "a;b", "a|b", "a&b", "a'b", '"', "\0"]
_NAME_SIGNS = set(string.ascii_letters + string.digits + "_.-@+:,/")


@given(
    st.sampled_from(OPTIONS),
    st.one_of(
        st.text(),
        st.text(alphabet=string.printable),
        st.builds("{}{}{}".format, st.text(), st.sampled_from(_HOSTILE), st.text()),
        st.lists(st.text(), max_size=3),
    ),
)
@example(find_option("python"), "\udc80/x")
@example(find_option("account"), "a\n")
def test_no_value_can_end_a_line_or_be_anything_but_a_name(option: Any, raw: Any) -> None:
    try:
        value = option.kind.read(raw)
    except ValueError as error:
        problem = str(error)
    else:
        problem = ""
    if problem:
        assert problem.startswith("give ")
        return
    for text in value if isinstance(value, tuple) else (str(value),):
        assert text.isprintable()
        assert len(f"x{text}x".splitlines()) == 1
        if option.name in ("partition", "account", "interface", "exclude_nodes"):
            assert set(text) <= _NAME_SIGNS
            assert not text.startswith("-")
        if option.name == "directives":
            assert not text.startswith("#")


# --- nodes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("node07", ["node07"]),
        ("node[08-10],gpu3", ["node08", "node09", "node10", "gpu3"]),
        ("r[1-2]n[1,3]-ib", ["r1n1-ib", "r1n3-ib", "r2n1-ib", "r2n3-ib"]),
        ("n[099-101]", ["n099", "n100", "n101"]),
        (" a , ,a,", ["a"]),
        ("", []),
    ],
)
def test_ranges_of_nodes_are_written_out(text: str, nodes: list[str]) -> None:
    assert expand_nodes(text) == nodes


@pytest.mark.parametrize("text", ["n[3-1]", "n[1-999999]", "n[1-99]m[1-99]"])
def test_ranges_that_are_none_or_too_long(text: str) -> None:
    with pytest.raises(ValueError, match="give "):
        expand_nodes(text)


# --- the name of the cluster ---------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SYSTEM_NAMES, "Slurm", " PBS "])
def test_batch_systems(name: str) -> None:
    assert read_system(name) == name.strip().lower()
    assert not is_address(name)


@pytest.mark.parametrize(
    "address", ["tcp://h:1", "tls://node-7.lab.org:8786", "10.0.0.1:65535", "tls://[fe80::1]:8786"]
)
def test_addresses(address: str) -> None:
    assert is_address(address)
    assert read_system(address) == address


@pytest.mark.parametrize(
    "name",
    ["", "kubernetes", "tcp://h", "h:0", "h:65536", "http://h:80", "h:1;false", "tcp://a b:1"]
    + ["slurm:", "-h:1", "h:1\nx"],
)
def test_what_is_no_cluster_lists_what_is(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_system(name)
    assert all(system in str(caught.value) for system in SYSTEM_NAMES)
    assert "tls://" in str(caught.value)


def test_the_nearest_cluster_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'slurm'"):
        read_system("slrum")


# --- the command line ----------------------------------------------------------------------------


def wanted(*words: str) -> dict[str, Any]:
    @click.command(cls=GroupedCommand)
    def command(**values: Any) -> dict[str, Any]:
        return values

    for option in cluster_click_options:
        command = option(command)
    values = command.main(list(words), standalone_mode=False)
    assert isinstance(values, dict)
    return values


def test_what_is_not_given_is_none() -> None:
    values = wanted()
    assert set(values) == {*(o.name for o in OPTIONS), "cluster", "dry_run", "no_dask"}
    assert set(values.values()) == {None}


def test_all_options_can_be_given_on_the_command_line() -> None:
    line = (
        "--cluster slurm --dry-run --no-dask --queue gpu --account lab --walltime 2-00:00:00"
        " --gpus-per-job 2 --cores-per-job 8 --memory-per-job 32GB --max-jobs 3"
        " --exclude-nodes a,b[1-2] --exclude-nodes c --directive --qos=high --directive '-l v'"
        " --setup 'module load a' --setup env --interface ib0 --python /p/python --requeue"
        " --end-margin 5m --min-time-left 1h"
    )
    words = shlex.split(line)
    values = wanted(*words)
    assert (values["cluster"], values["dry_run"], values["no_dask"]) == ("slurm", True, True)
    assert read_cluster_options("slurm", command_line=values) == ClusterOptions(
        "slurm", "gpu", "lab", 172_800, 2, 8, 32_000, 3, ("a", "b1", "b2", "c"),
        ("--qos=high", "-l v"), ("module load a", "env"), "ib0", "/p/python", True, 300, 3600,
    )  # fmt: skip


def test_what_a_file_says_can_be_taken_back() -> None:
    said = {"partition": "gpu", "requeue": True, "setup": ["a"], "exclude_nodes": ["n1"]}
    values = wanted("--partition", "", "--no-requeue", "--setup", "", "--exclude-nodes", "")
    options = read_cluster_options("slurm", arguments=said, command_line=values)
    assert options == ClusterOptions("slurm")


def test_help_has_the_options_under_their_own_heading() -> None:
    @click.command(cls=GroupedCommand)
    @click.argument("path", required=False)
    @click.option("--json", is_flag=True)
    def command(**values: Any) -> None:
        del values

    for option in cluster_click_options:
        command = option(command)
    output = CliRunner().invoke(command, ["--help"]).output
    general, _, ours = output.partition("Jobs of a cluster:")
    assert "--json" in general
    assert "--help" in general
    for option in OPTIONS:
        for flag in option.flags:
            assert flag.partition("/")[0] in ours
            assert flag.partition("/")[0] not in general


def test_what_is_wrong_on_the_command_line_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read_given({"walltime": "soon", "max_jobs": "0", "partition": "a b", "account": "lab"})
    text = str(caught.value)
    for name in ("--walltime is 'soon'", "--max-jobs is '0'", "--partition is 'a b'"):
        assert f"command line: {name}; give " in text
    assert "account" not in text


# --- the documentation ---------------------------------------------------------------------------


def test_the_table_in_markdown_is_a_table_of_all() -> None:
    head, line, *rows = options_markdown().splitlines()
    assert len(rows) == len(OPTIONS)
    assert {row.count("|") for row in (head, line, *rows)} == {6}
    for option, row in zip(OPTIONS, rows, strict=True):
        cells = [cell.strip() for cell in row.split("|")[1:-1]]
        assert f"`{option.name}`" in cells[0]
        assert option.flags[0].partition("/")[0] in cells[1]
        assert all(cells)
