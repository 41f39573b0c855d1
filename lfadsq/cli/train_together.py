"""``lfadsq train --together``: train several runs of a sweep in one process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from lfadsq.errors import ConfigError, RunError
from lfadsq.files import storage_errors
from lfadsq.paths import RunPaths
from lfadsq.queue.locks import RunLock
from lfadsq.queue.tasks import TaskFiles

__all__ = ["command", "training_arguments"]

_HELP = """Train several runs of a sweep in one process.

\b
Runs of the same architecture on data of the same shape, which differ in seeds, learning rates,
dropout, L2 or KL settings, are trained as one batch of models. One small model leaves a GPU nearly
idle; several fill it. Without a GPU they compute side by side:
  lfadsq train --together runs/lorenz/param_*/all

DIRS are run folders with their lfads_train.sh, whose flags are used. Each run has its own learning
rate, stopping, checkpoints, logs and outputs, numerically as if it were trained alone; what was
begun goes on from its checkpoint. While it trains no queue starts it. Afterwards the queue, or
lfads_train.sh, samples the posterior means.
"""

_SECONDS_FOR_SCRIPT = 60.0

# The script's first call of the trainer is answered by its own arguments, and ends it.
_TRAINER_STANDS_IN = {"BASH_FUNC_lfadsq%%": "() { printf '%s\\0' \"$@\"; exit 0; }"}


def training_arguments(folder: Path) -> list[str]:
    """Ask the script of a run with which arguments it trains.

    Parameters
    ----------
    folder : Path
        Of the run.

    Returns
    -------
    list of str
        What follows ``lfadsq train``.

    Raises
    ------
    RunError
        If there is no such script, or it does not call ``lfadsq train`` first.
    """
    script = RunPaths(folder).train_script
    if not script.is_file():
        raise RunError(f"{folder} holds no {script.name}", "name run folders of a collection")
    with storage_errors(script, "read"):
        text = script.read_text(encoding="utf-8", errors="replace")
    if "lfadsq train" not in text:
        # To ask it would be to train.
        raise RunError(f"{script} does not train by `lfadsq train`", "train it by itself")
    try:
        asked = subprocess.run(
            ["bash", str(script)],
            env={**os.environ, **_TRAINER_STANDS_IN},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS_FOR_SCRIPT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunError(
            f"{script} called no trainer within {_SECONDS_FOR_SCRIPT:g} s", "train it by itself"
        ) from None
    # Lines that set up the environment may have printed something before.
    printed, *rest = asked.stdout.split(b"\0")
    arguments = [os.fsdecode(item) for item in (printed.rpartition(b"\n")[2], *rest[:-1])]
    if asked.returncode or arguments[:1] != ["train"]:
        words = os.fsdecode(asked.stderr).strip().splitlines()[-1:]
        raise RunError(
            f"{script} does not train by `lfadsq train`" + (f" ({words[0]})" if words else ""),
            "write the scripts anew with this version, or train it by itself",
        )
    return arguments[1:]


@contextmanager
def _locked(folders: Sequence[Path]) -> Iterator[None]:
    with ExitStack() as stack:
        for folder in folders:
            lock = RunLock.try_acquire(TaskFiles(RunPaths(folder).done).lock)
            if lock is None:
                raise RunError(
                    f"{folder} is being trained already, by a queue or by hand",
                    "leave it out, or wait for it",
                )
            stack.callback(lock.release)
        yield


def _names(folders: Sequence[Path]) -> list[str]:
    """Name the runs by the parts of their paths in which they differ."""
    parts = [folder.parts for folder in folders]
    shortest = min(map(len, parts)) - 1
    shared = next(
        (depth for depth in range(shortest) if len({part[depth] for part in parts}) > 1), shortest
    )
    return ["/".join(part[shared:]) for part in parts]


def _run(folders: Sequence[Path], device: str | None, parse: Any) -> int:
    folders = [folder.resolve() for folder in folders]
    values: list[Mapping[str, Any]] = [parse(training_arguments(folder)) for folder in folders]
    with _locked(folders):
        # Imported here, as TensorFlow takes seconds to load and --help needs none of it.
        from lfadsq.training.quiet import import_tensorflow_quietly

        import_tensorflow_quietly()
        from lfadsq.training.program import run_together

        runs = list(zip(_names(folders), values, strict=True))
        outcomes = run_together(runs, device, say=lambda line: click.echo(line))
    finished = [outcome.name for outcome in outcomes if not outcome.status]
    if finished:
        click.echo(
            f"Trained {len(finished)} of {len(outcomes)} runs. The queue, or bash lfads_train.sh, "
            "now samples their posterior means."
        )
    return max(outcome.status for outcome in outcomes)


def command(parse: Any) -> click.Command:
    """Make the command.

    Parameters
    ----------
    parse : callable
        Turns the arguments of ``lfadsq train`` into values by name.
    """

    def callback(dirs: Sequence[Path], device: str | None, together: bool) -> int:
        if len(dirs) < 2:
            raise ConfigError("--together needs at least two runs", "name their folders")
        return _run(dirs, device, parse)

    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    return click.Command(
        "train --together",
        callback=callback,
        help=_HELP,
        params=[
            click.Option(["--together"], is_flag=True, help="Train the runs in DIRS."),
            click.Option(
                ["--device"], help="Device for all, in place of the scripts', e.g. /gpu:0."
            ),
            click.Argument(["dirs"], nargs=-1, required=True, metavar="DIRS...", type=folder),
        ],
    )
