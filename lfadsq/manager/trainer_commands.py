"""`TrainerCommands`: what the scripts of a collection call to train, sample, write parameters."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lfadsq.errors import ConfigError
from lfadsq.manager.params import RunParams
from lfadsq.manager.templating import ShellText, render

__all__ = ["COMMAND_NAMES", "OUR_TRAINER", "PLACEHOLDERS", "TrainerCommands"]

COMMAND_NAMES = ("train", "posterior_mean", "write_model_params")
"""The commands of a trainer, in the order in which the script of a training calls them."""

PLACEHOLDERS = {
    "program": "the program",
    "flags": "every flag of the call, from --data_dir to --batch_size",
    "model_flags": "the flags of the hyperparameters alone",
    "run_dir": "the folder of the run",
    "data_dir": "the folder of its input files",
    "lfads_save_dir": "the folder for everything that is written",
    "kind": "train, posterior_sample_and_average, posterior_push_mean or write_model_params",
    "batch_size": "trials in a batch; for posterior means, samples of each trial",
}
"""What a command may have in braces."""

_OURS = "lfadsq train"
_ALL_FLAGS = "{program} {flags}"
_PLACEHOLDER = re.compile(r"\{\{(?P<literal>\w+)\}\}|(?<!\$)\{(?P<name>\w+)\}")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_PLAIN_PROGRAM = re.compile(r"[\w./+%@:,-]+")
_WORD_ENDS = frozenset(" \t\n;&|()")


@dataclass(frozen=True)
class TrainerCommands:
    """What the scripts of a collection call: our trainer, unless you say otherwise.

    Everything here is your own shell text and goes into scripts as it is; what is filled in for a
    placeholder is quoted. ``{{word}}`` stands for ``{word}``, and ``${word}`` is the shell's.

    Parameters
    ----------
    program : str, default "lfadsq train"
        The program: ``python /lab/lfads/run_lfads.py``.
    setup : sequence of str
        Lines that prepare the environment before anything else; they may use variables that are
        not set, and a failing one ends the script. See `in_conda`, `in_venv` and `with_modules`.
    train, posterior_mean, write_model_params : str, default "{program} {flags}"
        The commands, with placeholders (see `PLACEHOLDERS`). Placeholders stand outside quotes.
    omitted_flags : sequence of str
        Hyperparameters that the program does not know, as flags: ``"co_mean_corr_scale"``.
    promised_files : sequence of str
        What a training leaves in ``lfadsOutput``; without it nothing is sampled, whatever the exit
        status was.

    Raises
    ------
    ConfigError
        If a command has an unknown placeholder or one within quotes, leaves a quote open, or is
        empty. All that is wrong is told at once.

    Examples
    --------
    >>> fork = TrainerCommands("python ~/fork/train.py", train="{program} --in {data_dir} {flags}")
    >>> fork.omitted_flags
    ()
    >>> TrainerCommands(train="{program} --out={save_dir}")
    Traceback (most recent call last):
    lfadsq.errors.ConfigError: train: there is no placeholder {save_dir}; there are {program}, \
{flags}, {model_flags}, {run_dir}, {data_dir}, {lfads_save_dir}, {kind}, {batch_size}
    """

    program: str = _OURS
    setup: tuple[str, ...] = ()
    train: str = _ALL_FLAGS
    posterior_mean: str = _ALL_FLAGS
    write_model_params: str = _ALL_FLAGS
    omitted_flags: tuple[str, ...] = ()
    promised_files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        for name in ("setup", "omitted_flags", "promised_files"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Iterable):
                problems.append(f"{name} is {value!r}; give a list of text")
                continue
            object.__setattr__(self, name, tuple(value))
            wrong = [one for one in getattr(self, name) if not _is_text(one)]
            problems += [f"{name} holds {one!r}; give text" for one in wrong]
        for name in ("program", *COMMAND_NAMES):
            value = getattr(self, name)
            if not _is_text(value):
                problems.append(f"{name} is {value!r}; give a command")
            else:
                problems += [f"{name}: {problem}" for problem in _problems_of(name, value)]
        for name in self.promised_files:
            if _is_text(name) and (Path(name).is_absolute() or ".." in Path(name).parts):
                problems.append(f"promised_files holds {name!r}; name a file in lfadsOutput")
        if problems:
            raise ConfigError("\n".join(problems))

    @classmethod
    def original(cls, run_lfads: str | Path, *, python: str = "python") -> TrainerCommands:
        """Call the original trainer, with flags as it takes them.

        It samples a model of random numbers where there is no checkpoint, and ends well; so a run
        without a checkpoint of the lowest validation error is not sampled.

        Parameters
        ----------
        run_lfads : str or Path
            Its ``run_lfads.py``; a relative path counts from here.
        python : str, default "python"
            The command that runs it: as a rule that of the environment it is installed in, for
            example ``TrainerCommands.original("~/lfads/run_lfads.py").in_conda("lfads27")``.
        """
        program = f"{python} {shlex.quote(str(_absolute(run_lfads)))}"
        return cls(program, promised_files=("checkpoint_lve",))

    def with_setup(self, *lines: str) -> TrainerCommands:
        """Give the same with more lines of shell, run after those that are there."""
        return replace(self, setup=(*self.setup, *lines))

    def in_conda(self, environment: str, *, base: str | Path | None = None) -> TrainerCommands:
        """Give the same in a conda environment.

        Parameters
        ----------
        environment : str
            Its name, or its folder.
        base : str or Path, optional
            Where conda is installed, for example ``~/miniconda3``; by default it is looked for
            when the script runs: in ``CONDA_EXE``, on ``PATH``, and where people install it.

        Raises
        ------
        ConfigError
            If the name cannot be one.
        """
        _check_word(environment, "a conda environment")
        failure = (
            f"conda cannot activate the environment {environment}; those there are: conda env list"
        )
        values = {"environment": environment, "failure": failure}
        where = None if base is None else str(_absolute(base))
        return self._with_fragment("_activate_conda.sh", base=where, **values)

    def in_venv(self, folder: str | Path) -> TrainerCommands:
        """Give the same in a virtual environment (of venv or virtualenv).

        Parameters
        ----------
        folder : str or Path
            The environment's; a relative path counts from here.
        """
        activate = str(_absolute(folder) / "bin" / "activate")
        failure = f"there is no virtual environment in {_absolute(folder)}; make it there"
        return self._with_fragment("_activate_venv.sh", activate=activate, failure=failure)

    def with_modules(self, modules: Iterable[str]) -> TrainerCommands:
        """Give the same with environment modules loaded, as ``module load`` does.

        Parameters
        ----------
        modules : iterable of str
            In the order of loading: ``["cuda/9.0", "python/2.7"]``.

        Raises
        ------
        ConfigError
            If there is none, or a name cannot be one.
        """
        names = [modules] if isinstance(modules, str) else list(modules)
        if not names:
            raise ConfigError("with_modules was given no module", "name one or several")
        for name in names:
            _check_word(name, "a module")
        pairs = [
            (name, f"the module {name} cannot be loaded; those there are: module avail")
            for name in names
        ]
        return self._with_fragment("_activate_modules.sh", modules=pairs)

    def _with_fragment(self, template: str, **values: object) -> TrainerCommands:
        return self.with_setup(render(template, **values).rstrip("\n"))

    @property
    def is_ours(self) -> bool:
        """Whether it is the trainer of this package, as the queue's environment has it."""
        return self == OUR_TRAINER

    @property
    def needed_program(self) -> str:
        """What must be found on ``PATH``; empty if only the shell can tell."""
        if not any(_names_in(getattr(self, name), "program") for name in COMMAND_NAMES):
            return ""
        words = [word for word in shlex.split(self.program) if not _ASSIGNMENT.match(word)]
        return words[0] if words and _PLAIN_PROGRAM.fullmatch(words[0]) else ""

    def check_flags(self, params: RunParams) -> None:
        """Refuse to omit what is no flag of these hyperparameters.

        Raises
        ------
        ConfigError
            With the flags that there are.
        """
        known = [hyper.flag for hyper in params.hyperparams() if hyper.passed_to_trainer]
        unknown = [name for name in self.omitted_flags if name not in known]
        if unknown:
            raise ConfigError(
                f"the trainer's omitted_flags hold {', '.join(map(repr, unknown))}",
                f"known are {', '.join(known)}",
            )

    def fill_in(self, command: str, values: Mapping[str, str]) -> ShellText:
        """Give a command with its placeholders filled in.

        Parameters
        ----------
        command : {"train", "posterior_mean", "write_model_params"}
            Which.
        values : mapping of str to str
            Shell text for every placeholder but ``program``, quoted where it must be.

        Returns
        -------
        ShellText
        """
        texts = {**values, "program": self.program}

        def text_of(found: re.Match[str]) -> str:
            literal = found["literal"]
            return f"{{{literal}}}" if literal else texts[found["name"]]

        return ShellText(_PLACEHOLDER.sub(text_of, getattr(self, command)))


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value and bool(value.strip())


