"""Preparing runs with alignment matrices: what is in the files, and from which trials."""

from __future__ import annotations

import logging
import weakref
from typing import ClassVar

import h5py
import numpy as np
import pytest
import scipy.io

from lfadsq import Run, RunSpec
from lfadsq.errors import ConfigError, DatasetError
from lfadsq.training.data import read_inputs
from lfadsq.training.flags import TrainerFlags

NUM_BINS = 10  # of 2 ms, in recordings of 20 ms
WIDTHS = (4, 6, 5)


def record_datasets(lab, widths=WIDTHS, **changes):
    """Recordings of one experiment: the same four conditions, seen by other channels."""
    rng = np.random.default_rng(11)
    rates = np.exp(rng.normal(size=(4, 3, 20)).cumsum(axis=2) * 0.3)
    contents = []
    for number, width in enumerate(widths):
        ids = rng.permutation(np.arange(60) % 4)
        channel_rates = np.einsum("cdt,dn->cnt", rates, rng.uniform(0.1, 0.6, (3, width)))
        spikes = rng.poisson(channel_rates[ids]).astype(np.uint8)
        content = {"spikes": spikes, "conditionId": ids + 1.0} | changes.get(f"d{number}", {})
        contents.append(lab.record(f"d{number}.mat", **content))
    return contents


def read_alignment(path):
    with h5py.File(path) as stored:
        return stored["alignment_matrix_cxf"][()], stored["alignment_bias_c"][()]


def averages_of(content, trials=None):
    """Rows (condition, time) of bins of 2 ms, by loops."""
    spikes = content["spikes"].astype(float)
    ids = content["conditionId"].ravel()
    trials = np.arange(len(ids)) if trials is None else trials
    rows = []
    for condition in (1, 2, 3, 4):
        members = [trial for trial in trials if ids[trial] == condition]
        for time in range(NUM_BINS):
            binned = spikes[members][:, :, 2 * time] + spikes[members][:, :, 2 * time + 1]
            rows.append(binned.mean(axis=0))
    return np.array(rows)


