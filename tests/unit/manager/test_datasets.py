"""Datasets, their collection, and the file formats they are read from."""

from __future__ import annotations

import logging
from datetime import datetime

import h5py
import numpy as np
import pytest
import scipy.io

from lfadsq import Dataset, DatasetCollection
from lfadsq.errors import ConfigError, DatasetError, RunNotFoundError
from lfadsq.manager.recordings import load_recording

SPIKES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def write_mat5(path):
    content = {"spikes": SPIKES, "subject": "J", "empty": "", "timeMs": np.arange(4.0)}
    scipy.io.savemat(path, content, do_compression=True)


def write_mat73(path):
    """As MATLAB writes v7.3: column-major, and with the class of each variable."""
    with h5py.File(path, "w", userblock_size=512) as stored:

        def put(name, array, matlab_class, **attributes):
            stored[name] = array
            stored[name].attrs["MATLAB_class"] = np.bytes_(matlab_class)
            stored[name].attrs.update(attributes)

        put("spikes", SPIKES.T, "uint8")
        put("subject", np.frombuffer("J".encode("utf-16-le"), "<u2").reshape(-1, 1), "char")
        put("empty", np.zeros(2, np.uint64), "char", MATLAB_empty=1)
        put("timeMs", np.arange(4.0).reshape(4, 1), "double")
        put("good", np.ones((1, 1), np.uint8), "logical")
        put("#refs#/a", np.frombuffer("M1".encode("utf-16-le"), "<u2").reshape(-1, 1), "char")
        put("#refs#/b", np.full((1, 1), 7.0), "double")
        references = [stored["#refs#/a"].ref, stored["#refs#/b"].ref]
        put("areas", np.array(references, h5py.ref_dtype).reshape(2, 1), "cell")
        stored["info/day"] = np.full((1, 1), 3.0)
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(126) + b"\x02IM")


def write_hdf5(path):
    with h5py.File(path, "w") as stored:
        stored.update({"spikes": SPIKES, "subject": "J", "empty": "", "timeMs": np.arange(4.0)})


def write_npz(path):
    with path.open("wb") as stream:
        np.savez(stream, spikes=SPIKES, subject="J", empty="", timeMs=np.arange(4.0))


WRITERS = [write_mat5, write_mat73, write_hdf5, write_npz]


@pytest.mark.parametrize("write", WRITERS)
def test_every_format_gives_the_same_whatever_the_ending(tmp_path, write):
    path = tmp_path / "recording.dat"
    write(path)
    data = load_recording(path)
    np.testing.assert_array_equal(data["spikes"], SPIKES)
    assert data["spikes"].dtype == np.uint8
    assert (data["subject"], data["empty"]) == ("J", "")
    assert np.ravel(data["timeMs"]).tolist() == [0, 1, 2, 3]
    assert not [name for name in data if name.startswith(("#", "__"))]


def test_cells_logicals_and_structs_of_matlab_7_3(tmp_path):
    write_mat73(tmp_path / "recording.mat")
    data = load_recording(tmp_path / "recording.mat")
    assert data["areas"] == ["M1", [[7.0]]]
    assert data["good"].dtype == bool
    assert data["info"]["day"] == 3


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.95])
def test_a_truncated_file_is_refused(tmp_path, write, kept):
    path = tmp_path / "recording.mat"
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DatasetError, match="damaged, truncated"):
        load_recording(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"there is no dataset .*nothing\.mat"):
        load_recording(tmp_path / "nothing.mat")


def test_datasets_add_themselves_and_are_found_by_index_and_name(tmp_path):
    datasets = DatasetCollection(tmp_path, comment="c")
    first, second = Dataset(datasets, "a.v2.mat"), Dataset(datasets, "sub/b,c.mat")
    assert datasets.datasets == (first, second)
    assert (datasets.num_datasets, len(datasets), list(datasets)) == (2, 2, [first, second])
    assert [one.name for one in datasets] == ["a.v2", "b_c"]
    assert second.path == tmp_path / "sub" / "b,c.mat"
    assert datasets.match_datasets_by_name("a.v2") is first
    assert datasets.match_datasets_by_name(["b_c", "a.v2"]) == [second, first]
    assert first.get_single_run_name() == "single_a.v2"
    with pytest.raises(RunNotFoundError, match=r"did you mean 'a\.v2'"):
        datasets.match_datasets_by_name("a.v3")
    with pytest.raises(RunNotFoundError, match="none yet"):
        DatasetCollection(tmp_path).match_datasets_by_name("a")


