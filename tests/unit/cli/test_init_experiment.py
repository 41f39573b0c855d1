"""``lfadsq init NAME``: when it begins an experiment, and what it never does."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from lfadsq.errors import ConfigError, StorageError

from .verbs import call, said

FILES = [
    "README.md",
    "drive_single.py",
    "drive_stitched.py",
    "look_at_results.py",
    "reaching/__init__.py",
    "reaching/dataset.py",
    "reaching/recordings.py",
    "reaching/run.py",
    "reaching/run_params.py",
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", str(tmp_path))
    place = tmp_path / "it's mine"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_a_name_that_is_not_there_begins_an_experiment(place: Path) -> None:
    output = said("init", "reaching")
    assert tree(place) == [f"reaching/{name}" for name in FILES]
    assert f"cd {shlex.quote(f'{place}/reaching')}\n" in output
    assert "  python drive_single.py\n" in output
    said("init", place / "deep" / "reaching")
    assert tree(place / "deep" / "reaching") == FILES


def test_the_current_folder_if_it_is_empty(place: Path) -> None:
    output = said("init", ".")
    assert "package it_s_mine into" in output
    assert "cd " not in output
    assert (place / "it_s_mine" / "run.py").is_file()


def test_json(place: Path) -> None:
    assert json.loads(said("init", "reaching", "--json")) == {
        "folder": f"{place}/reaching",
        "package": "reaching",
        "files": [f"{place}/reaching/{name}" for name in FILES],
        "next": [
            f"cd {shlex.quote(f'{place}/reaching')}",
            "python drive_single.py",
        ],
    }


def test_a_folder_that_is_not_empty_is_left_as_it_is(place: Path) -> None:
    (place / "old").mkdir()
    (place / "old" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"is not empty; .*--force.*--cluster"):
        call("init", "old")
    assert tree(place) == ["old/notes.txt"]
    said("init", "old", "--force")
    assert (place / "old" / "notes.txt").read_text() == "mine"
    assert len(tree(place / "old")) == 1 + len(FILES)


def test_no_file_is_replaced_unasked(place: Path) -> None:
    said("init", "reaching")
    drive, run = place / "reaching/drive_single.py", place / "reaching/reaching/run.py"
    original = run.read_text()
    drive.write_text("my drive script\n")
    run.write_text("my run\n")
    (place / "reaching/README.md").unlink()
    with pytest.raises(ConfigError, match="nobody answered"):
        call("init", "reaching", "--force", answer="")
    with pytest.raises(ConfigError, match="nobody answered"):
        call("init", "reaching", "--force", answer="y\n")  # and then nothing
    assert (drive.read_text(), run.read_text()) == ("my drive script\n", "my run\n")
    assert not (place / "reaching/README.md").exists()

    output = said("init", "reaching", "--force", answer="y\nn\n")
    assert output.count("Replace it?") == 2
    kept = drive if f"left as it is: {drive}" in output else run
    assert kept.read_text().startswith("my ")
    assert (drive.read_text().startswith("my "), run.read_text() == original) in [
        (True, True),
        (False, False),
    ]
    assert (place / "reaching/README.md").exists()


def test_the_same_again_changes_nothing_and_asks_nothing(place: Path) -> None:
    said("init", "reaching")
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*.py")}
    assert "Replace" not in said("init", "reaching", "--force")
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*.py")} == before


@pytest.mark.parametrize("sign", ["run_lfadsqueue.py", "summary.txt", "cluster.toml"])
def test_the_folder_of_a_collection_gets_cluster_options(place: Path, sign: str) -> None:
    folder = place / "single"
    folder.mkdir()
    (folder / sign).write_text("")
    said("init", folder, "--force")
    assert tree(folder) == sorted({sign, "cluster.toml"})


def test_options_of_a_cluster_never_begin_an_experiment(place: Path) -> None:
    for words in (["--cluster", "slurm"], ["--partition", "gpu"], ["--requeue"]):
        with pytest.raises(ConfigError, match="a new experiment takes no options of a cluster"):
            call("init", "reaching", *words)
    (place / "empty").mkdir()
    said("init", "empty", "--max-jobs", "3")
    said("init")
    assert tree(place) == ["cluster.toml", "empty/cluster.toml"]


def test_what_cannot_be_a_folder(place: Path) -> None:
    (place / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        call("init", "file")
    with pytest.raises(ConfigError, match="line break"):
        call("init", "a\nb")
    with pytest.raises((ConfigError, StorageError)):
        call("init", "file/below")
    assert tree(place) == ["file"]


def test_help_tells_when_it_does_which() -> None:
    output = said("init", "--help")
    assert "lfadsq init reaching\n" in output
    assert "if NAME is the folder of a collection" in " ".join(output.split())
