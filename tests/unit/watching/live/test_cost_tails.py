"""Courses of costs, read as their logs grow."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfadsq.results.fit_log import FitLog
from lfadsq.watching.live.cost_tails import NUM_COSTS, CostTails

NAME = "param_ABC/one"


def line(epoch: int, valid: float) -> bytes:
    blank = " " * 6
    text = (
        f"epoch,{epoch}, step,{epoch * 10}, total,{valid - 1:.2f},{valid:.2f}, {blank}"
        f"recon,1.00,2.00, kl,0.10,0.20, l2,0.00000, {blank}klweight,1.00, l2weight,1.00\n"
    )
    return text.encode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / NAME / "lfadsOutput" / "fitlog.csv"
    path.parent.mkdir(parents=True)
    return path


def test_it_grows_with_its_log_and_reads_no_byte_twice(tmp_path: Path, log: Path) -> None:
    tails = CostTails(tmp_path)
    assert tails.read([NAME, "param_ABC/none"]) == {}
    log.write_bytes(b"".join(line(epoch, 100 - epoch) for epoch in range(5)))
    assert tails.read([NAME]) == {NAME: (100, 99, 98, 97, 96)}
    assert tails.num_bytes == log.stat().st_size
    assert tails.read([NAME])[NAME][-1] == 96
    assert tails.num_bytes == log.stat().st_size, "nothing is new"
    with log.open("ab") as file:
        file.write(line(5, 7.25) + line(6, 6.5)[:40])
    assert tails.read([NAME])[NAME][-2:] == (96, 7.25), "the last line is being written"
    with log.open("ab") as file:
        file.write(line(6, 6.5)[40:])
    assert tails.read([NAME])[NAME][-2:] == (7.25, 6.5)
    assert tails.num_bytes == log.stat().st_size + 40


def test_of_a_long_log_the_end_alone_is_read(tmp_path: Path, log: Path) -> None:
    with log.open("wb") as file:
        file.writelines(line(epoch, epoch) for epoch in range(50_000))
    tails = CostTails(tmp_path)
    costs = tails.read([NAME])[NAME]
    assert costs == tuple(range(50_000 - NUM_COSTS, 50_000))
    assert tails.num_bytes < 64 * 1024 < log.stat().st_size
    assert costs == tuple(FitLog.load(log).total_valid[-NUM_COSTS:])


def test_a_log_that_was_begun_anew_is_read_from_its_beginning(tmp_path: Path, log: Path) -> None:
    tails = CostTails(tmp_path)
    log.write_bytes(line(1, 10) + line(2, 9))
    tails.read([NAME])
    log.write_bytes(line(1, 50))
    assert tails.read([NAME])[NAME] == (50,)
    aside = log.with_suffix(".new")
    aside.write_bytes(line(1, 70) + line(2, 60) + line(3, 50))
    aside.replace(log)
    assert tails.read([NAME])[NAME] == (70, 60, 50)
    log.unlink()
    assert tails.read([NAME])[NAME] == (70, 60, 50), "what was seen last"


def test_what_is_no_cost_is_passed_over_or_told(tmp_path: Path, log: Path) -> None:
    log.write_bytes(b"noise\n" + line(1, 3) + b"\xff\x00\n" + line(2, float("nan")) + line(3, 2))
    first, second, third = CostTails(tmp_path).read([NAME])[NAME]
    assert (first, third) == (3, 2)
    assert math.isnan(second)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=8), st.data())
def test_however_it_grows_the_costs_are_those_of_the_whole_log(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("grows")
    log = folder / NAME / "lfadsOutput" / "fitlog.csv"
    log.parent.mkdir(parents=True)
    whole = b"".join(line(epoch, 1000 - epoch) for epoch in range(20))
    tails, written = CostTails(folder), 0
    for size in [*sizes, len(whole)]:
        with log.open("ab") as file:
            file.write(whole[written : written + size])
        written += len(whole[written : written + size])
        num_complete = whole[:written].count(b"\n")
        expected = tuple(1000.0 - epoch for epoch in range(num_complete))
        assert tails.read([NAME]).get(NAME, ()) == expected
