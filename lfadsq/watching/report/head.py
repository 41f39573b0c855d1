"""What stands above all in a report: what it is about, how it stands, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from lfadsq.queue.records import iso_time
from lfadsq.texts import duration_text, harmless, hours_text
from lfadsq.watching.collection_status import BestRun
from lfadsq.watching.report.document import RunReport
from lfadsq.watching.run_status import RunState

__all__ = ["BestLine", "Head", "head_of", "utc_text"]


@dataclass(frozen=True)
class BestLine:
    """The best run on one kind of data.

    Attributes
    ----------
    data, name, cost, settings : str
    number : int
        Its place among the runs.
    state : str
        Empty for one that is done.
    """

    data: str
    name: str
    cost: str
    settings: str
    number: int
    state: str


@dataclass(frozen=True)
class Head:
    """What stands above all.

    Attributes
    ----------
    title, path, made, made_by : str
    counts : tuple of (str, int)
        States with the number of their runs.
    figures : tuple of (str, str, str)
        Name, value, and what it means.
    best : tuple of BestLine
    places : dict of str to int
        Of each run, by its name.
    """

    title: str
    path: str
    made: str
    made_by: str
    counts: tuple[tuple[str, int], ...]
    figures: tuple[tuple[str, str, str], ...]
    best: tuple[BestLine, ...]
    places: dict[str, int]


def head_of(report: RunReport) -> Head:
    """Sum up a report."""
    status = report.status
    places = {run.status.name: number for number, run in enumerate(report.runs)}
    return Head(
        harmless(status.path.name or str(status.path)),
        harmless(str(status.path)),
        utc_text(status.at_s),
        f"lfadsq {_version()} on {harmless(report.host)}",
        tuple((state.value, number) for state, number in status.counts.items()),
        tuple(_figures(report)),
        tuple(_best_line(one, places[one.run.name]) for one in report.best),
        places,
    )


def _figures(report: RunReport) -> list[tuple[str, str, str]]:
    timeline = report.timeline
    figures = [("runs", f"{len(report.runs):,}", "")]
    span = timeline.span
    if span is not None:
        figures.append(("from", utc_text(span[0]), ""))
        figures.append(("until", utc_text(span[1]), f"after {duration_text(span[1] - span[0])}"))
    if timeline.has_gpus:
        figures.append(
            ("GPU time", f"{hours_text(timeline.gpu_s)} h", "with at least one run on the GPU")
        )
    if timeline.run_s:
        figures.append(("run time", f"{hours_text(timeline.run_s)} h", "of all attempts together"))
    if timeline.idle_share is not None:
        devices = "GPUs" if timeline.has_gpus else "processors"
        figures.append(
            ("idle", f"{100 * timeline.idle_share:.1f} %", f"of the time {devices} could have run")
        )
    if report.gpus is not None:
        known = [one for one in report.gpus.devices if one.mean_utilisation_percent >= 0]
        if known:
            mean = sum(one.mean_utilisation_percent * one.watched_s for one in known) / sum(
                one.watched_s for one in known
            )
            figures.append(("GPU utilisation", f"{mean:.0f} %", "mean while a queue looked"))
    epochs = sum(run.status.num_epochs for run in report.runs)
    if epochs:
        figures.append(("trained", f"{epochs:,} epochs", "of all runs together"))
    return figures


def _best_line(one: BestRun, number: int) -> BestLine:
    told = [f"{name.removeprefix('c_')} = {value}" for name, value in one.settings.items()]
    state = one.run.state
    return BestLine(
        harmless(one.data),
        harmless(one.run.name),
        f"{one.run.lowest_valid_cost:.2f}",
        harmless(", ".join(told)),
        number,
        "" if state is RunState.DONE else state.value,
    )


def _version() -> str:
    try:
        return version("lfadsq")
    except PackageNotFoundError:
        return "(not installed)"


def utc_text(at_s: float) -> str:
    """Write a time as people read it, in UTC.

    >>> utc_text(0)
    '1970-01-01 00:00 UTC'
    """
    return f"{iso_time(at_s)[:16].replace('T', ' ')} UTC"
