"""The trainer's flags: their names, types, defaults and help.

Flags of hyperparameters derive from `RunParams`; the trainer's own are declared here. Nothing in
this module needs TensorFlow, so that ``--help`` is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfadsq.errors import ConfigError
from lfadsq.manager.hyperparams import HyperParam, hyperparams_of
from lfadsq.manager.params import RunParams

__all__ = ["KINDS", "FlagSpec", "TrainerFlags", "flag_specs", "without_retired_flags"]

KINDS = (
    "train",
    "posterior_sample_and_average",
    "posterior_push_mean",
    "prior_sample",
    "write_model_params",
)
"""What one call of the trainer can do."""

_FILES = "Files"
_WHAT = "What to do"
_TRAINING = "What to train"

_RETIRED_PREFIXES = ("tf_debug_", "debug_")


@dataclass(frozen=True)
class FlagSpec:
    """One flag of the trainer.

    Attributes
    ----------
    name : str
        Without the leading dashes.
    type : type
        `bool`, `int`, `float` or `str`.
    default : object
        `None` if it must be given.
    group : str
        Title in the help.
    help : str
        One line.
    choices : tuple of str
        The only values allowed; empty if any are.
    """

    name: str
    type: type
    default: Any
    group: str
    help: str
    choices: tuple[str, ...] = ()

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is None and self.name in ("data_dir", "lfads_save_dir")


_OWN_FLAGS = (
    FlagSpec("kind", str, "train", _WHAT, "what to do with the model", KINDS),
    FlagSpec("data_dir", str, None, _FILES, "folder of the input files"),
    FlagSpec("data_filename_stem", str, "lfads", _FILES, "input files are <stem>_<dataset>.h5"),
    FlagSpec("lfads_save_dir", str, None, _FILES, "folder for everything that is written"),
    FlagSpec("checkpoint_name", str, "lfads_vae", _FILES, "what checkpoint files begin with"),
    FlagSpec(
        "checkpoint_pb_load_name",
        str,
        "checkpoint",
        _FILES,
        "pointer to the checkpoint to load: checkpoint, or checkpoint_lve for the lowest "
        "validation error",
    ),
    FlagSpec(
        "model_params",
        str,
        "",
        _FILES,
        "file of parameters of a trained model to start from, or to evaluate, where lfads_save_dir "
        "holds no checkpoint",
    ),
    FlagSpec("csv_log", str, "fitlog", _FILES, "name of the log of costs, without .csv"),
    FlagSpec("output_filename_stem", str, "", _FILES, "what result files begin with"),
    FlagSpec(
        "ps_nexamples_to_process",
        int,
        sys.maxsize,
        _WHAT,
        "evaluate at most this many trials of each dataset and split",
    ),
    FlagSpec(
        "seed", int, None, _WHAT, "seed of everything random; by default drawn anew and recorded"
    ),
    FlagSpec("do_train_io_only", bool, False, _TRAINING, "train read-in and read-out only"),
    FlagSpec("do_train_encoder_only", bool, False, _TRAINING, "train the encoder of g0 only"),
    FlagSpec(
        "do_reset_learning_rate",
        bool,
        False,
        _TRAINING,
        "on resuming, start again from learning_rate_init",
    ),
)

_TYPES: Mapping[str, type] = {
    "logical": bool,
    "double": float,
    "char": str,
    "uint16": int,
    "uint32": int,
}


def _hyperparams() -> tuple[HyperParam, ...]:
    return tuple(p for p in hyperparams_of(RunParams) if p.passed_to_trainer)


def flag_specs() -> tuple[FlagSpec, ...]:
    """List every flag, the trainer's own first.

    Examples
    --------
    >>> [spec.default for spec in flag_specs() if spec.name == "gen_dim"]
    [100]
    """
    derived = (
        FlagSpec(p.flag, _TYPES[p.matlab_class], p.default, p.group, p.help, p.choices)
        for p in _hyperparams()
    )
    return (*_OWN_FLAGS, *derived)


def _is_retired(name: str, known: set[str], retired: set[str]) -> bool:
    return name not in known and (name.startswith(_RETIRED_PREFIXES) or name in retired)


def without_retired_flags(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Leave out flags that scripts of earlier versions carry and that mean nothing any more.

    Parameters
    ----------
    arguments : sequence of str
        As on the command line.

    Returns
    -------
    kept : list of str
    ignored : list of str
        Names of the flags left out.

    Examples
    --------
    >>> without_retired_flags(["--tf_debug_cli=false", "--gen_dim=8", "--in_factors_dim", "50"])
    (['--gen_dim=8'], ['tf_debug_cli', 'in_factors_dim'])
    """
    known = {spec.name for spec in flag_specs()}
    retired = {p.flag for p in hyperparams_of(RunParams) if not p.passed_to_trainer} - known
    kept: list[str] = []
    ignored: list[str] = []
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        name, has_value, _ = argument.removeprefix("--").partition("=")
        if not (argument.startswith("--") and _is_retired(name, known, retired)):
            kept.append(argument)
            continue
        ignored.append(name)
        if not has_value and remaining and not remaining[0].startswith("--"):
            remaining.pop(0)
    return kept, ignored


