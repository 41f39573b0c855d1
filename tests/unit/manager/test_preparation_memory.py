"""Aligning many datasets takes the memory of some of them, not of all."""

from __future__ import annotations

import tracemalloc

import numpy as np

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec

NUM_DATASETS, NUM_CONDITIONS, NUM_CHANNELS, NUM_BINS = 12, 40, 10, 400
AVERAGES_MB = NUM_CONDITIONS * NUM_CHANNELS * NUM_BINS * 8 / 2**20


class ManyConditions(Dataset):
    """Two trials of each condition, but the second dataset lacks the last condition."""

    def load_data(self):
        number = int(self.name)
        rng = np.random.default_rng(number)
        num_conditions = NUM_CONDITIONS - (number == 1)
        shared = np.random.default_rng(99).random((NUM_CONDITIONS, 2, NUM_BINS))[:num_conditions]
        rates = np.einsum("cdt,dn->cnt", shared, rng.random((2, NUM_CHANNELS)))
        return {
            "spikes": rng.poisson(np.repeat(rates, 2, axis=0)).astype(np.uint8),
            "timeMs": np.arange(NUM_BINS),
            "conditionId": np.repeat(np.arange(num_conditions), 2),
        }


def test_averages_of_all_datasets_are_never_in_memory_together(tmp_path):
    datasets = DatasetCollection(tmp_path)
    for number in range(NUM_DATASETS):
        ManyConditions(datasets, f"{number}.none")
    runs = RunCollection(tmp_path, "runs", datasets)
    params = RunParams(spikeBinMs=1, c_batch_size=10, c_factors_dim=2, useAlignmentMatrix=True)
    runs.add_params(params)
    runs.add_run_spec(RunSpec("all", datasets, range(NUM_DATASETS)))
    tracemalloc.start()
    try:
        runs.prepare_for_lfads()
        peak_mb = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak_mb < 0.8 * NUM_DATASETS * AVERAGES_MB
    assert [path.name for path in runs.path.iterdir() if path.name.startswith(".")] == []
