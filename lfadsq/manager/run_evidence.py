"""What scripts and input files of a run tell about its hyperparameters, where no summary does."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from lfadsq.paths import RunPaths

__all__ = ["InputFacts", "TrainerRecord"]

_FLAG = re.compile(r"--([A-Za-z]\w*)=(.*)", re.DOTALL)
_QUOTES = re.compile(r"['\"]|\\.")
_TRAIN = "train"
_SAMPLING_PREFIX = "posterior"
_INFO_VARIABLES = ("seq_timeVector", "seq_binSizeMs", "paramInputDataHash")
_SMALLEST_NUM_VALID = 2


@dataclass(frozen=True)
class TrainerRecord:
    """How the trainer was or will be called for a run.

    Attributes
    ----------
    flags : dict of str to tuple of str
        By flag: its texts in what the trainer recorded and in ``lfads_train.sh``, where they
        differ.
    posterior_mean_kind, num_samples_posterior : str
        How posterior means are sampled; empty if nothing tells.
    """

    flags: Mapping[str, tuple[str, ...]]
    posterior_mean_kind: str = ""
    num_samples_posterior: str = ""

    @classmethod
    def of_run(cls, paths: RunPaths) -> TrainerRecord:
        """Read ``lfads_train.sh`` and ``lfadsOutput/hyperparameters-*.txt``; any may be missing."""
        texts: dict[str, dict[str, None]] = {}
        for flag, text in _recorded_flags(paths.lfads_output).items():
            texts.setdefault(flag, {})[text] = None
        in_script = _flags_in_script(paths.train_script)
        for flag, given in in_script.items():
            texts.setdefault(flag, {})[given[0]] = None
        sampling = [one for one in in_script.get("kind", ()) if one.startswith(_SAMPLING_PREFIX)]
        batch_sizes = in_script.get("batch_size", [])
        return cls(
            {flag: tuple(given) for flag, given in texts.items()},
            sampling[0] if sampling else "",
            batch_sizes[1] if sampling and len(batch_sizes) > 1 else "",
        )


def _recorded_flags(folder: Path) -> dict[str, str]:
    flags: dict[str, str] = {}
    for path in sorted(folder.glob("hyperparameters-*.txt")):
        with suppress(OSError, ValueError, AttributeError):
            recorded = json.loads(path.read_text(encoding="utf-8"))
            # The original writes the same file when it samples, with the number of samples as the
            # size of a batch.
            if recorded.get("kind", _TRAIN) != _TRAIN:
                recorded.pop("batch_size", None)
            simple = {k: v for k, v in recorded.items() if isinstance(v, str | int | float)}
            flags = {flag: str(value) for flag, value in simple.items()} | flags
    return flags


def _flags_in_script(script: Path) -> dict[str, list[str]]:
    """List the values of each flag in the order of the script, which trains first."""
    flags: dict[str, list[str]] = {}
    try:
        lines = script.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return {}
    for line in lines:
        if line.lstrip().startswith("#"):
            continue
        words = line.removesuffix("\\").split()
        if _QUOTES.search(line):
            with suppress(ValueError):
                words = shlex.split(line.removesuffix("\\"))
        for word in words:
            if found := _FLAG.fullmatch(word):
                flags.setdefault(found[1], []).append(found[2])
    return flags


@dataclass(frozen=True)
class InputFacts:
    """What the trainer's input of a dataset tells about how it was made.

    Attributes
    ----------
    spike_bins_ms : tuple of float [ms]
        How wide its bins may be; empty if nothing tells.
    train_to_test_ratio : int or None
        Training trials for each validation trial.
    is_aligned : bool
        Whether it holds an alignment matrix.
    data_hash : str
        Data hash of the parameters it was made with; empty if nothing tells.
    """

    spike_bins_ms: tuple[float, ...] = ()
    train_to_test_ratio: int | None = None
    is_aligned: bool = False
    data_hash: str = ""

    @classmethod
    def of_files(cls, input_h5: Path, input_info: Path) -> InputFacts:
        """Read ``lfads_<dataset>.h5`` and ``inputInfo_<dataset>.mat``; either may be missing."""
        num_bins, ratio, factor, is_aligned = None, None, None, False
        with suppress(OSError, KeyError, ValueError), h5py.File(input_h5) as stored:
            is_aligned = "alignment_matrix_cxf" in stored
            num_bins = stored["train_data"].shape[1]
            if "conversion_factor" in stored:
                factor = round(1 / float(np.ravel(stored["conversion_factor"][()])[0]))
            valid = np.sort(np.ravel(stored["valid_inds"][()]))
            if len(valid) >= _SMALLEST_NUM_VALID:
                ratio = int(valid[1] - valid[0]) - 1
        info = _read_info(input_info)
        raw_bin_ms, num_raw_bins = info.get("seq_binSizeMs"), info.get("seq_timeVector")
        factors: list[int] = []
        if factor is not None:
            factors = [factor]
        elif num_bins and num_raw_bins:
            factors = [k for k in range(1, num_raw_bins + 1) if num_raw_bins // k == num_bins]
        widths = tuple(raw_bin_ms * k for k in factors) if raw_bin_ms else ()
        return cls(widths, ratio, is_aligned, info.get("paramInputDataHash", ""))


def _read_info(path: Path) -> dict[str, Any]:
    """Read the width of raw bins, their number, and the data hash."""
    found: dict[str, Any] = {}
    with suppress(Exception):  # damaged files make the readers raise whatever they stumble over
        if h5py.is_hdf5(path):
            with h5py.File(path) as stored:
                found = {key: stored[key][()] for key in _INFO_VARIABLES if key in stored}
                if "paramInputDataHash" in found:
                    codes = np.ravel(found["paramInputDataHash"])
                    found["paramInputDataHash"] = "".join(map(chr, codes))
        else:
            found = scipy.io.loadmat(path, variable_names=_INFO_VARIABLES)
    info: dict[str, Any] = {}
    if np.size(found.get("seq_timeVector", ())):
        info["seq_timeVector"] = int(np.size(found["seq_timeVector"]))
    if np.size(found.get("seq_binSizeMs", ())):
        info["seq_binSizeMs"] = float(np.ravel(found["seq_binSizeMs"])[0])
    if "paramInputDataHash" in found:
        info["paramInputDataHash"] = "".join(map(str, np.ravel(found["paramInputDataHash"])))
    return info
