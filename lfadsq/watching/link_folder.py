"""A private folder of links to runs, which is gone whatever ends us."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from lfadsq.files import storage_errors

__all__ = ["LinkFolder", "link_names"]

# It waits for the end of a pipe, which comes with our end, even by SIGKILL. Links are removed, and
# nothing behind them.
_REMOVER = 'trap "" INT TERM HUP QUIT; read -r _; exec rm -rf -- "$1"'
_REMOVE_S = 20.0


def link_names(folders: Sequence[Path]) -> list[str]:
    """Name runs by parameters and run, and tell those of one name apart.

    >>> link_names([Path("/a/param_X/r1"), Path("/a/param_X/r2"), Path("/b/param_X/r1")])
    ['param_X/r1', 'param_X/r2', 'param_X/r1 (2)']
    """
    names: list[str] = []
    for folder in folders:
        name = unique = "/".join(folder.parts[-2:]).lstrip("/")
        number = 1
        while unique in names:
            number += 1
            unique = f"{name} ({number})"
        names.append(unique)
    return names


class LinkFolder:
    """A folder that exists while a ``with`` block lasts.

    Parameters
    ----------
    links : iterable of (str, Path)
        What each is called, folders included, and where it leads; that need not exist yet.

    Raises
    ------
    StorageError
        On entering, if it cannot be made; nothing is left then.
    """

    def __init__(self, links: Iterable[tuple[str, Path]]) -> None:
        self._links = list(links)
        self._remover: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Path:
        with storage_errors(Path(tempfile.gettempdir()), "make a folder in"):
            folder = Path(tempfile.mkdtemp(prefix="lfadsq-links-"))
        self._remover = subprocess.Popen(
            ["/bin/sh", "-c", _REMOVER, "lfadsq", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        try:
            with storage_errors(folder, "make links in"):
                for name, target in self._links:
                    link = folder / name
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(target)
        except BaseException:
            self.__exit__()
            raise
        return folder

    def __exit__(self, *_: object) -> None:
        if self._remover is not None and self._remover.stdin is not None:
            self._remover.stdin.close()
            self._remover.wait(_REMOVE_S)