def test_a_dataset_replaces_the_one_of_its_name_in_its_place(tmp_path, caplog):
    datasets = DatasetCollection(tmp_path)
    Dataset(datasets, "a.mat")
    other = Dataset(datasets, "b.mat")
    with caplog.at_level(logging.WARNING):
        again = Dataset(datasets, "a.mat")
        assert not caplog.records
        moved = Dataset(datasets, "sub/a.mat")
    assert datasets.datasets == (moved, other)
    assert again not in datasets
    assert "sub/a.mat" in caplog.text


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-rf.mat", "a\nb.mat", "a\0b.mat", " .mat", "x" * 300]
)
def test_names_that_cannot_be_part_of_file_names_are_refused(tmp_path, name):
    datasets = DatasetCollection(tmp_path)
    with pytest.raises(ConfigError, match="dataset"):
        Dataset(datasets, name)
    assert datasets.num_datasets == 0


@pytest.mark.parametrize(
    ("given", "date"),
    [
        ({"datetime": "31-Jan-2018 12:30:00"}, datetime(2018, 1, 31, 12, 30)),
        ({"date": "31-Jan-2018"}, datetime(2018, 1, 31)),
        ({"date": "2018-01-31T12:30:00"}, datetime(2018, 1, 31, 12, 30)),
        ({"date": "20180131"}, datetime(2018, 1, 31)),
        ({"date": 737091.5}, datetime(2018, 1, 31, 12)),  # MATLAB's datenum
        ({"date": "some day"}, None),
        ({}, None),
    ],
)
def test_what_is_known_is_read_from_the_recording(lab, given, date):
    lab.record(subject="Monkey J", saveTags=np.array([1, 2]), **given)
    lab.datasets.load_info()
    (dataset,) = lab.datasets
    assert (dataset.num_trials, dataset.num_channels) == (30, 3)
    assert (dataset.subject, dataset.save_tags, dataset.date) == ("Monkey J", "1 2", date)
    assert str(lab.datasets.get_dataset_info_table()).splitlines()[-1].split()[-2:] == ["30", "3"]


def test_a_lab_may_give_dates_as_dates(tmp_path):
    class Simulated(Dataset):
        def load_data(self):
            return {"spikes": np.zeros((1, 1, 1)), "date": datetime(2018, 1, 31)}

    datasets = DatasetCollection(tmp_path)
    Simulated(datasets, "a")
    assert "[31-Jan-2018 00:00:00]" in str(datasets.get_dataset_info_table())


def test_information_is_read_once_unless_asked_for(lab):
    lab.record()
    lab.datasets.load_info()
    (dataset,) = lab.datasets
    dataset.path.unlink()
    lab.datasets.load_info()
    with pytest.raises(DatasetError, match="there is no dataset"):
        lab.datasets.load_info(reload=True)


def test_a_recording_without_spikes_is_refused(lab):
    lab.record(spikes=np.zeros((4, 4)))
    with pytest.raises(DatasetError, match=r"spikes of shape \(4, 4\).*override load_info"):
        lab.datasets.load_info()


def test_a_lab_reads_its_own_format(tmp_path):
    class TextDataset(Dataset):
        def load_data(self):
            return {"spikes": np.loadtxt(self.path).reshape(1, 1, -1), "subject": "text"}

    (tmp_path / "a.txt").write_text("0 1 2", encoding="utf-8")
    datasets = DatasetCollection(tmp_path)
    dataset = TextDataset(datasets, "a.txt")
    datasets.load_info()
    assert (dataset.num_trials, dataset.subject) == (1, "text")


def test_a_table_of_nothing_has_only_headings(tmp_path):
    lines = str(DatasetCollection(tmp_path).get_dataset_info_table()).splitlines()
    assert lines[0].split() == ["subject", "date", "saveTags", "nTrials", "nChannels"]
