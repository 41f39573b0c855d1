"""Figures of posterior means show what an independent computation gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure

from lfadsq.errors import ConfigError, LfadsqError, ResultNotReadyError, ResultShapeError
from lfadsq.results import figures
from lfadsq.results.figures.smoothing import smooth_counts

from .made_means import BIN_MS, make_means

TIME_MS = (np.arange(15) + 0.5) * BIN_MS


def lines_of(ax):
    """What each line of axes shows, by its colour."""
    return {to_hex(line.get_color()): np.array(line.get_data()) for line in ax.lines}


def colour_of(condition, conditions=(1, 2, 3)):
    return figures.ConditionColours.of(conditions)[condition]


def loop_average(means, values, condition):
    trials = [t for t in range(means.num_trials) if means.condition_ids[t] == condition]
    return sum(values[t] for t in trials) / len(trials)


# --- factors and inferred inputs ------------------------------------------------------------------


def test_factors_are_averages_of_conditions():
    means = make_means()
    _, axes = figures.plot_factors(means)
    assert len(axes) == 4
    for factor, ax in enumerate(axes):
        shown = lines_of(ax)
        for condition in (1.0, 2.0, 3.0):
            time_ms, values = shown[colour_of(condition)]
            np.testing.assert_allclose(time_ms, TIME_MS)
            expected = loop_average(means, means.factors, condition)[:, factor]
            np.testing.assert_allclose(values, expected)
        assert ax.get_ylabel() == f"factor {factor + 1} [a.u.]"
        assert ax.get_xlabel() == "time [ms]"
        assert ax.get_xlim() == (0.0, 15 * BIN_MS)


def test_a_subset_keeps_its_colours():
    means = make_means(conditions=range(20), num_trials=60)
    _, axes = figures.plot_factors(means, conditions=[17, 3], factors=[1])
    assert set(lines_of(axes[0])) == {colour_of(17, range(20)), colour_of(3, range(20))}
    _, ax = figures.plot_trajectories(means, conditions=[3])
    assert set(lines_of(ax)) == {colour_of(3, range(20))}


def test_of_many_factors_those_that_vary_most_are_drawn():
    means = make_means(num_factors=20)
    means.factors[..., [2, 5]] *= 1e-3
    means.factors[..., 7:9] *= 1e-3
    figure, axes = figures.plot_factors(means)
    shown = [int(ax.get_ylabel().split()[1]) - 1 for ax in axes]
    assert shown == [n for n in range(20) if n not in (2, 5, 7, 8)]
    assert "the 16 of 20 factors that vary most" in figure.get_suptitle().replace("\n", " ")


def test_inferred_inputs_have_bands_of_one_standard_deviation():
    means = make_means()
    _, axes = figures.plot_inferred_inputs(means)
    assert len(axes) == 2
    inputs = means.controller_outputs
    for number, ax in enumerate(axes):
        for band, condition in zip(ax.collections, (1.0, 2.0, 3.0), strict=True):
            (path,) = band.get_paths()
            of_condition = inputs[means.condition_ids == condition][..., number]
            mean, sd = of_condition.mean(axis=0), of_condition.std(axis=0, ddof=1)
            box = path.get_extents()
            np.testing.assert_allclose(box.ymax, (mean + sd).max())
            np.testing.assert_allclose(box.ymin, (mean - sd).min())


def test_the_standard_error_is_the_standard_deviation_over_the_root_of_n():
    means = make_means(conditions=(1.0,), num_trials=16)
    _, (ax, _) = figures.plot_inferred_inputs(means, spread="sem")
    (path,) = ax.collections[0].get_paths()
    values = means.controller_outputs[..., 0]
    high = values.mean(axis=0) + values.std(axis=0, ddof=1) / 4
    np.testing.assert_allclose(path.get_extents().ymax, high.max())


def test_the_spread_of_many_conditions_has_panels_of_its_own():
    means = make_means(conditions=range(12), num_trials=48)
    _, axes = figures.plot_inferred_inputs(means)
    assert len(axes) == 4
    assert not any(ax.collections for ax in axes)
    of_condition = means.controller_outputs[means.condition_ids == 7][..., 1]
    shown = lines_of(axes[3])[colour_of(7, range(12))][1]
    np.testing.assert_allclose(shown, of_condition.std(axis=0, ddof=1))
    assert axes[3].get_ylabel() == "sd of input 2 [a.u.]"


def test_a_model_without_a_controller_infers_no_inputs():
    with pytest.raises(ResultShapeError, match="has no controller"):
        figures.plot_inferred_inputs(make_means(co_dim=0))


# --- principal components -------------------------------------------------------------------------


def by_svd(values, num_components):
    """Scores and shares of variance by numpy's SVD."""
    rows = values.reshape(-1, values.shape[-1])
    u, s, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    scores = (u * s)[:, :num_components].reshape(*values.shape[:-1], num_components)
    return scores, (s**2 / (s**2).sum())[:num_components]


