"""What a report tells, against the same found another way."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfadsq.queue.records import AttemptState, Cause, Outcome
from lfadsq.results.fit_log import FitLog
from lfadsq.watching.cost_logs import costs_of_log
from lfadsq.watching.gpu_history import DeviceHistory, GpuHistory, RunOnDevice
from lfadsq.watching.report.attempts import Stay
from lfadsq.watching.report.curves import curve_of, scores_of
from lfadsq.watching.report.document import RunReport, collect
from lfadsq.watching.report.gpu_series import gpu_series_of
from lfadsq.watching.report.head import head_of
from lfadsq.watching.report.hyperparameters import AxisKind, hyper_param_of
from lfadsq.watching.report.spans import common, joined, left_of, rows_of
from lfadsq.watching.report.table import columns_of
from lfadsq.watching.report.timeline import timeline_of

T0_S = 1_517_356_800  # 2018-01-31T00:00:00Z


def line(epoch: int, train: float, valid: float, weight: float = 1.0, l2: float = 0.5) -> str:
    gap = " " * 6
    return (
        f"epoch,{epoch}, step,{8 * epoch}, total,{train:.2f},{valid:.2f}, {gap}"
        f"recon,{train - 9:.2f},{valid - 7:.2f}, kl,2.00,3.00, l2,{l2:.5f}, {gap}"
        f"klweight,{weight:.2f}, l2weight,{weight:.2f}\n"
    )


def collected(folder: Path) -> RunReport:
    return collect(folder, lambda *_: None)


# --- curves and scores ------------------------------------------------------------------------


_COST = st.one_of(st.floats(-1e6, 1e6), st.just(math.nan), st.just(math.inf))
_EPOCHS = st.lists(
    st.tuples(st.integers(0, 4), _COST, _COST, st.sampled_from([0.3, 1.0])), min_size=1, max_size=40
)


def log_of(text: str) -> FitLog:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fitlog.csv"
        path.write_text(text)
        return FitLog.load(path)


@settings(max_examples=40)
@given(_EPOCHS)
def test_the_best_epoch_is_the_one_that_a_status_tells(rows: list[Any]) -> None:
    text = "".join(line(*row) for row in rows)
    told = costs_of_log(text.encode())
    assert told is not None
    scores = scores_of(log_of(text))
    assert (scores.valid if scores else None) == told.lowest_valid_cost
    if scores:
        best = rows[scores.epoch - 1]
        assert best[3] == 1.0
        assert scores.valid == float(f"{best[2]:.2f}")


def test_scores_are_those_of_the_best_epoch() -> None:
    text = line(1, 9, 1, 0.5) + line(2, 9, 8) + line(3, 5.25, 6.5) + line(4, 3, 7)
    scores = scores_of(log_of(text + "epoch,5, st"))
    assert scores is not None
    assert (scores.epoch, scores.valid, scores.train, scores.gap) == (3, 6.5, 5.25, 1.25)
    assert (scores.recon, scores.kl) == (-0.5, 3.0)


def test_without_an_epoch_after_warm_up_there_are_no_scores() -> None:
    log = log_of(line(1, 9, 1, 0.5) + line(2, 9, 1, 0.9))
    assert scores_of(log) is None
    assert curve_of(log, 10).warm_epoch is None


def decoded(told: list[int | None]) -> list[float]:
    """As data.js does."""
    total, found = 0, []
    for one in told:
        total += one or 0
        found.append(math.nan if one is None else total / 100)
    return found


@settings(max_examples=40)
@given(_EPOCHS, st.integers(6, 60))
def test_a_thinned_curve_keeps_what_stands_out(rows: list[Any], most_points: int) -> None:
    log = log_of("".join(line(*row) for row in rows))
    curve = curve_of(log, most_points)
    told = curve.to_dict()
    assert len(curve.epochs) <= max(most_points, 6)
    assert (curve.epochs[0], curve.epochs[-1]) == (1, len(rows))
    for name in ("train", "valid"):
        all_costs, kept = getattr(log, f"total_{name}"), np.array(decoded(told[name]))
        # Nothing of the two decimals is lost, and each point is of its epoch.
        expected = np.where(np.isfinite(all_costs), all_costs, np.nan)[curve.epochs - 1]
        np.testing.assert_allclose(kept, expected, atol=1e-9, equal_nan=True)
        finite = all_costs[np.isfinite(all_costs)]
        if finite.size:
            assert np.nanmin(kept) == pytest.approx(finite.min())
            assert np.nanmax(kept) == pytest.approx(finite.max())
    epochs = told["epochs"] or [1] * len(rows)
    assert np.cumsum(epochs).tolist() == curve.epochs.tolist()


# --- spans, lanes, idle time --------------------------------------------------------------------


_SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 15)), max_size=8).map(
    lambda spans: [(began, began + length) for began, length in spans]
)


def seconds(spans: Any) -> set[int]:
    return {second for began, ended in spans for second in range(int(began), int(ended))}


@given(_SPANS, _SPANS)
def test_spans_are_sets_of_seconds(spans: Any, taken: Any) -> None:
    assert seconds(joined(spans)) == seconds(spans)
    left = left_of(joined(spans), joined(taken))
    assert seconds(left) == seconds(spans) - seconds(taken)
    assert seconds(common(joined(spans), joined(taken))) == seconds(spans) & seconds(taken)
    assert joined(left) == left  # apart and in order
    rows = rows_of(spans)
    for row in set(rows):
        of_row = [span for span, at in zip(spans, rows, strict=True) if at == row]
        assert len(seconds(of_row)) == sum(ended - began for began, ended in of_row)


def stay(began: float, ended: float, device: str = "GPU-1", queue_id: str = "q1") -> Stay:
    name = f"r{began}-{ended}"
    return Stay(0, name, "a", device, device, began, ended, "succeeded", "", queue_id)


def history(*spans: tuple[int, int], runs: tuple[RunOnDevice, ...] = ()) -> GpuHistory:
    times = np.array([t for began, ended in spans for t in range(began, ended)], dtype=float)
    full = np.full(len(times), 50.0)
    device = DeviceHistory(
        "GPU-1", "GPU 1", "a", 100.0, times, np.ones(len(times)), full, full, full, runs
    )
    return GpuHistory({"GPU-1": device})


def test_a_device_idles_between_the_runs_of_one_queue() -> None:
    stays = [stay(10, 20), stay(30, 40), stay(90, 95, queue_id="q2")]
    (lane,) = timeline_of(stays, GpuHistory()).lanes
    assert lane.idle == [(20, 30)]  # and not while there was no queue
    timeline = timeline_of(stays, GpuHistory())
    assert timeline.idle_share == pytest.approx(10 / 35)
    assert timeline.gpu_s == timeline.run_s == 25
    assert timeline.span == (10, 95)


def test_nothing_is_known_of_the_time_between_runs_of_no_queue() -> None:
    stays = [stay(0, 5, queue_id=""), stay(50, 55, queue_id="")]
    assert timeline_of(stays, GpuHistory()).idle_share == 0


@given(_SPANS, _SPANS)
def test_with_a_history_a_device_idles_while_it_is_watched(watched: Any, runs: Any) -> None:
    watched = joined(watched)
    stays = [stay(began, ended) for began, ended in runs if ended > began]
    timeline = timeline_of(stays, history(*watched))
    # A queue that nobody watched at all counts by its runs alone.
    could = set(seconds(watched))
    if stays and not seconds(watched) & seconds([session(stays)]):
        could |= seconds([session(stays)])
    idle = could - seconds(runs)
    if not could:
        assert timeline.idle_share is None
    else:
        assert timeline.idle_share == pytest.approx(len(idle) / len(could))
    assert timeline.gpu_s == len(seconds(runs))


def session(stays: list[Stay]) -> tuple[float, float]:
    return min(one.began_s for one in stays), max(one.ended_s for one in stays)


def test_the_share_is_that_of_the_history_itself() -> None:
    runs = (RunOnDevice("r", 3, 9, True, "q1"), RunOnDevice("s", 8, 12, True, "q1"))
    seen = history((0, 20), runs=runs)
    stays = [stay(run.began_s, run.ended_s) for run in runs]
    assert timeline_of(stays, seen).idle_share == pytest.approx(seen.idle_share)


def test_runs_that_share_a_gpu_count_once_and_lie_in_two_rows() -> None:
    timeline = timeline_of([stay(0, 10), stay(5, 15)], GpuHistory())
    assert (timeline.gpu_s, timeline.run_s) == (15, 20)
    assert timeline.lanes[0].rows == (0, 1)


# --- GPU series -----------------------------------------------------------------------------------


def test_steps_hold_means_of_what_they_cover() -> None:
    times = np.concatenate([np.arange(0, 1000, 5.0), np.arange(5000, 6000, 5.0)])
    values = np.random.default_rng(1).uniform(0, 100, len(times))
    values[3] = np.nan
    covers = np.full(len(times), 5.0)
    device = DeviceHistory("G", "G", "h", 1.0, times, covers, values, values, values)
    series = gpu_series_of(GpuHistory({"G": device}), 40)
    assert series is not None
    assert series.step_s == 50
    (one,) = series.devices
    for at_s, mean in zip(series.times_s, one.utilisation_percent, strict=True):
        inside = values[(times >= at_s - 25) & (times < at_s + 25)]
        if len(inside):
            assert mean == pytest.approx(np.nanmean(inside))
        else:
            assert math.isnan(mean)
    # One step without a value keeps the line from being drawn across an hour.
    assert np.isnan(one.utilisation_percent).sum() == 1
    assert gpu_series_of(GpuHistory(), 40) is None


# --- hyperparameters ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "kind", "categories"),
    [
        (["0.01", "0.001", "0.02"], AxisKind.LOG, ()),
        (["48", "64", None], AxisKind.LINEAR, ()),
        (["0", "1", "100"], AxisKind.CATEGORY, ("0", "1", "100")),
        (["-1", "0", "3"], AxisKind.LINEAR, ()),
        (["b", "A", "10"], AxisKind.CATEGORY, ("10", "A", "b")),
        (["true", "false"], AxisKind.CATEGORY, ("false", "true")),
        (["NaN", "1"], AxisKind.CATEGORY, ("1", "NaN")),
        ([None, None], AxisKind.CATEGORY, ()),
    ],
)
def test_how_values_lie_on_an_axis(texts: Any, kind: AxisKind, categories: Any) -> None:
    found = hyper_param_of("c_x", texts)
    assert (found.kind, found.categories) == (kind, categories)
    assert len(found.numbers) == len(texts)


# --- a whole collection ---------------------------------------------------------------------------


def column(report: RunReport, key: str) -> tuple[Any, ...]:
    (found,) = [one for one in columns_of(report) if one.key == key]
    return found.values


def test_a_collection_that_nobody_trained(sweep: Any) -> None:
    sweep.write_summary("c_gen_dim=32", "c_gen_dim=64", "c_gen_dim=64", "c_gen_dim=9")
    report = collected(sweep.folder)
    assert [run.curve for run in report.runs] == [None] * 4
    assert column(report, "hp:c_gen_dim") == (32.0, 64.0, 64.0, 9.0)
    assert report.timeline.span is None
    assert head_of(report).figures == (("runs", "4", ""),)
    assert report.best == ()


def test_attempts_scores_and_failures_of_a_collection(sweep: Any) -> None:
    collection = sweep.collection
    sweep.write_summary(*[f"c_gen_dim={dim}" for dim in (1, 2, 3, 4)])
    first, second, third, _ = sweep.names
    output = sweep.say(0, "finished", num_epochs=3)
    (output / "fitlog.csv").write_text(line(1, 9, 9) + line(2, 5, 7) + line(3, 4, 8))
    done = collection.attempt(
        first,
        2,
        state=AttemptState.ENDED,
        outcome=Outcome.SUCCEEDED,
        started_at="2018-01-31T00:02:00.000+00:00",
        ended_at="2018-01-31T00:05:00.000+00:00",
        queue_id="q1",
        peak_memory_mb=2048.0,
    )
    before = replace(collection.failed(first, cause=Cause.GPU_MEMORY), queue_id="q1")
    collection.record(first, before, done)
    collection.tasks[first].donefile.touch()
    collection.record(second, collection.failed(second, cause=Cause.NOT_A_NUMBER))
    collection.tasks[second].outfile.write_text("a\n\x1b[31mNaN </script>\x1b[0m\n" * 30)
    collection.tasks[third].files.record.write_text("{half of a")
    report = collected(sweep.folder)
    assert column(report, "valid") == (7.0, None, None, None)
    assert column(report, "duration") == (75.0 + 180.0, 75.0, None, None)
    assert column(report, "memory") == (2048.0, None, None, None)
    assert report.runs[1].log_lines == ("NaN </script>", *("a", "NaN </script>") * 7)
    assert report.runs[0].log_lines == ()
    (lane,) = report.timeline.lanes
    assert [(one.run, one.how) for one in lane.stays] == [
        (0, "failed"), (1, "failed"), (0, "succeeded"),
    ]  # fmt: skip
    assert lane.idle == [(T0_S + 75, T0_S + 120)]
    assert "1 records of attempts cannot be read" in " ".join(report.notes)
    # Queues move it aside; whoever only looks does not.
    assert collection.tasks[third].files.record.read_text() == "{half of a"


def test_a_run_at_work_lasts_until_now(sweep: Any) -> None:
    sweep.write_summary("c_a=1")
    with sweep.collection.left_task(sweep.names[0], "sleep 600"):
        report = collected(sweep.folder)
    (lane,) = report.timeline.lanes
    (one,) = lane.stays
    assert one.how == "running"
    assert one.ended_s == report.status.at_s


def test_runs_of_the_original_trainer_have_curves_and_no_place(sweep: Any) -> None:
    sweep.write_summary("c_a=1", "c_a=2")
    output = sweep.folder / sweep.runs[1] / "lfadsOutput"
    output.mkdir()
    (output / "fitlog.csv").write_text(line(1, 9, 9) + line(2, 5, 7))
    report = collected(sweep.folder)
    assert report.runs[1].scores is not None
    assert report.runs[1].duration_s is None
    assert report.timeline.lanes == ()
    assert "trained without a queue" in report.notes[0]


def test_a_log_of_costs_that_is_damaged_is_told_of(sweep: Any) -> None:
    for number in (0, 1):
        output = sweep.say(number, "finished", num_epochs=2)
        text = line(1, 9, 9) + "half of a li" * (number == 0) + line(2, 5, 7)
        (output / "fitlog.csv").write_text(text)
    report = collected(sweep.folder)
    assert [run.curve is not None for run in report.runs] == [False, True, False, False]
    assert "line 2 of" in report.notes[0]
    assert "fitlog.csv is not a line of a fit log" in report.notes[0]


def test_what_only_the_history_tells_of_is_there_too(sweep: Any) -> None:
    gpus = sweep.folder / ".lfadsqueue" / "gpus"
    gpus.mkdir(parents=True)
    (sweep.folder / ".lfadsqueue").chmod(0o700)
    head = {"schema_version": 1, "queue_id": "q1", "host": "n", "interval_s": 60}
    device = {"device": 0, "id": "GPU-9@w", "name": "GPU 0 (A100)", "memory_mb": 4}
    records = [head, device, [T0_S, [0, 50, 1, 2]], [T0_S + 60, [0, 0, 1, 2]]]
    records += [{"run": "gone", "id": "GPU-9@w", "began": T0_S}]
    records += [{"run": "gone", "id": "GPU-9@w", "ended": T0_S + 60}, [T0_S + 120]]
    text = "".join(f"{json.dumps(one)}\n" for one in records)
    (gpus / "q1.minutes").write_text(text)
    report = collected(sweep.folder)
    (lane,) = report.timeline.lanes
    assert [(one.run, one.name) for one in lane.stays] == [(None, "gone")]
    assert report.timeline.idle_share == pytest.approx(0.5)
    assert report.gpus is not None
