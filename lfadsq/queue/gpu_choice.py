"""Which GPUs may be used: a pure choice by an inherited mask and the user's list."""

from __future__ import annotations

from collections.abc import Sequence

from lfadsq.errors import ConfigError, NoGpuError
from lfadsq.queue.nvml import Gpu

__all__ = ["MASK_VARIABLE", "GpuChoice"]

MASK_VARIABLE = "CUDA_VISIBLE_DEVICES"
"""By which CUDA, batch systems and people narrow what a process may use."""


class GpuChoice:
    """A mask and a list of wanted GPUs.

    Parameters
    ----------
    wanted : sequence of int or str, or None
        GPUs by index (MIG devices also as ``"0:1"``), UUID or a beginning of it, or name; None or
        empty for all that the mask lets through.
    mask : str or None
        Value of ``CUDA_VISIBLE_DEVICES``; None if it is not set.

    Raises
    ------
    ConfigError
        If `wanted` is no list of indices and names.
    """

    def __init__(self, wanted: Sequence[int | str] | None, mask: str | None) -> None:
        self.words = _words_of(wanted)
        self._mask = mask

    def of(self, present: Sequence[Gpu]) -> list[Gpu]:
        """Choose among all GPUs of the machine.

        Raises
        ------
        NoGpuError
            If a wanted GPU is not there, or hidden; those that are there are listed.
        """
        visible = self._visible(present)
        chosen: list[Gpu] = []
        for word in self.words or ():
            fitting = _fitting(visible, word)
            if not fitting:
                raise self._missing(word, visible, present)
            chosen += [gpu for gpu in fitting if gpu not in chosen]
        return chosen if self.words else visible

    def of_those_there(self, present: Sequence[Gpu]) -> list[Gpu]:
        """Choose in the same way, but do without what is wanted and not there."""
        visible = self._visible(present)
        if not self.words:
            return visible
        return [g for g in visible if any(_fitting([g], word) for word in self.words)]

    @property
    def mask(self) -> str:
        """The mask as people would write it."""
        return f"{MASK_VARIABLE}={self._mask!r}"

    def _visible(self, present: Sequence[Gpu]) -> list[Gpu]:
        """Narrow by CUDA's rule: in the order of the mask, nothing after a word that fits none.

        Integers are read in the order of the bus, which is NVML's; CUDA's own default order, the
        fastest first, is the same wherever all GPUs are alike. A beginning of a UUID that fits
        several GPUs fits none.
        """
        if self._mask is None:
            return list(present)
        visible: list[Gpu] = []
        for word in map(str.strip, self._mask.split(",")):
            fitting = [gpu for gpu in present if gpu.answers_to(word)]
            # A GPU that does not answer does not tell its UUID: it may be the one meant.
            is_uuid = word.startswith(("GPU-", "MIG-"))
            if not fitting and is_uuid and not all(gpu.uuid for gpu in present):
                continue
            meant = fitting if word.startswith("MIG-") else {gpu.index for gpu in fitting}
            if len(meant) != 1:
                break
            visible += [gpu for gpu in fitting if gpu not in visible]
        return visible

    def _missing(self, word: str, visible: Sequence[Gpu], present: Sequence[Gpu]) -> NoGpuError:
        there = ", ".join(f"{gpu.label} {gpu.uuid}" for gpu in visible if gpu.uuid) or "none"
        mute = [f"{gpu.label} does not answer: {gpu.problem}" for gpu in present if not gpu.uuid]
        why = f"is hidden by {self.mask}" if _fitting(present, word) else "is not there"
        return NoGpuError(
            "; ".join([f"gpu_list asks for GPU {word!r}, which {why}", *mute]),
            f"GPUs that may be used: {there}",
        )


def _fitting(gpus: Sequence[Gpu], word: str) -> list[Gpu]:
    return [gpu for gpu in gpus if gpu.answers_to(word) or gpu.model == word]


def _words_of(wanted: Sequence[int | str] | None) -> tuple[str, ...]:
    if wanted is None:
        return ()
    if isinstance(wanted, (str, bytes)) or not isinstance(wanted, Sequence):
        raise ConfigError(f"gpu_list is {wanted!r}", "give a list of indices, UUIDs or names")
    for word in wanted:
        is_index = isinstance(word, int) and not isinstance(word, bool) and word >= 0
        if not is_index and not (isinstance(word, str) and word.strip()):
            raise ConfigError(f"gpu_list holds {word!r}", "give indices, UUIDs or names")
    return tuple(str(word).strip() for word in wanted)
