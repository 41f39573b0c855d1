"""Running the commands of batch systems, so that none of their words is lost."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lfadsq.errors import ClusterError

__all__ = ["Answer", "ask_command", "call", "refusal", "refuse_unless_gone"]

TIMEOUT_S = 60.0
_LONGEST_WORDS = 1000


@dataclass(frozen=True)
class Answer:
    """What a command said.

    Attributes
    ----------
    argv : tuple of str
    status : int
        Exit status; negative for a signal.
    out, err : str
    """

    argv: tuple[str, ...]
    status: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What it complained of, in one line: its errors, or what else it said."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        words = " / ".join(line.strip() for line in lines if line.strip())
        return words if len(words) <= _LONGEST_WORDS else words[:_LONGEST_WORDS] + " ..."


def call(
    argv: Sequence[str],
    *,
    given: str = "",
    environment: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Run a command to its end, whatever it answers.

    Parameters
    ----------
    argv : sequence of str
    given : str, optional
        For its standard input.
    environment : mapping of str to str, optional
        In place of this process's own. ``LC_ALL`` is always C: the words are parsed.
    timeout_s : float, default 60
        After which it is killed [s].

    Returns
    -------
    Answer

    Raises
    ------
    ClusterError
        If it is missing, cannot be started, or does not end.
    """
    variables = {**(os.environ if environment is None else environment), "LC_ALL": "C"}
    try:
        # A session of its own: Ctrl-C in the terminal must not end a submission half-way.
        process = subprocess.run(
            argv,
            input=given.encode("utf-8", "surrogateescape"),
            capture_output=True,
            env=variables,
            timeout=timeout_s,
            start_new_session=True,
            check=False,
        )
    except FileNotFoundError:
        raise ClusterError(
            f"the program {argv[0]!r} was not found on this machine",
            "are you on a login node of the cluster? On some, its commands come by a module, such "
            f"as 'module load slurm'; '{argv[0]}' must work in the shell that starts the queue",
        ) from None
    except subprocess.TimeoutExpired:
        raise ClusterError(
            f"'{_shown(argv)}' had not ended after {timeout_s:g} s",
            "the batch system does not answer: try the same command by hand, and later again",
        ) from None
    except OSError as error:
        raise ClusterError(
            f"'{_shown(argv)}' cannot be started: {error.strerror}",
            "try the same command by hand",
        ) from None
    return Answer(
        tuple(argv),
        process.returncode,
        process.stdout.decode("utf-8", "replace"),
        process.stderr.decode("utf-8", "replace"),
    )


def ask_command(
    argv: Sequence[str],
    *,
    given: str = "",
    environment: Mapping[str, str] | None = None,
    remedy: str = "",
) -> Answer:
    """Run a command that must succeed.

    Parameters
    ----------
    argv, given, environment
        See `call`.
    remedy : str, optional
        What to do if it refuses.

    Returns
    -------
    Answer

    Raises
    ------
    ClusterError
        If it cannot be run, or ends with another status than 0.
    """
    answer = call(argv, given=given, environment=environment)
    if answer.status != 0:
        raise refusal(answer, remedy)
    return answer


def refuse_unless_gone(answer: Answer, gone: re.Pattern[str], remedy: str = "") -> None:
    """See that a command refused nothing but jobs that are gone.

    Parameters
    ----------
    answer : Answer
    gone : re.Pattern
        Found in every line of its errors that says so.
    remedy : str, optional
        What to do if it refuses anything else.

    Raises
    ------
    ClusterError
        In its own words, if it failed and has complained of anything else, or of nothing.
    """
    wrong = [line for line in answer.err.splitlines() if line.strip()]
    if answer.status != 0 and not (wrong and all(map(gone.search, wrong))):
        raise refusal(answer, remedy)


def refusal(answer: Answer, remedy: str = "") -> ClusterError:
    """Make the error of a command that refused, in its own words.

    Examples
    --------
    >>> print(refusal(Answer(("sbatch",), 1, "", "sbatch: error: no such partition"), "see sinfo"))
    'sbatch' ended with exit status 1: sbatch: error: no such partition; see sinfo
    """
    ended = f"signal {-answer.status}" if answer.status < 0 else f"exit status {answer.status}"
    said = answer.words or "it said nothing"
    return ClusterError(
        f"'{_shown(answer.argv)}' ended with {ended}: {said}",
        remedy or "try the same command by hand, and later again",
    )


def _shown(argv: Sequence[str]) -> str:
    text = shlex.join(argv)
    return text if len(text) <= 120 else text[:120] + " ..."
