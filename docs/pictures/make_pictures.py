"""Make the pictures of the README and the documentation, so that they show what is.

    python docs/pictures/make_pictures.py [NAME ...]      writes them beside this script

Takes about two minutes. Needs a C compiler, for GPUs that are none, and for the report Chromium and
playwright, which comes with the extra test.
"""

from __future__ import annotations

import argparse
import getpass
import io
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from standin_lab import StandInLab, lab
from terminal import animated, in_terminal, screenshot_of_app, svg_of_output

HERE = Path(__file__).parent
COLUMNS = 90
LINES = 30
NUM_FRAMES = 4
FRAME_S = 2.5
PAGE_WIDTH, PAGE_HEIGHT = 1100, 820
MOST_BYTES = 200_000
_SHOWN_FOLDER = "/home/me/runs"
_PARTS_SHOWN = ("#curves", "#sweep")  # from the first to the last
_MARGIN = 12
_RENAME = """names => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const isCode = walker.currentNode.parentElement.closest("script, style");
        for (const [own, shown] of isCode ? [] : Object.entries(names)) {
            const text = walker.currentNode.data.split(own).join(shown);
            if (text !== walker.currentNode.data) walker.currentNode.data = text;
        }
    }
}"""


def printed(here: StandInLab, *words: str) -> bytes:
    """Run a verb in a terminal in the folder of the collection, and draw what it shows."""
    written = in_terminal(
        [sys.executable, "-m", "lfadsq", *words],
        folder=here.folder,
        environment=here.environment,
        columns=COLUMNS,
        lines=LINES,
    )
    typed = " ".join(["lfadsq", *words])
    return svg_of_output(typed, elsewhere(here, written, blank=" "), columns=COLUMNS).encode()


def elsewhere(here: StandInLab, written: str, *, blank: str = "") -> str:
    """Put a lab's folder, machine and user in the place of those that made the picture.

    With `blank`, what is shorter is filled up with it, as columns of a picture stay where they are.
    """
    for own, shown in names_shown(here).items():
        if blank:
            shown += blank * (len(own) - len(shown))
        # A folder may follow anything, but "me" must not become a part of another word. Colours
        # of a terminal end in a letter, and are none.
        before = "()" if own.startswith("/") else r"(^|[^\w-]|\x1b\[[\d;]*m)"
        written = re.sub(rf"(?m){before}{re.escape(own)}(?![\w-])", rf"\1{shown}", written)
    return written


def names_shown(here: StandInLab) -> dict[str, str]:
    """Give what is shown in the place of what."""
    return {
        str(here.folder): f"{_SHOWN_FOLDER}/{here.folder.name}",
        str(here.folder.parent): _SHOWN_FOLDER,
        socket.gethostname(): "lab1",
        getpass.getuser(): "me",
    }


def status(here: StandInLab) -> bytes:
    return printed(here, "status")


def gpus(here: StandInLab) -> bytes:
    return printed(here, "gpus")


def queue_status(here: StandInLab) -> bytes:
    return printed(here, "queue", "status")


def watch(here: StandInLab, num_frames: int = NUM_FRAMES) -> bytes:
    """Show the live view a few times, one after the other."""
    title, frames = "lfadsq watch", []
    for _ in range(num_frames):
        frame = screenshot_of_app(
            [sys.executable, "-m", "lfadsq", "watch", "--interval", "1"],
            folder=here.folder,
            environment=here.environment,
            columns=COLUMNS,
            lines=LINES,
        )
        frames.append(elsewhere(here, frame, blank="&#160;").replace(">WatchApp<", f">{title}<"))
    return animated(frames, frame_s=FRAME_S).encode()


def report(here: StandInLab) -> bytes:
    """Show the learning curves and the sweep of the report in a browser."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    page = here.folder.parent / "report.html"
    written = in_terminal(
        [sys.executable, "-m", "lfadsq", "report", "-o", str(page)],
        folder=here.folder,
        environment=here.environment,
    )
    if not page.exists():
        raise RuntimeError(f"lfadsq report left nothing: {written[-2000:]}")
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            args=["--no-sandbox"],
        )
        tab = browser.new_page(
            viewport={"width": PAGE_WIDTH, "height": PAGE_HEIGHT}, color_scheme="light"
        )
        tab.goto(page.as_uri())
        tab.wait_for_load_state("networkidle")
        # In what is shown alone: the file is protected against changes.
        tab.evaluate(_RENAME, names_shown(here))
        first, last = (tab.locator(part).bounding_box() for part in _PARTS_SHOWN)
        if first is None or last is None:
            raise RuntimeError(f"the report has no {' or no '.join(_PARTS_SHOWN)}")
        bottom = last["y"] + last["height"]
        top = first["y"] - _MARGIN
        shot = tab.screenshot(
            full_page=True,
            clip={"x": 0, "y": top, "width": PAGE_WIDTH, "height": bottom - top + _MARGIN},
        )
        browser.close()
    small = io.BytesIO()
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(128).save(small, "PNG", optimize=True)
    return small.getvalue()


AT_WORK: dict[str, Callable[[StandInLab], bytes]] = {
    "status.svg": status,
    "gpus.svg": gpus,
    "queue_status.svg": queue_status,
    "watch.svg": watch,
}
"""Pictures of a queue at work: some runs are done, one has failed, some train, some wait."""

AT_THE_END: dict[str, Callable[[StandInLab], bytes]] = {"report.png": report}
"""Pictures of what is left when all is done."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these, such as status.svg")
    parser.add_argument("--into", type=Path, default=HERE, help="folder for the pictures")
    parser.add_argument("--frames", type=int, default=NUM_FRAMES, help="of the live view")
    options = parser.parse_args()
    at_work: dict[str, Callable[[StandInLab], bytes]] = {**AT_WORK}
    at_work["watch.svg"] = partial(watch, num_frames=options.frames)
    known = {**at_work, **AT_THE_END}
    wanted = set(options.names or known)
    if wanted - set(known):
        parser.error(f"no picture {', '.join(wanted - set(known))}; there are {', '.join(known)}")
    options.into.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="l"))  # as long as what is shown in its place
    try:
        with lab(folder) as here:
            here.wait_until(lambda: here.num_done() >= 5, "five runs are done")
            here.wait_until(here.are_all_in_the_middle, "three train")
            for name, draw in at_work.items():
                if name in wanted:
                    save(options.into / name, draw(here))
            if wanted & set(AT_THE_END):
                here.wait_for_the_end()
            for name, draw in AT_THE_END.items():
                if name in wanted:
                    save(options.into / name, draw(here))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def save(path: Path, picture: bytes) -> None:
    if len(picture) > MOST_BYTES:
        raise SystemExit(f"{path.name} has {len(picture):,} bytes, more than {MOST_BYTES:,}")
    path.write_bytes(picture)
    print(f"{path.name}: {len(picture):,} bytes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
