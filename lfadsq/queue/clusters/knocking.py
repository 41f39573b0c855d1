"""Whether anybody listens at an address: a queue that has died is known by refused connections."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["refused_for"]

_TIMEOUT_S = 5.0


async def refused_for(host: str, port: int, patience_s: float, every_s: float = 1.0) -> None:
    """Return once all connections have been refused for a while; else go on until cancelled.

    Only a machine that can be reached, and on which nobody listens, refuses. No answer, or none
    yet, is what slow networks give, and counts as little as a connection that is made.

    Parameters
    ----------
    host : str
    port : int
    patience_s : float
        For how long without a break [s].
    every_s : float, default 1
        How long to wait between two trials [s].
    """
    loop = asyncio.get_running_loop()
    since_s: float | None = None
    while since_s is None or loop.time() - since_s < patience_s:
        if not await _is_refused(host, port):
            since_s = None
        elif since_s is None:
            since_s = loop.time()
        await asyncio.sleep(every_s)


async def _is_refused(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _TIMEOUT_S)
    except ConnectionRefusedError:
        return True
    except (OSError, asyncio.TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return False
