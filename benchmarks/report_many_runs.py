"""How long `lfadsq report` takes for 1,000 runs, and how quick its page is in a browser.

    python benchmarks/report_many_runs.py [--num-runs 1000] [--num-epochs 400] [--keep FILE]

Made up is a collection as a queue on 8 GPUs leaves it: a random sweep of five hyperparameters, of
100 runs 97 are done and 3 failed, each with a ``fitlog.csv``, a record and a log, and a GPU history
of the days that it took. Told are the size of the file, the time to write it (the start of Python
included), and what a person waits for in headless Chromium, without a GPU and so at the slower end:
from opening the file to the first drawing of all charts; sorting; filtering; pointing at a curve;
selecting a run. These end when the browser has drawn the next frame.

Beside it stand the learning curves alone, the same points, in plotly (``scattergl``, WebGL; its
script inlined), where that is installed: what it takes there to open the page, and to hide half of
the curves.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lfadsq.queue.records import Attempt, AttemptState, Cause, Outcome, Record, iso_time

_BEGAN_S = 1_516_000_000.0
_NAME = "single_dataset001"
_NUM_GPUS = 8
_GAP = " " * 6


def fit_log(draw: random.Random, num_epochs: int, level: float) -> str:
    """Make up costs that fall, with a warm-up of a tenth of the epochs and some noise."""
    lines = []
    overfit = draw.uniform(0, 0.04)
    for epoch in range(num_epochs):
        weight = min(1.0, epoch / max(num_epochs / 10, 1))
        fall = 400 * math.exp(-8 * epoch / num_epochs) + 60 * math.exp(-2 * epoch / num_epochs)
        train = level + fall + 20 * weight + draw.gauss(0, 2)
        valid = train + 3 + overfit * epoch + draw.gauss(0, 3)
        lines.append(
            f"epoch,{epoch}, step,{8 * epoch + 8}, total,{train:.2f},{valid:.2f}, {_GAP}"
            f"recon,{train - 22:.2f},{valid - 22:.2f}, kl,20.00,20.00, l2,0.50000, {_GAP}"
            f"klweight,{weight:.2f}, l2weight,{weight:.2f}\n"
        )
    return "".join(lines)


def make_run(
    folder: Path, number: int, num_epochs: int, place: tuple[int, float, float], level: float
) -> None:
    """Make up what a queue leaves of one run: on which GPU, from when, for how long."""
    draw = random.Random(number)
    gpu, began_s, took_s = place
    has_failed = number % 100 in (17, 52, 83)
    cause = Cause.NOT_A_NUMBER if number % 100 == 17 else Cause.GPU_MEMORY
    output = folder / "lfadsOutput"
    output.mkdir(parents=True)
    (folder / "lfadsInput").mkdir()
    (folder / "lfads_train.sh").write_text("true\n", encoding="ascii")
    epochs = num_epochs // 3 if has_failed else num_epochs
    (output / "fitlog.csv").write_text(fit_log(draw, epochs, level), encoding="ascii")
    printed = "ResourceExhaustedError: OOM when allocating tensor" if has_failed else "finished"
    (folder / "lfads.out").write_text(f"Epoch:{epochs}\n{printed}\n", encoding="ascii")
    if not has_failed:
        (folder / "lfads.done").touch()
    attempt = Attempt(
        number=1,
        command=f"bash {folder}/lfads_train.sh",
        host="node1",
        device=f"GPU-{gpu}",
        device_name=f"GPU {gpu} (NVIDIA A100)",
        started_at=iso_time(began_s),
        log_offset=0,
        state=AttemptState.ENDED,
        ended_at=iso_time(began_s + took_s),
        outcome=Outcome.FAILED if has_failed else Outcome.SUCCEEDED,
        cause=cause if has_failed else None,
        exit_status=int(has_failed),
        peak_memory_mb=2000 + draw.random() * 4000,
        queue_id="q1",
    )
    name = f"lfads_{folder.parent.name}_run001_{_NAME}"
    Record(name, (attempt,)).write(folder / "lfads.record.json", durable=False)


def make_history(folder: Path, places: list[tuple[int, float, float]]) -> None:
    """Make up the minutes of a GPU history of 8 GPUs."""
    ends = [began_s + took_s for _, began_s, took_s in places]
    head = {"schema_version": 1, "queue_id": "q1", "host": "node1", "interval_s": 60.0}
    lines: list[Any] = [head]
    for gpu in range(_NUM_GPUS):
        name = f"GPU {gpu} (NVIDIA A100)"
        lines.append({"device": gpu, "id": f"GPU-{gpu}", "name": name, "memory_mb": 40536})
    busy = {
        (gpu, minute)
        for gpu, began_s, took_s in places
        for minute in range(
            int((began_s - _BEGAN_S) // 60), int((began_s + took_s - _BEGAN_S) // 60)
        )
    }
    draw = random.Random(1)
    for minute in range(int((max(ends) - _BEGAN_S) // 60) + 1):
        rows = []
        for gpu in range(_NUM_GPUS):
            is_busy = (gpu, minute) in busy
            used = draw.randint(60, 98) if is_busy else 0
            rows.append([gpu, used, 5000 if is_busy else 420, 60 + 3 * used])
        lines.append([_BEGAN_S + 60 * minute, *rows])
    lines.append([max(ends)])
    gpus = folder / ".lfadsqueue" / "gpus"
    gpus.mkdir(parents=True, mode=0o700)
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (gpus / "q1.minutes").write_text(text, encoding="ascii")


def make_collection(folder: Path, num_runs: int, num_epochs: int) -> None:
    """Make up a collection."""
    draw = random.Random(0)
    settings = [
        "lab.Runs\n  Path: x\n\n",
        f'    [runSpec 1] My.RunSpec "{_NAME}" (1 datasets)\n\n  ----\n\n',
    ]
    free_s = [_BEGAN_S + 20 * gpu for gpu in range(_NUM_GPUS)]
    places = []
    for number in range(num_runs):
        gpu = min(range(_NUM_GPUS), key=lambda one: free_s[one])
        took_s = draw.uniform(1200, 3600)
        place = (gpu, free_s[gpu], took_s)
        free_s[gpu] += took_s + (2400 if draw.random() < 0.03 else 5)
        places.append(place)
        param_hash = f"{number:06d}"
        rate = 10 ** draw.uniform(-4, -1.5)
        l2_scale = draw.choice([0, 1, 10, 100, 1000])
        dim, keep, cell = draw.choice([32, 64, 128, 256]), draw.uniform(0.8, 1), draw.choice("ab")
        level = 1000 + 60 * abs(math.log10(rate) + 2.5) + 900 / dim + draw.gauss(0, 8)
        make_run(folder / f"param_{param_hash}" / _NAME, number, num_epochs, place, level)
        texts = {
            "c_learning_rate_init": f"{rate:.4g}",
            "c_l2_gen_scale": str(l2_scale),
            "c_gen_dim": str(dim),
            "c_keep_prob": f"{keep:.3f}",
            "c_cell": cell,
        }
        told = " ".join(f"{name}={text}" for name, text in texts.items())
        settings.append(
            f"    [{number + 1} param_{param_hash} data_4MaTKO] My.RunParams {told}\n\n"
        )
        settings += [f"         {name}: {text}\n" for name, text in texts.items()]
        settings.append("\n")
    (folder / "summary.txt").write_text("".join(settings), encoding="utf-8")
    make_history(folder, places)


# Whatever a script changed is drawn when the frame after the next one begins.
_TIMED = """async (action) => {
  const act = new Function(action);
  const began = performance.now();
  act();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - began;
}"""
_SORT = "document.querySelector('[data-key=\"valid\"]').click()"
_FILTER = (
    "const box = document.getElementById('filter-text'); box.value = 'gen_dim=64';"
    "box.dispatchEvent(new Event('input'))"
)
_SHOW_ALL = "document.getElementById('clear').click()"
_SELECT = "document.querySelector('#runs-table button.run').click()"
_POINT = """
const over = document.querySelector('#curves-chart .u-over');
const box = over.getBoundingClientRect();
over.dispatchEvent(new MouseEvent('mousemove', {bubbles: true, clientX: box.left + box.width / 2,
  clientY: box.top + box.height * 0.8}))"""
_HIDE_HALF = (
    "const gd = document.querySelector('.js-plotly-plot');"
    "Plotly.restyle(gd, {visible: gd.data.map((_, n) => n % 2 === 0)})"
)


def chromium() -> str | None:
    """Find a Chromium: the one of LFADSQ_TEST_CHROMIUM, or of the system."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = (shutil.which(name) for name in (os.environ.get("LFADSQ_TEST_CHROMIUM", ""), *names))
    return next(filter(None, found), None)


