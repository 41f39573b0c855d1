"""Who runs the TensorBoard of a collection: one queue of it, the others take its address.

The claim is a ``flock`` in the folder ``.lfadsqueue`` of the collection, and so ends with the queue
that has it, however it dies. The address lies beside it, in JSON: format version 1, change
`CLAIM_VERSION` with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from lfadsq.files import write_text
from lfadsq.queue.control_paths import FOLDER_NAME, ControlPaths, is_locked

__all__ = ["CLAIM_VERSION", "Address", "Claim", "live_address", "read_address"]

CLAIM_VERSION = 1

_LOCK = "tensorboard.lock"
_ADDRESS = "tensorboard.json"


@dataclass(frozen=True)
class Address:
    """Where a TensorBoard answers.

    Attributes
    ----------
    host : str
        Fully qualified name of the machine.
    port : int
        Open on that machine alone.
    user : str
        Who runs it.
    """

    host: str
    port: int
    user: str

    @property
    def url(self) -> str:
        """As a browser on that machine takes it."""
        return f"http://localhost:{self.port}"


class Claim:
    """The right to run the TensorBoard of a collection; made by `try_acquire`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def try_acquire(cls, collection: Path) -> Claim | None:
        """Take the claim if no other queue has it, without waiting; None if one has.

        Raises
        ------
        OSError
            If the folder cannot be used, or its file system knows no locks.
        QueueError
            If the folder is not safe from strangers (`ControlPaths.exists`).
        """
        paths = ControlPaths(collection / FOLDER_NAME)
        paths.make()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(paths.folder / _LOCK, flags, 0o600)
        try:
            with contextlib.suppress(PermissionError):  # somebody else made it
                os.fchmod(descriptor, paths.file_mode)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        claim = cls(paths.folder / _ADDRESS, descriptor)
        claim.withdraw()  # of a queue that was killed
        return claim

    def publish(self, address: Address) -> None:
        """Let other queues know where it answers.

        Raises
        ------
        StorageError
            If that cannot be written.
        """
        data = {"version": CLAIM_VERSION, **asdict(address)}
        write_text(self._path, json.dumps(data) + "\n", durable=False)

    def withdraw(self) -> None:
        """Take the address back."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def release(self) -> None:
        """Give the claim up."""
        self.withdraw()
        os.close(self._descriptor)


def live_address(collection: Path) -> Address | None:
    """Read where the TensorBoard of a collection answers; None if who said so lives no more.

    Raises
    ------
    StorageError
        If the system does not let us look.
    """
    is_claimed = is_locked(collection / FOLDER_NAME / _LOCK)
    return read_address(collection) if is_claimed else None


def read_address(collection: Path) -> Address | None:
    """Read where the TensorBoard of a collection answers; None if nobody says so."""
    try:
        data = json.loads((collection / FOLDER_NAME / _ADDRESS).read_text(encoding="utf-8"))
        if data["version"] != CLAIM_VERSION:
            return None
        address = Address(str(data["host"]), int(data["port"]), str(data["user"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    # It is shown on a terminal, which obeys control characters.
    return address if (address.host + address.user).isprintable() else None
