"""Reading scripts, of lfadsq and of MATLAB."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from lfadsq.preflight.flag_values import read_flags, unknown_flags
from lfadsq.preflight.run_scripts import read_calls, training_call

MATLAB = r"""#!/bin/bash

path_to_run_lfads=$(which run_lfads.py)
if [ ! -n "$path_to_run_lfads" ]; then
    echo "Error: run_lfads.py not found on PATH. Ensure you add LFADS to your system PATH."
    exit 1
fi

"""
MATLAB += " ".join(  # in one line, as MATLAB writes it
    [
        r"CUDA_VISIBLE_DEVICES=0 python $(which run_lfads.py) --data_dir=/data/it\'s/lfadsInput",
        '--data_filename_stem=lfads --lfads_save_dir="/data/it\'s/lfadsOutput" --batch_size=150',
        "--keep_prob=0.950000 --do_train_readin=true --tf_debug_cli=false",
        r"&& python $(which run_lfads.py) --data_dir=/data/it\'s/lfadsInput",
        "--kind=posterior_sample_and_average --batch_size=512",
        "--checkpoint_pb_load_name=checkpoint_lve",
        "&& python $(which run_lfads.py) --kind=write_model_params",
        "--lfads_save_dir='/data/it'\"'\"'s/lfadsOutput' 2>&1 | tee /data/lfads.out",
    ]
)


def test_a_script_of_matlab() -> None:
    calls = read_calls(MATLAB)
    assert [call.program for call in calls] == ["run_lfads.py"] * 3
    assert [call.kind for call in calls] == [
        "train",
        "posterior_sample_and_average",
        "write_model_params",
    ]
    train = training_call(calls)
    assert train is not None
    assert train.flags["data_dir"] == "/data/it's/lfadsInput"
    assert train.flags["lfads_save_dir"] == "/data/it's/lfadsOutput"
    assert calls[2].flags["lfads_save_dir"] == "/data/it's/lfadsOutput"
    found = read_flags(train.flags)
    assert (found.values["batch_size"], found.values["keep_prob"]) == (150, 0.95)
    assert found.values["do_train_readin"] is True
    assert unknown_flags(train.flags) == ()
    assert found.wrong == ()


def test_flags_of_a_shell_function_are_those_of_its_calls() -> None:
    text = 'lfads() {\n lfadsq train --gen_dim=3 \\\n "$@"\n}\nlfads --kind=train --batch_size=2\n'
    (call,) = read_calls(text + "# lfads --kind=write_model_params\n")
    assert call.program == "lfadsq train"
    assert call.flags == {"gen_dim": "3", "kind": "train", "batch_size": "2"}


def test_what_calls_no_trainer_has_no_calls() -> None:
    assert read_calls("echo --gen_dim=3\ncd /tmp; ls --all\n'unbalanced\n") == ()


def test_another_trainer_is_known_by_its_folders() -> None:
    (call,) = read_calls("conda run -n tf1 my_lfads --data_dir=x --new_flag=1")
    assert call.program == ""
    assert call.flags["new_flag"] == "1"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), min_size=1))
def test_any_quoted_value_is_read_as_bash_would(value: str) -> None:
    text = f"lfadsq train --data_dir={shlex.quote(value)} --gen_dim=3"
    (call,) = read_calls(f"cd /tmp && {text} | tee 'a;b'; echo it\\'s done")
    assert call.flags == {"data_dir": value, "gen_dim": "3"}


def test_values_are_checked_as_the_trainer_does() -> None:
    assert "batch_size is '1.5'" in read_flags({"batch_size": "1.5"}).wrong[0]
    assert "output_dist is 'binomial'" in read_flags({"output_dist": "binomial"}).wrong[0]
    (wrong,) = read_flags({"learning_rate_init": "1e-6", "learning_rate_stop": "1e-5"}).wrong
    assert "training would not begin" in wrong
    assert read_flags({"batch_size": "150.000000"}).values["batch_size"] == 150
