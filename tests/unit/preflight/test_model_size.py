"""Sizes of models against files of the original trainer, and of outputs against disks."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from lfadsq.preflight.disk_space import (
    Disk,
    Outputs,
    check_disks,
    disk_text,
    measure_disks,
    try_to_write,
)
from lfadsq.preflight.findings import Severity
from lfadsq.preflight.flag_values import read_flags
from lfadsq.preflight.input_files import InputHeader
from lfadsq.preflight.model_size import OutputSize, num_weights, output_size

GOLDEN = Path(__file__).parents[2] / "golden" / "data"
GB = 1e9


def is_weight(name: str) -> bool:
    others = ("beta1_power", "beta2_power", "learning_rate", "global_step")
    return name.startswith(("p0/", "LFADS")) and not any(one in name for one in others)


@pytest.mark.parametrize("case", ["co0", "co2", "gauss"])
def test_weights_are_as_many_as_in_the_original(case: str) -> None:
    with np.load(GOLDEN / f"step_{case}.npz") as golden:
        flags = json.loads(str(golden["flags"]))
        in_golden = sum(golden[name].size for name in golden.files if is_weight(name))
        num_channels = golden["data"].shape[2]
    texts = {name: str(value) for name, value in flags.items()}
    values = read_flags({n: t.lower() if t in ("True", "False") else t for n, t in texts.items()})
    assert num_weights(values.values, [num_channels], is_aligned=False) == in_golden


def test_weights_of_a_whole_model_of_the_original() -> None:
    with h5py.File(GOLDEN / "legacy_push_mean.h5") as stored:
        flags = json.loads(stored.attrs["hyperparameters"])
        num_channels = stored["valid_data"].shape[2]
    with h5py.File(GOLDEN / "legacy_model_params") as stored:
        in_golden = sum(stored[name].size for name in stored if is_weight(name))
    values = read_flags({name: str(value) for name, value in flags.items()}).values
    assert num_weights(values, [num_channels], is_aligned=False) == in_golden


def header(num_train: int = 80, num_valid: int = 20) -> InputHeader:
    shapes = {"train_data": (num_train, 50, 30), "valid_data": (num_valid, 50, 30)}
    return InputHeader(Path("lfads_x.h5"), shapes)


def test_outputs_grow_with_what_they_hold() -> None:
    flags = dict(read_flags({"gen_dim": "64", "co_dim": "0", "factors_dim": "8"}).values)
    small = output_size(flags, [header()])
    floats_per_trial = 50 * (64 + 8 + 30)
    assert small.posterior_means == pytest.approx(100 * floats_per_trial * 8 * 0.6, rel=0.1)
    assert output_size(flags, [header(), header()]).posterior_means == 2 * small.posterior_means
    many = output_size(flags | {"max_ckpt_to_keep": 15}, [header()])
    assert many.checkpoints > 1.5 * small.checkpoints
    assert output_size(flags | {"output_dist": "gaussian"}, [header()]).kept > small.kept


def disk(free: float, *needed: float, free_files: float = np.inf) -> Disk:
    outputs = tuple(
        Outputs(f"param_A/{number}", Path("/x"), OutputSize(posterior_means=one), 0.0)
        for number, one in enumerate(needed)
    )
    return Disk(Path("/x"), free, free_files, outputs)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (disk(10 * GB, 2 * GB, 3 * GB), []),
        (disk(6 * GB, 2 * GB, 3 * GB), [("disk_space_tight", Severity.WARNING)]),
        (disk(4 * GB, 2 * GB, 3 * GB), [("disk_space", Severity.ERROR)]),
        (disk(10 * GB, GB, free_files=3), [("disk_files", Severity.ERROR)]),
    ],
)
def test_a_disk_that_is_too_small_is_found(one: Disk, expected: list) -> None:
    assert [(found.code, found.severity) for found in check_disks([one])] == expected


def test_numbers_are_explained() -> None:
    text = disk_text([disk(4 * GB, 2 * GB, 3 * GB)])
    assert "2 runs to train: about 5.0 GB (posterior means 5.0 GB" in text
    assert "4.0 GB are free" in text


def test_what_is_there_already_needs_no_room(tmp_path: Path) -> None:
    size = OutputSize(posterior_means=3e6)
    before = Outputs.of("r", tmp_path, size).missing
    (tmp_path / "model_runs").write_bytes(np.random.default_rng(0).bytes(2 * 10**6))
    assert before == pytest.approx(3e6, abs=1e5)
    assert Outputs.of("r", tmp_path, size).missing == pytest.approx(1e6, abs=1e5)


def test_outputs_are_measured_on_the_disk_they_go_to(tmp_path: Path) -> None:
    outputs = [Outputs.of("r", tmp_path / "not" / "made", OutputSize()) for _ in range(2)]
    (found,) = measure_disks(outputs)
    assert tmp_path.is_relative_to(found.folder)
    assert len(found.outputs) == 2
    assert found.free > 0


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_limit_shows_when_something_is_written(tmp_path: Path) -> None:
    assert list(try_to_write(tmp_path)) == []
    with largest_file(1000):
        (found,) = try_to_write(tmp_path)
    assert (found.code, found.severity) == ("cannot_write", Severity.ERROR)
    assert "ulimit -f" in found.remedy
    assert list(tmp_path.iterdir()) == []
