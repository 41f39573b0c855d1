"""Real batch systems, where this machine has them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from ..nvml_standin.standin import StandInGpus, build_driver
from .batch_systems import BatchSystem, GridEngine, Slurm, is_required, wait_until
from .collection import StepCollection

System = TypeVar("System", Slurm, GridEngine)
# Grid Engine waits for a minute before it kills what does not end.
_ENDS_WITHIN_S = 120.0


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Give the SLURM of this machine; jobs of ours that are left are ended with the session."""
    system = Slurm(tmp_path_factory.getbasetemp())
    with _usable(system, "LFADSQ_REQUIRE_SLURM", "tests/clusters/single_node_slurm.sh"):
        yield system


@pytest.fixture(scope="session")
def sge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridEngine]:
    """Give the Grid Engine of this machine, as `slurm` does."""
    system = GridEngine(tmp_path_factory.getbasetemp())
    with _usable(system, "LFADSQ_REQUIRE_SGE", "tests/clusters/single_node_sge.sh"):
        yield system


@contextlib.contextmanager
def _usable(system: System, variable: str, script: str) -> Iterator[System]:
    reason = system.missing()
    if reason:
        text = f"{reason}; `{script} up` brings up one for the tests, and `env` says how to find it"
        (pytest.fail if is_required(variable) else pytest.skip)(text)
    try:
        yield system
    finally:
        end_all(system)


def end_all(system: BatchSystem) -> None:
    """Cancel all jobs of ours, and wait for their end."""
    if ids := [job.job_id for job in system.jobs()]:
        system.cancel(*ids)
        wait_until(lambda: not system.jobs(), "our jobs end", _ENDS_WITHIN_S)


@pytest.fixture(scope="session")
def node_gpus(tmp_path_factory: pytest.TempPathFactory) -> StandInGpus:
    """Give the node four GPUs, for the processes that are told of them."""
    try:
        library = build_driver(tmp_path_factory.mktemp("nvml"))
    except FileNotFoundError as error:
        pytest.skip(str(error))
    machine = StandInGpus(tmp_path_factory.mktemp("gpus") / "gpus.txt", library)
    machine.put_alike(4)
    return machine


@pytest.fixture
def collect(
    system: BatchSystem, node_gpus: StandInGpus, tmp_path: Path
) -> Iterator[Callable[..., StepCollection]]:
    """Make collections for the `system` of a module.

    Their queues are killed, and their jobs cancelled, with the test.
    """
    made: list[StepCollection] = []

    def make(num_tasks: int, name: str = "collection", **arguments: object) -> StepCollection:
        folder = tmp_path / name
        made.append(StepCollection(folder, num_tasks, node_gpus, system, **arguments))
        return made[-1]

    yield make
    for collection in made:
        collection.kill_queues()
    end_all(system)
