"""Pictures of single trials, for TensorBoard: the data, and what the model makes of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["TrialPicture", "draw_png"]

Array = NDArray[np.float32]

_WIDTH_IN, _DPI = 9.0, 100
_TOP_IN, _ROW_IN, _BOTTOM_IN = 0.7, 1.6, 0.8
_GAP = 0.4  # between rows, as a share of their height
_NUM_CHANNELS_TRACED = 4
# Okabe and Ito's colours, which people of any colour vision tell apart; grey stands in for their
# yellow, which is too pale for lines.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999")
_INFERRED, _TRUE, _MEASURED = "#D55E00", "#000000", "#BFBFBF"
_RASTER, _RATES, _SIGNED = "Greys", "viridis", "PuOr"
_MAPS = {_RASTER: 16, _RATES: 64, _SIGNED: 33}
"""Colour maps, and how many colours of each are used: with those of the lines, 256 at most."""


class TrialPicture(NamedTuple):
    """What is drawn of one trial.

    Attributes
    ----------
    title : str
    data : ndarray, shape (time, channel), float32 [spikes/bin]
        Or in the data's own unit, where they are no counts.
    rates : ndarray, shape (time, channel), float32
        What the model expects, in the same unit.
    factors : ndarray, shape (time, factor), float32
    inferred_inputs : ndarray, shape (time, input), float32
        No elements without a controller.
    truth : ndarray, shape (time, channel), float32, optional
        True rates, in the same unit.
    is_counts : bool
    """

    title: str
    data: Array
    rates: Array
    factors: Array
    inferred_inputs: Array
    truth: Array | None
    is_counts: bool


def draw_png(picture: TrialPicture) -> bytes:
    """Draw a trial: everything on the left, some channels in detail on the right.

    No global state of matplotlib is changed, so threads may draw at the same time.

    Parameters
    ----------
    picture : TrialPicture
        Values that are not finite are left blank.

    Returns
    -------
    bytes
        A PNG, 900 pixels wide.
    """
    # Here and not above: it takes half a second and 40 MB, and only the process that draws uses it.
    from matplotlib.figure import Figure

    num_rows = 3 + (picture.truth is not None) + bool(picture.inferred_inputs.size)
    height_in = _TOP_IN + _ROW_IN * num_rows + _BOTTOM_IN
    figure = Figure(figsize=(_WIDTH_IN, height_in), dpi=_DPI)
    # Fixed places: half as much work as finding the best, and nothing moves from epoch to epoch.
    figure.subplots_adjust(
        top=1.0 - _TOP_IN / height_in, bottom=_BOTTOM_IN / height_in, hspace=_GAP
    )
    figure.suptitle(picture.title, fontsize="x-large", y=1.0 - 0.1 / height_in, va="top")
    _draw_everything(figure, picture, num_rows)
    _draw_channels(figure, picture)
    return _compressed(figure)


def _compressed(figure: Figure) -> bytes:
    """Give a PNG of 256 colours, a third as large: logs keep every picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette())
    stream = io.BytesIO()
    # Without dithering, which would sprinkle dots over even areas.
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(stream, "png", optimize=True)
    return stream.getvalue()


