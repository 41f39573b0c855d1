"""The live view itself: real queues, real logs, keys as a person presses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from lfadsq.errors import LfadsqError
from lfadsq.queue.status import TaskState
from lfadsq.watching.live.app import WatchApp
from lfadsq.watching.live.lines import plain
from lfadsq.watching.live.screens import LogScreen, QuestionScreen, TextScreen
from lfadsq.watching.live.widgets import Lines

from ....nvml_standin.standin import StandInGpu, StandInGpus

_DEADLINE_S = 40.0
SIZES = [(80, 24), (40, 10), (200, 60)]
# Trains as far as a watcher can see: costs, progress, and hostile words in its log.
TRAINER = r"""
import json, pathlib, sys, time
run = pathlib.Path(sys.argv[1]); out = run / "lfadsOutput"; out.mkdir(exist_ok=True)
print("\x1b]0;title\x07\x1b[2Jbegun \x1b[31mred\x1b[0m\n10 %\r100 %", flush=True)
blank = " " * 6
for epoch in range(1, 100000):
    cost = 100 + 1000 / epoch
    with (out / "fitlog.csv").open("a") as log:
        log.write(f"epoch,{epoch}, step,{epoch}, total,{cost:.2f},{cost:.2f}, {blank}recon,1,1,"
                  f" kl,1,1, l2,0.0, {blank}klweight,1.00, l2weight,1.00\n")
    aside = out / "progress.new"
    aside.write_text(json.dumps({
        "version": 1, "state": "training", "num_epochs": epoch, "learning_rate": 0.01,
        "total": [cost, cost], "lowest_valid_total": cost, "steps_per_s": 9.0, "epoch_s": 1.0,
        "remaining_s": 100.0, "host": "", "pid": 1,
        "updated": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())}))
    aside.replace(out / "progress.json")
    time.sleep(0.1)
