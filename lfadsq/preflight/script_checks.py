"""Findings about the scripts of a run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lfadsq.preflight.findings import Finding, Severity
from lfadsq.preflight.flag_values import FlagValues, read_flags, unknown_flags
from lfadsq.preflight.layout import RunFolder
from lfadsq.preflight.run_scripts import ScriptCall, training_call
from lfadsq.preflight.summaries import Setting

__all__ = ["check_programs", "check_scripts", "flags_of_run"]

_WRITE_AGAIN = "write the scripts again with write_run_scripts()"
_FOLDERS = {"data_dir": "lfads_input", "lfads_save_dir": "lfads_output"}
# These a script may have multiplied by the number of datasets; a device is often chosen by hand.
_NOT_COMPARED = (
    "c_device",
    "c_kl_increase_steps",
    "c_kl_start_step",
    "c_l2_increase_steps",
    "c_l2_start_step",
)


def flags_of_run(calls: Mapping[Path, tuple[ScriptCall, ...]], run: RunFolder) -> FlagValues | None:
    """Give the flags of the call that trains a run; None if there is no such call."""
    call = training_call(calls.get(run.paths.train_script, ()))
    return None if call is None else read_flags(call.flags)


def check_scripts(
    run: RunFolder,
    calls: Mapping[Path, tuple[ScriptCall, ...]],
    flags: FlagValues | None,
    setting: Setting | None,
) -> Iterator[Finding]:
    """Look at the scripts of a run.

    Parameters
    ----------
    run : RunFolder
    calls : dict of Path to tuple of ScriptCall
        Of each script that could be read.
    flags : FlagValues or None
        Of the call that trains.
    setting : Setting or None
        What ``summary.txt`` says of its setting.
    """
    for script in run.paths.scripts:
        is_train = script == run.paths.train_script
        # The others are for people, and for a queue that only samples.
        severity = Severity.ERROR if is_train else Severity.NOTE
        if script not in run.scripts:
            yield Finding(
                severity, "script_missing", f"there is no {script.name}", _PREPARE, run.name
            )
        elif run.scripts[script] is None:
            yield Finding(
                severity,
                "script_unreadable",
                f"{script.name} cannot be read",
                "ask its owner for permission to read it",
                run.name,
                path=script,
            )
        else:
            yield from _check_calls(run, script, calls.get(script, ()))
    if flags is not None:
        for wrong in flags.wrong:
            yield Finding(
                Severity.ERROR,
                "setting",
                "hyperparameters that no model can be trained with",
                "correct them in your drive script, then prepare_for_lfads again",
                run.name,
                path=run.paths.train_script,
                detail=wrong,
            )
    call = training_call(calls.get(run.paths.train_script, ()))
    if call is not None and setting is not None:
        outdated = list(_differences(call, setting))
        if outdated:
            yield Finding(
                Severity.WARNING,
                "script_outdated",
                "the script has other values than summary.txt: it was edited, or is older",
                f"if that is not meant, {_WRITE_AGAIN}",
                run.name,
                path=run.paths.train_script,
                detail=", ".join(outdated),
            )


_PREPARE = "write it with prepare_for_lfads in your drive script"


def _check_calls(run: RunFolder, script: Path, calls: Iterable[ScriptCall]) -> Iterator[Finding]:
    calls = list(calls)
    if not calls:
        yield Finding(
            Severity.NOTE,
            "script_unknown",
            f"no call of a trainer was found in {script.name}: its flags were not looked at",
            "see that it trains the run it lies in",
            run.name,
            path=script,
        )
    unknown: dict[str, None] = {}
    for call in calls:
        if call.program:
            unknown.update(dict.fromkeys(unknown_flags(call.flags)))
    if unknown:
        yield Finding(
            Severity.ERROR,
            "unknown_flag",
            f"{script.name} has flags that the trainer does not know",
            f"correct or remove them, or {_WRITE_AGAIN}",
            run.name,
            path=script,
            detail=", ".join(f"--{name}" for name in unknown),
        )
    for flag, folder in _FOLDERS.items():
        elsewhere = {
            call.flags[flag]
            for call in calls
            if flag in call.flags and _is_elsewhere(call.flags[flag], getattr(run.paths, folder))
        }
        for text in sorted(elsewhere):
            yield Finding(
                Severity.ERROR,
                "script_elsewhere",
                f"--{flag} in {script.name} leads to another folder than the run's: was the"
                " collection moved or copied?",
                _WRITE_AGAIN,
                run.name,
                path=script,
                detail=text,
            )


def _is_elsewhere(text: str, folder: Path) -> bool:
    if "$" in text or "`" in text or not text:
        return False
    path = Path(text).expanduser()
    # Relative folders begin where the script is called, which nobody knows before.
    return path.is_absolute() and path.resolve() != folder.resolve()


def _differences(call: ScriptCall, setting: Setting) -> Iterator[str]:
    for name, listed in setting.values.items():
        flag = name.removeprefix("c_")
        if not name.startswith("c_") or name in _NOT_COMPARED or flag not in call.flags:
            continue
        given = call.flags[flag]
        if "$" not in given and _plain(given) != _plain(listed):
            yield f"{flag} is {given}, in summary.txt {listed}"


def _plain(text: str) -> str:
    text = {"true": "1", "false": "0"}.get(text, text.strip("'\""))
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def check_programs(calls: Iterable[ScriptCall]) -> Iterator[Finding]:
    """See that the programs which scripts call are there.

    Parameters
    ----------
    calls : iterable of ScriptCall
        Of all runs.
    """
    # The queue puts the programs of its own environment first on PATH.
    beside = str(Path(sys.executable).parent)
    for program in sorted({call.program.split()[0] for call in calls if call.program}):
        if shutil.which(program) is None and shutil.which(program, path=beside) is None:
            yield Finding(
                Severity.WARNING,
                "program_missing",
                f"{program}, which the scripts call, is not on PATH here",
                "activate the environment it is installed in, before you train",
            )
