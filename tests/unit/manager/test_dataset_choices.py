"""Keeping some datasets of a collection: by mask, number of trials, and day."""

from __future__ import annotations

import numpy as np
import pytest

from lfadsq import Dataset, DatasetCollection, RunParams
from lfadsq.errors import ConfigError, DatasetError


@pytest.fixture
def datasets(tmp_path):
    class Told(Dataset):
        """What is known comes with the name: subject, date, number of trials."""

        def load_data(self):
            subject, date, num_trials = self.name.split("_")
            spikes = np.zeros((int(num_trials), 2, 3), np.uint8)
            return {"spikes": spikes, "subject": subject, "date": date}

    datasets = DatasetCollection(tmp_path)
    for name in (
        "J_20180131_100",
        "J_20180131_250",
        "J_20180131_249",
        "L_20180131_90",
        "J_20180201_10",
        "J__5",
        "J__4",
    ):
        Told(datasets, name)
    return datasets


def names_of(datasets):
    return [dataset.name for dataset in datasets]


def test_a_mask_or_indices_keep_some(datasets):
    names = names_of(datasets)
    datasets.filter_datasets([True, False, True, True, False, False, True])
    assert names_of(datasets) == [names[0], names[2], names[3], names[6]]
    datasets.filter_datasets([2, 0])
    assert names_of(datasets) == [names[3], names[0]]
    datasets.clear_datasets()
    assert (datasets.num_datasets, datasets.datasets) == (0, ())


def test_datasets_of_few_trials_are_left_out(datasets):
    datasets.filter_having_minimum_trials(90)
    assert [dataset.num_trials for dataset in datasets] == [100, 250, 249, 90]


def test_datasets_too_small_for_a_batch_are_left_out(datasets):
    datasets.filter_having_minimum_trials_for_batch_size(
        RunParams(c_batch_size=50, trainToTestRatio=4)
    )
    assert [dataset.num_trials for dataset in datasets] == [250]


def test_the_best_of_each_day_and_subject_is_kept(datasets):
    datasets.filter_best_save_tag_each_date()
    assert names_of(datasets) == [
        "J_20180131_250",
        "L_20180131_90",
        "J_20180201_10",
        "J__5",
        "J__4",
    ]


def test_of_equally_good_ones_the_first_is_kept(datasets):
    datasets.filter_datasets([0])
    type(datasets.datasets[0])(datasets, "J_20180131_0100")
    datasets.filter_best_save_tag_each_date()
    assert names_of(datasets) == ["J_20180131_100"]


@pytest.mark.parametrize(
    "choose",
    [
        DatasetCollection.filter_best_save_tag_each_date,
        lambda datasets: datasets.filter_having_minimum_trials(1),
        lambda datasets: datasets.filter_datasets([True]),
    ],
)
def test_what_cannot_be_known_leaves_all(datasets, choose):
    Dataset(datasets, "missing.mat")
    with pytest.raises((DatasetError, ConfigError)):
        choose(datasets)
    assert datasets.num_datasets == 8


def test_what_is_known_may_be_told_from_loaded_data(tmp_path):
    class Own(Dataset):
        def load_data(self):
            return {"n": 7}

        def load_info_from_data(self, data):
            self.num_trials, self.num_channels = data["n"], 3

    datasets = DatasetCollection(tmp_path)
    dataset = Own(datasets, "a")
    datasets.load_info()
    assert (dataset.num_trials, dataset.num_channels, dataset.has_info) == (7, 3, True)
