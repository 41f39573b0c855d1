"""``lfadsq train`` where it cannot even begin."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def lfadsq(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "lfadsq", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("level", [{}, {"TF_CPP_MIN_LOG_LEVEL": "0"}], ids=["quiet", "loud"])
def test_a_tensorflow_that_does_not_load_is_an_error_with_a_remedy(tmp_path, level):
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('libcudart.so.12 is missing')")
    folders = [f"--data_dir={tmp_path}", f"--lfads_save_dir={tmp_path}"]
    ended = lfadsq("train", *folders, PYTHONPATH=str(tmp_path), **level)
    assert ended.returncode == 1
    assert "TensorFlow cannot be imported: libcudart.so.12 is missing" in ended.stderr
    assert "pip install 'lfadsq[cpu]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_mistyped_flag_is_wrong_use_and_offers_the_nearest(tmp_path):
    ended = lfadsq("train", "--gen_dims=8", f"--data_dir={tmp_path}")
    assert ended.returncode == 2
    assert "--gen_dim" in ended.stderr
