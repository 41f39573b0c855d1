"""`lfadsq open`, as a process, with programs that stand in for a desktop."""

from __future__ import annotations

import os
import pty
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lfadsq.cli.main import lfadsq as cli
from lfadsq.errors import ResultNotReadyError, RunNotFoundError
from lfadsq.queue.tensorboard_claim import Address, Claim
from lfadsq.watching.desktop import browser_command, start

from .processes import environment, lfadsq


@pytest.fixture
def opened(tmp_path: Path) -> Path:
    """Folder of programs that write down what they were to open."""
    for name in ("xdg-open", "my browser", "pager"):
        program = tmp_path / "programs" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text('#!/bin/sh\nfor last; do :; done; echo "$last" > "$0.opened"\n')
        program.chmod(0o755)
    return tmp_path / "programs"


def said(programs: Path, *words: object, **changes: str) -> str:
    plain = {**environment(), **changes}
    plain["PATH"] = f"{programs}:{os.environ['PATH']}"
    for name in {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} - set(changes):
        plain.pop(name, None)
    process = lfadsq("open", *words, env=plain)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    return out.decode()


def prepared(collection: Any) -> Path:
    collection.write_script()
    run = Path(collection.run_of(collection.names[0]))
    (run / "lfads_train.sh").touch()
    return run


def test_the_desktop_opens_folders_and_figures(collection: Any, opened: Path) -> None:
    run = prepared(collection)
    for number, name in enumerate(("old.png", "new.PDF", "lfads_log/newest.png")):
        figure = run / "lfadsOutput" / name
        figure.parent.mkdir(parents=True, exist_ok=True)
        figure.touch()
        os.utime(figure, (number, number))
    cases = {
        (run,): run,
        (collection.folder, "ABC/run001", "figure"): figure.parents[1] / "new.PDF",
    }
    cases[(collection.folder,)] = collection.folder
    for words, expected in cases.items():
        assert said(opened, *words, DISPLAY=":0") == f"{expected}\n"
        assert (opened / "xdg-open.opened").read_text() == f"{expected}\n"


def test_without_a_desktop_the_path_is_printed(collection: Any, opened: Path) -> None:
    run = prepared(collection)
    assert said(opened, run) == f"{run}\n"
    assert said(opened, run, "--print", DISPLAY=":0") == f"{run}\n"
    (run / "lfads.out").touch()
    assert said(opened, run, "log") == f"{run}/lfads.out\n"
    assert not list(opened.glob("*.opened"))
    odd = run.with_name("\x1b[31mred \udcff")
    run.rename(odd)
    process = lfadsq("open", odd, "-p")
    assert process.communicate(timeout=30)[0] == os.fsencode(odd) + b"\n"


def test_a_log_is_shown_in_the_pager_on_a_terminal(collection: Any, opened: Path) -> None:
    run = prepared(collection)
    (run / "lfads.out").touch()
    parent, child = pty.openpty()
    pager = environment(PATH=f"{opened}:{os.environ['PATH']}", PAGER="pager -x")
    process = lfadsq("open", run, "log", env=pager, stdin=child, stdout=child)
    assert process.wait(30) == 0
    os.close(child)
    os.close(parent)
    assert (opened / "pager.opened").read_text() == f"{run}/lfads.out\n"


def test_an_address_goes_to_the_browser(collection: Any, opened: Path) -> None:
    prepared(collection)
    claim = Claim.try_acquire(collection.folder)
    assert claim is not None
    claim.publish(Address(os.uname().nodename, 4321, "me"))
    url = "http://localhost:4321"
    browser = f"no_such_browser:'{opened}/my browser' --new"
    assert said(opened, "-C", collection.folder, "tensorboard", BROWSER=browser) == f"{url}\n"
    assert (opened / "my browser.opened").read_text() == f"{url}\n"
    claim.publish(Address("far.example.org", 4321, "me"))
    result = CliRunner().invoke(cli, ["open", str(collection.folder), "tensorboard"])
    assert "far.example.org, port 4321" in str(result.exception)
    left = (collection.folder / ".lfadsqueue" / "tensorboard.json").read_text()
    claim.release()
    # As one leaves it that is killed.
    (collection.folder / ".lfadsqueue" / "tensorboard.json").write_text(left)
    result = CliRunner().invoke(cli, ["open", str(collection.folder), "tensorboard"])
    assert "no TensorBoard of" in str(result.exception)


@pytest.mark.parametrize(
    ("words", "kind", "expected"),
    [
        (["tensorboard"], ResultNotReadyError, "no TensorBoard of"),
        (["run001", "figure"], ResultNotReadyError, "there is no figure in"),
        (["run001", "log"], ResultNotReadyError, "it comes when the run starts"),
        (["log"], ResultNotReadyError, "queue.log"),
        (["*"], RunNotFoundError, "these are 4 runs"),
        (["run001", "picture"], RunNotFoundError, "no task of"),
    ],
)
def test_what_is_not_there_is_told(
    collection: Any, words: list[str], kind: type[Exception], expected: str
) -> None:
    prepared(collection)
    result = CliRunner().invoke(cli, ["open", str(collection.folder), *words])
    assert isinstance(result.exception, kind), result.output
    assert expected in str(result.exception)


def test_a_program_that_fails_is_noticed(opened: Path) -> None:
    assert browser_command({"BROWSER": "'", "PATH": str(opened)}) is None
    assert not start(["false"], "x")
    assert not start([str(opened / "missing")], "x")
    assert start(["test", "%s", "=", "x"], "x")
