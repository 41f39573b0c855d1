"""Other trainers: what scripts call, in which environment, and how that fails."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfadsq import RunCollection, TrainerCommands
from lfadsq.errors import ConfigError
from lfadsq.manager.scripts import render_run_scripts
from lfadsq.manager.trainer_commands import COMMAND_NAMES, OUR_TRAINER
from lfadsq.paths import RunPaths
from lfadsq.queue.events import TaskFailed
from lfadsq.queue.records import Cause

from ..queue.running import Listener, run
from .conftest import Lab, small_params, tree

ODD = 'ça\'s "la" $b & co'

END = "end of call"
RECORDER = f"""#!/bin/sh
printf '%s\\0' "${{MARK-}}" "$0" "$@" {shlex.quote(END)} >> "$CALLS"
for word; do
    case $word in
        --lfads_save_dir=*) folder="${{word#*=}}" ;;
        --kind=train) trains=1 ;;
    esac
done
if [ -n "${{trains-}}" ] && [ -z "${{FORGETS-}}" ]; then
    mkdir -p "$folder" && : > "$folder/checkpoint_lve"
fi
"""

# As conda's own does: it uses variables that are not set, and commands of it fail harmlessly.
CONDA_ACTIVATE = """
echo "before: $PS1 $CONDA_BACKUP_HOST" > /dev/null
false
if ! [ -d "$CONDA_AT/envs/$1" ]; then
    echo "EnvironmentNameNotFound: Could not find conda environment: $1" >&2
    return 1
fi
export PATH="$CONDA_AT/envs/$1/bin:$PATH" MARK="conda $1"
"""

MODULE_INIT = """
module() {
    echo "$NOT_SET_ANYWHERE" > /dev/null
    false
    if ! [ -d "$MODULESHOME/$2" ]; then
        echo "ERROR: Unable to locate a modulefile for '$2'" >&2
        return 1
    fi
    export PATH="$MODULESHOME/$2:$PATH" MARK="module $2"
}
"""


def write_program(path: Path, text: str = RECORDER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def add_conda(base: Path, *environments: str) -> Path:
    write_program(base / "bin" / "conda", "#!/bin/sh\n")
    at = f"CONDA_AT={shlex.quote(str(base))}\n"
    write_program(base / "bin" / "activate", at + CONDA_ACTIVATE)
    for name in environments:
        write_program(base / "envs" / name / "bin" / "python")
    return base


def add_modules(home: Path, *modules: str) -> Path:
    write_program(home / "init" / "bash", MODULE_INIT)
    for name in modules:
        write_program(home / name / "python")
    return home


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder on a machine without conda and modules, and only the system's programs."""
    home = tmp_path / ODD
    home.mkdir()
    for name in ("CONDA_EXE", "MODULESHOME", "LMOD_PKG", "BASH_ENV", "PS1", "MARK", "FORGETS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return home


@pytest.fixture
def lab(machine: Path, tmp_path: Path) -> Lab:
    lab = Lab(tmp_path / "a lab's")
    lab.record()
    return lab


@dataclass(frozen=True)
class Call:
    """One call of a recording program."""

    environment: str
    program: str
    words: list[str]

    @property
    def flags(self) -> dict[str, str]:
        pairs = [word[2:].split("=", 1) for word in self.words if word.startswith("--")]
        return dict(pairs)


def prepare(home: Path, trainer: TrainerCommands, name: str = "a run's") -> RunPaths:
    """Write the scripts of a run, as `prepare_for_lfads` does."""
    paths = RunPaths(home / "runs" / name)
    paths.folder.mkdir(parents=True)
    for path, text in render_run_scripts(paths, small_params(), 1, trainer).items():
        path.write_text(text, encoding="utf-8")
    return paths


def run_script(script: Path) -> tuple[subprocess.CompletedProcess[str], list[Call]]:
    record = Path(os.environ["CALLS"])
    record.unlink(missing_ok=True)
    ended = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=False)
    calls, items = [], []
    for item in record.read_text(encoding="utf-8").split("\0")[:-1] if record.exists() else []:
        if item == END:
            calls.append(Call(items[0], items[1], items[2:]))
            items = []
        else:
            items.append(item)
    return ended, calls