def expected_matrices(matrices, num_factors):
    """Principal components regression by SVD and pseudo-inverses; signs as in MATLAB."""
    centred = [one - one.mean(axis=0) for one in matrices]
    left, singular, right = np.linalg.svd(np.hstack(centred), full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    scores = (left * singular * signs)[:, :num_factors]
    return [np.linalg.pinv(one) @ scores for one in centred]


def stitched(lab, *params, names=None, **kwargs):
    return lab.runs(
        *params, specs=[RunSpec("all", lab.datasets, names or list(range(3)))], **kwargs
    )


def test_each_input_file_has_its_matrix_and_bias(lab, small_params):
    contents = record_datasets(lab)
    runs = stitched(lab, small_params(useAlignmentMatrix=True, c_factors_dim=3))
    runs.prepare_for_lfads()
    (run,) = runs.runs
    rows = [averages_of(content) for content in contents]
    for number, expected in enumerate(expected_matrices(rows, 3)):
        path = run.paths.input_h5(f"d{number}")
        matrix, bias = read_alignment(path)
        assert matrix.shape == (WIDTHS[number], 3)
        assert matrix.dtype == bias.dtype == np.float64
        np.testing.assert_allclose(matrix, expected, atol=1e-9)
        np.testing.assert_allclose(bias, rows[number].mean(axis=0))
        with h5py.File(path) as stored:
            counts = contents[number]["spikes"].astype(int)
            binned = counts[:, :, 0::2] + counts[:, :, 1::2]
            np.testing.assert_array_equal(stored["valid_data"], binned[::5].transpose(0, 2, 1))
            assert set(stored) == {
                *("train_data", "valid_data", "train_inds", "valid_inds"),
                *("alignment_matrix_cxf", "alignment_bias_c"),
            }
        info = scipy.io.loadmat(run.paths.input_info(f"d{number}"))
        assert not [name for name in info if "align" in name.lower()]
    tool = run.do_multisession_alignment()
    np.testing.assert_array_equal(
        tool.alignment_matrices[1], read_alignment(run.paths.input_h5("d1"))[0]
    )


def test_the_trainer_reads_them_padded_to_its_factors(lab, small_params):
    record_datasets(lab)
    runs = stitched(lab, small_params(useAlignmentMatrix=True, c_factors_dim=20))
    runs.prepare_for_lfads()
    folder = runs.runs[0].paths.lfads_input
    flags = TrainerFlags.from_values(
        data_dir=folder, lfads_save_dir=runs.path / "out", factors_dim=20, batch_size=5
    )
    inputs = {one.name: one for one in read_inputs(flags)}
    for number, width in enumerate(WIDTHS):
        matrix, bias = read_alignment(folder / f"lfads_d{number}.h5")
        read = next(one for name, one in inputs.items() if f"d{number}" in name).alignment
        np.testing.assert_allclose(read.matrix, matrix, rtol=1e-6)
        np.testing.assert_allclose(read.bias, bias, rtol=1e-6)
        assert matrix.shape == (width, 20)
        assert not matrix[:, 15:].any()  # 15 channels in all


@pytest.mark.parametrize(
    ("single", "version", "has_matrix"),
    [(True, 20171107, True), (False, 20171107, False), (True, 20171106, False)],
)
def test_one_dataset_has_a_matrix_only_if_asked_for(lab, small_params, single, version, has_matrix):
    (content, *_) = record_datasets(lab)
    params = small_params(
        useAlignmentMatrix=True, useSingleDatasetAlignmentMatrix=single, c_factors_dim=2
    )
    runs = stitched(lab, params, names=["d0"], version=version)
    runs.prepare_for_lfads()
    path = runs.runs[0].paths.input_h5("d0")
    if not has_matrix:
        with h5py.File(path) as stored:
            assert "alignment_matrix_cxf" not in stored
        with pytest.raises(ConfigError, match="useSingleDatasetAlignmentMatrix true"):
            runs.runs[0].do_multisession_alignment()
        return
    matrix, _ = read_alignment(path)
    rows = averages_of(content)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    expected = vectors[:, np.argsort(values)[::-1][:2]]
    expected = expected * np.sign(expected[np.abs(expected).argmax(axis=0), [0, 1]])
    np.testing.assert_allclose(matrix, expected, atol=1e-9)


def test_without_the_setting_several_datasets_have_none(lab, small_params):
    record_datasets(lab, d1={"conditionId": np.zeros((0, 0))})
    runs = stitched(lab, small_params(useSingleDatasetAlignmentMatrix=True), names=[0, 2])
    runs.prepare_for_lfads()
    with h5py.File(runs.runs[0].paths.input_h5("d0")) as stored:
        assert "alignment_bias_c" not in stored
    with pytest.raises(ConfigError, match="set useAlignmentMatrix true"):
        runs.runs[0].do_multisession_alignment()


def test_ridge_and_its_option_change_the_data(lab, small_params):
    record_datasets(lab)
    ridge = {"useAlignmentMatrix": True, "alignmentApproach": "ridgeRegressGlobalPCs"}
    runs = stitched(
        lab,
        small_params(useAlignmentMatrix=True, c_factors_dim=3),
        small_params(**ridge, c_factors_dim=3),
        small_params(**ridge, alignmentExtraArgs=("ridgeNormalizeEach", True), c_factors_dim=3),
    )
    runs.prepare_for_lfads()
    found = [read_alignment(run.paths.input_h5("d1"))[0] for run in runs.runs]
    assert len({run.data_hash for run in runs.runs}) == 3
    norms = [np.linalg.norm(matrix) for matrix in found]
    assert norms[1] < norms[0]  # penalised
    assert not np.allclose(found[1], found[2])


class CorrectTrialsRun(Run):
    """Aligns by every second trial, and counts how often it is asked."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def uses_different_data_for_alignment(self):
        return True

    def generate_counts_for_dataset(self, dataset, mode="export"):
        self.asked.append((dataset.name, mode))
        counts = super().generate_counts_for_dataset(dataset)
        if mode == "export":
            return counts
        kept = np.arange(len(counts.counts)) % 2 == 0
        return {
            "counts": counts.counts[kept],
            "time_ms": counts.time_ms,
            "condition_id": np.asarray(counts.condition_id).ravel()[kept],
        }


def test_alignment_may_use_other_trials_than_export(lab, small_params):
    contents = record_datasets(lab)
    CorrectTrialsRun.asked.clear()
    runs = stitched(
        lab,
        small_params(useAlignmentMatrix=True, c_factors_dim=3),
        run_class=CorrectTrialsRun,
    )
    runs.prepare_for_lfads()
    assert CorrectTrialsRun.asked == [
        (f"d{number}", mode) for number in range(3) for mode in ("export", "alignment")
    ]
    rows = [averages_of(content, trials=range(0, 60, 2)) for content in contents]
    for number, expected in enumerate(expected_matrices(rows, 3)):
        matrix, bias = read_alignment(runs.runs[0].paths.input_h5(f"d{number}"))
        np.testing.assert_allclose(matrix, expected, atol=1e-9)
        np.testing.assert_allclose(bias, rows[number].mean(axis=0))
        with h5py.File(runs.runs[0].paths.input_h5(f"d{number}")) as stored:
            assert len(stored["train_data"]) + len(stored["valid_data"]) == 60


def test_other_trials_without_a_mode_are_refused(lab, small_params):
    class ForgetfulRun(Run):
        def uses_different_data_for_alignment(self):
            return True

        def generate_counts_for_dataset(self, dataset):
            return super().generate_counts_for_dataset(dataset)

    record_datasets(lab)
    runs = stitched(lab, small_params(useAlignmentMatrix=True), run_class=ForgetfulRun)
    with pytest.raises(ConfigError, match=r"ForgetfulRun aligns by other trials.*parameter mode"):
        runs.prepare_for_lfads()
    assert not runs.path.exists()


def test_other_channels_are_refused(lab, small_params):
    class FewerChannelsRun(Run):
        def uses_different_data_for_alignment(self):
            return True

        def generate_counts_for_dataset(self, dataset, mode="export"):
            counts = super().generate_counts_for_dataset(dataset)
            if mode == "export":
                return counts
            return {"counts": counts.counts[:, 1:], "bin_ms": 1.0}

    record_datasets(lab)
    runs = stitched(lab, small_params(useAlignmentMatrix=True), run_class=FewerChannelsRun)
    with pytest.raises(DatasetError, match="d0 has 4 channels in mode 'export', but 3 in"):
        runs.prepare_for_lfads()


def test_each_dataset_is_read_once_and_not_kept(lab, small_params):
    reads = {}

    class WatchingRun(Run):
        def generate_counts_for_dataset(self, dataset):
            assert dataset.name not in reads
            assert not [name for name, counts in reads.items() if counts() is not None]
            counts = super().generate_counts_for_dataset(dataset)
            reads[dataset.name] = weakref.ref(counts.counts)
            return counts

    record_datasets(lab)
    settings = small_params(useAlignmentMatrix=True).generate_sweep("c_gen_dim", [7, 8, 9])
    stitched(lab, *settings, run_class=WatchingRun).prepare_for_lfads()
    assert list(reads) == ["d0", "d1", "d2"]


def test_trials_without_condition_do_not_align_but_train(lab, small_params):
    ids = np.arange(60) % 4 + 1.0
    ids[10:20] = np.nan
    contents = record_datasets(lab, d1={"conditionId": ids})
    runs = stitched(lab, small_params(useAlignmentMatrix=True, c_factors_dim=3))
    runs.prepare_for_lfads()
    rows = [averages_of(content) for content in contents]
    matrix, bias = read_alignment(runs.runs[0].paths.input_h5("d1"))
    np.testing.assert_allclose(matrix, expected_matrices(rows, 3)[1], atol=1e-9)
    np.testing.assert_allclose(bias, rows[1].mean(axis=0))
    with h5py.File(runs.runs[0].paths.input_h5("d1")) as stored:
        assert len(stored["train_data"]) == 48


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conditionId": np.full(60, np.nan)}, "no trial of d2 has a condition"),
        ({"conditionId": np.arange(60) + 100.0}, r"(?s)no condition is in all 3.*d2: 100"),
        (
            {"spikes": np.ones((60, 3, 22), np.uint8), "timeMs": np.arange(22.0)},
            "d0 has 10 time bins, but d2 11",
        ),
    ],
)
def test_what_cannot_be_aligned_changes_nothing_on_disk(lab, small_params, tree, changes, words):
    record_datasets(lab, d2=changes)
    runs = stitched(lab, small_params(useAlignmentMatrix=True))
    before = tree(lab.root)
    with pytest.raises(DatasetError, match=words):
        runs.prepare_for_lfads()
    assert tree(lab.root) == before


def test_a_lost_file_is_written_again_with_those_it_is_aligned_with(lab, small_params, tree):
    record_datasets(lab)
    runs = stitched(lab, small_params(useAlignmentMatrix=True, c_factors_dim=3))
    runs.prepare_for_lfads()
    (run,) = runs.runs
    before = tree(runs.path)
    runs.prepare_for_lfads()
    assert tree(runs.path) == before
    expected = [read_alignment(run.paths.input_h5(f"d{number}"))[0] for number in range(3)]
    run.data_paths.input_h5("d1").unlink()
    # The recording has changed meanwhile: matrices of one model must come from the same data.
    record_datasets(lab, d0={"conditionId": np.arange(60) % 4 + 1.0})
    runs.prepare_for_lfads()
    found = [read_alignment(run.paths.input_h5(f"d{number}"))[0] for number in range(3)]
    assert [one.shape for one in found] == [one.shape for one in expected]
    assert not any(np.allclose(one, other) for one, other in zip(found, expected, strict=True))


def test_old_collections_refuse_runs_that_would_share_a_file_with_other_matrices(lab, small_params):
    record_datasets(lab)
    specs = [RunSpec(f"pair{one}", lab.datasets, [0, one]) for one in (1, 2)]
    params = small_params(useAlignmentMatrix=True)
    with pytest.raises(ConfigError, match=r"need different alignment matrices.*version=20171107"):
        lab.runs(params, specs=specs, version=20171106).prepare_for_lfads()
    lab.runs(params, specs=specs[:1], version=20171106, name="one").prepare_for_lfads()
    lab.runs(params, specs=specs, name="new").prepare_for_lfads()


def test_a_poor_dataset_is_warned_of_while_preparing(lab, small_params, caplog):
    rng = np.random.default_rng(5)
    record_datasets(
        lab,
        widths=(6, 6, 6, 2),
        d3={
            "spikes": rng.poisson(0.5, (60, 2, 20)).astype(np.uint8),
            "conditionId": np.arange(60) % 4 + 1.0,
        },
    )
    runs = stitched(lab, small_params(useAlignmentMatrix=True, c_factors_dim=2), names=[0, 1, 2, 3])
    with caplog.at_level(logging.WARNING):
        runs.prepare_for_lfads()
    assert [message.split()[0] for message in caplog.messages] == ["d3"]