def open_page(page: Any, file: Path, ready: str) -> float:
    """Open a page, and tell how long until it can be used [s]."""
    began_s = time.perf_counter()
    page.goto(file.as_uri())
    page.wait_for_function(ready)
    page.evaluate(_TIMED, "")
    return time.perf_counter() - began_s


def plotly_page(report: Path, file: Path, most_points: int) -> None:
    """Write the same curves as plotly draws them."""
    import plotly.graph_objects as go

    from lfadsq.results.fit_log import FitLog
    from lfadsq.watching.report.curves import curve_of

    figure = go.Figure()
    for path in sorted(report.glob("param_*/*/lfadsOutput/fitlog.csv")):
        curve = curve_of(FitLog.load(path), most_points)
        figure.add_trace(go.Scattergl(x=curve.epochs, y=curve.valid, mode="lines"))
    figure.update_layout(showlegend=False)
    figure.write_html(file, include_plotlyjs=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--num-runs", type=int, default=1000)
    parser.add_argument("--num-epochs", type=int, default=400)
    parser.add_argument("--keep", type=Path, help="Keep the report there.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        collection = Path(made) / "sweep"
        collection.mkdir()
        make_collection(collection, options.num_runs, options.num_epochs)
        file = (options.keep or Path(made) / "report.html").absolute()
        command = [sys.executable, "-m", "lfadsq", "report", str(collection), "-o", str(file)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        began_s = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wrote_s = time.perf_counter() - began_s
        print(f"{options.num_runs} runs of {options.num_epochs} epochs")
        print(f"{'to write the report':40} {wrote_s:8.2f} s, {file.stat().st_size / 1e6:.2f} MB")
        time_in_browser(file, collection, Path(made) / "plotly.html", options.num_runs)


def time_in_browser(file: Path, collection: Path, peer: Path, num_runs: int) -> None:
    """Tell how long a person waits."""
    program = chromium()
    if program is None or find_spec("playwright") is None:
        print("no Chromium, or no playwright: how quick the page is was not measured")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        ours_s = open_page(page, file, "document.documentElement.dataset.ready")
        print(f"{'to open it':40} {ours_s:8.2f} s")
        for what, script in (
            ("to sort the table", _SORT),
            ("to filter to a quarter of the runs", _FILTER),
            ("to show all again", _SHOW_ALL),
            ("to point at a curve", _POINT),
            ("to select a run", _SELECT),
        ):
            print(f"{what:40} {page.evaluate(_TIMED, script) / 1000:8.2f} s")
        if find_spec("plotly") is None:
            print("plotly is not installed: no comparison")
        else:
            plotly_page(collection, peer, max(60, min(1200, 500_000 // (2 * num_runs))))
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            theirs_s = open_page(page, peer, "document.querySelector('.js-plotly-plot .gl-canvas')")
            size_mb = peer.stat().st_size / 1e6
            print("learning curves alone, in plotly:")
            print(f"{'to open it':40} {theirs_s:8.2f} s, {size_mb:.2f} MB,")
            print(f"{'':40} {theirs_s / ours_s:8.1f} times ours")
            hid_s = page.evaluate(_TIMED, _HIDE_HALF) / 1000
            print(f"{'to hide half of the curves':40} {hid_s:8.2f} s")
        browser.close()


if __name__ == "__main__":
    main()
