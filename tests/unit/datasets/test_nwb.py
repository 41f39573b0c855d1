"""Recordings from NWB files, written by pynwb."""

from __future__ import annotations

import sys
from datetime import datetime, timezone

import h5py
import numpy as np
import pytest

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec
from lfadsq.datasets.nwb import bin_spikes, load_continuous_nwb, load_nwb
from lfadsq.errors import ConfigError, DatasetError
from lfadsq.manager.recordings import load_recording

NAME = "猿 Jürgen, 'Tag' 1.nwb"
WINDOW = {"event": "go_cue_time", "before_ms": 100, "after_ms": 300}
DATE = datetime(2018, 1, 31, 12, 30, tzinfo=timezone.utc)


def spike_trains(num_units=3, duration_s=20.0):
    rng = np.random.default_rng(5)
    # Whole milliseconds, so that every spike lies on the border of a bin.
    milliseconds = np.arange(int(duration_s * 1000))
    return [np.sort(rng.choice(milliseconds, 900, replace=False)) for _ in range(num_units)]


def write_nwb(path, trains_ms, trials=(), columns=(), *, units=True, table="trials"):
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed (extra nwb)")
    nwb = pynwb.NWBFile("session", "identifier", DATE)
    nwb.subject = pynwb.file.Subject(subject_id="J", species="Macaca mulatta")
    if units:
        for train in trains_ms:
            nwb.add_unit(spike_times=np.asarray(train) / 1000)
    if table == "trials":
        target, add = nwb, nwb.add_trial
    else:
        target = pynwb.epoch.TimeIntervals(name=table, description="made-up intervals")
        nwb.add_time_intervals(target)
        add = target.add_row
    for column in columns:
        (nwb.add_trial_column if target is nwb else target.add_column)(column, column)
    for row in trials:
        add(**row)
    with pynwb.NWBHDF5IO(str(path), "w") as stored:
        stored.write(nwb)


def trial(start_s, go_s, target):
    return {"start_time": start_s, "stop_time": start_s + 1, "go_cue_time": go_s, "target": target}


TRIALS = [trial(float(t), t + 0.5, ["left", "right"][t % 2]) for t in range(1, 16)]
COLUMNS = ["go_cue_time", "target"]


@pytest.fixture(scope="module")
def trains():
    return spike_trains()


@pytest.fixture(scope="module")
def recording(tmp_path_factory, trains):
    path = tmp_path_factory.mktemp("nwb data") / NAME
    write_nwb(path, trains, TRIALS, COLUMNS)
    return path


def counted(trains, starts_ms, num_bins, bin_ms):
    """Count in whole milliseconds: no rounding anywhere."""
    return np.array(
        [
            [
                [
                    np.sum((train >= b) & (train < b + bin_ms))
                    for b in start + np.arange(num_bins) * bin_ms
                ]
                for train in trains
            ]
            for start in starts_ms
        ]
    )


@pytest.mark.parametrize("bin_ms", [1.0, 5.0])
def test_spikes_are_counted_around_the_event(recording, trains, bin_ms):
    data = load_nwb(recording, **WINDOW, bin_ms=bin_ms, condition="target")
    starts_ms = [round(row["go_cue_time"] * 1000) - 100 for row in TRIALS]
    expected = counted(trains, starts_ms, int(400 / bin_ms), bin_ms)
    assert expected.sum() > 500
    np.testing.assert_array_equal(data["spikes"], expected)
    np.testing.assert_array_equal(data["timeMs"], np.arange(-100, 300, bin_ms))
    assert data["conditionId"].tolist() == [row["target"] for row in TRIALS]
    assert (data["subject"], data["date"]) == ("J", DATE)


def test_a_dataset_class_of_a_lab(recording, trains):
    class Reaching(Dataset):
        def load_data(self):
            return load_nwb(self.path, **WINDOW, condition="target")

    dataset = Reaching(DatasetCollection(recording.parent), NAME)
    dataset.load_info()
    assert (dataset.num_trials, dataset.num_channels) == (15, 3)
    assert (dataset.subject, dataset.date) == ("J", DATE)


def test_runs_are_prepared_from_it(recording, tmp_path):
    class Reaching(Dataset):
        def load_data(self):
            return load_nwb(self.path, **WINDOW, condition="target")

    datasets = DatasetCollection(recording.parent)
    dataset = Reaching(datasets, NAME)
    runs = RunCollection(tmp_path, "runs", datasets)
    runs.add_params([RunParams(c_batch_size=3, spikeBinMs=20.0)])
    runs.add_run_spec([RunSpec("reaching", datasets, dataset)])
    runs.prepare_for_lfads()
    (run,) = runs.runs
    with h5py.File(run.paths.input_h5(dataset.name)) as stored:
        prepared = stored["train_data"][()], stored["valid_data"][()]
    assert [one.shape for one in prepared] == [(12, 20, 3), (3, 20, 3)]
    assert sum(one.sum() for one in prepared) == dataset.load_data()["spikes"].sum()
    info = load_recording(run.paths.input_info(dataset.name))
    assert info["conditionId"] == [row["target"] for row in TRIALS]


