"""What tests do with the pages of the documentation: find their code, and run it."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from lfadsq.cli.main import lfadsq
from lfadsq.queue.command_line import queue_options

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md") + tuple(
    f"docs/{path.name}" for path in sorted(DOCS.glob("*.md"))
)
QUEUE_SCRIPT = re.compile(r"python \S*run_lfadsqueue\.py")
NOT_RUN = "<!-- not run in the tests: "
_FENCE = re.compile(
    rf"(?:^{NOT_RUN}(.+?) -->\n+)?^( *)```(\w*)\n(.*?)^\2```$", flags=re.DOTALL | re.MULTILINE
)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    language: str
    body: str
    not_run: str
    """Why it is not run; empty if it is."""


def blocks_of(text: str) -> list[Block]:
    """List the blocks of a page in their order; those in a list are not indented any more."""
    return [
        Block(language, re.sub(rf"^{indent}", "", body, flags=re.MULTILINE), reason)
        for reason, indent, language, body in _FENCE.findall(text)
    ]


def blocks(language: str, text: str) -> list[str]:
    return [block.body for block in blocks_of(text) if block.language == language]


def shell_lines(text: str) -> list[str]:
    """List the lines typed in a shell; one that goes on in the next is one line."""
    joined = [re.sub(r"\\\n\s*", "", block) for block in blocks("sh", text)]
    return [line for block in joined for line in block.splitlines() if line.strip()]


def is_ours(line: str) -> bool:
    return bool(re.match(r"lfadsq [\w-]", line) or QUEUE_SCRIPT.match(line))


def typed_commands(text: str) -> list[str]:
    """List the command lines of ours that a page shows to be typed."""
    return [line for line in shell_lines(text) if is_ours(line)]


def mentioned_commands(text: str) -> list[str]:
    """List those in the prose, which may lack arguments or have words in their place."""
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [span for span in re.findall(r"`([^`\n]+)`", prose) if is_ours(span)]


@click.command()
@queue_options
def queue_script(**_options: object) -> None:
    """Stand for ``run_lfadsqueue.py``, which has these options and nothing else."""


def parse(line: str) -> None:
    """Parse a command line as the command itself would, and run nothing.

    Raises
    ------
    click.ClickException
        If there is no such command, or it does not take these options.
    """
    words = shlex.split(line, comments=True)
    for sign in ("|", ">", ">>", "&&"):
        words = words[: words.index(sign)] if sign in words else words
    command, context, rest = command_of(words, line)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            command.make_context(command.name, rest, parent=context)
    except click.exceptions.Exit:  # of --help
        pass
    except click.BadParameter as error:
        if "does not exist" not in error.message:  # files and folders of whoever types it
            raise


def check_mention(line: str) -> None:
    """See that a command exists, and the options with which it is mentioned.

    Raises
    ------
    click.ClickException
        If there is no such command, or it does not take these options.
    """
    words = shlex.split(line, comments=True)
    at = next((at for at, word in enumerate(words) if "|" in word), None)
    if at is not None and at < 3:
        for one in words[at].split("|"):
            check_mention(shlex.join([*words[:at], one, *words[at + 1 :]]))
        return
    command, context, rest = command_of(words, line)
    taken = {name for option in command.get_params(context) for name in option.opts}
    taken |= {name for option in command.get_params(context) for name in option.secondary_opts}
    for word in rest:
        if word.startswith("-") and word.partition("=")[0] not in {*taken, "--help", "--together"}:
            raise click.NoSuchOption(word)


def command_of(
    words: list[str], line: str
) -> tuple[click.Command, click.Context | None, list[str]]:
    """Find the command that a line runs, and what is left for it."""
    if QUEUE_SCRIPT.match(line):
        return queue_script, click.Context(queue_script), words[2:]
    command: click.Command = lfadsq
    context = click.Context(command)
    rest = words[1:]
    while isinstance(command, click.Group):
        name = rest.pop(0) if rest else ""
        if name.startswith("-"):
            return command, None, [name, *rest]
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no command {name!r} in {line!r}")
        if isinstance(found, click.Group) and not rest:
            return found, context, ["--help"]
        command, context = found, click.Context(found, parent=context, info_name=name)
    return command, context, rest


def run_page(text: str, on_queue: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run the Python of a page from its top to its end, and compare what it says is printed.

    A block of ``text`` right after one of Python is what that prints, with ``...`` for anything.
    Where the page starts the queue, `on_queue` is called with all names that are defined by then.

    Raises
    ------
    AssertionError
        If something else was printed.
    """
    known: dict[str, Any] = {"__name__": "page"}
    checker = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    printed = None
    for block in blocks_of(text):
        if block.language == "python" and not block.not_run:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block.body, "page", "exec", dont_inherit=True), known)
            printed = out.getvalue()
            continue
        if block.language == "text" and printed:
            assert checker.check_output(block.body, printed, flags), (
                f"the page says\n{block.body}\nand this is printed\n{printed}"
            )
        if block.language == "sh" and any(map(QUEUE_SCRIPT.match, block.body.splitlines())):
            on_queue(known)
        printed = None
    return known
