"""Whether a batch system is there, before anything is asked of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lfadsq.errors import ClusterError
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.submitting import check_system


@pytest.mark.parametrize(
    ("system", "beside", "words"),
    [
        ("pbs", ("qconf",), "the qsub of this machine belongs to Grid Engine"),
        ("sge", ("pbsnodes",), "the qsub of this machine belongs to PBS"),
        ("pbs", ("pbsnodes",), ""),
        ("sge", ("qconf",), ""),
        ("pbs", (), ""),
        ("pbs", ("qconf", "pbsnodes"), ""),
    ],
)
def test_the_qsub_of_another_batch_system_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    beside: tuple[str, ...],
    words: str,
) -> None:
    for name in ("qsub", "qstat", "qdel", *beside):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    options = ClusterOptions(system, cores_per_job=1)
    if not words:
        check_system(options, is_dry=False)
        return
    with pytest.raises(ClusterError) as caught:
        check_system(options, is_dry=False)
    assert words.lower() in str(caught.value).lower()
    check_system(options, is_dry=True)
