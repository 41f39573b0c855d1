"""Those who deliver notices: a command of the user, a webhook."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from lfadsq.errors import ConfigError
from lfadsq.queue.failures import last_lines
from lfadsq.queue.mailbox import Mailbox

__all__ = ["CommandCourier", "Courier", "WebhookCourier"]

_COMMAND_S = 60.0
_POLL_S = 0.05
_REQUEST_S = 10.0
_PAUSES_S = (1.0, 4.0)
"""Between the tries of a webhook."""

_TAIL_BYTES = 4096
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_VARIABLE_BYTES = 16 * 1024
"""The kernel takes 128 KiB a variable; no message for people needs as much."""


class Courier(Protocol):
    """Delivers notices; `str` of it is what people are told it is."""

    def deliver(self, notice: Mapping[str, Any], mailbox: Mailbox[Any]) -> str:
        """Deliver a notice, as long as the mailbox lets it; return what went wrong, or nothing."""


class CommandCourier:
    """Runs a command for every notice.

    Parameters
    ----------
    command : str
        A line for bash.
    timeout_s : float, default 60
        After which it is killed, with all it started [s].
    """

    def __init__(self, command: str, *, timeout_s: float = _COMMAND_S) -> None:
        if not isinstance(command, str) or not command.strip() or "\0" in command:
            raise ConfigError(f"the command for notices is {command!r}", "give a line for bash")
        self._command = command
        self._timeout_s = timeout_s

    def __str__(self) -> str:
        return "the command"

    def deliver(self, notice: Mapping[str, Any], mailbox: Mailbox[Any]) -> str:
        """Run the command; see `Courier`."""
        environment = {
            **os.environ,
            **{f"LFADSQ_{key.upper()}": _variable(value) for key, value in notice.items()},
        }
        # Files and not pipes: a command that reads nothing, or never stops talking, blocks nobody.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(json.dumps(notice).encode() + b"\n")
            given.seek(0)
            try:
                process = subprocess.Popen(
                    ["bash", "-c", self._command],
                    stdin=given,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                return f"it cannot be started: {error.strerror}"
            status = self._wait(process, mailbox)
            if status is None:
                return f"it was killed because it had not ended after {self._timeout_s:g} s"
            if status != 0:
                ended = f"signal {-status}" if status < 0 else f"exit status {status}"
                last = last_lines(_tail(said), 1)
                return f"it ended with {ended}{': ' if last else ''}{''.join(last)}"
        return ""

    def _wait(self, process: subprocess.Popen[bytes], mailbox: Mailbox[Any]) -> int | None:
        """Wait for the command's end; None if it had to be killed."""
        deadline_s = time.monotonic() + self._timeout_s
        while min(deadline_s - time.monotonic(), mailbox.left_s()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_POLL_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


class WebhookCourier:
    """Sends every notice to an address on the web.

    Parameters
    ----------
    address : str
        Begins with https; with http only on this machine, since it is as good as a password.
    timeout_s : float, default 10
        How long an answer may be waited for [s].
    pauses_s : tuple of float, default (1, 4)
        Rests between tries, of which there is one more [s].
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float = _REQUEST_S,
        pauses_s: tuple[float, ...] = _PAUSES_S,
    ) -> None:
        self._host = _checked_host(address)
        self._address = address
        self._timeout_s = timeout_s
        self._pauses_s = pauses_s
        # What is meant for this machine must not go to a proxy, and nothing elsewhere from there.
        proxies = [] if address.lower().startswith("https:") else [urllib.request.ProxyHandler({})]
        self._opener = urllib.request.build_opener(_NoRedirects, *proxies)

    def __str__(self) -> str:
        return f"the webhook at {self._host}"

    def deliver(self, notice: Mapping[str, Any], mailbox: Mailbox[Any]) -> str:
        """Post the notice; see `Courier`."""
        text = _harmless(str(notice["text"]))
        # Discord shows `content`, and is told to call nobody; the others show `text`.
        body = {**notice, "text": text, "content": text, "allowed_mentions": {"parse": []}}
        data = json.dumps(body).encode()
        problem = ""
        for pause_s in (*self._pauses_s, 0.0):
            if mailbox.left_s() <= 0:
                break
            problem, may_help = self._post(data, min(self._timeout_s, mailbox.left_s()))
            if not may_help:
                break
            mailbox.pause(pause_s)
        return problem

    def _post(self, data: bytes, timeout_s: float) -> tuple[str, bool]:
        """Send once; return what went wrong, and whether sending again may help."""
        headers = {"Content-Type": "application/json", "User-Agent": "lfadsq"}
        request = urllib.request.Request(self._address, data, headers, method="POST")
        # Only words of our own: those of the libraries may hold the address.
        try:
            with self._opener.open(request, timeout=timeout_s):
                return "", False
        except urllib.error.HTTPError as error:
            error.close()
            again = error.code == _TOO_MANY_REQUESTS or error.code >= _SERVER_ERROR
            return f"it answered with HTTP status {error.code}", again
        except urllib.error.URLError as error:
            reason = getattr(error.reason, "strerror", None) or type(error.reason).__name__
            return f"it cannot be reached: {reason}", True
        except (OSError, http.client.HTTPException) as error:
            return f"it did not answer: {type(error).__name__}", True


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirections: a redirected POST becomes a GET, without the notice."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        return None


def _checked_host(address: str) -> str:
    remedy = "give https://<host>/<path>, or http:// on this machine"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except (ValueError, AttributeError, TypeError):
        raise ConfigError("the webhook is no address of the web", remedy) from None
    if not host or any(not 32 < ord(character) < 127 for character in address):
        raise ConfigError("the webhook is no address of the web", remedy)
    if parts.username is not None:
        raise ConfigError(f"the webhook at {host} holds a user name", "give it without")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(host)):
        raise ConfigError(f"the webhook at {host} is not encrypted", remedy)
    return host


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _variable(value: object) -> str:
    """Make text that an environment variable can hold."""
    encoded = str(value).replace("\0", "").encode("utf-8", "backslashreplace")
    return encoded[:_VARIABLE_BYTES].decode("utf-8", "ignore")


def _harmless(text: str) -> str:
    r"""Keep names from calling all members of a chat: a space without width parts the signs.

    >>> _harmless("run <!channel> @here")
    'run <\u200b!channel> @\u200bhere'
    """
    return text.replace("<!", "<\u200b!").replace("@", "@\u200b")


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    return file.read().decode("utf-8", errors="replace")
