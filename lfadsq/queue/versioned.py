"""Our own JSON files, which carry the version of their schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lfadsq.errors import QueueError

__all__ = ["parse_versioned"]


def parse_versioned(path: Path, text: str, newest: int) -> Any:
    """Parse a file of ours.

    Parameters
    ----------
    path : Path
        Where `text` lies, for the message.
    text : str
        JSON: an object with ``schema_version``.
    newest : int
        The newest version that is known here.

    Returns
    -------
    dict
        Its other keys are not checked.

    Raises
    ------
    QueueError
        If a newer lfadsq wrote it.
    ValueError, TypeError, KeyError
        If it is damaged.
    """
    data = json.loads(text)
    version = data["schema_version"]
    if isinstance(version, int) and version > newest:
        raise QueueError(
            f"{path} was written by a newer lfadsq (schema {version}, here {newest})",
            "upgrade lfadsq on this machine",
        )
    return data
