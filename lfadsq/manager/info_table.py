"""`DatasetInfoTable`: what is known about each dataset, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lfadsq.manager.datasets import Dataset

__all__ = ["DatasetInfoRow", "DatasetInfoTable"]

_HEADINGS = ("subject", "date", "saveTags", "nTrials", "nChannels")
_GAP = "    "


@dataclass(frozen=True)
class DatasetInfoRow:
    """What is known about one dataset; see `lfadsq.Dataset` for the fields."""

    name: str
    subject: str
    date: datetime | None
    save_tags: str
    num_trials: int
    num_channels: int

    def cells(self) -> tuple[str, ...]:
        """Give the text of each column."""
        date = self.date.strftime("%d-%b-%Y %H:%M:%S") if self.date else ""
        return (
            f"'{self.subject}'",
            f"[{date}]",
            f"'{self.save_tags}'",
            str(self.num_trials),
            str(self.num_channels),
        )


@dataclass(frozen=True)
class DatasetInfoTable:
    """What is known about each dataset of a collection.

    Attributes
    ----------
    rows : tuple of DatasetInfoRow
        A row for each dataset.
    """

    rows: tuple[DatasetInfoRow, ...]

    @classmethod
    def of(cls, datasets: Sequence[Dataset]) -> DatasetInfoTable:
        """Tabulate datasets whose information is loaded."""
        return cls(
            tuple(
                DatasetInfoRow(
                    dataset.name,
                    dataset.subject,
                    dataset.date,
                    dataset.save_tags,
                    dataset.num_trials,
                    dataset.num_channels,
                )
                for dataset in datasets
            )
        )

    def __str__(self) -> str:
        cells = [row.cells() for row in self.rows]
        widths = [max(map(len, column)) for column in zip(_HEADINGS, *cells, strict=True)]
        margin = max((len(row.name) for row in self.rows), default=0)
        lines = [
            (
                " " * margin,
                [_centred(text, width) for text, width in zip(_HEADINGS, widths, strict=True)],
            ),
            (" " * margin, ["_" * width for width in widths]),
            ("", []),
            *(
                (
                    f"{row.name:{margin}}",
                    [f"{text:{width}}" for text, width in zip(texts, widths, strict=True)],
                )
                for row, texts in zip(self.rows, cells, strict=True)
            ),
        ]
        return "\n".join(_GAP.join([name, *texts]).rstrip() for name, texts in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from lfadsq.manager.html import dataset_info_table_html

        return dataset_info_table_html(self)


def _centred(text: str, width: int) -> str:
    # `str.center` puts the odd space elsewhere than MATLAB does.
    left = (width - len(text)) // 2
    return " " * left + text + " " * (width - len(text) - left)
