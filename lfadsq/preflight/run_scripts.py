"""The calls of the trainer in a script that runs it, whoever wrote the script.

Scripts of lfadsq put the flags that all calls share into a shell function; those that MATLAB wrote
repeat them. Nothing is executed: the words of the script are read as bash would split them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

__all__ = ["ScriptCall", "activates_environment", "read_calls", "training_call"]

_CONTINUED = re.compile(r"\\\r?\n")
# What is quoted is passed over; quotes of prose end with their line.
_SEPARATORS = re.compile(r"\\.|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|(\r?\n|&&|\|\||[;|])")
_FUNCTION = re.compile(r"^\s*(?:function\s+)?([A-Za-z_]\w*)\s*\(\s*\)\s*\{?\s*$")
# A word may be made of pieces: plain"quoted"'quoted'.
_WORD = r"(?:[^\s\"'\\]|\\.|\"(?:[^\"\\]|\\.)*\"|'[^']*')*"
_FLAG = re.compile(rf"(?<!\S)--([A-Za-z_]\w*)(?:=({_WORD}))?", re.DOTALL)
_QUOTING = re.compile(r"[\"'\\]")
_PROGRAM = re.compile(r"(?<![\w.-])(lfadsq\s+train|run_lfads\.py)(?![\w.-])")
_ACTIVATION = re.compile(
    r"^\s*(?:(?:source|\.)\s+\S*activate\b|(?:conda|mamba|micromamba)\s|module\s+(?:load|add)\b)",
    re.MULTILINE,
)
_ALL_ARGUMENTS = '"$@"'


@dataclass(frozen=True)
class ScriptCall:
    """One call of the trainer.

    Attributes
    ----------
    program : str
        ``lfadsq train`` or ``run_lfads.py``; empty if it is another program's.
    flags : dict of str to str
        Text of each flag, unquoted. Shell variables in it are left as they are.
    """

    program: str
    flags: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What it does: the trainer trains if it is not told otherwise."""
        return self.flags.get("kind", "train")


def read_calls(text: str) -> tuple[ScriptCall, ...]:
    r"""Read the calls of the trainer in a script.

    Parameters
    ----------
    text : str
        The script.

    Returns
    -------
    tuple of ScriptCall
        Calls of other programs count if they have flags such as ``--data_dir=``.

    Examples
    --------
    >>> read_calls("python $(which run_lfads.py) --kind=train \\\n  --gen_dim=64 && echo --done")
    (ScriptCall(program='run_lfads.py', flags={'kind': 'train', 'gen_dim': '64'}),)
    """
    shared: dict[str, ScriptCall] = {}
    calls: list[ScriptCall] = []
    function = ""
    for command in _commands(text):
        declared = _FUNCTION.match(command)
        if declared:
            function = declared[1]
            continue
        if command.strip() == "}":
            function = ""
            continue
        if "--" not in command:
            continue
        first = command.split(maxsplit=1)[0]
        called = _read(command, shared.get(first))
        if called is None:
            continue
        if function and _ALL_ARGUMENTS in command:
            shared[function] = called
        else:
            calls.append(called)
    return tuple(calls)


def training_call(calls: tuple[ScriptCall, ...]) -> ScriptCall | None:
    """Give the call that trains; None if there is none."""
    return next((call for call in calls if call.kind == "train"), None)


def activates_environment(text: str) -> bool:
    """Tell whether a script activates an environment: programs may be there that are not here.

    >>> [activates_environment(text) for text in ("source ~/tf1/bin/activate", "# conda activate")]
    [True, False]
    """
    return _ACTIVATION.search(text) is not None


def _commands(text: str) -> Iterator[str]:
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    joined = _CONTINUED.sub(" ", "\n".join(lines))
    ends = [found.span() for found in _SEPARATORS.finditer(joined) if found[1]]
    first = 0
    for end, after in [*ends, (len(joined), len(joined))]:
        if joined[first:end].strip():
            yield joined[first:end]
        first = after


def _read(command: str, shared: ScriptCall | None) -> ScriptCall | None:
    found = _PROGRAM.search(command)
    flags = {name: _unquoted(word) for name, word in _FLAG.findall(command)}
    if shared is not None:
        return ScriptCall(shared.program, {**shared.flags, **flags})
    if found and flags:
        return ScriptCall(" ".join(found[1].split()), flags)
    return ScriptCall("", flags) if "data_dir" in flags or "lfads_save_dir" in flags else None


@lru_cache(maxsize=4096)  # runs of a sweep have most of their words in common
def _unquoted(word: str) -> str:
    if not _QUOTING.search(word):
        return word
    try:
        return "".join(shlex.split(word))
    except ValueError:
        return word