# --- what is called -------------------------------------------------------------------------------


def test_the_original_in_an_old_conda_environment(machine: Path) -> None:
    add_conda(machine / "miniconda3", "lfads27")
    run_lfads = machine / "lfads" / "run_lfads.py"
    trainer = TrainerCommands.original("~/lfads/run_lfads.py").in_conda("lfads27")
    paths = prepare(machine, trainer)
    ended, calls = run_script(paths.train_script)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert {made.environment for made in calls} == {"conda lfads27"}
    assert {made.words[0] for made in calls} == {str(run_lfads)}
    train, sample, write = (call.flags for call in calls)

    # The same flags as those of our own trainer's script, which other tests know by heart.
    ours = prepare(machine, OUR_TRAINER, name="ours")
    write_program(machine / "bin" / "lfadsq")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{machine / 'bin'}:/usr/bin:/bin")
        _, calls = run_script(ours.train_script)
    for made, expected in zip((train, sample, write), (call.flags for call in calls), strict=True):
        for name in ("data_dir", "lfads_save_dir"):
            folder = paths.lfads_input if name == "data_dir" else paths.lfads_output
            assert made[name] == str(folder)
            assert expected.pop(name)
        assert {name: made[name] for name in expected} == expected
        assert made.keys() == {*expected, "data_dir", "lfads_save_dir"}
    assert (train["kind"], train["batch_size"]) == ("train", "5")
    assert (sample["kind"], sample["batch_size"]) == ("posterior_sample_and_average", "512")

    _, (again,) = run_script(paths.posterior_mean_script)
    assert again.flags == sample
    _, (again,) = run_script(paths.write_model_params_script)
    assert again.flags == write


def test_a_fork_with_commands_of_its_own(machine: Path) -> None:
    fork = write_program(machine / "fork")
    program = f"LEVEL=3 {shlex.quote(str(fork))}"
    trainer = TrainerCommands(
        program,
        train="{program} fit --in={data_dir} -b {batch_size} {model_flags} --lit='$x {{data_dir}}'",
        posterior_mean="cd {run_dir}\n{program} rates ${HOME:+--home=yes} --how={kind} {flags}",
        write_model_params=f"{shlex.quote(str(fork))} weights {{lfads_save_dir}}/x",
        omitted_flags=["co_mean_corr_scale", "device", "batch_size"],
    )
    paths = prepare(machine, trainer)
    ended, (train, sample, write) = run_script(paths.train_script)
    assert (ended.returncode, ended.stderr) == (0, "")
    words = train.words
    assert words[0:4] == ["fit", f"--in={paths.lfads_input}", "-b", "5"]
    assert words[-1] == "--lit=$x {data_dir}"
    assert "--gen_dim=8" in words
    assert not [word for word in words if "co_mean_corr_scale" in word or "--device" in word]
    assert not [word for word in words if "data_filename_stem" in word or "kind" in word]
    assert sample.words[:3] == ["rates", "--home=yes", "--how=posterior_sample_and_average"]
    assert "batch_size" not in sample.flags
    assert sample.flags["checkpoint_pb_load_name"] == "checkpoint_lve"
    assert write.words == ["weights", f"{paths.lfads_output}/x"]


