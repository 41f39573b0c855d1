"""What the tasks of a collection are called, found quickly: no script is run for it."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from lfadsq.queue.control_paths import FOLDER_NAME

__all__ = ["known_names"]

_SCRIPTS = "run_lfadsqueue*.py"


def known_names(collection: Path) -> list[str]:
    """List the names of tasks, for suggestions: some may be missing, some of the past.

    They are read from queue scripts, whoever wrote them, as text, from what queues left in the
    collection, and from what was added to them. If that gives none, run directories are listed.

    Parameters
    ----------
    collection : Path

    Returns
    -------
    list of str
        Each once. What cannot be read is left out.
    """
    names: dict[str, None] = {}
    for script in sorted(collection.glob(_SCRIPTS)):
        names.update(dict.fromkeys(_in_script(script)))
    control = collection / FOLDER_NAME
    for task_list in sorted(control.glob("queues/*.tasks")):
        names.update(dict.fromkeys(_json(task_list)))
    added = _json(control / "wishes.json").get("added", [])
    for spec in added if isinstance(added, list) else []:
        if isinstance(spec, dict) and isinstance(spec.get("name"), str):
            names[spec["name"]] = None
    if not names:
        scripts = sorted(collection.glob("param_*/*/lfads_train.sh"))
        return [str(script.parent.relative_to(collection)) for script in scripts]
    return list(names)


def _json(path: Path) -> dict[str, object]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _in_script(script: Path) -> Iterator[str]:
    """Find ``task("name", ...)`` and ``{"name": "name", ...}``."""
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "task" and node.args:
                yield from _text(node.args[0])
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "name":
                    yield from _text(value)


def _text(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
