"""Where cluster options are said: in files, in Python, on the command line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from lfadsq.errors import ConfigError
from lfadsq.files import storage_errors
from lfadsq.queue.clusters.option_table import OPTIONS, ClusterOption, find_option, option_names
from lfadsq.queue.clusters.option_values import shown
from lfadsq.queue.clusters.system_names import SYSTEM_NAMES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "FILE_NAME",
    "Findings",
    "Setting",
    "read_command_line",
    "read_file",
    "read_python",
    "user_file",
]

FILE_NAME = "cluster.toml"
"""Options in the folder of a collection, and in the user's own folder of settings."""

_HEADER = re.compile(r"\s*\[\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*\]\s*(?:#.*)?")
_KEY = re.compile(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*=")


@dataclass(frozen=True)
class Setting:
    """The value of an option, and who said it.

    Attributes
    ----------
    value : object
        As `ClusterOptions` takes it.
    where : str
        For people.
    """

    value: Any
    where: str


@dataclass
class Findings:
    """What the sources say, later ones in place of earlier ones, and all that is wrong in them.

    Attributes
    ----------
    settings : dict of str to Setting
        By the name of the option.
    problems : list of str
    has_unknown_name : bool
        Whether an option was named that does not exist.
    """

    settings: dict[str, Setting] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    has_unknown_name: bool = False

    def take(self, option: ClusterOption, raw: Any, called: str, where: str) -> None:
        """Take a value; a wrong one becomes a problem."""
        try:
            value = option.kind.read(raw)
        except ValueError as error:
            self.problems.append(f"{where}: {called} is {shown(raw)}; {error}")
        else:
            self.settings[option.name] = Setting(value, where)

    def miss(self, name: str, where: str) -> None:
        """Note the name of an option that does not exist."""
        nearest = get_close_matches(name.lower().replace("-", "_"), option_names(), n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        self.problems.append(f"{where}: no option is called {shown(name)}{hint}")
        self.has_unknown_name = True

    def check(self) -> None:
        """Refuse what is wrong, all of it at once.

        Raises
        ------
        ConfigError
            If there are problems.
        """
        problems = list(dict.fromkeys(self.problems))
        known = f"options are {', '.join(option_names())}" if self.has_unknown_name else ""
        if len(problems) == 1:
            raise ConfigError(problems[0], known)
        if problems:
            title = f"{len(problems)} things in the options of the cluster are wrong:"
            raise ConfigError("\n  ".join(filter(None, [title, *problems, known])))


def user_file() -> Path | None:
    """Give the place of the user's own file, which need not exist; None for users without home."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or "")
    if not folder.is_absolute():
        try:
            folder = Path.home() / ".config"
        except RuntimeError:
            return None
    return folder / "lfadsq" / FILE_NAME


def read_command_line(given: Mapping[str, Any], findings: Findings) -> None:
    """Read what a command line gave, by the names of options; None is what it did not say.

    Anything else that is given by another name is passed over: it is no option of a cluster.
    """
    for option in OPTIONS:
        if (raw := given.get(option.name)) is not None:
            findings.take(option, raw, option.flags[0].partition("/")[0], "command line")


def read_python(given: Mapping[str, Any], findings: Findings) -> None:
    """Read what Python gave, by the names of options; None is what it did not say."""
    said = {name: raw for name, raw in given.items() if raw is not None}
    _read_scope(said, lambda _name: "Python arguments", findings)


def read_file(path: Path, system: str, findings: Findings) -> None:
    """Read a file, if it is there: what it says for all systems, then what it says for this one.

    All of it is checked, also what it says for other systems.

    Parameters
    ----------
    path : Path
    system : str
        Name of a batch system.
    findings : Findings
        Takes what is said, and what is wrong.

    Raises
    ------
    StorageError
        If it is there and cannot be read.
    """
    try:
        with storage_errors(path, "read"):
            raw = path.read_bytes()
    except OSError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return
        raise
    try:
        text = raw.decode("utf-8")
        content = tomllib.loads(text)
    except UnicodeDecodeError:
        findings.problems.append(f"{path}: it is no text in UTF-8; write it again")
        return
    except tomllib.TOMLDecodeError as error:
        findings.problems.append(
            f"{path}: it is no TOML: {error}; text needs quotes, as in account = 'lab',"
            " and each name may stand once"
        )
        return
    places = dict(_places(text))

    def where(table: str, key: str) -> str:
        line = places.get((table, key))
        return f"{path}, line {line}" if line else f"{path}, [{table}]" if table else str(path)

    for table, said in _scopes(content):
        takes = findings if table in ("", system) else Findings()
        _read_scope(said, partial(where, table), takes)
        if takes is not findings:
            findings.problems += takes.problems
            findings.has_unknown_name |= takes.has_unknown_name


def _scopes(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    tables = {
        key: value
        for key, value in content.items()
        if key in SYSTEM_NAMES and isinstance(value, dict)
    }
    yield "", {key: value for key, value in content.items() if key not in tables}
    yield from tables.items()


def _read_scope(said: Mapping[str, Any], where: Callable[[str], str], findings: Findings) -> None:
    """Read what is said in one place, in which each option may stand once."""
    seen: dict[str, str] = {}
    for name, raw in said.items():
        option = find_option(name)
        if option is None and isinstance(raw, dict):
            nearest = get_close_matches(name.lower(), SYSTEM_NAMES, n=1)
            hint = f"did you mean [{nearest[0]}]? " if nearest else ""
            findings.problems.append(
                f"{where(name)}: no table is called {shown(name)}; {hint}tables are"
                f" {', '.join(SYSTEM_NAMES)}"
            )
        elif option is None and name in SYSTEM_NAMES:
            findings.problems.append(
                f"{where(name)}: {name} is {shown(raw)}; what is for {name} alone stands below a"
                f" line [{name}]"
            )
        elif option is None:
            findings.miss(name, where(name))
        elif option.name in seen:
            findings.problems.append(
                f"{where(name)}: {name} says again what {seen[option.name]} says; give one of them"
            )
        else:
            seen[option.name] = name
            findings.take(option, raw, name, where(name))


def _places(text: str) -> Iterator[tuple[tuple[str, str], int]]:
    """Find in which line a key of a table stands, as far as can be seen line by line."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            table = header[1]
            yield ("", table), number
        elif key := _KEY.match(line):
            yield (table, key[1]), number
