"""HTML displays hold what they should, escaped and without scripts, and long lists are cut."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from lfadsq import (
    Dataset,
    DatasetCollection,
    FitLog,
    PosteriorMeans,
    RunCollection,
    RunParams,
    RunSpec,
    hyperparam,
)
from lfadsq.html import Attribute, attributes, display, folded, line, progress_bar, table

HOSTILE = """a'b"c&lt;<script>alert(1)</script><img src=x onerror=y>.é"""
TAGS = {
    *("div", "style", "table", "thead", "tbody", "tr", "th", "td", "strong", "span"),
    *("details", "summary", "progress", "svg", "title", "polyline"),
}
VOID = {"polyline"}


@dataclass
class Page(HTMLParser):
    """What a browser finds: tags, attributes, text, and whether every tag is closed."""

    source: str
    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    open_tags: list[str] = field(default_factory=list)
    emphasised: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__()
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        if "style" not in self.open_tags:
            self.texts.append(data)
        if "strong" in self.open_tags:
            self.emphasised.append(data)

    @property
    def text(self):
        return "\n".join(self.texts)


def read(shown):
    page = Page(shown._repr_html_() if hasattr(shown, "_repr_html_") else shown)
    assert page.open_tags == []
    assert set(page.tags) <= TAGS
    names = {name for name, _ in page.attributes}
    assert not any(name.startswith("on") for name in names)
    assert not names & {"src", "href", "style", "action"}
    assert "url(" not in page.source
    assert "@import" not in page.source
    return page


class LabParams(RunParams):
    areas: tuple[str, ...] = hyperparam(("M1",), group=HOSTILE, help=HOSTILE)


