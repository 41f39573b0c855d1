"""The page of a report in a real browser: what it draws, how its views hang together, for whom.

Needs playwright and a Chromium: ``chromium``, ``chromium-browser`` or ``google-chrome``, or the one
that the environment variable LFADSQ_TEST_CHROMIUM names.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lfadsq.queue.records import Cause
from lfadsq.results.fit_log import FitLog
from lfadsq.watching.report.document import collect
from lfadsq.watching.report.page import page_of

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "report_many_runs.py"
NUM_RUNS = 56


def load_benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("report_many_runs", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_report(collection: Path, file: Path) -> Path:
    file.write_text(page_of(collect(collection, lambda *_: None)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    program = load_benchmark().chromium()
    if program is None:
        pytest.skip("there is no Chromium here (LFADSQ_TEST_CHROMIUM may name one)")
    with api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("report") / "sweep"
    folder.mkdir()
    load_benchmark().make_collection(folder, NUM_RUNS, 30)
    return write_report(folder, folder.parent / "report.html")


@contextmanager
def opened(browser: Any, file: Path, **how: Any) -> Iterator[Any]:
    """Open a page that must say nothing in the console and ask for nothing but itself."""
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **how})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda one: said.append(one.text))
    page.on("pageerror", lambda one: said.append(str(one)))
    page.on("dialog", lambda one: said.append(one.message))
    page.on("request", lambda one: said.append(one.url) if one.url != file.as_uri() else None)
    try:
        page.goto(file.as_uri())
        if how.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]")
            settle(page)
        yield page
        assert said == []
    finally:
        context.close()


def settle(page: Any) -> None:
    """Wait until what was changed is drawn."""
    page.evaluate("() => new Promise(f => requestAnimationFrame(() => requestAnimationFrame(f)))")


# Of a copy: reading a canvas again and again makes browsers draw it in another way.
_INK = """selector => [...document.querySelectorAll(selector)].map((canvas) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0;
  for (let n = 3; n < pixels.length; n += 4) sum += (pixels[n] > 0) * (1 + pixels[n - 3] % 7);
  return sum;
})"""


def ink(page: Any, chart: str, layer: int) -> int:
    """Tell how much is drawn on a layer of a chart: 0 is that of all runs, 1 is above it."""
    settle(page)
    found: int = page.evaluate(_INK, f"#{chart} canvas.layer")[layer]
    return found


def shown_names(page: Any) -> list[str]:
    found: list[str] = page.evaluate(
        "() => [...document.querySelectorAll('#runs-table tbody tr:not([hidden]) button')]"
        ".map((one) => one.textContent)"
    )
    return found


def data_of(file: Path) -> Any:
    text = file.read_text(encoding="utf-8")
    found = re.search(r'id="report-data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def column(file: Path, key: str) -> list[Any]:
    (found,) = [one["values"] for one in data_of(file)["columns"] if one["key"] == key]
    return list(found)


# --- drawing --------------------------------------------------------------------------------------


def test_all_charts_are_drawn(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        for chart in ("curves-chart", "sweep-chart", "timeline-chart"):
            assert ink(page, chart, 0) > 500
        drawn = page.evaluate(_INK, "#gpu-charts canvas")
        assert len(drawn) == 3
        assert min(drawn) > 500
        # More GPUs than eyes can follow are shown as their mean, and one by one on request.
        page.select_option("#gpu-which", "all")
        settle(page)
        assert page.locator("#gpu-charts .u-wrap").count() == 3
        assert sum(page.evaluate(_INK, "#gpu-charts canvas")) > sum(drawn)


@pytest.mark.slow
def test_scale_range_and_kind_of_cost_change_the_curves(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        seen = [ink(page, "curves-chart", 0)]
        changes = [("#curves-scale", "log"), ("#curves-range", "all"), ("#curves-which", "train")]
        for control, value in changes:
            page.select_option(control, value)
            seen.append(ink(page, "curves-chart", 0))
        assert len(set(seen)) == 4


@pytest.mark.slow
def test_dragging_zooms_and_resetting_brings_all_back(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        before = ink(page, "curves-chart", 0)
        drag(page, "#curves-chart .u-over", (0.5, 0.6), (0.8, 0.9))
        assert ink(page, "curves-chart", 0) != before
        page.click("#curves-reset")
        assert ink(page, "curves-chart", 0) == before


@pytest.mark.slow
def test_gpu_charts_follow_the_zoom_of_the_timeline(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        before = page.evaluate(_INK, "#gpu-charts canvas")
        drag(page, "#timeline-chart .u-over", (0.2, 0.5), (0.4, 0.5))
        settle(page)
        assert page.evaluate(_INK, "#gpu-charts canvas") != before
        page.click("#time-reset")
        settle(page)
        assert page.evaluate(_INK, "#gpu-charts canvas") == before


def drag(page: Any, selector: str, begin: Any, end: Any) -> None:
    place = page.locator(selector)
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (begin, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=6)
    page.mouse.up()


# --- sorting and filtering ------------------------------------------------------------------------


@pytest.mark.slow
def test_headings_sort_and_what_is_unknown_comes_last(browser: Any, report: Path) -> None:
    names = data_of(report)["names"]
    with opened(browser, report) as page:
        for key in ("valid", "hp:c_learning_rate_init", "hp:c_cell", "duration"):
            values = column(report, key)
            for is_down in (False, True):
                page.click(f'#runs-table [data-key="{key}"]')
                order = sorted(range(NUM_RUNS), key=lambda run: values[run], reverse=is_down)
                if is_down:  # equal ones stay in their order
                    order = sorted(range(NUM_RUNS), key=lambda run: -rank(values, run))
                assert shown_names(page) == [names[run] for run in order]
                heading = page.locator(f'th:has([data-key="{key}"])')
                assert heading.get_attribute("aria-sort") == (
                    "descending" if is_down else "ascending"
                )
        assert page.locator('[aria-sort]:not([aria-sort="none"])').count() == 1


def rank(values: list[Any], run: int) -> int:
    return sorted(set(values)).index(values[run])


def test_filters_by_text_state_and_hyperparameter(browser: Any, report: Path) -> None:
    names, dims = data_of(report)["names"], column(report, "hp:c_gen_dim")
    states = column(report, "state")
    with opened(browser, report) as page:
        page.fill("#filter-text", "GEN_DIM=64 cell=a")
        settle(page)
        cells = column(report, "hp:c_cell")
        wanted = [
            name
            for name, dim, cell in zip(names, dims, cells, strict=True)
            if dim == 64 and cell == "a"
        ]
        assert shown_names(page) == wanted
        assert page.inner_text("#shown").startswith(f"{len(wanted)} of {NUM_RUNS} runs shown")
        page.click("#clear")
        page.select_option("#filter-state", "failed")
        assert shown_names(page) == [n for n, s in zip(names, states, strict=True) if s == "failed"]
        page.click("#clear")
        before = ink(page, "curves-chart", 0)
        page.select_option("#filter-param", label="gen_dim")
        page.select_option("#filter-value", "128")
        assert shown_names(page) == [n for n, dim in zip(names, dims, strict=True) if dim == 128]
        assert ink(page, "curves-chart", 0) != before
        page.fill("#filter-text", "nothing like this")
        settle(page)
        assert shown_names(page) == []
        page.click("#clear")
        assert len(shown_names(page)) == NUM_RUNS
        assert ink(page, "curves-chart", 0) == before


@pytest.mark.slow
def test_dragging_along_an_axis_of_the_sweep_keeps_that_range(browser: Any, report: Path) -> None:
    names, rates = data_of(report)["names"], column(report, "hp:c_learning_rate_init")
    with opened(browser, report) as page:
        box = page.locator("#sweep-chart").bounding_box()
        # The first axis is 64 px from the left; its highest value at 40 px, its lowest at 342.
        x, top, bottom = 64 / box["width"], 40 / box["height"], 342 / box["height"]
        drag(page, "#sweep-chart .touch", (x, top), (x, (top + bottom) / 2))
        settle(page)
        middle = (min(rates) * max(rates)) ** 0.5
        kept = [name for name, rate in zip(names, rates, strict=True) if rate >= middle * 0.9]
        assert set(shown_names(page)) <= set(kept)
        assert 0 < len(shown_names(page)) < NUM_RUNS
        page.click("#sweep-reset")
        assert len(shown_names(page)) == NUM_RUNS


# --- one run in all views -------------------------------------------------------------------------


def test_a_run_selected_in_the_table_stands_out_everywhere(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        charts = ("curves-chart", "sweep-chart", "timeline-chart")
        before = [ink(page, chart, 1) for chart in charts]
        button = page.locator("#runs-table button.run").nth(3)
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        page.mouse.move(5, 5)  # what it points at stands out too
        for chart, was in zip(charts, before, strict=True):
            assert ink(page, chart, 1) != was
        assert page.inner_text("#shown").endswith("1 selected")
        button.click()
        page.mouse.move(5, 5)
        assert [ink(page, chart, 1) for chart in charts] == before


@pytest.mark.slow
@pytest.mark.parametrize("chart", ["curves-chart", "timeline-chart", "sweep-chart"])
def test_a_run_picked_in_a_chart_is_marked_in_the_table(
    browser: Any, report: Path, chart: str
) -> None:
    with opened(browser, report) as page:
        over = ".touch" if chart == "sweep-chart" else ".u-over"
        place = page.locator(f"#{chart} {over}")
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        steps = itertools.product((0.3, 0.55), (n / 60 for n in range(4, 59)))
        for x, y in steps:
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            if page.locator("tr.hovered").count():
                break
        name = page.inner_text("tr.hovered button")
        told = page.inner_text("#tip")
        assert name in told
        if chart == "curves-chart":
            found = re.search(r"epoch (\d+): validation ([\d.]+), training ([\d.]+)", told)
            assert found
            log = FitLog.load(report.parent / "sweep" / name / "lfadsOutput" / "fitlog.csv")
            assert float(found[2]) == log.total_valid[int(found[1]) - 1]
            assert float(found[3]) == log.total_train[int(found[1]) - 1]
        assert "gen_dim = " in page.inner_text("#tip")
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        assert page.inner_text("#runs-table tr.selected button") == name
        page.mouse.move(5, 5)
        page.keyboard.press("Escape")
        assert page.locator("tr.selected").count() == 0


# --- people and places ----------------------------------------------------------------------------


@pytest.mark.slow
def test_it_can_be_used_with_the_keyboard_alone(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent").startswith("Skip to the table")
        page.keyboard.press("Enter")
        reached = []
        for _ in range(6):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.dataset.key ?? ''"))
        assert "hp:c_learning_rate_init" in reached
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("Space")
        sorted_by = page.evaluate("document.activeElement.closest('th').ariaSort")
        assert sorted_by == "ascending"
        page.locator("#runs-table button.run").first.focus()
        page.keyboard.press("Enter")
        assert page.locator('#runs-table [aria-pressed="true"]').count() == 1


@pytest.mark.slow
def test_screen_readers_are_told_what_there_is(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        assert page.evaluate("document.documentElement.lang") == "en"
        assert "sweep" in page.title()
        levels = page.evaluate(
            "() => [...document.querySelectorAll('h1,h2,h3')].map((one) => Number(one.tagName[1]))"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        unnamed = page.evaluate(
            "() => [...document.querySelectorAll('input,select')]"
            ".filter((one) => !one.labels.length).map((one) => one.id)"
        )
        assert unnamed == []
        assert page.locator("th:not([scope])").evaluate_all(
            "all => all.filter((one) => !one.closest('.u-legend')).length"
        ) == 0  # fmt: skip
        charts = page.locator('.chart[role="img"], .u-wrap[role="img"]')
        assert charts.count() == 6
        assert all(charts.nth(n).get_attribute("aria-label") for n in range(6))
        captions = page.locator("figcaption").all_inner_texts()
        assert len(captions) == 3
        assert all(captions)
        for landmark in ("header", "nav", "main", "footer"):
            assert page.locator(landmark).count() == 1
        ids = page.evaluate("() => [...document.querySelectorAll('[id]')].map((one) => one.id)")
        assert len(ids) == len(set(ids))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(browser: Any, report: Path, scheme: Any) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 at least."""
    with opened(browser, report, color_scheme=scheme) as page:

        def colour(name: str) -> str:
            found: str = page.evaluate(
                f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')"
            )
            return found.strip()

        for text, ground in itertools.product(
            ("text", "muted", "accent", "warn"), ("page", "panel")
        ):
            pair = sorted(luminance(colour(one)) for one in (text, ground))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (scheme, text, ground)
        assert (luminance(colour("page")) < 0.1) is (scheme == "dark")
        assert ink(page, "curves-chart", 0) > 500


