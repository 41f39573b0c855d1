"""Who uses a file that runs share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lfadsq.preflight.findings import Finding, Severity

__all__ = ["SharedFile"]


@dataclass(frozen=True)
class SharedFile:
    """A file of prepared data, or several of one run specification, and its runs.

    Attributes
    ----------
    path : Path
    dataset : str
    runs : tuple of str
        Names of the runs that use it.
    """

    path: Path
    dataset: str
    runs: tuple[str, ...]

    def finding(
        self, severity: Severity, code: str, problem: str, remedy: str, detail: str = ""
    ) -> Finding:
        """Make a finding about the file; it names the run if there is but one."""
        run = self.runs[0] if len(self.runs) == 1 else ""
        if len(self.runs) > 1:
            shared = f"{len(self.runs)} runs use it"
            detail = f"{detail}; {shared}" if detail else shared
        return Finding(severity, code, problem, remedy, run, self.dataset, self.path, detail)
