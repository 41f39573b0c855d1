"""What may be named as a cluster: a batch system, or the address of a Dask scheduler."""

from __future__ import annotations

import re
from difflib import get_close_matches

from lfadsq.errors import ConfigError

__all__ = ["SYSTEM_NAMES", "is_address", "read_system"]

SYSTEM_NAMES = ("slurm", "pbs", "sge", "lsf", "htcondor", "oar", "moab")
"""The batch systems, as users write them."""

_ADDRESS = re.compile(
    r"(?:(?:tcp|tls)://)?"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\])"
    r":(?P<port>[0-9]{1,5})"
)
_LAST_PORT = 65535


def is_address(system: str) -> bool:
    """Tell whether a cluster is named by the address of its Dask scheduler.

    >>> [is_address(name) for name in ("tls://10.0.0.1:8786", "node7:8786", "slurm", "node7:0")]
    [True, True, False, False]
    """
    found = _ADDRESS.fullmatch(system)
    return found is not None and 0 < int(found["port"]) <= _LAST_PORT


def read_system(text: str) -> str:
    """Read the name of a cluster.

    Parameters
    ----------
    text : str
        A batch system, in letters of any case, or the address of a Dask scheduler.

    Returns
    -------
    str
        The batch system in small letters, or the address as it was given.

    Raises
    ------
    ConfigError
        If it is neither; those that exist are listed, and the nearest is named.

    Examples
    --------
    >>> read_system("SLURM"), read_system("tcp://node7:8786")
    ('slurm', 'tcp://node7:8786')
    """
    text = str(text).strip()
    if is_address(text):
        return text
    name = text.lower()
    if name in SYSTEM_NAMES:
        return name
    nearest = get_close_matches(name, SYSTEM_NAMES, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise ConfigError(
        f"no cluster is called {text!r}",
        f"{hint}give {', '.join(SYSTEM_NAMES)}, or the address of a Dask scheduler such as"
        " tls://10.0.0.1:8786",
    )
