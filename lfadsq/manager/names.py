"""Names of datasets, runs and collections, which become names of files."""

from __future__ import annotations

from lfadsq.errors import ConfigError

__all__ = ["check_name"]

_LONGEST_NAME_BYTES = 200  # of 255: files add `inputInfo_`, an ending, and a temporary suffix


def check_name(name: str, kind: str) -> str:
    """Refuse a name that cannot be part of a file name everywhere.

    Parameters
    ----------
    name : str
        The name. Spaces, quotes, dots and letters of any language are fine.
    kind : str
        What it names, for the message: "run", "dataset".

    Returns
    -------
    str
        The same name.

    Raises
    ------
    ConfigError
        If it is empty, too long, ``.`` or ``..``, begins with ``-``, or has a slash, a line break
        or another control character in it.

    Examples
    --------
    >>> check_name("monkey J's 3rd.day", "dataset")
    "monkey J's 3rd.day"
    """
    if not isinstance(name, str):
        raise ConfigError(f"the name of a {kind} cannot be {name!r}", "give text")
    if not name.strip():
        raise ConfigError(f"the name of a {kind} is empty", "give it one")
    problem = _problem_of(name)
    if problem:
        raise ConfigError(
            f"a {kind} cannot be called {name!r}: {problem}",
            "choose another name: it becomes part of file names",
        )
    return name


def _problem_of(name: str) -> str:
    if "/" in name:
        return "it has a slash in it"
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "it has a line break or another control character in it"
    if name in (".", ".."):
        return "that is a folder"
    if name.startswith("-"):
        return "it begins with '-', which commands take for an option"
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        return "it cannot be written as UTF-8"
    if len(encoded) > _LONGEST_NAME_BYTES:
        return f"it is longer than {_LONGEST_NAME_BYTES} bytes"
    return ""