def same_up_to_sign(one, other):
    for component in range(other.shape[-1]):
        sign = np.sign((one[..., component] * other[..., component]).sum())
        np.testing.assert_allclose(one[..., component], sign * other[..., component], atol=1e-10)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("of", ["factors", "generator_states", "rates"])
def test_trajectories_are_the_principal_components_of_averages(dims, of):
    means = make_means()
    values = getattr(means, of)
    averages = np.stack([loop_average(means, values, c) for c in (1.0, 2.0, 3.0)])
    scores, shares = by_svd(averages, dims)
    _, ax = figures.plot_trajectories(means, dims=dims, of=of)
    paths = [line for line in ax.lines if len(line.get_xdata()) == 15]
    drawn = [line.get_data_3d() if dims == 3 else line.get_data() for line in paths]
    same_up_to_sign(np.stack([np.transpose(one) for one in drawn]), scores)
    assert [to_hex(line.get_color()) for line in paths] == [colour_of(c) for c in (1, 2, 3)]
    assert ax.get_xlabel() == f"PC 1 ({shares[0]:.0%}) [a.u.]"
    assert ax.get_ylabel() == f"PC 2 ({shares[1]:.0%}) [a.u.]"


def test_a_subset_of_conditions_lies_where_it_lies_among_all():
    means = make_means()
    _, whole = figures.plot_trajectories(means)
    _, part = figures.plot_trajectories(means, conditions=[2])
    colour = colour_of(2)
    (one,) = [line for line in part.lines if len(line.get_xdata()) == 15]
    (same,) = [
        line
        for line in whole.lines
        if len(line.get_xdata()) == 15 and to_hex(line.get_color()) == colour
    ]
    np.testing.assert_array_equal(one.get_data(), same.get_data())


def test_datasets_of_a_run_can_share_a_space():
    one, other = make_means(), make_means(num_trials=30, num_channels=2)
    averages = np.stack([loop_average(one, one.factors, c) for c in (1.0, 2.0, 3.0)])
    rows = averages.reshape(-1, 4)
    loadings = np.linalg.svd(rows - rows.mean(axis=0))[2][:2].T
    _, ax = figures.plot_trajectories(other, like=one, conditions=[1])
    expected = (loop_average(other, other.factors, 1.0) - rows.mean(axis=0)) @ loadings
    same_up_to_sign(np.transpose(ax.lines[0].get_data()), expected)
    with pytest.raises(ResultShapeError, match="no common space"):
        figures.plot_trajectories(other, like=one, of="rates")


@pytest.mark.parametrize("of", ["generator_ics", "post_g0_mean"])
@pytest.mark.parametrize("dims", [2, 3])
def test_initial_conditions_are_the_principal_components_of_trials(of, dims):
    means = make_means(conditions=(1.0, 2.0, math.nan))
    scores, _ = by_svd(getattr(means, of), dims)
    _, ax = figures.plot_initial_conditions(means, of=of, dims=dims)
    dots, centres = ax.collections
    shown = np.stack(dots._offsets3d, axis=1) if dims == 3 else dots.get_offsets()
    same_up_to_sign(np.asarray(shown), scores)
    mean_of_1 = np.asarray(shown)[means.condition_ids == 1.0].mean(axis=0)
    large = np.stack(centres._offsets3d, axis=1) if dims == 3 else centres.get_offsets()
    np.testing.assert_allclose(np.asarray(large)[0], mean_of_1)
    if dims == 2:  # in 3-D matplotlib shades and sorts colours when it draws
        colours = [to_hex(one) for one in dots.get_facecolors()]
        assert colours[:3] == [colour_of(1, (1, 2)), colour_of(2, (1, 2)), "#aaaaaa"]


