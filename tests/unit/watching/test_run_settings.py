"""In what settings differ, read from summaries of lfadsq and of MATLAB."""

from __future__ import annotations

from pathlib import Path

import pytest

from lfadsq import Dataset, DatasetCollection, RunCollection, RunParams, RunSpec
from lfadsq.manager.summary import generate_summary_text
from lfadsq.manager.summary_reading import parse_summary
from lfadsq.watching.run_settings import RunSettings, read_settings

GOLDEN = Path(__file__).parents[2] / "golden" / "data" / "manager" / "summary.txt"


def test_of_a_sweep_only_what_differs_is_told(tmp_path: Path) -> None:
    datasets = DatasetCollection(tmp_path)
    Dataset(datasets, "a.mat")
    runs = RunCollection(tmp_path, "sweep", datasets)
    # 0.95 is the default, so lines of differences do not name it.
    sweep = RunParams(c_batch_size=20).generate_sweep(c_gen_dim=[10, 20], c_keep_prob=[0.9, 0.95])
    runs.add_params(sweep)
    runs.add_run_spec(RunSpec("single_a", datasets, 0))
    settings = RunSettings(generate_summary_text(runs).encode())
    assert set(settings.varying) == {"c_gen_dim", "c_keep_prob"}
    assert settings.run_names == ("single_a",)
    assert list(settings.param_hashes) == [params.param_hash for params in runs.params]
    for params in runs.params:
        assert settings.values(params.param_hash) == {
            "c_gen_dim": f"{params.c_gen_dim}",
            "c_keep_prob": f"{params.c_keep_prob:g}",
        }
        assert settings.data_key(params.param_hash) == ()


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_summary_of_matlab_reads_as_the_manager_reads_it(encoding: str, line_end: str) -> None:
    text = GOLDEN.read_text(encoding="utf-8")
    whole = parse_summary(text)
    settings = RunSettings(text.replace("\n", line_end).encode(encoding, "replace"))
    assert settings.run_names == tuple(whole.run_specs)
    assert settings.param_hashes == tuple(one.param_hash for one in whole.settings)
    for one in whole.settings:
        values = settings.values(one.param_hash)
        assert values == {name: one.values[name] for name in settings.varying}


def test_names_with_blanks_do_not_disturb() -> None:
    settings = RunSettings(
        b'x\n    [1 param_aaaaaa data_4MaTKO] L.P "my c_x=1" c_gen_dim=10\n         c_gen_dim: 10\n'
        b"    [2 param_bbbbbb data_4MaTKO] L.P c_gen_dim=20\n         c_gen_dim: 20\n"
    )
    assert settings.varying == ("c_gen_dim",)
    assert settings.values("aaaaaa") == {"c_gen_dim": "10"}


def test_without_a_summary_nothing_is_told(tmp_path: Path) -> None:
    settings = read_settings(tmp_path / "summary.txt")
    assert (settings.varying, settings.run_names, settings.values("aaaaaa")) == ((), (), {})
