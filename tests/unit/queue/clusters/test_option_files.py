"""Cluster options from files, Python and the command line, each in place of those before."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.errors import ConfigError, StorageError
from lfadsq.queue.clusters.option_reading import read_cluster_options
from lfadsq.queue.clusters.option_sources import user_file
from lfadsq.queue.clusters.option_table import OPTIONS, option_names
from lfadsq.queue.clusters.option_texts import options_toml
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.system_names import SYSTEM_NAMES


class Places:
    """A collection, and a folder of a user's settings."""

    def __init__(self, folder: Path) -> None:
        self.collection = folder / "collection"
        self.user = folder / "config" / "lfadsq" / "cluster.toml"
        self.own = self.collection / "cluster.toml"
        self.collection.mkdir()
        self.user.parent.mkdir(parents=True)

    def read(self, system: str = "slurm", **sources: Any) -> ClusterOptions:
        return read_cluster_options(system, self.collection, **sources)

    def problems(self, text: str, **sources: Any) -> str:
        self.own.write_text(text)
        with pytest.raises(ConfigError) as caught:
            self.read(**sources)
        return str(caught.value)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Places(tmp_path)


# --- who comes first -----------------------------------------------------------------------------


def test_each_source_takes_the_place_of_those_before(places: Places) -> None:
    # In every source one option less than in the one before, so that each has the last word once.
    places.user.write_text('account="u"\npartition="u"\n[slurm]\ninterface="us"\npartition="us"\n'
                           'setup=["us"]\nmax_jobs=2\ncores_per_job=2')  # fmt: skip
    places.own.write_text('partition="c"\nsetup=["c"]\nmax_jobs=3\ncores_per_job=3\n'
                          "[slurm]\nsetup=['cs']\nmax_jobs=4\ncores_per_job=4")  # fmt: skip
    options = places.read(
        arguments={"max_jobs": 5, "cores_per_job": 5, "setup": None},
        command_line={"cores_per_job": "6", "max_jobs": None, "cluster": "slurm"},
    )
    assert options == ClusterOptions(
        "slurm",
        account="u",
        interface="us",
        partition="c",
        setup=("cs",),
        max_jobs=5,
        cores_per_job=6,
    )


def test_the_table_of_another_system_says_nothing_to_this_one(places: Places) -> None:
    places.own.write_text('queue = "all"\n[pbs]\nqueue = "workq"\nwalltime = "1h"\n')
    assert places.read("slurm") == ClusterOptions("slurm", partition="all")
    options = places.read("pbs")
    assert (options.partition, options.walltime_s) == ("workq", 3600)


def test_a_file_may_be_missing_or_empty_and_there_may_be_no_collection(places: Places) -> None:
    assert places.read() == ClusterOptions("slurm")
    places.own.write_text("")
    assert places.read() == ClusterOptions("slurm")
    places.user.write_text("max_jobs = 1")
    assert read_cluster_options("slurm").max_jobs == 1


def test_a_time_without_quotes_is_a_time(places: Places) -> None:
    places.own.write_text("walltime = 12:00:00")
    assert places.read().walltime_s == 43_200


def test_the_users_file_is_where_xdg_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("", "relative/path"):
        monkeypatch.setenv("XDG_CONFIG_HOME", variable)
        assert user_file() == tmp_path / ".config" / "lfadsq" / "cluster.toml"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert user_file() == tmp_path / ".config" / "lfadsq" / "cluster.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert user_file() == tmp_path / "xdg" / "lfadsq" / "cluster.toml"


# --- what is wrong -------------------------------------------------------------------------------


def test_everything_wrong_is_told_at_once_with_where_and_what_is_right(places: Places) -> None:
    places.user.write_text("max_jobs = 0\n")
    text = places.problems(
        '# mine\npartitoin = "gpu"\n\nwalltime = "2 hors"\n[pbs]\nmemory_per_job = 16\n',
        arguments={"cpus": 4},
        command_line={"gpus_per_job": "two"},
    )
    lines = [line.strip() for line in text.splitlines()]
    assert f"{places.user}, line 1: max_jobs is 0; give a whole number of 1 or more" in lines
    assert f"{places.own}, line 2: no option is called 'partitoin'; did you mean 'partition'?" in (
        lines
    )
    assert any(
        line.startswith(f"{places.own}, line 4: walltime is '2 hors'; give") for line in lines
    )
    assert any(line.startswith(f"{places.own}, line 6: memory_per_job is 16;") for line in lines)
    assert any(line.startswith("Python arguments: no option is called 'cpus'") for line in lines)
    assert any(line.startswith("command line: --gpus-per-job is 'two'; give") for line in lines)
    assert lines[-1] == f"options are {', '.join(option_names())}"
    assert len(lines) == 8


def test_one_unknown_option_lists_those_that_exist(places: Places) -> None:
    text = places.problems("gpus-per-job = 1")
    assert "line 1: no option is called 'gpus-per-job'; did you mean 'gpus_per_job'?" in text
    assert all(name in text for name in option_names())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[slrum]\nmax_jobs = 1", "line 1: no table is called 'slrum'; did you mean [slurm]?"),
        ("slurm = 1", "stands below a line [slurm]"),
        ("walltime = 2-12:00:00", "it is no TOML"),
        ("walltime = 12:00:00:00", "at line 1"),
        ('queue = "a"\npartition = "b"', "line 2: partition says again what queue says"),
        ('partition = "b"\nqueue = "a"', "line 2: queue says again what partition says"),
        ("[slurm]\n[slurm.gpu]\nx = 1", "no table is called 'gpu'"),
        ("[[slurm]]\nx = 1", "below a line [slurm]"),
        ('setup = ["a", 1]', "give lines of text"),
        ('account = "a\\n#SBATCH --uid=0"', "line 1: account is 'a\\n#SBATCH --uid=0'; give"),
    ],
)
def test_other_mistakes_in_files(places: Places, content: str, words: str) -> None:
    text = places.problems(content)
    assert words in text
    assert str(places.own) in text
    assert "\n#SBATCH" not in text


