"""What a drive script does works in a notebook: displays are HTML, and long work shows a bar."""

from __future__ import annotations

import pytest

TIMEOUT_S = 300

DRIVE_SCRIPT = [
    """
import numpy as np, scipy.io
from pathlib import Path
from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec
folder = Path("recordings")
folder.mkdir()
rng = np.random.default_rng(0)
for day in (1, 2):
    content = {"spikes": rng.poisson(0.3, (30, 3, 20)).astype(np.uint8), "timeMs": np.arange(20.0)}
    scipy.io.savemat(folder / f"day{day}.mat", content)
datasets = DatasetCollection(folder)
for day in (1, 2):
    Dataset(datasets, f"day{day}.mat")
datasets""",
    "datasets.load_info()",
    "datasets.get_dataset_info_table()",
    """
runs = RunCollection("models", "sweep", datasets)
runs.add_params(RunParams(c_batch_size=5).generate_sweep(c_gen_dim=[8, 16]))
runs.add_run_spec([RunSpec(one.get_single_run_name(), datasets, one) for one in datasets])
runs.prepare_for_lfads()
runs.write_run_queue_script()
runs""",
    "runs.runs[0]",
    "runs.params[0]",
    "runs.run_specs[0]",
    "datasets.datasets[0]",
]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    pytest.importorskip("ipykernel", reason="the extra test brings ipykernel")
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(
        kernel_name="python3", cwd=str(tmp_path_factory.mktemp("notebook"))
    )
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run_cell(kernel, code):
    """Run a cell: every message about its output, in order."""
    messages = []

    def keep(message):
        if message["msg_type"] not in ("status", "execute_input"):
            messages.append((message["msg_type"], message["content"]))

    reply = kernel.execute_interactive(code, output_hook=keep, timeout=TIMEOUT_S)
    assert reply["content"]["status"] == "ok", messages
    return messages


def html_of(messages, *types):
    return [content["data"]["text/html"] for kind, content in messages if kind in types]


@pytest.mark.slow
def test_a_drive_script_runs_in_a_notebook_and_shows_html(kernel):
    shown = [run_cell(kernel, cell) for cell in DRIVE_SCRIPT]
    results = [html_of(messages, "execute_result") for messages in shown]
    assert [len(result) for result in results] == [1, 0, 1, 1, 1, 1, 1, 1]
    assert "2 datasets" in results[0][0]
    assert "<td>30</td><td>3</td>" in results[2][0]
    assert "4 runs" in results[3][0]
    assert "<strong>8</strong>" in results[4][0]
    assert all("<script" not in result[0] for result in results if result)
    kinds = {kind for messages in shown for kind, _ in messages}
    assert kinds == {"execute_result", "display_data", "update_display_data"}  # nothing is printed
    assert "Reading datasets" in html_of(shown[1], "update_display_data")[0]
    plain = [
        one["data"]["text/plain"]
        for messages in shown
        for kind, one in messages
        if kind == "execute_result"
    ]
    assert "[ 2]" in plain[0]


@pytest.mark.slow
def test_long_work_shows_a_bar_below_the_cell_that_vanishes(kernel):
    messages = run_cell(
        kernel,
        """
import logging, time
from lfadsq.manager.progress import showing_progress
with showing_progress("Reading <days>", 3) as advance:
    time.sleep(0.2)
    advance("day1")
    advance("day2")
    advance("day3")
""",
    )
    assert [kind for kind, _ in messages] == ["display_data"] + 3 * ["update_display_data"]
    started, *updates, gone = html_of(messages, "display_data", "update_display_data")
    assert "0 of 3" in started
    assert [("1 of 3" in update, "3 of 3" in update) for update in updates] == [
        (True, False),
        (False, True),
    ]
    assert "Reading &lt;days&gt;: day1" in updates[0]
    assert gone == ""
    assert len({content["transient"]["display_id"] for _, content in messages}) == 1


@pytest.mark.slow
def test_a_bar_vanishes_when_work_fails(kernel):
    messages = run_cell(
        kernel,
        """
from lfadsq.manager.progress import showing_progress
try:
    with showing_progress("Reading", 2) as advance:
        raise OSError("disk")
except OSError:
    pass
""",
    )
    assert html_of(messages, "update_display_data") == [""]