def test_fewer_dimensions_than_components_are_refused():
    with pytest.raises(ResultShapeError, match="factors have 2 dimensions"):
        figures.plot_trajectories(make_means(num_factors=2), dims=3)
    figures.plot_trajectories(make_means(num_factors=2))


def test_factors_that_do_not_vary_can_be_drawn():
    means = make_means(factors=np.ones((24, 15, 4)))
    _, ax = figures.plot_trajectories(means)
    assert ax.get_xlabel() == "PC 1 (0%) [a.u.]"


def test_of_very_many_trials_some_are_drawn():
    means = make_means(num_trials=6001, num_bins=2)
    _, ax = figures.plot_initial_conditions(means)
    assert len(ax.collections[0].get_offsets()) == 5000
    assert "5000 of 6001 trials, evenly spread" in ax.get_title().replace("\n", " ")


# --- single trials and rasters --------------------------------------------------------------------


def loop_smoothed(counts, bin_ms, sd_ms):
    """A gaussian over the bins of one trial and channel, cut off at four standard deviations."""
    sd = sd_ms / bin_ms
    reach = int(4 * sd + 0.5)
    smoothed = np.zeros(len(counts))
    for t in range(len(counts)):
        near = range(max(0, t - reach), min(len(counts), t + reach + 1))
        weights = np.array([math.exp(-0.5 * ((t - s) / sd) ** 2) for s in near])
        smoothed[t] = (weights * counts[list(near)]).sum() / weights.sum()
    return smoothed * 1000 / bin_ms


@pytest.mark.parametrize("sd_ms", [3.0, 50.0, 1000.0])
def test_spikes_are_smoothed_as_by_a_loop(sd_ms):
    counts = make_means().counts
    smoothed = smooth_counts(counts, BIN_MS, sd_ms)
    for trial, channel in ((0, 0), (7, 4)):
        expected = loop_smoothed(counts[trial, :, channel], BIN_MS, sd_ms)
        np.testing.assert_allclose(smoothed[trial, :, channel], expected, rtol=1e-6)
    with pytest.raises(ConfigError, match="more than 0"):
        smooth_counts(counts, BIN_MS, 0.0)


def test_single_trials_show_rates_truth_and_smoothed_spikes():
    means = make_means()
    _, axes = figures.plot_single_trials(means, trials=[5, 1], channels=[3, 0, 2])
    assert axes.shape == (3, 2)
    shown = {line.get_label(): line.get_ydata() for line in axes[1, 0].lines}
    np.testing.assert_allclose(shown["inferred rate"], means.output_means[5, :, 0] / 0.020)
    np.testing.assert_allclose(shown["true rate"], means.true_rates[5, :, 0])
    smoothed = loop_smoothed(means.counts[5, :, 0], BIN_MS, 50.0)
    np.testing.assert_allclose(shown["spikes, smoothed over 50 ms"], smoothed, rtol=1e-6)
    assert axes[0, 0].get_title() == "trial 6"
    assert axes[1, 0].get_ylabel() == "channel 1\n[spikes/s]"
    (spikes,) = axes[1, 0].collections
    at_ms = [segment[0][0] for segment in spikes.get_segments()]
    np.testing.assert_allclose(at_ms, TIME_MS[means.counts[5, :, 0] > 0])


def test_everything_in_a_row_can_be_seen():
    means = make_means()
    _, axes = figures.plot_single_trials(means)
    for row in axes:
        highest = max(line.get_ydata().max() for ax in row for line in ax.lines)
        assert row[0].get_ylim()[0] == 0.0
        assert row[0].get_ylim()[1] >= highest


def test_validation_trials_are_chosen_evenly():
    figure, axes = figures.plot_single_trials(make_means(num_trials=48))
    valid = np.arange(48)[2::4] + 1
    expected = valid[[0, 3, 7, 11]]
    assert [ax.get_title() for ax in axes[0]] == [f"trial {n}" for n in expected]
    assert "validation trials" in figure.get_suptitle()