@pytest.fixture
def collection(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    file_name = "day <b>1'.mat"
    content = {
        "spikes": np.zeros((12, 3, 4), np.uint8),
        "subject": HOSTILE,
        "datetime": "31-Jan-2018 00:00:00",
    }
    scipy.io.savemat(folder / file_name, content)
    datasets = DatasetCollection(folder, name=HOSTILE, comment=HOSTILE)
    Dataset(datasets, file_name).comment = HOSTILE
    runs = RunCollection(tmp_path, "a <b>'s", datasets, comment=HOSTILE)
    runs.add_params(LabParams(name=HOSTILE, areas=[HOSTILE], c_gen_dim=64))
    runs.add_run_spec(RunSpec("all <i>", datasets, 0))
    return runs


def test_hostile_names_are_shown_as_they_are(collection):
    datasets = collection.dataset_collection
    before = read(datasets)
    assert "12" not in before.texts
    info = datasets.get_dataset_info_table()
    run = collection.runs[0]
    assert HOSTILE in read(run.params).text
    for shown in (collection, datasets, datasets.datasets[0], info, run, run.params):
        assert HOSTILE in read(shown).text
    for shown in (datasets, datasets.datasets[0], info, run, run.run_spec):
        page = read(shown)
        assert "day <b>1'" in page.text
        assert {"12", "3"} <= set(page.texts)
    assert "all <i>" in read(run.run_spec).text
    assert "a <b>'s" in read(collection).text


@settings(max_examples=40)
@given(st.text())
def test_no_text_becomes_html(text):
    pieces = [
        display(text),
        line(text),
        folded(text, ""),
        attributes([Attribute(text, text, is_changed=True, note=text, help=text)]),
        table([text], [[text]], 1),
        progress_bar(text, 1, 2),
    ]
    for piece in pieces:
        assert read(piece).source.encode("utf-8")
    (title,) = [value for name, value in read(pieces[3]).attributes if name == "title"] or [""]
    assert title == text
    assert "".join(read(line(text)).texts) == text


def test_names_of_files_that_are_no_text_can_be_shown():
    assert read(line("day\udcff1")).texts == ["day?1"]


def test_settings_show_what_differs_and_fold_the_groups():
    page = read(RunParams(name="small", c_gen_dim=64, c_learning_rate_stop=1e-3))
    assert page.tags.count("details") == 1 + len(
        {hyper.group for hyper in RunParams.hyperparams() if hyper.displayed}
    )
    # Once in the list of what differs, once in its group.
    assert sorted(page.emphasised) == sorted(2 * ["1.0000e-03", "64"])
    assert "2 changed from the default" in page.texts
    assert "default 100" in page.text
    assert "Generator network, factors, rates (1 changed)" in page.text
    assert "Controller and inferred inputs" in page.texts
    assert "c_in_factors_dim" not in page.text
    assert "c_in_factors_dim" in read(RunParams(c_in_factors_dim=3)).text

    plain = read(RunParams())
    assert plain.emphasised == []
    assert "all values are the defaults" in plain.text
    assert ("open", "") not in plain.attributes


def test_long_lists_are_cut(tmp_path):
    datasets = DatasetCollection(tmp_path)
    for number in range(60):
        Dataset(datasets, f"day{number:02d}.mat")
    assert "… and 10 more" in read(datasets).text
    assert "day49" in read(datasets).texts
    assert "day50" not in read(datasets).text

    runs = RunCollection(tmp_path, "sweep", datasets)
    runs.add_params(RunParams().generate_sweep(c_gen_dim=range(1, 101)))
    runs.add_run_spec([RunSpec("one", datasets, 0), RunSpec("all", datasets, range(60))])
    page = read(runs)
    assert "… and 50 more" in page.text
    assert "… and 150 more" in page.text
    assert "100 parameter settings" in page.texts
    assert "200 runs" in page.texts
    assert "and 50 more" in next(text for text in page.texts if text.startswith("day00, day01"))
    assert len(page.source) < 60_000


def test_lists_are_cut_only_where_something_is_left_out():
    def shown(number):
        return read(table(["n"], ([str(row)] for row in range(number)), number, most=3)).texts

    assert shown(3) == ["n", "0", "1", "2"]
    assert shown(4) == ["n", "0", "1", "2", "… and 1 more"]


def test_what_is_empty_says_so(tmp_path):
    datasets = DatasetCollection(tmp_path)
    assert "no datasets yet" in read(datasets).texts
    page = read(RunCollection(tmp_path, "new", datasets))
    assert {"no parameter settings yet", "no runs yet"} <= set(page.texts)


def test_runs_tell_whether_they_are_done(collection):
    run = collection.runs[0]
    assert "not done" in read(collection).texts
    run.path.mkdir(parents=True)
    run.paths.done.touch()
    assert "done" in read(collection).texts
    assert "done" in read(run).texts
    assert "not done" not in read(run).texts


def fit_log(num_epochs, **columns):
    falling = 100 / np.arange(1, num_epochs + 1)
    values = dict.fromkeys(FitLog.__dataclass_fields__, falling) | {
        "epoch": np.arange(num_epochs),
        "step": np.arange(num_epochs) * 5,
        "kl_weight": np.ones(num_epochs),
        "l2_weight": np.ones(num_epochs),
    }
    return FitLog(**(values | columns))


def test_a_fit_log_shows_its_last_epochs_and_draws_the_costs():
    page = read(fit_log(400))
    assert {"400", "0.25", "399", "395"} <= set(page.texts)
    assert "394" not in page.texts
    assert page.tags.count("polyline") == 2
    train, valid = (value for name, value in page.attributes if name == "points")
    assert train == valid
    points = [tuple(map(float, point.split(","))) for point in train.split()]
    assert 100 < len(points) <= 160
    assert points == sorted(points)  # from left to right, and downwards on the screen
    assert points[0] == (0.0, 3.0)
    assert points[-1] == (320.0, 77.0)


def test_a_fit_log_without_validation_or_with_one_epoch_can_be_shown():
    assert read(fit_log(3, total_valid=np.full(3, np.nan))).tags.count("polyline") == 1
    assert read(fit_log(1)).tags.count("polyline") == 0
    assert "lowest validation cost" in read(fit_log(1)).texts


def test_posterior_means_show_the_shapes_of_what_is_there():
    means = PosteriorMeans.from_arrays(
        dataset_name=HOSTILE,
        kind="posterior_push_mean",
        bin_ms=2.0,
        output_means=np.zeros((30, 10, 3)),
        factors=np.zeros((30, 10, 8), np.float32),
        controller_outputs=None,
        valid_inds=np.arange(24, 30),
    )
    page = read(means)
    assert HOSTILE in page.text
    assert {"30 ", "posterior_push_mean", "30 x 10 x 8", "float32"} <= set(page.texts)
    assert "24 of training, 6 of validation" in page.texts
    assert "controller_outputs" not in page.text


def test_results_need_neither_run_manager_nor_tensorflow():
    code = (
        "import sys, pkgutil, importlib, lfadsq.results as results\n"
        "for one in pkgutil.walk_packages(results.__path__, 'lfadsq.results.'):\n"
        "    importlib.import_module(one.name)\n"
        "print([n for n in sys.modules if n.startswith(('lfadsq.manager', 'tensorflow'))])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_loading_posterior_means_needs_no_xarray():
    code = (
        "import sys, lfadsq.results.posterior_means, lfadsq.results.fit_log\n"
        "print(*{'xarray', 'pandas', 'matplotlib', 'dask'} & {*sys.modules})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "\n"
