"""``lfadsq train`` and ``run_lfads.py``: train and evaluate one model."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from lfadsq.cli.boundary import run_command
from lfadsq.cli.train_together import command as together_command
from lfadsq.training.flags import FlagSpec, flag_specs, without_retired_flags

__all__ = ["main", "train"]

_HELP = """Train an LFADS model, or evaluate a trained one.

\b
Train on the files lfadsInput/lfads_*.h5, going on from a checkpoint if there is one:
  lfadsq train --data_dir=lfadsInput --lfads_save_dir=lfadsOutput --co_dim=0

\b
Then, with the same flags, average 512 samples of each trial and write the parameters:
  lfadsq train ... --kind=posterior_sample_and_average --batch_size=512 \\
    --checkpoint_pb_load_name=checkpoint_lve
  lfadsq train ... --kind=write_model_params --checkpoint_pb_load_name=checkpoint_lve

Flags that describe the model must be repeated when it is evaluated (`lfadsq apply` needs none).
SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU and Ctrl-C write a checkpoint first, or what was sampled
so far; the same command then goes on from it, and skips files that are complete.

\b
Train several runs of a sweep in one process (see lfadsq train --together --help):
  lfadsq train --together DIR DIR ...
"""


def _whole_number(text: str | int) -> int:
    """Read a whole number, also as scripts of the MATLAB run manager may print it (512.000000)."""
    try:
        number = float(text)
        if number == int(number):
            return int(text) if isinstance(text, int) or text.strip("+-").isdigit() else int(number)
    except (ValueError, OverflowError):
        pass
    raise click.BadParameter(f"{text!r} is not a whole number.")


class _TrainCommand(click.Command):
    """A command whose help is in groups, and which ignores retired flags.

    With ``--together`` it is another command, that of several runs.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        if "--together" in args:
            together = together_command(self._values)
            return together.make_context(f"{info_name} --together", args, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)

    def _values(self, args: list[str]) -> dict[str, Any]:
        return super().make_context(str(self.name), list(args)).params

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        kept, ignored = without_retired_flags(args)
        ctx.meta["ignored_flags"] = ignored
        return super().parse_args(ctx, kept)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups = {spec.name: spec.group for spec in flag_specs()}
        records: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None:
                records.setdefault(groups.get(str(option.name), "Help"), []).append(record)
        for title, rows in records.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _option(spec: FlagSpec) -> click.Option:
    types: dict[type, Any] = {
        bool: click.BOOL,
        int: _whole_number,
        float: click.FLOAT,
        str: click.STRING,
    }
    metavars = {bool: "true|false", int: "INTEGER", float: "NUMBER", str: "TEXT"}
    kind = click.Choice(spec.choices) if spec.choices else types[spec.type]
    # click takes a default of None for a value, so that nothing would be required.
    default = {} if spec.default is None else {"default": spec.default}
    if spec.type is bool:
        default = {"default": str(spec.default).lower()}
    return click.Option(
        [f"--{spec.name}", spec.name],
        type=kind,
        **default,
        required=spec.is_required,
        show_default=spec.default not in (None, "", sys.maxsize),
        help=spec.help,
        metavar=None if spec.choices else metavars[spec.type],
    )


def _run(**values: Any) -> int:
    # Imported here, as TensorFlow takes seconds to load and --help needs none of it.
    from lfadsq.training.quiet import import_tensorflow_quietly

    import_tensorflow_quietly()
    from lfadsq.training.program import run

    return run(values, say=lambda line: click.echo(line))


train = _TrainCommand(
    "train",
    callback=_run,
    params=[_option(spec) for spec in flag_specs()],
    help=_HELP,
    short_help="Train an LFADS model, or evaluate a trained one.",
)


def main() -> NoReturn:
    """Run the console script ``run_lfads.py``."""
    run_command(train)


if __name__ == "__main__":
    main()