def test_what_was_not_trained_is_not_sampled(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original samples random numbers then, and its exit status is 0."""
    python = write_program(machine / "py thon")
    paths = prepare(machine, TrainerCommands.original("/x.py", python=shlex.quote(str(python))))
    for script in (paths.posterior_mean_script, paths.write_model_params_script):
        ended, calls = run_script(script)
        assert (ended.returncode, calls) == (1, [])
        assert "left no checkpoint_lve" in ended.stderr
    monkeypatch.setenv("FORGETS", "1")
    ended, calls = run_script(paths.train_script)
    assert (ended.returncode, len(calls)) == (1, 1)
    monkeypatch.delenv("FORGETS")
    assert [len(run_script(script)[1]) for script in paths.scripts] == [3, 1, 1]


def test_a_failed_training_ends_the_script_with_its_status(machine: Path) -> None:
    failing = write_program(machine / "fails", "#!/bin/sh\nexit 5\n")
    ended, _ = run_script(prepare(machine, TrainerCommands(shlex.quote(str(failing)))).train_script)
    assert ended.returncode == 5


# --- environments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("found_by", ["CONDA_EXE", "PATH", "base", "home"])
def test_conda_is_found_wherever_it_is(
    machine: Path, monkeypatch: pytest.MonkeyPatch, found_by: str
) -> None:
    base = add_conda(machine / ("anaconda3" if found_by == "home" else "co nda"), "it's mine")
    if found_by == "CONDA_EXE":
        monkeypatch.setenv("CONDA_EXE", str(base / "bin" / "conda"))
    if found_by == "PATH":
        # A link to it, as packages of a system make one; its folder has no `activate`.
        (machine / "links").mkdir()
        (machine / "links" / "conda").symlink_to(base / "bin" / "conda")
        monkeypatch.setenv("PATH", f"{machine / 'links'}:/usr/bin:/bin")
    trainer = TrainerCommands("python fork.py")
    where = {"base": base} if found_by == "base" else {}
    ended, calls = run_script(prepare(machine, trainer.in_conda("it's mine", **where)).train_script)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [made.environment for made in calls] == ["conda it's mine"] * 3


def test_a_conda_that_only_tells_its_place_is_asked(machine: Path) -> None:
    base = add_conda(machine / "real", "env")
    wrapper = f'#!/bin/sh\n[ "$*" = "info --base" ] && echo {shlex.quote(str(base))}\n'
    write_program(machine / "anaconda3" / "bin" / "conda", wrapper)
    ended, calls = run_script(
        prepare(machine, TrainerCommands("python").in_conda("env")).train_script
    )
    assert (ended.returncode, len(calls)) == (0, 3)


def test_a_virtual_environment(machine: Path) -> None:
    folder = machine.parent / "it's a v env"  # venv's own script cannot stand " and $
    venv.create(folder, with_pip=False)
    (folder / "bin" / "python").unlink()
    write_program(folder / "bin" / "python")
    ended, calls = run_script(
        prepare(machine, TrainerCommands("python x").in_venv(folder)).train_script
    )
    assert (ended.returncode, ended.stderr, len(calls)) == (0, "", 3)


def test_modules(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = add_modules(machine / "modules", "cuda/9.0", "python/2.7")
    monkeypatch.setenv("MODULESHOME", str(home))
    trainer = TrainerCommands("python x").with_modules(["cuda/9.0", "python/2.7"])
    ended, calls = run_script(prepare(machine, trainer).train_script)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [made.environment for made in calls] == ["module python/2.7"] * 3


def test_a_module_command_that_the_shell_has_already_is_taken(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = add_modules(machine / "modules", "python/2.7")
    text = 'module() { export PATH="$HOME/modules/python/2.7:$PATH" MARK=mine; }'
    startup = machine.parent / "startup"
    startup.write_text(text)
    monkeypatch.setenv("BASH_ENV", str(startup))  # as sites with Lmod set it
    monkeypatch.setenv("MODULESHOME", str(home))
    _, calls = run_script(
        prepare(machine, TrainerCommands("python").with_modules("any")).train_script
    )
    assert [made.environment for made in calls] == ["mine"] * 3


def test_own_lines_run_first_in_their_order_and_may_use_what_is_not_set(machine: Path) -> None:
    write_program(machine / "bin" / "mytrainer")
    trainer = TrainerCommands(
        "mytrainer", setup=['export MARK="a$PS1"', 'export PATH="$HOME/bin:$PATH"']
    ).with_setup('if true; then\n    MARK="${MARK}b{run_dir}"\nfi')
    _, calls = run_script(prepare(machine, trainer).train_script)
    assert [made.environment for made in calls] == ["ab{run_dir}"] * 3


@pytest.mark.parametrize(
    ("trainer", "status", "words"),
    [
        (TrainerCommands("python").in_conda("x"), 127, "conda is not found; say where"),
        (TrainerCommands("python").in_conda("x", base="/no 'where"), 127, "in /no 'where; say"),
        (TrainerCommands("python").in_venv("/no/ve nv"), 127, "environment in /no/ve nv; make"),
        (TrainerCommands("python").with_modules("x"), 127, "no command 'module'"),
        (TrainerCommands("no-such-program x"), 127, "no-such-program is not on PATH; install it"),
        (TrainerCommands("true").with_setup("export A=1", "false"), 1, "lines that prepare"),
    ],
    ids=lambda value: None,
)
def test_an_environment_that_is_not_there_is_told(
    machine: Path, trainer: TrainerCommands, status: int, words: str
) -> None:
    paths = prepare(machine, trainer)
    ended, calls = run_script(paths.train_script)
    assert (ended.returncode, calls) == (status, [])
    assert ended.stderr.startswith(f"error: {paths.train_script}: ")
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_an_environment_or_a_module_that_does_not_exist_is_told(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_conda(machine / "miniconda3", "there")
    ended, calls = run_script(
        prepare(machine, TrainerCommands("python").in_conda("none")).train_script
    )
    assert (ended.returncode, calls) == (127, [])
    assert "EnvironmentNameNotFound" in ended.stderr
    assert "cannot activate the environment none; those there are: conda env list" in ended.stderr
    monkeypatch.setenv("MODULESHOME", str(add_modules(machine / "m", "a")))
    trainer = TrainerCommands("python").with_modules(["a", "no ne"])
    ended, calls = run_script(prepare(machine, trainer, name="modules").train_script)
    assert (ended.returncode, calls) == (127, [])
    assert "the module no ne cannot be loaded" in ended.stderr


def test_the_queue_tells_what_is_missing(lab: Lab, machine: Path) -> None:
    collection = lab.runs(trainer=TrainerCommands("python").in_conda("lfads27"))
    collection.prepare_for_lfads()
    listener = Listener()
    run(collection.get_task_specs(), listener)
    (failed,) = listener.all_of(TaskFailed)
    assert failed.failure.cause is Cause.MISSING_PROGRAM
    assert "conda is not found; say where it is installed" in failed.failure.log_tail


# --- collections ----------------------------------------------------------------------------------


def test_another_trainer_replaces_scripts_only_where_asked(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    collection = lab.runs(small_params(), small_params(c_gen_dim=9))
    collection.prepare_for_lfads()
    runs = [one.path for one in collection.runs]
    before = [tree(folder) for folder in runs]
    collection.trainer = TrainerCommands.original("/lab/run_lfads.py")
    with caplog.at_level(logging.WARNING):
        collection.prepare_for_lfads()
    assert [tree(folder) for folder in runs] == before
    assert "kept 6 scripts that differ" in caplog.text
    assert "write_run_scripts()" in caplog.text
    caplog.clear()
    data = {path: path.stat().st_mtime_ns for path in collection.path.glob("data_*/*/*")}
    collection.write_run_scripts()
    assert data == {path: path.stat().st_mtime_ns for path in collection.path.glob("data_*/*/*")}
    for one in collection.runs:
        assert all("/lab/run_lfads.py" in path.read_text() for path in one.paths.scripts)
    collection.prepare_for_lfads()
    assert caplog.text == ""
    assert RunCollection.open(collection.path).trainer == collection.trainer


def test_a_program_that_is_ours_after_all_gives_our_scripts(machine: Path) -> None:
    ours, same = (
        prepare(machine, trainer, name=name)
        for trainer, name in ((OUR_TRAINER, "a"), (TrainerCommands("lfadsq train"), "b"))
    )
    assert ours.train_script.read_text() == same.train_script.read_text()


def test_a_collection_takes_nothing_else_for_a_trainer(lab: Lab) -> None:
    collection = lab.runs()
    with pytest.raises(ConfigError, match="give a TrainerCommands"):
        collection.trainer = "python run_lfads.py"
    with pytest.raises(ConfigError, match="give a TrainerCommands"):
        RunCollection(lab.root, "x", lab.datasets, trainer=None)


def test_flags_that_are_none_cannot_be_omitted(lab: Lab) -> None:
    collection = lab.runs(trainer=TrainerCommands(omitted_flags=("c_gen_dim",)))
    with pytest.raises(ConfigError, match=r"'c_gen_dim'.*known are .*gen_dim"):
        collection.prepare_for_lfads()
    assert not collection.path.exists()


def test_shellcheck_finds_nothing(machine: Path) -> None:
    trainer = TrainerCommands.original("/la b/run_lfads.py").with_modules(["a/1", "b c"])
    scripts: list[str] = []
    for number, one in enumerate(
        [
            trainer.in_conda("x").in_venv("/v"),
            trainer.in_conda("x", base="/opt/it's"),
            TrainerCommands("my", train="{program} {data_dir}"),
        ]
    ):
        scripts += map(str, prepare(machine, one, name=f"run{number}").scripts)
    subprocess.run([Path(sys.executable).with_name("shellcheck"), *scripts], check=True)


# --- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"train": "x {save_dir}"}, r"no placeholder \{save_dir\}; there are \{program\}, "),
        ({"posterior_mean": 'x "{data_dir}"'}, r"posterior_mean: \{data_dir\} stands within"),
        ({"train": "x '{kind}'"}, r"\{kind\} stands within quotes"),
        ({"train": 'x "$(y "{kind}")"'}, r"\{kind\} stands within quotes"),
        ({"train": "x 'abc"}, "a quote is not closed"),
        ({"train": " "}, "give a command"),
        ({"train": None}, "give a command"),
        ({"train": "a\0b"}, "give a command"),
        ({"program": "python x.py {flags}"}, r"\{flags\} belongs into a command"),
        ({"program": "a\nb"}, "setup"),
        ({"program": "it's"}, "not closed"),
        ({"setup": "source x"}, "give a list"),
        ({"setup": ["a", 3]}, "setup holds 3"),
        ({"omitted_flags": 4}, "give a list"),
        ({"promised_files": ["../x"]}, "name a file in lfadsOutput"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TrainerCommands(**wrong)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainerCommands(train="{a}", posterior_mean="{b}", setup="x")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "command",
    [
        "{program} \"$(dirname {data_dir})\" $(x '(' {kind})",
        "{program} it\\'s {kind}",
        "{program} {flags} # don't",
        "a#'{{kind}}' {kind}",
        "(cd {run_dir} && {program} {flags})",
        "x ${HOME} ${A:-${B}} {kind}",
    ],
)
def test_what_the_shell_takes_is_taken(command: str) -> None:
    for name in COMMAND_NAMES:
        TrainerCommands(**{name: command})


@pytest.mark.parametrize("name", ["", "-n", "a\nb", 3])
def test_names_of_environments_and_modules(name: Any) -> None:
    with pytest.raises(ConfigError, match="is no name of a conda environment"):
        TrainerCommands().in_conda(name)
    with pytest.raises(ConfigError, match="is no name of a module"):
        TrainerCommands().with_modules([name])
    with pytest.raises(ConfigError, match="was given no module"):
        TrainerCommands().with_modules([])


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_value_reaches_a_command_as_one_word(value: str) -> None:
    trainer = TrainerCommands(train="{program} --x={kind} {{kind}} end")
    line = trainer.fill_in("train", {"kind": shlex.quote(value)})
    assert shlex.split(line) == ["lfadsq", "train", f"--x={value}", "{kind}", "end"]
