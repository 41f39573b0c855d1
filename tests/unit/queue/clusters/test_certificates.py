"""Keys of a collection: private, reused, renewed, and good for every Python."""

from __future__ import annotations

import datetime
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lfadsq.errors import QueueError
from lfadsq.queue.clusters import certificates
from lfadsq.queue.clusters.certificates import certificate_in, key_folder


def _days_on(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    later = datetime.datetime.now(tz=datetime.timezone.utc) + datetime.timedelta(days=days)
    monkeypatch.setattr(certificates, "_now", lambda: later)


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_whatever_the_umask_nobody_else_may_read_it(tmp_path: Path, umask: str) -> None:
    program = (
        f"import os; os.umask(0o{umask})\n"
        "from pathlib import Path\n"
        "from lfadsq.queue.clusters.certificates import certificate_in\n"
        f"print(certificate_in(Path({str(tmp_path)!r})))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    path = Path(done.stdout.strip())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, done.stderr
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_both_ends_accept_it_even_with_the_strict_rules_of_python_313(tmp_path: Path) -> None:
    pem = certificate_in(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    ends = []
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    for context, first, second in ((server, into, out), (client, out, into)):
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(pem)
        context.load_verify_locations(pem)
        ends.append(context.wrap_bio(first, second, server_side=context is server))
    done = set()
    for _ in range(10):
        for end in reversed(ends):
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
    assert len(done) == 2


def test_it_is_the_same_next_time(tmp_path: Path) -> None:
    assert certificate_in(tmp_path) == certificate_in(tmp_path)


def test_one_that_soon_ends_is_renewed_and_kept_for_queues_that_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = certificate_in(tmp_path)
    _days_on(monkeypatch, 330)
    second = certificate_in(tmp_path)
    assert second != first
    assert first.exists()
    _days_on(monkeypatch, 370)
    assert certificate_in(tmp_path) == second
    assert not first.exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_damaged_one_is_made_anew(tmp_path: Path, content: bytes) -> None:
    first = certificate_in(tmp_path)
    first.write_bytes(content)
    assert certificate_in(tmp_path) != first
    assert not first.exists()


def test_a_key_of_another_certificate_is_not_used(tmp_path: Path) -> None:
    first = certificate_in(tmp_path / "a")
    second = certificate_in(tmp_path / "b")
    key = first.read_bytes().partition(b"-----BEGIN CERT")[0]
    second.write_bytes(key + b"-----BEGIN CERT" + second.read_bytes().partition(b"BEGIN CERT")[2])
    assert certificate_in(tmp_path / "b") != second


def test_a_folder_that_others_may_read_is_refused(tmp_path: Path) -> None:
    certificate_in(tmp_path).parent.chmod(0o750)
    with pytest.raises(QueueError, match="others may look into it"):
        certificate_in(tmp_path)


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    key_folder(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(QueueError):
        certificate_in(tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []
