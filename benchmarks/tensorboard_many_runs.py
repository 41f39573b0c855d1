"""How TensorBoard bears a collection of very many runs, by the way it is pointed at them.

A collection of made-up runs is written (folders, checkpoints and inputs as trainings leave them,
event files by the trainer's own writer), and a real TensorBoard is started on it:

* ``collection``: ``--logdir`` is the folder of the collection;
* ``links``: ``--logdir`` is a folder of links to the event folders;
* ``listed``: every run by name, ``--logdir_spec=name:path,...``;
* ``script``: as ``launch_tensorboard.sh`` does it.

What follows ``--`` goes to TensorBoard, for example ``-- --load_fast=false``.

    python benchmarks/tensorboard_many_runs.py [--runs 1000] [--ways collection links listed script]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from lfadsq.manager.scripts import render_tensorboard_script
from lfadsq.paths import CollectionPaths, RunPaths

_PARTS = ("KL_cost__train_", "KL_cost__valid_", "Reconstruction_cost__train_")
_PARTS += ("Reconstruction_cost__valid_", "Total_cost__train_", "Total_cost__valid_", "L2_cost")
_PARTS += ("Learning_rate", "KL_weight", "L2_weight", "Corr_cost", "Gradient_global_norm")
_PARTS += ("AR_Autocorrelation_taus_0", "AR_Variances_0", "AR_Variances_1")
_MB = 1024 * 1024
_PICTURE_BYTES = 10_000
_CHECKPOINT_BYTES = 100_000


def _write_events(folder: Path, num_epochs: int) -> None:
    writer = EventFileWriter(str(folder))
    for epoch in range(num_epochs):
        values = [
            Summary.Value(tag=f"LFADS/{part}", simple_value=100 / (1 + epoch)) for part in _PARTS
        ]
        writer.add_event(Event(summary=Summary(value=values), step=epoch * 10, wall_time=epoch))
        if epoch % 10 == 0:
            picture = Summary.Image(
                height=60, width=600, colorspace=1, encoded_image_string=os.urandom(_PICTURE_BYTES)
            )
            value = Summary.Value(tag="LFADS/Example_trial_train", image=picture)
            writer.add_event(Event(summary=Summary(value=[value]), step=epoch * 10))
    writer.close()


def _make_collection(folder: Path, num_runs: int, num_epochs: int) -> None:
    model = folder.parent / "events"
    _write_events(model, num_epochs)
    (events,) = model.iterdir()
    for number in range(num_runs):
        param, name = f"param_{number // 100:06d}", f"single_dataset{number % 100:03d}"
        run = RunPaths(folder / param / name)
        run.lfads_input.mkdir(parents=True)
        data = folder / f"data_{number // 100:06d}" / name
        data.mkdir(parents=True)
        (data / f"lfads_{name}.h5").write_bytes(bytes(1000))
        (run.lfads_input / f"lfads_{name}.h5").symlink_to(data / f"lfads_{name}.h5")
        run.output.log_dir.mkdir(parents=True)
        shutil.copy(events, run.output.log_dir)
        (run.lfads_output / "fitlog.csv").write_text("epoch\n" * num_epochs)
        for step in range(10):
            for ending in ("index", "data-00000-of-00001"):
                path = run.lfads_output / f"lfads.ckpt-{step}.{ending}"
                path.write_bytes(bytes(_CHECKPOINT_BYTES if step == 9 else 1))
        for script in run.scripts:
            script.write_text("true\n")
        run.log.write_text("Epoch:1\n")
    script = CollectionPaths(folder).tensorboard_script
    script.write_text(render_tensorboard_script())


def _command(way: str, folder: Path, port: int) -> list[str]:
    event_folders = sorted(folder.glob("param_*/*/lfadsOutput/lfads_log"))
    names = [f"{path.parents[1].name}__{path.parents[2].name}" for path in event_folders]
    common = [f"--port={port}", "--host=localhost"]
    if way == "script":
        return ["bash", str(CollectionPaths(folder).tensorboard_script), f"--port={port}"]
    if way == "collection":
        return ["tensorboard", f"--logdir={folder}", *common]
    if way == "links":
        tree = folder.parent / "links"
        tree.mkdir(exist_ok=True)
        for name, path in zip(names, event_folders, strict=True):
            if not (tree / name).exists():
                (tree / name).symlink_to(path)
        return ["tensorboard", f"--logdir={tree}", *common]
    listed = ",".join(f"{n}:{p}" for n, p in zip(names, event_folders, strict=True))
    return ["tensorboard", f"--logdir_spec={listed}", *common]


def _fetch(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return bytes(answer.read())
    except OSError:
        return None


def _time_until(condition: Callable[[], object], began_s: float, patience_s: float) -> float:
    while not condition():
        if time.monotonic() - began_s > patience_s:
            return float("nan")
        time.sleep(0.1)
    return time.monotonic() - began_s


def _tree_of(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _cpu_s(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in _tree_of(process)]
    return sum(one.user + one.system for one in times)


def _measure(way: str, folder: Path, options: argparse.Namespace) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"http://localhost:{port}"
    began_s = time.monotonic()
    with (folder.parent / f"{way}.log").open("wb") as log:
        started = subprocess.Popen(
            [*_command(way, folder, port), *options.rest],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            start_new_session=True,
        )
    try:
        process = psutil.Process(started.pid)
        answers_s = _time_until(lambda: _fetch(f"{base}/") is not None, began_s, 120)
        runs: list[str] = []

        def all_listed() -> bool:
            runs[:] = json.loads(_fetch(f"{base}/data/runs") or b"[]")
            return len(runs) >= options.runs

        listed_s = _time_until(all_listed, began_s, options.patience_s)
        # Listed is not loaded: wait until it stops working, but for its regular look around.
        busy, last_s = 1.0, _cpu_s(process)
        while busy > 0.5 and time.monotonic() - began_s < options.patience_s:
            time.sleep(5)
            now_s = _cpu_s(process)
            busy, last_s = (now_s - last_s) / 5, now_s
        loaded_s, cpu_s = time.monotonic() - began_s, _cpu_s(process)
        memory_mb = sum(one.memory_info().rss for one in _tree_of(process)) / _MB
        time.sleep(options.idle_s)
        idle = (_cpu_s(process) - cpu_s) / options.idle_s
        asked_s = time.monotonic()
        _fetch(f"{base}/data/runs")
        _fetch(f"{base}/data/plugin/scalars/tags")
        reply_s = time.monotonic() - asked_s
        print(
            f"{way:12s} {answers_s:9.1f} {listed_s:9.1f} {len(runs):6d} {loaded_s:9.1f}"
            f" {cpu_s:9.1f} {memory_mb:9.0f} {idle * 100:9.1f} {reply_s:9.2f}  {sorted(runs)[:1]}",
            flush=True,
        )
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=300)
    ways = ("collection", "links", "listed", "script")
    parser.add_argument("--ways", nargs="+", choices=ways, default=ways)
    parser.add_argument("--idle-s", type=float, default=30.0, help="how long idleness is measured")
    parser.add_argument("--patience-s", type=float, default=300.0)
    parser.add_argument("--folder", type=Path, default=None, help="where the runs are written")
    parser.add_argument("rest", nargs="*", help="options of tensorboard, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name) / "collection"
        _make_collection(folder, options.runs, options.epochs)
        print(f"{options.runs} runs of {options.epochs} epochs; tensorboard {options.rest}")
        print(
            f"{'':12s} answers s  listed s   runs  loaded s     CPU s memory MB    idle %"
            "   reply s  first run"
        )
        for way in options.ways:
            _measure(way, folder, options)


if __name__ == "__main__":
    main()
