"""Reading a collection once, and gathering all findings about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lfadsq.errors import StorageError
from lfadsq.manager.hyperparams import FLAG_PREFIX
from lfadsq.manager.param_values import PARAM_PREFIX
from lfadsq.paths import CollectionPaths
from lfadsq.preflight.condition_checks import check_conditions
from lfadsq.preflight.count_checks import check_data, check_ext_inputs
from lfadsq.preflight.disk_space import (
    Outputs,
    check_disks,
    disk_text,
    measure_disks,
    try_to_write,
)
from lfadsq.preflight.findings import CheckReport, Finding, Severity
from lfadsq.preflight.fit_checks import check_fit
from lfadsq.preflight.flag_values import FlagValues, read_flags
from lfadsq.preflight.input_checks import check_info, check_input, check_trials
from lfadsq.preflight.input_files import InputHeader, read_input_header
from lfadsq.preflight.input_infos import InputInfo, read_input_info
from lfadsq.preflight.layout import RunFolder, find_runs, read_run, unreadable
from lfadsq.preflight.link_checks import check_links, check_writable
from lfadsq.preflight.model_size import output_size
from lfadsq.preflight.run_scripts import ScriptCall, activates_environment, read_calls
from lfadsq.preflight.scans import scan_data
from lfadsq.preflight.script_checks import check_programs, check_scripts, flags_of_run
from lfadsq.preflight.shared_files import SharedFile
from lfadsq.preflight.summaries import Setting, Summary, read_summary

__all__ = ["check_collection"]

Advance = Callable[[int], None]
_ShowProgress = Callable[[str, float], Advance]


def check_collection(
    path: Path,
    *,
    quick: bool = False,
    show_progress: _ShowProgress = lambda what, total_bytes: lambda num_bytes: None,
) -> CheckReport:
    """Find everything in a collection that would fail or mislead, all at once.

    Parameters
    ----------
    path : Path
        The folder of a collection, or of a run in it: then only that run is looked at. No drive
        script is needed.
    quick : bool, default False
        Look at headers, links and scripts only, not at the data.
    show_progress : callable, optional
        Called with the name of each file whose data are read and their size [bytes]; gives what is
        told of each piece [bytes].

    Returns
    -------
    CheckReport

    Raises
    ------
    RunNotFoundError
        If there is no collection.
    StorageError
        If its folders cannot be read.

    Notes
    -----
    Files that runs share are read once, data in blocks of 32 MB. Nothing is written but one small
    file that is removed again.
    """
    collection, folders = find_runs(path)
    summary = read_summary(CollectionPaths(collection).summary)
    runs: list[_Run] = []
    unread: list[Finding] = []
    for folder in folders:
        try:
            runs.append(_Run(read_run(folder), summary))
        except StorageError as error:
            unread.append(unreadable(folder, error))
    return _Examination(collection, summary, runs, quick, show_progress, unread).report()


@dataclass
class _Run:
    """A run, with what its script and the summary say of it."""

    folder: RunFolder
    summary: Summary

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def calls(self) -> dict[Path, tuple[ScriptCall, ...]]:
        return {
            script: read_calls(text)
            for script, text in self.folder.scripts.items()
            if text is not None
        }

    @property
    def calls_in_our_environment(self) -> Iterator[ScriptCall]:
        """Calls that training would make of programs which must be there already."""
        for script, calls in self.calls.items():
            if not self.folder.is_done and not activates_environment(
                self.folder.scripts[script] or ""
            ):
                yield from calls

    @cached_property
    def given_flags(self) -> FlagValues | None:
        return flags_of_run(self.calls, self.folder)

    @property
    def setting(self) -> Setting | None:
        return self.summary.settings.get(self.folder.param_hash)

    @property
    def datasets(self) -> tuple[str, ...] | None:
        return self.summary.run_specs.get(self.folder.run_name)

    @cached_property
    def flags(self) -> dict[str, Any]:
        """All flags of the trainer: from the script or, where there is none, the summary."""
        found = self.given_flags
        if found is None:
            values = self.setting.values if self.setting is not None else {}
            flags = {
                name.removeprefix(FLAG_PREFIX): text
                for name, text in values.items()
                if name.startswith(FLAG_PREFIX)
            }
            found = read_flags(flags)
        return dict(found.values)


@dataclass
class _Examination:
    collection: Path
    summary: Summary
    runs: list[_Run]
    is_quick: bool
    show_progress: _ShowProgress
    unread: list[Finding]
    headers: dict[Path, InputHeader] = field(default_factory=dict)
    infos: dict[Path, InputInfo] = field(default_factory=dict)
    users: dict[Path, dict[str, _Run]] = field(default_factory=dict)
    datasets: dict[Path, str] = field(default_factory=dict)
    scanned_bytes: int = 0
    scan_s: float = 0.0

    def report(self) -> CheckReport:
        self._read_files()
        findings = [
            *self.unread,
            *try_to_write(self.collection),
            *self._check_runs(),
            *self._check_files(),
            *self._check_conditions(),
        ]
        outputs = list(self._outputs())
        disks = measure_disks(outputs)
        findings += check_disks(disks)
        return CheckReport(
            collection=self.collection,
            findings=tuple(self._softened(findings)),
            num_runs=len(self.runs) + len(self.unread),
            num_inputs=len(self.headers),
            is_quick=self.is_quick,
            disk=disk_text(disks),
            scanned_mb=self.scanned_bytes / 1e6,
            scan_s=self.scan_s,
        )

    def _read_files(self) -> None:
        for run in self.runs:
            for link in (*run.folder.inputs.values(), *run.folder.infos.values()):
                self.datasets.setdefault(link.target, link.dataset)
                users = self.users.setdefault(link.target, {})
                if not users and link.exists:
                    if link.is_info:
                        info = read_input_info(link.target, whole=not self.is_quick)
                        self.infos[link.target] = info
                    else:
                        self.headers[link.target] = read_input_header(link.target)
                users[run.name] = run

    # --- runs -------------------------------------------------------------------------------------

    def _check_runs(self) -> Iterator[Finding]:
        every_call: dict[str, ScriptCall] = {}
        for run in self.runs:
            folder = run.folder
            yield from check_links(folder, self.collection, run.setting, run.datasets)
            yield from check_scripts(folder, run.calls, run.given_flags, run.setting)
            yield from check_writable(folder)
            yield from check_fit(
                run.name, run.flags, self._headers_of(run), self._infos_of(run), run.setting
            )
            if self.summary.settings and run.setting is None:
                yield Finding(
                    Severity.NOTE,
                    "not_in_summary",
                    "runs have a setting that is not in summary.txt: an earlier one?",
                    "delete their folders if nobody needs them",
                    run.name,
                )
            every_call.update((call.program, call) for call in run.calls_in_our_environment)
        yield from check_programs(every_call.values())

    def _headers_of(self, run: _Run) -> dict[str, InputHeader]:
        found = {
            name: self.headers[link.target]
            for name, link in run.folder.inputs.items()
            if link.target in self.headers
        }
        return {name: header for name, header in found.items() if header.is_usable}

    def _infos_of(self, run: _Run) -> dict[str, InputInfo]:
        found = {
            name: self.infos[link.target]
            for name, link in run.folder.infos.items()
            if link.target in self.infos
        }
        return {name: info for name, info in found.items() if not info.damage}

    def _outputs(self) -> Iterator[Outputs]:
        for run in self.runs:
            headers = list(self._headers_of(run).values())
            if headers and not run.folder.is_done:
                size = output_size(run.flags, headers)
                yield Outputs.of(run.name, run.folder.paths.lfads_output, size)

    # --- files ------------------------------------------------------------------------------------

    def _check_files(self) -> Iterator[Finding]:
        shared = {
            path: SharedFile(path, self.datasets[path], tuple(runs))
            for path, runs in self.users.items()
        }
        for path, info in self.infos.items():
            yield from check_info(shared[path], info, self.collection)
        for path, header in self.headers.items():
            yield from check_input(shared[path], header)
            if not header.is_usable:
                continue
            using = list(self.users[path].values())
            beside = self._info_beside(path, using)
            yield from check_trials(shared[path], header, beside)
            if not self.is_quick:
                yield from self._check_contents(shared[path], header, beside, using)

    def _info_beside(self, path: Path, runs: Iterable[_Run]) -> InputInfo | None:
        for run in runs:
            for dataset, link in run.folder.inputs.items():
                info = run.folder.infos.get(dataset)
                if link.target == path and info is not None and info.target in self.infos:
                    found = self.infos[info.target]
                    return None if found.damage else found
        return None

    def _check_contents(
        self, file: SharedFile, header: InputHeader, info: InputInfo | None, runs: list[_Run]
    ) -> Iterator[Finding]:
        is_poisson = any(run.flags["output_dist"] == "poisson" for run in runs)
        bin_ms = _bin_ms(header, info, runs)
        began_s = time.perf_counter()
        advance = self.show_progress(file.dataset, _num_values(header) * 8.0)
        found = scan_data(header.path, bin_ms=bin_ms if is_poisson else 0.0, advance=advance)
        inputs = scan_data(header.path, kind="ext_input", advance=advance)
        self.scan_s += time.perf_counter() - began_s
        if found is not None:
            self.scanned_bytes += found.scanned_bytes
            yield from check_data(file, found, is_poisson=is_poisson, bin_ms=bin_ms)
        if inputs is not None and any(run.flags["ext_input_dim"] for run in runs):
            self.scanned_bytes += inputs.scanned_bytes
            yield from check_ext_inputs(file, inputs)

    def _check_conditions(self) -> Iterator[Finding]:
        """Look at conditions, once for all runs with the same data."""
        groups: dict[tuple[Path, ...], list[_Run]] = {}
        for run in self.runs:
            paths = tuple(info.path for info in self._infos_of(run).values())
            if paths:
                groups.setdefault(paths, []).append(run)
        for runs in groups.values():
            first = runs[0]
            headers = self._headers_of(first)
            is_aligned = any(header.has_alignment for header in headers.values())
            name = first.name if len(runs) == 1 else f"{PARAM_PREFIX}*/{first.folder.run_name}"
            yield from check_conditions(name, self._infos_of(first), is_aligned=is_aligned)

    def _softened(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Make errors of runs that are done warnings: nothing of them is trained again."""
        done = {run.name for run in self.runs if run.folder.is_done}
        for finding in findings:
            is_error = finding.severity is Severity.ERROR
            if is_error and done and (finding.run in done or self._is_of_done_runs(finding, done)):
                finding = replace(finding, severity=Severity.WARNING)
            yield finding

    def _is_of_done_runs(self, finding: Finding, done: set[str]) -> bool:
        users = self.users.get(finding.path) if finding.path is not None else None
        return users is not None and not finding.run and users.keys() <= done


def _num_values(header: InputHeader) -> int:
    total = 0
    for shape in header.shapes.values():
        num = 1
        for length in shape:
            num *= length
        total += num
    return total


def _bin_ms(header: InputHeader, info: InputInfo | None, runs: Iterable[_Run]) -> float:
    """Give the width of the trainer's bins; 0 if nothing tells it."""
    for run in runs:
        width = run.setting.number("spikeBinMs") if run.setting is not None else None
        if width:
            return width
    if info is None or not info.raw_bin_ms:
        return 0.0
    return info.raw_bin_ms * (info.num_raw_bins // header.num_bins)
