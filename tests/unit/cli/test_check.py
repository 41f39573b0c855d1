"""``lfadsq check`` on real collections."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from lfadsq import Dataset, DatasetCollection, DatasetCounts, Run, RunCollection, RunParams, RunSpec
from lfadsq.cli.boundary import run_command
from lfadsq.cli.main import lfadsq

from .verbs import call


class _Spikes(Dataset):
    def load_data(self):
        return {}


class _Run(Run):
    def generate_counts_for_dataset(self, dataset):
        rng = np.random.default_rng(1)
        counts = rng.poisson(0.05, (20, 4, 50)).astype(np.uint8)
        return DatasetCounts(counts, bin_ms=1.0, condition_id=np.arange(20) % 2)


@pytest.fixture
def sweep(tmp_path: Path) -> RunCollection:
    datasets = DatasetCollection(tmp_path)
    _Spikes(datasets, "day[bold]1.mat")
    runs = RunCollection(tmp_path, "it's a sweep", datasets, run_class=_Run)
    params = RunParams(c_batch_size=4, c_ic_enc_dim=4, c_ci_enc_dim=4, c_con_dim=4)
    runs.add_params(params.generate_sweep(c_gen_dim=range(1, 13)))
    runs.add_run_spec(RunSpec("ein Läufer", datasets, 0))
    runs.prepare_for_lfads()
    return runs


def damage(runs: RunCollection) -> None:
    for run in runs.runs:
        text = run.paths.train_script.read_text()
        run.paths.train_script.write_text(text.replace("--batch_size=4", "--batch_size=9"))


def status(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        run_command(lfadsq, list(map(str, words)))
    return int(str(end.value.code))


def test_a_sound_collection_has_no_errors(sweep: RunCollection) -> None:
    assert status("check", sweep.path) == 0
    output = call("check", sweep.path).output
    assert "0 errors, 0 warnings, 0 notes" in output
    assert "12 runs to train: about" in output


def test_errors_are_in_the_exit_status(sweep: RunCollection) -> None:
    damage(sweep)
    assert status("check", "--quick", sweep.path) == 1
    assert status("check", "--quick", sweep.runs[0].path) == 1


def test_warnings_count_only_if_asked(sweep: RunCollection) -> None:
    script = sweep.runs[0].paths.train_script
    script.write_text(script.read_text().replace("--keep_prob=0.95", "--keep_prob=0.9"))
    assert status("check", sweep.path) == 0
    assert status("check", "--strict", sweep.path) == 1


def test_runs_with_the_same_problem_are_one_entry(sweep: RunCollection) -> None:
    damage(sweep)
    output = call("check", "--quick", sweep.path).output
    assert output.count("ERROR batch_size") == 1
    assert "(12 runs)" in output
    assert "and 9 more like these" in output
    assert len(output) < 3000


def test_json_tells_every_place(sweep: RunCollection) -> None:
    damage(sweep)
    told = json.loads(call("check", "--json", "--quick", sweep.path).output)
    assert told["ok"] is False
    (group,) = [one for one in told["findings"] if one["code"] == "batch_size"]
    assert group["count"] == len(group["places"]) == 12
    expected = {f"{run.path.parent.name}/ein Läufer" for run in sweep.runs}
    assert {place["run"] for place in group["places"]} == expected
    assert {place["dataset"] for place in group["places"]} == {"day[bold]1"}


def test_the_current_folder_is_meant_by_default(
    sweep: RunCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sweep.runs[0].paths.lfads_input)
    assert "looked at 1 run" in call("check", "--quick").output


def test_python_has_it_too(sweep: RunCollection) -> None:
    report = sweep.check()
    assert report.is_ok
    assert "0 errors" in repr(report)
    damage(sweep)
    (group,) = [one for one in sweep.check(quick=True).groups if one.code == "batch_size"]
    assert len(group.runs) == 12


def test_what_is_no_collection_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, words in ((tmp_path, "in no collection"), (tmp_path / "nowhere", "there is no")):
        assert status("check", path) == 1
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_is_never_too_narrow(
    sweep: RunCollection,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(sweep)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    assert status("check", "--quick", sweep.path) == 1
    output = capsys.readouterr().out
    assert "\x1b[" in output
    lines = re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()
    assert max(map(len, lines)) <= width
    assert "day[bold]1" in "".join("".join(lines).split())


def test_hostile_names_do_nothing_but_show(sweep: RunCollection) -> None:
    old = sweep.runs[0].path
    old.rename(old.with_name("a\x1b[31mred\nline\udcff"))
    damage_free = call("check", "--quick", sweep.path).output
    assert "\x1b" not in damage_free
    assert "a\\x1b[31mred\\nline\\udcff" in damage_free
    assert json.loads(call("check", "--quick", "--json", sweep.path).output)["findings"]
