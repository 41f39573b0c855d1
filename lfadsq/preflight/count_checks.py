"""Findings about the data themselves: spikes that cannot be, channels that tell nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lfadsq.preflight.findings import Finding, Severity
from lfadsq.preflight.scans import ChannelScan
from lfadsq.preflight.shared_files import SharedFile

__all__ = ["check_data", "check_ext_inputs"]

_MOST_LISTED = 8
_CORRECT = "correct it in generate_counts_for_dataset, then prepare again"
# A neuron that fires 200 spikes/s like a Poisson process has more in one of 100 bins of 2 ms.
_MOST_HIGH_BINS = 1e-2
_FAR_TOO_HIGH = 5.0
# Channels with few spikes may be alike by chance.
_LEAST_SPIKES_TO_COMPARE = 20
_LARGEST_CHANCE = 1e-3


def check_data(
    file: SharedFile, scan: ChannelScan, *, is_poisson: bool, bin_ms: float
) -> Iterator[Finding]:
    """Look at what a scan of ``train_data`` and ``valid_data`` has found.

    Parameters
    ----------
    file : SharedFile
    scan : ChannelScan
    is_poisson : bool
        Whether some run takes them for spike counts.
    bin_ms : float
        Width of a bin [ms]; 0 if it is not known.
    """
    if scan.damage:
        yield _damaged(file, scan.damage)
        return
    if not scan.num_bins:
        return
    yield from _check_values(file, scan, is_poisson=is_poisson)
    is_silent = scan.largest == scan.smallest
    if is_silent.any():
        what = "no spikes" if is_poisson and not scan.largest[is_silent].any() else "one value only"
        yield file.finding(
            Severity.WARNING,
            "silent_channels",
            f"channels hold {what} in all trials: they tell nothing",
            "leave them out in generate_counts_for_dataset, or see how the file was written",
            _channels(is_silent),
        )
    twins = _twins(scan, is_silent, is_poisson=is_poisson)
    if twins:
        listed = "; ".join(
            "=".join(str(one + 1) for one in group) for group in twins[:_MOST_LISTED]
        )
        more = f"; and {len(twins) - _MOST_LISTED} more" if len(twins) > _MOST_LISTED else ""
        yield file.finding(
            Severity.WARNING,
            "duplicate_channels",
            "channels are the same in all bins: factors would count them twice",
            "leave one of each out in generate_counts_for_dataset",
            f"channels {listed}{more}",
        )
    if is_poisson:
        yield from _check_rates(file, scan, bin_ms)
        yield from _check_empty_trials(file, scan)


def check_ext_inputs(file: SharedFile, scan: ChannelScan) -> Iterator[Finding]:
    """Look at what a scan of the external inputs has found."""
    if scan.damage:
        yield _damaged(file, scan.damage)
        return
    for split, found in scan.splits.items():
        if found.num_not_finite:
            yield file.finding(
                Severity.ERROR,
                "ext_input_not_finite",
                "external inputs are NaN or infinite in places",
                _CORRECT,
                f"{split}_ext_input: {found.num_not_finite} values, {_first(found.first_wrong)}",
            )
    is_constant = scan.largest == scan.smallest
    if scan.num_bins and is_constant.any():
        yield file.finding(
            Severity.WARNING,
            "ext_input_constant",
            "external inputs have one value only in all trials: they tell nothing",
            _CORRECT,
            _channels(is_constant, "input"),
        )


def _damaged(file: SharedFile, damage: str) -> Finding:
    return file.finding(
        Severity.ERROR,
        "input_damaged",
        "the trainer's input cannot be read, is damaged or truncated",
        "write it again with prepare_for_lfads(regenerate=True)",
        damage,
    )


def _check_values(file: SharedFile, scan: ChannelScan, *, is_poisson: bool) -> Iterator[Finding]:
    for split, found in scan.splits.items():
        wrong = {"not finite": found.num_not_finite}
        if is_poisson:
            wrong |= {
                "negative": found.num_negative,
                "no whole numbers": found.num_fractions,
                "above 2^53": found.num_too_large,
            }
        told = [f"{count} are {what}" for what, count in wrong.items() if count]
        if told:
            yield file.finding(
                Severity.ERROR,
                "impossible_counts" if is_poisson else "data_not_finite",
                "bins hold what is no spike count" if is_poisson else "bins hold NaN or infinity",
                f"leave out trials or channels without data, or {_CORRECT}"
                + ("; data that are no counts need c_output_dist='gaussian'" if is_poisson else ""),
                f"{split}_data: {', '.join(told)}; {_first(found.first_wrong)}",
            )


def _check_rates(file: SharedFile, scan: ChannelScan, bin_ms: float) -> Iterator[Finding]:
    if bin_ms <= 0:
        return
    is_high = (scan.num_high > _MOST_HIGH_BINS * scan.num_bins) | (
        scan.largest > _FAR_TOO_HIGH * max(bin_ms, 1.0)
    )
    if is_high.any():
        worst = int(np.argmax(np.where(is_high, scan.largest, -1)))
        yield file.finding(
            Severity.WARNING,
            "high_counts",
            "channels have more than one spike a ms, which no single neuron fires",
            "see that counts are per bin and bins as wide as you think; multi-unit channels with"
            " such rates may be meant",
            f"{_channels(is_high)}; up to {scan.largest[worst]:g} spikes in {bin_ms:g} ms, and "
            f"more than {bin_ms:g} in {scan.num_high[worst] / scan.num_bins:.2g} of the bins of "
            f"channel {worst + 1}",
        )


def _check_empty_trials(file: SharedFile, scan: ChannelScan) -> Iterator[Finding]:
    num_empty = sum(found.num_empty_trials for found in scan.splits.values())
    num_others = scan.num_trials - num_empty
    if not num_empty or not num_others:
        return
    spikes_per_trial = float(scan.total.sum()) / num_others
    if scan.num_trials * math.exp(-spikes_per_trial) < _LARGEST_CHANCE:
        yield file.finding(
            Severity.WARNING,
            "empty_trials",
            "trials have no spikes in any channel: were they filled with zeros?",
            "leave them out in generate_counts_for_dataset",
            f"{num_empty} of {scan.num_trials} trials; the others have {spikes_per_trial:.0f} "
            "spikes on average",
        )


def _twins(
    scan: ChannelScan, is_silent: npt.NDArray[np.bool_], *, is_poisson: bool
) -> list[list[int]]:
    by_content: dict[tuple[int, float], list[int]] = {}
    for channel in np.flatnonzero(~is_silent):
        if not is_poisson or scan.total[channel] >= _LEAST_SPIKES_TO_COMPARE:
            key = (int(scan.fingerprint[channel]), float(scan.total[channel]))
            by_content.setdefault(key, []).append(int(channel))
    return [group for group in by_content.values() if len(group) > 1]


def _channels(is_meant: npt.NDArray[np.bool_], noun: str = "channel") -> str:
    numbers = (np.flatnonzero(is_meant) + 1).tolist()
    shown = ", ".join(map(str, numbers[:_MOST_LISTED]))
    more = f", and {len(numbers) - _MOST_LISTED} more" if len(numbers) > _MOST_LISTED else ""
    return f"{noun}{'' if len(numbers) == 1 else 's'} {shown}{more} of {len(is_meant)}"


def _first(index: tuple[int, ...] | None) -> str:
    if index is None:
        return "the first is not known"
    trial, time, channel = (one + 1 for one in index)
    return f"the first in its trial {trial}, bin {time}, channel {channel}"
