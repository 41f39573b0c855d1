"""How the hyperparameter ``c_device``, which is the trainer's flag ``device``, names a device."""

from __future__ import annotations

import re

from lfadsq.errors import ConfigError

__all__ = ["parse_device_name"]

_DEVICE_NAME = re.compile(r"/?(?:device:)?(cpu|gpu)(?::(\d+))?", re.IGNORECASE)


def parse_device_name(name: str) -> tuple[str, int]:
    """Tell kind and index of a device.

    Parameters
    ----------
    name : str
        ``/gpu:0``, ``gpu:1``, ``/cpu:0``, ``/device:GPU:0``.

    Returns
    -------
    kind : {"cpu", "gpu"}
    index : int

    Raises
    ------
    ConfigError
        If the text names no device.

    Examples
    --------
    >>> parse_device_name("/device:GPU:1")
    ('gpu', 1)
    """
    match = _DEVICE_NAME.fullmatch(name.strip())
    if match is None:
        raise ConfigError(f"{name!r} names no device", "give for example /gpu:0 or /cpu:0")
    return match[1].lower(), int(match[2] or 0)