@pytest.mark.slow
def test_nothing_moves_for_those_who_want_it_so(browser: Any, report: Path) -> None:
    for wish, behaviour in (("reduce", "auto"), ("no-preference", "smooth")):
        with opened(browser, report, reduced_motion=wish) as page:
            style = "getComputedStyle(document.documentElement).scrollBehavior"
            assert page.evaluate(style) == behaviour


@pytest.mark.slow
def test_on_a_phone_only_tables_scroll_sideways(browser: Any, report: Path) -> None:
    phone = {"width": 390, "height": 844}
    with opened(browser, report, viewport=phone, is_mobile=True, has_touch=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate(
            "() => { const one = document.querySelector('.scroll.tall');"
            " return one.scrollWidth > one.clientWidth; }"
        )
        for chart in ("curves-chart", "sweep-chart", "timeline-chart"):
            assert ink(page, chart, 0) > 300
        first = page.locator("#runs-table tbody tr").first.bounding_box()
        assert first["height"] < 120  # names are not broken into letters


@pytest.mark.slow
def test_paper_holds_all_rows_and_charts_and_no_controls(browser: Any, report: Path) -> None:
    with opened(browser, report, color_scheme="dark") as page:
        folded = page.locator("details:not([open])").count()
        assert folded
        page.evaluate(
            """() => addEventListener('beforeprint', () => {
                window.printed = document.querySelector('#sweep-chart canvas').style.width;
                window.unfolded = !document.querySelector('details:not([open])');
              })"""
        )
        pdf = page.pdf(prefer_css_page_size=True)
        assert pdf.startswith(b"%PDF")
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 3
        assert len(re.findall(rb"/Subtype\s*/Image\b", pdf)) >= 5  # the canvases
        assert page.evaluate("window.unfolded")
        assert page.evaluate("window.printed") == "960px"
        # All is as it was, afterwards.
        settle(page)
        assert page.locator("details:not([open])").count() == folded
        page.emulate_media(media="print")
        visible = page.locator("select, input, .controls button").evaluate_all(
            "all => all.filter((one) => one.checkVisibility()).length"
        )
        assert visible == 0
        assert page.locator("#runs-table tbody tr:visible").count() == NUM_RUNS
        height = page.evaluate("document.querySelector('.scroll.tall').clientHeight")
        assert height >= page.evaluate("document.querySelector('#runs-table').offsetHeight")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(255, 255, 255)"


@pytest.mark.slow
def test_without_scripts_the_numbers_are_there(browser: Any, report: Path) -> None:
    with opened(browser, report, java_script_enabled=False) as page:
        assert page.locator("#runs-table tbody tr:visible").count() == NUM_RUNS
        assert page.locator("noscript:visible").count() == 1


# --- what may go wrong ----------------------------------------------------------------------------


@pytest.mark.slow
def test_nothing_in_the_page_can_reach_a_network_or_run(browser: Any, report: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    blocked, ran = page.evaluate(
        """async () => {
          const blocked = new Set();
          const all = new Promise((done) => {
            addEventListener('securitypolicyviolation', (event) => {
              blocked.add(event.effectiveDirective);
              if (blocked.size === 4) done();
            });
            setTimeout(done, 5000);
          });
          const script = document.createElement('script');
          script.textContent = 'window.boom = 1';
          document.body.append(script);
          document.body.insertAdjacentHTML('beforeend',
            '<b onclick="window.boom = 2">x</b><img src="http://127.0.0.1:9/x.png">');
          document.body.lastElementChild.previousElementSibling.click();
          await fetch('http://127.0.0.1:9/').catch(() => {});
          await all;
          return [[...blocked].sort(), window.boom ?? null];
        }"""
    )
    assert blocked == ["connect-src", "img-src", "script-src-attr", "script-src-elem"]
    assert ran is None
    page.close()


def test_names_do_no_harm(browser: Any, sweep: Any, tmp_path: Path) -> None:
    evil = "<img src=x onerror=boom()>\"'&amp;{{x}}\u202e漢é"
    sweep.write_summary(
        "c_a=</script><script>boom()</script>", "c_a=</script/x>", "c_a=<!--<script/"
    )
    folder = sweep.folder / "param_hash01" / evil
    (folder / "lfadsOutput").mkdir(parents=True)
    (folder / "lfadsInput").mkdir()
    (folder / "lfads.out").write_text("</pre><script>boom()</script>\nNaN\n")
    (sweep.folder / "param_hash02" / b"\xff\xfe".decode(errors="surrogateescape")).mkdir()
    (sweep.folder / "param_hash02" / "\udcff\udcfe" / "lfads_train.sh").touch()
    first = sweep.names[0]
    failed = sweep.collection.failed(first, cause=Cause.NOT_A_NUMBER)
    sweep.collection.record(first, failed)
    sweep.collection.tasks[first].outfile.write_text("</pre></details><script>boom()</script>\n")
    file = write_report(sweep.folder, tmp_path / "report.html")
    with opened(browser, file) as page:
        names = shown_names(page)
        assert any("<img src=x onerror=boom()>\"'&amp;{{x}}\\u202e漢é" in name for name in names)
        assert any("\\udcff" in name for name in names)
        assert page.locator("#runs-table td", has_text="</script><script>boom()").count()
        assert "</details><script>boom()" in page.inner_text("#failures pre")
        assert page.locator("img").count() == 0


@pytest.mark.slow
def test_collections_with_little_in_them(browser: Any, sweep: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    (empty / "param_hash01").mkdir(parents=True)
    with opened(browser, write_report(empty, tmp_path / "a.html")) as page:
        assert "no runs yet" in page.inner_text("#runs-table")
    with opened(browser, write_report(sweep.folder, tmp_path / "b.html")) as page:
        assert len(shown_names(page)) == 4
        assert "No run has ended an epoch yet" in page.inner_text("#curves")
        page.click('[data-key="valid"]')
    sweep.write_summary("c_a=1")
    line = (
        "epoch,1, step,8, total,9.00,9.50,       recon,5.00,6.00, kl,2.00,3.00, l2,0.50000,"
        "       klweight,1.00, l2weight,1.00\n"
    )
    output = sweep.say(0, "finished", num_epochs=1)
    (output / "fitlog.csv").write_text(line)
    with opened(browser, write_report(sweep.folder, tmp_path / "c.html")) as page:
        assert ink(page, "curves-chart", 0) > 3


@pytest.mark.slow
def test_a_thousand_runs(browser: Any, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    load_benchmark().make_collection(folder, 1000, 100)
    file = write_report(folder, tmp_path / "report.html")
    assert file.stat().st_size < 10e6
    with opened(browser, file) as page:
        assert ink(page, "curves-chart", 0) > 10_000
        page.click('[data-key="valid"]')
        values = column(file, "valid")
        best = min(value for value in values if value is not None)
        assert shown_names(page)[0] == data_of(file)["names"][values.index(best)]
        page.fill("#filter-text", "gen_dim=256")
        settle(page)
        assert len(shown_names(page)) == column(file, "hp:c_gen_dim").count(256)
        page.locator("#runs-table button.run:visible").first.click()
        assert page.inner_text("#shown").endswith("1 selected")
