"""Each damage to a collection is found; without one, nothing is."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from lfadsq.preflight.findings import Severity

from .conftest import FIRST, SECOND, Prepared

Damage = Callable[[Prepared], None]


def h5_of_first(prepared: Prepared) -> Path:
    return prepared.together.input_h5(FIRST)


def info_of_first(prepared: Prepared) -> Path:
    return prepared.together.input_info(FIRST).resolve()


def with_h5(change: Callable[..., None], name: str = FIRST) -> Damage:
    def damage(prepared: Prepared) -> None:
        with prepared.opened(prepared.together.input_h5(name)) as stored:
            change(stored)

    return damage


def with_info(**changes: object) -> Damage:
    def damage(prepared: Prepared) -> None:
        path = info_of_first(prepared)
        content = {k: v for k, v in scipy.io.loadmat(path).items() if k[:2] != "__"}
        scipy.io.savemat(path, content | changes, do_compression=True)

    return damage


def replaced(name: str, values: object) -> Damage:
    def change(stored):
        del stored[name]
        stored[name] = values

    return with_h5(change)


def relink(get: Callable[[Prepared], Path], to: str) -> Damage:
    def damage(prepared: Prepared) -> None:
        link = get(prepared)
        link.unlink()
        link.symlink_to(to)

    return damage


def in_script(old: str, new: str) -> Damage:
    def damage(prepared: Prepared) -> None:
        script = prepared.alone.train_script
        text = script.read_text()
        assert old in text
        script.write_text(text.replace(old, new))

    return damage


def truncate(get: Callable[[Prepared], Path], to: float) -> Damage:
    def damage(prepared: Prepared) -> None:
        path = get(prepared).resolve()
        os.truncate(path, int(path.stat().st_size * to))

    return damage


def _silence(stored):
    for split in ("train", "valid"):
        stored[f"{split}_data"][:, :, 3] = 0


def _duplicate(stored):
    for split in ("train", "valid"):
        stored[f"{split}_data"][:, :, 4] = stored[f"{split}_data"][:, :, 1]


def _half_as_long(stored):
    for name in ("train_data", "valid_data", "train_ext_input", "valid_ext_input"):
        values = stored[name][:, :10]
        del stored[name]
        stored[name] = values


def _negative(stored):
    stored["train_data"][3, 2, 0] = -1


def _high(stored):
    stored["valid_data"][:, :, 0] = 40


def _nan_input(stored):
    stored["valid_ext_input"][1, 2, 0] = np.nan


def _constant_input(stored):
    for split in ("train", "valid"):
        stored[f"{split}_ext_input"][...] = 1.5


def _empty_trials(stored):
    stored["train_data"][:4] = 0


def _float_nan(stored):
    values = stored["train_data"][()].astype(float)
    values[0, 0, 0] = np.nan
    del stored["train_data"]
    stored["train_data"] = values


def _nan_alignment(stored):
    stored["alignment_matrix_cxf"][0, 0] = np.nan


def _no_alignment(stored):
    del stored["alignment_matrix_cxf"]


def _no_inputs(stored):
    del stored["train_ext_input"]


def _fewer_valid(stored):
    for name in ("valid_data", "valid_ext_input", "valid_inds"):
        values = stored[name][:2]
        del stored[name]
        stored[name] = values


def _no_alignment_at_all(prepared: Prepared) -> None:
    for name in (FIRST, SECOND):
        with_h5(_no_alignment, name)(prepared)


def _copied_and_older(prepared: Prepared) -> None:
    link = h5_of_first(prepared)
    original = link.resolve()
    link.unlink()
    shutil.copy(original, link)
    os.utime(link, (1, 1))


def _copied(prepared: Prepared) -> None:
    for link in (*prepared.together.lfads_input.iterdir(), *prepared.alone.lfads_input.iterdir()):
        original = link.resolve()
        link.unlink()
        shutil.copy2(original, link)


def _outside(prepared: Prepared) -> None:
    link = h5_of_first(prepared)
    elsewhere = prepared.folder.parent / "elsewhere.h5"
    shutil.copy(link.resolve(), elsewhere)
    link.unlink()
    link.symlink_to(elsewhere)


def _other_hash(prepared: Prepared) -> None:
    (folder,) = prepared.folder.glob("data_*")
    shutil.copytree(folder, folder.with_name("data_AAAAAA"))
    link = h5_of_first(prepared)
    to = str(link.readlink()).replace(folder.name, "data_AAAAAA")
    link.unlink()
    link.symlink_to(to)


def _absolute(prepared: Prepared) -> None:
    link = h5_of_first(prepared)
    to = link.resolve()
    link.unlink()
    link.symlink_to(to)


def _extra(prepared: Prepared) -> None:
    source = prepared.together.input_h5(SECOND)
    prepared.alone.input_h5(SECOND).symlink_to(source.readlink())


def _flip_a_byte_of_counts(prepared: Prepared) -> None:
    path = info_of_first(prepared)
    content = bytearray(path.read_bytes())
    content[-20] ^= 255  # the counts come last, and their checksum closes them
    path.write_bytes(content)


def _file_for_output(prepared: Prepared) -> None:
    prepared.alone.lfads_output.write_text("no folder")


CONDITIONS = np.arange(30.0) % 3 + 1

ERRORS: list[tuple[str, Damage]] = [
    ("input_damaged", truncate(h5_of_first, 0.5)),
    ("input_damaged", truncate(h5_of_first, 0.0)),
    ("input_damaged", lambda p: h5_of_first(p).resolve().write_text("no HDF5")),
    ("input_incomplete", with_h5(lambda stored: stored.pop("valid_data"))),
    ("input_shape", replaced("train_data", np.ones((24, 30)))),
    ("not_numbers", replaced("train_data", "text")),
    ("split_shapes", replaced("valid_data", np.ones((6, 30, 4), int))),
    ("link_dangling", lambda p: p.together.input_h5(SECOND).resolve().unlink()),
    ("link_dangling", relink(h5_of_first, "../../../data_old/x.h5")),
    ("link_other_hash", _other_hash),
    ("link_pair", _other_hash),
    ("input_missing", lambda p: p.together.input_h5(SECOND).unlink()),
    ("hash_mismatch", with_info(paramInputDataHash="AAAAAA")),
    ("trial_numbers_differ", with_info(trainInds=np.arange(24.0) + 1)),
    ("trial_numbers", replaced("train_inds", np.arange(20.0) + 1)),
    ("trial_numbers", replaced("valid_inds", np.array([1.0, 1, 11, 16, 21, 26]))),
    ("batch_size", with_h5(_fewer_valid)),
    ("no_valid_trials", replaced("valid_data", np.zeros((0, 30, 5), int))),
    ("ext_input_shape", with_h5(_no_inputs)),
    ("ext_input_shape", replaced("train_ext_input", np.zeros((24, 30, 2)))),
    ("different_lengths", with_h5(_half_as_long)),
    ("alignment_shape", replaced("alignment_matrix_cxf", np.ones((5, 3)))),
    ("alignment_shape", replaced("alignment_bias_c", np.ones(4))),
    ("alignment_not_finite", with_h5(_nan_alignment)),
    ("alignment_missing", with_h5(_no_alignment)),
    ("script_missing", lambda p: p.alone.train_script.unlink()),
    ("unknown_flag", in_script("--gen_dim=", "--gen_dims=")),
    ("setting", in_script("--keep_prob=0.3333333333333333", "--keep_prob=1.5")),
    ("setting", in_script("--gen_dim=8", "--gen_dim=many")),
    ("script_elsewhere", in_script('"$run_dir"/lfadsInput', "/another/lfadsInput")),
    ("not_writable", _file_for_output),
]
ERRORS_IN_DATA: list[tuple[str, Damage]] = [
    ("impossible_counts", with_h5(_negative)),
    ("impossible_counts", with_h5(_float_nan)),
    ("ext_input_not_finite", with_h5(_nan_input)),
]
WARNINGS: list[tuple[str, Damage]] = [
    ("info_damaged", truncate(info_of_first, 0.7)),
    ("info_damaged", truncate(info_of_first, 0.0)),
    ("info_missing", lambda p: p.together.input_info(FIRST).unlink()),
    ("link_outside", _outside),
    ("link_other_dataset", relink(h5_of_first, "PLACEHOLDER")),
    ("stale_copy", _copied_and_older),
    ("trial_numbers_missing", with_h5(lambda stored: stored.pop("valid_inds"))),
    ("alignment_absent", _no_alignment_at_all),
    ("alignment_zero", replaced("alignment_matrix_cxf", np.zeros((5, 2)))),
    ("conditions_missing", with_info(conditionId=np.empty((0, 0)))),
    ("conditions_same", with_info(conditionId=np.ones((30, 1)))),
    ("conditions_nan", with_info(conditionId=np.where(CONDITIONS == 1, np.nan, CONDITIONS))),
    ("conditions_types", with_info(conditionId=np.array(["left", "right"] * 15, object))),
    ("conditions_lacking", with_info(conditionId=np.minimum(CONDITIONS, 2))),
    ("condition_number", with_info(conditionId=CONDITIONS[:29])),
    ("script_outdated", in_script("--gen_dim=8", "--gen_dim=80")),
]
WARNINGS_IN_DATA: list[tuple[str, Damage]] = [
    ("silent_channels", with_h5(_silence)),
    ("duplicate_channels", with_h5(_duplicate)),
    ("high_counts", with_h5(_high)),
    ("empty_trials", with_h5(_empty_trials)),
    ("ext_input_constant", with_h5(_constant_input)),
    ("info_damaged", _flip_a_byte_of_counts),
]


def _damage(prepared: Prepared, damage: Damage, code: str) -> None:
    if code == "link_other_dataset":
        damage = relink(h5_of_first, str(prepared.together.input_h5(SECOND).readlink()))
    damage(prepared)


@pytest.mark.parametrize("quick", [True, False])
def test_nothing_is_found_in_a_sound_collection(prepared: Prepared, quick: bool) -> None:
    report = prepared.check(quick=quick)
    assert prepared.codes(quick=quick) == set()
    assert (report.num_runs, report.num_inputs) == (4, 3)


@pytest.mark.parametrize(("code", "damage"), ERRORS)
def test_an_error_is_found_without_reading_data(
    prepared: Prepared, code: str, damage: Damage
) -> None:
    _damage(prepared, damage, code)
    assert code in prepared.codes(Severity.ERROR, quick=True)


@pytest.mark.parametrize(("code", "damage"), ERRORS_IN_DATA)
def test_an_error_in_the_data_is_found(prepared: Prepared, code: str, damage: Damage) -> None:
    _damage(prepared, damage, code)
    assert prepared.codes(quick=True) == set()
    assert prepared.codes() == {code}
    assert code in prepared.codes(Severity.ERROR)


@pytest.mark.parametrize(("code", "damage"), WARNINGS)
def test_what_misleads_is_found(prepared: Prepared, code: str, damage: Damage) -> None:
    _damage(prepared, damage, code)
    assert code in prepared.codes(Severity.WARNING, quick=True)
    assert not prepared.codes(Severity.ERROR, quick=True)


@pytest.mark.parametrize(("code", "damage"), WARNINGS_IN_DATA)
def test_data_that_mislead_are_found(prepared: Prepared, code: str, damage: Damage) -> None:
    _damage(prepared, damage, code)
    assert prepared.codes(quick=True) == set()
    assert prepared.codes() == {code}
    assert code in prepared.codes(Severity.WARNING)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (_absolute, {"link_absolute"}),
        (lambda p: p.alone.posterior_mean_script.unlink(), {"script_missing"}),
        (_copied, set()),  # links became files on a disk without links
        (in_script("--gen_dim=8", "--gen_dim=$GEN_DIM"), set()),
        (in_script("--gen_dim=8", "--gen_dim=8 --tf_debug_cli=false --in_factors_dim=50"), set()),
        (in_script("lfadsq train", "other_trainer"), set()),
        (with_h5(lambda stored: stored.create_group("of somebody else")), set()),
    ],
)
def test_what_does_no_harm_is_no_error(
    prepared: Prepared, damage: Damage, expected: set[str]
) -> None:
    damage(prepared)
    assert prepared.codes() == expected
    assert prepared.codes(Severity.NOTE) == expected


def test_a_dataset_too_many_is_found(prepared: Prepared) -> None:
    _extra(prepared)
    # It has an alignment matrix, which that of the run itself has not.
    assert prepared.codes(Severity.WARNING) >= {"input_extra"}
    assert prepared.codes(Severity.ERROR) == {"alignment_missing"}


def test_a_missing_program_is_found_unless_the_script_sees_to_it(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    assert prepared.codes(Severity.WARNING) == {"program_missing"}
    for run in prepared.runs():
        for script in run.scripts:
            script.write_text("source ~/tf/bin/activate\n" + script.read_text())
    assert prepared.codes() == set()


def test_all_is_reported_at_once(prepared: Prepared) -> None:
    with_info(paramInputDataHash="AAAAAA", conditionId=np.ones((30, 1)))(prepared)
    with prepared.opened(h5_of_first(prepared)) as stored:
        _silence(stored)
        _duplicate(stored)
        _negative(stored)
        _fewer_valid(stored)
    prepared.together.input_h5(SECOND).resolve().unlink()
    _file_for_output(prepared)
    in_script("--gen_dim=", "--gen_dims=")(prepared)
    assert prepared.codes() >= {
        "hash_mismatch",
        "conditions_same",
        "silent_channels",
        "duplicate_channels",
        "impossible_counts",
        "batch_size",
        "trial_numbers_differ",
        "link_dangling",
        "unknown_flag",
        "not_writable",
    }


def test_findings_say_where_and_how_much(prepared: Prepared) -> None:
    with_h5(_fewer_valid)(prepared)
    (group,) = [one for one in prepared.check(quick=True).groups if one.code == "batch_size"]
    names = {f"{run.folder.parent.name}/all of them" for run in prepared.runs("all of them")}
    assert set(group.runs) == names
    assert len(names) == 2
    assert {finding.dataset for finding in group.findings} == {FIRST}
    assert "2 validation trials, batches of 5; the largest that fits is 2" in str(prepared.check())


def test_channels_and_bins_are_named_from_one(prepared: Prepared) -> None:
    with prepared.opened(h5_of_first(prepared)) as stored:
        _silence(stored)
        _duplicate(stored)
        _negative(stored)
    text = str(prepared.check())
    assert "channel 4 of 5" in text
    assert "channels 2=5" in text
    assert "1 are negative; the first in its trial 4, bin 3, channel 1" in text


def test_of_a_run_that_is_done_nothing_is_an_error(prepared: Prepared) -> None:
    truncate(h5_of_first, 0.5)(prepared)
    in_script("--gen_dim=", "--gen_dims=")(prepared)
    assert prepared.codes(Severity.ERROR) == {"input_damaged", "unknown_flag"}
    for run in prepared.runs():
        run.done.touch()
    assert prepared.codes(Severity.ERROR) == set()
    assert prepared.codes(Severity.WARNING) == {"input_damaged", "unknown_flag"}


def test_one_run_is_looked_at_alone(prepared: Prepared) -> None:
    with_h5(_fewer_valid)(prepared)
    report = prepared.check(prepared.alone.folder, quick=True)
    assert (report.num_runs, report.num_inputs) == (1, 1)
    assert report.is_ok
    for path in (prepared.together.folder, prepared.together.train_script):
        assert not prepared.check(path, quick=True).is_ok
    (params, _) = sorted(prepared.folder.glob("param_*"))
    assert prepared.check(params, quick=True).num_runs == 2
    assert prepared.check(prepared.folder / "summary.txt", quick=True).num_runs == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_hides_nothing_else(prepared: Prepared) -> None:
    with_h5(_fewer_valid)(prepared)
    prepared.alone.folder.chmod(0)
    try:
        found = prepared.codes(Severity.ERROR, quick=True)
    finally:
        prepared.alone.folder.chmod(0o755)
    assert found >= {"run_unreadable", "batch_size"}


def test_a_folder_in_place_of_a_script_is_found(prepared: Prepared) -> None:
    script = prepared.alone.train_script
    script.unlink()
    script.mkdir()
    assert prepared.codes(Severity.ERROR, quick=True) == {"script_unreadable"}


def test_without_a_summary_the_scripts_tell_all_that_training_needs(prepared: Prepared) -> None:
    (prepared.folder / "summary.txt").unlink()
    assert prepared.codes() == set()
    with_h5(_fewer_valid)(prepared)
    assert "batch_size" in prepared.codes(Severity.ERROR)


def test_data_may_lie_on_another_disk(prepared: Prepared) -> None:
    (folder,) = prepared.folder.glob("data_*")
    scratch = prepared.folder.parent / "scratch"
    folder.rename(scratch)
    folder.symlink_to(scratch)
    assert prepared.codes() == set()


def test_nothing_is_changed(prepared: Prepared) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        return {
            path: (path.lstat().st_mtime_ns, path.lstat().st_size)
            for path in prepared.folder.rglob("*")
        }

    before = state()
    prepared.check()
    assert state() == before
