"""Writing a report as one HTML file that loads nothing.

Its scripts and styles are named by their hashes in a content security policy: nothing else in the
page can run, whatever a run may be called, and nothing can reach a network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from lfadsq.errors import TemplateError
from lfadsq.texts import harmless, hours_text
from lfadsq.watching.report.document import RunReport
from lfadsq.watching.report.gpu_series import DeviceSeries, GpuSeries
from lfadsq.watching.report.head import head_of
from lfadsq.watching.report.table import NOTHING, columns_of, label_of
from lfadsq.watching.report.timeline import Timeline

__all__ = ["GENERATOR", "SCHEMA_VERSION", "page_of"]

SCHEMA_VERSION = 1
"""Of the data in the page, which its scripts read."""

GENERATOR = "lfadsq report"
"""Content of the page's ``meta`` element of that name, by which a report is known."""

_FOLDER = "report"
# uplot.min.js and .css are dist/uPlot.iife.min.js and dist/uPlot.min.css of uPlot 1.6.32, from npm.
_SCRIPTS = (
    "uplot.min.js",
    "data.js",
    "choice.js",
    "colours.js",
    "panel.js",
    "curves.js",
    "sweep.js",
    "timeline.js",
    "gpus.js",
    "table.js",
    "main.js",
)
_LICENCE = "uplot.LICENSE.txt"
_STYLES = ("uplot.min.css", "report.css")


def page_of(report: RunReport) -> str:
    """Write a report as HTML.

    Returns
    -------
    str
        A whole page. Names, texts of hyperparameters and logs are escaped, and what a screen would
        obey in them is made visible.

    Raises
    ------
    TemplateError
        If a file of the page is missing or wrong.
    """
    columns = columns_of(report)
    # Whoever gets the page gets a copy of uPlot, which has to come with its licence.
    script = "\n".join([f"/*! {_text(_LICENCE)} */", *map(_text, _SCRIPTS)])
    style = "\n".join(map(_text, _STYLES))
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(harmless=harmless, hours=hours_text)
    try:
        return environment.get_template("report.html.j2").render(
            generator=GENERATOR,
            policy=_policy(script, style),
            script=Markup(script),
            style=Markup(style),
            data=Markup(_json(_data(report))),
            head=head_of(report),
            report=report,
            columns=columns,
            rows=list(zip(*(column.texts for column in columns), strict=True)),
            gpu_rows=list(_gpu_rows(report.gpus)),
        )
    except jinja2.TemplateError as error:
        raise TemplateError(f"the page of a report cannot be written: {error}") from error


def _text(name: str) -> str:
    file = resources.files("lfadsq.templates").joinpath(f"{_FOLDER}/{name}")
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise TemplateError(
            f"the file {name} of the report is missing", "install lfadsq again"
        ) from error


def _policy(script: str, style: str) -> str:
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _json(data: Any) -> str:
    """Write JSON that can stand in a script element: no tag, no comment can begin in it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(report: RunReport) -> dict[str, Any]:
    runs = report.runs
    return {
        "schema": SCHEMA_VERSION,
        "names": [harmless(run.status.name) for run in runs],
        "groups": [harmless(run.status.run_name) for run in runs],
        "curves": [run.curve.to_dict() if run.curve else None for run in runs],
        "columns": [
            {
                "key": column.key,
                "label": column.label,
                "unit": column.unit,
                "isNumber": column.is_number,
                "values": list(column.values),
            }
            for column in columns_of(report)
        ],
        "hyperParams": [
            {
                "label": label_of(one),
                "kind": one.kind.value,
                "categories": list(one.categories),
                "texts": list(one.texts),
                "numbers": list(one.numbers),
            }
            for one in report.hyper_params
        ],
        "timeline": _timeline(report.timeline),
        "gpus": _gpus(report.gpus),
    }


def _timeline(timeline: Timeline) -> dict[str, Any] | None:
    span = timeline.span
    if span is None:
        return None
    return {
        "span": [round(at_s, 1) for at_s in span],
        "lanes": [
            {
                "host": harmless(lane.host),
                "name": harmless(lane.name),
                "isGpu": lane.is_gpu,
                "rows": max(lane.rows, default=0) + 1,
                "stays": [
                    [
                        -1 if stay.run is None else stay.run,
                        harmless(stay.name),
                        round(stay.began_s, 1),
                        round(stay.ended_s, 1),
                        row,
                        stay.how,
                        stay.cause,
                    ]
                    for stay, row in zip(lane.stays, lane.rows, strict=True)
                ],
                "idle": [[round(a, 1), round(b, 1)] for a, b in lane.idle],
            }
            for lane in timeline.lanes
        ],
    }


def _gpus(series: GpuSeries | None) -> dict[str, Any] | None:
    if series is None:
        return None
    return {
        "times": [round(at_s, 1) for at_s in series.times_s.tolist()],
        "devices": [
            {
                "name": _device_name(one, series),
                "memory": one.memory_mb if math.isfinite(one.memory_mb) else None,
                "utilisation": _rounded(one.utilisation_percent.tolist()),
                "used": _rounded(one.used_mb.tolist()),
                "power": _rounded(one.power_w.tolist()),
            }
            for one in series.devices
        ],
    }


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [round(value, 1) if math.isfinite(value) else None for value in values]


def _device_name(one: DeviceSeries, series: GpuSeries) -> str:
    hosts = {device.host for device in series.devices}
    return harmless(f"{one.name} on {one.host}" if len(hosts) > 1 else one.name)


def _gpu_rows(series: GpuSeries | None) -> Iterable[tuple[str, str, str, str]]:
    for one in series.devices if series else ():
        yield (
            _device_name(one, series) if series else "",
            hours_text(one.watched_s),
            _or_nothing(one.mean_utilisation_percent, "{:.0f}"),
            _or_nothing(one.energy_kwh, "{:.2f}"),
        )


def _or_nothing(value: float, how: str) -> str:
    return how.format(value) if math.isfinite(value) else NOTHING
