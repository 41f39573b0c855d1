"""Completion, asked of real shells that have sourced the script."""

from __future__ import annotations

import json
import os
import pty
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lfadsq.cli.main import lfadsq as cli
from lfadsq.cli.shells import VARIABLE, completion_script
from lfadsq.watching.known_names import known_names

from .processes import environment

HOSTILE = "bad $(touch pwned) `touch pwned`;touch pwned&'\"\\!* ~x,y:z=é"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the program on PATH that people have."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "lfadsq"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m lfadsq "$@"\n')
    program.chmod(0o755)
    return tmp_path


def environment_of(home: Path) -> dict[str, str]:
    changed = environment(PATH=f"{home / 'programs'}:{os.environ['PATH']}", HOME=str(home))
    return {**changed, "TERM": "dumb", "INPUTRC": "/dev/null", "HISTFILE": ""}


def in_bash(home: Path, cwd: Path, line: str, word: str) -> list[str]:
    """Ask for completions as bash does, and give the words that it would then read."""
    script = home / "script"
    script.write_text(completion_script(cli, "bash"))
    text = (
        f"source {shlex.quote(str(script))}\n"
        f"COMP_LINE={shlex.quote(line)}; COMP_POINT=${{#COMP_LINE}}\n"
        f'_lfadsq_completion lfadsq {shlex.quote(word)} 2> "$HOME/err"\n'
        'for reply in "${COMPREPLY[@]}"; do eval "words=($reply)"; printf "%s\\0" "${#words[@]}"'
        ' "${words[@]}"; done\n'
    )
    ended = subprocess.run(
        ["bash", "--norc", "-c", text],
        cwd=cwd,
        env=environment_of(home),
        capture_output=True,
        check=True,
    )
    parts = ended.stdout.decode().split("\0")[:-1]
    assert set(parts[::2]) <= {"1"}  # every reply is one word for bash
    return parts[1::2]


def test_bash_completes_runs_and_names_are_safe(home: Path, collection: Any) -> None:
    collection.names.append(HOSTILE)
    collection.specs.append({**collection.spec(collection.names[0]), "name": HOSTILE})
    script = collection.write_script()
    specs = ",\n".join(map(repr, collection.specs))
    script.write_text(f"raise SystemExit('not to be run')\ntask_specs = [{specs}]\n")
    here = collection.folder
    assert in_bash(home, here, "lfadsq logs ", "") == collection.names
    assert in_bash(home, here, "lfadsq explain bad", "bad") == [HOSTILE]
    assert len(in_bash(home, here, "lfadsq queue cancel lfads_p", "lfads_p")) == 4
    assert in_bash(home, here, "lfadsq logs run003", "run003") == [collection.names[2]]
    given = f"lfadsq logs {collection.names[0]} lfads"
    assert in_bash(home, here, given, "lfads") == collection.names[1:4]
    elsewhere = f"FOO=1 lfadsq logs -C {shlex.quote(str(here))} bad"
    assert in_bash(home, home, elsewhere, "bad") == [HOSTILE]
    assert not (here / "pwned").exists()
    assert not (home / "pwned").exists()


def test_bash_completes_verbs_options_and_collections(home: Path, collection: Any) -> None:
    collection.write_script()
    assert in_bash(home, home, "lfadsq te", "te") == ["tensorboard"]
    assert in_bash(home, home, "lfadsq queue st", "st") == ["status", "stop"]
    assert in_bash(home, home, "lfadsq logs --fol", "--fol") == ["--follow", "--follow-forever"]
    assert in_bash(home, home, "lfadsq logs ", "") == ["my collection"]
    assert in_bash(home, home, "lfadsq completion z", "z") == ["zsh"]
    # Paths are its own matter, and so is what goes wrong.
    assert in_bash(home, home, "lfadsq logs ./my", "./my") == []
    assert in_bash(home, home, "lfadsq no_such_verb x", "x") == []


