"""Ranks, order, and how a comparison shows: on narrow terminals, in JSON, in notebooks."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq.errors import ConfigError, RunNotFoundError, StorageError
from lfadsq.results.comparison import SweepComparison
from lfadsq.results.comparison_rows import COLUMNS, RULES, RunRow
from lfadsq.results.comparison_text import comparison_lines
from lfadsq.results.run_scores import RunScores, Score
from lfadsq.results.run_signs import RunSign

SIGN = RunSign("KL collapsed", "the KL cost is 0.1 nats/trial", "lower c_kl_ic_weight")


def row(number: int, cost: float = math.nan, **known) -> RunRow:
    given = {"data": ("all",), "data_label": "all", "state": "done", **known}
    return RunRow(f"param_{number:06d}/all", valid_cost=cost, **given)


def many(number: int, **known) -> list[RunRow]:
    return [
        row(one, 100.0 + one % 7, settings={"c_gen_dim": one, "c_keep_prob": 0.9}, **known)
        for one in range(number)
    ]


@given(st.lists(st.sampled_from([1.0, 2.0, 2.5, math.nan, math.inf]), min_size=1, max_size=12))
def test_ranks_are_those_of_counting_what_is_better(costs):
    comparison = SweepComparison([row(at, cost) for at, cost in enumerate(costs)])
    expected = {
        f"param_{at:06d}/all": 1 + sum(other < cost for other in costs)
        for at, cost in enumerate(costs)
        if not math.isnan(cost)
    }
    assert comparison.ranks == expected
    shown = [comparison.ranks.get(one.name, 99) for one in comparison.rows]
    assert shown == sorted(shown)


def test_higher_scores_are_better_and_lower_costs():
    rows = [
        row(1, 5.0, scores=RunScores(psth_r2=Score(0.2, 1))),
        row(2, 4.0, scores=RunScores(psth_r2=Score(0.1, 1))),
    ]
    assert SweepComparison(rows).best == (rows[1],)
    assert SweepComparison(rows, "psth_r2").best == (rows[0],)
    assert set(RULES) == {column.name for column in COLUMNS if column.better}


def test_runs_can_be_sorted_by_any_column_missing_ones_last():
    rows = [
        row(1, 5.0, settings={"x": 3, "y": "b"}),
        row(2, settings={"x": 10, "y": "a"}),
        row(3, 4.0, settings={"x": 2.5}),
    ]
    comparison = SweepComparison(rows)

    def order(name, **how):
        return [int(one.name[6:12]) for one in comparison.sorted_by(name, **how)]

    assert order("x") == [3, 1, 2]
    assert order("x", descending=True) == [2, 1, 3]
    assert order("y") == [2, 1, 3]
    assert order("valid_cost", descending=True) == [1, 3, 2]
    with pytest.raises(ConfigError, match=r"no column 'z'; give one of valid_cost, .* x, y, name"):
        comparison.sorted_by("z")


def test_refuses_nothing():
    with pytest.raises(RunNotFoundError):
        SweepComparison([])


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", ["all", "a\x1b[31m\nb", "a" * 90, "ä\u202eb"])
def test_lines_fit_and_do_nothing_to_a_terminal(width, name):
    rows = [
        row(1, 5.0, settings={"c_gen_dim": 64, "c_a_name_that_is_long": "x" * 40}, signs=(SIGN,)),
        RunRow(f"param_x/{name}", data=("other",), data_label=name, valid_cost=3, state="stopped"),
    ]
    lines = comparison_lines(SweepComparison(rows, title=name), width=width)
    assert all(line.text.isprintable() for line in lines)
    if len(name) < 20:
        # What names a run is never cut off; all else gives way.
        longest = max(len(line.text) for line in lines if "param_" not in line.text)
        assert longest <= max(width, 60)


def test_at_80_columns_rank_run_and_rule_stay():
    scores = RunScores(psth_r2=Score(0.5, 1), bits_per_spike=Score(0.4, 1))
    rows = many(3, scores=scores, recon_valid=90.0, kl_valid=5.0, time_s=3.0, memory_mb=700.0)
    lines = [one.text for one in comparison_lines(SweepComparison(rows, "psth_r2"), width=80)]
    head = next(line for line in lines if "run" in line and "PSTH" in line)
    assert "c_gen_dim" in head
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("no room for") and "memory_mb" in line for line in lines)
    wide = [one.text for one in comparison_lines(SweepComparison(rows, "psth_r2"))]
    assert not any("no room" in line for line in wide)


def test_long_tables_are_cut_and_say_so():
    lines = [one.text for one in comparison_lines(SweepComparison(many(40)), most_rows=10)]
    assert sum("param_" in line and "best" not in line for line in lines) == 10
    assert "and 30 runs more: --all" in lines


def test_the_best_run_is_doubted_where_it_looks_broken():
    lines = comparison_lines(SweepComparison([row(1, 3.0, signs=(SIGN,)), row(2, 4.0)]))
    texts = [line.text for line in lines]
    assert "best: param_000001/all, valid_cost 3.00" in texts
    assert "beware: param_000001/all looks wrong (KL collapsed)" in texts
    assert any(text.startswith("!1") for text in texts)


def test_json_holds_no_nan():
    rows = [row(1, 3.0, settings={"a": 2.0, "b": (1, 2), "c": None}), row(2, math.inf)]
    dicts = SweepComparison(rows).to_dicts()
    read = json.loads(json.dumps(dicts, allow_nan=False))
    assert (read[0]["a"], read[0]["b"], read[0]["c"]) == (2, "(1, 2)", None)
    assert read[1]["valid_cost"] is None


def test_notebooks_show_names_as_text():
    hostile = RunRow('param_1/<script>"&', valid_cost=1.0, data_label="<b>", signs=(SIGN,))
    html = SweepComparison([hostile, row(2, 2.0)])._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "KL collapsed" in html


@pytest.mark.parametrize("varying", [0, 1, 5])
def test_pictures(tmp_path, varying):
    backend = matplotlib.get_backend()
    rows = [
        row(
            at,
            5.0 + at,
            settings={
                f"c_{n}$": ("x", "y")[at % 2] if n == 1 else 10.0**at for n in range(varying)
            },
            signs=(SIGN,) if at == 2 else (),
            scores=RunScores(truth_r2=Score(0.1 * at, 1)),
        )
        for at in range(4)
    ]
    path = tmp_path / "sweep.svg"
    figure = SweepComparison(rows, title="$\\frac").plot(path)
    drawn = [ax for ax in figure.axes if ax.axison]
    assert len(drawn) == varying + 1
    assert ET.parse(path).getroot().tag.endswith("svg")
    assert matplotlib.get_backend() == backend


def test_hyperparameters_that_no_ranked_run_varies_get_no_panel(tmp_path):
    rows = [row(1, 5.0, settings={"a": 1, "b": 1}), row(2, 6.0, settings={"a": 2, "b": 1})]
    rows.append(row(3, settings={"a": 3, "b": 2}))
    figure = SweepComparison(rows).plot()
    assert [ax.get_xlabel() for ax in figure.axes if ax.axison] == ["a"]


def test_what_cannot_be_drawn_or_written_is_refused(tmp_path):
    comparison = SweepComparison([row(1, 5.0)])
    with pytest.raises(ConfigError, match=r"let it end with \.png, \.pdf, \.svg"):
        comparison.plot(tmp_path / "sweep.xls")
    with pytest.raises(ConfigError, match="no run has a valid_cost"):
        SweepComparison([row(1)]).plot()
    with pytest.raises(StorageError):
        comparison.to_csv(tmp_path / "nowhere" / "sweep.csv")
    assert not list(tmp_path.iterdir())
