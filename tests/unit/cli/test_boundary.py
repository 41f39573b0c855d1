"""Every end of a command has its exit status and its words."""

from __future__ import annotations

import click
import pytest

from lfadsq.cli.boundary import run_command
from lfadsq.errors import ConfigError


def end_of(error, capsys):
    @click.command()
    @click.option("--size", type=int)
    def verb(size):
        if error is not None:
            raise error

    argv = ["--size", "x"] if error is click.UsageError else []
    with pytest.raises(SystemExit) as ended:
        run_command(verb, argv)
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (None, 0, ""),
        (
            ConfigError("the batch is too large", "use 20"),
            1,
            "error: the batch is too large; use 20",
        ),
        (click.UsageError, 2, "is not a valid integer"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (PermissionError(13, "no", "/data/runs"), 1, "error: cannot use /data/runs: permission"),
        (ZeroDivisionError("oops"), 3, "Traceback"),
    ],
)
def test_statuses(error, status, words, capsys):
    code, printed = end_of(error, capsys)
    assert code == status
    assert words in printed


@pytest.mark.parametrize("error", [ConfigError("no"), PermissionError(13, "no", "/data/runs")])
def test_an_expected_error_shows_no_traceback(error, capsys):
    _, printed = end_of(error, capsys)
    assert "Traceback" not in printed
