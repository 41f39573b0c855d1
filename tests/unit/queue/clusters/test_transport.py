"""Orders to real workers over TLS, and what comes back whatever happens to them."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from lfadsq.errors import ClusterError
from lfadsq.queue.clusters.certificates import certificate_in
from lfadsq.queue.clusters.machines import Machines
from lfadsq.queue.clusters.messages import Terms
from lfadsq.queue.clusters.transport import ClusterTransport
from lfadsq.queue.records import Cause, Outcome

from ..conftest import is_alive, wait_until
from .conftest import Cluster, Heard, free_port, listening, pids_of, stepper, steps_of, wait_gone

_MUTE_S = 3.0


def _answer_of(address: tuple[str, int], context: ssl.SSLContext | None) -> bytes | str:
    """Speak with a port, and give what it says, or how it refuses."""
    with socket.create_connection(address, timeout=_MUTE_S) as plain:
        try:
            if context is None:
                # What Dask says first, and the first line of a browser.
                plain.sendall(b"GET / HTTP/1.0\r\n\r\n" + bytes(64))
                return plain.recv(1000)
            with context.wrap_socket(plain) as secret:
                return secret.recv(1000)  # TLS 1.3 refuses a client after its hand shake
        except (ssl.SSLError, ConnectionError, TimeoutError) as error:
            return type(error).__name__


def _client_context(*, pem: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pem is not None:
        context.load_cert_chain(pem)
    return context


def test_every_port_demands_a_key_of_the_collection(
    cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    here = cluster()
    worker = here.start_worker()
    ports = listening([worker.pid])
    (own,) = {p for p in listening([os.getpid()]) if p[1] == int(here.transport.address[-5:])}
    assert ports, "a worker is called by its scheduler"
    others = certificate_in(tmp_path / "of somebody else")
    for port in [own, *ports]:
        assert port[0] == "127.0.0.1", "no other interface"
        # To a client that speaks no TLS nothing is said but that (an alert, 0x15).
        assert _answer_of(port, None) in (b"", "ConnectionResetError") or (
            bytes(_answer_of(port, None))[:1] == b"\x15"  # type: ignore[arg-type]
        )
        for pem in (None, others):
            assert _answer_of(port, _client_context(pem=pem)) in (
                b"", "SSLError", "ConnectionResetError", "SSLEOFError",
            )  # fmt: skip
        # With the key it waits for what we have to say; so what is above can fail.
        answer = _answer_of(port, _client_context(pem=here.certificate))
        assert answer == "TimeoutError" or len(answer) > 10


def test_an_order_is_run_and_told(cluster: Callable[..., Cluster]) -> None:
    here = cluster()
    worker = here.start_worker()
    here.order("t", "echo out; true")
    attempt = here.heard.wait_ended("t").attempt
    assert here.heard.wait_started("t").pid == attempt.pid
    assert attempt.outcome is Outcome.SUCCEEDED
    assert (attempt.device, attempt.queue_id) == ("cpu", "here-1-abc")
    assert "out" in (here.folder / "t" / "lfads.out").read_text()
    here.close()
    assert worker.wait(20) == 0
    assert here.heard.failed == []


def test_names_that_are_no_text_travel(cluster: Callable[..., Cluster]) -> None:
    here = cluster()
    here.start_worker()
    here.order("t", "echo caf\udce9")
    attempt = here.heard.wait_ended("t").attempt
    assert attempt.outcome is Outcome.SUCCEEDED
    assert attempt.command.endswith("\udce9")


def test_a_task_told_to_end_at_once_is_ended_all_the_same(cluster: Callable[..., Cluster]) -> None:
    """What is said after an order comes after it: 20 times, for it is a race."""
    here = cluster()
    here.start_worker()
    for number in range(20):
        here.order(f"t{number}", "exec sleep 60")
        here.transport.tell_to_end([f"t{number}"], Cause.PAUSED)
        attempt = here.heard.wait_ended(f"t{number}").attempt
        assert (attempt.outcome, attempt.cause) == (Outcome.INTERRUPTED, Cause.PAUSED)


def test_a_task_that_ignores_sigterm_is_killed_on_demand(cluster: Callable[..., Cluster]) -> None:
    here = cluster()
    here.start_worker()
    here.order("t", "trap '' TERM; echo up; while :; do sleep 0.1; done")
    log = here.folder / "t" / "lfads.out"
    wait_until(lambda: log.exists() and "\nup" in log.read_text(), "the trap is set")
    here.transport.tell_to_end(["t"], Cause.CANCELLED)
    here.transport.kill(["t"])
    assert here.heard.wait_ended("t").attempt.outcome is Outcome.CANCELLED


def test_a_killed_worker_is_lost_for_the_cause_that_the_batch_system_tells(
    cluster: Callable[..., Cluster],
) -> None:
    here = cluster()
    here.causes["w1"] = Cause.WALLTIME
    worker = here.start_worker()
    folder = here.folder / "t"
    here.order("t", stepper(folder, 2000))
    wait_until(lambda: steps_of(folder), "it trains")
    worker.process.kill()
    worker.wait()
    result = here.heard.wait_ended("t")
    assert (result.kind, result.cause) == ("lost", Cause.WALLTIME)
    assert here.machines.all() == []
    assert wait_gone(pids_of(folder), 10) < 10
    assert int((folder / "checkpoint").read_text()) == steps_of(folder)[-1], "the guard ended it"


def test_an_order_to_a_worker_that_died_meanwhile_comes_back(
    cluster: Callable[..., Cluster],
) -> None:
    here = cluster()
    worker = here.start_worker()
    worker.process.kill()
    here.order("t", "true")
    assert here.heard.wait_ended("t").kind in ("returned", "lost")
    wait_until(lambda: not here.machines.all(), "the machine is forgotten")
    here.order("u", "true")
    assert here.heard.wait_ended("u").kind == "returned"


def test_a_task_whose_worker_dies_before_it_tells_the_end_is_done_and_not_run_again(
    cluster: Callable[..., Cluster],
) -> None:
    here = cluster()
    worker = here.start_worker()
    folder = here.folder / "t"
    here.order("t", stepper(folder, 20))
    wait_until(lambda: steps_of(folder), "it trains")
    worker.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: (folder / "checkpoint").exists(), "it ends by itself")
    wait_until(lambda: "\nexit 0" in (folder / "lfads.lock").read_text(), "that is written down")
    worker.process.kill()
    assert here.heard.wait_ended("t").kind == "lost"
    here.start_worker("w2")
    here.order("t", stepper(folder, 20), "w2")
    attempt = here.heard.wait_ended("t", number=2).attempt
    assert (attempt.number, attempt.outcome) == (1, Outcome.SUCCEEDED)
    assert steps_of(folder) == list(range(1, 21))


def test_a_name_that_comes_back_is_another_machine(cluster: Callable[..., Cluster]) -> None:
    """A requeued job: its old worker may still be listed, as here, where it cannot answer."""
    here = cluster()
    old = here.start_worker()
    folder = here.folder / "t"
    here.order("t", stepper(folder, 2000))
    wait_until(lambda: steps_of(folder), "it trains")
    old.process.send_signal(signal.SIGSTOP)
    here.start_worker("w1", waits=False)
    result = here.heard.wait_ended("t")
    assert (result.kind, result.cause) == ("lost", Cause.PREEMPTED)
    here.wait_for("w1")
    assert len(here.machines.all()) == 1
    here.order("u", "true")
    assert here.heard.wait_ended("u").attempt.outcome is Outcome.SUCCEEDED
    old.process.send_signal(signal.SIGCONT)
    old.process.kill()
    wait_gone(pids_of(folder), 10)


def test_an_order_that_arrived_though_it_was_given_up_harms_nobody(
    cluster: Callable[..., Cluster],
) -> None:
    here = cluster()
    here.start_worker()
    folder = here.folder / "t"
    order = here.order("t", stepper(folder, 30))
    wait_until(lambda: steps_of(folder), "it trains")
    # As if the answer had been lost, and the task placed once more.
    here.transport._give_up(here.transport._sent["t"], _returned())
    here.transport.submit(order)
    held = here.heard.wait_ended("t", number=2)
    assert held.kind == "held"
    assert held.journal.pid is not None
    wait_until(lambda: (folder / "lfads.done").exists(), "the first goes on to its end")
    assert steps_of(folder) == list(range(1, 31))
    assert len(here.heard.ended) == 2, "what was given up is told once"


def _returned() -> object:
    from lfadsq.queue.execution import Result

    return Result("returned", problem="no answer")


def test_a_machine_that_comes_late_starts_nothing_for_a_queue_that_stops(
    cluster: Callable[..., Cluster],
) -> None:
    here = cluster()
    here.transport.tell_to_end(None, Cause.QUEUE_STOPPED)
    here.start_worker()
    here.order("t", "exec sleep 60")
    attempt = here.heard.wait_ended("t").attempt
    assert attempt.outcome is Outcome.INTERRUPTED
    assert attempt.pid == 0 or not is_alive(attempt.pid)


def test_a_scheduler_that_is_not_there_is_told_with_its_address() -> None:
    heard = Heard()
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lfadsq.queue.clusters.scheduler._START_TIMEOUT_S", 1)
        with pytest.raises(ClusterError, match=address):
            ClusterTransport(
                Terms("q"), Machines(), heard.listener, lambda name: None,
                certificate=None, address=address,
            )  # fmt: skip


def test_an_interface_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="--interface"):
        ClusterTransport(
            Terms("q"), Machines(), Heard().listener, lambda name: None,
            certificate=certificate_in(tmp_path), interface="nosuch0",
        )  # fmt: skip
