"""What was found, in words, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lfadsq.preflight.findings import CheckReport, Finding, FindingGroup, Severity
from lfadsq.texts import count_text, printable

__all__ = ["ReportLine", "report_lines", "report_text"]

_MARKS = {
    Severity.ERROR: ("ERROR", "bold red"),
    Severity.WARNING: ("warning", "yellow"),
    Severity.NOTE: ("note", "cyan"),
}
_MOST_PLACES = 3
_INDENT = 4
_LEAST_TIMED_S = 0.5


class ReportLine(NamedTuple):
    """One line.

    Attributes
    ----------
    text : str
    indent : int
        Columns, which further lines keep if it has to be broken.
    style : str
        In the words of rich.
    """

    text: str
    indent: int = 0
    style: str = ""


def report_text(report: CheckReport) -> str:
    """Write a report as plain text, without breaking lines."""
    return "\n".join(" " * line.indent + line.text for line in report_lines(report))


def report_lines(report: CheckReport) -> Iterator[ReportLine]:
    """Write a report line by line: errors, warnings, notes, what outputs need, and the counts."""
    for group in report.groups:
        yield from _group_lines(group, report)
    if report.groups:
        yield ReportLine("")
    if report.disk:
        yield ReportLine(printable(f"outputs: {report.disk}"))
    looked = f"{count_text(report.num_runs, 'run')} and {count_text(report.num_inputs, 'input')}"
    if report.is_quick:
        looked += ", the data themselves left out (--quick)"
    else:
        looked += f", {report.scanned_mb:.1f} MB of data"
        if report.scan_s > _LEAST_TIMED_S:
            looked += f" at {report.scanned_mb / report.scan_s:.0f} MB/s"
    yield ReportLine(printable(f"looked at {looked}, in {report.collection}"))
    numbers = {severity: len(report.of_severity(severity)) for severity in Severity}
    counts = [count_text(number, severity.value) for severity, number in numbers.items()]
    yield ReportLine(", ".join(counts), style="bold")


def _group_lines(group: FindingGroup, report: CheckReport) -> Iterator[ReportLine]:
    mark, style = _MARKS[group.severity]
    number = len(group.findings)
    often = "" if number == 1 else f"  ({_how_often(group)})"
    yield ReportLine(printable(f"{mark} {group.code}: {group.problem}{often}"), 0, style)
    for finding in group.findings[:_MOST_PLACES]:
        text = _place(finding, report)
        if text:
            yield ReportLine(printable(text), _INDENT)
    if number > _MOST_PLACES:
        yield ReportLine(f"and {number - _MOST_PLACES} more like these", _INDENT)
    if group.remedy:
        yield ReportLine(printable(f"what to do: {group.remedy}"), _INDENT)


def _how_often(group: FindingGroup) -> str:
    runs = len(group.runs)
    return (
        count_text(runs, "run") if runs == len(group.findings) else f"{len(group.findings)} times"
    )


def _place(finding: Finding, report: CheckReport) -> str:
    where, is_named = finding.run, False
    if not where and finding.path is not None:
        path = finding.path
        is_inside = path != report.collection and path.is_relative_to(report.collection)
        where = str(path.relative_to(report.collection) if is_inside else path)
        is_named = finding.dataset in path.name
    if finding.dataset and not is_named:
        where = f"{where}, {finding.dataset}" if where else finding.dataset
    return f"{where}: {finding.detail}" if where and finding.detail else where or finding.detail
