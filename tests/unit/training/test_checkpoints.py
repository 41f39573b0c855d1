from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from lfadsq.errors import CheckpointError, StorageError
from lfadsq.training.checkpoints import CheckpointStore, load_newest


def save(folder: Path, step: int, max_to_keep: int = 3) -> Path:
    store = CheckpointStore(folder, "checkpoint", "lfads_vae", max_to_keep)
    variables = {
        "LFADS/global_step": tf.Variable(step, dtype=tf.int64),
        "LFADS/w": tf.Variable(np.full((2, 3), step, np.float32)),
    }
    return store.save(step, variables, '{"flags": {"gen_dim": 4}}')


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save(tmp_path, 5)
    checkpoint = load_newest(tmp_path, "checkpoint")
    assert checkpoint is not None
    assert checkpoint.step == 5
    assert checkpoint.flags == {"gen_dim": 4}
    np.testing.assert_array_equal(checkpoint.values["LFADS/w"], np.full((2, 3), 5.0))


@pytest.mark.parametrize("name", ["day[1]", "a*b", "what?", "back\\slash", "[", "{a,b}", "%s $x"])
def test_folders_whose_names_look_like_patterns(tmp_path: Path, name: str) -> None:
    """TensorFlow takes the path of a checkpoint that it reads for a pattern."""
    save(tmp_path / name, 5)
    checkpoint = load_newest(tmp_path / name, "checkpoint")
    assert checkpoint is not None
    assert checkpoint.prefix == tmp_path / name / "lfads_vae.ckpt-5"
    np.testing.assert_array_equal(checkpoint.values["LFADS/w"], np.full((2, 3), 5.0))


def test_no_pointer_is_no_checkpoint(tmp_path: Path) -> None:
    assert load_newest(tmp_path, "checkpoint") is None


def test_only_the_newest_are_kept_and_nothing_else_is_left(tmp_path: Path) -> None:
    for step in range(5):
        save(tmp_path, step)
    steps = {path.name.split("-")[1].split(".")[0] for path in tmp_path.glob("lfads_vae*")}
    assert steps == {"2", "3", "4"}
    assert len(list(tmp_path.iterdir())) == 3 * 2 + 1
    text = (tmp_path / "checkpoint").read_text()
    assert text.splitlines()[0] == 'model_checkpoint_path: "lfads_vae.ckpt-4"'


def test_zero_keeps_all(tmp_path: Path) -> None:
    for step in range(7):
        save(tmp_path, step, max_to_keep=0)
    assert len(list(tmp_path.glob("*.index"))) == 7


def test_files_of_an_earlier_process_count_too(tmp_path: Path) -> None:
    """A new store goes on with the list of the pointer file."""
    for step in range(3):
        save(tmp_path, step, max_to_keep=2)
    assert len(list(tmp_path.glob("*.index"))) == 2


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["removed", "cut", "changed"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, suffix: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1)
    path = Path(f"{save(tmp_path, 2)}{suffix}")
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(bytes(byte ^ 0xFF for byte in content))
    with caplog.at_level(logging.WARNING):
        checkpoint = load_newest(tmp_path, "checkpoint")
    assert checkpoint is not None
    assert checkpoint.step == 1
    assert "ckpt-2" in caplog.text


def test_nothing_readable_is_an_error_that_names_the_files(tmp_path: Path) -> None:
    for path in (save(tmp_path, 1), save(tmp_path, 2)):
        Path(f"{path}.index").unlink()
    with pytest.raises(CheckpointError, match=r"ckpt-2.*ckpt-1"):
        load_newest(tmp_path, "checkpoint")


def test_absolute_paths_of_a_folder_since_moved_are_found(tmp_path: Path) -> None:
    """The original writes absolute paths into its pointer files."""
    save(tmp_path, 1)
    moved = 'model_checkpoint_path: "/somewhere/else/lfads_vae.ckpt-1"\n'
    (tmp_path / "checkpoint").write_text(moved)
    checkpoint = load_newest(tmp_path, "checkpoint")
    assert checkpoint is not None
    assert checkpoint.step == 1


def test_slots_of_the_original_are_found_under_its_names(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "checkpoint", "x", 1)
    variables = {
        "LFADS/global_step": tf.Variable(1, dtype=tf.int64),
        "LFADS/LFADS/gen/w/Adam": tf.Variable([2.0]),
    }
    store.save(1, variables, "{}")
    checkpoint = load_newest(tmp_path, "checkpoint")
    assert checkpoint is not None
    assert checkpoint.values["LFADS/gen/w/Adam"] == [2.0]


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "lfads_vae.ckpt-2.index").mkdir()
    (tmp_path / "lfads_vae.ckpt-2.index" / "in_the_way").touch()
    with pytest.raises(StorageError):
        save(tmp_path, 2)
    checkpoint = load_newest(tmp_path, "checkpoint")
    assert checkpoint is not None
    assert checkpoint.step == 1
    assert not list(tmp_path.glob(".checkpoint-*"))
