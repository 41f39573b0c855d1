from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lfadsq.errors import ConfigError, StorageError
from lfadsq.queue.task_lists import read_task_list
from lfadsq.queue.tasks import tasks_from_specs

CALL = """
import lfadsqueue as lq
specs = [{{"name": "a b'c", "command": "touch {folder}/ran", "memory_req": 3,
    "outfile": "relative/out", "donefile": "{folder}/lfads.done"}}]
lq.run_lfads_queue("my queue", "{folder}/tb.sh", specs, gpu_list=[], one_task_per_gpu=False,
    max_tasks_simultaneously=2)
open("{folder}/went_on", "w").close()
"""


def script_in(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    script = folder / "run_lfadsqueue.py"
    script.write_text(text)
    return script


@pytest.mark.parametrize("name", ["plain", "with space; touch x", "ünï'code"])
def test_a_script_as_matlab_writes_it_is_read_and_nothing_runs(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    task_list = read_task_list(
        script_in(folder, CALL.format(folder=str(folder).replace("'", "\\'")))
    )
    assert task_list.queue_name == "my queue"
    assert task_list.tensorboard_script == f"{folder}/tb.sh"
    assert task_list.options["one_task_per_gpu"] is False
    assert task_list.options["max_tasks_simultaneously"] == 2
    (task,) = tasks_from_specs(task_list.specs)
    assert task.name == "a b'c"
    assert task.outfile == folder / "relative" / "out"
    assert [path.name for path in folder.iterdir()] == ["run_lfadsqueue.py"]


def test_a_guarded_script_is_read_too(tmp_path: Path) -> None:
    guarded = CALL.format(folder=tmp_path / "x").replace(
        "\nlq.", "\nif __name__ == '__main__': lq."
    )
    assert len(read_task_list(script_in(tmp_path / "x", guarded)).specs) == 1


def test_numbers_of_numpy_and_paths_are_understood(tmp_path: Path) -> None:
    text = CALL.format(folder=tmp_path / "x").replace(
        '"memory_req": 3', '"memory_req": np.int64(7)'
    )
    text = text.replace('"relative/out"', 'Path("relative/out")')
    script = script_in(tmp_path / "x", f"import numpy as np\nfrom pathlib import Path\n{text}")
    (task,) = tasks_from_specs(read_task_list(script).specs)
    assert task.memory_mb == 7
    assert task.outfile == tmp_path / "x" / "relative" / "out"


def test_a_reporter_is_left_out(tmp_path: Path) -> None:
    text = CALL.format(folder=tmp_path / "x").replace("gpu_list=[]", "reporter=object()")
    assert "reporter" not in read_task_list(script_in(tmp_path / "x", text)).options


def test_a_script_that_raises_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    script = script_in(tmp_path / "x", "raise RuntimeError('no such dataset')")
    with pytest.raises(ConfigError, match="no such dataset") as caught:
        read_task_list(script)
    assert "exit status 1" in caught.value.problem


def test_a_script_without_a_queue_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="never calls run_lfads_queue"):
        read_task_list(script_in(tmp_path / "x", "print('hello')"))


def test_a_script_with_no_list_is_an_error(tmp_path: Path) -> None:
    script = script_in(tmp_path / "x", "import lfadsqueue as lq\nlq.run_lfads_queue('q', None, 3)")
    with pytest.raises(ConfigError, match="no task list"):
        read_task_list(script)


def test_a_script_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    script = script_in(
        tmp_path / "x",
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "child.wait()",
    )
    with pytest.raises(ConfigError, match="within 2 s"):
        read_task_list(script, timeout_s=2)
    pid = int((tmp_path / "pid").read_text())
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s and _runs(pid):
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_missing_script_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="missing"):
        read_task_list(tmp_path / "none.py")


def test_our_own_environment_is_not_changed(tmp_path: Path) -> None:
    before = dict(os.environ)
    read_task_list(script_in(tmp_path / "x", CALL.format(folder=tmp_path / "x")))
    assert dict(os.environ) == before
