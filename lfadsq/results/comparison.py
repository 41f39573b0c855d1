"""`SweepComparison`: the runs of a sweep in one table, and which are best by a stated rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfadsq.errors import RunNotFoundError
from lfadsq.files import written_aside
from lfadsq.results.comparison_rows import COLUMNS, Column, RunRow, check_column, check_rule

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["SweepComparison"]

_COLUMNS = {column.name: column for column in COLUMNS}


class SweepComparison:
    """The runs of a sweep, ranked.

    Runs on different data (or in different bins) are ranked apart, since neither their costs nor
    their scores compare.

    Parameters
    ----------
    rows : iterable of RunRow
    by : str, optional
        The rule, one of `lfadsq.results.comparison_rows.RULES`. By default the lowest validation
        cost; or, if the weights of KL or L2 vary among runs on the same data, so that their costs
        do not compare, ``valid_bound``.
    title : str
        What is compared.

    Raises
    ------
    ConfigError
        If there is no such rule.
    RunNotFoundError
        If there is no run.

    Attributes
    ----------
    rule : str
        By which they are ranked.
    rows : tuple of RunRow
        Kind of data by kind of data, in each the best first. Runs that have no such score come
        last, by name.
    """

    def __init__(self, rows: Iterable[RunRow], by: str | None = None, title: str = "") -> None:
        given = list(rows)
        check_rule(by)
        if not given:
            raise RunNotFoundError("there is no run to compare", "name other runs")
        self.title = title
        self._weights_vary = _weights_vary(given)
        self.rule = by or ("valid_bound" if self._weights_vary else "valid_cost")
        self._column = _COLUMNS[self.rule]
        self.rows: tuple[RunRow, ...] = tuple(sorted(given, key=self._key))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def varying(self) -> tuple[str, ...]:
        """Names of the hyperparameters that vary."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.settings))

    @cached_property
    def ranks(self) -> dict[str, int]:
        """Rank of each run that has one, by its name: from 1, and the same for runs that tie.

        By ``valid_cost`` runs are ranked apart, too, where the weights of the cost differ.
        """
        ranks: dict[str, int] = {}
        groups: dict[Any, list[RunRow]] = {}
        for row in self.rows:
            if not math.isnan(self._column.of(row)):
                groups.setdefault(self._group(row), []).append(row)
        for group in groups.values():
            values = [self._column.of(row) for row in group]
            for row, value in zip(group, values, strict=True):
                ranks[row.name] = values.index(value) + 1
        return ranks

    @property
    def best(self) -> tuple[RunRow, ...]:
        """The runs of rank 1: of each kind of data, and more than one where runs tie.

        They are best by the `rule` alone: look at their `RunRow.signs`, too.
        """
        return tuple(row for row in self.rows if self.ranks.get(row.name) == 1)

    @property
    def suspects(self) -> tuple[RunRow, ...]:
        """The runs that look broken, or that have another sign."""
        return tuple(row for row in self.rows if row.signs)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The numbers of which at least one run has one."""
        return tuple(
            column for column in COLUMNS if any(not math.isnan(column.of(row)) for row in self.rows)
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before believing the ranks."""
        notes = []
        if len({row.data for row in self.rows}) > 1:
            notes.append("runs on different data are ranked apart: nothing of them compares")
        if self._weights_vary and self.rule == "valid_bound":
            notes.append(
                "weights of KL or L2 vary, so that costs do not compare: ranked by valid_bound, "
                "reconstruction + KL without weights"
            )
        elif self._weights_vary and self.rule == "valid_cost":
            notes.append("costs with other weights of KL or L2 do not compare: ranked apart")
        missing = [row for row in self.rows if row.name not in self.ranks]
        if missing:
            notes.append(
                f"without {self.rule}, and so without a rank: {len(missing)} of {len(self)}"
            )
        return (*notes, *dict.fromkeys(note for row in self.rows for note in row.notes))

    def sorted_by(self, name: str, *, descending: bool = False) -> list[RunRow]:
        """Sort the runs by a number or a hyperparameter, whatever their ranks.

        Parameters
        ----------
        name : str
            Of a column or hyperparameter, or ``name`` or ``state``.
        descending : bool, default False
            Highest first. Runs without it always come last.

        Raises
        ------
        ConfigError
            If there is none of this name.
        """
        check_column(name, self.varying)
        values: dict[str, Any]
        if name in _COLUMNS:
            column = _COLUMNS[name]
            values = {row.name: column.of(row) for row in self.rows}
        elif name in self.varying:
            values = {row.name: row.settings.get(name) for row in self.rows}
        else:
            values = {row.name: getattr(row, name) for row in self.rows}
        known_rows = [row for row in self.rows if not _is_missing(values[row.name])]
        rest = [row for row in self.rows if _is_missing(values[row.name])]
        ordered = sorted(known_rows, key=lambda row: _order(values[row.name]), reverse=descending)
        return [*ordered, *rest]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Give each run as a dict of plain values, in the order of `rows`; NaN becomes None."""
        return [
            {
                "run": row.name,
                "data": row.data_label,
                "rank": self.ranks.get(row.name),
                "state": row.state,
                **{name: _plain(row.settings.get(name)) for name in self.varying},
                **{column.name: _finite(column.of(row)) for column in COLUMNS},
                "best_epoch": row.best_epoch,
                "signs": [vars(sign) for sign in row.signs],
                "notes": list(row.notes),
            }
            for row in self.rows
        ]

    def to_dataframe(self) -> pd.DataFrame:
        """Give a row for each run, by name.

        Returns
        -------
        pandas.DataFrame
            Columns: ``data``, ``rank``, ``state``, the hyperparameters that vary, the numbers of
            `COLUMNS` (their units are in ``attrs``), ``best_epoch``, ``signs`` (text).
        """
        import pandas as pd

        rows = [
            {**row, "signs": "; ".join(s["kind"] for s in row["signs"])} for row in self.to_dicts()
        ]
        table: pd.DataFrame = pd.DataFrame(rows).set_index("run").drop(columns="notes")
        for column in COLUMNS:
            table[column.name] = table[column.name].astype("float64")
        for name in ("rank", "best_epoch"):
            table[name] = table[name].astype("Int64")
        table["num_epochs"] = table["num_epochs"].astype("int64")
        table.attrs = {column.name: column.about for column in COLUMNS}
        table.attrs["rule"] = self.rule
        return table

    def to_csv(self, path: str | Path) -> Path:
        """Write the table as a CSV file, whole or not at all.

        Raises
        ------
        StorageError
            If it cannot be written; a file that was there stays.
        """
        path = Path(path)
        with written_aside(path) as aside:
            self.to_dataframe().to_csv(aside)
        return path

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw score against each hyperparameter that varies, and costs against scores.

        Parameters
        ----------
        path : str or Path, optional
            Where the picture goes (PNG, PDF or SVG, by its extension).

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ConfigError
            If no run has a rank, or the extension is of no picture.
        StorageError
            If it cannot be written.
        """
        from lfadsq.results.comparison_figure import draw_comparison, save

        figure = draw_comparison(self)
        if path is not None:
            save(figure, Path(path))
        return figure

    def _repr_html_(self) -> str:
        from lfadsq.results.comparison_text import comparison_html

        return comparison_html(self)

    def __repr__(self) -> str:
        from lfadsq.results.comparison_text import comparison_lines

        return "\n".join(line.text for line in comparison_lines(self))

    def _group(self, row: RunRow) -> tuple[Any, ...]:
        is_cost = self.rule == "valid_cost"
        return (row.data, row.cost_weights if is_cost else ())

    def _key(self, row: RunRow) -> tuple[Any, ...]:
        value = self._column.of(row)
        is_missing = math.isnan(value)
        return (row.data, is_missing, 0.0 if is_missing else -self._column.better * value, row.name)


def _plain(value: Any) -> Any:
    """Give a value of a hyperparameter as JSON and tables hold it."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else _finite(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _weights_vary(rows: Sequence[RunRow]) -> bool:
    weights: dict[Any, set[Any]] = {}
    for row in rows:
        weights.setdefault(row.data, set()).add(row.cost_weights)
    return any(len(found) > 1 for found in weights.values())


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _order(value: Any) -> tuple[bool, Any]:
    # A lab's own hyperparameters may be numbers in one setting and texts in another.
    is_text = not isinstance(value, (bool, int, float))
    return is_text, str(value) if is_text else float(value)
