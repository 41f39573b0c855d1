"""NWB files of a run, read by pynwb, beside recordings that pynwb wrote."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import h5py
import numpy as np
import pytest

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec
from lfadsq.datasets.nwb import load_nwb
from lfadsq.datasets.windows import merge_windows, window_starts
from lfadsq.errors import ConfigError
from lfadsq.results.exports import nwb as nwb_export

pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed (extra nwb)")

DATE = datetime(2018, 1, 31, 12, 30, tzinfo=timezone.utc)
NUM_ROWS, NUM_TRIALS = 27, 25
# Two rows have no go cue, and are no trials.
GO_S = np.array([np.nan if row in (3, 20) else 1.5 + 2.0 * row for row in range(NUM_ROWS)])
ROWS = np.flatnonzero(np.isfinite(GO_S))


class Reaching(Dataset):
    """As a lab's own class reads a session."""

    def load_data(self):
        return load_nwb(
            self.path,
            event="go_cue_time",
            before_ms=40,
            after_ms=60,
            bin_ms=2.0,
            condition="target",
        )


@pytest.fixture
def recording(tmp_path):
    nwb = pynwb.NWBFile("reaching", "session-1", DATE, lab="a lab", experimenter=["J. Doe"])
    nwb.subject = pynwb.file.Subject(subject_id="J", species="Macaca mulatta", age="P8Y", sex="M")
    rng = np.random.default_rng(5)
    for _ in range(3):
        nwb.add_unit(spike_times=np.sort(rng.uniform(0, 60, 2000)))
    for column in ("go_cue_time", "target", "touches"):
        nwb.add_trial_column(column, column, index=column == "touches")
    for row in range(NUM_ROWS):
        nwb.add_trial(
            start_time=1.0 + 2.0 * row,
            stop_time=2.5 + 2.0 * row,
            go_cue_time=GO_S[row],
            target=["left", "right"][row % 2],
            touches=[float(row)] * (row % 3),
        )
    folder = tmp_path / "recordings"
    folder.mkdir(exist_ok=True)
    path = folder / "day 1.nwb"
    with pynwb.NWBHDF5IO(str(path), "w") as stored:
        stored.write(nwb)
    return path


@pytest.fixture
def trained(recording, make_trained, tmp_path):
    """A run whose recording is the NWB file: results of the made-up run stand in for its own."""
    donor = make_trained(controller=1)
    datasets = DatasetCollection(recording.parent)
    Reaching(datasets, recording.name)
    collection = RunCollection(tmp_path / "runs", "nwb", datasets)
    par = RunParams()
    par.spikeBinMs = 10.0
    par.c_batch_size = 4
    collection.add_params(par)
    collection.add_run_spec(RunSpec("single", datasets, 0))
    collection.prepare_for_lfads()
    (run,) = collection.runs
    donor.run.paths.lfads_output.rename(run.paths.lfads_output)
    donor.collection = collection
    return donor


def opened(path):
    return pynwb.NWBHDF5IO(str(path), "r")


def check_file(path):
    assert not pynwb.validate(path=str(path))


def test_rates_and_factors_are_in_the_time_of_the_session(trained, recording):
    before = recording.read_bytes()
    (path,) = trained.run.export("nwb")
    assert path.name == "day 1_lfads.nwb"
    assert recording.read_bytes() == before
    check_file(path)
    truth = trained.truth["day 1"]
    expected_s = GO_S[ROWS][:, None] - 0.040 + np.arange(10) * 0.010
    with opened(path) as stored:
        nwb = stored.read()
        module = nwb.processing["lfads"]
        assert sorted(module.data_interfaces) == ["factors", "inferred_inputs", "rates"]
        np.testing.assert_array_equal(
            module["rates"].data[:].reshape(NUM_TRIALS, 10, 3), truth["output_dist_params"] * 100
        )
        np.testing.assert_array_equal(
            module["factors"].data[:].reshape(NUM_TRIALS, 10, 2), truth["factors"]
        )
        np.testing.assert_array_equal(
            module["inferred_inputs"].data[:].reshape(NUM_TRIALS, 10, 1),
            truth["controller_outputs"],
        )
        for name in module.data_interfaces:
            np.testing.assert_allclose(
                module[name].timestamps[:], expected_s.ravel(), rtol=0, atol=1e-9
            )
        assert module["rates"].unit == "spikes/s"
        assert (nwb.session_start_time, nwb.lab, nwb.subject.subject_id) == (DATE, "a lab", "J")
        assert tuple(nwb.experimenter) == ("J. Doe",)
        assert nwb.identifier != "session-1"
        about = json.loads(nwb.notes)
        assert about["recording"] == "day 1.nwb"
        assert about["param_hash"] == trained.run.param_hash


def test_the_trials_are_those_of_the_recording(trained):
    (path,) = trained.run.export("nwb")
    with opened(path) as stored:
        table = stored.read().trials
        assert "touches" not in table.colnames  # a list for each trial
        np.testing.assert_array_equal(table["start_time"][:], 1.0 + 2.0 * ROWS)
        np.testing.assert_array_equal(table["go_cue_time"][:], GO_S[ROWS])
        assert list(table["target"][:]) == [["left", "right"][row % 2] for row in ROWS]
        assert list(table["lfads_condition"][:]) == list(table["target"][:])
        split = np.array(table["lfads_split"][:])
        np.testing.assert_array_equal(np.flatnonzero(split == "valid"), [0, 5, 10, 15, 20])
        np.testing.assert_array_equal(table["lfads_first_row"][:], np.arange(NUM_TRIALS) * 10)
        np.testing.assert_allclose(table["lfads_start_time"][:], GO_S[ROWS] - 0.040)