def test_a_file_that_is_no_text_or_cannot_be_read(places: Places) -> None:
    places.own.write_bytes(b'account = "\xff"')
    with pytest.raises(ConfigError, match="UTF-8"):
        places.read()
    places.own.unlink()
    places.own.mkdir()
    with pytest.raises(StorageError, match=r"cannot read .*cluster\.toml"):
        places.read()


# --- walltime and margins ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("walltime", "end_margin_s", "min_time_left_s"),
    [("1d", 120, 600), ("100m", 120, 600), ("10m", 60, 60), ("1m", 6, 6), ("5s", 0, 0)],
)
def test_margins_nobody_asked_for_take_a_tenth_each_at_most(
    walltime: str, end_margin_s: int, min_time_left_s: int
) -> None:
    options = read_cluster_options("slurm", arguments={"walltime": walltime})
    assert (options.end_margin_s, options.min_time_left_s) == (end_margin_s, min_time_left_s)


def test_margins_that_were_asked_for_are_kept(places: Places) -> None:
    places.own.write_text('end_margin = "20s"')
    options = places.read(command_line={"walltime": "1m"})
    assert (options.end_margin_s, options.min_time_left_s) == (20, 6)


def test_margins_that_leave_nothing_are_refused_with_who_said_what(places: Places) -> None:
    text = places.problems('min_time_left = "8m"\nend_margin = 60', command_line={"walltime": "9m"})
    assert f"min_time_left (8m, {places.own}, line 1)" in text
    assert f"end_margin (1m, {places.own}, line 2)" in text
    assert "walltime (9m, command line)" in text
    options = places.read(command_line={"walltime": "541s"})
    assert options.walltime_s == 541


@given(st.integers(1, 10**6), st.none() | st.integers(0, 10**6), st.none() | st.integers(0, 10**6))
def test_a_training_can_start_in_every_job_that_is_let_through(
    walltime_s: int, end_margin_s: int | None, min_time_left_s: int | None
) -> None:
    said = {"walltime": walltime_s, "end_margin": end_margin_s, "min_time_left": min_time_left_s}
    try:
        options = read_cluster_options("slurm", arguments=said)
    except ConfigError:
        assert (end_margin_s or 0) + (min_time_left_s or 0) >= walltime_s - 2 * (walltime_s // 10)
        return
    assert options.end_margin_s + options.min_time_left_s < walltime_s
    assert end_margin_s in (None, options.end_margin_s)
    assert min_time_left_s in (None, options.min_time_left_s)


# --- addresses -----------------------------------------------------------------------------------


def test_nothing_is_asked_of_a_scheduler_that_is_there_already(places: Places) -> None:
    places.own.write_text('partition = "gpu"\nnonsense = 1')
    address = "tls://node7:8786"
    assert places.read(address, command_line={"partition": None}) == ClusterOptions(address)
    for sources in ({"command_line": {"walltime": "1h"}}, {"arguments": {"walltime": "1h"}}):
        with pytest.raises(ConfigError, match=r"already there.*walltime cannot be had"):
            places.read(address, **sources)


# --- the file that is written --------------------------------------------------------------------

_NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
_LINES = st.lists(
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1).filter(
        lambda line: line.isprintable() and not line.startswith("#")
    ),
    max_size=3,
).map(tuple)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "partition": _NAMES,
    "account": _NAMES,
    "walltime": st.integers(10**4, 10**7),
    "gpus_per_job": st.integers(0, 8),
    "cores_per_job": st.integers(1, 64),
    "memory_per_job": st.integers(1, 10**6),
    "max_jobs": st.integers(1, 100),
    "exclude_nodes": st.lists(_NAMES, unique=True, max_size=3).map(tuple),
    "directives": _LINES,
    "setup": _LINES,
    "interface": _NAMES,
    "python": st.sampled_from(["/a b/pyth\"on'", "python3", "/ä/\\python"]),
    "requeue": st.booleans(),
    "end_margin": st.integers(0, 4000),
    "min_time_left": st.integers(0, 4000),
}


@given(st.fixed_dictionaries({}, optional=_VALUES), st.sampled_from(["", *SYSTEM_NAMES]))
def test_a_file_says_what_was_given_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], system: str
) -> None:
    folder = tmp_path_factory.mktemp("collection")
    found = ['gpu" = [\n1', "short"]
    text = options_toml(values, system=system, found=found, other_file="/a/b.toml")
    (folder / "cluster.toml").write_text(text, encoding="utf-8")
    expected = {option.field: values[option.name] for option in OPTIONS if option.name in values}
    assert read_cluster_options("slurm", folder) == dataclasses.replace(
        ClusterOptions("slurm"), **expected
    )


def test_every_comment_of_the_file_that_is_an_option_can_be_set(places: Places) -> None:
    lines = options_toml({}).splitlines()
    names = [option.name for option in OPTIONS]
    is_set = [line[2:].partition(" =")[0] in [*names, "[pbs]"] for line in lines]
    places.own.write_text(
        "\n".join(line[2:] if is_it else line for line, is_it in zip(lines, is_set, strict=True))
    )
    assert sum(is_set) == len(OPTIONS) + 2
    options = places.read()
    for option in OPTIONS:
        if option.default not in ("", (), sys.executable):
            assert getattr(options, option.field) == option.default
        else:
            assert getattr(options, option.field) != option.default
    assert all(len(line) <= 100 for line in lines)
