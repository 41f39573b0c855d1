"""Running a drive script again, changed: what is replaced on disk, and what is not touched."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from lfadsq import Dataset, DatasetCollection, RunCollection, RunSpec
from lfadsq.errors import ConfigError, RunExistsError, StorageError
from lfadsq.manager.deletion import find_outputs

from .test_run_results import sample


@pytest.fixture
def two(lab):
    for seed, name in enumerate(("a.mat", "b.mat")):
        rng = np.random.default_rng(seed)
        lab.record(name, spikes=rng.poisson(1.0, (30, 4, 20)).astype(np.uint8))
    return lab


def stitched(lab, *names, c_gen_dim=8, **changes):
    """As a drive script in a new interpreter: nothing is shared but the disk."""
    datasets = DatasetCollection(lab.recordings)
    for name in ("a.mat", "b.mat"):
        Dataset(datasets, name)
    lab.datasets = datasets
    changes = {"c_gen_dim": c_gen_dim, "c_factors_dim": 2, "useAlignmentMatrix": True} | changes
    return lab.runs(lab_params(**changes), specs=[RunSpec("all", datasets, list(names))])


def lab_params(**changes):
    from lfadsq import RunParams

    return RunParams(**({"c_batch_size": 5} | changes))


def train(run):
    """Leave what a training does."""
    run.paths.lfads_output.mkdir()
    run.paths.output.fit_log().write_text("costs", encoding="utf-8")
    run.paths.done.touch()


def inputs_of(run):
    return sorted(path.name for path in run.paths.lfads_input.iterdir())


def matrix_of(run, name):
    with h5py.File(run.paths.input_h5(name)) as stored:
        return stored["alignment_matrix_cxf"][()] if "alignment_matrix_cxf" in stored else None


def test_the_same_drive_script_again_touches_nothing(two, tree):
    runs = stitched(two, "a", "b")
    runs.prepare_for_lfads()
    train(runs.runs[0])
    before = tree(two.root)
    again = stitched(two, "a", "b")
    again.prepare_for_lfads()
    assert tree(two.root) == before


def test_the_same_cells_again_in_one_session(two, tree):
    runs = stitched(two, "a", "b")
    for _ in range(2):
        two.record("c.mat")
        runs.add_params(lab_params(c_factors_dim=2, useAlignmentMatrix=True))
        runs.add_run_spec(RunSpec("c", two.datasets, "c"))
        runs.prepare_for_lfads()
        assert [(run.name, run.params.c_gen_dim) for run in runs.runs] == [
            ("all", 8),
            ("c", 8),
            ("all", 100),
            ("c", 100),
        ]


@pytest.mark.parametrize(
    ("before", "after"), [(["a", "b"], ["a"]), (["a"], ["a", "b"]), (["a"], ["b"])]
)
def test_an_untrained_run_on_other_datasets_is_prepared_anew(two, before, after):
    """The trainer reads every file in lfadsInput, so none may be left over."""
    stitched(two, *before).prepare_for_lfads()
    runs = stitched(two, *after)
    runs.prepare_for_lfads()
    (run,) = runs.runs
    assert inputs_of(run) == sorted(
        file for name in after for file in (f"inputInfo_{name}.mat", f"lfads_{name}.h5")
    )
    assert all((matrix_of(run, name) is not None) == (len(after) > 1) for name in after)
    fresh = two.runs(run.params.copy(), specs=runs.run_specs, name="fresh")
    fresh.prepare_for_lfads()
    script = run.paths.train_script.read_text(encoding="utf-8")
    assert script == fresh.runs[0].paths.train_script.read_text(encoding="utf-8")
    for name in after:
        np.testing.assert_array_equal(matrix_of(run, name), matrix_of(fresh.runs[0], name))


def test_three_datasets_that_become_two_are_aligned_anew(two):
    two.record("c.mat", spikes=np.random.default_rng(9).poisson(1.0, (30, 4, 20)))
    specs = [RunSpec("all", two.datasets, [0, 1, 2])]
    params = lab_params(c_factors_dim=2, useAlignmentMatrix=True)
    runs = two.runs(params, specs=specs)
    runs.prepare_for_lfads()
    old = matrix_of(runs.runs[0], "a")
    runs.add_run_spec(RunSpec("all", two.datasets, [0, 1]))
    runs.prepare_for_lfads()
    assert not np.allclose(matrix_of(runs.runs[0], "a"), old)


def test_a_trained_run_on_other_datasets_is_refused_and_left_alone(two, tree):
    runs = stitched(two, "a", "b")
    runs.prepare_for_lfads()
    train(runs.runs[0])
    before = tree(two.root)
    for regenerate in (False, True):
        with pytest.raises(RunExistsError, match=r"trained on a, b, but .* now on a; give"):
            stitched(two, "a").prepare_for_lfads(regenerate=regenerate)
    assert tree(two.root) == before
    runs.delete_lfads_output(confirmed=True)
    stitched(two, "a").prepare_for_lfads()


def record_datasets(run, *names, step=0):
    told = {"dataset_names": [f"{name}.h5" for name in names]}
    run.paths.output.hyperparameters(step).write_text(json.dumps(told), encoding="utf-8")


def test_what_the_trainer_recorded_counts_more_than_links_that_were_lost(two):
    """As copies do that leave links out."""
    runs = stitched(two, "a", "b")
    runs.prepare_for_lfads()
    (run,) = runs.runs
    train(run)
    record_datasets(run, "a", step=20)
    record_datasets(run, "a", "b", step=100)
    shutil.rmtree(run.paths.lfads_input)
    with pytest.raises(RunExistsError, match=r"trained on a, b, but .* now on b"):
        stitched(two, "b").prepare_for_lfads()
    runs.prepare_for_lfads()
    run.paths.input_h5("a").unlink()
    data = run.data_paths.input_h5("b").stat().st_mtime_ns
    runs.prepare_for_lfads()
    assert run.paths.input_h5("a").exists()
    assert run.data_paths.input_h5("b").stat().st_mtime_ns == data


def test_data_of_a_trained_run_that_no_drive_script_names_are_not_aligned_anew(two, tree):
    """Runs of an earlier sweep read the same data as those of the next one."""
    earlier = stitched(two, "a", "b")
    earlier.prepare_for_lfads()
    stitched(two, "a", "b", c_gen_dim=9).prepare_for_lfads()
    train(earlier.runs[0])
    two.record("c.mat", spikes=np.random.default_rng(9).poisson(1.0, (30, 4, 20)))
    params = lab_params(c_factors_dim=2, useAlignmentMatrix=True, c_gen_dim=9)
    runs = two.runs(params, specs=[RunSpec("all", two.datasets, [0, 1, 2])])
    before = tree(runs.path)
    with pytest.raises(RunExistsError, match=f"aligned anew.*{earlier.runs[0].path.parent.name}"):
        runs.prepare_for_lfads()
    assert tree(runs.path) == before


def test_regenerating_data_of_trained_runs_is_warned_of_if_they_change(two, caplog):
    runs = stitched(two, "a", "b")
    runs.prepare_for_lfads()
    train(runs.runs[0])
    runs.prepare_for_lfads(regenerate=True)
    assert "no longer" not in caplog.text
    two.record("b.mat", spikes=np.full((30, 4, 20), 2) + np.arange(30)[:, None, None] % 4)
    runs.prepare_for_lfads(regenerate=True)
    assert "data of 1 trained runs are no longer what these were trained on" in caplog.text
    assert str(runs.runs[0].path) in caplog.text
    assert runs.runs[0].is_done


@pytest.mark.parametrize("regenerate", [False, True])
@pytest.mark.parametrize(
    "change", [{"posterior_mean_kind": "posterior_push_mean"}, {"num_samples_posterior": 7}]
)
def test_scripts_follow_how_posterior_means_are_sampled(two, caplog, change, regenerate):
    runs = stitched(two, "a", "b")
    runs.prepare_for_lfads()
    (run,) = runs.runs
    train(run)
    run.paths.posterior_mean_done.touch()
    again = stitched(two, "a", "b", **change)
    again.prepare_for_lfads(regenerate=regenerate)
    assert again.runs[0].path == run.path
    script = run.paths.posterior_mean_script.read_text(encoding="utf-8")
    assert f"={next(iter(change.values()))}" in script
    assert f"={next(iter(change.values()))}" in run.paths.train_script.read_text(encoding="utf-8")
    assert "1 trained runs" in caplog.text
    assert "posterior_mean_only=True" in caplog.text
    assert run.is_done
    assert not run.paths.posterior_mean_done.exists()
    caplog.clear()
    again.prepare_for_lfads()
    assert not caplog.records


def test_a_script_that_somebody_edited_is_kept_though_sampling_changed(two, caplog):
    runs = stitched(two, "a", "b")
    runs.prepare_for_lfads()
    (run,) = runs.runs
    text = run.paths.train_script.read_text(encoding="utf-8")
    edited = text.replace("--keep_prob=0.950000", "--keep_prob=0.9")
    assert edited != text
    run.paths.train_script.write_text(edited, encoding="utf-8")
    stitched(two, "a", "b", num_samples_posterior=7).prepare_for_lfads()
    assert run.paths.train_script.read_text(encoding="utf-8") == edited
    assert "kept 1 scripts" in caplog.text
    assert str(run.paths.train_script) in caplog.text
    assert "=7 " in run.paths.posterior_mean_script.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (20171106, 20171107, "before 20171107 .*set version = 20171106"),
        (201801, 20180131, "before 20171107"),
        (20180131, 20171106, "20171107 or later .*set version = 20171107"),
    ],
)
def test_a_collection_on_disk_of_another_layout_is_refused(lab, tree, first, second, words):
    lab.record()
    lab.runs(version=first).prepare_for_lfads()
    before = tree(lab.root)
    with pytest.raises(ConfigError, match=words):
        lab.runs(version=second).prepare_for_lfads()
    assert tree(lab.root) == before


def test_versions_of_one_layout_share_a_collection(lab, tree):
    lab.record()
    lab.runs(version=20171107).prepare_for_lfads()
    before = tree(lab.root)
    lab.runs(version=20180131).prepare_for_lfads()
    assert tree(lab.root) == before


# --- relocated collections ------------------------------------------------------------------------


def prepared(lab, root):
    collection = RunCollection(root, "runs", lab.datasets)
    collection.add_params(lab_params())
    collection.add_run_spec(RunSpec("one", lab.datasets, 0))
    return collection


def moved(old, new):
    old.rename(new)


def copied(old, new):
    shutil.copytree(old, new, symlinks=True)
    shutil.rmtree(old)


def copied_without_links(old, new):
    shutil.copytree(old, new, symlinks=False)
    shutil.rmtree(old)


def linked(old, new):
    real = old.with_name("real")
    old.rename(real)
    new.symlink_to(real)


@pytest.mark.parametrize("relocate", [moved, copied, copied_without_links, linked])
def test_a_relocated_collection_is_prepared_as_it_is(lab, tree, caplog, relocate):
    lab.record()
    runs = prepared(lab, lab.root / "old")
    runs.prepare_for_lfads()
    runs.write_run_queue_script()
    train(runs.runs[0])
    sample(runs.runs[0], "dataset001", runs.params[0].posterior_mean_kind)
    relocate(lab.root / "old", lab.root / "new place")
    runs = prepared(lab, lab.root / "new place")
    texts = {path: path.read_bytes() for path in runs.path.rglob("*") if path.is_file()}
    links = {path for path in texts if path.is_symlink()}
    with caplog.at_level(logging.WARNING):
        runs.prepare_for_lfads()
        runs.write_run_queue_script()
    texts[runs.paths.summary] = runs.generate_summary_text().encode()
    assert {path: path.read_bytes() for path in texts} == texts
    assert {path for path in texts if path.is_symlink()} == links
    assert bool(links) == (relocate is not copied_without_links)
    assert not caplog.records
    assert_results_are_read(runs.runs[0])


def assert_results_are_read(run):
    assert run.is_done
    assert run.load_input_info()["trainInds"].tolist()[:2] == [2, 3]
    assert run.check_posterior_means_exist()
    assert run.load_posterior_means().factors[:, 0, 0].tolist() == [*range(1, 31)]


@contextmanager
def plain_user():
    """Whom permissions hold back; not so root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only(lab):
    """A prepared and trained collection, in a folder that everybody may read and nobody write."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        open_lab = type(lab)(Path(folder) / "lab")
        open_lab.record()
        runs = prepared(open_lab, open_lab.root)
        runs.prepare_for_lfads()
        runs.write_run_queue_script()
        train(runs.runs[0])
        sample(runs.runs[0], "dataset001", runs.params[0].posterior_mean_kind)
        everything = [Path(folder), *Path(folder).rglob("*")]
        for path in everything:
            if not path.is_symlink():
                path.chmod(0o555 if path.is_dir() else 0o444)
        yield runs
        for path in everything:
            if path.is_dir():
                path.chmod(0o755)


def test_a_read_only_collection_is_prepared_and_read_as_it_is(read_only, tree):
    before = tree(read_only.path)
    assert_results_are_read(read_only.runs[0])  # what does this, and what deletes, is imported
    assert find_outputs([read_only.runs[0].paths], read_only.path)
    with plain_user():
        read_only.prepare_for_lfads()
        read_only.write_run_queue_script()
        assert_results_are_read(read_only.runs[0])
        with pytest.raises(StorageError, match=r"lfads\.lock"):
            read_only.delete_lfads_output(confirmed=True)
        read_only.add_params(lab_params(c_gen_dim=9))
        words = r"cannot (write into|make the folder) .*: Permission denied; choose a folder"
        with pytest.raises(StorageError, match=words):
            read_only.prepare_for_lfads()
    assert tree(read_only.path) == before
