"""Options of a queue script come before its own arguments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lfadsq.errors import ConfigError, NoGpuError
from lfadsq.queue import run_lfads_queue

from .conftest import spec_of


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--gpu-list", "0,,2"], "no list of GPUs"),
        (["--max-tasks-simultaneously", "0"], "not in the range"),
        (["--notify-on", "always"], "is not one of"),
        (["--nonsense"], "No such option"),
    ],
)
def test_wrong_options_start_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    spec = spec_of(tmp_path, "t", f"touch {tmp_path}/ran")
    with pytest.raises(SystemExit) as end:
        run_lfads_queue("q", None, [spec], argv=argv)
    assert end.value.code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_help_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run_lfads_queue("q", None, [spec_of(tmp_path, "t", "true")], argv=["--help"])
    assert end.value.code == 0
    assert "--detach" in capsys.readouterr().out
    assert not (tmp_path / ".lfadsqueue").exists()


def test_options_come_before_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = spec_of(tmp_path, "t", "true")
    script = tmp_path / "none.sh"
    options = ["--no-tensorboard", "--json", "--max-tasks-simultaneously", "1"]
    run_lfads_queue("q", script, [spec], max_tasks_simultaneously=2, argv=options)
    said = capsys.readouterr()
    assert json.loads(said.out)["finished"] == ["t"]
    assert "up to 1 at a time" in said.err
    assert "TensorBoard" not in said.err
    assert (tmp_path / ".lfadsqueue").is_dir()


def test_gpus_may_be_named_with_commas(tmp_path: Path) -> None:
    with pytest.raises(NoGpuError, match="asks for 0, GPU-5a1f"):
        run_lfads_queue("q", None, [spec_of(tmp_path, "t", "true")], argv=["--gpu-list=0,GPU-5a1f"])


def test_what_contradicts_itself_is_refused(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "t", "true")
    argv = ["--one-task-per-gpu", "--max-tasks-per-gpu", "2"]
    with pytest.raises(ConfigError, match="one_task_per_gpu"):
        run_lfads_queue("q", None, [spec], argv=argv)
