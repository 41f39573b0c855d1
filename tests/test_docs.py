"""The documentation: it builds, its links lead somewhere, and what it says to type is so."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import pytest

from lfadsq.datasets.lorenz import generate_demo_datasets

from .docs_pages import (
    DOCS,
    NOT_RUN,
    PAGES,
    ROOT,
    blocks_of,
    check_mention,
    mentioned_commands,
    parse,
    run_page,
    text_of,
    typed_commands,
)
from .standin_results import stand_in_for_training

TYPED = sorted({(page, line) for page in PAGES for line in typed_commands(text_of(page))})
MENTIONED = sorted({line for page in PAGES for line in mentioned_commands(text_of(page))})
SINGLE_SESSION, STITCHING = "docs/single-session.md", "docs/stitching.md"
GO_ON_FROM_SINGLE_SESSION = (
    "docs/files.md",
    "docs/hyperparameters.md",
    "docs/queue.md",
    "docs/analysis.md",
)
RUN_HERE = {SINGLE_SESSION, STITCHING, *GO_ON_FROM_SINGLE_SESSION}
RUN_ELSEWHERE = {
    "README.md": "test_readme.py",
    "docs/matlab.md": "test_docs_matlab.py",
    "docs/start.md": "test_docs_start.py",
}


def test_what_is_generated_is_as_the_code_has_it() -> None:
    ended = subprocess.run(
        [sys.executable, str(DOCS / "generate_pages.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    remedy = "python docs/generate_pages.py writes these pages anew"
    assert (ended.returncode, ended.stdout) == (0, ""), f"{ended.stdout}{ended.stderr}\n{remedy}"


@pytest.mark.parametrize(("page", "line"), TYPED)
def test_a_command_that_is_shown_exists_with_its_options(page: str, line: str) -> None:
    parse(line)


@pytest.mark.parametrize("line", MENTIONED)
def test_a_command_that_is_mentioned_exists_with_its_options(line: str) -> None:
    check_mention(line)


@pytest.mark.parametrize(
    "line",
    ["lfadsq submitt", "lfadsq queue stopp", "lfadsq gpus --watched", "lfadsq status --json=x"],
)
def test_a_command_that_does_not_exist_would_be_found(line: str) -> None:
    with pytest.raises(click.ClickException):
        parse(line)


@pytest.mark.parametrize("line", ["lfadsq submitt", "lfadsq queue stop|top", "lfadsq gpus --json5"])
def test_a_mention_of_what_does_not_exist_would_be_found(line: str) -> None:
    with pytest.raises(click.ClickException):
        check_mention(line)


def test_examples_of_every_help_can_be_typed() -> None:
    examples = [
        re.sub(r"\s{3,}.*", "", line.strip())
        for block in blocks_of(text_of("docs/commands.md"))
        for line in re.sub(r"\\\n\s*", "", block.body).splitlines()
        if re.match(r"\s+lfadsq (?!train \.\.\.)", line)
    ]
    assert len(examples) > 60
    for line in examples:
        parse(line)


def train(known: dict[str, Any]) -> None:
    for run in known["rc"].runs:
        stand_in_for_training(run)


@pytest.fixture(scope="module")
def after_single_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the page about a single session: others go on in the folder where it was typed."""
    folder = tmp_path_factory.mktemp("single")
    # Datasets that are there are kept. Trials and channels are as many as the page says, but short.
    generate_demo_datasets(
        folder / "lorenz_example" / "datasets",
        num_datasets=3,
        num_trials_per_condition=(30, 30),
        num_channels=(33, 33),
        duration_ms=10,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        known = run_page(text_of(SINGLE_SESSION), train)
    assert known["means"].rates.shape == (1950, 5, 33)
    return folder


def test_the_tree_of_a_prepared_collection_is_the_real_one(after_single_session: Path) -> None:
    collection = after_single_session / "lorenz_example" / "runs" / "exampleSingleRun"
    (tree,) = [one.body for one in blocks_of(text_of(SINGLE_SESSION)) if "└──" in one.body]
    named = re.findall(r"[─] (\S+)", tree)
    of_one = {path for path in collection.rglob("*") if "_" in path.name or path.is_dir()}
    assert len(named) == 15
    for name in named:
        assert any(path.name == name for path in of_one | set(collection.glob("*"))), name
    for name, target in re.findall(r"(\S+) -> (\S+)", tree):
        (link,) = collection.glob(f"param_YOs74u/*/lfadsInput/{name}")
        assert str(link.readlink()) == target


@pytest.mark.parametrize("page", GO_ON_FROM_SINGLE_SESSION)
def test_the_python_of_a_page_runs_where_a_single_session_was_trained(
    page: str, after_single_session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(after_single_session)
    run_page(text_of(page), train)


def test_the_python_about_stitching_runs_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    generate_demo_datasets(
        "stitching/datasets",
        num_datasets=3,
        num_trials_per_condition=(12, 12),
        num_channels=(9, 11),
        duration_ms=50,
    )
    known = run_page(text_of(STITCHING), train)
    assert (tmp_path / "stitching" / "alignment.png").stat().st_size > 10_000
    assert known["of_first"].shape[2] < known["rates"].shape[2]


@pytest.mark.parametrize("page", PAGES)
def test_python_compiles_and_what_it_imports_exists(page: str) -> None:
    for block in blocks_of(text_of(page)):
        if block.language == "python":
            for node in ast.walk(ast.parse(block.body)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("lfadsq"):
                    exec(ast.unparse(node), {})


def test_python_is_run_by_some_test_or_says_why_not() -> None:
    for page in PAGES:
        run = page in RUN_HERE or page in RUN_ELSEWHERE
        untold = [b for b in blocks_of(text_of(page)) if b.language == "python" and not b.not_run]
        assert run or not untold, f"{page}: run it, or say `{NOT_RUN}why -->` above the block"
    for name in RUN_ELSEWHERE.values():
        assert (ROOT / "tests" / name).is_file()


def test_examples_in_the_hooks_of_the_site_hold() -> None:
    spec = importlib.util.spec_from_file_location("site_hooks", DOCS / "site_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    assert doctest.testmod(hooks) == (0, 2)


class _Page(HTMLParser):
    """Collects where a page of HTML leads, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("link", "script", "img", "source", "iframe"):
            self.loaded += [given[name] for name in ("href", "src") if name in given]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as whoever publishes it would: any warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def test_every_page_is_in_the_site_and_every_link_leads_somewhere(site: Path) -> None:
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    for page in DOCS.glob("*.md"):
        assert site / f"{page.stem}.html" in pages
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin at the root, wherever it is shown
            continue
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            goal = goal / "index.html" if goal.is_dir() else goal
            is_there = goal.is_file()
            if is_there and parts.fragment and goal in pages and parts.fragment != "__search":
                is_there = unquote(parts.fragment) in pages[goal].anchors
            if not is_there:
                broken.append(f"{path.name}: {link}")
    assert not broken


def test_nothing_is_loaded_from_another_site(site: Path) -> None:
    for path in site.rglob("*.html"):
        loaded = _Page(path.read_text(encoding="utf-8")).loaded
        assert loaded
        assert not [one for one in loaded if urlsplit(one).netloc], path.name
    for path in site.rglob("*.css"):
        assert not re.findall(r"url\(\s*['\"]?(?:https?:)?//", path.read_text(encoding="utf-8"))


def test_links_of_the_repository_lead_somewhere() -> None:
    """As they are followed where the repository itself is looked at, not the site."""
    for name in PAGES:
        page = ROOT / name
        prose = re.sub(
            r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL
        )
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", prose):
            goal = page.parent / target if target else page
            assert goal.exists(), f"{name} links to {target}"
            if anchor:
                heads = re.findall(r"^#+ (.+)$", goal.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {_anchor(head) for head in heads}, f"{name} links to #{anchor}"


def _anchor(head: str) -> str:
    return re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-")