def _palette() -> bytes:
    """Give the colours of all maps, and of lines and text in the shades of their edges.

    A palette that is chosen to suit the picture would drop rare ones, such as the highest rates.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    maps = [colormaps[name].resampled(levels)(range(levels)) for name, levels in _MAPS.items()]
    shades = np.linspace(0.0, 1.0, 14)[:, np.newaxis]
    lines = [1.0 - shades * (1.0 - np.array(to_rgb(name))) for name in (*_COLOURS, _MEASURED)]
    colours = np.concatenate([*(colours[:, :3] for colours in maps), *lines])
    distinct = np.unique(np.rint(colours * 255).astype(np.uint8), axis=0)
    # Pillow compares the upper six bits alone, and would take what is nearly white for white.
    distinct = distinct[(distinct < 244).any(axis=1) | (distinct == 255).all(axis=1)]
    assert len(distinct) <= 256
    return bytes(distinct.tobytes())


def _draw_everything(figure: Figure, picture: TrialPicture, num_rows: int) -> None:
    maps = {"data": picture.data, _name_of_rates(picture): picture.rates}
    if picture.truth is not None:
        maps["truth"] = picture.truth
    lines = {"factors": picture.factors}
    if picture.inferred_inputs.size:
        lines["inferred inputs"] = picture.inferred_inputs
    grid = {"left": 0.075, "right": 0.5, "wspace": 0.04, "width_ratios": (1.0, 0.025)}
    axes = figure.subplots(num_rows, 2, sharex="col", squeeze=False, gridspec_kw=grid)
    limits = _limits(*(values for name, values in maps.items() if name != "data"))
    for (ax, scale), (name, values) in zip(axes, maps.items(), strict=False):
        is_raster = name == "data" and picture.is_counts
        low, high = (0.0, max(1.0, _limits(values)[1])) if is_raster else limits
        if picture.is_counts:
            low = 0.0
        colours = _RASTER if is_raster else _RATES
        _draw_map(ax, scale, values, colours, (low, high), _unit(picture))
        ax.set(title=name, ylabel="channel")
    for (ax, scale), (name, values) in zip(axes[len(maps) :], lines.items(), strict=True):
        if values.shape[1] <= len(_COLOURS):
            _draw_lines(ax, values)
            scale.set_axis_off()
            ax.set(title=name)
        else:
            largest = max(map(abs, _limits(values)))
            _draw_map(ax, scale, values, _SIGNED, (-largest, largest), "")
            ax.set(title=name, ylabel=name.split()[-1].removesuffix("s"))
    axes[-1, 0].set(xlabel="time [bins]", xlim=(0, len(picture.data)))


def _draw_map(
    ax: Axes, scale: Axes, values: Array, colours: str, limits: tuple[float, float], unit: str
) -> None:
    from matplotlib import colormaps

    num_bins, num_rows = values.shape
    image = ax.imshow(
        values.T,
        aspect="auto",
        interpolation="nearest",
        cmap=colormaps[colours].resampled(_MAPS[colours]),
        vmin=limits[0],
        vmax=limits[1],
        extent=(0, num_bins, num_rows + 0.5, 0.5),
    )
    ax.locator_params(axis="y", integer=True, nbins=4)
    scale.figure.colorbar(image, cax=scale, label=unit)


def _draw_lines(ax: Axes, values: Array) -> None:
    middles = np.arange(len(values)) + 0.5
    for series, colour in zip(values.T, _COLOURS, strict=False):
        ax.plot(middles, series, color=colour, linewidth=1.4)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_channels(figure: Figure, picture: TrialPicture) -> None:
    channels = _channels_shown(picture.data)
    grid = {"left": 0.62, "right": 0.985}
    axes = figure.subplots(len(channels), 1, sharex=True, squeeze=False, gridspec_kw=grid)[:, 0]
    edges = np.arange(len(picture.data) + 1)
    middles = edges[:-1] + 0.5
    for ax, channel in zip(axes, channels, strict=True):
        measured = picture.data[:, channel]
        ax.stairs(measured, edges, fill=picture.is_counts, color=_MEASURED, label="data")
        if picture.truth is not None:
            ax.plot(middles, picture.truth[:, channel], color=_TRUE, label="truth", linewidth=1.4)
        ax.plot(
            middles,
            picture.rates[:, channel],
            color=_INFERRED,
            label=_name_of_rates(picture),
            linewidth=2.0,
        )
        ax.spines[["top", "right"]].set_visible(False)
        ax.set(title=f"channel {channel + 1}", ylabel=_unit(picture))
    axes[-1].set(xlabel="time [bins]", xlim=(0, len(picture.data)))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="lower center", bbox_to_anchor=(0.8, 0.0), ncols=3, frameon=False
    )


def _channels_shown(data: Array) -> list[int]:
    """Choose channels by the data alone, so that they stay the same through a training."""
    deviations = np.asarray(data.std(axis=0))
    return sorted(np.argsort(-deviations, kind="stable")[:_NUM_CHANNELS_TRACED].tolist())


def _name_of_rates(picture: TrialPicture) -> str:
    return "inferred rates" if picture.is_counts else "inferred means"


def _unit(picture: TrialPicture) -> str:
    return "spikes/bin" if picture.is_counts else ""


def _limits(*arrays: Array) -> tuple[float, float]:
    finite = np.concatenate([values[np.isfinite(values)] for values in arrays])
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + 1.0)