"""


class Viewer:
    """A person before the view."""

    def __init__(self, app: WatchApp, pilot: Any) -> None:
        self.app, self.pilot = app, pilot

    def text(self) -> str:
        return "\n".join(
            plain(line) for part in self.app.screen.query(Lines) for line in part.lines
        )

    async def sees(self, *words: str) -> str:
        deadline_s = asyncio.get_running_loop().time() + _DEADLINE_S
        while not all(word in self.text() for word in words):
            assert self.app.error is None
            assert asyncio.get_running_loop().time() < deadline_s, f"{words}:\n{self.text()}"
            await self.pilot.pause(0.05)
        return self.text()

    async def presses(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()


def view(
    folder: Path,
    story: Callable[[Viewer], Awaitable[None]],
    size: tuple[int, int] = (80, 24),
    *,
    may_fail: bool = False,
) -> WatchApp:
    async def run() -> WatchApp:
        app = WatchApp(folder, interval_s=0.1)
        async with app.run_test(size=size) as pilot:
            await story(Viewer(app, pilot))
        return app

    app = asyncio.run(run())
    if app.error is not None and not may_fail:
        raise app.error
    return app


def trainer(folder: Path) -> Path:
    program = folder / "trainer.py"
    program.write_text(TRAINER)
    return program


def test_a_queue_that_begins_later_with_its_keys(sweep: Any, start_queue: Any) -> None:
    program = trainer(sweep.folder)
    specs = sweep.collection.specs
    specs[0]["command"] = f"exec python3 {program} {sweep.folder / sweep.runs[0]!s}".replace(
        str(sweep.folder), f"'{sweep.folder}'"
    )
    specs[1]["command"] = "echo out of luck; exit 3"
    sweep.collection.write_script()

    async def story(viewer: Viewer) -> None:
        await viewer.sees("no queue runs", "4 runs: 4 waiting", ">waiting   hash01/single.a")
        queue = start_queue(specs[:2], collection=str(sweep.folder), max_tasks_simultaneously=2)
        seen = await viewer.sees("queue test running", "1 training", "1 failed", "cpu ")
        assert "1 failed: 1 " in seen
        await viewer.sees(">training  hash01/single.a", "lowest", "1m40s", "%")
        course = [line for line in viewer.text().splitlines() if line.startswith(">training")]
        assert "█" in course[0], "the course of its cost"
        await viewer.presses("l")
        seen = await viewer.sees("log of ", "\nbegun red\n100 %\n")
        assert isinstance(viewer.app.screen, LogScreen)
        assert "\x1b" not in seen
        await viewer.presses("q", "e")
        assert isinstance(viewer.app.screen, TextScreen)
        await viewer.sees("about param_hash01/single.a", "attempts:", "by hand:", "state:")
        await viewer.presses("escape", "c")
        assert isinstance(viewer.app.screen, QuestionScreen)
        assert "Cancel param_hash01/single.a?" in viewer.text()
        await viewer.presses("n")
        assert sweep.collection.control.read().cancelled == frozenset()
        await viewer.presses("c", "y")
        await viewer.sees("hash01/single.a: cancelled", "1 cancelled")
        assert sweep.names[0] in sweep.collection.control.read().cancelled
        await viewer.presses("r")
        await viewer.sees("hash01/single.a: to be tried again")
        assert sweep.collection.control.read().cancelled == frozenset()
        queue.kill()
        await viewer.sees("no queue runs; the last one")

    view(sweep.folder, story)


@pytest.mark.slow
def test_gpus_with_those_who_are_on_them(sweep: Any, gpus: StandInGpus, start_queue: Any) -> None:
    gpus.put(
        StandInGpu("GPU-a", util=87, power=250, limit=400, temp=61),
        StandInGpu("GPU-b", total=81920, power=-1, temp=-1, util=-1),
    )
    specs = sweep.collection.specs[:1]
    specs[0]["command"] = gpus.training(3000, 60)

    async def story(viewer: Viewer) -> None:
        await viewer.sees("GPU 0    87 %", "0.0/39.1  250/400  61", "0.0/80.0")
        queue = start_queue(specs, collection=str(sweep.folder))
        await viewer.sees("GPU 0    87 %", "  hash01/single.a")
        await viewer.sees(" 2.9/39.1 ")
        await viewer.presses("g")
        await viewer.sees("GPU-a", "NVIDIA A100", "    hash01/single.a")
        gpus.gpus[0].util = 12
        gpus.write()
        await viewer.sees("12 %")
        queue.kill()

    view(sweep.folder, story)


def test_runs_are_found_filtered_and_sorted(sweep: Any) -> None:
    sweep.write_summary("c_gen_dim=64", "c_gen_dim=128", "c_gen_dim=200", "c_gen_dim=10")
    for number, cost in enumerate((5.0, 2.0, 9.0)):
        sweep.say(number, "finished", lowest_valid_total=cost)
    sweep.collection.tasks[sweep.names[0]].donefile.touch()

    def listed(viewer: Viewer) -> list[str]:
        rows = viewer.app.screen.query_one("#runs", Lines).lines[1:]
        return [plain(row)[11:17] for row in rows]

    async def story(viewer: Viewer) -> None:
        await viewer.sees("4 runs", "best 1:       2.00 hash02/single.a", "gen_dim=128")
        await viewer.presses("s")
        assert listed(viewer) == ["hash01", "hash02", "hash03", "hash04"]
        await viewer.presses("s")
        assert listed(viewer) == ["hash02", "hash01", "hash03", "hash04"]
        await viewer.presses("S")
        assert listed(viewer) == ["hash03", "hash01", "hash02", "hash04"]
        await viewer.presses("f")
        assert listed(viewer) == ["hash03", "hash02"]
        assert "only trained" in viewer.text()
        await viewer.presses("escape", "slash", *"dim=10", "enter")
        assert listed(viewer) == ["hash04"]
        await viewer.presses("down", "escape")
        assert len(listed(viewer)) == 4
        await viewer.presses("slash", *"nowhere")
        assert "no run with 'nowhere'" in viewer.text()
        await viewer.presses("escape", "question_mark")
        await viewer.sees("Ctrl-Z", "turn the order around")

    view(sweep.folder, story)


def test_a_folder_that_vanishes_is_told_and_comes_back(sweep: Any) -> None:
    aside = sweep.folder.with_name("aside")

    async def story(viewer: Viewer) -> None:
        await viewer.sees("4 runs: 4 waiting")
        sweep.folder.rename(aside)
        seen = await viewer.sees("what follows is old: ")
        assert "4 runs: 4 waiting" in seen
        await viewer.presses("l")
        await viewer.sees("there is none yet")
        await viewer.presses("q", "e")
        await viewer.sees("no queue can tell more")
        await viewer.presses("q", "c", "y")
        await viewer.sees("error: there is no ")
        aside.rename(sweep.folder)
        await viewer.presses("down")
        deadline = asyncio.get_running_loop().time() + _DEADLINE_S
        while "is old" in viewer.text():
            assert asyncio.get_running_loop().time() < deadline
            await viewer.pilot.pause(0.05)

    view(sweep.folder, story)


def test_only_what_changed_is_drawn(sweep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str | None, int]] = []
    refresh = Lines.refresh

    def noting(self: Lines, *regions: Any, **options: Any) -> Any:
        drawn.extend((self.id, region.y) for region in regions)
        return refresh(self, *regions, **options)

    monkeypatch.setattr(Lines, "refresh", noting)
    name = sweep.names[0]

    async def story(viewer: Viewer) -> None:
        with sweep.collection.live_queue(
            sweep.collection.status(name, TaskState.RUNNING),
            *(sweep.collection.status(other, TaskState.WAITING) for other in sweep.names[1:]),
        ):
            sweep.say(0, num_epochs=3, host="")
            await viewer.sees(">training  hash01/single.a", "epoch 3")
            await viewer.pilot.pause(0.5)
            drawn.clear()
            await viewer.pilot.pause(1.0)
            assert drawn == [], "some ten looks, and nothing new"
            sweep.say(0, num_epochs=4, host="")
            await viewer.sees("epoch 4")
            assert set(drawn) <= {("runs", 1), ("detail", 1), ("head", 1)}
            assert ("runs", 1) in drawn

    view(sweep.folder, story)


def test_the_top_of_the_list_stays_in_sight_unless_somebody_picked_a_run(sweep: Any) -> None:
    a, b, *others = sweep.names
    status = sweep.collection.status
    waiting = [status(name, TaskState.WAITING) for name in others]

    async def story(viewer: Viewer) -> None:
        with sweep.collection.live_queue(
            status(a, TaskState.RUNNING), status(b, TaskState.WAITING), *waiting
        ) as presence:
            await viewer.sees(">training  hash01/single.a")
            tasks = [status(a, TaskState.DONE), status(b, TaskState.RUNNING), *waiting]
            presence.publish(sweep.collection.snapshot(*tasks), at_once=True)
            await viewer.sees(">training  hash02/single.a")
            await viewer.presses("down", "up", "down")
            await viewer.sees(">waiting   hash03/single.a")
            assert "/4" not in viewer.text(), "all are seen"
            tasks[2] = status(others[0], TaskState.DONE)
            presence.publish(sweep.collection.snapshot(*tasks), at_once=True)
            await viewer.sees(">done      hash03/single.a", " training  hash02/single.a")

    view(sweep.folder, story)


@pytest.mark.parametrize(
    "size",
    [(20, 5), *(pytest.param(size, marks=pytest.mark.slow) for size in SIZES)],
)
def test_it_fits_every_terminal(sweep: Any, size: tuple[int, int]) -> None:
    sweep.say(0, num_epochs=3)

    async def story(viewer: Viewer) -> None:
        await viewer.sees(">")
        await viewer.presses("down")
        if size[1] < 10:
            await viewer.sees("run 2/4")
        await viewer.presses("g", "q", "question_mark", "end", "q")
        for part in viewer.app.screen.query(Lines):
            assert all(len(plain(line)) <= size[0] for line in part.lines)
            assert part.region.bottom <= size[1]
        assert viewer.app.screen.query_one("#runs", Lines).size.height >= 2

    view(sweep.folder, story, size)


def test_a_fault_of_ours_ends_it_and_is_not_lost(
    sweep: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = RuntimeError("a fault")

    async def story(viewer: Viewer) -> None:
        await viewer.sees("4 runs")

        def look() -> Any:
            raise fault

        monkeypatch.setattr(viewer.app._reader, "look", look)
        while viewer.app.error is None:
            await viewer.pilot.pause(0.05)

    assert view(sweep.folder, story, may_fail=True).error is fault


def test_a_run_that_no_queue_knows_can_be_looked_at(tmp_path: Path) -> None:
    run = tmp_path / "param_Yw0JcR" / "by hand"
    (run / "lfadsOutput").mkdir(parents=True)
    (run / "lfads.out").write_text("line\n" * 3000 + "last\n")
    told = {"version": 1, "state": "finished", "num_epochs": 9, "total": [1.0, 2.0]}
    (run / "lfadsOutput" / "progress.json").write_text(json.dumps(told))

    async def story(viewer: Viewer) -> None:
        await viewer.sees("1 run: 1 trained")
        await viewer.presses("l")
        await viewer.sees("last", "of 2,000")
        await viewer.presses("home")
        assert "1-22 of 2,000" in viewer.text()
        await viewer.presses("q", "e")
        await viewer.sees("no queue can tell more", "epoch 9")
        await viewer.presses("q", "r")
        await viewer.sees("error: ")

    view(tmp_path, story)
    assert not (tmp_path / ".lfadsqueue").exists(), "looking leaves nothing behind"


def test_expected_errors_are_no_faults(sweep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(viewer: Viewer) -> None:
        await viewer.sees("4 runs")

        def look() -> Any:
            raise LfadsqError("the disk is away", "wait")

        monkeypatch.setattr(viewer.app._reader, "look", look)
        await viewer.sees("what follows is old: the disk is away")

    view(sweep.folder, story)