def test_gaussian_output_has_a_band_of_its_standard_deviation():
    means = make_means(gaussian=True)
    _, axes = figures.plot_single_trials(means, trials=[2], channels=[1])
    (ax,) = axes.ravel()
    shown = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(shown["inferred mean"], means.output_means[2, :, 1])
    np.testing.assert_allclose(shown["data"], means.counts[2, :, 1])
    (band,) = ax.collections
    high = means.output_means[2, :, 1] + np.sqrt(means.output_variances[2, :, 1])
    np.testing.assert_allclose(band.get_paths()[0].get_extents().ymax, high.max())
    assert "[data unit/bin]" in ax.get_ylabel()


def test_rasters_are_sorted_by_the_loadings():
    means = make_means()
    _, axes = figures.plot_rasters(means, loadings=[0.1, 3, -2, 0.1, 1], trials=[4])
    order = [1, 4, 0, 3, 2]
    counts, rates = (ax.images[0].get_array() for ax in axes[:, 1])
    np.testing.assert_array_equal(counts, means.counts[4].T[order])
    np.testing.assert_allclose(rates, means.rates[4].T[order])
    bars = [bar.get_width() for bar in axes[0, 0].patches]
    assert bars == [3, 1, 0.1, 0.1, -2]
    assert axes[0, 1].images[0].get_extent() == [0.0, 300.0, 5.5, 0.5]


def test_rasters_are_sorted_by_the_first_component_of_log_rates():
    means = make_means()
    averages = np.stack([loop_average(means, means.output_means, c) for c in (1.0, 2.0, 3.0)])
    rows = np.log(averages).reshape(-1, 5)
    loading = np.linalg.svd(rows - rows.mean(axis=0))[2][0]
    loading *= np.sign(loading[np.abs(loading).argmax()])
    _, axes = figures.plot_rasters(means, trials=[0])
    counts = axes[0, 1].images[0].get_array()
    np.testing.assert_array_equal(counts, means.counts[0].T[np.argsort(-loading)])


@pytest.mark.parametrize("loadings", [[1, 2], [1, 2, 3, 4, math.nan], [[1, 2, 3, 4, 5]]])
def test_loadings_that_do_not_fit_are_refused(loadings):
    with pytest.raises(ResultShapeError, match="one number for each channel"):
        figures.plot_rasters(make_means(), loadings=loadings)


# --- what recordings may be like ------------------------------------------------------------------

OF_TRIALS = {
    figures.plot_rasters: {"trials": [0]},
    figures.plot_single_trials: {"trials": [0], "channels": [0]},
    figures.plot_factors: {"factors": [0]},
    figures.plot_trajectories: {},
    figures.plot_inferred_inputs: {},
    figures.plot_initial_conditions: {},
}
of_trials = pytest.mark.parametrize("plot", OF_TRIALS, ids=lambda one: one.__name__)

SHAPES = {
    "one trial": {"num_trials": 1, "valid_inds": []},
    "one condition": {"conditions": (7,)},
    "no conditions": {"conditions": None},
    "only NaN": {"conditions": (math.nan,)},
    "some NaN": {"conditions": (1.0, math.nan)},
    "texts": {"conditions": ("left", "right", "")},
    "hostile texts": {"conditions": ("$x$", "_y", "a\nb")},
    "one channel": {"num_channels": 1},
    "one bin": {"num_bins": 1},
    "gaussian": {"gaussian": True},
    "no truth": {"with_truth": False},
    "no spikes": {"counts": np.zeros((24, 15, 5), np.int64)},
    "many conditions": {"conditions": range(20)},
    "angles": {"conditions": range(0, 360, 45)},
}


@of_trials
def test_whatever_the_recording_is_like_it_can_be_drawn(plot, recwarn):
    for name, changes in SHAPES.items():
        plot(make_means(**changes), **OF_TRIALS[plot])
        assert not recwarn.list, (name, [str(one.message) for one in recwarn])


@pytest.mark.slow  # finding places for everything takes most of the time
@of_trials
def test_whatever_the_recording_is_like_everything_finds_its_place(plot, recwarn):
    for name, changes in SHAPES.items():
        plot(make_means(**changes)).figure.draw_without_rendering()
        assert not recwarn.list, (name, [str(one.message) for one in recwarn])


@of_trials
def test_names_are_no_formulas(plot, recwarn):
    name = r"$\frac{a_b}$" + "\n\x1b[31m"
    drawing = plot(make_means(dataset_name=name), **OF_TRIALS[plot])
    drawing.figure.draw_without_rendering()
    titles = [drawing.figure.get_suptitle(), *(ax.get_title() for ax in drawing.figure.axes)]
    assert any(r"\$\frac{a_b}\$\n\x1b[31m" in text for text in titles)
    assert not recwarn.list