def test_trials_and_units_are_chosen_and_trials_without_the_event_left_out(tmp_path, trains):
    rows = [row | {"go_cue_time": np.nan} if i in (2, 3) else row for i, row in enumerate(TRIALS)]
    write_nwb(tmp_path / NAME, trains, rows, COLUMNS)
    everything = load_nwb(tmp_path / NAME, **WINDOW)
    assert everything["trialRows"].tolist() == [0, 1, *range(4, 15)]
    chosen = load_nwb(
        tmp_path / NAME,
        **WINDOW,
        units=[2, 0],
        trials=np.arange(15) < 5,
        condition="target",
    )
    assert chosen["trialRows"].tolist() == [0, 1, 4]
    assert chosen["unitRows"].tolist() == [2, 0]
    assert chosen["conditionId"].tolist() == [TRIALS[i]["target"] for i in (0, 1, 4)]
    np.testing.assert_array_equal(chosen["spikes"], everything["spikes"][:3, [2, 0]])


def test_one_trial_one_unit_and_a_table_of_another_name(tmp_path, trains):
    write_nwb(tmp_path / NAME, trains[:1], TRIALS[:1], COLUMNS, table="reach trials")
    data = load_nwb(tmp_path / NAME, **WINDOW, table="reach trials")
    assert data["spikes"].shape == (1, 1, 400)
    np.testing.assert_array_equal(data["spikes"], counted(trains[:1], [1400], 400, 1))


def test_a_unit_without_spikes_is_silent(tmp_path, trains):
    write_nwb(tmp_path / NAME, [trains[0], []], TRIALS, COLUMNS)
    spikes = load_nwb(tmp_path / NAME, **WINDOW)["spikes"]
    assert spikes[:, 0].sum() > 0
    assert spikes[:, 1].sum() == 0


def test_a_recording_without_trials_is_binned_whole(tmp_path, trains):
    write_nwb(tmp_path / NAME, trains)
    data = load_continuous_nwb(tmp_path / NAME, bin_ms=10)
    num_bins = max(train[-1] for train in trains) // 10 + 1
    np.testing.assert_array_equal(data["counts"], counted(trains, [0], num_bins, 10)[0])
    assert data["counts"].sum() == sum(map(len, trains))
    part = load_continuous_nwb(tmp_path / NAME, start_s=2.5, stop_s=3.0, units=[1])
    np.testing.assert_array_equal(part["counts"], counted(trains[1:2], [2500], 500, 1)[0])
    assert (part["timeMs"][0], part["timeMs"][-1]) == (2500, 2999)
    with pytest.raises(ConfigError, match="less than a bin"):
        load_continuous_nwb(tmp_path / NAME, start_s=3.0, stop_s=3.0)
    with pytest.raises(DatasetError, match=r"no table 'trials'.*load_continuous_nwb"):
        load_nwb(tmp_path / NAME, **WINDOW)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"event": "go"}, DatasetError, "no column 'go'; choose one of .*'go_cue_time', 'target'"),
        ({"condition": "goal"}, DatasetError, "no column 'goal'; choose one of"),
        ({"event": "target"}, DatasetError, "target of .* is no column of times"),
        ({"table": "reaches"}, DatasetError, "no table 'reaches'; choose one of 'trials'"),
        ({"bin_ms": 7}, ConfigError, "no whole number of bins of 7 ms"),
        ({"bin_ms": 0}, ConfigError, "give a positive bin_ms"),
        ({"before_ms": -300}, ConfigError, "no whole number of bins"),
        ({"units": [3]}, ConfigError, "units .* choose nothing: there are 3; .* from 0 to 2"),
        ({"units": []}, ConfigError, "no unit of .* is chosen"),
        ({"units": [1, 1]}, ConfigError, "choose rows twice"),
        ({"trials": [True]}, ConfigError, "or a mask of 15"),
        ({"trials": []}, DatasetError, "no trial of .* is left"),
    ],
)
def test_what_is_not_in_the_file_is_refused_with_what_is(recording, changes, error, message):
    with pytest.raises(error, match=message):
        load_nwb(recording, **(WINDOW | changes))


def test_a_file_without_units_is_refused(tmp_path, trains):
    write_nwb(tmp_path / NAME, trains, TRIALS, COLUMNS, units=False)
    with pytest.raises(DatasetError, match="no units with spike times"):
        load_nwb(tmp_path / NAME, **WINDOW)


def test_a_plain_dataset_says_what_an_nwb_file_takes(recording):
    with pytest.raises(DatasetError, match=r"is an NWB file.*go_cue_time.*load_nwb\(self\.path"):
        load_recording(recording)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(tmp_path, recording, kept):
    whole = recording.read_bytes()
    (tmp_path / NAME).write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DatasetError, match="damaged, truncated, or no NWB file"):
        load_nwb(tmp_path / NAME, **WINDOW)


def test_a_file_of_another_kind_is_refused(tmp_path):
    pytest.importorskip("pynwb", reason="pynwb is not installed (extra nwb)")
    with h5py.File(tmp_path / "a.nwb", "w") as stored:
        stored["spikes"] = np.zeros(3)
    (tmp_path / "b.nwb").write_bytes(b"no HDF5 at all")
    for name in ("a.nwb", "b.nwb"):
        with pytest.raises(DatasetError, match=f"{name} is damaged, truncated, or no NWB file"):
            load_nwb(tmp_path / name, **WINDOW)
    with pytest.raises(DatasetError, match="there is no dataset"):
        load_nwb(tmp_path / "c.nwb", **WINDOW)


def test_without_pynwb_the_line_that_installs_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynwb", None)
    (tmp_path / "a.nwb").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"run: pip install 'lfadsq\[nwb\]'"):
        load_nwb(tmp_path / "a.nwb", **WINDOW)


def test_many_spikes_in_a_bin_do_not_overflow():
    times = [np.full(70_000, 1.0005), np.full(300, 1.0015)]
    counts = bin_spikes(times, np.array([1.0]), 2, 1.0)
    assert counts.tolist() == [[[70_000, 0], [0, 300]]]
