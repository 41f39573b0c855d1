"""The scheduler of Dask: ours, in this process and behind TLS, or one that is there already."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["dask_client", "security_of"]

_START_TIMEOUT_S = 60
_CLOSE_TIMEOUT_S = 20

SETTINGS = {
    # Dask would watch the GPUs by itself; only we talk to the driver.
    "distributed.diagnostics.nvml": False,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "1h",
    # Dask looks 50 times a second whether its loop is late: for days, beside a training.
    "distributed.admin.tick.interval": "1 minute",
    "distributed.admin.tick.limit": "1h",
    # It keeps so many of the messages of each topic.
    "distributed.admin.low-level-log-length": 10,
}
"""Of Dask, for scheduler and workers alike."""


def security_of(pem: Path | str) -> Any:
    """Demand TLS of all ends, with a key that every one of them has.

    Parameters
    ----------
    pem : Path or str
        File with a key and a certificate that vouches for itself.
    """
    from distributed.security import Security

    make_security: Any = Security  # not annotated in distributed
    roles = ("client", "scheduler", "worker")
    files = {f"tls_{role}_{kind}": str(pem) for role in roles for kind in ("cert", "key")}
    return make_security(require_encryption=True, tls_ca_file=str(pem), **files)


@contextlib.contextmanager
def dask_client(address: str, certificate: Path | None, interface: str) -> Iterator[Any]:
    """Start a scheduler in this process, or go to one that is there; give a client of it.

    Parameters
    ----------
    address : str
        Of a scheduler that is there; empty to start one.
    certificate : Path or None
        For TLS; None only for a scheduler that is there without it.
    interface : str
        Where our scheduler listens; empty for that of the default route.
    """
    import dask
    from distributed import Client, Scheduler, SpecCluster
    from distributed.utils import get_ip

    from lfadsq.queue.transport import quiet_dask

    class PortlessScheduler(Scheduler):
        def start_http_server(self, *_args: object, **_kwargs: object) -> None:
            """Open no port: Dask's web server cannot be switched off otherwise."""

    # Not annotated in distributed.
    make_cluster: Any = SpecCluster
    make_client: Any = Client
    ask_for_ip: Any = get_ip
    security = None if certificate is None else security_of(certificate)
    settings = {
        **SETTINGS,
        "distributed.comm.timeouts.connect": f"{_START_TIMEOUT_S}s",
        # A machine that dies is noticed by its connection, within 30 s. A queue that was stopped
        # for a while must not take all of them for dead.
        "distributed.scheduler.worker-ttl": "15 minutes",
        "distributed.scheduler.work-stealing": False,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_dask())
        stack.enter_context(dask.config.set(settings))
        where: Any = address
        if not address:
            # Dask would listen on every interface, where only one is known to workers.
            at = {"interface": interface} if interface else {"host": ask_for_ip()}
            where = make_cluster(
                scheduler={
                    "cls": PortlessScheduler,
                    "options": {
                        "protocol": "tls://",
                        "security": security,
                        "dashboard": False,
                        **at,
                    },
                },
                workers={},
                security=security,
                silence_logs=logging.CRITICAL,
            )
            stack.callback(where.close, timeout=_CLOSE_TIMEOUT_S)
        yield stack.enter_context(
            make_client(where, timeout=_START_TIMEOUT_S, set_as_default=False, security=security)
        )
