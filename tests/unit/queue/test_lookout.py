from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from lfadsq.queue.control import ControlFolder
from lfadsq.queue.lookout import Lookout

from .conftest import spec_of


def seen_by_a_queue(control: ControlFolder) -> Any:
    wishes = Lookout(control, None, lambda tasks: None).new_wishes()
    assert wishes is not None
    return wishes


def test_an_added_task_that_is_none_is_left_out_and_the_rest_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    control = ControlFolder.of(tmp_path)
    good, other = spec_of(tmp_path, "a", "true"), spec_of(tmp_path, "b", "true")
    bad = {"name": "slip"}
    control.edit(lambda wishes: wishes.with_added([good, bad, other]).with_cancelled(["c"]))
    with caplog.at_level(logging.WARNING):
        wishes = seen_by_a_queue(control)
    assert wishes.added == (good, other)
    assert wishes.cancelled == {"c"}
    (message,) = (record.getMessage() for record in caplog.records)
    assert "slip" in message
    assert str(control.paths.wishes) in message


def test_added_tasks_that_clash_end_no_queue(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    control = ControlFolder.of(tmp_path)
    spec = spec_of(tmp_path, "a", "true")
    clashing = {**spec, "command": "false"}
    control.edit(lambda wishes: wishes.with_added([spec, clashing]))
    assert seen_by_a_queue(control).added == ()
    assert "no added task is taken" in caplog.text


def test_wishes_are_given_once_for_every_change(tmp_path: Path) -> None:
    control = ControlFolder.of(tmp_path)
    control.edit(lambda wishes: wishes.with_paused())
    lookout = Lookout(control, None, lambda tasks: None)
    assert lookout.new_wishes() is not None
    assert lookout.new_wishes() is None