def test_labels_that_begin_with_an_underscore_are_in_the_legend():
    figure, _ = figures.plot_factors(make_means(conditions=("_a", "b$c")))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["_a", r"b\$c"]


@pytest.mark.parametrize("plot", [figures.plot_rasters, figures.plot_single_trials])
def test_without_the_data_there_is_nothing_to_compare_with(plot):
    with pytest.raises(ResultNotReadyError, match="data_<HASH>"):
        plot(make_means(counts=None))


def test_without_states_the_remedy_is_told():
    with pytest.raises(ResultNotReadyError, match="of='factors'"):
        figures.plot_trajectories(make_means(generator_states=None), of="generator_states")
    with pytest.raises(ResultNotReadyError, match="of='post_g0_mean'"):
        figures.plot_initial_conditions(make_means(generator_ics=None))


@pytest.mark.parametrize(
    ("plot", "wrong"),
    [
        (figures.plot_factors, {"factors": [4]}),
        (figures.plot_factors, {"factors": []}),
        (figures.plot_factors, {"factors": [-1]}),
        (figures.plot_factors, {"conditions": ["left"]}),
        (figures.plot_single_trials, {"trials": [24]}),
        (figures.plot_single_trials, {"channels": [5]}),
        (figures.plot_rasters, {"trials": [99]}),
        (figures.plot_trajectories, {"dims": 4}),
        (figures.plot_trajectories, {"of": "spikes"}),
        (figures.plot_trajectories, {"dims": 3, "ax": Figure().add_subplot()}),
        (figures.plot_initial_conditions, {"of": "factors"}),
        (figures.plot_inferred_inputs, {"spread": "range"}),
    ],
)
def test_what_cannot_be_drawn_is_refused(plot, wrong):
    with pytest.raises(LfadsqError) as caught:
        plot(make_means(), **wrong)
    assert caught.value.remedy


# --- where it is drawn ----------------------------------------------------------------------------


def test_own_axes_and_figures_can_be_given():
    figure = Figure(figsize=(9, 4))
    left, right = figure.subfigures(1, 2)
    means = make_means()
    drawn, axes = figures.plot_factors(means, figure=left)
    assert drawn is figure
    assert {ax.get_figure(root=False) for ax in axes} == {left}
    ax = right.add_subplot()
    assert figures.plot_trajectories(means, ax=ax) == (figure, ax)
    figure.draw_without_rendering()


def test_nothing_is_left_in_pyplot_and_notebooks_show_it(recwarn):
    import matplotlib
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    drawing = figures.plot_factors(make_means(), factors=[0])
    assert drawing._repr_png_().startswith(b"\x89PNG")
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == before
    own = pyplot.figure()
    try:
        given = figures.plot_factors(make_means(), factors=[0], figure=own)
        assert given._repr_png_() is None  # pyplot shows it itself
    finally:
        pyplot.close(own)
    assert not recwarn.list


def test_a_cell_of_a_notebook_shows_the_figure():
    from IPython.core.formatters import DisplayFormatter

    shown, _ = DisplayFormatter().format(figures.plot_factors(make_means(), factors=[0]))
    assert shown["image/png"].startswith((b"\x89PNG", "iVBOR"))


def test_figures_of_the_same_are_the_same(tmp_path):
    for name in ("a.png", "b.png"):
        figures.save_figure(figures.plot_trajectories(make_means()).figure, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_names_in_other_scripts_are_written_without_a_warning(tmp_path, recwarn):
    drawing = figures.plot_factors(make_means(dataset_name="記録"), factors=[0])
    figures.save_figure(drawing.figure, tmp_path / "factors.png")
    assert not recwarn.list


def test_conditions_have_the_same_colour_in_all_figures():
    means = make_means()
    expected = {to_rgba(colour_of(condition)) for condition in (1, 2, 3)}
    for plot in (figures.plot_factors, figures.plot_trajectories):
        ax = np.ravel(plot(means).axes)[0]
        assert {to_rgba(line.get_color()) for line in ax.lines} == expected
    ax = figures.plot_initial_conditions(means).axes
    assert {tuple(one) for one in ax.collections[1].get_facecolors()} == expected
