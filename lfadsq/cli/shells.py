"""Completion in shells: click's own, with scripts in which names of any kind are safe.

Names of runs and folders may hold what a shell would run, and click's script for bash hands them
over as they are. Here they are quoted as the quotes ask for within which they are typed.
"""

from __future__ import annotations

import os
import re
from typing import Any, ClassVar, NoReturn

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    shell_complete,
)

__all__ = ["SHELLS", "VARIABLE", "complete", "completion_script", "quoted", "typed_words"]

VARIABLE = "_LFADSQ_COMPLETE"
"""By which the scripts of shells ask for suggestions."""

_PROGRAM = "lfadsq"
_UNSAFE = re.compile(r"[^\w@%+=:,./-]", re.ASCII)
_UNSAFE_IN_QUOTES = re.compile(r'[\\"$`!]')


def quoted(text: str, quote: str = "") -> str:
    r"""Quote a word for bash, for within quotes that are open already.

    >>> print(quoted("a b$(c)'d"), quoted("a b'd", "'"), quoted('a "$b"', '"'))
    a\ b\$\(c\)\'d a b'\''d a \"\$b\"
    """
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote == '"':
        # Within double quotes, bash takes `!` for the history, and a backslash stays before it.
        return _UNSAFE_IN_QUOTES.sub(
            lambda found: "\"'!'\"" if found[0] == "!" else f"\\{found[0]}", text
        )
    return _UNSAFE.sub(lambda found: found[0] if ord(found[0]) > 127 else f"\\{found[0]}", text)


def typed_words(line: str) -> tuple[list[str], str, str, str]:
    r"""Split what was typed up to the cursor, as bash would.

    Returns
    -------
    words : list of str
        All complete ones, without their quotes.
    incomplete : str
        The last one, which may be empty.
    raw : str
        The same as it was typed.
    quote : str
        The quote that is open in it; empty for none.

    Examples
    --------
    >>> typed_words("lfadsq logs 'a b' run\\ 0")
    (['lfadsq', 'logs', 'a b'], 'run 0', 'run\\ 0', '')
    >>> typed_words("lfadsq logs 'a b")
    (['lfadsq', 'logs'], 'a b', "'a b", "'")
    """
    words: list[str] = []
    word, begin, quote, is_in_word = "", 0, "", False
    at = 0
    while at < len(line):
        sign = line[at]
        following = line[at + 1 : at + 2]
        if not quote and sign.isspace():
            if is_in_word:
                words.append(word)
            word, is_in_word = "", False
        else:
            if not is_in_word:
                begin, is_in_word = at, True
            if sign == quote:
                quote = ""
            elif not quote and sign in "'\"":
                quote = sign
            elif sign == "\\" and (not quote or (quote == '"' and following in '\\"$`')):
                word += following
                at += 1
            else:
                word += sign
        at += 1
    return words, word, line[begin:] if is_in_word else "", quote


class _Bash(BashComplete):
    # The line itself, since bash takes words apart at ":" and "=" too.
    source_template: ClassVar[str] = """\
%(complete_func)s() {
    local reply
    local -a replies
    mapfile -t replies < <(COMP_TEXT="${COMP_LINE:0:COMP_POINT}" COMP_WORD="$2" \\
        %(complete_var)s=bash_complete "$1" 2> /dev/null)
    COMPREPLY=()
    for reply in "${replies[@]}"; do
        case "$reply" in
            dir,*) compopt -o dirnames ;;
            file,*) compopt -o default ;;
            plain,*) COMPREPLY+=("${reply#plain,}") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    @staticmethod
    def _check_version() -> None:
        """Start no shell to ask its version, as click would: that takes long."""

    def get_completion_args(self) -> tuple[list[str], str]:
        words, incomplete, self._raw, self._quote = typed_words(os.environ["COMP_TEXT"])
        while words and re.match(r"\w+=", words[0]):
            del words[0]  # variables before the command
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        if item.type != "plain":
            return f"{item.type},"
        value = quoted(str(item.value), self._quote)
        # What bash takes for a word of its own is only the end of what was typed.
        part = os.environ.get("COMP_WORD", "")
        before = self._raw.removesuffix(part).lstrip("'\"")
        is_part = self._raw.endswith(part) and value.startswith(before)
        return f"plain,{value.removeprefix(before) if is_part else value}"


class _Fish(FishComplete):
    # A comma may be part of a name.
    source_template: ClassVar[str] = FishComplete.source_template.replace(
        'string split "," ', 'string split --max 1 "," '
    )


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": _Fish}
"""Those that are known."""


def completion_script(command: click.Command, shell: str) -> str:
    """Give the script that makes a shell complete words of ``lfadsq``."""
    return SHELLS[shell](command, {}, _PROGRAM, VARIABLE).source()


def complete(command: click.Command) -> NoReturn:
    """Answer the script of a shell, and end.

    Raises
    ------
    SystemExit
        Always; with status 1, and without a word, if anything goes wrong: a person is typing.
    """
    from click.shell_completion import add_completion_class

    for name, kind in SHELLS.items():
        add_completion_class(kind, name)
    context: dict[str, Any] = {}
    try:
        status = shell_complete(command, context, _PROGRAM, VARIABLE, os.environ[VARIABLE])
    except Exception:
        status = 1
    raise SystemExit(status)
