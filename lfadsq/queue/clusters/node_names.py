"""Lists of nodes, as SLURM writes them."""

from __future__ import annotations

import itertools
import re

__all__ = ["expand_nodes"]

_NUMBERS = r"[0-9]{1,9}(?:-[0-9]{1,9})?"
_RANGE = rf"\[{_NUMBERS}(?:,{_NUMBERS})*\]"
_NODE = re.compile(rf"[A-Za-z0-9_](?:[A-Za-z0-9_.-]|{_RANGE})*")
_COMMA_BETWEEN_NODES = re.compile(r",(?![^\[]*\])")
_PART = re.compile(r"\[([^\]]*)\]")
_MOST = 5000


def expand_nodes(text: str) -> list[str]:
    """Read a list of nodes and write its ranges out, for no system but SLURM understands them.

    Parameters
    ----------
    text : str
        Names with commas between them.

    Returns
    -------
    list of str
        Each node once, in the order in which they are named.

    Raises
    ------
    ValueError
        If something else is among them; it is named.

    Examples
    --------
    >>> expand_nodes("login1, gpu[08-10,12]")
    ['login1', 'gpu08', 'gpu09', 'gpu10', 'gpu12']
    """
    nodes: dict[str, None] = {}
    for word in filter(None, map(str.strip, _COMMA_BETWEEN_NODES.split(text))):
        if not _NODE.fullmatch(word):
            raise ValueError(f"give names of nodes, such as node07 or node[01-04], not {word!r}")
        # Every second part was in brackets.
        parts = _PART.split(word)
        choices = [_numbers(part) if i % 2 else [part] for i, part in enumerate(parts)]
        for chosen in itertools.product(*choices):
            nodes["".join(chosen)] = None
            if len(nodes) > _MOST:
                raise ValueError(f"give at most {_MOST} nodes; choose a partition in their place")
    return list(nodes)


def _numbers(text: str) -> list[str]:
    numbers: list[str] = []
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        last = last or first
        count = int(last) - int(first) + 1
        if count < 1 or len(numbers) + count > _MOST:
            raise ValueError(
                f"give ranges that count up, of at most {_MOST} nodes, such as node[01-04], not"
                f" [{text}]"
            )
        numbers += [f"{int(first) + i:0{len(first)}d}" for i in range(count)]
    return list(dict.fromkeys(numbers))
