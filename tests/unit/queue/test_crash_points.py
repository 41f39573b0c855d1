"""A queue may die at any step, alone or with its tasks, or the power may go: nothing gets lost.

What is promised, and what these tests ask for after a fresh queue has run to its end:

- The done-marker is there, and the newest attempt in the record has succeeded.
- A command of which the journal or the record says that it ended well is never run again.
- If only the queue died, the command ran exactly once.
- Every start of a command is an attempt in the record, numbered from 1 without gaps.
- No temporary file is left, and no process.
- After a loss of power, a task whose done-marker had been flushed is not run again; any other may
  be, and starts that were never flushed may be missing from the record.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("crashing.py")
EVERY_NTH = 7

COMMAND = (
    "exec 8>>{notes}/alone; flock -n 8 || echo two >> {notes}/overlaps;"
    " echo start >> {notes}/NAME.starts; sleep 0.03; echo end >> {notes}/NAME.ends"
)


def spec_for(name: str, marker: str) -> dict[str, Any]:
    return {
        "name": name,
        "command": COMMAND.replace("NAME", name),
        "memory_req": 1,
        "outfile": f"{{run}}/{name}.out",
        "donefile": f"{{run}}/{marker}",
    }


TRAIN = spec_for("train", "lfads.done")
SAMPLE = spec_for("sample", "lfads.done.posteriorMeanOnly")


def crash_everywhere(
    root: Path,
    victims: str,
    *,
    waits: bool = False,
    specs: tuple[dict[str, Any], ...] = (TRAIN,),
    first: int = 1,
    stride: int = 1,
) -> list[dict[str, Any]]:
    """Give what came of a crash at each step."""
    request = {
        "root": str(root),
        "victims": victims,
        "waits": waits,
        "specs": specs,
        # The other way round: what one task left behind must not get lost to another.
        "again": specs[::-1],
        "first": first,
        "stride": stride,
    }
    done = subprocess.run(
        [sys.executable, PROGRAM, json.dumps(request)],
        capture_output=True,
        text=True,
        timeout=500,
        # Dask's folder of a queue that is killed stays behind.
        env={**os.environ, "TMPDIR": str(root)},
    )
    assert done.returncode == 0, done.stderr
    facts = [json.loads(line) for line in done.stdout.splitlines()]
    # The last queue ran through; before it there were crashes, or nothing was tried.
    assert [fact["crashed"] for fact in facts[-1:]] == [False]
    assert len({fact["step"] for fact in facts}) > 15 // stride
    return facts


def count(files: dict[str, str], spec: dict[str, Any], what: str) -> int:
    return len(files.get(f"notes/{spec['name']}.{what}", "").split())


def attempts_in(files: dict[str, str], spec: dict[str, Any]) -> list[dict[str, Any]]:
    marker = Path(spec["donefile"]).name
    text = files.get(f"run/lfads.record.json{marker.removeprefix('lfads.done')}")
    return list(json.loads(text)["attempts"]) if text else []


def is_known_to_have_succeeded(files: dict[str, str], spec: dict[str, Any]) -> bool:
    marker = f"/{Path(spec['donefile']).name}"
    first, _, rest = files.get("run/lfads.lock", "").partition("\n")
    in_journal = f'{marker}"' in first and "exit 0\n" in rest
    in_record = any(a["outcome"] == "succeeded" for a in attempts_in(files, spec))
    return in_journal or in_record or f"run{marker}" in files


def problems_of(fact: dict[str, Any], spec: dict[str, Any], victims: str) -> list[str]:
    """Name what must not be after a crash and a fresh queue."""
    before, after = fact["before"], fact["after"]
    marker = Path(spec["donefile"]).name
    attempts = attempts_in(after, spec)
    outcomes = [attempt["outcome"] for attempt in attempts]
    num_starts = count(after, spec, "starts")
    num_again = num_starts - count(before, spec, "starts")
    problems = []
    if f"run/{marker}" not in after:
        problems.append("no done-marker")
    if outcomes[-1:] != ["succeeded"]:
        problems.append(f"the attempts in the record are {outcomes}")
    if [attempt["number"] for attempt in attempts] != list(range(1, len(attempts) + 1)):
        problems.append(f"they are numbered {[attempt['number'] for attempt in attempts]}")
    if victims == "power":
        if marker in fact["durable"] and num_again:
            problems.append("run again, though its done-marker had been flushed")
        return problems
    if outcomes.count("succeeded") != 1 or None in outcomes:
        problems.append(f"the attempts in the record are {outcomes}")
    if num_again and is_known_to_have_succeeded(before, spec):
        problems.append("run again, though it was known to have succeeded")
    if victims == "queue" and num_starts != 1:
        problems.append(f"started {num_starts} times")
    if num_starts > len(attempts):
        problems.append(f"{num_starts} starts, and only {len(attempts)} attempts")
    return problems


def check(facts: list[dict[str, Any]], specs: tuple[dict[str, Any], ...], victims: str) -> None:
    """Fail with everything that must not be, and where."""
    found: dict[str, dict[str, None]] = {}  # ordered, and each place once
    for fact in facts:
        problems = [f"{s['name']}: {p}" for s in specs for p in problems_of(fact, s, victims)]
        after = fact["after"]
        if fact["status"] != 0:
            problems.append(f"the fresh queue ended with {fact['status']}")
        if "notes/overlaps" in after:
            problems.append("two commands at once in one run")
        problems += [f"still runs: {command}" for command in fact["left"]]
        kept = [name for name in after if name.endswith((".tmp", ".damaged"))]
        # Names that differ each time would hide that it is one and the same problem.
        problems += [
            f"left behind: {name.removesuffix('.tmp').rpartition('.')[0]}" for name in kept
        ]
        where = f"step {fact['step']} ({fact['event'].partition(' ')[0]})"
        for problem in problems:
            found.setdefault(problem, {})[where] = None
    assert not found, "\n".join(f"{what}: at {', '.join(at)}" for what, at in found.items())


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after its task ended"])
def test_the_queue_alone_may_be_killed_at_any_step(tmp_path: Path, waits: bool) -> None:
    # The two take turns: together they stop at every second step.
    facts = crash_everywhere(tmp_path, "queue", waits=waits, first=1 + 2 * waits, stride=4)
    check(facts, (TRAIN,), "queue")


def test_queue_supervisor_and_task_may_be_killed_at_any_step(tmp_path: Path) -> None:
    check(crash_everywhere(tmp_path, "all", first=2, stride=5), (TRAIN,), "all")


@pytest.mark.parametrize("victims", ["supervisor", "queue+supervisor"])
def test_a_supervisor_may_be_killed_at_any_step(tmp_path: Path, victims: str) -> None:
    check(crash_everywhere(tmp_path, victims, first=3, stride=7), (TRAIN,), victims)


def test_two_tasks_of_one_run_keep_what_is_known_of_each(tmp_path: Path) -> None:
    specs = (TRAIN, SAMPLE)
    facts = crash_everywhere(tmp_path, "queue", waits=True, specs=specs, first=3, stride=8)
    check(facts, specs, "queue")


def test_the_power_may_go_at_any_step(tmp_path: Path) -> None:
    check(crash_everywhere(tmp_path, "power", waits=True, first=3, stride=8), (TRAIN,), "power")


@pytest.mark.slow
@pytest.mark.parametrize("victims", ["queue", "all", "supervisor", "queue+supervisor", "power"])
@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after its task ended"])
@pytest.mark.parametrize("specs", [(TRAIN,), (TRAIN, SAMPLE)], ids=["alone", "two of a run"])
def test_every_way_at_any_step(
    tmp_path: Path, victims: str, waits: bool, specs: tuple[dict[str, Any], ...]
) -> None:
    # Others each time, so that a minute is enough.
    first = random.randint(1, EVERY_NTH)
    facts = crash_everywhere(
        tmp_path, victims, waits=waits, specs=specs, first=first, stride=EVERY_NTH
    )
    check(facts, specs, victims)
