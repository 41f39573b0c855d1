"""Pictures of the README and the documentation: shown, small, and made by a script that runs."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from PIL import Image

from .docs_pages import DOCS, PAGES, ROOT, text_of

FOLDER = DOCS / "pictures"
PICTURES = sorted(path for path in FOLDER.iterdir() if path.suffix in (".svg", ".png"))
MOST_BYTES = 200_000
ANIMATE = "{http://www.w3.org/2000/svg}animate"


@pytest.fixture(scope="module")
def terminal() -> ModuleType:
    spec = importlib.util.spec_from_file_location("terminal", FOLDER / "terminal.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_shown_whole_and_small(path: Path) -> None:
    assert any(f"pictures/{path.name})" in text_of(page) for page in PAGES)
    assert path.stat().st_size <= MOST_BYTES
    if path.suffix == ".png":
        with Image.open(path) as image:
            image.verify()
    else:
        text = path.read_text(encoding="utf-8")
        ElementTree.fromstring(text)
        assert not re.findall(r"(?:url\(|href=|src=)\s*['\"]?(?:https?:)?//[^'\")]+", text)


def test_every_picture_that_is_shown_is_there() -> None:
    shown = {name for page in PAGES for name in re.findall(r"pictures/([\w.]+)\)", text_of(page))}
    assert shown == {path.name for path in PICTURES}


@pytest.mark.parametrize("num_frames", [1, 2, 3, 7])
def test_of_an_animation_one_picture_is_seen_at_a_time(
    terminal: ModuleType, num_frames: int
) -> None:
    frame = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><text>{}</text></svg>'
    drawn = terminal.animated([frame.format(n) for n in range(num_frames)], frame_s=2.0)
    groups = list(ElementTree.fromstring(drawn))
    assert len(groups) == num_frames
    for number in range(num_frames):
        now = (number + 0.5) / num_frames
        seen = []
        for group in groups:
            animate = group.find(ANIMATE)
            assert animate is not None
            assert float(animate.attrib["dur"].removesuffix("s")) == 2.0 * num_frames
            times = [float(time) for time in animate.attrib["keyTimes"].split(";")]
            values = animate.attrib["values"].split(";")
            last = max(at for at, time in enumerate(times) if time <= now)
            seen.append(values[last] == "visible")
        assert seen.index(True) == number
        assert sum(seen) == 1


def test_what_a_command_wrote_is_drawn_and_nothing_is_fetched_for_it(
    terminal: ModuleType, tmp_path: Path
) -> None:
    code = "import shutil; print('\\x1b[31mred <&> 🧠\\x1b[0m', *shutil.get_terminal_size())"
    written = terminal.in_terminal(
        [sys.executable, "-c", code],
        folder=tmp_path,
        environment={**os.environ, "COLUMNS": "3", "NO_COLOR": "1"},
        columns=77,
        lines=9,
    )
    drawn = terminal.svg_of_output("a command", written, columns=77)
    shown = "".join(ElementTree.fromstring(drawn).itertext()).replace("\xa0", " ")
    assert "$ a command" in shown
    assert "red <&> 🧠" in shown
    assert "77 9" in shown
    assert "@font-face" not in drawn


@pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("gcc") is None,
    reason="no C compiler for the stand-in GPUs",
)
@pytest.mark.slow
def test_the_script_makes_pictures_of_a_queue_at_work(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(FOLDER / "make_pictures.py"), "--into", str(tmp_path), "--frames", "1"]
        + ["status.svg", "gpus.svg", "watch.svg"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LFADSQ_PICTURES_EPOCH_S": "0.05"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    texts = {
        path.name: "".join(ElementTree.parse(path).getroot().itertext()).replace("\xa0", " ")
        for path in tmp_path.iterdir()
    }
    assert set(texts) == {"status.svg", "gpus.svg", "watch.svg"}
    for text in texts.values():
        assert f"{tempfile.gettempdir()}/" not in text
        assert not re.search(rf"(?<![\w-]){re.escape(socket.gethostname())}(?![\w-])", text)
    assert "lab1: 4 GPUs" in texts["gpus.svg"]
    assert "12 runs: " in texts["status.svg"]
    assert "not a number" in texts["status.svg"]
    assert "/home/me/runs/reaching" in texts["status.svg"]
    assert "lfadsq watch" in texts["watch.svg"]
    assert "12 runs" in texts["watch.svg"]
    assert texts["gpus.svg"].count("NVIDIA A100-PCIE-40GB") == 4
    assert re.search(r"run param_\S+/single_dataset001", texts["gpus.svg"])
