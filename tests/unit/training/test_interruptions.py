"""A training that was interrupted anywhere, as often as one likes, ends as one that was not."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lfadsq.training.checkpoints import load_newest
from lfadsq.training.flags import TrainerFlags
from lfadsq.training.interruption import Interruption, StopRequested, noted_interruptions
from lfadsq.training.steps import ModelSteps
from lfadsq.training.trainer import train
from lfadsq.training.variables import ModelVariables


class Killed(BaseException):
    """Stands for SIGKILL: nothing that would have run after it may run."""


class Executioner:
    """Lets no file be changed any more from the n-th change of a folder on."""

    def __init__(self) -> None:
        self.folder = ""
        self.changes_left: int | None = None
        sys.addaudithook(self._audit)

    def arm(self, folder: Path, num_changes: int | None) -> None:
        self.folder, self.changes_left = str(folder), num_changes

    def kill(self) -> None:
        self.changes_left = 0
        raise Killed

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.changes_left is None or not self._changes(event, arguments):
            return
        if self.changes_left <= 0:
            raise Killed
        self.changes_left -= 1

    def _changes(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            return bool(writes) and str(path).startswith(self.folder)
        if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
            path = os.fsdecode(arguments[0])
            # Removing trees works on names relative to a folder.
            return path.startswith(self.folder) or not Path(path).is_absolute()
        return False


class SharedSteps:
    """The real steps of a model, compiled once for all trainings of this module."""

    made: ClassVar[list[ModelVariables]] = []
    compiled: ClassVar[list[ModelSteps]] = []
    before_batch: Callable[[], None] = staticmethod(lambda: None)
    after_batch: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, config: Any, variables: ModelVariables, seed: int) -> None:
        if not self.compiled:
            self.compiled.append(ModelSteps(config, variables, seed))

    def train(self, dataset: int, batch: Any) -> Any:
        return self._run(lambda: self.compiled[0].train(dataset, batch))

    def validate(self, dataset: int, index: int, batch: Any) -> Any:
        return self._run(lambda: self.compiled[0].validate(dataset, index, batch))

    def settle(self) -> None:
        self.compiled[0].settle()

    def _run(self, compute: Callable[[], Any]) -> Any:
        SharedSteps.before_batch()
        costs = compute()
        SharedSteps.after_batch()
        return costs


class SharedVariables:
    """Makes the variables that the compiled steps belong to, as new."""

    @staticmethod
    def create(config: Any, values: Any, learning_rate: float) -> ModelVariables:
        fresh = ModelVariables.create(config, values, learning_rate)
        if not SharedSteps.made:
            SharedSteps.made.append(fresh)
        else:
            for name, variable in SharedSteps.made[0].on_disk().items():
                variable.assign(fresh.on_disk()[name])
        return SharedSteps.made[0]


class NoPictures:
    """Drawing takes longer than the trainings of this module, and changes none."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        pass

    def show(self, *arguments: Any) -> None:
        pass

    wait = close = show


@pytest.fixture(scope="module")
def executioner() -> Iterator[Executioner]:
    made = Executioner()
    yield made
    made.arm(Path("/"), None)  # a hook cannot be removed, but it looks at nothing then


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any]) -> dict[str, Any]:
    """Flags of a training of some tenths of a second, but for the first."""
    monkeypatch.setattr("lfadsq.training.trainer.ModelSteps", SharedSteps)
    monkeypatch.setattr("lfadsq.training.session.ModelVariables", SharedVariables)
    monkeypatch.setattr("lfadsq.training.trainer.ExamplePictures", NoPictures)
    # TensorBoard reads files in the order of their names.
    monkeypatch.setattr("lfadsq.training.logs._NUMBERS", itertools.count(10**6))
    monkeypatch.setattr("lfadsq.files.os.fsync", lambda descriptor: None)
    flags |= {"temporal_spike_jitter_width": 2, "learning_rate_stop": 0.002, "batch_size": 10}
    return flags


def trained(flags: dict[str, Any], interruption: Interruption | None = None) -> int:
    flags = {name: value for name, value in flags.items() if value is not None}
    interruption = interruption or Interruption()
    return train(TrainerFlags.from_values(**flags), lambda line: None, interruption)


