"""What GPUs did over time, in as many steps as a screen can show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfadsq.watching.gpu_history import DeviceHistory, GpuHistory

__all__ = ["DeviceSeries", "GpuSeries", "gpu_series_of"]

_Array = NDArray[np.float64]

_LEAST_STEP_S = 1.0


@dataclass(frozen=True, eq=False)
class DeviceSeries:
    """What one device did.

    Attributes
    ----------
    device_id, name, host : str
    memory_mb : float
        NaN if unknown.
    utilisation_percent, used_mb, power_w : numpy.ndarray, shape (step,), float64 [%, MB, W]
        Means over the steps; NaN where nobody looked, or the device did not tell.
    mean_utilisation_percent, energy_kwh, watched_s : float
        Of all the time that was looked at [%, kWh, s].
    """

    device_id: str
    name: str
    host: str
    memory_mb: float
    utilisation_percent: _Array
    used_mb: _Array
    power_w: _Array
    mean_utilisation_percent: float
    energy_kwh: float
    watched_s: float


@dataclass(frozen=True, eq=False)
class GpuSeries:
    """What all devices did.

    Attributes
    ----------
    times_s : numpy.ndarray, shape (step,), float64 [s since 1970]
        Middle of each step. Time in which nobody looked at any device has one step, in which all
        is NaN, so that no line is drawn across it.
    step_s : float
        How long a step is [s].
    devices : tuple of DeviceSeries
    """

    times_s: _Array
    step_s: float
    devices: tuple[DeviceSeries, ...]


def gpu_series_of(history: GpuHistory, most_steps: int) -> GpuSeries | None:
    """Average a history over steps of equal length.

    Parameters
    ----------
    history : GpuHistory
    most_steps : int
        About as many steps as there may be in which somebody looked.

    Returns
    -------
    GpuSeries or None
        None if nobody looked at any GPU.
    """
    seen = [device for device in history.devices.values() if len(device.times_s)]
    if not seen:
        return None
    watched_s = max(device.watched_s for device in seen)
    covers_s = min(float(np.median(device.covers_s)) for device in seen)
    step_s = float(max(math.ceil(watched_s / most_steps), covers_s, _LEAST_STEP_S))
    numbers = [np.floor(device.times_s / step_s).astype(np.int64) for device in seen]
    steps = np.unique(np.concatenate(numbers))
    gaps = steps[:-1][np.diff(steps) > 1] + 1
    steps = np.sort(np.concatenate([steps, gaps]))
    return GpuSeries(
        np.asarray((steps + 0.5) * step_s, dtype=np.float64),
        step_s,
        tuple(
            _series(device, np.searchsorted(steps, number), len(steps))
            for device, number in zip(seen, numbers, strict=True)
        ),
    )


def _series(device: DeviceHistory, places: NDArray[np.int64], num_steps: int) -> DeviceSeries:
    def means(values: _Array) -> _Array:
        told = ~np.isnan(values)
        weights = np.where(told, np.maximum(device.covers_s, 1e-3), 0.0)
        sums = np.bincount(places, np.where(told, values, 0.0) * weights, num_steps)
        totals = np.bincount(places, weights, num_steps)
        found: _Array = np.full(num_steps, np.nan)
        np.divide(sums, totals, out=found, where=totals > 0)
        return found

    return DeviceSeries(
        device.device_id,
        device.name,
        device.host,
        device.memory_mb,
        means(device.utilisation_percent),
        means(device.used_mb),
        means(device.power_w),
        device.mean_utilisation_percent,
        device.energy_kwh,
        device.watched_s,
    )
