"""The line with which a page that one machine shows comes to a person's own computer."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
from urllib.parse import urlsplit

__all__ = ["host_name", "tunnel_line", "user_name"]


def tunnel_line(url: str, local_port: int, *, user: str = "", host: str = "") -> str:
    """Give the line for the shell of a person's own computer that leads to a page.

    Parameters
    ----------
    url : str
        Of the page, as a browser on `host` takes it, with its port.
    local_port : int
        Where the page is on that person's computer then.
    user, host : str, optional
        Whom, and to which machine, ``ssh`` is to call; by default whoever runs this, and where.

    Returns
    -------
    str
        Empty if the address has no port.

    Examples
    --------
    >>> tunnel_line("http://node7:41233/status", 8787, user="ada", host="login")
    'ssh -N -L 8787:node7:41233 ada@login'
    >>> tunnel_line("http://[::1]:41233", 6006, user="ada", host="ws")
    "ssh -N -L '6006:[::1]:41233' ada@ws"
    """
    place = urlsplit(url).netloc.rpartition("@")[2]
    there, _, port = place.rpartition(":")
    if not there or not port.isdecimal():
        return ""
    target = f"{user or user_name()}@{host or host_name()}"
    return shlex.join(["ssh", "-N", "-L", f"{local_port}:{there}:{port}", target])


def host_name() -> str:
    """Give what other machines call this one."""
    name = socket.getfqdn()
    return socket.gethostname() if name.startswith("localhost") else name


def user_name() -> str:
    """Give who runs this, by number if there is no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may give us a user without a name
        return str(os.getuid())
