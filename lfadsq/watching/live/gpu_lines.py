"""Devices in lines, few or all."""

from __future__ import annotations

from collections.abc import Sequence

from lfadsq.texts import count_text
from lfadsq.watching.live.glyphs import BLOCKS, Glyphs, bar
from lfadsq.watching.live.gpus import LiveDevice, Occupant
from lfadsq.watching.live.lines import Line, Span, clipped, cut_middle, fitted, shown

__all__ = ["all_device_lines", "device_lines"]

_UNKNOWN = "-"
_MB_PER_GB = 1024


def device_lines(
    devices: Sequence[LiveDevice],
    this_host: str,
    num_lines: int,
    width: int,
    glyphs: Glyphs = BLOCKS,
) -> list[Line]:
    """Write devices, one a line.

    Parameters
    ----------
    devices : sequence of LiveDevice
    this_host : str
        Not named where all devices are here.
    num_lines : int
        At most so many, the heading among them; the last tells of those that have no room.
    width : int
        Of the terminal [columns].
    glyphs : Glyphs
    """
    if not devices or num_lines < 2:
        return []
    room = num_lines - 1
    chosen = devices if len(devices) <= room else devices[: room - 1]
    with_host = any(device.host != this_host for device in devices)
    host_width = max((len(one.host.partition(".")[0]) for one in chosen), default=0)
    host_width = min(host_width, 14, width // 6) if with_host else 0
    lines = [_heading(host_width, width)]
    lines += [clipped(_spans(device, host_width, glyphs), width) for device in chosen]
    left_out = devices[len(chosen) :]
    if left_out:
        lines.append(clipped([Span(_summary(left_out), "faint")], width))
    return lines


def _summary(devices: Sequence[LiveDevice]) -> str:
    known = [one.utilisation_percent for one in devices if one.utilisation_percent is not None]
    busy = f", {sum(known) / len(known):.0f} % busy on average" if known else ""
    return f"and {count_text(len(devices), 'more device')}{busy} (g shows all)"


def _heading(host_width: int, width: int) -> Line:
    host = fitted("host", host_width) + " " if host_width else ""
    text = f"{host}{'device':<7} {'use':>5} {'':6} {'GB':>9} {'W':>8} {'C':>3}  on it"
    return clipped([Span(text, "strong")], width)


def _spans(device: LiveDevice, host_width: int, glyphs: Glyphs) -> list[Span]:
    spans = []
    if host_width:
        spans.append(Span(fitted(shown(device.host.partition(".")[0]), host_width) + " "))
    spans.append(Span(fitted(shown(device.label), 7) + " "))
    share = device.utilisation_percent
    use = _UNKNOWN if share is None else f"{share:.0f} %"
    if not device.is_gpu:
        at_work = sum(one.is_ours for one in device.occupants)
        use, share = f"{at_work}/{device.max_tasks}", 100 * at_work / max(1, device.max_tasks)
    fraction = None if share is None else share / 100
    memory = _of(device.used_mb, device.total_mb, _MB_PER_GB)
    spans += [
        Span(f"{use:>5} "),
        Span(bar(fraction, 6, glyphs), "good"),
        Span(f" {memory:>9} {_of(device.power_w, device.power_limit_w):>8}"),
        Span(f" {_whole(device.temperature_c):>3}  "),
        *_occupants(device.occupants),
    ]
    if device.note:
        spans.append(Span(f"{'; ' if device.occupants else ''}{shown(device.note)}", "warn"))
    return spans


def _occupants(occupants: Sequence[Occupant]) -> list[Span]:
    spans: list[Span] = []
    for one in occupants:
        separator = [Span(", ")] if spans else []
        text = cut_middle(shown(one.text), 30)
        spans += [*separator, Span(text, "good" if one.is_ours else "")]
    return spans


def all_device_lines(
    devices: Sequence[LiveDevice], width: int, glyphs: Glyphs = BLOCKS
) -> list[Line]:
    """Write everything about all devices, by machine, each who is on it on a line of its own."""
    lines: list[Line] = []
    hosts = list(dict.fromkeys(device.host for device in devices))
    for host in hosts:
        if lines:
            lines.append(())
        lines.append(clipped([Span(shown(host), "strong")], width))
        lines.append(_heading(0, width))
        for device in (one for one in devices if one.host == host):
            bare = _spans(_alone(device), 0, glyphs)
            lines.append(clipped([*bare, Span(shown(device.model))], width))
            if device.is_gpu and device.device_id:
                lines.append(clipped([Span(f"    {shown(device.device_id)}", "faint")], width))
            if device.note:
                lines.append(clipped([Span(f"    {shown(device.note)}", "warn")], width))
            lines += [
                clipped([Span(f"    {shown(one.text)}", "good" if one.is_ours else "")], width)
                for one in device.occupants
            ]
    return lines or [(Span("no device is known: no GPU is here, and no queue runs"),)]


def _alone(device: LiveDevice) -> LiveDevice:
    from dataclasses import replace

    # The processors' use is counted from who is on them.
    return replace(device, note="") if not device.is_gpu else replace(device, note="", occupants=())


def _of(part: float | None, whole: float | None, unit: float = 1.0) -> str:
    if part is None and whole is None:
        return _UNKNOWN
    digits = 1 if unit > 1 and (whole or 0.0) < 100 * unit else 0
    return "/".join(
        _UNKNOWN if value is None else f"{value / unit:.{digits}f}" for value in (part, whole)
    )


def _whole(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.0f}"
