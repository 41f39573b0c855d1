"""What docs/cluster.md and README.md say about clusters can be typed, and is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from lfadsq.cli.main import lfadsq
from lfadsq.queue.clusters.option_reading import read_cluster_options
from lfadsq.queue.clusters.option_texts import options_markdown
from lfadsq.queue.clusters.system_names import SYSTEM_NAMES, is_address
from lfadsq.queue.clusters.systems import system_of
from lfadsq.queue.command_line import queue_options

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUEUE_SCRIPT = "python run_lfadsqueue.py"
ALL_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/queue.md", "docs/cluster.md")


@click.command()
@queue_options
def queue_script(**_options: object) -> None:
    """Stand for ``run_lfadsqueue.py``, which has these options and nothing else."""


def blocks(language: str, text: str) -> list[str]:
    """Give the blocks of code in a language; those in a list are not indented any more."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


def shell_lines(text: str) -> list[str]:
    return [line for block in blocks("sh", text) for line in block.splitlines() if line.strip()]


def spans(text: str) -> list[str]:
    """Give what stands in backticks within the prose, of commands of ours."""
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    prose = prose.replace(options_markdown(), "")
    return re.findall(r"`([^`]+)`", prose)


def ours(text: str) -> list[str]:
    """Give the command lines of a page that run something of ours, in blocks and in the prose."""
    lines = [*shell_lines(text), *spans(text)]
    return [line for line in lines if re.match(rf"lfadsq \w|{QUEUE_SCRIPT}", line)]


def parse(line: str) -> None:
    """Parse a command line as the command itself would, and run nothing.

    Raises
    ------
    click.ClickException
        If there is no such command, or it does not take these options.
    """
    words = shlex.split(line, comments=True)
    if line.startswith(QUEUE_SCRIPT):
        queue_script.make_context("run_lfadsqueue.py", words[2:])
        return
    command: click.Command = lfadsq
    context = click.Context(command)
    del words[0]
    while isinstance(command, click.Group):
        name = words.pop(0) if words else ""
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no command {name!r} in {line!r}")
        command, context = found, click.Context(found, parent=context, info_name=name)
    command.make_context(command.name, words, parent=context)


SECTION = README.partition("## On your cluster\n")[2].partition("\n## ")[0]
COMMANDS = sorted({*ours(PAGE), *ours(SECTION)})


def test_the_page_shows_commands_of_ours() -> None:
    assert len(COMMANDS) > 15
    assert any(line.startswith("lfadsq submit") for line in COMMANDS)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_that_is_shown_exists_with_its_options(line: str) -> None:
    parse(line)


@pytest.mark.parametrize(
    "line",
    ["lfadsq submitt", "lfadsq submit --wall 1h", "lfadsq queue stopp", f"{QUEUE_SCRIPT} --gpus 1"],
)
def test_a_command_that_does_not_exist_would_be_found(line: str) -> None:
    with pytest.raises(click.ClickException):
        parse(line)


def cluster_words(line: str) -> dict[str, object]:
    """Give what a command line says of a cluster."""
    words = shlex.split(line, comments=True)[2:]
    return dict(queue_script.make_context("run_lfadsqueue.py", words).params)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith(QUEUE_SCRIPT)])
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


def test_links_lead_somewhere() -> None:
    for name in ALL_PAGES:
        page = ROOT / name
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
            goal = page.parent / target if target else page
            assert goal.exists(), f"{name} links to {target}"
            if anchor:
                heads = re.findall(r"^#+ (.+)$", goal.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {_anchor(head) for head in heads}, f"{name} links to #{anchor}"


def _anchor(head: str) -> str:
    return re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-")


def test_the_section_of_the_readme_is_short_and_leads_to_the_page() -> None:
    assert "(docs/cluster.md)" in SECTION
    assert len(SECTION.strip().splitlines()) <= 24
    assert len(shell_lines(SECTION)) <= 10
