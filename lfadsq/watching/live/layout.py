"""How the lines of a terminal are shared out."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """How many lines each part may have at most; the list of runs has the rest.

    Attributes
    ----------
    head, devices, best, detail : int
    """

    head: int
    devices: int
    best: int
    detail: int

    @classmethod
    def of(cls, height: int) -> Layout:
        """Share the lines of a terminal out.

        >>> Layout.of(24)
        Layout(head=7, devices=5, best=2, detail=2)
        >>> Layout.of(8)
        Layout(head=2, devices=0, best=0, detail=1)
        """
        if height < 14:
            return cls(max(1, height // 4), 0, 0, 1)
        if height < 24:
            return cls(4, 3, 1, 2)
        if height < 36:
            return cls(7, 5 + (height - 24) // 4, 2, 2)
        return cls(9, min(height // 3, 20), 4, 4)
