"""What a wheel holds, and what importing costs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "lfadsq_demo")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source") / "lfadsq"
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    target = source.parent / "wheel"
    subprocess.run(
        f"{sys.executable} -m pip wheel --quiet --no-deps --no-build-isolation".split()
        + ["--wheel-dir", str(target), str(source)],
        check=True,
    )
    (path,) = target.iterdir()
    return path


def test_the_wheel_holds_every_module_and_every_template(wheel):
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "lfadsq").rglob("*.py")}
    templates = {
        f"lfadsq/templates/{path.relative_to(ROOT / 'templates')}"
        for path in (ROOT / "templates").rglob("*")
        if path.suffix in (".j2", ".js", ".css", ".txt")
    }
    assert templates
    held = set(zipfile.ZipFile(wheel).namelist())
    assert modules | templates | {"lfadsqueue.py", "lfadsq/py.typed"} <= held
    assert not [name for name in held if name.startswith(("tests/", "examples/", "benchmarks/"))]


def test_an_installed_wheel_finds_its_templates(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import lfadsq.templates as t, lfadsqueue; from importlib.resources import files\n"
        "print(t.__file__, (files(t) / 'lfads_train.sh.j2').read_text())"
    )
    # The target folder comes first: neither the checkout nor an editable install is used.
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert str(tmp_path) in ended.stdout
    assert "lfadsq train" in ended.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import lfadsq"],
        ["-c", "import lfadsq.queue"],
        ["-c", "import lfadsqueue"],
        ["-m", "lfadsq", "--help"],
        ["-m", "lfadsq", "train", "--help"],
    ],
    ids=" ".join,
)
def test_starting_never_imports_tensorflow(command):
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", *command], check=True, capture_output=True, text=True
    )
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "lfadsq" in imported
    assert not {"tensorflow", "keras", "distributed", "matplotlib"} & imported
