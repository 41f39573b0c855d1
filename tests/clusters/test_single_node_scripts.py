"""The scripts that bring up batch systems for the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted(Path(__file__).parent.glob("single_node_*.sh"))


def test_shellcheck_finds_nothing():
    assert len(SCRIPTS) == 2
    subprocess.run([Path(sys.executable).with_name("shellcheck"), *SCRIPTS], check=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_without_a_verb_it_shows_its_use_and_does_nothing(script, tmp_path):
    environment = {
        "PATH": "/usr/bin:/bin",
        "LFADSQ_TEST_SLURM_DIR": str(tmp_path / "slurm"),
        "LFADSQ_TEST_SGE_DIR": str(tmp_path / "sge"),
    }
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for verb in ("up", "status", "env", "down"):
        assert f"{script.name} {verb} " in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_what_env_prints_is_for_a_shell(script, tmp_path):
    folder = tmp_path / "it's here"
    environment = {"PATH": "/usr/bin:/bin", "LFADSQ_TEST_SLURM_DIR": str(folder)}
    program = 'eval "$("$0" env)"; echo "${SLURM_CONF-$SGE_ROOT}"'
    done = subprocess.run(
        ["bash", "-euc", program, script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = {
        "single_node_slurm.sh": f"{folder}/etc/slurm.conf",
        "single_node_sge.sh": "/var/lib/gridengine",
    }
    assert done.stdout.strip() == expected[script.name]