def typed_in_bash(home: Path, cwd: Path, keys: str) -> list[str]:
    """Type into a bash with a terminal, and give the arguments that the program gets."""
    script, arguments = home / "script", home / "arguments"
    script.write_text(completion_script(cli, "bash"))
    rc = home / "rc"
    wrapped = (
        'lfadsq() { if [ -n "${COMP_TEXT+x}" ]; then command lfadsq "$@"; else'
        f" printf '%s\\0' \"$@\" > {shlex.quote(str(arguments))}; fi; }}\n"
    )
    rc.write_text(f"source {shlex.quote(str(script))}\n{wrapped}PS1=ready\n")
    parent, child = pty.openpty()
    process = subprocess.Popen(
        ["bash", "--noprofile", "--rcfile", str(rc), "-i"],
        cwd=cwd,
        env=environment_of(home),
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    printed = b""
    while b"ready" not in printed:
        printed += os.read(parent, 4096)
    os.write(parent, f"{keys}\t\nexit\n".encode())
    try:
        while block := os.read(parent, 4096):
            printed += block
    except OSError:  # EIO: bash has ended
        pass
    os.close(parent)
    process.wait(30)
    assert arguments.exists(), printed
    return arguments.read_text().split("\0")[:-1]


@pytest.mark.parametrize("begin", ["bad", "ba", "'bad", '"bad', "bad\\ \\$", "'bad $(to"])
def test_what_bash_reads_after_the_tab_key_is_the_name(
    home: Path, collection: Any, begin: str
) -> None:
    collection.specs = [{**collection.specs[0], "name": HOSTILE}]
    collection.write_script().write_text(f"task_specs = {collection.specs!r}\n")
    words = typed_in_bash(home, collection.folder, f"lfadsq explain {begin}")
    assert words == ["explain", HOSTILE]
    assert not (collection.folder / "pwned").exists()


def test_what_stands_behind_a_colon_is_completed(home: Path, collection: Any) -> None:
    spec = {**collection.specs[0], "name": "run:one=two"}
    collection.write_script().write_text(f"task_specs = {[spec]!r}\n")
    words = typed_in_bash(home, collection.folder, "lfadsq explain run:on")
    assert words == ["explain", "run:one=two"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_zsh_takes_the_script(home: Path) -> None:
    script = home / "script"
    script.write_text(completion_script(cli, "zsh"))
    text = f"autoload -U compinit; compinit -u; source {script}; print $_comps[lfadsq]"
    ended = subprocess.run(
        ["zsh", "-f", "-c", text], env=environment_of(home), capture_output=True, check=True
    )
    assert (ended.stdout, ended.stderr) == (b"_lfadsq_completion\n", b"")


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_completes_names_with_commas(home: Path, collection: Any) -> None:
    spec = {**collection.specs[0], "name": "run,one $(x)"}
    collection.write_script().write_text(f"task_specs = {[spec]!r}\n")
    script = home / "script"
    script.write_text(completion_script(cli, "fish"))
    text = f'source {script}; complete -C "lfadsq explain ru"; complete -C "lfadsq tens"'
    ended = subprocess.run(
        ["fish", "--no-config", "-c", text],
        cwd=collection.folder,
        env=environment_of(home),
        capture_output=True,
        check=True,
    )
    first, second = ended.stdout.decode().splitlines()
    assert first == "run,one $(x)"
    assert second.startswith("tensorboard\t")


def test_a_thousand_runs_are_suggested_quickly(home: Path, collection: Any) -> None:
    names = [f"lfads_param_ABC_run{number:04d}_single" for number in range(1000)]
    rows = [f"    task({name!r}, 'param_ABC/x', 1, shape='s')," for name in names]
    script = collection.folder / "run_lfadsqueue.py"
    script.write_text("\n".join(["def task(*a): ...", "task_specs = [", *rows, "]"]))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-m", "lfadsq"],
        cwd=collection.folder,
        env={
            **environment_of(home),
            VARIABLE: "bash_complete",
            "COMP_TEXT": "lfadsq logs lfads_",
            "COMP_WORD": "lfads_",
        },
        capture_output=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.stdout.decode().split() == [f"plain,{name}" for name in names]
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used_s < 0.6  # it takes 0.2 s; more would mean that something heavy is imported


def test_names_come_from_all_that_is_known(collection: Any) -> None:
    folder = collection.folder
    run = collection.run_of(collection.names[0])
    (run / "lfads_train.sh").touch()
    assert known_names(folder) == ["param_ABC/run001"]
    (folder / "run_lfadsqueue.py").write_text("this is ( no Python")
    queues = folder / ".lfadsqueue" / "queues"
    queues.mkdir(parents=True)
    (queues / "q1.tasks").write_text(json.dumps({"from_queue": ["c", "o", "d"]}))
    (queues / "q2.tasks").write_text("[1, 2")
    (folder / ".lfadsqueue" / "wishes.json").write_text('{"added": [{"name": "added"}, 3]}')
    (folder / "run_lfadsqueue_some.py").write_text("task('of_script', 1); task(); {'name': 7}")
    assert known_names(folder) == ["of_script", "from_queue", "added"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_and_the_line_are_written(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert "_lfadsq_completion" in result.output
    parent, child = pty.openpty()
    process = subprocess.run(
        [sys.executable, "-m", "lfadsq", "completion", shell],
        env=environment(),
        stdout=child,
        check=True,
    )
    os.close(child)
    told = os.read(parent, 4096).decode()
    os.close(parent)
    assert process.returncode == 0
    assert f"lfadsq completion {shell}" in told
    assert "Put this line into ~/." in told
