"""Where the dashboard of a Dask scheduler is that was there already."""

from __future__ import annotations

import logging
import urllib.request
from typing import Any

from lfadsq.queue.sites import Dashboard
from lfadsq.queue.tunnels import tunnel_line

__all__ = ["PORT_OF_DASHBOARD", "dashboard_of"]

_logger = logging.getLogger(__name__)

PORT_OF_DASHBOARD = 8787
"""Where it is on a person's own computer, as Dask itself counts."""

_PATIENCE_S = 3.0

# Whatever proxy is set, it does not lead to a node of the cluster.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def dashboard_of(client: Any) -> Dashboard:
    """Ask a scheduler for its dashboard; one that does not tell has none, and no error comes of it.

    Parameters
    ----------
    client : distributed.Client

    Returns
    -------
    Dashboard
        Its address is the scheduler's own, as the queue reaches it, with the port that it tells.
        Empty if nothing answers there: schedulers without a dashboard tell of a port too, and the
        tunnel leads through the queue's machine.
    """
    from distributed.comm.addressing import get_address_host

    host_of: Any = get_address_host  # not annotated in distributed
    try:
        told = client.scheduler_info()
        port = told["services"].get("dashboard")
        if not isinstance(port, int):
            return Dashboard()
        host = host_of(told["address"])
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/status"
        with _opener.open(url, timeout=_PATIENCE_S):
            return Dashboard(url, tunnel_line(url, PORT_OF_DASHBOARD))
    except Exception as error:
        # Training matters more than a page that shows it.
        _logger.debug("%s", error)
        return Dashboard()
