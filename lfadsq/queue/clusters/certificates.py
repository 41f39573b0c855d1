"""TLS between a queue and its machines: a key of the collection that its user alone can read.

Whoever can speak to a Dask scheduler can run code as its user, and on a cluster everybody reaches
every port. Key and certificate lie in one file, which is never changed: a queue that lives for
weeks hands the one it began with to all its machines.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import uuid
from pathlib import Path

from lfadsq.errors import QueueError
from lfadsq.files import make_folder, storage_errors, written_aside

__all__ = ["certificate_in", "key_folder"]

_VALID = datetime.timedelta(days=365)
_RENEW = datetime.timedelta(days=60)
"""A queue may run for weeks with what it began with."""
_EARLIER = datetime.timedelta(days=1)
"""Clocks of nodes differ."""

_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def key_folder(folder: Path) -> Path:
    """Give the folder of this user's keys."""
    return folder / f"tls-{os.geteuid()}"


def certificate_in(folder: Path) -> Path:
    """Give a file with a key of this user and a certificate that vouches for itself (PEM).

    Parameters
    ----------
    folder : Path
        Where they are kept; made if missing. Others may share it, but not the keys in it.

    Raises
    ------
    QueueError
        If the place of the keys is somebody else's, or open to others.
    StorageError
        If they cannot be written.
    """
    mine = key_folder(folder)
    make_folder(folder)
    with storage_errors(mine, "make"):
        mine.mkdir(mode=0o700, exist_ok=True)
        found = mine.lstat()
        paths = sorted(mine.glob("*.pem"))
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or mine.is_symlink():
        raise QueueError(
            f"{mine} is where the keys of your queues lie, and others may look into it",
            "remove it: it is made again",
        )
    usable = {}
    for path in paths:
        ends = _end_of(path)
        if ends is None or ends < _now():
            with contextlib.suppress(OSError):
                path.unlink()
        elif ends > _now() + _RENEW:
            usable[path] = ends
    if usable:
        return max(usable, key=lambda path: usable[path])
    return _make(mine)


def _end_of(path: Path) -> datetime.datetime | None:
    """Tell until when a certificate can be used; None if never."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    try:
        content = path.read_bytes()
        key = load_pem_private_key(content, None)
        certificate = x509.load_pem_x509_certificate(content)
    except (OSError, ValueError):
        return None
    fits = key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)
    return certificate.not_valid_after_utc if fits else None


def _make(folder: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lfadsq")])
    digest = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # What Python 3.13 wants of a certificate, beyond what older ones do.
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(digest)
    usage = dict.fromkeys(_USAGES, False) | {"digital_signature": True, "key_cert_sign": True}
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _EARLIER)
        .not_valid_after(_now() + _VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(digest, critical=False)
        .add_extension(authority, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # Two queues that begin at the same time make one each.
    path = folder / f"{uuid.uuid4().hex}.pem"
    with written_aside(path) as aside:
        aside.chmod(0o600)
        aside.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


def _now() -> datetime.datetime:
    return datetime.datetime.now(tz=datetime.timezone.utc)
