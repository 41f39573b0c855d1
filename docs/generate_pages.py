"""Write what the pages say of hyperparameters and commands from the code that has them.

    python docs/generate_pages.py            writes hyperparameters.md and commands.md anew
    python docs/generate_pages.py --check    writes nothing; status 1 if one is stale

Only what stands between the two marks of a page is replaced. The rest is written by hand.
"""

from __future__ import annotations

import argparse
import html
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from lfadsq import RunParams
from lfadsq.cli.main import lfadsq
from lfadsq.files import written_aside
from lfadsq.manager.hyperparams import HyperParam, hyperparams_of

__all__ = ["commands_markdown", "hyperparameters_markdown", "stale_pages", "with_generated"]

DOCS = Path(__file__).parent
BEGIN = "<!-- what follows is written by docs/generate_pages.py -->"
END = "<!-- end of what docs/generate_pages.py writes -->"
_WIDTH = 88


def hyperparameters_markdown() -> str:
    """Give a table for each group of hyperparameters, in the order of displays."""
    parts = []
    for group, members in itertools.groupby(hyperparams_of(RunParams), key=lambda one: one.group):
        title = group[0].upper() + group[1:]
        rows = "\n".join(_hyperparameter_row(one) for one in members)
        parts.append(
            f"### {title}\n\n| name | class | default | hashes | |\n|---|---|---|---|---|\n{rows}"
        )
    return "\n\n".join(parts)


def _hyperparameter_row(one: HyperParam) -> str:
    hashes = [
        name
        for name, enters in (("param", one.in_param_hash), ("data", one.in_data_hash))
        if enters
    ]
    text = one.help[0].upper() + one.help[1:]
    if one.choices and not all(choice in text for choice in one.choices):
        text += f": {' or '.join(f'`{choice}`' for choice in one.choices)}"
    if one.passed_to_trainer != one.name.startswith("c_"):
        text += "; not given to the trainer"
    cells = (
        f"`{one.name}`",
        one.matlab_class,
        _default(one),
        ", ".join(hashes) or "none",
        _cell(text),
    )
    return f"| {' | '.join(cells)} |"


def _default(one: HyperParam) -> str:
    value = one.default
    if value in ("", ()):
        return "empty"
    if isinstance(value, bool):
        return f"`{value}`"
    return f"`{value!r}`" if isinstance(value, str) else f"`{value:.12g}`"


def _cell(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "\\|")


def commands_markdown() -> str:
    """Give the help of every verb, as the terminal shows it."""
    return "\n\n".join(
        f"{'#' * len(words)} {' '.join(words)}\n\n```text\n{text}\n```" for words, text in helps()
    )


def helps() -> Iterator[tuple[tuple[str, ...], str]]:
    """Give the words of each verb and its help, groups before their members."""
    top = click.Context(lfadsq, info_name="lfadsq")
    for name in lfadsq.list_commands(top):
        yield from _helps_of(lfadsq.get_command(top, name), name, top, ("lfadsq",))


def _helps_of(
    command: click.Command | None, name: str, parent: click.Context, before: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    assert command is not None
    context = click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
        **command.context_settings,
    )
    words = (*before, name)
    text = command.get_help(context)
    yield words, "\n".join(line.rstrip() for line in text.strip().splitlines())
    if isinstance(command, click.Group):
        for member in command.list_commands(context):
            yield from _helps_of(command.get_command(context, member), member, context, words)


PAGES: dict[str, Callable[[], str]] = {
    "hyperparameters.md": hyperparameters_markdown,
    "commands.md": commands_markdown,
}


def with_generated(page: str, generated: str) -> str:
    """Give a page with what was generated in its place.

    Raises
    ------
    ValueError
        If the page does not have both marks, once each.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page needs the lines {BEGIN!r} and {END!r}, once each")
    head, _, rest = page.partition(BEGIN)
    tail = rest.partition(END)[2]
    return f"{head}{BEGIN}\n\n{generated}\n\n{END}{tail}"


def stale_pages() -> dict[Path, str]:
    """Give the pages that are not as the code has it, and what they should be.

    Where lines are broken does not count: that is up to the version of click.
    """
    stale = {}
    for name, generate in PAGES.items():
        path = DOCS / name
        text = path.read_text(encoding="utf-8")
        wanted = with_generated(text, generate())
        if wanted.split() != text.split():
            stale[path] = wanted
    return stale


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if stale")
    only_check = parser.parse_args().check
    stale = stale_pages()
    for path, text in stale.items():
        print(f"{path}: {'stale' if only_check else 'written'}")
        if not only_check:
            with written_aside(path) as aside:
                aside.write_text(text, encoding="utf-8")
    return 1 if stale and only_check else 0


if __name__ == "__main__":
    sys.exit(main())