def results(folder: Path) -> dict[str, Any]:
    """Everything of a training that must not depend on interruptions."""
    found: dict[str, Any] = {"log": (folder / "fitlog.csv").read_bytes()}
    for pointer in ("checkpoint", "checkpoint_lve"):
        checkpoint = load_newest(folder, pointer)
        assert checkpoint is not None
        progress = json.loads(checkpoint.progress or "")
        found[pointer] = {name: value.tobytes() for name, value in checkpoint.values.items()}
        found[f"{pointer} progress"] = progress["progress"]
    status = json.loads((folder / "progress.json").read_text())
    names = ("state", "num_epochs", "step", "learning_rate", "drops_left")
    found["status"] = [status[name] for name in names]
    events = EventAccumulator(str(folder / "lfads_log"))
    events.Reload()
    for tag in events.Tags()["scalars"]:
        found[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
    return found


class Results(dict[str, Any]):
    """Shown in short where a test fails."""

    def __repr__(self) -> str:
        return f"results of {len(self)} kinds"


@pytest.fixture(scope="module")
def uninterrupted() -> Results:
    """Results of the training of this module that was left alone, once there is one."""
    return Results()


INTERRUPTIONS = st.one_of(
    st.tuples(st.just("kill at a change of files"), st.integers(0, 260)),
    st.tuples(st.sampled_from(["kill before", "kill after"]), st.integers(1, 70)),
    st.tuples(st.sampled_from(["signal before", "signal after"]), st.integers(1, 70)),
)


def interrupt(
    flags: dict[str, Any], out: Path, executioner: Executioner, how: str, place: int
) -> None:
    """Train, and interrupt at a place: that change of a file, or that batch."""
    interruption, batches = Interruption(), itertools.count(1)

    def strike() -> None:
        if next(batches) == place:
            if how.startswith("kill"):
                executioner.kill()
            interruption.note(signal.SIGTERM)

    by_files = how == "kill at a change of files"
    executioner.arm(out, place if by_files else 10**9)
    moment = "before_batch" if how.endswith("before") else "after_batch"
    if not by_files:
        setattr(SharedSteps, moment, staticmethod(strike))
    try:
        status = trained(flags, interruption)
        assert status in (0, 128 + signal.SIGTERM)
    except Killed:
        pass
    finally:
        executioner.arm(out, None)
        SharedSteps.before_batch = SharedSteps.after_batch = staticmethod(lambda: None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@settings(
    max_examples=int(os.environ.get("LFADSQ_INTERRUPTIONS", "8")),
    deadline=None,
    # Plans are short as they are, and each takes a second.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(plan=st.lists(INTERRUPTIONS, min_size=1, max_size=3))
@pytest.mark.slow
def test_interrupted_anywhere_it_ends_as_if_it_had_not_been(
    quick: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    executioner: Executioner,
    uninterrupted: Results,
    plan: list[tuple[str, int]],
) -> None:
    """The same log byte for byte, the same checkpoints bit for bit, the same curves."""
    if not uninterrupted:
        whole = tmp_path_factory.mktemp("whole") / "out"
        assert trained({**quick, "lfads_save_dir": str(whole)}) == 0
        uninterrupted.update(results(whole))
    out = tmp_path_factory.mktemp("interrupted") / "out"
    flags = {**quick, "lfads_save_dir": str(out)}
    for how, place in plan:
        interrupt(flags, out, executioner, how, place)
    assert trained(flags) == 0
    found = results(out)
    differing = [name for name, value in uninterrupted.items() if found[name] != value]
    assert not differing, plan
    assert not list(out.glob(".*"))
    assert not list(out.glob("*-before*"))


def test_a_reset_learning_rate_is_reset_once(
    quick: dict[str, Any], tmp_path: Path, executioner: Executioner
) -> None:
    """A queue that resumes an interrupted training gives the same flags again."""
    assert trained(quick) == 0
    again = {**quick, "do_reset_learning_rate": True}
    whole = tmp_path / "whole"
    (tmp_path / "out").rename(whole)
    for folder in (whole, tmp_path / "out"):
        if folder != whole:
            assert trained(quick) == 0
            interrupt(again, folder, executioner, "signal after", 17)
        assert trained({**again, "lfads_save_dir": str(folder)}) == 0
    found, expected = results(tmp_path / "out"), results(whole)
    assert found["log"] == expected["log"]
    assert found["checkpoint"] == expected["checkpoint"]


def test_a_signal_while_data_are_read_ends_without_a_trace(
    quick: dict[str, Any], tmp_path: Path
) -> None:
    interruption = Interruption()
    interruption.note(signal.SIGUSR1)
    assert trained(quick, interruption) == 128 + signal.SIGUSR1
    assert not (tmp_path / "out").exists()


def test_signals_leave_what_may_be_left_at_once() -> None:
    with noted_interruptions() as interruption:
        with pytest.raises(StopRequested), interruption.may_leave():
            signal.raise_signal(signal.SIGUSR2)
        assert interruption.signal_number == signal.SIGUSR2
        with pytest.raises(StopRequested):
            interruption.leave_if_asked()


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGXCPU,
    ],
)
def test_what_batch_systems_send_is_noted(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with noted_interruptions() as interruption:
        signal.raise_signal(number)
        assert interruption.signal_number == number
    assert signal.getsignal(number) is before


def test_signals_that_are_ignored_stay_so() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with noted_interruptions() as interruption:
            signal.raise_signal(signal.SIGHUP)
            assert interruption.signal_number is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only_an_impatient_ctrl_c_ends_at_once() -> None:
    now = [100.0]
    interruption = Interruption(lambda: now[0])
    interruption.note(signal.SIGTERM)
    interruption.note(signal.SIGINT)  # the terminal's, beside the queue's
    now[0] += 5.0
    interruption.note(signal.SIGTERM)
    interruption.note(signal.SIGUSR1)
    with pytest.raises(KeyboardInterrupt):
        interruption.note(signal.SIGINT)
    assert interruption.signal_number == signal.SIGTERM
