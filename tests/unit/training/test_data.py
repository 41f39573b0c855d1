from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.special import gammaln

from lfadsq.errors import ConfigError, DatasetError, StorageError
from lfadsq.training.data import log_factorials, read_inputs
from lfadsq.training.flags import TrainerFlags

Write = Callable[..., Path]


def read(flags: dict[str, Any], **changes: Any) -> Any:
    return read_inputs(TrainerFlags.from_values(**{**flags, **changes}))


def test_reads_what_was_written(flags: dict[str, Any], tmp_path: Path) -> None:
    (item,) = read(flags)
    with h5py.File(tmp_path / "in" / "lfads_dataset001.h5") as file:
        np.testing.assert_array_equal(item.train.data, file["train_data"])
        np.testing.assert_array_equal(item.valid.data, file["valid_data"])
    assert item.name == "dataset001.h5"
    assert item.train.ext_input.shape == (24, 8, 0)


def test_any_character_may_stand_after_the_stem(flags: dict[str, Any], tmp_path: Path) -> None:
    renamed = (tmp_path / "in" / "lfads_dataset001.h5").rename(tmp_path / "in" / "lfads-[1]*.h5")
    (item,) = read(flags)
    assert (item.name, item.path) == ("[1]*.h5", renamed)


def test_datasets_come_in_the_order_of_their_names(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    for name in ("dataset003", "dataset002"):
        write_input(tmp_path / "in", name)
    (tmp_path / "in" / "inputInfo_dataset001.mat").touch()
    names = [item.name for item in read(flags)]
    assert names == ["dataset001.h5", "dataset002.h5", "dataset003.h5"]


def test_log_factorials() -> None:
    counts = np.random.default_rng(0).poisson(2, (3, 4, 5)).astype(np.float32)
    expected = gammaln(counts + 1.0).sum((1, 2))
    np.testing.assert_allclose(log_factorials(counts, is_poisson=True), expected, rtol=1e-5)
    assert not log_factorials(counts, is_poisson=False).any()


def test_log_factorials_of_a_huge_count_need_no_huge_table() -> None:
    counts = np.full((2, 1, 1), 4e9, np.float32)
    np.testing.assert_allclose(log_factorials(counts, is_poisson=True), gammaln(4e9 + 1), rtol=1e-6)


def with_nan() -> np.ndarray:
    data = np.ones((24, 8, 5))
    data[3, 2, 1] = np.nan
    return data


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"train_data": with_nan()}, "not finite"),
        ({"train_data": -np.ones((24, 8, 5))}, "no counts"),
        ({"valid_data": np.full((10, 8, 5), 0.5)}, "no counts"),
        ({"train_data": np.full((24, 8, 5), 2.0**60)}, "no counts"),
        ({"train_data": np.full((24, 8, 5), b"x")}, "no array of numbers"),
        ({"train_data": np.ones((24, 8))}, "dimensions"),
        ({"train_data": None}, "train_data"),
        ({"valid_data": np.ones((10, 8, 4))}, "valid_data"),
        ({"train_data": np.ones((24, 0, 5)), "valid_data": None}, "shape"),
        ({"alignment_matrix_cxf": np.ones((5, 9))}, "alignment_matrix_cxf"),
        (
            {"alignment_matrix_cxf": np.ones((5, 3)), "alignment_bias_c": np.ones(4)},
            "alignment_bias_c",
        ),
    ],
)
def test_bad_data_are_refused_with_the_reason(
    flags: dict[str, Any], tmp_path: Path, write_input: Write, changes: Any, named: str
) -> None:
    write_input(tmp_path / "in", **changes)
    with pytest.raises(DatasetError, match=named):
        read(flags)


def test_a_truncated_file_is_refused(flags: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "in" / "lfads_dataset001.h5"
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DatasetError, match="lfads_dataset001"):
        read(flags)


def test_what_is_no_file_is_refused_with_the_systems_reason(
    flags: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "in" / "lfads_dataset001.h5"
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError, match=r"lfads_dataset001\.h5: Is a directory"):
        read(flags)


def test_missing_folder_and_files_are_named(flags: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere"):
        read(flags, data_dir=str(tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match="other_<dataset>"):
        read(flags, data_filename_stem="other")


def test_datasets_of_different_length_are_refused(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    shape = (24, 9, 5)
    write_input(tmp_path / "in", "dataset002", train_data=np.ones(shape), valid_data=None)
    with pytest.raises(DatasetError, match="different numbers of time bins"):
        read(flags)


def test_external_inputs_must_be_there_and_fit(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    with pytest.raises(DatasetError, match="train_ext_input"):
        read(flags, ext_input_dim=2)
    inputs = {"train_ext_input": np.ones((24, 8, 2)), "valid_ext_input": np.ones((10, 8, 2))}
    write_input(tmp_path / "in", **inputs)
    assert read(flags, ext_input_dim=2)[0].valid.ext_input.shape == (10, 8, 2)
    with pytest.raises(DatasetError, match="train_ext_input"):
        read(flags, ext_input_dim=3)


def test_float_data_are_welcome_with_gaussian_output(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    write_input(tmp_path / "in", train_data=np.full((24, 8, 5), -0.5))
    (item,) = read(flags, output_dist="gaussian")
    assert (item.train.data == -0.5).all()


def test_no_validation_data_give_an_empty_split(
    flags: dict[str, Any], tmp_path: Path, write_input: Write
) -> None:
    write_input(tmp_path / "in", valid_data=None)
    assert len(read(flags)[0].valid) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "guess"},
        {"output_dist": "binomial"},
        {"batch_size": 0},
        {"gen_dim": -1},
        {"learning_rate_decay_factor": 1.0},
        {"learning_rate_init": 0.0},
        {"learning_rate_stop": 0.0},
        {"learning_rate_n_to_compare": 0},
        {"output_dist": "gaussian", "temporal_spike_jitter_width": 2},
        {"gen_dims": 4},
        {"data_dir": None},
    ],
    ids=str,
)
def test_flags_that_cannot_be_are_refused(flags: dict[str, Any], changes: Any) -> None:
    with pytest.raises(ConfigError, match=next(reversed(changes))):
        TrainerFlags.from_values(**{**flags, **changes})
