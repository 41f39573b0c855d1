from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.queue.commands import invocation_of
from lfadsq.queue.tasks import Task

LOG = Path("/runs/r 1/lfads.out")


def task(command: str, donefile: str = "/runs/r 1/lfads.done") -> Task:
    return Task("t", command, 1.0, LOG, Path(donefile))


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1))
def test_a_quoted_command_means_what_the_shell_says(words: list[str]) -> None:
    argv = invocation_of(task(shlex.join(["printf", "%s|", *words]))).argv
    if argv[0] == "bash":  # the shell will read it
        assert argv[1] == "-c"
    else:
        assert argv == ("printf", "%s|", *words)


@pytest.mark.parametrize(
    "command",
    [
        "a && b",
        "a | b",
        "a > b",
        "A=1 b",
        "~/b",
        "echo $HOME",
        'echo "x"',
        "a; b",
        "ls *",
        "a &",
        "a\\ b",
    ],
)
def test_shell_syntax_goes_to_a_shell(command: str) -> None:
    assert invocation_of(task(command)).argv == ("bash", "-c", command)


@pytest.mark.parametrize(
    "quote", ["'/runs/r 1/lfads.out'", '"/runs/r 1/lfads.out"', r"/runs/r\ 1/lfads.out"]
)
@pytest.mark.parametrize("option", ["", "-a "])
def test_the_pipe_of_matlab_scripts_is_taken_off(quote: str, option: str) -> None:
    invocation = invocation_of(task(f"bash '/runs/r 1/lfads_train.sh' 2>&1 | tee {option}{quote}"))
    assert invocation.argv == ("bash", "/runs/r 1/lfads_train.sh")
    assert invocation.success_line == "Stopping optimization"


def test_three_chained_commands_keep_their_chain() -> None:
    chain = "python $(which run_lfads.py) --kind=train && python x && python y"
    invocation = invocation_of(task(f"{chain} 2>&1 | tee '{LOG}'"))
    assert invocation.argv == ("bash", "-c", chain)


def test_a_pipe_into_another_file_stays() -> None:
    command = "bash x.sh 2>&1 | tee /elsewhere.out"
    invocation = invocation_of(task(command))
    assert invocation.argv == ("bash", "-c", command)
    assert invocation.success_line == "Stopping optimization"


@pytest.mark.parametrize(
    "command", ["bash x.sh | tee /o", "x 2>&1 | tee a b", "x 2>&1 | tee /o | wc"]
)
def test_other_pipes_are_no_matlab_scripts(command: str) -> None:
    invocation = invocation_of(task(command))
    assert invocation.argv == ("bash", "-c", command)
    assert invocation.success_line is None


def test_sampling_alone_prints_no_line_of_a_training() -> None:
    command = f"bash x.sh 2>&1 | tee '{LOG}'"
    invocation = invocation_of(task(command, "/runs/r 1/lfads.done.posteriorMeanOnly"))
    assert invocation.argv == ("bash", "x.sh")
    assert invocation.success_line is None


def test_plain_commands_run_as_the_shell_would_run_them() -> None:
    command = "printf %s, a 'b c' d=e --x=1:2"
    argv = invocation_of(task(command)).argv
    assert argv[0] == "printf"
    direct = subprocess.run(argv, capture_output=True, check=True).stdout
    assert direct == subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
