"""Whether queue and node reach each other, as `lfadsq doctor` sees it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lfadsq.queue.clusters.doctor_questions import Questions
from lfadsq.queue.clusters.doctor_report import Finding, Tell, ok, problem
from lfadsq.queue.clusters.doctor_verdicts import unreached_finding
from lfadsq.queue.clusters.machines import Machines
from lfadsq.queue.clusters.messages import Machine, Terms
from lfadsq.queue.clusters.probe import interfaces_here
from lfadsq.queue.clusters.transport import ClusterTransport
from lfadsq.queue.sites import Listener
from lfadsq.texts import duration_text

__all__ = ["Listening", "Network", "listening"]

_SETTLES_S = 10.0
_CONNECTS_S = 5.0
_LETS_GO_S = 20.0
_ASK_S = 2.0
_POLL_S = 0.05


@contextlib.contextmanager
def listening(queue_id: str, certificate: Path, interface: str) -> Iterator[Listening]:
    """Start a scheduler as a queue does, and end it.

    Raises
    ------
    ClusterError
        If it does not start.
    """
    machines = Machines()
    terms = Terms(queue_id=queue_id, needs_gpu=False)
    transport = ClusterTransport(
        terms,
        machines,
        _nobody(),
        lambda name: None,
        certificate=certificate,
        interface=interface,
    )
    with contextlib.closing(transport):
        yield Listening(transport, machines)


@dataclass(frozen=True)
class Listening:
    """A scheduler, and the workers that came to it."""

    transport: ClusterTransport
    machines: Machines

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.transport.address

    def finding(self) -> Finding:
        """Tell where it listens."""
        host = urlsplit(self.address).hostname or ""
        names = [name for name, ip, _ in interfaces_here() if ip == host]
        where = f"interface {names[0]}" if names else "an address of no interface here"
        return ok("address", f"the queue listens at {self.address} ({where}; any free port)")


class Network:
    """Looks at the connections between here and a node.

    Parameters
    ----------
    listening : Listening
    questions : Questions
    tell, say : callable
        As for `lfadsq.queue.clusters.doctor.ClusterDoctor`.
    connect_s : float
        How long a worker may take [s].
    """

    def __init__(
        self,
        listening: Listening,
        questions: Questions,
        tell: Tell,
        say: Callable[[str], None],
        connect_s: float,
    ) -> None:
        self._transport = listening.transport
        self._machines = listening.machines
        self._questions = questions
        self._tell = tell
        self._say = say
        self._connect_s = connect_s

    def look(self, host: str, interfaces: list[list[str]], submitted_s: float) -> float | None:
        """Wait for the worker, and see that both sides reach each other.

        Parameters
        ----------
        host : str
            Name of the node.
        interfaces : list of [name, address, mask]
            Of the node.
        submitted_s : float
            When the job was submitted, on the monotonic clock [s].

        Returns
        -------
        float or None
            How long after that the worker came [s]; None if it did not.
        """
        transport = self._transport
        self._say("waiting for the worker in the job")
        machine, said = self._await_worker()
        if machine is None:
            address = urlsplit(transport.address)
            arguments = {"host": address.hostname, "port": address.port, "timeout_s": _CONNECTS_S}
            told = self._questions.ask("network", "connect", **arguments) or {
                "problem": "it does not tell"
            }
            self._tell(
                unreached_finding(
                    transport.address, host, said, told["problem"], interfaces_here(), interfaces
                )
            )
            return None
        came_s = time.monotonic() - submitted_s
        took = f"first worker {duration_text(came_s)} after the job was submitted"
        self._tell(ok("network", f"the node reached {transport.address}: {took}"))
        self._look_back(machine)
        return came_s

    def _await_worker(self) -> tuple[Machine | None, str]:
        """Wait until the worker tells of itself; else give what it said."""
        deadline_s = time.monotonic() + self._connect_s + _SETTLES_S
        asked_s, said = 0.0, ""
        while time.monotonic() < deadline_s:
            found = self._machines.all()
            if found:
                return found[0], ""
            if time.monotonic() - asked_s > _ASK_S:
                told = self._questions.ask("network", "worker") or {"status": 0, "said": said}
                asked_s, said = time.monotonic(), told["said"]
                if told["status"] is not None and not self._machines.all():
                    break
            time.sleep(_POLL_S)
        return None, said

    def _look_back(self, machine: Machine) -> None:
        """See that we reach the worker too, and that it goes when it is let go."""
        transport = self._transport
        address = urlsplit(machine.address)
        try:
            where = (address.hostname or "", address.port or 0)
            socket.create_connection(where, _CONNECTS_S).close()
        except OSError as error:
            self._tell(
                problem(
                    "network back",
                    f"the worker at {machine.address} cannot be reached from here: {error}",
                    "ask for TCP from this machine to the nodes, give another --interface, run the"
                    " queue as a job (`lfadsq submit`), or use --no-dask",
                )
            )
            return
        transport.finish(machine.name)
        deadline_s = time.monotonic() + _LETS_GO_S
        status, said = None, ""
        while status is None and time.monotonic() < deadline_s:
            told = self._questions.ask("network back", "worker")
            if told is None:
                return
            status, said = told["status"], told["said"]
            time.sleep(_POLL_S)
        if status != 0:
            lines = "".join(f"\n  | {line}" for line in said.splitlines())
            how = "does not end" if status is None else f"ended with status {status}"
            self._tell(
                problem(
                    "network back",
                    f"the worker at {machine.address} {how} when it is let go{lines}",
                    "mend what it says; if it says nothing, something between holds back what is"
                    " sent: use --no-dask",
                )
            )
            return
        self._tell(ok("network back", f"the queue reaches the node at {machine.address}"))


def _nobody() -> Listener:
    """Make a listener for a queue without tasks."""
    return Listener(
        started=lambda order, attempt: None,
        ended=lambda order, result: None,
        failed=lambda error: None,
        changed=lambda: None,
        note=lambda noted: None,
        peak_mb=lambda name: None,
    )
