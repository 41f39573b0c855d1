"""What docs/cluster.md and README.md say about clusters can be typed, and is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lfadsq.queue.clusters.option_reading import read_cluster_options
from lfadsq.queue.clusters.option_texts import options_markdown
from lfadsq.queue.clusters.system_names import SYSTEM_NAMES, is_address
from lfadsq.queue.clusters.systems import system_of

from .docs_pages import QUEUE_SCRIPT, blocks, queue_script, shell_lines, typed_commands

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


SECTION = README.partition("## On your cluster\n")[2].partition("\n## ")[0]
COMMANDS = sorted({*typed_commands(PAGE), *typed_commands(SECTION)})


def test_the_page_shows_commands_of_ours() -> None:
    assert len(COMMANDS) > 15
    assert any(line.startswith("lfadsq submit") for line in COMMANDS)


def cluster_words(line: str) -> dict[str, object]:
    """Give what a command line says of a cluster."""
    words = shlex.split(line, comments=True)[2:]
    return dict(queue_script.make_context("run_lfadsqueue.py", words).params)


@pytest.mark.parametrize("line", [line for line in COMMANDS if QUEUE_SCRIPT.match(line)])
def test_what_a_recipe_says_is_right_and_its_batch_system_can_do_it(
    line: str, no_user_file: None
) -> None:
    given = cluster_words(line)
    cluster = read_cluster_options(str(given["cluster"]), command_line=given)
    if not is_address(cluster.system):
        assert system_of(cluster.system).problems(cluster) == []


def test_recipes_become_what_they_are_named_for(no_user_file: None) -> None:
    """The lines of PBS and Grid Engine that take the place of ours, as the table gives them."""
    found = re.findall(r"`--directive ('[^']+')`", PAGE)
    assert len(found) == 4
    systems = ("pbs", "sge", "sge", "htcondor")
    for name, word in zip(systems, found, strict=True):
        given = {"directives": tuple(shlex.split(word))}
        cluster = read_cluster_options(name, command_line=given)
        assert system_of(name).problems(cluster) == []
        assert shlex.split(word)[0] in cluster.directives


def test_the_table_of_options_is_the_real_one() -> None:
    assert options_markdown() in PAGE
    assert PAGE.count("| in `cluster.toml` |") == 1


@pytest.fixture
def no_user_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))


def test_the_example_file_is_read(tmp_path: Path, no_user_file: None) -> None:
    (text,) = blocks("toml", PAGE)
    (tmp_path / "cluster.toml").write_text(text)
    slurm = read_cluster_options("slurm", tmp_path)
    assert (slurm.partition, slurm.account, slurm.walltime_s) == ("gpu", "my_lab", 12 * 3600)
    assert (slurm.cores_per_job, slurm.memory_per_job_mb, slurm.max_jobs) == (8, 32_000, 12)
    assert slurm.exclude_nodes == ("node07", "node11", "node12", "node13", "node14")
    assert slurm.setup == ("module load cuda/12.4",)
    assert slurm.directives == ("--qos=normal",)
    pbs = read_cluster_options("pbs", tmp_path)
    assert (pbs.partition, pbs.directives, pbs.exclude_nodes) == ("workq", (), ())
    for system in ("slurm", "pbs"):
        assert system_of(system).problems(read_cluster_options(system, tmp_path)) == []


def test_every_batch_system_is_spoken_of() -> None:
    for name in SYSTEM_NAMES:
        assert system_of(name).title in PAGE


def test_the_section_of_the_readme_is_short_and_leads_to_the_page() -> None:
    assert "(docs/cluster.md)" in SECTION
    assert len(SECTION.strip().splitlines()) <= 24
    assert len(shell_lines(SECTION)) <= 10
