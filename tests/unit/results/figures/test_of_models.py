"""Figures of weights, costs and alignments show what an independent computation gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from lfadsq.errors import ConfigError, ResultShapeError, StorageError
from lfadsq.results import figures
from lfadsq.results.figures.colours import series_colours
from lfadsq.results.fit_log import FitLog
from lfadsq.results.model_trained_params import ModelTrainedParams

RNG = np.random.default_rng(5)


def make_params(names=("dataset001",), num_channels=6, gaussian=False, **changes):
    readouts = {name: RNG.normal(size=(3, num_channels)) for name in names}
    weights: dict[str, Any] = {
        "factors_to_means_W" if gaussian else "factors_to_logrates_W": readouts,
        "gen_gengru_h_to_ru_W": RNG.normal(size=(8, 16)).astype(np.float32),
        "gen_gengru_rh_to_c_W": RNG.normal(size=(8, 8)).astype(np.float32),
    }
    return ModelTrainedParams(tuple(names), **{**weights, **changes})


def make_log(tmp_path, total, name="fitlog", kl_weight=None, l2_weight=None, l2=0.5):
    """A log as the trainer writes it; `total` are validation costs of the epochs 1, 2, ..."""
    number = len(total)
    kl_weight = kl_weight or [1.0] * number
    l2_weight = l2_weight or [1.0] * number
    lines = [
        f"epoch,{n}, step,{10 * n}, total,{cost + 1:.2f},{cost:.2f}, recon,{cost - 4:.2f},"
        f"{cost - 5:.2f}, kl,3.00,4.00, l2,{l2:.5f}, klweight,{kl:.2f}, l2weight,{w:.2f}\n"
        for n, (cost, kl, w) in enumerate(zip(total, kl_weight, l2_weight, strict=True), start=1)
    ]
    path = tmp_path / f"{name}.csv"
    path.write_text("".join(lines))
    return FitLog.load(path)


# --- generator ------------------------------------------------------------------------------------


def test_generator_weights_are_those_of_the_file():
    params = make_params()
    _, axes = figures.plot_generator_weights(params)
    shown = [np.asarray(ax.images[0].get_array()) for ax in axes[:3]]
    np.testing.assert_array_equal(shown[0], params.gen_gengru_h_to_ru_W[:, :8])
    np.testing.assert_array_equal(shown[1], params.gen_gengru_h_to_ru_W[:, 8:])
    np.testing.assert_array_equal(shown[2], params.gen_gengru_rh_to_c_W)
    limits = {ax.images[0].get_clim() for ax in axes[:3]}
    assert len(limits) == 1
    assert -min(limits)[0] == min(limits)[1]


def test_eigenvalues_and_singular_values_obey_their_equations():
    params = make_params()
    _, axes = figures.plot_generator_weights(params)
    matrix = params.gen_gengru_rh_to_c_W.astype(np.float64)
    real, imaginary = axes[3].lines[-1].get_data()
    assert len(real) == 8
    for value in real + 1j * imaginary:
        assert np.linalg.svd(matrix - value * np.eye(8), compute_uv=False)[-1] < 1e-10
    np.testing.assert_allclose((real + 1j * imaginary).sum(), np.trace(matrix), atol=1e-10)
    singular = axes[4].lines[2].get_ydata()
    np.testing.assert_allclose((singular**2).sum(), (matrix**2).sum())
    assert (np.diff(singular) <= 0).all()


def test_a_file_without_a_generator_is_told():
    with pytest.raises(ResultShapeError, match="trained run"):
        figures.plot_generator_weights(make_params(gen_gengru_rh_to_c_W=None))


# --- read-outs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("gaussian", [False, True])
def test_read_outs_are_sorted_by_the_factor_that_moves_a_channel_most(gaussian):
    params = make_params(gaussian=gaussian)
    _, (ax,) = figures.plot_readouts(params)
    shown = np.asarray(ax.images[0].get_array())
    readout = (params.factors_to_logrates_W or params.factors_to_means_W)["dataset001"]
    assert sorted(map(tuple, shown)) == sorted(map(tuple, readout.T))
    keys = [(np.abs(row).argmax(), -row[np.abs(row).argmax()]) for row in shown]
    assert keys == sorted(keys)


def test_each_dataset_of_a_stitched_run_has_its_panel():
    names = ("$a$", "_b", "c")
    figure, axes = figures.plot_readouts(make_params(names))
    figure.draw_without_rendering()
    assert [ax.get_title() for ax in axes] == [
        r"\$a\$ (6 channels)",
        "_b (6 channels)",
        "c (6 channels)",
    ]
    assert len({ax.images[0].get_clim() for ax in axes}) == 1
    _, axes = figures.plot_readouts(make_params(names), dataset_names=["c"])
    assert [ax.get_title() for ax in axes] == ["c (6 channels)"]


def test_of_44_datasets_twelve_are_drawn():
    figure, axes = figures.plot_readouts(make_params([f"d{n:02d}" for n in range(44)]))
    assert len(axes) == 12
    assert axes[0].get_title().startswith("d00")
    assert axes[-1].get_title().startswith("d43")
    assert "12 of 44 datasets" in figure.get_suptitle()


def test_read_outs_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match="of x; it has those of dataset001"):
        figures.plot_readouts(make_params(), dataset_names=["x"])
    with pytest.raises(ResultShapeError, match="identity"):
        figures.plot_readouts(make_params(factors_to_logrates_W={}))


# --- learning curves ------------------------------------------------------------------------------


def test_curves_are_the_columns_of_the_log(tmp_path):
    log = make_log(tmp_path, [50.0, 40.0, 42.0])
    _, axes = figures.plot_learning_curves(log)
    for ax, cost in zip(axes, ("total", "recon", "kl"), strict=True):
        train, valid = ax.lines[:2]
        np.testing.assert_array_equal(valid.get_ydata(), getattr(log, f"{cost}_valid"))
        np.testing.assert_array_equal(train.get_ydata(), getattr(log, f"{cost}_train"))
        np.testing.assert_array_equal(valid.get_xdata(), [1, 2, 3])
        assert ax.get_ylabel().endswith("[nats/trial]")


def test_the_lowest_validation_cost_with_full_weights_is_marked(tmp_path):
    log = make_log(tmp_path, [5.0, 60.0, 42.0, 44.0], kl_weight=[0.1, 0.9, 1.0, 1.0])
    figure, axes = figures.plot_learning_curves(log)
    mark = axes[0].lines[-1]
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([3], [42.0])
    assert "lowest validation cost 42.00 in epoch 3" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"kl_weight": [0.2, 0.6, 1.0, 1.0]}, {"KL warm-up": 2}),
        ({"l2_weight": [0.2, 0.6, 0.9, 1.0]}, {"L2 warm-up": 3}),
        ({"kl_weight": [0.5, 1, 1, 1], "l2_weight": [0.5, 0.5, 1, 1]}, {"KL": 1, "L2": 2}),
        ({"l2_weight": [0.2, 0.6, 0.9, 1.0], "l2": 0.0}, {}),
        ({}, {}),
    ],
)
def test_the_epochs_of_warm_up_are_shaded(tmp_path, weights, expected):
    log = make_log(tmp_path, [4.0, 3.0, 2.0, 1.0], **weights)
    figure, axes = figures.plot_learning_curves(log)
    ends = [
        patch.get_extents().transformed(axes[0].transData.inverted()).x1
        for patch in axes[0].patches
    ]
    np.testing.assert_allclose(ends, [end + 0.5 for end in expected.values()])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [text[:2] for text in texts if "warm-up" in text] == [name[:2] for name in expected]


def test_a_training_that_the_original_continued_is_drawn_over_steps(tmp_path):
    """It numbers epochs anew, and leaves in the log what it trains again."""
    line = "epoch,{}, step,{}, total,9.00,{:.2f}, recon,1.00,1.00, kl,1.00,1.00, l2,0.00000, "
    rows = [(1, 10, 8.0), (2, 20, 7.0), (3, 30, 6.0), (1, 30, 5.0), (2, 40, 4.0)]
    text = "".join(line.format(*row) + "klweight,1.00, l2weight,1.00\n" for row in rows)
    (tmp_path / "fitlog.csv").write_text(text)
    _, axes = figures.plot_learning_curves(FitLog.load(tmp_path / "fitlog.csv"))
    valid = axes[0].lines[1]
    assert list(valid.get_xdata()) == [10, 20, 30, 40]
    assert list(valid.get_ydata()) == [8.0, 7.0, 5.0, 4.0]
    assert list(axes[0].lines[-1].get_xdata()) == [40]
    assert axes[0].get_xlabel() == "step"


def test_runs_have_their_colours_and_names(tmp_path):
    logs = {
        name: make_log(tmp_path, [start, start - 1], name="log")
        for name, start in (("_a$b", 9.0), ("c", 5.0))
    }
    figure, axes = figures.plot_learning_curves(logs)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[:2] == [r"_a\$b", "c"]
    solid = [line for line in axes[0].lines if line.get_linestyle() == "-"]
    assert [to_hex(line.get_color()) for line in solid] == series_colours(2)
    assert [line.get_ydata()[0] for line in solid] == [9.0, 5.0]


def test_of_very_many_runs_the_best_are_drawn(tmp_path):
    logs = {f"r{n}": make_log(tmp_path, [100.0 - n], name=f"r{n}") for n in range(60)}
    figure, axes = figures.plot_learning_curves(logs)
    drawn = [line.get_ydata()[0] for line in axes[0].lines if line.get_linestyle() == "-"]
    assert drawn == [100.0 - n for n in range(20, 60)]
    assert "40 of 60 runs" in figure.get_suptitle()


def test_a_training_without_validation_has_no_mark(tmp_path, recwarn):
    log = make_log(tmp_path, [float("nan")] * 3)
    figure, _ = figures.plot_learning_curves(log)
    figure.draw_without_rendering()
    assert "no validation cost" in figure.get_suptitle()
    assert not recwarn.list
    with pytest.raises(ConfigError, match="at least one"):
        figures.plot_learning_curves({})


# --- alignment ------------------------------------------------------------------------------------


@dataclass
class MadeDataset:
    dataset_name: str
    r2: float


@dataclass
class MadeAlignment:
    """Three conditions, four bins, two components; dataset n reconstructs n more than there is."""

    conditions: tuple = (1.0, 2.0, "$left$")
    global_components: np.ndarray = field(default_factory=lambda: np.arange(24.0).reshape(3, 4, 2))
    datasets: tuple = (MadeDataset("_a", 0.5), MadeDataset("b", 0.875))

    def reconstruct(self, number):
        return self.global_components + number + 1


def test_reconstructions_lie_over_the_common_components(recwarn):
    alignment = MadeAlignment()
    figure, axes = figures.plot_alignment(alignment)
    figure.draw_without_rendering()
    assert axes.shape == (2, 3)
    for row, column in np.ndindex(2, 3):
        one, two, common = (line.get_ydata() for line in axes[row, column].lines)
        np.testing.assert_array_equal(common, alignment.global_components[column, :, row])
        np.testing.assert_array_equal(one, common + 1)
        np.testing.assert_array_equal(two, common + 2)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["all datasets", "_a (R2 0.50)", "b (R2 0.88)"]
    assert axes[0, 2].get_title() == r"condition \$left\$"
    assert not recwarn.list


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?")]
)
def test_figures_are_written_in_one_step(tmp_path, kind, begins):
    drawing = figures.plot_readouts(make_params())
    path = figures.save_figure(drawing.figure, tmp_path / f"weights.{kind}")
    assert path.read_bytes().startswith(begins)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_written_is_named(tmp_path):
    drawing = figures.plot_generator_weights(make_params())
    with pytest.raises(ConfigError, match="png, pdf, svg"):
        figures.save_figure(drawing.figure, tmp_path / "weights.doc")
    with pytest.raises(StorageError, match="nowhere"):
        figures.save_figure(drawing.figure, tmp_path / "nowhere" / "weights.png")
    assert not list(tmp_path.iterdir())
