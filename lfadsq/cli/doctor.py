"""``lfadsq doctor``: what of this machine, or of a cluster, would keep a queue from working."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfadsq.cli.targets import collection_option, json_option
from lfadsq.errors import ConfigError, RunNotFoundError
from lfadsq.queue.clusters.option_flags import GroupedCommand, cluster_click_options
from lfadsq.texts import harmless, printable

if TYPE_CHECKING:
    from lfadsq.queue.clusters.doctor_report import Finding

__all__ = ["doctor"]

_MARKS = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "problem": ("PROBLEM", "bold red"),
}


def _all_options(function: Any) -> Any:
    for option in reversed(cluster_click_options):
        function = option(function)
    return function


@click.command(cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@collection_option
@click.option(
    "--timeout",
    metavar="TIME",
    default="10m",
    show_default=True,
    help="How long to wait for the job to start.",
)
@json_option
@_all_options
def doctor(
    collection: Path | None, timeout: str, as_json: bool, cluster: str | None, **given: Any
) -> int:
    """See whether a queue would work here, and what to do if not.

    With --cluster one tiny job is submitted, with the options of cluster.toml and those given here
    (but 10 minutes of walltime), and cancelled at the end: it shows whether the node is like this
    machine, reaches it, sees the same files and locks, and can train. Without --cluster, this
    machine alone is looked at. Nothing is left behind.

    \b
    Examples:
      lfadsq doctor                                  this machine
      lfadsq doctor --cluster slurm                  the cluster, as cluster.toml describes it
      lfadsq doctor --cluster slurm --partition gpu --account my_lab --timeout 1h
      lfadsq doctor --cluster pbs --no-dask          where nodes may not connect to each other
      lfadsq doctor --cluster slurm --dry-run        print the job's script, and do nothing
      lfadsq doctor -C ~/runs/my_collection --cluster slurm --json > findings.json

    \b
    Exit status: 0 without problems (there may be warnings), 1 with problems, 2 if the command line
    is wrong, 130 after Ctrl-C, on which the job is cancelled too.
    """
    folder = _folder_of(collection)
    if cluster is None:
        return _examine_here(folder, given, as_json)
    return _examine_cluster(cluster, folder, timeout, given, as_json)


def _folder_of(collection: Path | None) -> Path:
    from lfadsq.queue.overview import find_collection

    try:
        path = (collection or Path.cwd()).expanduser().absolute()
    except FileNotFoundError:
        raise RunNotFoundError(
            "the current folder does not exist any more", "go to another, or name one with -C"
        ) from None
    try:
        return find_collection(path)[0]
    except RunNotFoundError:
        return path if path.is_dir() else path.parent


def _examine_here(folder: Path, given: dict[str, Any], as_json: bool) -> int:
    from lfadsq.queue.clusters.doctor_here import examine_here

    named = [name for name, value in given.items() if value]
    if named:
        flag = f"--{named[0].replace('_', '-')}"
        raise click.UsageError(f"{flag} is for jobs of a cluster: say --cluster NAME as well.")
    with _Showing(as_json) as showing:
        examine_here(folder, showing.tell, showing.say)
    return showing.end({"cluster": None, "folder": str(folder)})


def _examine_cluster(
    cluster: str, folder: Path, timeout: str, given: dict[str, Any], as_json: bool
) -> int:
    from lfadsq.queue.clusters.doctor_options import sources_finding, tiny
    from lfadsq.queue.clusters.option_reading import read_cluster_options
    from lfadsq.queue.clusters.option_values import DURATION
    from lfadsq.queue.clusters.system_names import SYSTEM_NAMES, is_address, read_system
    from lfadsq.queue.clusters.systems import system_of

    name = read_system(cluster)
    if is_address(name):
        raise ConfigError(
            f"{name} is a Dask scheduler that is there already: no job is submitted to it",
            f"name a batch system: {', '.join(SYSTEM_NAMES)}",
        )
    try:
        start_s = DURATION.read(timeout)
    except ValueError as error:
        raise ConfigError(f"--timeout is {timeout!r}", str(error)) from None
    asked = read_cluster_options(name, folder, command_line=given)
    system = system_of(name)
    options = tiny(asked, keeps_walltime=given.get("walltime") is not None)
    if found := system.problems(asked):
        raise ConfigError("; ".join(found))
    # Not before: Dask takes a second to load, and a wrong option is told at once.
    from lfadsq.queue.clusters.doctor import ClusterDoctor, probe_program

    with_dask = not given.get("no_dask")
    if given.get("dry_run"):
        place, address = folder / ".lfadsq-doctor-XXXXXXXX", "tls://ADDRESS:PORT"
        certificate = place / "tls" / "CERTIFICATE.pem" if with_dask else None
        program = probe_program(options, place, address if with_dask else "", certificate, 60)
        click.echo(harmless(system.program_script(options, program)), nl=False)
        return 0
    with _Showing(as_json) as showing, _ended_as_interrupted():
        showing.tell(sources_finding(asked, folder, given, options.walltime_s))
        one = ClusterDoctor(
            system,
            options,
            folder,
            tell=showing.tell,
            say=showing.say,
            with_dask=with_dask,
            start_s=start_s,
        )
        one.run()
    result = {"cluster": name, "folder": str(folder), "job_id": one.job_id or None}
    return showing.end({**result, "times_s": one.times_s})


@contextlib.contextmanager
def _ended_as_interrupted() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end us as Ctrl-C does: the job must be cancelled."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler or signal.SIG_DFL)


class _Showing:
    """Findings as they come: on a terminal with what is waited for, else line by line."""

    def __init__(self, as_json: bool) -> None:
        from rich.console import Console

        self._as_json = as_json
        self._findings: list[Finding] = []
        self._console = Console(stderr=as_json, highlight=False, soft_wrap=True)
        self._status: Any = None
        self._said = ""

    def __enter__(self) -> _Showing:
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def say(self, text: str) -> None:
        from rich.markup import escape

        if text == self._said:
            return
        self._said = text
        if self._status is not None:
            self._status.update(escape(printable(text)))
        else:
            click.echo(printable(f"  ... {text}"), err=True)

    def tell(self, finding: Finding) -> None:
        from rich.markup import escape

        self._findings.append(finding)
        mark, style = _MARKS[finding.level.value]
        text = f"{finding.topic}: {finding.text}"
        lines = f"[{style}]{mark:<8}[/]{escape(printable(text))}"
        if finding.remedy:
            lines += f"\n        what to do: {escape(printable(finding.remedy))}"
        self._console.print(lines)

    def end(self, result: dict[str, Any]) -> int:
        levels = [finding.level.value for finding in self._findings]
        num_problems, num_warnings = levels.count("problem"), levels.count("warning")
        if self._as_json:
            findings = [finding.to_dict() for finding in self._findings]
            told = {**result, "ok": not num_problems, "findings": findings}
            click.echo(json.dumps(told, indent=2))
            sys.stdout.flush()
        else:
            from lfadsq.texts import count_text

            counts = f"{count_text(num_problems, 'problem')}, {count_text(num_warnings, 'warning')}"
            self._console.print(counts)
        return 1 if num_problems else 0
