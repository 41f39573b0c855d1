"""What a look at a collection has found, and how many runs share it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CheckReport", "Finding", "FindingGroup", "Severity", "grouped"]


class Severity(enum.Enum):
    """How bad it is."""

    ERROR = "error"
    """Training or sampling would fail, or use data that are not those of the run."""

    WARNING = "warning"
    """Results may mislead, or something else will not work."""

    NOTE = "note"
    """Worth knowing."""


_ORDER = tuple(Severity)


@dataclass(frozen=True)
class Finding:
    """One thing about one run, dataset or file.

    Parameters
    ----------
    severity : Severity
    code : str
        Short name of the kind of problem, which never changes: for programs.
    problem : str
        What is wrong, in words that all findings of this kind share: no names, no numbers.
    remedy : str
        What to do.
    run : str, default ""
        ``param_<HASH>/<run name>``, with ``*`` for the hash if all settings share it; empty if it
        is about no run.
    dataset : str, default ""
    path : Path, optional
        The file it is about.
    detail : str, default ""
        The names and numbers of this one.
    """

    severity: Severity
    code: str
    problem: str
    remedy: str
    run: str = ""
    dataset: str = ""
    path: Path | None = None
    detail: str = ""

    def to_dict(self) -> dict[str, str]:
        """Give where it is as JSON can hold it; what it is stands in its group."""
        return {
            "run": self.run,
            "dataset": self.dataset,
            "path": str(self.path or ""),
            "detail": self.detail,
        }


@dataclass(frozen=True)
class FindingGroup:
    """All findings of one kind.

    Attributes
    ----------
    findings : tuple of Finding
        At least one; all with the same severity, code, problem and remedy.
    """

    findings: tuple[Finding, ...]

    @property
    def severity(self) -> Severity:
        """Of all of them."""
        return self.findings[0].severity

    @property
    def code(self) -> str:
        """Of all of them."""
        return self.findings[0].code

    @property
    def problem(self) -> str:
        """Of all of them."""
        return self.findings[0].problem

    @property
    def remedy(self) -> str:
        """Of all of them."""
        return self.findings[0].remedy

    @property
    def runs(self) -> tuple[str, ...]:
        """Runs they are about, each once."""
        return tuple(dict.fromkeys(finding.run for finding in self.findings if finding.run))

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "problem": self.problem,
            "remedy": self.remedy,
            "count": len(self.findings),
            "places": [finding.to_dict() for finding in self.findings],
        }


def grouped(findings: Iterable[Finding]) -> tuple[FindingGroup, ...]:
    """Put findings of one kind together, errors first.

    >>> found = [Finding(Severity.NOTE, "b", "odd", ""), Finding(Severity.ERROR, "a", "bad", "")]
    >>> [group.code for group in grouped([*found, *found])]
    ['a', 'b']
    """
    groups: dict[tuple[Severity, str, str, str], dict[Finding, None]] = {}
    for finding in findings:
        key = (finding.severity, finding.code, finding.problem, finding.remedy)
        groups.setdefault(key, {})[finding] = None
    ordered = sorted(groups.items(), key=lambda item: _ORDER.index(item[0][0]))
    return tuple(FindingGroup(tuple(members)) for _, members in ordered)


@dataclass(frozen=True)
class CheckReport:
    """All that was found in a collection.

    Attributes
    ----------
    collection : Path
    findings : tuple of Finding
    num_runs, num_inputs : int
        Runs and input files that were looked at.
    is_quick : bool
        Whether the data themselves were left out.
    disk : str
        What outputs will need, and what is free, in words; empty if all runs are done.
    scanned_mb, scan_s : float
        Uncompressed size of the data that were read [MB], and how long it took [s].
    """

    collection: Path
    findings: tuple[Finding, ...]
    num_runs: int
    num_inputs: int
    is_quick: bool = False
    disk: str = ""
    scanned_mb: float = 0.0
    scan_s: float = 0.0
    groups: tuple[FindingGroup, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", grouped(self.findings))

    def of_severity(self, severity: Severity) -> Sequence[FindingGroup]:
        """List the groups of one severity."""
        return [group for group in self.groups if group.severity is severity]

    @property
    def is_ok(self) -> bool:
        """Whether there are no errors; there may be warnings."""
        return not self.of_severity(Severity.ERROR)

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can hold."""
        return {
            "collection": str(self.collection),
            "ok": self.is_ok,
            "quick": self.is_quick,
            "num_runs": self.num_runs,
            "num_inputs": self.num_inputs,
            "num_errors": len(self.of_severity(Severity.ERROR)),
            "num_warnings": len(self.of_severity(Severity.WARNING)),
            "disk": self.disk,
            "scanned_mb": round(self.scanned_mb, 1),
            "findings": [group.to_dict() for group in self.groups],
        }

    def __repr__(self) -> str:
        from lfadsq.preflight.report_text import report_text

        return report_text(self)