@pytest.mark.slow
def test_without_the_class_the_event_is_named(trained, recording, monkeypatch):
    monkeypatch.setattr(nwb_export, "_BUFFER_BYTES", 500)  # many pieces
    run = RunCollection.open(trained.path).runs[0]
    with pytest.raises(ConfigError, match=r"at which event .* is not known; .*--event"):
        run.export("nwb")
    (path,) = run.export("nwb", event="go_cue_time")
    check_file(path)
    (other,) = trained.run.export("nwb", trained.path / "b.nwb")
    with h5py.File(path) as one, h5py.File(other) as two:
        for name in ("rates", "factors"):
            for what in ("data", "timestamps"):
                place = f"processing/lfads/{name}/{what}"
                np.testing.assert_array_equal(one[place], two[place])
    with pytest.raises(ConfigError, match=r"25 trials, and 27 rows of trials .* have start_time"):
        run.export("nwb", event="start_time", force=True)


@pytest.mark.slow
def test_another_recording_needs_start_and_times(make_trained, tmp_path):
    run = make_trained(conditions=[float(n % 3) for n in range(NUM_TRIALS)]).run
    with pytest.raises(ConfigError, match=r"is no NWB file.*--session-start and --event-times"):
        run.export("nwb")
    with pytest.raises(ConfigError, match="nothing tells when the trials"):
        run.export("nwb", session_start="2018-01-31T09:30:00+00:00")
    times = tmp_path / "times.txt"
    times.write_text("\n".join(str(2.0 * n) for n in range(NUM_TRIALS - 1)))
    with pytest.raises(ConfigError, match="25 trials, and 24 event times"):
        run.export("nwb", session_start="2018-01-31T09:30:00+00:00", event_times=times)
    times.write_text("\n".join(str(2.0 * n) for n in range(NUM_TRIALS)))
    with pytest.raises(ConfigError, match="'yesterday' is no time"):
        run.export("nwb", session_start="yesterday", event_times=times)
    assert not (run.path / "export").exists()
    (path,) = run.export("nwb", session_start="2018-01-31T09:30:00Z", event_times=times)
    check_file(path)
    with opened(path) as stored:
        nwb = stored.read()
        np.testing.assert_allclose(nwb.trials["start_time"][:], 2.0 * np.arange(25) - 0.040)
        np.testing.assert_allclose(nwb.trials["stop_time"][:], 2.0 * np.arange(25) + 0.060)
        np.testing.assert_array_equal(nwb.trials["lfads_condition"][:], np.arange(25) % 3)
        assert nwb.session_start_time == datetime(2018, 1, 31, 9, 30, tzinfo=timezone.utc)


@pytest.mark.slow
def test_windows_of_a_continuous_recording_are_merged(make_trained):
    trained = make_trained()
    num_bins = 25 * 8 + 2
    assert len(window_starts(num_bins, 10, 2)) == NUM_TRIALS
    (path,) = trained.run.export(
        "nwb",
        session_start="2018-01-31T09:30:00Z",
        overlap_bins=2,
        num_bins=num_bins,
        start_s=3.0,
    )
    check_file(path)
    with opened(path) as stored:
        nwb = stored.read()
        series = nwb.processing["lfads"]["factors"]
        expected = merge_windows(trained.truth["day 1"]["factors"], num_bins, 2, time_axis=1)
        np.testing.assert_array_equal(series.data[:], expected)
        assert (series.starting_time, series.rate) == (3.0, 100.0)
        assert nwb.trials is None


def test_the_recording_is_never_the_target(trained, recording):
    with pytest.raises(ConfigError, match="already there"):
        trained.run.export("nwb", recording)
    before = recording.read_bytes()
    with pytest.raises(ConfigError, match="is the recording"):
        trained.run.export("nwb", recording, force=True)
    assert recording.read_bytes() == before


def test_what_would_be_ignored_is_refused(make_trained, trained):
    run = trained.run
    for choices, message in [
        ({"session_start": "2018-01-31T09:30:00Z"}, "is in .* and was given besides"),
        ({"event": "go_cue_time", "event_times": [1.0]}, "an event and event times were given"),
        ({"start_s": 3.0}, "trials are no windows"),
        ({"num_bins": 100}, "only one of these was given"),
        ({"num_bins": 100, "overlap_bins": 2}, "has 13 windows of 10 .* and day 1 25"),
        ({"no_such": 1}, "known are nwb, event"),
    ]:
        with pytest.raises(ConfigError, match=message):
            run.export("nwb", **choices)
    (run,) = make_trained(("a", "b"), name="two").collection.find_runs("all")
    times = {"session_start": "2018-01-31T09:30:00Z", "event_times": [1.0] * NUM_TRIALS}
    with pytest.raises(ConfigError, match="of one dataset, and 2 are exported; choose one of a, b"):
        run.export("nwb", **times)
    assert len(run.export("nwb", dataset_names=["b"], **times)) == 1
