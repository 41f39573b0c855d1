"""``lfadsq report``: which file it writes, and which it leaves alone."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from lfadsq.errors import RunNotFoundError, StorageError
from lfadsq.queue.records import Record
from lfadsq.watching.collection_status import read_collection_status

from .verbs import call, said


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    return folder


def contents(folder: Path) -> list[tuple[Path, int]]:
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_it_is_named_after_the_collection_and_lies_where_one_is(
    collection: Any, elsewhere: Path
) -> None:
    (collection.run_of(collection.names[0]) / "lfads_train.sh").touch()
    before = contents(collection.folder)
    text = said("report", collection.folder / "param_ABC")
    (file,) = elsewhere.iterdir()
    assert file.name == "my collection_report.html"
    assert text.startswith("my collection_report.html (0.1 MB)")
    assert "param_ABC/run001" in file.read_text()
    assert contents(collection.folder) == before


def test_it_loads_nothing(collection: Any, elsewhere: Path) -> None:
    page = said("report", "-C", collection.folder, "-o", "-")
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert "default-src 'none'" in page.partition("</head>")[0].replace("&#39;", "'")
    for loading in (" src=", "url(", "@import", "<iframe", "<object", "import("):
        assert loading not in page
    assert list(elsewhere.iterdir()) == []


def test_a_report_is_replaced_and_any_other_file_is_not(collection: Any, elsewhere: Path) -> None:
    said("report", collection.folder, "-o", "a.html")
    first = (elsewhere / "a.html").stat().st_ino
    said("report", collection.folder, "-o", "a.html")
    assert (elsewhere / "a.html").stat().st_ino != first
    other = elsewhere / "thesis.html"
    other.write_text("<html>mine</html>")
    with pytest.raises(StorageError, match="is no report"):
        call("report", collection.folder, "-o", other)
    assert other.read_text() == "<html>mine</html>"
    other.write_text("")  # as mktemp makes them
    said("report", collection.folder, "-o", other)


def test_what_cannot_be_written_is_refused(collection: Any, elsewhere: Path) -> None:
    with pytest.raises(StorageError, match="is a folder"):
        call("report", collection.folder, "-o", elsewhere)
    with pytest.raises(StorageError, match="there is no folder"):
        call("report", collection.folder, "-o", "nowhere/a.html")
    with pytest.raises(RunNotFoundError, match="in no collection"):
        call("report", elsewhere)
    assert call("report", collection.folder, "-C", collection.folder).exit_code == 2
    assert call("report", collection.folder, "-o", "-", "--open").exit_code == 2
    assert list(elsewhere.iterdir()) == []


def test_it_is_opened_where_there_is_a_browser(
    collection: Any, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = call("report", collection.folder, "-o", "a b.html", "--open")
    assert "copy the file to your own computer" in result.output
    browser = elsewhere / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{elsewhere}/opened"\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("BROWSER", str(browser))
    said("report", collection.folder, "-o", "a b.html", "--open")
    assert (elsewhere / "opened").read_text() == (elsewhere / "a b.html").as_uri()


def test_whoever_looks_moves_no_damaged_record_aside(collection: Any) -> None:
    name = collection.names[0]
    record = collection.tasks[name].files.record
    record.write_text("{half of a")
    read_collection_status(collection.folder)
    assert record.read_text() == "{half of a"
    assert Record.read(record, name) == Record(name)
    assert not record.exists()
