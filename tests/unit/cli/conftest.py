"""Nobody waits long for a queue that a test does not have."""

from __future__ import annotations

import pytest

from lfadsq.cli import effects


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "PATIENCE_S", 0.3)