def _check_word(name: str, kind: str) -> None:
    if not _is_text(name) or name.startswith("-") or "\n" in name:
        raise ConfigError(f"{name!r} is no name of {kind}", "give its name")


def _names_in(command: str, *names: str) -> bool:
    return any(found["name"] in names for found in _PLACEHOLDER.finditer(command))


def _problems_of(name: str, command: str) -> list[str]:
    found = list(_PLACEHOLDER.finditer(command))
    if name == "program":
        if "\n" in command.strip():
            return ["it has several lines; lines that come first belong into setup"]
        known = [match[0] for match in found if match["name"] in PLACEHOLDERS]
        problems = [f"{one} belongs into a command such as train" for one in known]
        try:
            shlex.split(command)
        except ValueError:
            problems.append("a quote is not closed")
        return problems
    listed = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
    problems = [
        f"there is no placeholder {match[0]}; there are {listed}"
        for match in found
        if match["name"] and match["name"] not in PLACEHOLDERS
    ]
    quoted, is_open = _quoted_places(command)
    problems += [
        f"{match[0]} stands within quotes; leave them out, for what is filled in is quoted"
        for match in found
        if match["name"] in PLACEHOLDERS and match.start() in quoted
    ]
    if is_open:
        problems.append("a quote is not closed")
    return problems


def _quoted_places(command: str) -> tuple[set[int], bool]:
    """Tell which characters the shell takes as quoted, and whether a quote stays open at the end.

    >>> _quoted_places("a 'b' # it's")
    ({3}, False)
    """
    quoted: set[int] = set()
    contexts = [""]  # quotes, and "(" of commands within them, from the outside in
    place = 0
    while place < len(command):
        char, context = command[place], contexts[-1]
        if char == "\\" and context != "'":
            place += 2
            continue
        if context in ("'", '"') and char == context:
            contexts.pop()
        elif context == "'" or (context == '"' and not command.startswith("$(", place)):
            quoted.add(place)
        elif char in "'\"":
            contexts.append(char)
        elif char == "(" or command.startswith("$(", place):
            contexts.append("(")
            place += char == "$"
        elif char == ")" and context == "(":
            contexts.pop()
        elif char == "#" and (place == 0 or command[place - 1] in _WORD_ENDS):
            end = command.find("\n", place)
            place = len(command) if end < 0 else end
        place += 1
    return quoted, any(context in ("'", '"') for context in contexts)


OUR_TRAINER = TrainerCommands()
"""``lfadsq train``, found on ``PATH``: what a collection has unless told otherwise."""
