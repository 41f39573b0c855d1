"""Alignment matrices, against principal components and regressions computed another way."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfadsq import RunParams
from lfadsq.errors import ConfigError, DatasetError, StorageError
from lfadsq.manager.alignment import AlignmentOptions, MultisessionAlignmentTool
from lfadsq.manager.condition_averages import ConditionAverages, read_conditions
from lfadsq.manager.counts import DatasetCounts
from lfadsq.manager.principal_components import principal_components
from lfadsq.manager.regression import PENALTIES, regress, ridge_regress


def shared_dynamics(num_channels=(7, 5, 9), num_conditions=6, num_bins=15, noise=0.05, seed=3):
    """Averages of datasets that see the same three latent signals through other channels."""
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(num_conditions, num_bins, 3)).cumsum(axis=1) * [3.0, 1.5, 0.7]
    return [
        ConditionAverages(
            f"dataset{number + 1:03d}",
            tuple(float(one + 1) for one in range(num_conditions)),
            latents @ rng.normal(size=(3, width))
            + rng.normal(size=(num_conditions, num_bins, width)) * noise
            + rng.uniform(0, 5, width),
        )
        for number, width in enumerate(num_channels)
    ]


def expected_components(matrices, num_components):
    """Scores by a singular value decomposition of everything side by side."""
    together = np.hstack(matrices)
    left, singular, right = np.linalg.svd(together - together.mean(axis=0), full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    scores = left * singular * signs
    return (right.T * signs)[:, :num_components], scores[:, :num_components]


def stacked(averages, conditions=None):
    """Rows (condition, time) one by one, as the text of the method says."""
    rows = []
    for condition in conditions or averages.conditions:
        block = averages.counts[averages.conditions.index(condition)]
        rows += [block[time] for time in range(len(block))]
    return np.array(rows)


# --- averages -------------------------------------------------------------------------------------


def test_trials_of_a_condition_are_averaged_in_the_trainers_bins():
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, (150, 4, 11)).astype(np.uint8)  # more trials than a block
    ids = rng.integers(1, 6, 150).astype(float)
    ids[::7] = np.nan
    checked = DatasetCounts(counts, bin_ms=2.0, condition_id=ids).checked("a")
    averages = ConditionAverages.of_counts(checked, 4.0, "a")
    assert averages.conditions == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert averages.counts.shape == (5, 5, 4)
    for number, condition in enumerate(averages.conditions):
        for time in range(5):
            binned = counts[ids == condition][:, :, 2 * time : 2 * time + 2].sum(axis=2)
            np.testing.assert_allclose(averages.counts[number, time], binned.mean(axis=0))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.array([3, 1], np.uint16), [3.0, 1.0]),
        (np.array([1.5, np.nan]), [1.5, None]),
        (np.array(["up ", " ", "", "up"]), ["up", None, None, "up"]),
        (np.array([b"up", b""]), ["up", None]),
        # A cell, as SciPy reads it.
        (
            np.array([np.array(["up"]), np.array([[2]]), np.zeros((0, 0)), None, 4.0], object),
            ["up", 2.0, None, None, 4.0],
        ),
        (None, [None, None]),
    ],
)
def test_conditions_are_numbers_or_text_and_nan_or_empty_is_none(given, expected):
    assert read_conditions(given, len(expected), "a") == expected


def test_a_condition_of_another_kind_is_refused():
    ids = np.empty(2, object)
    ids[:] = [np.array([1, 2]), 3]
    with pytest.raises(DatasetError, match=r"dataset001 has .*one number or text"):
        read_conditions(ids, 2, "dataset001")


def test_numbers_come_before_text_each_in_order():
    ids = np.array(["b", 10, "a", 9], object)
    checked = DatasetCounts(np.ones((4, 1, 2)), bin_ms=1.0, condition_id=ids).checked("a")
    assert ConditionAverages.of_counts(checked, 1.0, "a").conditions == (9.0, 10.0, "a", "b")


@pytest.mark.parametrize("ids", [None, np.array([np.nan, np.nan]), np.array(["", " "])])
def test_without_any_condition_nothing_can_be_averaged(ids):
    checked = DatasetCounts(np.ones((2, 1, 2)), bin_ms=1.0, condition_id=ids).checked("dataset001")
    with pytest.raises(DatasetError, match=r"no trial of dataset001 .*useAlignmentMatrix"):
        ConditionAverages.of_counts(checked, 1.0, "dataset001")


# --- components and regressions -------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    widths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    num_rows=st.integers(2, 30),
    wanted=st.integers(1, 12),
    seed=st.integers(0, 10**6),
)
def test_components_are_those_of_a_singular_value_decomposition(widths, num_rows, wanted, seed):
    rng = np.random.default_rng(seed)
    scales = np.geomspace(1.0, 30.0, sum(widths))  # well apart, so that each is one direction
    together = rng.normal(size=(num_rows, sum(widths))) * scales + 5.0
    parts = np.split(together, np.cumsum(widths)[:-1], axis=1)
    loadings, scores = principal_components(parts, wanted)
    num_found = min(wanted, num_rows - 1, sum(widths))
    assert scores.shape == (num_rows, num_found)
    expected_loadings, expected = expected_components(parts, num_found)
    # Signs may differ where two loadings are equally large.
    signs = np.sign((expected * scores).sum(axis=0))
    np.testing.assert_allclose(scores, expected * signs, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(np.vstack(loadings), expected_loadings * signs, atol=1e-5)


def test_there_are_no_more_components_than_dimensions():
    rng = np.random.default_rng(1)
    low = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 6))
    silent = np.zeros((50, 3))
    loadings, scores = principal_components([low, silent], 5)
    assert scores.shape == (50, 2)
    assert not loadings[1].any()


def test_a_silent_channel_has_no_weight_and_twins_share_theirs():
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(40, 3))
    inputs -= inputs.mean(axis=0)
    targets = inputs @ np.array([[1.0], [2.0], [-3.0]])
    twins = np.column_stack([inputs, inputs[:, 0], np.zeros(40)])
    np.testing.assert_allclose(
        regress(twins, targets).ravel(), [0.5, 2.0, -3.0, 0.5, 0.0], atol=1e-12
    )


def ridge_by_augmented_rows(inputs, targets, penalty):
    """Least squares with a row sqrt(penalty) for each weight, and an intercept."""
    num_channels = inputs.shape[1]
    rows = np.vstack(
        [
            np.column_stack([np.ones(len(inputs)), inputs]),
            np.column_stack([np.zeros(num_channels), np.sqrt(penalty) * np.eye(num_channels)]),
        ]
    )
    wanted = np.vstack([targets, np.zeros((num_channels, targets.shape[1]))])
    solution = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    return solution[0], solution[1:]


@pytest.mark.parametrize("normalize_each", [False, True])
@pytest.mark.parametrize(("num_rows", "noise"), [(60, 0.1), (60, 8.0), (12, 1.0), (4, 0.5)])
def test_ridge_chooses_the_penalty_that_predicts_best(num_rows, noise, normalize_each):
    rng = np.random.default_rng(num_rows)
    inputs = rng.normal(size=(num_rows, 8)) * np.geomspace(0.1, 5, 8) + 3.0
    targets = inputs @ rng.normal(size=(8, 2)) + rng.normal(size=(num_rows, 2)) * noise
    scale = inputs.std(axis=0, ddof=1) if normalize_each else inputs.std(ddof=1)
    scaled = inputs / scale
    losses = []
    for penalty in np.logspace(-5, 2, 15):
        left_out = []
        for first in range(min(10, num_rows)):
            tested = np.arange(first, num_rows, 10)
            kept = np.setdiff1d(np.arange(num_rows), tested)
            intercept, weights = ridge_by_augmented_rows(scaled[kept], targets[kept], penalty)
            left_out.append(np.mean((targets[tested] - intercept - scaled[tested] @ weights) ** 2))
        losses.append(np.mean(left_out))
    best = int(np.argmin(losses))
    weights, penalty = ridge_regress(inputs, targets, normalize_each=normalize_each)
    assert penalty == pytest.approx(np.logspace(-5, 2, 15)[best])
    _, expected = ridge_by_augmented_rows(scaled, targets, penalty)
    np.testing.assert_allclose(
        weights, expected / np.broadcast_to(scale, 8)[:, None], rtol=1e-6, atol=1e-9
    )


def test_ridge_penalties_go_from_1e_minus_5_to_100():
    assert len(PENALTIES) == 15
    assert (PENALTIES[0], PENALTIES[-1]) == pytest.approx((1e-5, 100.0))
    np.testing.assert_allclose(np.diff(np.log10(PENALTIES)), 0.5)


@pytest.mark.parametrize("normalize_each", [False, True])
def test_ridge_takes_silent_channels(normalize_each):
    inputs = np.zeros((30, 2))
    inputs[:, 0] = np.arange(30)
    weights, _ = ridge_regress(inputs, inputs[:, :1] * 2, normalize_each=normalize_each)
    np.testing.assert_allclose(weights, [[2.0], [0.0]], atol=1e-4)
    weights, _ = ridge_regress(np.zeros((30, 2)), inputs[:, :1], normalize_each=normalize_each)
    assert not weights.any()


# --- several datasets -----------------------------------------------------------------------------


def test_matrices_are_the_regression_of_global_components_on_each_dataset():
    averages = shared_dynamics()
    tool = MultisessionAlignmentTool(averages, AlignmentOptions(4))
    rows = [stacked(one) for one in averages]
    _, scores = expected_components(rows, 4)
    np.testing.assert_allclose(tool.global_components.reshape(-1, 4), scores, atol=1e-7)
    for one, own in zip(tool.datasets, rows, strict=True):
        centred = own - own.mean(axis=0)
        expected = np.linalg.solve(centred.T @ centred, centred.T @ scores)
        np.testing.assert_allclose(one.matrix, expected, atol=1e-6)
        np.testing.assert_allclose(one.bias, own.mean(axis=0))
        residual = scores - centred @ expected
        assert one.r2 == pytest.approx(1 - (residual**2).sum() / (scores**2).sum())
        np.testing.assert_allclose(
            one.r2_per_component, 1 - (residual**2).sum(axis=0) / (scores**2).sum(axis=0)
        )
        assert one.penalty is None
    for number, own in enumerate(rows):
        np.testing.assert_allclose(
            tool.reconstruct(number).reshape(-1, 4),
            (own - tool.alignment_biases[number]) @ tool.alignment_matrices[number],
            atol=1e-9,
        )
    # What the datasets share is seen by each: three signals, and little noise.
    assert min(one.r2 for one in tool.datasets) > 0.99


@pytest.mark.parametrize("normalize_each", [False, True])
def test_ridge_regresses_the_same_components(normalize_each):
    averages = shared_dynamics(noise=2.0)
    options = AlignmentOptions(3, use_ridge_regression=True, ridge_normalize_each=normalize_each)
    tool = MultisessionAlignmentTool(averages, options)
    rows = [stacked(one) for one in averages]
    _, scores = expected_components(rows, 3)
    for one, own in zip(tool.datasets, rows, strict=True):
        centred = own - own.mean(axis=0)
        scale = centred.std(axis=0, ddof=1) if normalize_each else centred.std(ddof=1)
        assert one.penalty in PENALTIES
        _, expected = ridge_by_augmented_rows(centred / scale, scores, one.penalty)
        expected = expected / np.broadcast_to(scale, own.shape[1])[:, None]
        np.testing.assert_allclose(one.matrix, expected, atol=1e-7)


def test_one_dataset_is_projected_onto_its_own_components():
    (averages,) = shared_dynamics(num_channels=(6,))
    tool = MultisessionAlignmentTool([averages], AlignmentOptions(8, use_ridge_regression=True))
    rows = stacked(averages)
    loadings, _ = expected_components([rows], 6)
    (one,) = tool.datasets
    np.testing.assert_allclose(one.matrix[:, :6], loadings, atol=1e-7)
    assert one.matrix.shape == (6, 8)
    assert not one.matrix[:, 6:].any()
    np.testing.assert_allclose(one.bias, rows.mean(axis=0))
    assert one.r2 == pytest.approx(1.0)


def test_more_factors_than_components_are_padded_with_zeros():
    averages = shared_dynamics(num_channels=(2, 3))
    tool = MultisessionAlignmentTool(averages, AlignmentOptions(9))
    for one, width in zip(tool.datasets, (2, 3), strict=True):
        assert one.matrix.shape == (width, 9)
        assert one.matrix[:, :5].any(axis=0).all()
        assert not one.matrix[:, 5:].any()
    assert tool.global_components.shape[2] == 5


def test_only_conditions_that_all_have_are_aligned_by(caplog):
    averages = shared_dynamics()
    lacking = [
        averages[0],
        ConditionAverages("dataset002", averages[1].conditions[1:], averages[1].counts[1:]),
        ConditionAverages(
            "dataset003",
            (*averages[2].conditions[:5], "new"),
            averages[2].counts,
        ),
    ]
    with caplog.at_level(logging.WARNING):
        tool = MultisessionAlignmentTool(lacking, AlignmentOptions(3))
    shared = (2.0, 3.0, 4.0, 5.0)
    assert tool.conditions == shared
    assert "4 conditions that all have, of 7 in any" in caplog.text
    assert "dataset002 lacks 2" in caplog.text
    rows = [stacked(one, shared) for one in lacking]
    _, scores = expected_components(rows, 3)
    for one, given_averages, own in zip(tool.datasets, lacking, rows, strict=True):
        centred = own - own.mean(axis=0)
        np.testing.assert_allclose(one.matrix, np.linalg.pinv(centred) @ scores, atol=1e-6)
        # The mean counts are those of everything the dataset has.
        np.testing.assert_allclose(one.bias, stacked(given_averages).mean(axis=0))


def test_the_order_of_conditions_in_a_dataset_does_not_matter():
    averages = shared_dynamics()
    last = averages[2]
    turned = ConditionAverages(last.dataset_name, last.conditions[::-1], last.counts[::-1])
    tool = MultisessionAlignmentTool(averages, AlignmentOptions(3))
    other = MultisessionAlignmentTool([*averages[:2], turned], AlignmentOptions(3))
    for one, same in zip(tool.alignment_matrices, other.alignment_matrices, strict=True):
        np.testing.assert_allclose(one, same, atol=1e-9)


def test_datasets_without_a_common_condition_are_refused():
    one, two, _ = shared_dynamics()
    apart = ConditionAverages("dataset002", ("left", "right"), two.counts[:2])
    with pytest.raises(DatasetError, match=r"(?s)no condition is in all 2.*dataset002: left"):
        MultisessionAlignmentTool([one, apart], AlignmentOptions(3))


def test_datasets_of_other_lengths_are_refused():
    one, two, _ = shared_dynamics()
    shorter = ConditionAverages("dataset002", two.conditions, two.counts[:, :9])
    with pytest.raises(DatasetError, match="dataset001 has 15 time bins, but dataset002 9"):
        MultisessionAlignmentTool([one, shorter], AlignmentOptions(3))


def test_datasets_that_never_change_are_refused():
    constant = ConditionAverages("dataset001", (1.0, 2.0), np.full((2, 4, 3), 0.25))
    with pytest.raises(DatasetError, match="dataset001 are the same at all times"):
        MultisessionAlignmentTool([constant, constant], AlignmentOptions(3))


# --- how good it is -------------------------------------------------------------------------------


def test_a_dataset_with_other_condition_ids_is_warned_of(caplog):
    averages = shared_dynamics(num_channels=(8, 8, 8, 3), num_conditions=12, num_bins=20)
    wrong = averages[3]
    shuffled = np.random.default_rng(0).permutation(wrong.counts.reshape(-1, 3))
    averages[3] = ConditionAverages("mixed", wrong.conditions, shuffled.reshape(12, 20, 3))
    with caplog.at_level(logging.WARNING):
        MultisessionAlignmentTool(averages, AlignmentOptions(3)).log_quality()
    (warning,) = caplog.messages
    assert warning.startswith("mixed reconstructs")
    assert "condition ids" in warning
    assert "c_factors_dim" in warning


def test_fits_that_mean_nothing_are_warned_of(caplog):
    averages = shared_dynamics(num_channels=(4, 40), num_conditions=2, num_bins=15)
    plain = MultisessionAlignmentTool(averages, AlignmentOptions(3))
    with caplog.at_level(logging.WARNING):
        plain.log_quality()
    (warning,) = caplog.messages
    assert "dataset002 has 40 channels, but only 30 bins" in warning
    assert "ridgeRegressGlobalPCs" in warning
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        MultisessionAlignmentTool(averages, AlignmentOptions(3, True)).log_quality()
    assert not caplog.messages


@pytest.mark.parametrize(
    ("ending", "begins_with"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_the_reconstruction_is_drawn(tmp_path, ending, begins_with):
    tool = MultisessionAlignmentTool(shared_dynamics(), AlignmentOptions(2))
    path = tmp_path / f"alignment.{ending}"
    assert tool.plot_alignment_reconstruction(path, num_conditions=99) == path
    assert path.read_bytes().startswith(begins_with)


def test_every_dataset_and_its_r2_are_in_the_picture(tmp_path):
    tool = MultisessionAlignmentTool(shared_dynamics(), AlignmentOptions(2))
    path = tmp_path / "alignment.svg"
    tool.plot_alignment_reconstruction(path, num_factors=1, num_conditions=2)
    text = path.read_text(encoding="utf-8")
    for shown in ("all datasets", "dataset003 (R2 ", "component 1", "condition 2"):
        assert f"<!-- {shown}" in text
    assert "component 2" not in text


def test_a_picture_that_cannot_be_is_refused(tmp_path):
    tool = MultisessionAlignmentTool(shared_dynamics(), AlignmentOptions(2))
    with pytest.raises(ConfigError, match="png, pdf, svg"):
        tool.plot_alignment_reconstruction(tmp_path / "alignment.doc")
    with pytest.raises(ConfigError, match="1 or more"):
        tool.plot_alignment_reconstruction(tmp_path / "a.png", num_factors=0)
    with pytest.raises(StorageError):
        tool.plot_alignment_reconstruction(tmp_path / "missing" / "a.png")
    assert not list(tmp_path.iterdir())


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, AlignmentOptions(50)),
        ({"c_factors_dim": 8}, AlignmentOptions(8)),
        ({"alignmentApproach": "ridgeRegressGlobalPCs"}, AlignmentOptions(50, True)),
        (
            {
                "alignmentApproach": "ridgeRegressGlobalPCs",
                "alignmentExtraArgs": ("ridgeNormalizeEach", True),
            },
            AlignmentOptions(50, True, True),
        ),
        (
            {"alignmentExtraArgs": ("UseRidgeRegression", 1, "ridgenormalizeeach", False)},
            AlignmentOptions(50, True, False),
        ),
    ],
)
def test_options_are_read_from_hyperparameters(values, expected):
    assert AlignmentOptions.of_params(RunParams(**values)) == expected


@pytest.mark.parametrize(
    "values",
    [
        {"alignmentApproach": "regressGlobalPC"},
        {"alignmentExtraArgs": ("ridgeNormalizeEach",)},
        {"alignmentExtraArgs": ("ridgeNormaliseEach", True)},
        {"alignmentExtraArgs": ("ridgeNormalizeEach", "yes")},
        {"alignmentExtraArgs": (True, "ridgeNormalizeEach")},
    ],
)
def test_options_that_do_not_exist_are_refused(values):
    with pytest.raises(ConfigError, match=f"{next(iter(values))}.*; give"):
        AlignmentOptions.of_params(RunParams(**values))
