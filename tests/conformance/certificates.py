"""A certificate authority of one test run, and a certificate for localhost that it signed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from millrace.stack.private_file import write_private

__all__ = ["Certificates", "make_certificates"]


@dataclass(frozen=True)
class Certificates:
    """PEM files: who signed, the certificate, its key, and both in one."""

    ca: Path
    certificate: Path
    key: Path
    keystore: Path


def make_certificates(folder: Path) -> Certificates:
    """Valid for a day, for localhost and 127.0.0.1."""
    ca_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    ca_name, name = _name("conformance CA"), _name("localhost")
    ca = _builder(ca_name, ca_name, ca_key).add_extension(x509.BasicConstraints(True, 0), critical=True)
    hosts = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
    own = _builder(name, ca_name, key).add_extension(hosts, critical=False)
    files = Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem", folder / "keystore.pem")
    folder.mkdir(parents=True, exist_ok=True)
    files.ca.write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    files.certificate.write_bytes(own.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(files.key, private.decode())
    write_private(files.keystore, private.decode() + files.certificate.read_text())
    return files


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