@dataclass(frozen=True)
class TrainerFlags:
    """The value of every flag.

    Parameters
    ----------
    values : mapping of str to object
        By name, complete and of the right types (see `from_values`).
    """

    values: Mapping[str, Any]

    @classmethod
    def from_values(cls, **values: Any) -> TrainerFlags:
        """Take values by name, and defaults for the rest.

        Raises
        ------
        ConfigError
            If a flag does not exist, has a value of another type, or is missing.
        """
        specs = {spec.name: spec for spec in flag_specs()}
        unknown = sorted(set(values) - set(specs))
        if unknown:
            raise ConfigError(f"the trainer has no flag {', '.join(unknown)}", "correct the name")
        complete = {name: spec.default for name, spec in specs.items()}
        for name, value in values.items():
            if value is not None:
                complete[name] = specs[name].type(value)
        missing = [f"--{n}" for n, spec in specs.items() if spec.is_required and not complete[n]]
        if missing:
            raise ConfigError(f"{' and '.join(missing)} must be given", "see lfadsq train --help")
        flags = cls(complete)
        flags._check(specs)
        return flags

    def _check(self, specs: Mapping[str, FlagSpec]) -> None:
        faults = [
            f"{name} is {self[name]!r}, but must be one of {', '.join(spec.choices)}"
            for name, spec in specs.items()
            if spec.choices and self[name] not in spec.choices
        ]
        faults += [
            f"{name} is {self[name]}, but must not be negative"
            for name, spec in specs.items()
            if spec.type is int and self[name] is not None and self[name] < 0
        ]
        if self["batch_size"] < 1:
            faults.append("batch_size must be at least 1")
        if self["learning_rate_n_to_compare"] < 1:
            faults.append("learning_rate_n_to_compare must be at least 1")
        if not 0 < self["learning_rate_decay_factor"] < 1:
            faults.append(
                "learning_rate_decay_factor must lie between 0 and 1, or training never ends"
            )
        if not self["learning_rate_init"] > 0:
            faults.append("learning_rate_init must be positive, or nothing is trained")
        if not self["learning_rate_stop"] > 0:
            faults.append("learning_rate_stop must be positive, or training never ends")
        if self["temporal_spike_jitter_width"] and self["output_dist"] != "poisson":
            faults.append("temporal_spike_jitter_width moves spikes and needs output_dist=poisson")
        if faults:
            raise ConfigError("these flags cannot be: " + "; ".join(faults), "correct them")

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def data_dir(self) -> Path:
        """Folder of the input files."""
        return Path(self["data_dir"])

    @property
    def save_dir(self) -> Path:
        """Folder for everything that is written."""
        return Path(self["lfads_save_dir"])

    def recorded(self, **more: Any) -> dict[str, Any]:
        """Give all flags as ``hyperparameters-<step>.txt`` holds them: bools as text.

        Parameters
        ----------
        **more
            Further entries.
        """
        values = {**self.values, **more}
        return {k: str(v).lower() if isinstance(v, bool) else v for k, v in values.items()}
