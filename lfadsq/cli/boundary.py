"""The one place where errors become messages and exit statuses.

===== =====================================
1     an expected error: a message, no traceback
2     wrong use of the command line
3     a bug: the traceback is printed
130   interrupted by Ctrl-C
===== =====================================
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from lfadsq.errors import LfadsqError

__all__ = ["run_command"]


def run_command(command: click.Command, argv: list[str] | None = None) -> NoReturn:
    """Run a command of the command line and end the process with its exit status.

    Parameters
    ----------
    command : click.Command
        What to run.
    argv : list of str, optional
        Its arguments; by default those of the process.

    Raises
    ------
    SystemExit
        Always, with the statuses listed above.
    """
    raise SystemExit(_exit_status(command, argv))


@contextmanager
def _warnings_shown() -> Iterator[None]:
    # Only our own: other libraries' loggers are theirs to configure, and Dask's are talkative.
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger = logging.getLogger("lfadsq")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _exit_status(command: click.Command, argv: list[str] | None) -> int:
    try:
        with _warnings_shown():
            result = command.main(args=argv, standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except LfadsqError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        # The reader of our output left (for example `| head`): nothing to say, and nobody to hear.
        sys.stderr.close()
        return 1
    except PermissionError as error:
        # Whatever came upon it first: the user's files are no bug of ours.
        where = f" {error.filename}" if error.filename else ""
        click.echo(
            f"error: cannot use{where}: permission denied; ask its owner for permission to it, "
            "and to the folders it is in",
            err=True,
        )
        return 1
    except Exception:
        traceback.print_exc()
        click.echo("this is a bug in lfadsq: please report it with the lines above", err=True)
        return 3
    return result if isinstance(result, int) else 0
