"""The exact scripts of all systems, and what no name or path can do to them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dask
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from lfadsq.errors import ConfigError
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.systems import SYSTEM_NAMES, system_of
from lfadsq.queue.clusters.systems.base import Launch, Program
from lfadsq.queue.clusters.systems.scripts import job_name, logs_of

EXPECTED = Path(__file__).parent / "expected"
LOGS = Path("/data/runs/logs")
LAUNCH = Launch(
    "gpu-1", "tls://10.0.0.1:40123", ("--collection", "/data/my runs/$(x)"), Path("/data/runs/logs")
)
PROGRAM = Program("lfadsq", ("/opt/py/bin/python", "-m", "x", "a b"), LOGS, 3)


@pytest.fixture(autouse=True)
def no_lsf_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings of an LSF of this machine away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSF_ENVDIR", str(tmp_path_factory.mktemp("lsf")))
        patch.delenv("PBS_ACCOUNT", raising=False)
        yield


def full_options(name: str) -> ClusterOptions:
    return ClusterOptions(
        name,
        partition="" if name == "htcondor" else "gpu",
        account="lab",
        walltime_s=3600,
        exclude_nodes=() if name == "pbs" else ("n1", "n2"),
        directives=("priority = 5",) if name == "htcondor" else ("--own 5",),
        setup=("module load cuda # gpu", "export A=1"),
        interface="ib0",
        python="/opt/py/bin/python",
    )


def least_options(name: str) -> ClusterOptions:
    return ClusterOptions(
        name, gpus_per_job=0, cores_per_job=1, requeue=True, end_margin_s=0, python="/opt/python"
    )


def scripts_of(name: str) -> dict[str, str]:
    system = system_of(name)
    return {
        "worker": system.worker_script(full_options(name), LAUNCH),
        "array": system.program_script(full_options(name), PROGRAM),
        "least": system.program_script(least_options(name), replace(PROGRAM, num_in_array=0)),
    }


@pytest.mark.parametrize("name", SYSTEM_NAMES)
def test_scripts_are_exactly_these(name: str) -> None:
    for kind, script in scripts_of(name).items():
        assert script == (EXPECTED / f"{name}_{kind}.txt").read_text(), kind


@pytest.mark.parametrize("name", SYSTEM_NAMES)
def test_what_a_user_wrote_for_other_clusters_of_dask_changes_nothing(name: str) -> None:
    lists = ("worker-extra-args", "job-extra-directives", "job-script-prologue")
    texts = ("queue", "account", "project", "interface", "python", "walltime", "local-directory")
    texts += ("death-timeout", "log-directory", "shebang", "resource-spec", "job-mem", "mem")
    texts += ("job-extra", "env-extra", "extra", "header-skip", "name")
    others = {**{key: ["--theirs"] for key in lists}, **dict.fromkeys(texts, "theirs")}
    with dask.config.set({f"jobqueue.{name}": others, "jobqueue.lfadsq": others}):
        scripts = scripts_of(name)
    for kind, script in scripts.items():
        assert script == (EXPECTED / f"{name}_{kind}.txt").read_text(), kind


def command_of(name: str, script: str) -> str:
    """Give the command that a shell of a job runs in the end."""
    if name != "htcondor":
        return script.rstrip("\n").rsplit("\n", 1)[1]
    # By the rules of its manual: doubled quotes, then words in single quotes, then macros.
    (line,) = (line for line in script.split("\n") if line.startswith("Arguments = "))
    inside = line.removeprefix('Arguments = "').removesuffix('"').replace('""', '"')
    word = inside.removeprefix("-c '").removesuffix("'").replace("''", "'")
    assert "$" not in word.replace("$(DOLLAR)", "")
    return word.replace("$(DOLLAR)", "$")


TEXT = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\n\r\0"), min_size=0, max_size=20
)
HOSTILE = st.one_of(
    TEXT,
    st.lists(
        st.sampled_from(["$(touch pwned)", "`id`", "'", '"', "\\", " ", "#$ -l x", ";", "&", "$$",
                         "%j", "%(name)s", "*", "~", "$HOME", "é", "\t", "!x", "''", "{a,b}"]),
        max_size=6,
    ).map("".join),
)  # fmt: skip


@pytest.mark.parametrize("name", SYSTEM_NAMES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(["$(touch pwned)", "it's", 'say "hi"', "-x", ""], "w 1; touch pwned")
@given(st.lists(HOSTILE, max_size=4), HOSTILE.filter(bool))
def test_no_argument_is_anything_but_an_argument(
    name: str, tmp_path: Path, arguments: list[str], worker: str
) -> None:
    assume(not any("$$(" in text or "$$[" in text for text in (*arguments, worker)))
    here = tmp_path / "it's $(touch pwned)"
    here.mkdir(exist_ok=True)
    python = here / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\0" "$@" >../said\n')
    python.chmod(0o755)
    options = replace(least_options(name), python=str(python))
    system = system_of(name)
    scripts = {
        (
            "-m", "lfadsq.queue.clusters.worker", "tls://[::1]:1", "--name", worker,
            "--nthreads", "1", "--memory-limit", "15.62GiB", *arguments,
        ): system.worker_script(options, Launch(worker, "tls://[::1]:1", tuple(arguments), LOGS)),
        ("x", *arguments): system.program_script(
            options, Program(worker, (str(python), "x", *arguments), LOGS)
        ),
    }  # fmt: skip
    for expected, script in scripts.items():
        done = subprocess.run(
            ["/bin/sh", "-c", command_of(name, script)], cwd=here, check=False, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "said").read_bytes().decode().split("\0")[:-1] == list(expected)
    assert sorted(path.name for path in here.iterdir()) == ["python"]


@pytest.mark.parametrize("name", SYSTEM_NAMES)
@pytest.mark.parametrize("text", ["a\n#SBATCH --exclusive", "a\n#$ -l x", "a\rb", "a\0b"])
def test_a_line_break_is_refused(name: str, text: str) -> None:
    system, options = system_of(name), least_options(name)
    for launch in (
        replace(LAUNCH, worker_arguments=(text,)),
        replace(LAUNCH, name=text),
        replace(LAUNCH, log_folder=Path(f"/{text}")),
    ):
        with pytest.raises(ConfigError, match="line break"):
            system.worker_script(options, launch)
    with pytest.raises(ConfigError, match="line break"):
        system.program_script(options, replace(PROGRAM, argv=("x", text)))


@pytest.mark.parametrize("name", SYSTEM_NAMES)
@pytest.mark.parametrize(
    "folder", ["/a b", "/a%jb", '/a"b', "/a\\b", "/a$HOME", "/a#b", "/a;b", "/é"]
)
def test_a_log_folder_is_named_as_it_is_or_refused(name: str, folder: str) -> None:
    system, options = system_of(name), least_options(name)
    launch = replace(LAUNCH, log_folder=Path(folder))
    if name == "slurm" and "\\" not in folder:
        # That SLURM reads it back like this is tested on a real one.
        quoted = folder.replace("%", "%%").replace('"', '\\"')
        assert f'#SBATCH -o "{quoted}/gpu-1-%j.log"\n' in system.worker_script(options, launch)
    else:
        with pytest.raises(ConfigError, match="cannot write logs of jobs to"):
            system.worker_script(options, launch)


@pytest.mark.parametrize("name", SYSTEM_NAMES)
@pytest.mark.parametrize(
    "changes",
    [
        {"partition": "gpu\n#SBATCH --exclusive"},
        {"account": "lab x"},
        {"exclude_nodes": ("n1)",)},
        {"interface": "$(x)"},
        {"directives": ("a\nb",)},
        {"end_margin_s": 3600, "walltime_s": 3600},
    ],
)
def test_what_cannot_be_is_said_before(name: str, changes: dict[str, object]) -> None:
    options = replace(least_options(name), **changes)
    assert system_of(name).problems(options)
    with pytest.raises(ConfigError):
        system_of(name).worker_script(options, LAUNCH)


@pytest.mark.parametrize("name", SYSTEM_NAMES)
def test_good_options_have_no_problem(name: str) -> None:
    assert system_of(name).problems(least_options(name)) == []
    assert system_of(name).problems(full_options(name)) == []


@pytest.mark.parametrize(
    ("name", "changes", "remedy"),
    [
        ("pbs", {"exclude_nodes": ("n1",)}, "-l select="),
        ("htcondor", {"partition": "gpu"}, "requirements = "),
        ("htcondor", {"directives": ("-l gpu",)}, "name = value"),
        ("htcondor", {"directives": ("requirements = x",), "exclude_nodes": ("n",)}, "&& Machine"),
        ("oar", {"directives": ("-p x",), "exclude_nodes": ("n",)}, "AND network_address"),
        ("slurm", {"end_margin_s": 70_000, "walltime_s": 90_000}, "65535"),
        ("slurm", {"directives": ("#SBATCH --x",)}, "added by itself"),
    ],
)
def test_what_one_system_cannot_do_comes_with_what_to_give(
    name: str, changes: dict[str, object], remedy: str
) -> None:
    (problem,) = system_of(name).problems(replace(least_options(name), **changes))
    assert remedy in problem


@pytest.mark.parametrize(
    ("name", "directive", "ours"),
    [
        ("slurm", "--gpus=2", "--gres"),
        ("pbs", "-l select=1:ncpus=2:gpu_model=a100", "ngpus"),
        ("sge", "-pe threaded 4", "-pe smp"),
        ("sge", "-l ngpus=1", "-l gpu="),
        ("sge", "-l h_vmem=4G", "mem_free"),
        ("lsf", '-gpu "num=1:mode=shared"', '-gpu "num=1"'),
        ("lsf", "-M 4GB", "-M 16"),
        ("htcondor", "request_gpus = 2", "request_gpus = 1"),
        ("oar", "-l /host=1/gpu=1", "/nodes=1"),
        ("oar", "-p gpu_model='x'", "memcore"),
        ("moab", "-l nodes=1:ppn=2:k40", ":gpus=1"),
    ],
)
def test_a_directive_of_the_user_takes_the_place_of_ours(
    name: str, directive: str, ours: str
) -> None:
    options = replace(least_options(name), gpus_per_job=1, cores_per_job=4)
    system = system_of(name)
    assert ours in system.worker_script(options, LAUNCH)
    script = system.worker_script(replace(options, directives=(directive,)), LAUNCH)
    assert directive in script
    assert ours not in script


def test_htcondor_refuses_what_it_would_replace_later() -> None:
    with pytest.raises(ConfigError, match=r"HTCondor would change"):
        system_of("htcondor").worker_script(
            least_options("htcondor"), replace(LAUNCH, worker_arguments=("/a/$$(Machine)",))
        )


@given(TEXT.filter(bool), st.integers(8, 70))
def test_names_of_jobs_are_safe(name: str, longest: int) -> None:
    safe = job_name(name, longest)
    assert 0 < len(safe) <= longest
    assert safe[0].isascii()
    assert safe[0].isalpha()
    assert all(one.isascii() and (one.isalnum() or one in "_.-") for one in safe)


def test_the_logs_of_a_job_are_those_of_its_number(tmp_path: Path) -> None:
    ours = {"w-12.log", "w-12_3.log", "12.server.OU", "w-12[4].server.log"}
    for name in (*ours, "w-123.log", "w-112.log", "w-12.events", "12", "x-12-7.log"):
        (tmp_path / name).touch()
    assert {path.name for path in logs_of(tmp_path, "12.server")} == ours
    assert logs_of(tmp_path / "none", "12") == []


def test_an_unknown_system_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="known are slurm, pbs, sge"):
        system_of("slrum")


def test_the_first_script_leaves_ctrl_c_to_the_queue() -> None:
    # dask-jobqueue takes SIGINT when it is imported, and cannot be imported by another thread.
    program = """
import signal, threading
from lfadsq.queue.clusters.systems.scripts import from_dask_jobqueue
before, set_handler = signal.getsignal(signal.SIGINT), signal.signal
found = []
threads = [threading.Thread(target=lambda: found.append(from_dask_jobqueue("slurm", "SLURMJob")))
           for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(found) == 4
assert signal.getsignal(signal.SIGINT) is before and signal.signal is set_handler
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_finding_a_system_is_quick() -> None:
    program = """
import sys
from lfadsq.queue.clusters.systems import SYSTEM_NAMES, system_of
systems = [system_of(name) for name in SYSTEM_NAMES]
assert not {"dask", "distributed", "dask_jobqueue", "numpy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
